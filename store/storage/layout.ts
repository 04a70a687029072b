/**
 * How a store's data directory is laid out in its database, version 2.
 *
 *     m                                  identity of the store
 *     g <epoch:6>                        ledger of one epoch
 *     s <partition:2>                    state record of one partition
 *     l <partition:2> <copy:4> <seq:6>   log entry: <epoch:8> <attempt:8> <store's length:2> <store> <body>, the first three its ballot
 *     d <partition:2> <copy:4> <key>     data: <seq:6> <value>; the highest bit of the number says that <time:6> is between them
 *     e <partition:2> <copy:4> <time:6> <key>   index of what expires: <seq:6>
 *     b <number:6>                       a batch that was written; only the latest are kept (see batch-chain.ts)
 *
 * Numbers are big-endian, so that the order of keys is the order of numbers. Every record ends in a checksum over its key and itself.
 * Membership keeps its records in a sublevel. Everything that is read back is checked like a message from a stranger.
 *
 * Pure.
 */
import { Packr } from 'msgpackr'
import { StoreError } from '../errors.ts'
import type { DurableState, Expiring } from '../group/effects.ts'
import { decodeBody, readNumber, writeNumber } from '../group/body-codec.ts'
import type { Ballot, Entry } from '../group/history.ts'
import { validateBallot, validateGroup } from '../group/message-checks.ts'
import type { Item } from '../group/messages.ts'
import { CHECKSUM_BYTES, damaged, seal, unseal } from './checksum.ts'

export const LAYOUT_VERSION = 2

/** How the database takes keys and values: as bytes, whatever its own encodings are. */
export const BINARY = Object.freeze({ keyEncoding: 'view', valueEncoding: 'view' } as const)

const TAG = Object.freeze({ identity: 0x6d, ledger: 0x67, state: 0x73, log: 0x6c, data: 0x64, expiry: 0x65, batch: 0x62 })
const packr = new Packr({ useRecords: false })

/** What a data directory says about itself. */
export interface Identity {
  readonly version: number
  readonly storeId: string
  readonly clusterName: string
  /** Undefined until the store was first a member of a cluster. */
  readonly clusterId: string | undefined
  /** How many times this store was started (rule R3). */
  readonly incarnation: number
  /** The members' addresses when last seen: seeds for the next start. */
  readonly addresses: readonly string[]
  /**
   * The last run acknowledged what was not synced, and has not ended in order: during which boot of the machine. Where that is over, something
   * may be missing.
   */
  readonly unsynced?: string
  /** The damage that an earlier run came across; the directory is not used any more. */
  readonly damage?: string
}

export const identityKey: Uint8Array = Buffer.from([TAG.identity])

export function ledgerKey (epoch: number): Uint8Array {
  const key = Buffer.alloc(7)
  key[0] = TAG.ledger
  key.writeUIntBE(epoch, 1, 6)
  return key
}

export function batchKey (number: number): Uint8Array {
  const key = Buffer.alloc(7)
  key[0] = TAG.batch
  key.writeUIntBE(number, 1, 6)
  return key
}

export function stateKey (partition: number): Uint8Array {
  const key = Buffer.alloc(3)
  key[0] = TAG.state
  key.writeUInt16BE(partition, 1)
  return key
}

function copyPrefix (tag: number, partition: number, copy: number, extra: number): Buffer {
  const key = Buffer.allocUnsafe(7 + extra)
  key[0] = tag
  key.writeUInt16BE(partition, 1)
  key.writeUInt32BE(copy, 3)
  return key
}

export function logKey (partition: number, copy: number, seq: number): Uint8Array {
  const key = copyPrefix(TAG.log, partition, copy, 6)
  key.writeUIntBE(seq, 7, 6)
  return key
}

export function dataKey (partition: number, copy: number, key: Uint8Array): Uint8Array {
  const full = copyPrefix(TAG.data, partition, copy, key.length)
  full.set(key, 7)
  return full
}

/** The place of a value in the index of what expires. */
export function expiryKey (partition: number, copy: number, expires: number, key: Uint8Array): Uint8Array {
  const full = copyPrefix(TAG.expiry, partition, copy, 6 + key.length)
  full.writeUIntBE(expires, 7, 6)
  full.set(key, 13)
  return full
}

/** The range of all keys of a kind, or of one copy. */
export interface KeyRange { readonly gte: Uint8Array, readonly lt: Uint8Array }

const kindRange = (tag: number): KeyRange => ({ gte: Buffer.from([tag]), lt: Buffer.from([tag + 1]) })

