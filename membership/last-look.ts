/**
 * Last look: a voter that decides alone asks those who are to vote from then on once more whether they are there, just before it votes.
 *
 * Rules M6 and M13; the paper has no such rule. The only voter of many agents decides on its own word, as a member does that is alone
 * (`formation-gate.ts`). Were the voter that it lets in dead, the two of them could decide nothing any more. Agents need no such care: where
 * one is dead, it is removed. Who does not answer is left out of the cut, and asked again as long as nothing else is decided.
 *
 * Pure: the time is an argument.
 */
import { isVoter, normalizeCut, type Cut, type Member, type MemberId } from './configuration.ts'
import type { ProbeReply } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'

/** How often a joiner that does not answer is probed before the vote goes on without it. */
const PROBES_PER_ROUND = 4

export class LastLook {
  readonly #tuning: MembershipTuning
  readonly #probe: (joiner: Member, sequence: number) => void
  /** Who is asked in this round; those that answered are in `#present`. */
  #asked: ReadonlyMap<MemberId, Member> = new Map()
  #present = new Set<MemberId>()
  /** Names the round in probes and answers. */
  #round = 0
  #endMs = Infinity
  #nextProbeMs = Infinity
  /** Before this no round begins: the last one brought nothing. */
  #pausedUntilMs = -Infinity

  constructor (tuning: MembershipTuning, probe: (joiner: Member, sequence: number) => void) {
    this.#tuning = tuning
    this.#probe = probe
  }

  /** Begins a configuration. */
  enter (): void {
    this.#end()
    this.#pausedUntilMs = -Infinity
  }

  /** What of a stable cut this voter may vote for now; undefined while it has to wait. */
  take (now: number, cut: Cut): Cut | undefined {
    const newcomers = cut.joins.filter(isVoter)
    if (newcomers.length === 0) return cut
    if (this.#endMs === Infinity) {
      if (now >= this.#pausedUntilMs) this.#begin(now, newcomers)
      return undefined
    }
    if (this.#present.size < this.#asked.size && now < this.#endMs) {
      if (now >= this.#nextProbeMs) this.#ask(now)
      return undefined
    }
    const present = this.#present
    this.#end()
    const sure = normalizeCut(cut.joins.filter(joiner => !isVoter(joiner) || present.has(joiner.id)), cut.removals, cut.updates)
    if (sure.joins.length + sure.removals.length + sure.updates.length > 0) return sure
    this.#pausedUntilMs = now + this.#tuning.probeIntervalMs
    return undefined
  }

  /** True when that was news. */
  replied (reply: ProbeReply): boolean {
    if (this.#endMs === Infinity || reply.sequence !== this.#round || reply.member.id !== reply.to) return false
    if (!this.#asked.has(reply.to) || this.#present.has(reply.to)) return false
    this.#present.add(reply.to)
    return true
  }

  /** When `take` has something to do although nothing happens; undefined while it waits for no answer and no pause. */
  nextAtMs (now: number): number | undefined {
    if (this.#endMs !== Infinity) return Math.min(this.#endMs, this.#nextProbeMs)
    return now < this.#pausedUntilMs ? this.#pausedUntilMs : undefined
  }

  #begin (now: number, newcomers: readonly Member[]): void {
    this.#round++
    this.#asked = new Map(newcomers.map(joiner => [joiner.id, joiner]))
    this.#present = new Set()
    this.#endMs = now + this.#tuning.probeTimeoutMs
    this.#ask(now)
  }

  /** Probes are repeated within a round: one lost message is no reason to leave a joiner out. */
  #ask (now: number): void {
    this.#nextProbeMs = now + this.#tuning.probeTimeoutMs / PROBES_PER_ROUND
    for (const [id, joiner] of this.#asked) if (!this.#present.has(id)) this.#probe(joiner, this.#round)
  }

  #end (): void {
    this.#asked = new Map()
    this.#present = new Set()
    this.#endMs = Infinity
    this.#nextProbeMs = Infinity
  }
}
