/**
 * The electorate of a configuration: who votes there, in the order that bitmaps, ballots and ranks count them by, and its quorums.
 *
 * Rapid (Suresh et al., ATC '18), section 4.3, and section 5 for the logically centralized mode, in which only some of the members vote (rule M13).
 *
 * Pure. Computed once per configuration, for all members that share a process.
 */
import { bitIndexes, type Bitmap } from './bitmap.ts'
import { isVoter, memberIndex, type Configuration, type Member, type MemberId } from './configuration.ts'
import { classicQuorum, fastQuorum } from './quorum.ts'

const electorates = new WeakMap<Configuration, Electorate>()

export class Electorate {
  /** Sorted by member id; a voter's index here is its bit in the bitmaps of consensus. */
  readonly voters: readonly Member[]
  /** Whether some members do not vote: the logically centralized mode. */
  readonly isPartial: boolean

  private constructor ({ members }: Configuration) {
    this.isPartial = !members.every(isVoter)
    this.voters = this.isPartial ? members.filter(isVoter) : members
  }

  static of (configuration: Configuration): Electorate {
    let electorate = electorates.get(configuration)
    if (electorate === undefined) {
      electorate = new Electorate(configuration)
      electorates.set(configuration, electorate)
    }
    return electorate
  }

  get size (): number {
    return this.voters.length
  }

  /** f: so many equal fast votes decide. */
  get fastQuorum (): number {
    return fastQuorum(this.size)
  }

  /** c: so many acceptances in one ballot decide. */
  get classicQuorum (): number {
    return classicQuorum(this.size)
  }

  /** The index of a voter, or -1. */
  indexOf (id: MemberId): number {
    return memberIndex({ members: this.voters }, id)
  }

  /** Whether a majority of the voters is among these members. */
  isMajority (members: ReadonlySet<MemberId>): boolean {
    return this.voters.filter(({ id }) => members.has(id)).length >= this.classicQuorum
  }

  idsOf (bitmap: Bitmap): MemberId[] {
    return bitIndexes(bitmap).map(index => this.voters[index]!.id)
  }
}
