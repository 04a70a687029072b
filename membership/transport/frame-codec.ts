/**
 * Frames: all messages to a peer of one turn of the event loop, one behind the other.
 *
 * A frame is a sequence of parts: a byte with the channel, then the message. Members say nearly the same to each other again and
 * again (a probe differs from the one before in its number), so on the membership channel a short message is sent as its
 * difference from one of the last few on this connection: the byte has its highest bit set, and what follows is which message
 * it resembles, how many bytes at its start and at its end are the same, and the bytes between. Both sides remember
 * the same messages, because a connection delivers everything in order, or ends. Of long messages a frame has pieces (pieces.ts), the last
 * one of a message at its end: so a frame has a million values at most, and those of one long message.
 *
 * Owns: what one direction of one connection remembers.
 */
import { CHANNELS, type Channel } from '../environment/environment.ts'
import { beginCount, isMessage, skim, unpackAll, unpackBetween, unpackOwned } from './message-codec.ts'
import { Assembly, type Piece, PIECE, writePieceHead } from './pieces.ts'

/** What a frame has of a channel: an encoded message, or a piece of one. */
export interface FramePart {
  readonly channel: Channel
  readonly bytes: Uint8Array
  /** Set for a piece. */
  readonly piece?: Piece
}

/** An encoded message that waits to be put into frames, after those of its stream that came before. */
export interface QueuedMessage {
  readonly channel: Channel
  readonly bytes: Uint8Array
  readonly stream: number
}

const CHANNEL_MAX = Math.max(...Object.values(CHANNELS))
/** Marks a part that is a difference. */
const DIFFERENCE = 0x80
/** Messages remembered per direction: probes, their answers, and a little more. */
const REMEMBERED = 4
/** Longer messages are neither remembered nor sent as differences. */
const BYTES_MAX = 1024
/** Memory for them is taken in steps, so that those of nearly one length need it once. */
const BYTES_STEP = 64
/** A difference has a head of at most so many bytes: its kind, the message it resembles, and three lengths. */
const HEAD_BYTES_MAX = 8

interface Resemblance {
  readonly index: number
  readonly prefix: number
  readonly suffix: number
}

/** A remembered message: the first `length` bytes. */
interface Remembered {
  bytes: Uint8Array
  length: number
}

/** The last messages, the latest first. A message takes the place of one that it resembles by half at least, so that each sort keeps one. */
class Memory {
  /** Invariant: length <= REMEMBERED, and no two share their bytes. */
  readonly #messages: Remembered[] = []

  /** The message of that index; undefined when there is none. Changes with the next `remember`. */
  at (index: number): Uint8Array | undefined {
    const known = this.#messages[index]
    return known?.bytes.subarray(0, known.length)
  }

  /** Copies a message, over the one that it resembles or else over the oldest. */
  remember (message: Uint8Array, resembles: Resemblance | undefined): void {
    const { length } = message
    if (length > BYTES_MAX) return
    const messages = this.#messages
    const isAlike = resembles !== undefined && 2 * (resembles.prefix + resembles.suffix) >= length
    const isFull = messages.length === REMEMBERED
    const known = isAlike ? messages.splice(resembles.index, 1)[0] : isFull ? messages.pop() : undefined
    const slot = known ?? { bytes: new Uint8Array(0), length: 0 }
    if (slot.bytes.length < length) slot.bytes = new Uint8Array(Math.ceil(length / BYTES_STEP) * BYTES_STEP)
    slot.bytes.set(message)
    slot.length = length
    messages.unshift(slot)
  }

  /** What a message resembles most, if that makes it shorter. */
  resembled (message: Uint8Array): Resemblance | undefined {
    if (message.length > BYTES_MAX) return undefined
    let best: Resemblance | undefined
    let most = 2 * HEAD_BYTES_MAX
    for (let index = 0; index < this.#messages.length; index++) {
      const { bytes, length: otherLength } = this.#messages[index]!
      const length = Math.min(message.length, otherLength)
      let prefix = 0
      while (prefix < length && message[prefix] === bytes[prefix]) prefix++
      let suffix = 0
      while (suffix < length - prefix && message[message.length - 1 - suffix] === bytes[otherLength - 1 - suffix]) suffix++
      if (prefix + suffix <= most) continue
      most = prefix + suffix
      best = { index, prefix, suffix }
    }
    return best
  }
}

/** Puts messages into the frames of one connection. */
export class FrameEncoder {
  readonly #memory = new Memory()

  /** @param bytes what the messages and one byte each for the channel add up to; of pieces, with their heads. */
  encode (parts: readonly FramePart[], bytes: number): Uint8Array {
    const frame = Buffer.allocUnsafe(bytes)
    let position = 0
    for (const { channel, bytes: message, piece } of parts) {
      if (piece !== undefined) {
        position = writePieceHead(frame, position, channel, piece)
        frame.set(message, position)
        position += message.length
        continue
      }
      const resembles = channel === CHANNELS.membership ? this.#memory.resembled(message) : undefined
      if (resembles === undefined) {
        frame[position++] = channel
        frame.set(message, position)
        position += message.length
      } else {
        const { index, prefix, suffix } = resembles
        frame[position++] = channel | DIFFERENCE
        frame[position++] = index
        position = writeLength(frame, position, prefix)
        position = writeLength(frame, position, suffix)
        position = writeLength(frame, position, message.length - prefix - suffix)
        frame.set(message.subarray(prefix, message.length - suffix), position)
        position += message.length - prefix - suffix
      }
      if (channel === CHANNELS.membership) this.#memory.remember(message, resembles)
    }
    return frame.subarray(0, position)
  }
}

