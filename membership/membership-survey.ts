/**
 * The survey: whether a majority of the members is within reach, where all of them vote.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1, leaves a member to its subjects. A member observes only some K others; before it says that a
 * majority is out of reach it probes a sample of the others too, and takes the sample for the whole. Up to K + 1 members it observes
 * everybody, and the judgement is exact. Where only some members vote (rule M13) it is their majority that counts: see `ensemble-watch.ts`.
 *
 * Pure: the time is an argument.
 */
import type { Member, MemberId } from './configuration.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

/** Members besides the subjects that are probed per interval while isolation is being judged: a sample, not a storm. */
const SURVEY_MAX = 5
/** Members in the sample; older answers make way for newer ones. */
const SURVEYED_MAX = 4 * SURVEY_MAX

export class MembershipSurvey {
  readonly #tuning: MembershipTuning
  readonly #ask: (member: Member) => void
  #view!: View
  /** Whom this member observes: their detectors speak for them. */
  #subjects: ReadonlySet<MemberId> = new Set()
  /** Since when half of the subjects or more have been failing. */
  #doubtfulSinceMs: number | undefined
  #nextSurveyMs = 0
  #cursor = 0
  /**
   * When each member of the sample was last probed, and whether it was heard of since. Invariant: empty while nothing is doubtful, and
   * size <= SURVEYED_MAX: what this process remembers of members besides its subjects does not grow with the cluster.
   */
  readonly #surveyed = new Map<MemberId, { readonly askedMs: number, heard: boolean }>()
  #isolated = false

  /** @param ask whether that member is there; any message of it is an answer */
  constructor (tuning: MembershipTuning, ask: (member: Member) => void) {
    this.#tuning = tuning
    this.#ask = ask
  }

  /** True while a majority, this member included, is out of its reach. */
  get isolated (): boolean {
    return this.#isolated
  }

  enter (view: View): void {
    this.#view = view
    this.#subjects = new Set(view.subjects)
    this.#doubtfulSinceMs = undefined
    this.#surveyed.clear()
  }

  /** Any valid message of a member of this configuration. */
  heard (id: MemberId): void {
    const asked = this.#surveyed.get(id)
    if (asked !== undefined) asked.heard = true
  }

  /** @param failing the subjects that the latest evidence speaks against */
  advance (now: number, failing: number): void {
    if (failing * 2 < Math.max(1, this.#subjects.size)) {
      this.#doubtfulSinceMs = undefined
      this.#surveyed.clear()
      this.#isolated = false
      return
    }
    if (this.#doubtfulSinceMs === undefined) {
      this.#doubtfulSinceMs = now
      this.#nextSurveyMs = now
    }
    if (now >= this.#nextSurveyMs) {
      this.#nextSurveyMs = now + this.#tuning.probeIntervalMs
      this.#askSome(now)
    }
    if (this.#reachable(now, failing) >= this.#view.majority) this.#isolated = false
    else if (now - this.#doubtfulSinceMs >= this.#tuning.isolationTimeoutMs) this.#isolated = true
  }

  get nextAtMs (): number {
    return this.#doubtfulSinceMs === undefined ? Infinity : this.#nextSurveyMs
  }

  /** How many members, this one included, seem to be within reach. */
  #reachable (now: number, failing: number): number {
    let sampled = this.#subjects.size
    let reached = sampled - failing
    for (const { askedMs, heard } of this.#surveyed.values()) {
      if (heard) reached++
      else if (now - askedMs < this.#tuning.probeTimeoutMs) continue
      sampled++
    }
    return sampled === 0 ? 1 : 1 + Math.round((this.#view.size - 1) * reached / sampled)
  }

  /** Asks a few members that it does not observe, round and round. */
  #askSome (now: number): void {
    const { members } = this.#view.configuration
    let left = SURVEY_MAX
    for (let i = 0; i < members.length && left > 0; i++) {
      this.#cursor = (this.#cursor + 1) % members.length
      const member = members[this.#cursor]!
      if (member.id === this.#view.self.id || this.#subjects.has(member.id)) continue
      left--
      this.#surveyed.delete(member.id)
      this.#surveyed.set(member.id, { askedMs: now, heard: false })
      if (this.#surveyed.size > SURVEYED_MAX) this.#surveyed.delete(this.#surveyed.keys().next().value!)
      this.#ask(member)
    }
  }
}
