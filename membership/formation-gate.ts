/**
 * The formation gate: a founder that is alone holds joiners until those it expects are present, and admits all in one cut.
 *
 * Rule M8; not in the paper, whose clusters grow by waves. Hence a cluster forms in exactly two configurations: the founder's own and
 * everybody's. A member that is alone decides alone, so every joiner is probed again just before the vote (rule M6): one
 * that died meanwhile would otherwise wedge a cluster of two. Answers stay good for the whole round: where messages get lost, only those
 * whose answer is missing are asked again, or of many joiners one would be missing each time.
 *
 * Pure: the time is an argument.
 */
import type { Address } from './environment/environment.ts'
import type { Member, MemberId, StoreId } from './configuration.ts'
import type { ProbeReply } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'

/** Joiners that a founder holds at a time. */
export const HELD_MAX = 65_536
/** Probes of one joiner within the probe timeout. */
const PROBES_PER_TIMEOUT = 4
/**
 * How many probe timeouts a round takes at most: an answer is no older when the vote is cast. Of sixteen probes with three in ten
 * messages lost one is answered but for one time in 50,000; twice as many would wait twice as long for one that died.
 */
const ROUND_TIMEOUTS_MAX = 4

interface Held {
  readonly joiner: Member
  /** The last round of probes that it was part of; one that came later waits for the next round. */
  round: number
  answered: boolean
}

export interface GateHost {
  probe (joiner: Member, sequence: number): void
  /** Decide on the joiners, who all answered a moment ago. False when none of them can enter. */
  admit (joiners: readonly Member[]): boolean
}

export class FormationGate {
  readonly #tuning: MembershipTuning
  readonly #host: GateHost
  /** Members expected besides this one, or undefined to admit whoever comes. */
  readonly #expected: number | undefined
  readonly #deadlineMs: number
  /** Newest per address and store id. Invariant: size <= HELD_MAX. */
  readonly #held = new Map<MemberId, Held>()
  readonly #byAddress = new Map<Address, MemberId>()
  readonly #byStore = new Map<StoreId, MemberId>()
  #firstHeldMs: number | undefined
  #round = 0
  /** Of this round, those that have answered, and those that have not. */
  #answered = 0
  #missing = 0
  /** When this round began; undefined between rounds. */
  #begunMs: number | undefined
  #nextProbeMs = Infinity
  /** The vote is cast: what follows is the next configuration, and there this gate is no more. */
  #voted = false

  constructor (expected: number | undefined, deadlineMs: number, tuning: MembershipTuning, host: GateHost) {
    this.#expected = expected
    this.#deadlineMs = deadlineMs
    this.#tuning = tuning
    this.#host = host
  }

  /** The next configuration, too, holds this member alone: it updated its metadata (rule M13). The gate goes on with whom it holds. */
  stay (): void {
    this.#voted = false
  }

  get size (): number {
    return this.#held.size
  }

  /** Joiners that the gate waits for; 0 when any number will do. */
  get expected (): number {
    return this.#expected ?? 0
  }

  /** Returns false when there is no room. Holding a joiner again changes nothing. */
  hold (now: number, joiner: Member): boolean {
    if (this.#held.has(joiner.id)) return true
    if (this.#held.size >= HELD_MAX) return false
    for (const rival of [this.#byAddress.get(joiner.address), this.#byStore.get(joiner.storeId)]) {
      if (rival !== undefined) this.#release(rival)
    }
    this.#held.set(joiner.id, { joiner, round: 0, answered: false })
    this.#byAddress.set(joiner.address, joiner.id)
    this.#byStore.set(joiner.storeId, joiner.id)
    this.#firstHeldMs ??= now
    this.advance(now)
    return true
  }

  replied (now: number, reply: ProbeReply): void {
    const held = this.#held.get(reply.to)
    if (held === undefined || this.#begunMs === undefined || reply.sequence !== this.#round || held.answered) return
    if (reply.member.id === reply.to) {
      held.answered = true
      this.#answered++
      this.#missing--
    } else {
      this.#release(reply.to)
    }
    if (now >= this.#concludesAtMs) this.#conclude(now)
  }

  advance (now: number): void {
    if (this.#begunMs === undefined) {
      if (now >= this.#opensAtMs(now)) this.#beginRound(now)
    } else if (now >= this.#concludesAtMs) {
      this.#conclude(now)
    } else if (now >= this.#nextProbeMs) {
      this.#probe(now)
    }
  }

  get nextAtMs (): number {
    return this.#begunMs === undefined ? this.#opensAtMs(-Infinity) : Math.min(this.#concludesAtMs, this.#nextProbeMs)
  }

  /** At once when all have answered, after a probe timeout when enough have, and in the end without those that have not. */
  get #concludesAtMs (): number {
    if (this.#begunMs === undefined) return Infinity
    if (this.#missing === 0) return -Infinity
    const timeouts = this.#answered >= (this.#expected ?? 1) ? 1 : ROUND_TIMEOUTS_MAX
    return this.#begunMs + timeouts * this.#tuning.probeTimeoutMs
  }

  #opensAtMs (now: number): number {
    if (this.#voted || this.#held.size === 0) return Infinity
    if (this.#expected === undefined) return this.#firstHeldMs! + this.#tuning.batchWindowMs
    return this.#held.size >= this.#expected ? now : this.#deadlineMs
  }

  #beginRound (now: number): void {
    this.#round++
    this.#answered = 0
    this.#missing = this.#held.size
    this.#begunMs = now
    for (const held of this.#held.values()) {
      held.answered = false
      held.round = this.#round
    }
    this.#probe(now)
  }

  /** Probes are repeated within a round: a few lost messages are no reason to let a joiner go. */
  #probe (now: number): void {
    this.#nextProbeMs = now + this.#tuning.probeTimeoutMs / PROBES_PER_TIMEOUT
    for (const held of this.#held.values()) {
      if (held.round === this.#round && !held.answered) this.#host.probe(held.joiner, this.#round)
    }
  }

  /** Admits those who answered, or lets go of those who did not and waits on. */
  #conclude (now: number): void {
    this.#begunMs = undefined
    const present: Member[] = []
    for (const [id, held] of this.#held) {
      if (held.round !== this.#round) continue
      if (held.answered) present.push(held.joiner)
      else this.#release(id)
    }
    const complete = this.#expected === undefined || present.length >= this.#expected || now >= this.#deadlineMs
    if (complete && present.length > 0) this.#voted = this.#host.admit(present)
    this.#firstHeldMs = this.#held.size > 0 ? now : undefined
  }

  #release (id: MemberId): void {
    const held = this.#held.get(id)
    if (held === undefined) return
    this.#held.delete(id)
    if (this.#byAddress.get(held.joiner.address) === id) this.#byAddress.delete(held.joiner.address)
    if (this.#byStore.get(held.joiner.storeId) === id) this.#byStore.delete(held.joiner.storeId)
    if (this.#begunMs === undefined || held.round !== this.#round) return
    if (held.answered) this.#answered--
    else this.#missing--
  }
}
