/**
 * From one generation to the next: by a stop sign, by force, or by a snapshot that is whole.
 *
 * Rule S5: a store takes up a generation only by a committed stop sign, and what is left beyond the commit point ends with the one before. Rule S12:
 * the configuration may decide by force with which copy a partition goes on.
 *
 * Pure: a part of the replica core.
 */
import type { Copy } from './copy.ts'
import type { StoreWrite } from './effects.ts'
import { carryOver, type Decree, forcedCopy, forcedGroup } from './forced.ts'
import { type Ballot, compareBallots, type Entry, type Group, inheritedBallot, NO_BALLOT } from './history.ts'
import type { Replica } from './replica.ts'

export class Generations {
  readonly #replica: Replica

  constructor (replica: Replica) {
    this.#replica = replica
  }

  /** Steps to a newer generation (rule S5), in which a ballot may be known already. */
  adopt (now: number, group: Group, seen: Ballot = NO_BALLOT): void {
    const replica = this.#replica
    const before = replica.group
    if (before !== undefined && group.generation <= before.generation) return
    const force = group.forced ?? 0
    if (force < (replica.view?.forced?.epoch ?? 0)) return
    const copy = replica.copy
    if (copy !== undefined && copy.commit > group.base) {
      replica.out.push({ kind: 'fault', message: `generation ${group.generation} is said to begin at ${group.base}, before entry ${copy.commit}, which is committed` })
      return
    }
    // What was coming in belongs to a history that has ended. The copy stays until it is replaced: see forced.ts.
    if (force > (before?.forced ?? 0)) replica.learner.forget()
    const writes: StoreWrite[] = []
    const stop = group.base - 1
    if (copy !== undefined && copy.commit < group.base) {
      // The copy holds all that the new generation begins from when its history has the very entry before the stop sign.
      const reaches = group.generation === (before?.generation ?? -1) + 1 && copy.last >= stop &&
        compareBallots(replica.ballotAt(stop) ?? NO_BALLOT, group.previous.ballot) === 0
      if (copy.commit >= stop || reaches) this.#endWith(copy, group, writes)
    }
    // What is left beyond the commit point belongs to a generation that has ended, and its ballots mean nothing in this one.
    if (copy !== undefined && copy.last > copy.commit) replica.truncate(copy, copy.commit + 1, writes)
    this.#enter(now, group, seen, writes)
  }

  /** Goes on with the partition as the configuration has decided by force, if it names this store; any other one stops here. */
  obeyDecree (now: number, decree: Decree): void {
    const replica = this.#replica
    replica.stepDown(now)
    replica.learner.forget()
    // What the log has counts as committed from now on, and may be read: it must be on the disk, as after a restart it would not count else.
    if (decree.store !== replica.self) return
    replica.disk.persist([], () => { if (replica.ended && replica.view!.forced!.epoch === decree.epoch) this.#goOn(now, decree) })
  }

  /** Goes on alone, with what this store has. */
  #goOn (now: number, decree: Decree): void {
    const replica = this.#replica
    const group = forcedGroup(decree)
    if (decree.empty) {
      if (replica.copy !== undefined) replica.disk.doom(replica.copy)
      const { copy, writes } = forcedCopy(replica.nextCopy++, group, replica.options)
      replica.copy = copy
      this.#enter(now, group, NO_BALLOT, writes)
    } else if (replica.copy !== undefined) {
      const { copy, writes } = carryOver(replica.copy, group, replica.options)
      replica.copy = copy
      this.#enter(now, group, NO_BALLOT, writes)
    } else replica.out.push({ kind: 'fault', message: `the partition was forced to go on with the copy of this store, which has none` })
  }

  /** Begins the generation of a group that this store has not been in before. */
  #enter (now: number, group: Group, seen: Ballot, writes: StoreWrite[]): void {
    const replica = this.#replica
    const leader = replica.leader
    replica.leader = undefined
    this.takeUp(group, seen)
    replica.deposed.clear()
    replica.leftover.keep()
    replica.election.heard()
    replica.seat.levelled()
    replica.disk.persist(writes)
    replica.election.inherit(now)
    replica.election.lead(now)
    replica.election.nominate(now)
    for (const request of leader?.stop() ?? []) replica.request(now, request)
  }

  /** Promises the generation's lowest ballot with it. */
  takeUp (group: Group, seen: Ballot): void {
    const replica = this.#replica
    replica.group = group
    replica.doubted = false
    replica.promised = inheritedBallot(group)
    replica.seen = compareBallots(seen, replica.promised) > 0 ? seen : replica.promised
  }

  /** Ends a copy with the stop sign of a generation: everything before it is committed, and nothing of that generation follows. */
  #endWith (copy: Copy, group: Group, writes: StoreWrite[]): void {
    const replica = this.#replica
    if (copy.last >= group.base) replica.truncate(copy, group.base, writes)
    copy.advanceCommit(group.base - 1)
    const entry: Entry = { seq: group.base, ballot: group.previous.ballot, body: { kind: 'stop', next: group } }
    copy.append(entry)
    copy.advanceCommit(group.base)
    writes.push({ kind: 'entry', copy: copy.number, entry })
  }

  /** A snapshot is whole: its copy takes the place of the live one (rule S6). */
  makeLive (copy: Copy, writes: StoreWrite[]): void {
    const replica = this.#replica
    const { group } = replica
    if (replica.copy !== undefined) replica.disk.doom(replica.copy)
    replica.copy = copy
    if (group !== undefined && group.base > 0 && copy.commit === group.base - 1) this.#endWith(copy, group, writes)
  }
}
