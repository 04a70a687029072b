/**
 * How much may fail in a random life of voters and agents, so that in the end agreement is owed.
 *
 * A configuration can be left only by a majority of its voters: those that live, and, where there are disks, those whose disks came back. Which
 * configuration that will be is not known while one is being decided, so all are counted that may follow: what is on any disk of the voters may
 * have been chosen, or may be chosen when they return. What is on no disk may still be in the memory of a voter that runs. It may hold
 * verdicts against voters that have only been slow, and for voters-to-be that are gone since: a cut that removes such a voter, and leaves one in
 * that crashed a moment ago, leaves fewer that can decide than both failures alone would. So a voter that was paused or cut off counts as gone for
 * a while, just as the one that crashed does, wherever it may be removed at the wrong moment.
 *
 * Owns: the memory of who was disturbed until when.
 */
import { isVoter, type Configuration, type Cut, type Member, type Role } from '../../membership/configuration.ts'
import { classicQuorum } from '../../membership/quorum.ts'
import type { MembershipCluster } from './membership-harness.ts'

/** What the life around it knows. */
export interface ToleranceHost {
  /** The role in which a store runs, or will start next. */
  roleAt (address: string): Role
  /** Whether it will be gone without having crashed. */
  isLeaving (address: string): boolean
  /** Every store there ever was. */
  readonly addresses: readonly string[]
}

export class Tolerance {
  readonly #cluster: MembershipCluster
  readonly #host: ToleranceHost
  /** The time until which verdicts against a process that was slow or cut off may have consequences. */
  readonly #disturbed = new Map<string, number>()

  constructor (cluster: MembershipCluster, host: ToleranceHost) {
    this.#cluster = cluster
    this.#host = host
  }

  /** @param untilMs a time of the simulation, or Infinity: until it is given another one */
  disturb (addresses: readonly string[], untilMs: number): void {
    for (const address of addresses) this.#disturbed.set(address, Math.max(untilMs, this.#disturbed.get(address) ?? 0))
  }

  /** Those disturbed without an end are left alone from now on. */
  leaveAlone (untilMs: number): void {
    for (const [address, endMs] of this.#disturbed) if (endMs === Infinity) this.#disturbed.set(address, untilMs)
  }

  /**
   * Where there are no disks: whether a process may crash, or leave. Nor while anything is under way that makes more or fewer of the voters:
   * all are where the last decision was.
   */
  mayFail (address: string): boolean {
    const top = this.#top
    if (top === undefined) return false
    const settled = this.#cluster.live.every(({ membership }) => membership.status === 'member' && membership.configuration.epoch === top.epoch)
    return settled && this.#endures(votersOf(top), [address], [])
  }

  /** Where there are no disks: whether processes may be slow, or cut off, for a while. */
  mayDisturb (addresses: readonly string[]): boolean {
    const top = this.#top
    return top !== undefined && this.#endures(votersOf(top), [], addresses)
  }

  /** Where there are disks: whether a store may start in the other role. One of those that vote is left, whatever is decided. */
  mayChangeRole (address: string): boolean {
    const votes = ({ address: at }: Member): boolean => at !== address && this.#host.roleAt(at) === 'voter'
    return this.#host.roleAt(address) === 'agent' || this.#possible().every(voters => voters.some(votes))
  }

  /** Whether the processes at these addresses, which are down, may stay so for ever, while all others start again. */
  mayStayAway (away: ReadonlySet<string>): boolean {
    return this.#possible().every(voters => {
      const present = voters.filter(voter => !away.has(voter.address))
      if (present.length < classicQuorum(voters.length)) return false
      if (!present.some(voter => this.#host.roleAt(voter.address) === 'voter')) return false
      // Where no voter runs, nothing is in anybody's memory.
      return !voters.some(voter => this.#runs(voter)) || this.#endures(voters, [...away], [])
    })
  }

  get #top (): Configuration | undefined {
    return this.#cluster.history.get(this.#cluster.epoch)?.configuration
  }

  /** Whether the process that is this member lives, and knows that it is one. */
  #runs ({ id, address }: Member): boolean {
    const process = this.#cluster.processes.get(address)
    return process !== undefined && process.changes.length > 0 && process.membership.self.id === id
  }

  #isDisturbed (address: string): boolean {
    return (this.#disturbed.get(address) ?? 0) > this.#cluster.simulation.nowMs
  }

  /** Whether those that are left decide on, whoever of the slow ones is removed first. Voters-to-be that are gone count as let in. */
  #endures (voters: readonly Member[], failing: readonly string[], slowing: readonly string[]): boolean {
    const fails = (address: string): boolean => failing.includes(address) || this.#host.isLeaving(address)
    const alive = voters.filter(voter => this.#runs(voter) && !fails(voter.address))
    const steady = alive.filter(({ address }) => !slowing.includes(address) && !this.#isDisturbed(address))
    const members = new Set(voters.map(({ address }) => address))
    const entering = this.#host.addresses.filter(address => !members.has(address) && failing.includes(address) && this.#host.roleAt(address) === 'voter')
    const gone = voters.length - alive.length + entering.length
    return alive.length >= classicQuorum(voters.length) && (gone === 0 || steady.length > gone)
  }

  /** The voters of each configuration in which a process may find itself that starts now. */
  #possible (): Member[][] {
    const { history, epoch } = this.#cluster
    const known = [epoch - 1, epoch].flatMap(each => history.get(each)?.configuration ?? [])
    const next = known.slice(-1).flatMap(top => this.#cluster.cutsOnDisks(top).map(cut => votersAfter(top, cut)))
    return [...known.map(votersOf), ...next]
  }
}

const votersOf = ({ members }: Configuration): Member[] => members.filter(isVoter)

function votersAfter (configuration: Configuration, { joins, removals }: Cut): Member[] {
  return [...votersOf(configuration).filter(({ id }) => !removals.includes(id)), ...joins.filter(isVoter)]
}
