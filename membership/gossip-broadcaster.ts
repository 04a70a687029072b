/**
 * Gossip along the edges of the overlay: what a member learns in one window it tells its neighbours, all of them in one frame each.
 *
 * Suresh et al. (USENIX ATC '18), section 4.3: votes are bitmaps, so that merging them is an OR and a member passes on what it
 * knows rather than what it received. Alerts are masks, for the same reason (rule M11). A member tells its subjects: the overlay is
 * an expander, a few hops reach everybody, and the connections are those that probes keep open anyway.
 *
 * Deviation from rule M11: all neighbours get the same message, which is encoded once, and not each one what it alone lacks. The
 * overlay's edges have a direction: those whom a member tells are seldom those who told it, so there would be little to leave out.
 *
 * Up to `unicastMembersMax` members the factory gives a unicast broadcaster instead.
 *
 * Pure: the time is an argument.
 */
import type { Ballot } from './ballot.ts'
import { createBitmap, isBitmapOf, mergeBits, type Bitmap } from './bitmap.ts'
import { UnicastBroadcaster, type Broadcaster, type BroadcasterFactory, type BroadcastMessage, type SendToMembers } from './broadcaster.ts'
import type { Cut, CutDigest, MemberId } from './configuration.ts'
import type { ConsensusMessage } from './consensus-messages.ts'
import { PROPOSALS_MAX } from './consensus-validation.ts'
import { EnsembleBroadcaster } from './ensemble-broadcaster.ts'
import { REPORTS_MAX } from './message-validation.ts'
import type { Alerts, ConsensusEnvelope } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import { type Entry, ReportBook, type Report, reportOf } from './reports.ts'
import type { View } from './view.ts'

/** Messages and bitmaps remembered in one configuration, of each sort. Beyond it nothing new is passed on; repetition at the origin remains. */
const SEEN_MAX = 65_536

/** The first news go out fast; where news keep coming, windows double up to this many times the first. */
const WINDOW_FACTOR_MAX = 4

/** A bitmap that grows as news of votes, or of acceptances in one ballot, come in. */
interface Ledger {
  readonly digest: CutDigest
  /** Undefined for fast votes. */
  readonly ballot: Ballot | undefined
  readonly bitmap: Bitmap
  cut: Cut | undefined
  /** Whether the bytes of the cut have been passed on; those who lack them later ask for them. */
  cutTold: boolean
}

export class GossipBroadcaster implements Broadcaster {
  readonly #view: View
  readonly #windowMs: number
  readonly #send: SendToMembers
  readonly #neighbours: readonly MemberId[]
  readonly #reports: ReportBook
  /** Bits to pass on in the next window. Invariant: each is a bit of its entry's mask. */
  #news = new Map<Entry, number>()
  /** Joiners whose record the neighbours were sent. */
  readonly #recordsTold = new Set<Entry>()
  readonly #ledgers = new Map<string, Ledger>()
  /** Bitmaps that grew since the last window. */
  readonly #grown = new Set<Ledger>()
  /** Messages that are passed on as they are. Invariant: size <= SEEN_MAX. */
  readonly #seen = new Set<string>()
  #flushAtMs = Infinity
  /** Flushes so far, since the first alert and again since the first vote. */
  #flushes = 0
  #voting = false

  /** @param neighbours whom this process tells what it learns. @default its subjects, for everybody to be told */
  constructor (view: View, windowMs: number, send: SendToMembers, neighbours: readonly MemberId[] = view.subjects) {
    this.#view = view
    this.#windowMs = windowMs
    this.#send = send
    this.#neighbours = neighbours
    this.#reports = new ReportBook(view.overlay)
  }

