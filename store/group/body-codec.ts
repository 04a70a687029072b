/**
 * The body of an entry as bytes. What an append carries and what the log on the disk holds are the same, so that a leader encodes a write
 * once for itself and all followers, and a follower logs what it received.
 *
 * Nearly all entries are writes that change keys and nothing else. Such a one is
 *
 *     1 <client's length:2> <client> <number:8> <base:8> <changes:4> { <kind:1> <key's length:2> <key> [<value's length:4> <value>] }
 *
 * with kind 1 for a put and 2 for a deletion, which has no value. Numbers are big-endian. Every other body is a 0 and MessagePack, as messages are.
 *
 * Pure.
 */
import { decodeMessage, encodeMessage } from '../../membership/transport/message-codec.ts'
import { WIRE_LIMITS } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import type { Change, EntryBody } from './history.ts'
import { validateBody } from './message-checks.ts'

const PACKED = 0
const WRITE = 1
const PUT = 1
const DELETION = 2

/** What a write takes besides its client's name and its changes, and a change besides its key and value. */
const WRITE_BYTES = 23
const CHANGE_BYTES = 3
const VALUE_BYTES = 4

const fail = (what: string, cause?: unknown): never => { throw new StoreError('STORE_INVALID_MESSAGE', `not a valid entry: ${what}`, { cause }) }

/** Writes a safe integer of 0 or more into eight bytes; returns the offset behind it. */
export function writeNumber (bytes: Buffer, number: number, position: number): number {
  bytes.writeUInt32BE(Math.floor(number / 0x1_0000_0000), position)
  return bytes.writeUInt32BE(number >>> 0, position + 4)
}

/** The number in eight bytes; it need not be a safe integer. */
export const readNumber = (bytes: Buffer, position: number): number => bytes.readUInt32BE(position) * 0x1_0000_0000 + bytes.readUInt32BE(position + 4)

type PlainWrite = EntryBody & { readonly kind: 'write', readonly operations: readonly Change[] }

/** True for a write that says nothing beyond its id and its changes, none of which expires. */
function onlyChanges (body: EntryBody): body is PlainWrite {
  if (body.kind !== 'write' || body.operations === null || body.operations.length === 0 || body.id.base < 0) return false
  if (body.changed !== undefined || body.failed !== undefined || body.time !== undefined || body.swept !== undefined) return false
  return body.operations.every(change => change.kind === 'del' || change.expires === undefined)
}

export function encodeBody (body: EntryBody): Uint8Array {
  if (!onlyChanges(body)) return Buffer.concat([Buffer.of(PACKED), encodeMessage(body)])
  const { id: { client, number, base }, operations } = body
  const clientBytes = Buffer.byteLength(client)
  let length = WRITE_BYTES + clientBytes
  for (const change of operations) length += CHANGE_BYTES + change.key.length + (change.kind === 'put' ? VALUE_BYTES + change.value.length : 0)
  const bytes = Buffer.allocUnsafe(length)
  bytes[0] = WRITE
  let position = bytes.writeUInt16BE(clientBytes, 1)
  position += bytes.write(client, position)
  position = writeNumber(bytes, number, position)
  position = writeNumber(bytes, base, position)
  position = bytes.writeUInt32BE(operations.length, position)
  for (const change of operations) {
    bytes[position++] = change.kind === 'put' ? PUT : DELETION
    position = bytes.writeUInt16BE(change.key.length, position)
    bytes.set(change.key, position)
    position += change.key.length
    if (change.kind === 'del') continue
    position = bytes.writeUInt32BE(change.value.length, position)
    bytes.set(change.value, position)
    position += change.value.length
  }
  return bytes
}

/**
 * Keys and values are views of the bytes, which must not change any more.
 * @throws {StoreError} STORE_INVALID_MESSAGE
 */
export function decodeBody (encoded: Uint8Array): EntryBody {
  if (encoded[0] === WRITE) return decodeWrite(Buffer.from(encoded.buffer, encoded.byteOffset, encoded.length))
  if (encoded[0] !== PACKED) return fail('its kind')
  let body: unknown
  try {
    // It comes from strangers, too: the transport has looked at the bytes around it, and not into it.
    body = decodeMessage(viewOf(encoded, 1, encoded.length))
  } catch (cause) {
    return fail('no message', cause)
  }
  return validateBody(body)
}

/** A part of some bytes, as a Uint8Array and nothing more: that is what users get. */
const viewOf = (bytes: Uint8Array, start: number, end: number): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)

function decodeWrite (bytes: Buffer): EntryBody {
  /** The offset behind so many more bytes, if there are so many. */
  const behind = (position: number, length: number): number => position + length <= bytes.length ? position + length : fail('cut off')
  const safe = (number: number): number => Number.isSafeInteger(number) ? number : fail('a number')
  const clientEnd = behind(0, WRITE_BYTES) && behind(3, bytes.readUInt16BE(1))
  behind(clientEnd, WRITE_BYTES - 3)
  const client = bytes.toString('utf8', 3, clientEnd)
  if (client.length > WIRE_LIMITS.textMax) return fail('a client id')
  const id = { client, number: safe(readNumber(bytes, clientEnd)), base: safe(readNumber(bytes, clientEnd + 8)) }
  const count = bytes.readUInt32BE(clientEnd + 16)
  if (count < 1 || count > WIRE_LIMITS.operationsPerWriteMax) return fail('the number of its changes')
  const operations: Change[] = []
  let position = clientEnd + 20
  while (operations.length < count) {
    const keyStart = behind(position, CHANGE_BYTES)
    const kind = bytes[position]!
    position = behind(keyStart, bytes.readUInt16BE(position + 1))
    const key = viewOf(bytes, keyStart, position)
    if (key.length > WIRE_LIMITS.keyBytesMax) return fail('a key')
    if (kind === DELETION) { operations.push({ kind: 'del', key }); continue }
    if (kind !== PUT) return fail('the kind of a change')
    const valueStart = behind(position, VALUE_BYTES)
    position = behind(valueStart, bytes.readUInt32BE(position))
    if (position - valueStart > WIRE_LIMITS.valueBytesMax) return fail('a value')
    operations.push({ kind: 'put', key, value: viewOf(bytes, valueStart, position) })
  }
  return position === bytes.length ? { kind: 'write', id, operations } : fail('more than its changes')
}
