/**
 * The messages between the replicas of a partition (transport channels `store` and `bulk`); message-checks.ts says what is one.
 *
 * Each may be lost, duplicated or late. Acknowledgements speak only of what is durable at the sender, so an old one is still
 * true. None is gated by epoch: ballots alone decide who is obeyed (rule S4).
 *
 * Pure.
 */
import type { LeaseLeft } from './deposed.ts'
import type { Ballot, Entry, Group, Position } from './history.ts'

/** One key of a snapshot: its value and the number of the entry that wrote it. */
export interface Item {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly seq: number
  /** The partition's time at which it may be removed, if it expires. */
  readonly expires?: number
}

export type GroupMessage =
  /** Candidate to member: promise to accept nothing below this ballot (S3, S4). */
  | { readonly kind: 'seal', readonly generation: number, readonly ballot: Ballot }
  /**
   * The promise, durable, with the member's history. `level`: it has reached the generation's base. `leases`: what is left of those that
   * earlier leaders have of this member. `lease`, here and below: the number of the one that the receiver has, or may get, of the sender.
   * `doubted`: entries that the sender acknowledged may be missing in it (see doubt.ts).
   */
  | { readonly kind: 'sealed', readonly generation: number, readonly ballot: Ballot, readonly last: Position, readonly level: boolean, readonly commit: number, readonly leases?: readonly LeaseLeft[], readonly lease?: number, readonly doubted?: true }
  /** The receiver's ballot is too old: the sender has promised this one, or heard of it from somebody who has. */
  | { readonly kind: 'refused', readonly generation: number, readonly promised: Ballot }
  /**
   * Leader to follower. `prev` is the position right before the first entry; `settled` the epoch whose placement this group is, or 0. `run` is
   * the latest incarnation of the receiver that the leader knows of: nothing that an earlier one said counts from now on.
   */
  | { readonly kind: 'append', readonly generation: number, readonly ballot: Ballot, readonly run: number, readonly prev: Position, readonly entries: readonly Entry[], readonly commit: number, readonly settled: number }
  /**
   * The follower's history equals the leader's, durably, up to `seq`, and it knows that everything up to `commit` is committed. `run` is the
   * incarnation of the process that says so: of a later one it is not known whether it found all that again. `unsynced`: what is new in this
   * may get lost with the power of its machine.
   */
  | { readonly kind: 'appended', readonly generation: number, readonly ballot: Ballot, readonly run: number, readonly seq: number, readonly commit: number, readonly settled: number, readonly lease?: number, readonly unsynced?: true }
  /** The follower's history does not reach, or does not fit, the position `prev`; up to `commit` it does. */
  | { readonly kind: 'mismatch', readonly generation: number, readonly ballot: Ballot, readonly run: number, readonly prev: number, readonly commit: number }
  /** The follower has not reached the generation's base: it must be taught. */
  | { readonly kind: 'lagging', readonly generation: number, readonly ballot: Ballot }
  /** Leader to follower: am I still the one you promised? Confirms all reads up to `round`. */
  | { readonly kind: 'confirm', readonly generation: number, readonly ballot: Ballot, readonly round: number }
  | { readonly kind: 'confirmed', readonly generation: number, readonly ballot: Ballot, readonly round: number, readonly lease?: number }
  /**
   * Please lead, or say that you do: the sender has seen no ballot above `seen`. A `held` that is not 0 asks besides whether a copy that
   * the sender seems not to need may go; it is a fresh number that the answer names.
   */
  | { readonly kind: 'nominate', readonly generation: number, readonly seen: Ballot, readonly held: number }
  | { readonly kind: 'leading', readonly generation: number, readonly ballot: Ballot }
  /** A committed group, newer than what the receiver spoke of (S5). */
  | { readonly kind: 'chain', readonly group: Group }
  /** The sender knows no generation beyond this one (-1: none at all): send it the chain. */
  | { readonly kind: 'unknown', readonly generation: number }
  /**
   * Teacher to learner: begin, or go on, with transfer (epoch, partition, receiver). `group` is the committed one that the teacher
   * leads; `digest` is the placement's at `placementEpoch`. `round` numbers what one leader asks of its learners, like in `chunk`.
   */
  | { readonly kind: 'learn', readonly generation: number, readonly ballot: Ballot, readonly round: number, readonly group: Group, readonly transfer: number, readonly placementEpoch: number, readonly digest: string }
  /**
   * Where the learner stands, durably, after what came with `round`. `position` is -1 without a snapshot begun; `cursor` the last key
   * of the snapshot it has; `scanned` says that this was the last one, and that only the tail is missing.
   */
  | { readonly kind: 'learned', readonly generation: number, readonly ballot: Ballot, readonly round: number, readonly position: number, readonly whole: boolean, readonly scanned: boolean, readonly cursor: Uint8Array | null }
  /**
   * A piece of the snapshot, after key `after` (null: from the start; it empties the copy). What it tells, absences included, is the
   * work of entries up to `reach`. `start`, `floor`, `memory` and `time`, the partition's at the floor: with the first piece.
   */
  | { readonly kind: 'chunk', readonly generation: number, readonly ballot: Ballot, readonly round: number, readonly after: Uint8Array | null, readonly items: readonly Item[], readonly done: boolean, readonly reach: number, readonly start: number, readonly floor: number, readonly time: number, readonly memory: readonly Entry[] }
  /**
   * All that a copy which ends at `from` lacks: the entries after it, without values, and what the keys that they change are after the last
   * of them: `items`, or gone (`removed`).
   */
  | { readonly kind: 'delta', readonly generation: number, readonly ballot: Ballot, readonly round: number, readonly from: number, readonly entries: readonly Entry[], readonly items: readonly Item[], readonly removed: readonly Uint8Array[] }
  /** Committed entries, the first right after position `from` (S6). */
  | { readonly kind: 'tail', readonly generation: number, readonly ballot: Ballot, readonly from: number, readonly entries: readonly Entry[] }
  /** All members of this generation are level and the receiver is wanted by none: the copy that it asked about as `held` may go (S5, S6). */
  | { readonly kind: 'release', readonly generation: number, readonly held: number }

/** Equal keys, or none on both sides. */
export const sameKey = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === b || (a !== null && b !== null && Buffer.compare(a, b) === 0)
