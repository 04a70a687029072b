/**
 * The long messages of one channel of one connection on their way out, in pieces, and what waits behind them.
 *
 * Messages of one stream keep their order, so what follows a long message in its stream waits in a queue of the stream; those of other
 * streams go past. Several long messages take turns by piece. As many of them are under way as the other side puts together at a time
 * (pieces.ts); further streams wait, and a stream that has sent a long message and has another one joins them at the end, so each has its turn.
 *
 * Pure.
 */
import { Fifo } from './fifo.ts'
import type { FramePart, QueuedMessage } from './frame-codec.ts'
import { PIECE_BYTES, PLACES, WHOLE_BYTES_MAX } from './pieces.ts'

export const isLong = (message: QueuedMessage): boolean => message.bytes.length > WHOLE_BYTES_MAX

interface Stream {
  readonly id: number
  readonly queue: Fifo<QueuedMessage>
  /** Long messages of it that were announced and have not been added. */
  announced: number
  /** Where the other side puts its long message together; -1 while it waits for a place. */
  place: number
  /** Bytes of the first message that have gone. */
  sent: number
}

export class LongMessages {
  readonly #messageBytesMax: number
  /** Invariant: each of them has something in its queue, or long messages announced. */
  readonly #streams = new Map<number, Stream>()
  /** Streams that have a place. Invariant: at most PLACES, and their places differ. */
  readonly #underWay: Stream[] = []
  readonly #waiting = new Fifo<Stream>()
  /** Invariant: the length of all long messages under way, at most messageBytesMax. */
  #bytes = 0
  #turn = 0

  /** @param messageBytesMax what the messages under way may have together; none may be longer. */
  constructor (messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax
  }

  /** True while there is any: before `takes` and `has`, for those who have no time. */
  get any (): boolean {
    return this.#streams.size > 0
  }

  /** True while a long message of that stream was announced and has not gone. */
  has (stream: number): boolean {
    return this.#streams.has(stream)
  }

  /** A long message of that stream will be added, once what was sent before it has gone. */
  announce (stream: number): void {
    const known = this.#streams.get(stream)
    if (known === undefined) this.#streams.set(stream, { id: stream, queue: new Fifo(), announced: 1, place: -1, sent: 0 })
    else known.announced++
  }

  /** Takes a message that is long, or has to stay behind a long one. @returns false for any other, and leaves it alone */
  takes (message: QueuedMessage): boolean {
    const stream = this.#streams.get(message.stream)
    if (stream === undefined) return false
    const idle = stream.queue.peek() === undefined
    if (isLong(message)) stream.announced--
    else if (idle) return false
    stream.queue.push(message)
    if (idle) this.#waiting.push(stream)
    return true
  }

  /** What goes next: a piece, or a whole message that was behind one. Undefined when there is nothing. */
  next (): FramePart | undefined {
    this.#admit()
    const stream = this.#underWay[this.#turn]
    if (stream === undefined) return undefined
    const message = stream.queue.peek()!
    const { length: total } = message.bytes
    let part: FramePart = message
    if (isLong(message)) {
      const { place, sent: offset } = stream
      stream.sent = Math.min(offset + PIECE_BYTES, total)
      part = { channel: message.channel, bytes: message.bytes.subarray(offset, stream.sent), piece: { place, total, offset } }
      if (stream.sent < total) {
        this.#turn = (this.#turn + 1) % this.#underWay.length
        return part
      }
      this.#bytes -= total
    }
    this.#gone(stream)
    return part
  }

  /** The first message of a stream has gone. What is short behind it follows in the next turns; a long one has to wait for its own. */
  #gone (stream: Stream): void {
    stream.sent = 0
    stream.queue.shift()
    const next = stream.queue.peek()
    if (next !== undefined && !isLong(next)) {
      this.#turn = (this.#turn + 1) % this.#underWay.length
      return
    }
    this.#underWay.splice(this.#turn, 1)
    if (this.#turn === this.#underWay.length) this.#turn = 0
    stream.place = -1
    if (next !== undefined) this.#waiting.push(stream)
    else if (stream.announced === 0) this.#streams.delete(stream.id)
  }

  /** Gives places to streams that wait, in their order, while there are places and the messages are not too long together. */
  #admit (): void {
    for (let stream = this.#waiting.peek(); stream !== undefined && this.#underWay.length < PLACES; stream = this.#waiting.peek()) {
      const { length } = stream.queue.peek()!.bytes
      if (this.#bytes + length > this.#messageBytesMax) return
      this.#waiting.shift()
      this.#bytes += length
      stream.place = 0
      while (this.#underWay.some(({ place }) => place === stream.place)) stream.place++
      this.#underWay.push(stream)
    }
  }

  /** Gives up everything that was added, each stream's in its order; of what has gone in part the whole. */
  * drain (): Generator<QueuedMessage> {
    for (const { queue } of this.#streams.values()) {
      for (let message = queue.shift(); message !== undefined; message = queue.shift()) yield message
    }
  }
}
