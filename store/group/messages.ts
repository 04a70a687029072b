/**
 * The messages between the replicas of a partition (transport channels `store` and `bulk`), and their validation.
 *
 * Each may be lost, duplicated or late. Acknowledgements speak only of what is durable at the sender, so an old one is still
 * true. None is gated by epoch: ballots alone decide who is obeyed (rule S4).
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { WIRE_LIMITS } from '../client-protocol.ts'
import { validateFailedCondition, validateOperationId } from '../client-protocol-checks.ts'
import { StoreError } from '../errors.ts'
import { LEASE_MS_MAX } from '../leases.ts'
import type { LeaseLeft } from './deposed.ts'
import type { Ballot, Change, Changed, Entry, EntryBody, Group, Position } from './history.ts'

export const MESSAGE_LIMITS = Object.freeze({ membersMax: 64, entriesMax: 100_000, itemsMax: 100_000 })

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

const fail = (what: string): never => { throw new StoreError('STORE_INVALID_MESSAGE', `not a valid message between replicas: ${what}`) }

const record = (value: unknown, what: string): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : fail(what)

export function integer (value: unknown, what: string, minimum = 0): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum ? value : fail(what)
}

const boolean = (value: unknown, what: string): boolean => typeof value === 'boolean' ? value : fail(what)

export const validateStoreId = (value: unknown): StoreId =>
  typeof value === 'string' && value.length <= 128 ? value as StoreId : fail('a store id')

const key = (value: unknown): Uint8Array =>
  value instanceof Uint8Array && value.length <= WIRE_LIMITS.keyBytesMax ? value : fail('a key')

const content = (value: unknown): Uint8Array =>
  value instanceof Uint8Array && value.length <= WIRE_LIMITS.valueBytesMax ? value : fail('a value')

const keys = (value: unknown): Uint8Array[] =>
  Array.isArray(value) && value.length <= MESSAGE_LIMITS.itemsMax ? value.map(key) : fail('a list of keys')

export function validateBallot (value: unknown): Ballot {
  const ballot = record(value, 'a ballot')
  return { epoch: integer(ballot.epoch, 'an epoch'), attempt: integer(ballot.attempt, 'an attempt'), store: validateStoreId(ballot.store) }
}

export function validatePosition (value: unknown): Position {
  const position = record(value, 'a position')
  return { ballot: validateBallot(position.ballot), seq: integer(position.seq, 'a sequence number') }
}

export function validateGroup (value: unknown): Group {
  const group = record(value, 'a group')
  const stores = (list: unknown): StoreId[] =>
    Array.isArray(list) && list.length <= MESSAGE_LIMITS.membersMax ? list.map(validateStoreId) : fail('a list of stores')
  const members = stores(group.members)
  if (members.length === 0 || new Set(members).size !== members.length) return fail('the members of a group')
  return {
    generation: integer(group.generation, 'a generation'),
    members,
    base: integer(group.base, 'a base'),
    previous: validatePosition(group.previous),
    epoch: integer(group.epoch, 'an epoch'),
    ...(group.forced === undefined ? {} : { forced: integer(group.forced, 'the epoch of a force', 1) })
  }
}

function validateChanged (value: unknown): { changed?: Changed } {
  if (value === undefined || value === null) return {}
  const changed = record(value, 'what a write changed')
  return { changed: { keys: keys(changed.keys), bytes: integer(changed.bytes, 'a number of bytes') } }
}

/** A time of the partition, under its name; nothing where there is none. */
function validateTime<Name extends string> (name: Name, value: unknown): { [Key in Name]?: number } {
  return (value === undefined ? {} : { [name]: integer(value, 'a time') }) as { [Key in Name]?: number }
}

function validateChange (value: unknown): Change {
  const change = record(value, 'a change')
  if (change.kind === 'put') return { kind: 'put', key: key(change.key), value: content(change.value), ...validateTime('expires', change.expires) }
  if (change.kind === 'del') return { kind: 'del', key: key(change.key) }
  return fail('the kind of a change')
}

/** @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateBody (value: unknown): EntryBody {
  const body = record(value, 'the body of an entry')
  switch (body.kind) {
    case 'noop': return { kind: 'noop', ...validateTime('time', body.time) }
    case 'stop': return { kind: 'stop', next: validateGroup(body.next) }
    case 'write': {
      const id = validateOperationId(body.id)
      const failed = body.failed === undefined ? {} : { failed: validateFailedCondition(body.failed) }
      const times = { ...validateTime('time', body.time), ...validateTime('swept', body.swept) }
      if (body.operations === null) return { kind: 'write', id, operations: null, ...validateChanged(body.changed), ...failed, ...times }
      if (!Array.isArray(body.operations) || body.operations.length > WIRE_LIMITS.operationsPerWriteMax) return fail('operations')
      return { kind: 'write', id, operations: body.operations.map(validateChange), ...failed, ...times }
    }
    default: return fail('the kind of an entry')
  }
}

function validateEntry (value: unknown): Entry {
  const entry = record(value, 'an entry')
  return { seq: integer(entry.seq, 'a sequence number', 1), ballot: validateBallot(entry.ballot), body: validateBody(entry.body) }
}

/** Checks entries; their numbers must be consecutive when `first` is given. */
function validateEntries (value: unknown, first?: number): Entry[] {
  if (!Array.isArray(value) || value.length > MESSAGE_LIMITS.entriesMax) return fail('entries')
  const entries = value.map(validateEntry)
  if (first !== undefined && entries.some((entry, index) => entry.seq !== first + index)) return fail('entries with a gap')
  return entries
}