  originate (now: number, message: BroadcastMessage): void {
    if (message.kind === 'alerts') {
      // The origin repeats itself since there is no decision: by now all that is known, records included, may be what somebody lacks.
      if (!this.#add(now, message.reports)) this.#sendAlerts(Array.from(this.#reports.entries(), entry => reportOf(entry, entry.mask, true)))
    } else if (!this.#merge(now, message, true)) {
      if (this.#seen.size < SEEN_MAX) this.#seen.add(JSON.stringify([message.sender.id, message.message]))
      this.#send(this.#neighbours, message)
    }
  }

  relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void {
    if (message.kind === 'alerts') {
      this.#add(now, message.reports)
    } else if (isBroadcast(message) && !this.#merge(now, message, false)) {
      const key = JSON.stringify([message.sender.id, message.message])
      if (this.#seen.has(key) || this.#seen.size >= SEEN_MAX) return
      this.#seen.add(key)
      this.#send(this.#neighbours.filter(id => id !== via && id !== message.sender.id), message)
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
    this.#flushReports()
    this.#flushLedgers()
  }

  /** Returns whether anything was new. */
  #add (now: number, reports: readonly Report[]): boolean {
    let any = false
    for (const report of reports) {
      const added = this.#reports.add(report)
      if (added === undefined) continue
      any = true
      this.#news.set(added.entry, ((this.#news.get(added.entry) ?? 0) | added.fresh) >>> 0)
    }
    if (any) this.#schedule(now)
    return any
  }

  #flushReports (): void {
    if (this.#news.size === 0) return
    const reports = Array.from(this.#news, ([entry, bits]) => reportOf(entry, bits, !this.#recordsTold.has(entry)))
    for (const entry of this.#news.keys()) if (entry.joiner !== undefined) this.#recordsTold.add(entry)
    this.#news = new Map()
    this.#sendAlerts(reports)
  }

  #sendAlerts (reports: readonly Report[]): void {
    const { sender, position } = this.#view
    for (let start = 0; start < reports.length; start += REPORTS_MAX) {
      const message: Alerts = { kind: 'alerts', sender, position, reports: reports.slice(start, start + REPORTS_MAX) }
      this.#send(this.#neighbours, message)
    }
  }

  /** Takes in votes and acceptances. Returns false for messages that cannot be merged. */
  #merge (now: number, { message }: ConsensusEnvelope, own: boolean): boolean {
    if (message.kind === 'votes') {
      for (const { digest, cut, bitmap } of message.proposals) {
        this.#grow(now, own, `votes ${digest}`, { digest, cut, bitmap, ballot: undefined })
      }
      return true
    }
    if (message.kind === 'accepted') {
      const { digest, bitmap, ballot } = message
      this.#grow(now, own, `accepted ${ballot.round} ${ballot.member} ${digest}`, { digest, bitmap, ballot, cut: undefined })
      return true
    }
    return false
  }

  #grow (now: number, own: boolean, key: string, part: Pick<Ledger, 'digest' | 'ballot' | 'bitmap'> & { cut: Cut | undefined }): void {
    if (!isBitmapOf(part.bitmap, this.#view.electorate.size)) return
    let ledger = this.#ledgers.get(key)
    if (ledger === undefined) {
      if (this.#ledgers.size >= SEEN_MAX) return
      const { digest, ballot } = part
      ledger = { digest, ballot, bitmap: createBitmap(this.#view.electorate.size), cut: undefined, cutTold: false }
      this.#ledgers.set(key, ledger)
    }
    ledger.cut ??= part.cut
    const grew = mergeBits(ledger.bitmap, part.bitmap)
    // What this process says is passed on even if it is nothing new: it repeats itself because somebody may lack it.
    if (!grew && !own) return
    if (!this.#voting) {
      // A new phase begins with short windows again.
      this.#voting = true
      this.#flushes = 0
    }
    this.#grown.add(ledger)
    this.#schedule(now)
  }

  #flushLedgers (): void {
    if (this.#grown.size === 0) return
    const { configurationId, epoch } = this.#view.position
    const grown = [...this.#grown]
    this.#grown.clear()
    const votes = grown.filter(({ ballot }) => ballot === undefined)
    if (votes.length > 0) {
      const proposals = votes.map(({ digest, cut, cutTold, bitmap }) => {
        return { digest, bitmap: bitmap.slice(), ...cut === undefined || cutTold ? {} : { cut } }
      })
      for (let start = 0; start < proposals.length; start += PROPOSALS_MAX) {
        this.#sendConsensus({ kind: 'votes', configurationId, epoch, proposals: proposals.slice(start, start + PROPOSALS_MAX) })
      }
    }
    for (const ledger of votes) ledger.cutTold = ledger.cut !== undefined
    for (const { ballot, digest, bitmap } of grown) {
      if (ballot !== undefined) this.#sendConsensus({ kind: 'accepted', configurationId, epoch, ballot, digest, bitmap: bitmap.slice() })
    }
  }

  #sendConsensus (message: ConsensusMessage): void {
    const { sender, position } = this.#view
    this.#send(this.#neighbours, { kind: 'consensus', sender, position, message })
  }

  #schedule (now: number): void {
    if (this.#flushAtMs === Infinity) this.#flushAtMs = now + this.#windowMs * Math.min(2 ** this.#flushes, WINDOW_FACTOR_MAX)
  }
}

/** The rest is between two members. */
function isBroadcast ({ message }: ConsensusEnvelope): boolean {
  return message.kind === 'votes' || message.kind === 'accepted' || message.kind === 'prepare'
}

/** The default: gossip, or unicast where everyone observes everyone; to the voters alone where only some members vote. */
export const gossip: BroadcasterFactory = (view: View, tuning: MembershipTuning, send) => {
  if (view.electorate.isPartial) {
    return new EnsembleBroadcaster(view, tuning, send, neighbours => new GossipBroadcaster(view, tuning.gossipWindowMs, send, neighbours))
  }
  return view.size <= tuning.unicastMembersMax
    ? new UnicastBroadcaster(view, send)
    : new GossipBroadcaster(view, tuning.gossipWindowMs, send)
}
