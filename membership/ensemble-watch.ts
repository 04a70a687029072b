/**
 * The watch on the ensemble: whether a majority of the voters is within reach, where only some members vote.
 *
 * Rule M13. What a member sees of its own subjects says little about the voters, of whom it may observe none. So each member asks so many of
 * the voters whether they are there that one would be silent if a majority were gone, others each time: a voter once per probe
 * interval, an agent once per `quietTimeoutMs`. Where one is silent, or half of the own subjects fail, it asks all of them, and again
 * until a majority answers. Silence removes nobody: that is for the voter's observers.
 *
 * Pure: the time is an argument.
 */
import type { Member, MemberId } from './configuration.ts'
import { hash32, hashFraction } from './hash.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

/** Voters that are asked at a time. Larger ensembles are asked in turns. */
const SURVEY_MAX = 11

interface Voter {
  readonly member: Member
  /** When the oldest question was asked that is not answered. */
  askedMs: number | undefined
  silent: boolean
  /** Since when it has been heard of while half of the own subjects or more fail; Infinity where it has not, or fell silent. */
  heardSinceMs: number
}

export class EnsembleWatch {
  readonly #tuning: MembershipTuning
  readonly #ask: (voter: Member) => void
  #view!: View
  /** The other voters. */
  #voters = new Map<MemberId, Voter>()
  #order: readonly Voter[] = []
  #cursor = 0
  #nextCheckMs = Infinity
  #nextSurveyMs = -Infinity
  /** Somebody fell silent since the last survey. */
  #alarmed = false
  /** Half of the own subjects or more fail. */
  #isDoubtful = false
  #vouches = false
  /** Since when fewer than a majority are within reach. */
  #shortSinceMs: number | undefined
  #isolated = false

  constructor (tuning: MembershipTuning, ask: (voter: Member) => void) {
    this.#tuning = tuning
    this.#ask = ask
  }

  get isolated (): boolean {
    return this.#isolated
  }

  enter (now: number, view: View): void {
    const known = this.#voters
    this.#view = view
    const others = view.electorate.voters.filter(({ id }) => id !== view.self.id)
    const unheard = { askedMs: undefined, silent: false, heardSinceMs: Infinity }
    this.#voters = new Map(others.map(member => [member.id, known.get(member.id) ?? { member, ...unheard }]))
    this.#order = [...this.#voters.values()]
    this.#cursor = hash32(view.self.id, 6n)
    this.#nextCheckMs = others.length === 0 ? Infinity : now + this.#pauseMs * hashFraction(`${view.self.id} ${view.epoch}`, 6n)
  }

  /**
   * True while half of the own subjects or more fail, and a majority of those who vote has been heard of since, long enough ago that the
   * subjects would have answered, too, had this member been cut off: the fault is theirs then. Else few would ever accuse many, as each of
   * them would doubt itself (rule M10).
   */
  get vouches (): boolean {
    return this.#vouches
  }

  /** Any message of a member. */
  heard (now: number, id: MemberId): void {
    const voter = this.#voters.get(id)
    if (voter === undefined) return
    voter.askedMs = undefined
    voter.silent = false
    if (this.#isDoubtful) voter.heardSinceMs = Math.min(voter.heardSinceMs, now)
  }

  /** @param isDoubtful whether half of the own subjects or more fail. */
  advance (now: number, isDoubtful: boolean): void {
    this.#isDoubtful = isDoubtful
    if (!isDoubtful) for (const voter of this.#order) voter.heardSinceMs = Infinity
    for (const voter of this.#order) {
      if (voter.askedMs === undefined || now < voter.askedMs + this.#tuning.probeTimeoutMs) continue
      if (!voter.silent) this.#alarmed = true
      voter.silent = true
      voter.heardSinceMs = Infinity
      voter.askedMs = undefined
    }
    const { probeIntervalMs, probeTimeoutMs } = this.#tuning
    const vouching = this.#order.filter(({ heardSinceMs }) => now >= heardSinceMs + probeIntervalMs + probeTimeoutMs)
    this.#vouches = isDoubtful && vouching.length + (this.#view.votes ? 1 : 0) >= this.#view.majority
    this.#judge(now)
    if (this.#wantsSurvey) {
      if (now < this.#nextSurveyMs) return
      this.#alarmed = false
      this.#nextSurveyMs = now + this.#tuning.probeIntervalMs
      this.#askNext(now, this.#order.length)
    } else if (now >= this.#nextCheckMs) {
      this.#nextCheckMs = now + this.#pauseMs
      this.#askNext(now, this.#view.majority)
    }
  }

  get nextAtMs (): number {
    const { isolationTimeoutMs, probeTimeoutMs } = this.#tuning
    let next = this.#wantsSurvey ? this.#nextSurveyMs : this.#nextCheckMs
    for (const { askedMs } of this.#order) if (askedMs !== undefined) next = Math.min(next, askedMs + probeTimeoutMs)
    if (this.#shortSinceMs !== undefined && !this.#isolated) next = Math.min(next, this.#shortSinceMs + isolationTimeoutMs)
    return next
  }

  #judge (now: number): void {
    const reached = this.#order.filter(({ silent }) => !silent).length + (this.#view.votes ? 1 : 0)
    if (reached >= this.#view.majority) {
      this.#shortSinceMs = undefined
      this.#isolated = false
      return
    }
    this.#shortSinceMs ??= now
    if (now >= this.#shortSinceMs + this.#tuning.isolationTimeoutMs) this.#isolated = true
  }

  get #wantsSurvey (): boolean {
    return this.#order.length > 0 && (this.#alarmed || this.#isDoubtful || this.#shortSinceMs !== undefined)
  }

  get #pauseMs (): number {
    return this.#view.votes ? this.#tuning.probeIntervalMs : this.#tuning.quietTimeoutMs
  }

  #askNext (now: number, count: number): void {
    for (let i = 0; i < Math.min(count, this.#order.length, SURVEY_MAX); i++) {
      const voter = this.#order[this.#cursor++ % this.#order.length]!
      voter.askedMs ??= now
      this.#ask(voter.member)
    }
  }
}
