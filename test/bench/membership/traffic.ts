/**
 * What processes send and receive: bytes per process and second, messages and bytes per kind of message.
 *
 * Every message object is encoded once, by the codec of the WebSocket transport, however many receive it, and takes on each pair's
 * connection what its frame there would take: the difference from what was said before, where there is one. A process never opens
 * a second connection here. The headers of WebSocket frames, TCP and IP are not counted.
 *
 * Owns: the counts.
 */
import { CHANNELS } from '../../../membership/environment/environment.ts'
import type { MembershipMessage } from '../../../membership/messages.ts'
import { FrameEncoder } from '../../../membership/transport/frame-codec.ts'
import { encodeMessage } from '../../../membership/transport/message-codec.ts'

export type MessageKind = MembershipMessage['kind']

export interface KindCount {
  messages: number
  bytes: number
}

/** Bytes of every process in one second. */
interface Second {
  readonly received: Float64Array
  readonly sent: Float64Array
}

export type Direction = keyof Second

const CHANNEL_BYTES = 1
/** Longer messages are never sent as differences. */
const DIFFERENCES_MAX = 1024

export class Traffic {
  readonly #processes: number
  readonly #encoded = new WeakMap<object, Uint8Array>()
  /** By sender and receiver. */
  readonly #encoders = new Map<number, FrameEncoder>()
  readonly #seconds: Second[] = []
  /** Sent since the beginning, or since the last `reset`. */
  readonly kinds = new Map<MessageKind, KindCount>()
  messages = 0

  constructor (processes: number) {
    this.#processes = processes
  }

  /** A message as bytes. @param shared whether the same object may be sent again. */
  encode (message: MembershipMessage, shared: boolean): Uint8Array {
    // The bytes of a configuration are the same object in every snapshot of it, where the messages around them are not.
    const key: object | undefined = message.kind === 'snapshot' ? message.configuration : shared ? message : undefined
    let bytes = key === undefined ? undefined : this.#encoded.get(key)
    if (bytes === undefined) {
      bytes = encodeMessage(message)
      if (key !== undefined) this.#encoded.set(key, bytes)
    }
    return bytes
  }

  /** What the next message from one process to another takes in its frame. */
  bytesBetween (from: number, to: number, message: Uint8Array): number {
    const plain = message.length + CHANNEL_BYTES
    if (message.length > DIFFERENCES_MAX) return plain
    const pair = from * this.#processes + to
    let encoder = this.#encoders.get(pair)
    if (encoder === undefined) this.#encoders.set(pair, encoder = new FrameEncoder())
    return encoder.encode([{ channel: CHANNELS.membership, bytes: message }], plain).length
  }

  sent (nowMs: number, process: number, kind: MessageKind, bytes: number): void {
    this.messages++
    this.#second(nowMs).sent[process]! += bytes
    const count = this.kinds.get(kind)
    if (count === undefined) {
      this.kinds.set(kind, { messages: 1, bytes })
    } else {
      count.messages++
      count.bytes += bytes
    }
  }

  received (nowMs: number, process: number, bytes: number): void {
    this.#second(nowMs).received[process]! += bytes
  }

  /** Begins counting anew by kind. */
  resetKinds (): void {
    this.kinds.clear()
  }

  /** Bytes per second of these processes in whole seconds, one number for each process and second, ascending. */
  perSecond (direction: Direction, fromMs: number, untilMs: number, processes: readonly number[]): Float64Array {
    const values: number[] = []
    for (let second = Math.ceil(fromMs / 1000); second < Math.floor(untilMs / 1000); second++) {
      const counts = this.#seconds[second]?.[direction]
      for (const process of processes) values.push(counts?.[process] ?? 0)
    }
    return Float64Array.from(values).sort()
  }

  #second (nowMs: number): Second {
    const second = Math.floor(nowMs / 1000)
    return this.#seconds[second] ??= { received: new Float64Array(this.#processes), sent: new Float64Array(this.#processes) }
  }
}
