/**
 * Pieces: a long message crosses a connection in parts, between which whatever is more urgent may go.
 *
 * A piece is a byte with the channel and a mark, the place in which the message is put together, how long the whole message is, where in
 * it the piece begins, and its bytes: so many as there are, up to a fixed number. Of each channel a few messages may be under way at a
 * time, each in a place of its own. What was received of a message that the connection did not survive is gone with the connection.
 *
 * Owns: what arrived of unfinished messages. Invariant: per channel at most PLACES messages, which will have `messageBytesMax` bytes together.
 */

/** Marks a part of a frame that is a piece. */
export const PIECE = 0x40
/** Longer messages are cut. */
export const WHOLE_BYTES_MAX = 128 * 1024
/** Bytes of the message in each piece but the last. */
export const PIECE_BYTES = 64 * 1024
/** The mark, the place, the length of the message and where in it the piece begins. */
export const PIECE_HEAD_BYTES = 10
/** Messages of one channel that may be under way in pieces at a time. */
export const PLACES = 4

/** Which part of which message some bytes are. */
export interface Piece {
  readonly place: number
  readonly total: number
  readonly offset: number
}

/** Writes the head of a piece; returns the offset behind it. */
export function writePieceHead (frame: Buffer, position: number, channel: number, { place, total, offset }: Piece): number {
  frame[position] = channel | PIECE
  frame[position + 1] = place
  frame.writeUInt32BE(total, position + 2)
  return frame.writeUInt32BE(offset, position + 6)
}

interface Unfinished {
  readonly total: number
  /** Grows with what arrives, so that who begins a message and sends little of it costs little. Invariant: received <= bytes.length <= total. */
  bytes: Buffer
  received: number
}

/** Puts the messages of one channel together again. */
export class Assembly {
  readonly #messageBytesMax: number
  readonly #places: (Unfinished | undefined)[] = []
  /** Invariant: the length of all unfinished messages, at most messageBytesMax. */
  #bytes = 0

  constructor (messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax
  }

  /** What all unfinished messages will have, in bytes. */
  get bytes (): number {
    return this.#bytes
  }

  /** What they take now: at most twice what arrived of them. */
  get allocatedBytes (): number {
    return this.#places.reduce((sum, unfinished) => sum + (unfinished?.bytes.length ?? 0), 0)
  }

  /**
   * Takes the piece that begins at `start`, and copies its bytes.
   * @returns the offset behind it, and the message if this was the last piece of it
   * @throws {TypeError} when it is no piece, or not the next one of the message in its place
   */
  read (frame: Uint8Array, start: number): { readonly end: number, readonly message: Buffer | undefined } {
    const begin = start + PIECE_HEAD_BYTES
    if (begin > frame.length) throw new TypeError('a piece without its head')
    const place = frame[start + 1]!
    const total = readUInt32(frame, start + 2)
    const offset = readUInt32(frame, start + 6)
    if (place >= PLACES) throw new TypeError(`a piece of a message in place ${place} of ${PLACES}`)
    const end = begin + Math.min(PIECE_BYTES, total - offset)
    if (end > frame.length) throw new TypeError('a piece that is cut off')
    const unfinished = offset === 0 ? this.#begin(place, total) : this.#places[place]
    if (unfinished === undefined) throw new TypeError('a piece of a message that has not begun')
    if (unfinished.total !== total || unfinished.received !== offset) throw new TypeError('a piece of another message')
    unfinished.received += end - begin
    if (unfinished.received > unfinished.bytes.length) grow(unfinished)
    unfinished.bytes.set(frame.subarray(begin, end), offset)
    if (unfinished.received < total) return { end, message: undefined }
    this.#places[place] = undefined
    this.#bytes -= total
    return { end, message: unfinished.bytes }
  }

  #begin (place: number, total: number): Unfinished {
    if (this.#places[place] !== undefined) throw new TypeError('a message in the place of one that is unfinished')
    if (total <= WHOLE_BYTES_MAX || this.#bytes + total > this.#messageBytesMax) {
      throw new TypeError(`a message of ${total} bytes in pieces, beside ${this.#bytes} bytes of others`)
    }
    this.#bytes += total
    return this.#places[place] = { total, bytes: Buffer.alloc(0), received: 0 }
  }
}

/** Makes room for all that was received, and for as much again. */
function grow (unfinished: Unfinished): void {
  const { bytes, received, total } = unfinished
  unfinished.bytes = Buffer.allocUnsafeSlow(Math.min(total, 2 * received))
  unfinished.bytes.set(bytes)
}

const readUInt32 = (bytes: Uint8Array, position: number): number =>
  bytes[position]! * 0x1000000 + ((bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!)