export const ranges = Object.freeze({
  states: kindRange(TAG.state), ledgers: kindRange(TAG.ledger), logs: kindRange(TAG.log), data: kindRange(TAG.data),
  expiries: kindRange(TAG.expiry), batches: kindRange(TAG.batch)
})

export function copyRange (kind: 'log' | 'data' | 'expiry', partition: number, copy: number): KeyRange {
  const gte = copyPrefix(TAG[kind], partition, copy, 0)
  const lt = Buffer.from(gte)
  // Copy numbers stay far below 2^32, so the next prefix never overflows into the partition.
  lt.writeUInt32BE(copy + 1, 3)
  return { gte, lt }
}

/** The partition and copy that a log or data key belongs to. */
export function copyOf (key: Uint8Array): { partition: number, copy: number } {
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  return { partition: bytes.readUInt16BE(1), copy: bytes.readUInt32BE(3) }
}

const seqOfLog = (key: Uint8Array): number => Buffer.from(key.buffer, key.byteOffset, key.byteLength).readUIntBE(7, 6)
export const userKeyOf = (key: Uint8Array): Uint8Array => key.subarray(7)
export const partitionOfState = (key: Uint8Array): number => (key[1]! << 8) | key[2]!
export const epochOfLedger = (key: Uint8Array): number => Buffer.from(key).readUIntBE(1, 6)
export const numberOfBatch = epochOfLedger

/** The bytes of the number before a value, and of the time at which it expires. */
const SEQ_BYTES = 6
const EXPIRES_BYTES = 6
/** Of the first byte of the number: the value expires. Numbers stay far below 2^47. */
const EXPIRES_BIT = 0x80

export function encodeValue (key: Uint8Array, seq: number, value: Uint8Array, expires?: number): Uint8Array {
  const from = SEQ_BYTES + (expires === undefined ? 0 : EXPIRES_BYTES)
  const record = Buffer.allocUnsafe(from + value.length + CHECKSUM_BYTES)
  record.writeUIntBE(seq, 0, SEQ_BYTES)
  if (expires !== undefined) {
    record[0]! |= EXPIRES_BIT
    record.writeUIntBE(expires, SEQ_BYTES, EXPIRES_BYTES)
  }
  record.set(value, from)
  return seal(key, record)
}

/** @throws {StoreError} STORE_DIRECTORY_DAMAGED */
export function decodeValue (key: Uint8Array, record: Uint8Array): Omit<Item, 'key'> {
  const sealed = unseal(key, record, `a value of partition ${copyOf(key).partition}`)
  const expires = (sealed[0]! & EXPIRES_BIT) !== 0
  const from = SEQ_BYTES + (expires ? EXPIRES_BYTES : 0)
  if (sealed.length < from) throw damaged('a value without its number')
  const seq = readSixBytes(sealed, 0)
  if (!expires) return { value: sealed.subarray(from), seq }
  return { value: sealed.subarray(from), seq: seq - EXPIRES_BIT * 2 ** 40, expires: readSixBytes(sealed, SEQ_BYTES) }
}

/** A big-endian number. Every value that is read needs one, for which a Buffer would cost more than the rest of this. */
function readSixBytes (bytes: Uint8Array, from: number): number {
  const high = bytes[from]! << 8 | bytes[from + 1]!
  const low = bytes[from + 2]! << 24 | bytes[from + 3]! << 16 | bytes[from + 4]! << 8 | bytes[from + 5]!
  return high * 2 ** 32 + (low >>> 0)
}

export function encodeExpiring (key: Uint8Array, seq: number): Uint8Array {
  const record = Buffer.allocUnsafe(SEQ_BYTES + CHECKSUM_BYTES)
  record.writeUIntBE(seq, 0, SEQ_BYTES)
  return seal(key, record)
}

/** @throws {StoreError} STORE_DIRECTORY_DAMAGED */
export function decodeExpiring (key: Uint8Array, record: Uint8Array): Expiring {
  const body = unseal(key, record, `the index of partition ${copyOf(key).partition}`)
  if (body.length !== SEQ_BYTES || key.length < 13) throw damaged('a record of the index')
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.length)
  const seq = Buffer.from(body.buffer, body.byteOffset, SEQ_BYTES).readUIntBE(0, SEQ_BYTES)
  return { expires: bytes.readUIntBE(7, 6), key: key.subarray(13), seq }
}

export function encodeRecord (key: Uint8Array, value: unknown): Uint8Array {
  const packed = packr.pack(value)
  const record = Buffer.allocUnsafe(packed.length + CHECKSUM_BYTES)
  record.set(packed)
  return seal(key, record)
}