/** Takes the frames of one connection apart. After an error nothing that follows makes sense any more. */
export class FrameDecoder {
  readonly #memory = new Memory()
  readonly #messageBytesMax: number
  /** By channel, from its first piece on. */
  readonly #assemblies: (Assembly | undefined)[] = []

  /** @param messageBytesMax the largest message in pieces, and what all unfinished ones of a channel may have together */
  constructor (messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax
  }

  /** What all unfinished messages will have, in bytes. */
  get unfinishedBytes (): number {
    return this.#assemblies.reduce((sum, assembly) => sum + (assembly?.bytes ?? 0), 0)
  }

  /**
   * The values of a frame: channel, message, channel, message ...
   * @throws {TypeError} when the bytes are not a frame.
   */
  decode (frame: Uint8Array): unknown[] {
    beginCount()
    // Where no message is remembered, as in bulk and client traffic, the frame is a sequence of values as it stands.
    const plainEnd = skimPlain(frame)
    if (plainEnd === frame.length) return unpackAll(frame)
    const values = plainEnd === 0 ? [] : unpackAll(frame.subarray(0, plainEnd))
    for (let position = plainEnd; position < frame.length;) {
      const kind = frame[position]!
      const channel = kind & ~(DIFFERENCE | PIECE)
      if (channel > CHANNEL_MAX) throw new TypeError('unknown channel')
      if ((kind & PIECE) !== 0) {
        if ((kind & DIFFERENCE) !== 0) throw new TypeError('a piece of a difference')
        position = this.#readPiece(frame, position, channel, values)
        continue
      }
      values.push(channel)
      if (kind !== channel) {
        if (channel !== CHANNELS.membership) throw new TypeError('a difference on a channel that has none')
        position = this.#readDifference(frame, position + 1, values)
        continue
      }
      const end = skim(frame, position + 1)
      if (end === -1) throw new TypeError('not a frame')
      values.push(unpackBetween(frame, position + 1, end))
      if (channel === CHANNELS.membership && end - position - 1 <= BYTES_MAX) this.#memory.remember(frame.subarray(position + 1, end), undefined)
      position = end
    }
    return values
  }

  #readPiece (frame: Uint8Array, start: number, channel: number, values: unknown[]): number {
    const assembly = this.#assemblies[channel] ??= new Assembly(this.#messageBytesMax)
    const { end, message } = assembly.read(frame, start)
    if (message !== undefined) {
      if (end !== frame.length) throw new TypeError('something behind the last piece of a message')
      if (!isMessage(message)) throw new TypeError('not a message')
      values.push(channel, unpackOwned(message))
    }
    return end
  }

  #readDifference (frame: Uint8Array, start: number, values: unknown[]): number {
    const index = frame[start] ?? REMEMBERED
    const base = this.#memory.at(index)
    const [prefix, afterPrefix] = readLength(frame, start + 1)
    const [suffix, afterSuffix] = readLength(frame, afterPrefix)
    const [middle, begin] = readLength(frame, afterSuffix)
    const length = prefix + middle + suffix
    if (base === undefined || prefix + suffix > base.length || length > BYTES_MAX || begin + middle > frame.length) {
      throw new TypeError('a difference from nothing')
    }
    const message = new Uint8Array(length)
    message.set(base.subarray(0, prefix))
    message.set(frame.subarray(begin, begin + middle), prefix)
    message.set(base.subarray(base.length - suffix), prefix + middle)
    if (skim(message, 0) !== length) throw new TypeError('not a message')
    values.push(unpackBetween(message, 0, length))
    this.#memory.remember(message, { index, prefix, suffix })
    return begin + middle
  }
}

/** The end of the parts at the beginning of a frame that are neither remembered nor differences nor pieces. */
function skimPlain (frame: Uint8Array): number {
  let position = 0
  while (position < frame.length && frame[position]! !== CHANNELS.membership && (frame[position]! & (DIFFERENCE | PIECE)) === 0) {
    if (frame[position]! > CHANNEL_MAX) throw new TypeError('unknown channel')
    position = skim(frame, position + 1)
    if (position === -1) throw new TypeError('not a frame')
  }
  return position
}

/** A length below 2^14, in one byte or two: seven bits each, the lower ones first. Returns the offset behind it. */
function writeLength (frame: Uint8Array, position: number, length: number): number {
  if (length < 0x80) {
    frame[position] = length
    return position + 1
  }
  frame[position] = 0x80 | (length & 0x7f)
  frame[position + 1] = length >>> 7
  return position + 2
}

/** A length and the offset behind it. One that is cut off is longer than any message. */
function readLength (frame: Uint8Array, position: number): [number, number] {
  const low = frame[position]
  if (low === undefined) return [Infinity, position]
  if (low < 0x80) return [low, position + 1]
  const high = frame[position + 1]
  return high === undefined ? [Infinity, position] : [(low & 0x7f) | (high << 7), position + 2]
}