function validateItem (value: unknown): Item {
  const item = record(value, 'an item')
  return { key: key(item.key), value: content(item.value), seq: integer(item.seq, 'a version'), ...validateTime('expires', item.expires) }
}

export const validateTrue = (value: unknown, what: string): true => value === true ? value : fail(what)

const validateLease = (value: unknown): { lease?: number } => value === undefined ? {} : { lease: integer(value, 'the number of a lease') }

function validateLeases (value: unknown): LeaseLeft[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > MESSAGE_LIMITS.membersMax + 1) return fail('leases')
  return value.map(item => {
    const { holder, ms } = record(item, 'a lease')
    return typeof ms === 'number' && ms >= 0 && ms <= LEASE_MS_MAX ? { holder: validateStoreId(holder), ms } : fail('what is left of a lease')
  })
}

/** What arrived from another store, checked. @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateGroupMessage (value: unknown): GroupMessage {
  const message = record(value, 'a message')
  const kind = message.kind
  if (kind === 'chain') return { kind, group: validateGroup(message.group) }
  if (kind === 'unknown') return { kind, generation: integer(message.generation, 'a generation', -1) }
  const generation = integer(message.generation, 'a generation')
  if (kind === 'release') return { kind, generation, held: integer(message.held, 'a number', 1) }
  if (kind === 'refused') return { kind, generation, promised: validateBallot(message.promised) }
  if (kind === 'nominate') return { kind, generation, seen: validateBallot(message.seen), held: integer(message.held, 'a number') }
  const ballot = validateBallot(message.ballot)
  switch (kind) {
    case 'seal': case 'lagging': case 'leading': return { kind, generation, ballot }
    case 'sealed': {
      const [last, level, commit] = [validatePosition(message.last), boolean(message.level, 'level'), integer(message.commit, 'a commit')]
      const doubted = message.doubted === undefined ? {} : { doubted: validateTrue(message.doubted, 'doubted') }
      return { kind, generation, ballot, last, level, commit, leases: validateLeases(message.leases), ...validateLease(message.lease), ...doubted }
    }
    case 'append': {
      const prev = validatePosition(message.prev)
      const entries = validateEntries(message.entries, prev.seq + 1)
      if (entries.some(({ body }) => body.kind === 'write' && body.operations === null)) return fail('a write without its values')
      const run = integer(message.run, 'an incarnation')
      return { kind, generation, ballot, run, prev, entries, commit: integer(message.commit, 'a commit'), settled: integer(message.settled, 'an epoch') }
    }
    case 'appended': {
      const [run, seq, commit] = [integer(message.run, 'an incarnation'), integer(message.seq, 'a sequence number'), integer(message.commit, 'a commit')]
      const unsynced = message.unsynced === undefined ? {} : { unsynced: validateTrue(message.unsynced, 'unsynced') }
      return { kind, generation, ballot, run, seq, commit, settled: integer(message.settled, 'an epoch'), ...validateLease(message.lease), ...unsynced }
    }
    case 'mismatch': {
      const run = integer(message.run, 'an incarnation')
      return { kind, generation, ballot, run, prev: integer(message.prev, 'a position'), commit: integer(message.commit, 'a commit') }
    }
    case 'confirm': return { kind, generation, ballot, round: integer(message.round, 'a round') }
    case 'confirmed': return { kind, generation, ballot, round: integer(message.round, 'a round'), ...validateLease(message.lease) }
    case 'learn': {
      const digest = typeof message.digest === 'string' && message.digest.length <= 128 ? message.digest : fail('a digest')
      const group = validateGroup(message.group)
      if (group.generation !== generation) return fail('the group of a teacher')
      const placementEpoch = integer(message.placementEpoch, 'an epoch')
      return { kind, generation, ballot, round: integer(message.round, 'a round'), group, transfer: integer(message.transfer, 'a transfer'), placementEpoch, digest }
    }
    case 'learned': {
      const cursor = message.cursor === null ? null : key(message.cursor)
      const position = integer(message.position, 'a position', -1)
      return { kind, generation, ballot, round: integer(message.round, 'a round'), position, whole: boolean(message.whole, 'whole'), scanned: boolean(message.scanned, 'scanned'), cursor }
    }
    case 'chunk': {
      if (!Array.isArray(message.items) || message.items.length > MESSAGE_LIMITS.itemsMax) return fail('items')
      return {
        kind,
        generation,
        ballot,
        round: integer(message.round, 'a round'),
        after: message.after === null ? null : key(message.after),
        items: message.items.map(validateItem),
        done: boolean(message.done, 'done'),
        reach: integer(message.reach, 'a position'),
        start: integer(message.start, 'a start'),
        floor: integer(message.floor, 'a floor'),
        time: integer(message.time, 'a time'),
        memory: validateEntries(message.memory)
      }
    }
    case 'delta': {
      if (!Array.isArray(message.items) || message.items.length > MESSAGE_LIMITS.itemsMax) return fail('items')
      const from = integer(message.from, 'a position')
      const entries = validateEntries(message.entries, from + 1)
      const round = integer(message.round, 'a round')
      return { kind, generation, ballot, round, from, entries, items: message.items.map(validateItem), removed: keys(message.removed) }
    }
    case 'tail': {
      const from = integer(message.from, 'a position')
      const entries = validateEntries(message.entries, from + 1)
      if (entries.some(({ body }) => body.kind === 'write' && body.operations === null)) return fail('a write without its values')
      return { kind, generation, ballot, from, entries }
    }
    default: return fail('the kind of a message')
  }
}
