/**
 * Messages as bytes: MessagePack, of which only what the `Transport` contract allows is written and read.
 *
 * What arrives is checked before it is decoded: extension types (which could build cycles, regular expressions or generated
 * code), lengths that point beyond the bytes, deep nesting, and more values than any message has: an empty object is one byte on
 * the wire and a hundred in memory. How messages share a frame is the business of frame-codec.ts.
 *
 * Pure.
 */
import { Packr } from 'msgpackr'

/** Arrays and objects within each other, at most. */
const DEPTH_MAX = 64
/** Values in one message, and in the whole messages of one frame, at most. The largest write has 100,000 operations of seven values each. */
export const VALUES_MAX = 1_000_000

// Records would let the other side define structures that are compiled into functions. Copied byte arrays do not keep the
// whole frame they came in alive.
const OPTIONS = { useRecords: false, int64AsType: 'number', encodeUndefinedAsNil: true, mapsAsObjects: true } as const
const packr = new Packr({ ...OPTIONS, copyBuffers: true })
const viewPackr = new Packr(OPTIONS)

/** What is left to read in each open array or object. Shared, because nothing here is re-entered. */
const left = new Int32Array(DEPTH_MAX + 1)
/** Values met since `beginCount`. Shared for the same reason. */
const counted = { values: 0 }

/** What is skimmed from here on, until the next call, has a million values at most. */
export function beginCount (): void {
  counted.values = 0
}

/**
 * Finds the end of the value that begins at `start`, and counts the values in it.
 * @returns the offset behind it, or -1 when it is not a value of the contract, or the values are too many.
 */
export function skim (bytes: Uint8Array, start: number): number {
  const end = bytes.length
  let position = start
  let depth = 0
  left[0] = 1
  if (++counted.values > VALUES_MAX) return -1
  for (;;) {
    while (left[depth] === 0) {
      if (depth === 0) return position
      depth--
    }
    left[depth]!--
    if (position >= end) return -1
    const token = bytes[position++]!
    let elements = -1
    if (token < 0x80 || token >= 0xe0) continue
    if (token < 0x90) elements = (token & 0x0f) * 2
    else if (token < 0xa0) elements = token & 0x0f
    else if (token < 0xc0) position += token & 0x1f
    else {
      switch (token) {
        case 0xc0: case 0xc2: case 0xc3: break // null, false, true
        case 0xcc: case 0xd0: position += 1; break
        case 0xcd: case 0xd1: position += 2; break
        case 0xca: case 0xce: case 0xd2: position += 4; break
        case 0xcb: case 0xcf: case 0xd3: position += 8; break
        case 0xc4: case 0xd9: position += 1 + (position < end ? bytes[position]! : end); break
        case 0xc5: case 0xda: position += 2 + readLength(bytes, position, 2); break
        case 0xc6: case 0xdb: position += 4 + readLength(bytes, position, 4); break
        case 0xdc: elements = readLength(bytes, position, 2); position += 2; break
        case 0xdd: elements = readLength(bytes, position, 4); position += 4; break
        case 0xde: elements = readLength(bytes, position, 2) * 2; position += 2; break
        case 0xdf: elements = readLength(bytes, position, 4) * 2; position += 4; break
        default: return -1 // the extension types, and the one byte that MessagePack never uses
      }
    }
    if (position > end) return -1
    if (elements >= 0) {
      // Every element takes a byte at least.
      counted.values += elements
      if (elements > end - position || depth === DEPTH_MAX || counted.values > VALUES_MAX) return -1
      left[++depth] = elements
    }
  }
}

/** True when the bytes are one value of the contract, and no more. Begins to count anew. */
export function isMessage (bytes: Uint8Array): boolean {
  beginCount()
  return skim(bytes, 0) === bytes.length
}

/** A big-endian length; one that is cut off is longer than any frame. */
function readLength (bytes: Uint8Array, position: number, size: 2 | 4): number {
  if (position + size > bytes.length) return Number.MAX_SAFE_INTEGER / 4
  const high = (bytes[position]! << 8) | bytes[position + 1]!
  return size === 2 ? high : high * 0x10000 + ((bytes[position + 2]! << 8) | bytes[position + 3]!)
}

/**
 * A message as bytes that are nobody else's.
 * @throws {TypeError} when the message holds something that the other side would refuse.
 */
export function encodeMessage (message: unknown): Uint8Array {
  const bytes = packr.pack(message)
  if (!isMessage(bytes)) {
    throw new TypeError('A message is made of plain objects, arrays, strings, finite numbers, booleans, null and Uint8Arrays, nested at most 64 deep, and has at most a million values')
  }
  return bytes
}

/** @throws {RangeError} when the message does not fit into a frame, which the other side would refuse */
export function checkLength (bytes: Uint8Array, frameBytesMax: number): void {
  if (bytes.length >= frameBytesMax) throw new RangeError(`A message of ${bytes.length} bytes does not fit into a frame of ${frameBytesMax} bytes`)
}

/** @throws {TypeError} when the bytes are not one message. */
export function decodeMessage (bytes: Uint8Array): unknown {
  if (!isMessage(bytes)) throw new TypeError('not a message')
  return packr.unpack(bytes) as unknown
}

/**
 * The one value in bytes that nobody else will use, which were skimmed. A byte array that is most of them stays where it is instead of being
 * copied; all others are copied, so that none of them keeps the whole alive.
 */
export function unpackOwned (bytes: Uint8Array): unknown {
  return detached(viewPackr.unpack(bytes), bytes.length / 2)
}

/** The same value with its byte arrays copied, but for those longer than so many bytes. */
function detached (value: unknown, bytes: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return value.length > bytes ? value : Uint8Array.prototype.slice.call(value)
  if (Array.isArray(value)) {
    const list = value as unknown[]
    for (let index = 0; index < list.length; index++) list[index] = detached(list[index], bytes)
    return list
  }
  const fields = value as Record<string, unknown>
  for (const name of Object.keys(fields)) fields[name] = detached(fields[name], bytes)
  return fields
}

/** The value between two offsets, as `skim` found it. */
export function unpackBetween (bytes: Uint8Array, start: number, end: number): unknown {
  return packr.unpack(bytes, { start, end }) as unknown
}

/** All values that follow each other in bytes that were skimmed from the first to the last. */
export function unpackAll (bytes: Uint8Array): unknown[] {
  return bytes.length === 0 ? [] : packr.unpackMultiple(bytes) as unknown[]
}
