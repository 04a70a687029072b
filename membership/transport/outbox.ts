/**
 * What waits to be written to one connection: a queue per channel, taken in the order of the channels, in frames of a limited size. Long
 * messages leave the queue for long-messages.ts, and go in pieces after everything that is short, whatever its channel.
 *
 * Pure.
 */
import { CHANNELS, type Channel } from '../environment/environment.ts'
import { Fifo } from './fifo.ts'
import type { FramePart, QueuedMessage } from './frame-codec.ts'
import { LongMessages } from './long-messages.ts'
import { PIECE_HEAD_BYTES, WHOLE_BYTES_MAX } from './pieces.ts'

/** A frame takes nothing further once it holds this much, so that nothing urgent waits behind a long one. */
export const FRAME_BYTES_TARGET = 256 * 1024

/**
 * A channel's messages stay in their queue while more than this is in the socket's own, where nothing can overtake anything:
 * by channel, membership first. Bulk data may fill the socket least, control traffic always passes.
 */
const SOCKET_BYTES_MARKS: Readonly<Record<Channel, number>> = Object.freeze({
  [CHANNELS.membership]: Infinity,
  [CHANNELS.client]: 1024 * 1024,
  [CHANNELS.store]: 1024 * 1024,
  [CHANNELS.bulk]: 256 * 1024
})

/** The same for pieces: what is short in the next turn is not to wait behind many of them. */
const PIECES_MARK = 256 * 1024

const CHANNEL_ORDER: readonly Channel[] = Object.values(CHANNELS).sort((a, b) => a - b)

export interface Batch {
  readonly parts: readonly FramePart[]
  /** Of the frame: every message and one byte each for its channel, and pieces with their heads. */
  readonly bytes: number
  /** Of the pieces, and of what was short behind them. */
  readonly pieceBytes: number
  /** Messages that are complete with this frame. */
  readonly completed: number
}

/** What a frame gets while it is put together. */
interface Draft {
  readonly parts: FramePart[]
  bytes: number
  pieceBytes: number
  completed: number
  /** The last piece of a message is in it: nothing may follow. */
  ended: boolean
}

export class Outbox {
  readonly #queues: readonly Fifo<QueuedMessage>[] = CHANNEL_ORDER.map(() => new Fifo())
  readonly #long: LongMessages[]
  readonly #bytesMax: number
  readonly #longBytesMax: number
  /** Invariant: the bytes of all that waits, without those that went in pieces, one more for each message; at most bytesMax. */
  #bytes = 0

  /** @param longBytesMax what the long messages of one channel that are under way at a time may have together; none may be longer. */
  constructor (bytesMax: number, longBytesMax: number) {
    this.#bytesMax = bytesMax
    this.#longBytesMax = longBytesMax
    this.#long = CHANNEL_ORDER.map(() => new LongMessages(longBytesMax))
  }

  get bytes (): number {
    return this.#bytes
  }

  /** @returns false when the message does not fit and is lost. */
  push (channel: Channel, bytes: Uint8Array, stream: number): boolean {
    if (this.#bytes + bytes.length + 1 > this.#bytesMax || bytes.length > this.#longBytesMax) return false
    this.#queues[channel]!.push({ channel, bytes, stream })
    this.#bytes += bytes.length + 1
    if (bytes.length > WHOLE_BYTES_MAX) this.#long[channel]!.announce(stream)
    return true
  }

  /** True while a long message of that stream has not gone: what is sent on another one may overtake it. */
  isBusy (channel: Channel, stream: number): boolean {
    return this.#long[channel]!.has(stream)
  }

  /**
   * What the next frame holds; undefined when nothing may go now.
   * @param socketBytes how much the socket still has to write
   * @param pieceBytesMax no further piece goes once there are so many bytes of them
   */
  take (socketBytes: number, pieceBytesMax = Infinity): Batch | undefined {
    const draft: Draft = { parts: [], bytes: 0, pieceBytes: 0, completed: 0, ended: false }
    const full = this.#takeShort(draft, socketBytes)
    this.#bytes -= draft.bytes
    if (pieceBytesMax > 0) {
      for (const channel of CHANNEL_ORDER) {
        if (this.#long[channel]!.any && !draft.ended) this.#takePieces(draft, channel, socketBytes, pieceBytesMax, full)
      }
    }
    return draft.bytes === 0 ? undefined : draft
  }

  /** @returns true when there is more of it than a frame takes */
  #takeShort (draft: Draft, socketBytes: number): boolean {
    for (const channel of CHANNEL_ORDER) {
      const queue = this.#queues[channel]!
      const long = this.#long[channel]!
      for (let message = queue.peek(); message !== undefined; message = queue.peek()) {
        if (socketBytes + draft.bytes > SOCKET_BYTES_MARKS[channel]) break
        if (long.any && long.takes(message)) {
          queue.shift()
          continue
        }
        const size = message.bytes.length + 1
        if (draft.bytes > 0 && draft.bytes + size > FRAME_BYTES_TARGET) return true
        queue.shift()
        draft.parts.push(message)
        draft.bytes += size
        draft.completed++
      }
    }
    return false
  }

  /**
   * Adds pieces to a frame. One goes even if the frame is full without it: where what is short never ends, what is long gets its share. The
   * last piece of a message ends the frame: the other side has the values of one long message at a time.
   */
  #takePieces (draft: Draft, channel: Channel, socketBytes: number, pieceBytesMax: number, full: boolean): void {
    const ownMark = SOCKET_BYTES_MARKS[channel]
    const mark = ownMark === Infinity ? ownMark : Math.min(ownMark, PIECES_MARK)
    while (!draft.ended && draft.pieceBytes < pieceBytesMax) {
      const share = full && draft.pieceBytes === 0
      if (socketBytes + draft.bytes > (share ? ownMark : mark)) return
      if (draft.bytes >= FRAME_BYTES_TARGET && !share) return
      const part = this.#long[channel]!.next()
      if (part === undefined) return
      const { bytes: { length }, piece } = part
      draft.parts.push(part)
      const size = length + (piece === undefined ? 1 : PIECE_HEAD_BYTES)
      draft.bytes += size
      draft.pieceBytes += size
      this.#bytes -= length
      if (piece !== undefined && piece.offset + length < piece.total) continue
      draft.ended = piece !== undefined
      this.#bytes--
      draft.completed++
    }
  }

  /** Everything that waits, for another connection to the same peer. What went in part only goes as a whole there. */
  drainInto (other: Outbox): void {
    for (const channel of CHANNEL_ORDER) {
      // What has left the queue was in it before the rest of its stream.
      for (const message of this.#long[channel]!.drain()) other.push(channel, message.bytes, message.stream)
      this.#long[channel] = new LongMessages(this.#longBytesMax)
      const queue = this.#queues[channel]!
      for (let message = queue.shift(); message !== undefined; message = queue.shift()) other.push(channel, message.bytes, message.stream)
    }
    this.#bytes = 0
  }
}