function decode<T> (key: Uint8Array, record: Uint8Array, what: string, check: (value: Record<string, unknown>) => T): T {
  const body = unseal(key, record, what)
  try {
    return check(packr.unpack(body) as Record<string, unknown>)
  } catch (cause) {
    throw damaged(what, cause)
  }
}

const natural = (value: unknown): number => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new TypeError(`not a natural number: ${String(value)}`)
  return value
}

/** @throws {StoreError} STORE_DIRECTORY_DAMAGED; STORE_DIRECTORY_INVALID where the directory is laid out in another way */
export function decodeIdentity (record: Uint8Array): Identity {
  const version = decode(identityKey, record, 'its identity', value => natural(value.version))
  if (version !== LAYOUT_VERSION) {
    throw new StoreError('STORE_DIRECTORY_INVALID', `the directory has layout version ${version}, and this program uses version ${LAYOUT_VERSION}: ` +
      'start it with the program that wrote it, or start this one on an empty directory, as a new store that the others bring up to date')
  }
  return decode(identityKey, record, 'its identity', value => {
    if (typeof value.storeId !== 'string' || typeof value.clusterName !== 'string' || !Array.isArray(value.addresses)) throw new TypeError('fields')
    const clusterId = typeof value.clusterId === 'string' ? value.clusterId : undefined
    const { storeId, clusterName, addresses } = value
    const damage = typeof value.damage === 'string' ? { damage: value.damage } : {}
    const unsynced = typeof value.unsynced === 'string' ? { unsynced: value.unsynced } : {}
    const incarnation = natural(value.incarnation)
    return { version: LAYOUT_VERSION, storeId, clusterName, clusterId, incarnation, addresses: addresses.map(String), ...unsynced, ...damage }
  })
}

/** @throws {StoreError} STORE_DIRECTORY_DAMAGED */
export function decodeState (key: Uint8Array, record: Uint8Array): DurableState {
  return decode(key, record, `the state of partition ${partitionOfState(key)}`, value => {
    const seat = value.seat as { epoch: unknown, completed: unknown } | null | undefined
    return {
      group: value.group == null ? undefined : validateGroup(value.group),
      promised: validateBallot(value.promised),
      copy: value.copy == null ? undefined : natural(value.copy),
      nextCopy: natural(value.nextCopy),
      floor: natural(value.floor),
      // Records from before values could expire have none.
      time: natural(value.time ?? 0),
      applied: natural(value.applied),
      seat: seat == null ? undefined : { epoch: natural(seat.epoch), completed: seat.completed === true },
      ...value.doubted === true ? { doubted: true as const } : {}
    }
  })
}

/** The ballot of an entry without its store, and the length of that. */
const BALLOT_BYTES = 18

/** @param body as bytes, see group/body-codec.ts */
export function encodeEntry (key: Uint8Array, { epoch, attempt, store }: Ballot, body: Uint8Array): Uint8Array {
  const storeBytes = Buffer.byteLength(store)
  const record = Buffer.allocUnsafe(BALLOT_BYTES + storeBytes + body.length + CHECKSUM_BYTES)
  let position = writeNumber(record, epoch, 0)
  position = writeNumber(record, attempt, position)
  position = record.writeUInt16BE(storeBytes, position)
  position += record.write(store, position)
  record.set(body, position)
  return seal(key, record)
}

/** @throws {StoreError} STORE_DIRECTORY_DAMAGED */
export function decodeEntry (key: Uint8Array, record: Uint8Array): Entry {
  const what = `a log entry of partition ${copyOf(key).partition}`
  const sealed = unseal(key, record, what)
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length)
  try {
    if (bytes.length < BALLOT_BYTES) throw new TypeError('cut off')
    const end = BALLOT_BYTES + bytes.readUInt16BE(BALLOT_BYTES - 2)
    const ballot = validateBallot({ epoch: readNumber(bytes, 0), attempt: readNumber(bytes, 8), store: bytes.toString('utf8', BALLOT_BYTES, end) })
    return { seq: seqOfLog(key), ballot, body: decodeBody(bytes.subarray(end)) }
  } catch (cause) {
    throw damaged(what, cause)
  }
}

/** @throws {StoreError} STORE_DIRECTORY_DAMAGED */
export function decodeNumbers (key: Uint8Array, record: Uint8Array): Record<string, number> {
  return decode(key, record, 'a ledger', value => Object.fromEntries(Object.entries(value).map(([name, number]) => [name, natural(number)])))
}
