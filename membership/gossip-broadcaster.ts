/**
 * Gossip along the edges of the overlay: what a member learns in one window it tells its neighbours in one frame each.
 *
 * Suresh et al. (USENIX ATC '18), section 4.3: votes are bitmaps, so that merging them is an OR and a member passes on what it
 * knows rather than what it received. A member tells its subjects: the overlay is an expander, a few hops reach everybody.
 * Rule M11: per neighbour and window one frame, without what came from that neighbour. The connections are those that probes
 * keep open anyway.
 *
 * Up to `unicastMembersMax` members the factory gives a unicast broadcaster instead.
 *
 * Pure: the time is an argument.
 */
import { type Ballot } from './ballot.ts'
import { createBitmap, isBitmapOf, mergeBits, type Bitmap } from './bitmap.ts'
import { UnicastBroadcaster, type Broadcaster, type BroadcasterFactory, type BroadcastMessage } from './broadcaster.ts'
import { type Cut, type CutDigest, type Member, type MemberId } from './configuration.ts'
import { type AcceptedMessage, type VotesMessage } from './consensus-messages.ts'
import { ALERTS_MAX } from './message-validation.ts'
import { alertKey, type Alert, type ConsensusEnvelope } from './messages.ts'
import { type MembershipTuning } from './options.ts'
import { alertsOf, reportsOf } from './reports.ts'
import { type View } from './view.ts'

/** Things remembered as seen in one configuration, of each sort. Beyond it nothing new is passed on; repetition at the origin remains. */
const SEEN_MAX = 65_536

/** The first news go out fast; where news keep coming, windows double up to this many times the first. */
const WINDOW_FACTOR_MAX = 8

/** A bitmap that grows as news of votes, or of acceptances in one ballot, come in. */
interface Ledger {
  readonly digest: CutDigest
  /** Undefined for fast votes. */
  readonly ballot: Ballot | undefined
  readonly bitmap: Bitmap
  cut: Cut | undefined
  /** Whether the bytes of the cut have been passed on; those who lack them later ask for them. */
  cutTold: boolean
  /** Who told the news since the last window; undefined when there are none. More than one, or this process: everybody is told. */
  news: { via: MemberId | undefined, many: boolean } | undefined
}

export class GossipBroadcaster implements Broadcaster {
  readonly #view: View
  readonly #windowMs: number
  readonly #send: (to: MemberId, message: BroadcastMessage) => void
  readonly #neighbours: readonly MemberId[]
  /** Every alert known, by its key. Invariant: size <= SEEN_MAX. */
  readonly #alerts = new Map<string, Alert>()
  /** The records that `#alerts` name, by their text. Invariant: size <= SEEN_MAX. */
  readonly #records = new Map<string, Member>()
  /** Alerts to pass on, with those who have them already. Invariant: the keys are keys of `#alerts`. */
  #pending = new Map<string, Set<MemberId>>()
  readonly #ledgers = new Map<string, Ledger>()
  /** Messages that are passed on as they are. Invariant: size <= SEEN_MAX. */
  readonly #seen = new Set<string>()
  #flushAtMs = Infinity
  /** Flushes so far, since the first alert and again since the first vote. */
  #flushes = 0
  #voting = false

  constructor (view: View, windowMs: number, send: (to: MemberId, message: BroadcastMessage) => void) {
    this.#view = view
    this.#windowMs = windowMs
    this.#send = send
    this.#neighbours = view.subjects
  }

