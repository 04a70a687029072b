/**
 * What waits to be written to one connection: a queue per channel, taken in the order of the channels, in frames of a limited size.
 *
 * Pure.
 */
import { CHANNELS, type Channel } from '../environment/environment.ts'
import type { EncodedMessage } from './frame-codec.ts'

/** A frame is closed once it holds this much, so that nothing urgent waits behind a long one. One large message may exceed it. */
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

const CHANNEL_ORDER: readonly Channel[] = Object.values(CHANNELS).sort((a, b) => a - b)

/** A first-in first-out queue whose head moves through an array. */
class Fifo {
  #items: EncodedMessage[] = []
  #head = 0

  peek (): EncodedMessage | undefined {
    return this.#items[this.#head]
  }

  push (item: EncodedMessage): void {
    this.#items.push(item)
  }

  shift (): void {
    this.#head++
    if (this.#head === this.#items.length) {
      this.#items.length = 0
      this.#head = 0
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
  }
}

export interface Batch {
  readonly messages: readonly EncodedMessage[]
  /** Of the frame: every message and one byte each for its channel. */
  readonly bytes: number
}

export class Outbox {
  readonly #queues: readonly Fifo[] = CHANNEL_ORDER.map(() => new Fifo())
  readonly #bytesMax: number
  /** Invariant: the bytes of all queued messages, one more each; at most bytesMax. */
  #bytes = 0

  constructor (bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes (): number {
    return this.#bytes
  }

  /** @returns false when the message does not fit and is lost. */
  push (channel: Channel, bytes: Uint8Array): boolean {
    if (this.#bytes + bytes.length + 1 > this.#bytesMax) return false
    this.#queues[channel]!.push({ channel, bytes })
    this.#bytes += bytes.length + 1
    return true
  }

  /** What the next frame holds, given how much the socket still has to write; undefined when nothing may go now. */
  take (socketBytes: number): Batch | undefined {
    const messages: EncodedMessage[] = []
    let bytes = 0
    for (const channel of CHANNEL_ORDER) {
      const queue = this.#queues[channel]!
      for (let message = queue.peek(); message !== undefined; message = queue.peek()) {
        if (socketBytes + bytes > SOCKET_BYTES_MARKS[channel]) break
        const size = message.bytes.length + 1
        if (bytes > 0 && bytes + size > FRAME_BYTES_TARGET) {
          this.#bytes -= bytes
          return { messages, bytes }
        }
        queue.shift()
        messages.push(message)
        bytes += size
      }
    }
    this.#bytes -= bytes
    return bytes === 0 ? undefined : { messages, bytes }
  }

  /** Everything that waits, for another connection to the same peer. */
  drainInto (other: Outbox): void {
    for (const queue of this.#queues) {
      for (let message = queue.peek(); message !== undefined; message = queue.peek()) {
        queue.shift()
        other.push(message.channel, message.bytes)
      }
    }
    this.#bytes = 0
  }
}
