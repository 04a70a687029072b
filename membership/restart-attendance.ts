/**
 * Attendance: who of a cluster that lost its majority is there again, and when those that came back from their disks may decide (rule M4).
 *
 * They may once the living voters alone are no quorum and together with the returned they are one, and all members are there or a deadline has
 * passed. Who has not answered for a few turns does not count. See restart.ts.
 *
 * Pure: the time is an argument.
 */
import { cutDigest, isVoter, type Configuration, type Cut, type CutDigest, type Member, type MemberId } from './configuration.ts'
import { Electorate } from './electorate.ts'
import type { Roster } from './roster.ts'
import type { MembershipTuning } from './tuning.ts'

/** Addresses asked at a time. Larger clusters are asked in turns. */
export const ASKED_MAX = 64
/** Who has not answered for this many turns is not there any more. */
const FRESH_TURNS = 4

/** What to decide on, and those who are not there to do so. */
export interface Due { readonly cut: Cut, readonly absent: ReadonlySet<MemberId> }

export class Attendance {
  readonly #self: Member
  readonly #tuning: MembershipTuning
  /** Invariant: the roster and the former id are of this configuration. */
  #configuration!: Configuration
  #former!: MemberId
  #roster!: Roster
  /** Since when enough are there, while the living alone are not enough. */
  #enoughSinceMs: number | undefined
  /** The cut for which ballots were begun. */
  #offered: CutDigest | undefined

  constructor (self: Member, tuning: MembershipTuning) {
    this.#self = self
    this.#tuning = tuning
  }

  /** @param former the member that this process was */
  enter (configuration: Configuration, former: MemberId, roster: Roster): void {
    this.#configuration = configuration
    this.#former = former
    this.#roster = roster
    this.#enoughSinceMs = undefined
    this.#offered = undefined
  }

  get nextAtMs (): number {
    const waits = this.#enoughSinceMs !== undefined && this.#offered === undefined
    return waits ? this.#enoughSinceMs! + this.#tuning.restartDeadlineMs : Infinity
  }

  /** Who is there: heard of within the last few turns. This process is one of those that came back. */
  present (now: number): { living: ReadonlySet<MemberId>, returned: ReadonlyMap<MemberId, Member> } {
    const turns = FRESH_TURNS * Math.max(1, Math.ceil(this.#configuration.members.length / ASKED_MAX))
    const sinceMs = now - turns * this.#tuning.joinRetryMaxMs
    const returned = new Map(this.#roster.returnedSince(sinceMs)).set(this.#former, this.#self)
    return { living: this.#roster.livingSince(sinceMs), returned }
  }

  /** How far it is, as a clause. */
  progress (now: number): string {
    const { classicQuorum, isPartial, size, voters } = Electorate.of(this.#configuration)
    const { living, returned } = this.present(now)
    const [alive, back] = [living, returned].map(present => voters.filter(({ id }) => present.has(id)).length)
    const lacks = alive! + back! >= classicQuorum && alive === 0 && ![...returned.values()].some(isVoter)
    return `of the ${size} ${isPartial ? 'voters' : 'members'} of epoch ${this.#configuration.epoch}, ${alive} are alive and ${back} came back ` +
      `from their disks; it takes ${classicQuorum}${lacks ? ', and at least one that votes from now on: all that came back are agents' : ''}`
  }

  /** The cut to begin ballots for, each once; undefined while that is not due. */
  judge (now: number): Due | undefined {
    const { members } = this.#configuration
    const { classicQuorum, voters } = Electorate.of(this.#configuration)
    const { living, returned } = this.present(now)
    const alive = voters.filter(({ id }) => living.has(id)).length
    const back = voters.filter(({ id }) => returned.has(id)).length
    if (alive >= classicQuorum || alive + back < classicQuorum) {
      this.#enoughSinceMs = undefined
      return undefined
    }
    this.#enoughSinceMs ??= now
    if (living.size + returned.size < members.length && now < this.#enoughSinceMs + this.#tuning.restartDeadlineMs) return undefined
    const cut = this.#roster.replacement(returned, id => !living.has(id))
    if (cut === undefined || cutDigest(cut) === this.#offered) return undefined
    this.#offered = cutDigest(cut)
    return { cut, absent: new Set(members.map(({ id }) => id).filter(id => !returned.has(id))) }
  }
}
