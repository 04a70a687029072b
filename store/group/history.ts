/**
 * The words of a partition's history: ballots, positions, entries, and the groups that follow one another.
 *
 * A partition is an immutable sequence of replica groups. Each group serves one generation; its last entry is a stop sign that
 * names the next group, which begins from exactly that state (Lamport, Malkhi, Zhou: "Reconfiguring a State Machine", SIGACT
 * News 2010). Within a generation, entries are ordered by sequence number and carry the ballot of the leader that proposed them.
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { OperationId } from '../client-protocol.ts'
import type { FailedCondition } from '../errors.ts'

/** The right to lead a group in one generation. Ordered by epoch, then attempt, then store id. Started at most once, ever. */
export interface Ballot {
  readonly epoch: number
  readonly attempt: number
  readonly store: StoreId
}

/** Below every ballot that anyone starts; also the ballot of a generation's base position. */
export const NO_BALLOT: Ballot = Object.freeze({ epoch: 0, attempt: 0, store: '' as StoreId })

export function compareBallots (a: Ballot, b: Ballot): number {
  if (a.epoch !== b.epoch) return a.epoch - b.epoch
  if (a.attempt !== b.attempt) return a.attempt - b.attempt
  return a.store < b.store ? -1 : a.store > b.store ? 1 : 0
}

/** A point in the history of one generation. The base of a generation is `{ ballot: NO_BALLOT, seq: group.base }`. */
export interface Position {
  readonly ballot: Ballot
  readonly seq: number
}

/** Rule S3: the more advanced of two histories has the higher ballot at its end; among equals, the higher number. */
export function comparePositions (a: Position, b: Position): number {
  return compareBallots(a.ballot, b.ballot) || a.seq - b.seq
}

/** The fixed set of stores that holds a partition for one generation. */
export interface Group {
  readonly generation: number
  /** In the order of leadership: the first live one leads. */
  readonly members: readonly StoreId[]
  /** The number of the stop sign that this generation begins from; 0 for generation 0. */
  readonly base: number
  /**
   * The position right before the stop sign, in the generation before. A member whose durable history has it holds the whole
   * state that this generation begins from, whether or not the stop sign itself reached it.
   */
  readonly previous: Position
  /** The epoch whose placement this group carries out. */
  readonly epoch: number
  /** The epoch of the last force that its history goes back to; absent where there was none (see forced.ts). */
  readonly forced?: number
}

/** What is left of a write's operations without the values: the change index. */
export interface Changed {
  readonly keys: readonly Uint8Array[]
  /** The bytes of keys and values together, as they were written. */
  readonly bytes: number
}

/** What an entry does to a key. `expires`: the partition's time at which the value may be removed (see expiry.ts). */
export type Change =
  | { readonly kind: 'put', readonly key: Uint8Array, readonly value: Uint8Array, readonly expires?: number }
  | { readonly kind: 'del', readonly key: Uint8Array }

/**
 * `time`: what the partition's time was when the leader logged this, in milliseconds; it never falls along a history. The last one
 * in the history is where the next leader's count begins (see expiry.ts).
 */
export type EntryBody =
  | { readonly kind: 'noop', readonly time?: number }
  /**
   * `operations` is null once compaction has dropped the values: the entry then remembers that `id` happened, how it ended, and in
   * `changed`, which keys it wrote, unless these are too many.
   * With `failed` a condition did not hold, and the write changes nothing. That is part of the history like anything else: whoever
   * sends the write again is told the same, however the key has changed since (rule S9).
   * With `swept` the leader itself removes what has expired: whatever expires up to that time, and was logged before, is gone after this.
   */
  | {
    readonly kind: 'write'
    readonly id: OperationId
    readonly operations: readonly Change[] | null
    readonly changed?: Changed
    readonly failed?: FailedCondition
    readonly time?: number
    readonly swept?: number
  }
  /** The last entry of a generation. */
  | { readonly kind: 'stop', readonly next: Group }

export interface Entry {
  readonly seq: number
  readonly ballot: Ballot
  readonly body: EntryBody
}

/**
 * The lowest ballot of a generation: every store that takes up the generation has promised it to the group's first member thereby, so that
 * one leads without asking for promises.
 */
export function inheritedBallot ({ epoch, members }: Group): Ballot {
  return { epoch, attempt: 0, store: members[0]! }
}

export const majorityOf = (members: number): number => Math.floor(members / 2) + 1

export const sameMembers = (a: readonly StoreId[], b: readonly StoreId[]): boolean =>
  a.length === b.length && a.every((member, index) => member === b[index])

/** What an entry costs in memory and on the wire, in bytes, about. */
export function entryBytes (entry: Entry): number {
  if (entry.body.kind !== 'write') return 64
  let bytes = 96
  for (const operation of entry.body.operations ?? []) bytes += 16 + operation.key.length + (operation.kind === 'put' ? operation.value.length : 0)
  for (const key of entry.body.changed?.keys ?? []) bytes += 16 + key.length
  return bytes
}

/**
 * Entries without values that one message tells of have so many bytes by `bareEntryBytes`, at most: a message has a million values, and
 * such an entry has up to 42 of them and 96 bytes, and each key one and 16 bytes.
 */
export const BARE_BYTES_MAX = 1024 * 1024

/** What an entry costs once it is without values, in bytes, about. */
export function bareEntryBytes (entry: Entry): number {
  const { body } = entry
  if (body.kind !== 'write' || body.operations === null) return entryBytes(entry)
  const keysBytes = body.operations.reduce((sum, { key }) => sum + key.length, 0)
  return 96 + (keysBytes <= CHANGED_KEYS_BYTES_MAX ? 16 * body.operations.length + keysBytes : 0)
}

const NOTHING: Changed = Object.freeze({ keys: Object.freeze([]), bytes: 0 })

/** What an entry changes; undefined when that was forgotten. */
export function changedBy ({ body }: Entry): Changed | undefined {
  if (body.kind !== 'write') return NOTHING
  if (body.operations === null) return body.changed
  let bytes = 0
  for (const operation of body.operations) bytes += operation.key.length + (operation.kind === 'put' ? operation.value.length : 0)
  return { keys: body.operations.map(({ key }) => key), bytes }
}

/** Bytes of keys that an entry without values remembers at most; of a write of many keys the index knows nothing. */
export const CHANGED_KEYS_BYTES_MAX = 512

/** An entry as compaction leaves it. Its keys are copies: those of an entry that was received are views of bytes that have the values too. */
export function withoutValues (entry: Entry): Entry {
  const { body } = entry
  if (body.kind !== 'write' || body.operations === null) return entry
  const { keys, bytes } = changedBy(entry)!
  const remembered = keys.reduce((sum, key) => sum + key.length, 0) <= CHANGED_KEYS_BYTES_MAX
  return { ...entry, body: { ...body, operations: null, ...(remembered ? { changed: { keys: keys.map(key => new Uint8Array(key)), bytes } } : {}) } }
}

/** An entry without values as the index forgets it, too. */
export function withoutIndex (entry: Entry): Entry {
  const { body } = entry
  if (body.kind !== 'write' || body.changed === undefined) return entry
  const { changed: _, ...rest } = body
  return { ...entry, body: rest }
}

/** The partition's time as an entry tells it. */
export const timeOf = ({ body }: Entry): number | undefined => body.kind === 'stop' ? undefined : body.time

/** The id of what a leader does by itself at a place in the history. No client has this name. */
export const ownOperation = (seq: number): OperationId => ({ client: '', number: seq, base: seq })

export const operationName = (id: OperationId): string => `${id.client}/${id.number}`
