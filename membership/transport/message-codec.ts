/**
 * Messages as bytes: MessagePack, of which only what the `Transport` contract allows is written and read.
 *
 * A frame is a sequence of MessagePack values: channel, message, channel, message, and so on. What arrives is checked before
 * it is decoded: extension types (which could build cycles, regular expressions or generated code), lengths that point beyond
 * the frame, deep nesting, and more values than any message has: an empty object is one byte in a frame and a hundred in memory.
 *
 * Pure.
 */
import { Packr } from 'msgpackr'
import { CHANNELS, type Channel } from '../environment/environment.ts'

/** Arrays and objects within each other, at most. */
const DEPTH_MAX = 64
/** Values in one frame, at most. The largest write has 100,000 operations of seven values each; no frame has two of those. */
const VALUES_MAX = 1_000_000
const CHANNEL_MAX = Math.max(...Object.values(CHANNELS))

// Records would let the other side define structures that are compiled into functions. Copied byte arrays do not keep the
// whole frame they came in alive.
const packr = new Packr({ useRecords: false, copyBuffers: true, int64AsType: 'number', encodeUndefinedAsNil: true, mapsAsObjects: true })

/** What is left to read in each open array or object. Shared, because nothing here is re-entered. */
const left = new Int32Array(DEPTH_MAX + 1)
/** Values met since it was last set to zero. Shared for the same reason. */
const counted = { values: 0 }

/**
 * Finds the end of the value that begins at `start`, and adds the values in it to `counted`.
 * @returns the offset behind it, or -1 when it is not a value of the contract, or the values are too many.
 */
function skim (bytes: Uint8Array, start: number): number {
  const end = bytes.length
  let position = start
  let depth = 0
  left[0] = 1
  counted.values++
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

/** True when the bytes are one value of the contract, and no more. */
function isMessage (bytes: Uint8Array): boolean {
  counted.values = 0
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

/** @throws {TypeError} when the bytes are not one message. */
export function decodeMessage (bytes: Uint8Array): unknown {
  if (!isMessage(bytes)) throw new TypeError('not a message')
  return packr.unpack(bytes) as unknown
}

/**
 * The values of a frame: channel, message, channel, message ...
 * @throws {TypeError} when the bytes are not a frame.
 */
export function decodeFrame (frame: Uint8Array): unknown[] {
  let position = 0
  counted.values = 0
  while (position < frame.length) {
    if (frame[position]! > CHANNEL_MAX) throw new TypeError('unknown channel')
    position = skim(frame, position + 1)
    if (position === -1 || counted.values > VALUES_MAX) throw new TypeError('not a frame')
  }
  return frame.length === 0 ? [] : packr.unpackMultiple(frame) as unknown[]
}

/** Encoded messages, waiting to be put into frames. */
export interface EncodedMessage {
  readonly channel: Channel
  readonly bytes: Uint8Array
}

/** One frame of encoded messages, whose sizes with one byte each for the channel add up to `bytes`. */
export function encodeFrame (messages: readonly EncodedMessage[], bytes: number): Uint8Array {
  const frame = Buffer.allocUnsafe(bytes)
  let position = 0
  for (const message of messages) {
    frame[position++] = message.channel
    frame.set(message.bytes, position)
    position += message.bytes.length
  }
  return frame
}