  originate (now: number, message: BroadcastMessage): void {
    if (message.kind === 'alerts') {
      const alerts = alertsOf(message.reports)
      const repetition = alerts.every(alert => this.#alerts.has(alertKey(alert)))
      this.#addAlerts(now, undefined, alerts)
      // The origin repeats itself since there is no decision: by now all that is known may be what somebody lacks.
      if (repetition) this.#sendAlerts([...this.#alerts.values()], this.#neighbours)
    } else if (!this.#merge(now, undefined, message)) {
      this.#seen.add(JSON.stringify([message.sender.id, message.message]))
      for (const id of this.#neighbours) this.#send(id, message)
    }
  }

  relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void {
    if (message.kind === 'alerts') {
      this.#addAlerts(now, via, alertsOf(message.reports))
    } else if (isBroadcast(message) && !this.#merge(now, via, message)) {
      const key = JSON.stringify([message.sender.id, message.message])
      if (this.#seen.has(key) || this.#seen.size >= SEEN_MAX) return
      this.#seen.add(key)
      for (const id of this.#neighbours) if (id !== via && id !== message.sender.id) this.#send(id, message)
    }
  }

  advance (now: number): void {
    if (now >= this.#flushAtMs) this.flush()
  }

  get nextAtMs (): number {
    return this.#flushAtMs
  }

  flush (): void {
    this.#flushAtMs = Infinity
    this.#flushes++
    const pending = this.#pending
    this.#pending = new Map()
    for (const id of this.#neighbours) {
      const lacking: Alert[] = []
      for (const [key, holders] of pending) if (!holders.has(id)) lacking.push(this.#alerts.get(key)!)
      this.#sendAlerts(lacking, [id])
    }
    this.#sendLedgers()
  }

  #addAlerts (now: number, via: MemberId | undefined, alerts: readonly Alert[]): void {
    for (const alert of alerts) {
      const key = alertKey(alert)
      if (!this.#alerts.has(key)) {
        if (this.#alerts.size >= SEEN_MAX) return
        this.#alerts.set(key, this.#interned(alert))
        this.#pending.set(key, new Set())
        this.#schedule(now)
      }
      if (via !== undefined) this.#pending.get(key)?.add(via)
    }
  }

  /** Equal records of a joiner become one object, so that alerts which name them share a report. */
  #interned (alert: Alert): Alert {
    const { joiner } = alert
    if (joiner === undefined) return alert
    const text = JSON.stringify(joiner)
    const known = this.#records.get(text)
    if (known === undefined) this.#records.set(text, joiner)
    return known === undefined || known === joiner ? alert : { ...alert, joiner: known }
  }

  #sendAlerts (alerts: readonly Alert[], to: readonly MemberId[]): void {
    const { sender, position } = this.#view
    for (let start = 0; start < alerts.length; start += ALERTS_MAX) {
      const message = { kind: 'alerts', sender, position, reports: reportsOf(alerts.slice(start, start + ALERTS_MAX)) } as const
      for (const id of to) this.#send(id, message)
    }
  }

  /** Takes in votes and acceptances. Returns false for messages that cannot be merged. */
  #merge (now: number, via: MemberId | undefined, { message }: ConsensusEnvelope): boolean {
    if (message.kind === 'votes') {
      for (const { digest, cut, bitmap } of message.proposals) {
        this.#grow(now, via, `votes ${digest}`, { digest, cut, bitmap, ballot: undefined })
      }
      return true
    }
    if (message.kind === 'accepted') {
      const { digest, bitmap, ballot } = message
      this.#grow(now, via, `accepted ${ballot.round} ${ballot.member} ${digest}`, { digest, bitmap, ballot, cut: undefined })
      return true
    }
    return false
  }

  #grow (now: number, via: MemberId | undefined, key: string, part: Pick<Ledger, 'digest' | 'ballot' | 'bitmap'> & { cut: Cut | undefined }): void {
    if (!isBitmapOf(part.bitmap, this.#view.size)) return
    let ledger = this.#ledgers.get(key)
    if (ledger === undefined) {
      if (this.#ledgers.size >= SEEN_MAX) return
      const { digest, ballot } = part
      ledger = { digest, ballot, bitmap: createBitmap(this.#view.size), cut: undefined, cutTold: false, news: undefined }
      this.#ledgers.set(key, ledger)
    }
    ledger.cut ??= part.cut
    const grew = mergeBits(ledger.bitmap, part.bitmap)
    // What this process says is passed on even if it is nothing new: it repeats itself because somebody may lack it.
    if (!grew && via !== undefined) return
    if (!this.#voting) {
      // A new phase begins with short windows again.
      this.#voting = true
      this.#flushes = 0
    }
    ledger.news = { via, many: ledger.news !== undefined && (ledger.news.many || ledger.news.via !== via) }
    this.#schedule(now)
  }

  #sendLedgers (): void {
    const { sender, position } = this.#view
    const header = { configurationId: position.configurationId, epoch: position.epoch }
    const fresh = [...this.#ledgers.values()].filter(ledger => ledger.news !== undefined)
    for (const id of this.#neighbours) {
      const lacking = fresh.filter(({ news }) => news!.many || news!.via !== id)
      const votes = lacking.filter(ledger => ledger.ballot === undefined)
      if (votes.length > 0) {
        const proposals = votes.map(({ digest, cut, cutTold, bitmap }) => {
          return { digest, bitmap: bitmap.slice(), ...cut === undefined || cutTold ? {} : { cut } }
        })
        const message: VotesMessage = { kind: 'votes', ...header, proposals }
        this.#send(id, { kind: 'consensus', sender, position, message })
      }
      for (const { ballot, digest, bitmap } of lacking) {
        if (ballot === undefined) continue
        const message: AcceptedMessage = { kind: 'accepted', ...header, ballot, digest, bitmap: bitmap.slice() }
        this.#send(id, { kind: 'consensus', sender, position, message })
      }
    }
    for (const ledger of fresh) {
      ledger.news = undefined
      ledger.cutTold = ledger.cut !== undefined
    }
  }

  #schedule (now: number): void {
    if (this.#flushAtMs === Infinity) this.#flushAtMs = now + this.#windowMs * Math.min(2 ** this.#flushes, WINDOW_FACTOR_MAX)
  }
}

/** The rest is between two members. */
function isBroadcast ({ message }: ConsensusEnvelope): boolean {
  return message.kind === 'votes' || message.kind === 'accepted' || message.kind === 'prepare'
}

/** The default: gossip, or unicast where everyone observes everyone. */
export const gossip: BroadcasterFactory = (view: View, tuning: MembershipTuning, send) => view.size <= tuning.unicastMembersMax
  ? new UnicastBroadcaster(view, send)
  : new GossipBroadcaster(view, tuning.gossipWindowMs, send)
