/**
 * A partition that was forced: the operator gave up on so many of its stores that no majority was left, and the configuration names the
 * one store that goes on with what it has (rule S12).
 *
 * The group of a forced generation is that store alone, and follows from the agreed state: its generation is the epoch of the force, which
 * is above every generation there was, since each of these carried out a placement of an earlier epoch. Its history begins at a number
 * above every one there was, so that no version, position or cursor of a write that was lost is ever taken for a later one. It
 * remembers no operations: whoever sends a write of before again is told that its fate is unknown.
 *
 * Every other replica of the partition is at an end: it answers nothing, obeys nobody and leads nothing, until it hears of a group whose
 * history goes back to this force. Then what it had logged beyond its commit point goes, and it is taught like one that had nothing: the numbers
 * between are above all that its copy has, so no change index reaches back there, and it counts as level only when a whole snapshot has taken
 * the copy's place. Until then the copy stays, unread: if the one that went on is lost before it has taught anybody, another force may name it.
 *
 * Pure: a part of the replica core.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { Copy, type CopyOptions } from './copy.ts'
import type { StoreWrite } from './effects.ts'
import { type Entry, type Group, NO_BALLOT } from './history.ts'

/** What the agreed state says of a partition that was forced; the latest force counts. */
export interface Decree {
  /** The configuration in which it was decided. */
  readonly epoch: number
  /** How many times this partition has been forced. */
  readonly era: number
  readonly store: StoreId
  /** That store begins with nothing. */
  readonly empty: boolean
}

/** Numbers of one era. More writes than these would take a partition centuries. */
const ERA_NUMBERS = 2 ** 32

/** How many forces came before this number. */
export const eraOf = (seq: number): number => Math.floor(seq / ERA_NUMBERS)

export function forcedGroup ({ epoch, era, store }: Decree): Group {
  const base = era * ERA_NUMBERS
  return { generation: epoch, members: [store], base, previous: { ballot: NO_BALLOT, seq: base - 1 }, epoch, forced: epoch }
}

/**
 * A copy that has nothing in its log but the stop sign that its group begins from.
 * @param time the partition's time, as what is in its data told it last (see expiry.ts); 0 for never
 */
export function forcedCopy (number: number, group: Group, options: CopyOptions, time = 0): { readonly copy: Copy, readonly writes: StoreWrite[] } {
  const entry: Entry = { seq: group.base, ballot: NO_BALLOT, body: { kind: 'stop', next: group } }
  const copy = new Copy(number, group.base - 1, group.base - 1, [entry], options, time)
  copy.advanceCommit(group.base)
  return { copy, writes: [{ kind: 'entry', copy: number, entry }] }
}

/**
 * The same copy in the new group: all that it has logged counts as committed and goes to the data; the log begins anew. A stop sign at its
 * end that was not known to be committed is passed over: the group that it names never began, as far as any store can tell that is left.
 */
export function carryOver (copy: Copy, group: Group, options: CopyOptions): { readonly copy: Copy, readonly writes: StoreWrite[] } {
  const { floor, last } = copy
  if (last > copy.commit && copy.entry(last)!.body.kind === 'stop') copy.truncate(last)
  copy.advanceCommit(copy.last)
  const writes = copy.takeApplied()
  if (last > floor) writes.push({ kind: 'dropEntries', copy: copy.number, from: floor + 1, to: last })
  const forced = forcedCopy(copy.number, group, options, copy.time)
  return { copy: forced.copy, writes: [...writes, ...forced.writes] }
}
