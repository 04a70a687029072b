/**
 * What arrived from another store, checked: every message has the form of one, and numbers that a store can count with and write down.
 *
 * Whether it is true is not checked, with two exceptions that cost nothing: where a group begins, and the order of ballots in an append.
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { WIRE_LIMITS } from '../client-protocol.ts'
import { validateFailedCondition, validateOperationId } from '../client-protocol-checks.ts'
import { StoreError } from '../errors.ts'
import { LEASE_MS_MAX } from '../leases.ts'
import type { LeaseLeft } from './deposed.ts'
import { type Ballot, type Change, type Changed, compareBallots, type Entry, type EntryBody, type Group, type Position } from './history.ts'
import type { GroupMessage, Item } from './messages.ts'

/** `numberMax`: what is counted (entries, epochs, attempts, times) is written in 6 bytes, one bit of which is in use (../storage/layout.ts). */
export const MESSAGE_LIMITS = Object.freeze({ membersMax: 64, entriesMax: 100_000, itemsMax: 100_000, numberMax: 2 ** 47 - 1 })

type Append = GroupMessage & { kind: 'append' }

const fail = (what: string): never => { throw new StoreError('STORE_INVALID_MESSAGE', `not a valid message between replicas: ${what}`) }

const record = (value: unknown, what: string): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : fail(what)

export function integer (value: unknown, what: string, minimum = 0, maximum = MESSAGE_LIMITS.numberMax): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum && value <= maximum ? value : fail(what)
}

/** A number that began at random and only names something. */
export const name = (value: unknown, what: string, minimum = 0): number => integer(value, what, minimum, Number.MAX_SAFE_INTEGER)

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
  const [generation, base, previous] = [integer(group.generation, 'a generation'), integer(group.base, 'a base'), validatePosition(group.previous)]
  // The first one begins with nothing, every other one with the entry after the last of the one before.
  if (base !== (generation === 0 ? 0 : previous.seq + 1)) return fail('where a group begins')
  return {
    generation,
    members,
    base,
    previous,
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

const validateLease = (value: unknown): { lease?: number } => value === undefined ? {} : { lease: name(value, 'the number of a lease') }

function validateLeases (value: unknown): LeaseLeft[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > MESSAGE_LIMITS.membersMax + 1) return fail('leases')
  return value.map(item => {
    const { holder, ms } = record(item, 'a lease')
    return typeof ms === 'number' && ms >= 0 && ms <= LEASE_MS_MAX ? { holder: validateStoreId(holder), ms } : fail('what is left of a lease')
  })
}

const haveValues = (entries: readonly Entry[]): boolean => !entries.some(({ body }) => body.kind === 'write' && body.operations === null)

/**
 * An append whose parts are valid: its entries have their values, their ballots do not fall along the history, and none is above the ballot
 * that it comes with. With such an entry a history would count as more advanced than any.
 * @throws {StoreError} STORE_INVALID_MESSAGE
 */
export function validateAppend (append: Append): Append {
  const { prev, entries, ballot } = append
  if (!haveValues(entries)) return fail('a write without its values')
  if (prev.seq + entries.length > MESSAGE_LIMITS.numberMax) return fail('a sequence number')
  let before = prev.ballot
  for (const entry of entries) {
    // Mostly the very same object.
    if (entry.ballot !== before && compareBallots(entry.ballot, before) < 0) return fail('ballots that fall')
    before = entry.ballot
  }
  return compareBallots(before, ballot) <= 0 ? append : fail('a ballot above that of its leader')
}

/** What arrived from another store, checked. @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateGroupMessage (value: unknown): GroupMessage {
  const message = record(value, 'a message')
  const kind = message.kind
  if (kind === 'chain') return { kind, group: validateGroup(message.group) }
  if (kind === 'unknown') return { kind, generation: integer(message.generation, 'a generation', -1) }
  const generation = integer(message.generation, 'a generation')
  if (kind === 'release') return { kind, generation, held: name(message.held, 'a number', 1) }
  if (kind === 'refused') return { kind, generation, promised: validateBallot(message.promised) }
  if (kind === 'nominate') return { kind, generation, seen: validateBallot(message.seen), held: name(message.held, 'a number') }
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
      const run = integer(message.run, 'an incarnation')
      return validateAppend({ kind, generation, ballot, run, prev, entries, commit: integer(message.commit, 'a commit'), settled: integer(message.settled, 'an epoch') })
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
      if (!haveValues(entries)) return fail('a write without its values')
      return { kind, generation, ballot, from, entries }
    }
    default: return fail('the kind of a message')
  }
}
