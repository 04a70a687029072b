/**
 * What processes send and receive: bytes per process and second, messages and bytes per kind of message.
 *
 * Every message object is encoded once, by the codec of the WebSocket transport, however many receive it. A byte more stands for the
 * channel, as in a frame; frame headers, TCP and IP are not counted.
 *
 * Owns: the counts.
 */
import { type MembershipMessage } from '../../../membership/messages.ts'
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

export class Traffic {
  readonly #processes: number
  readonly #sizes = new WeakMap<object, number>()
  readonly #seconds: Second[] = []
  /** Sent since the beginning, or since the last `reset`. */
  readonly kinds = new Map<MessageKind, KindCount>()
  messages = 0

  constructor (processes: number) {
    this.#processes = processes
  }

  /** The size of a message. @param shared whether the same object may be sent again. */
  bytesOf (message: MembershipMessage, shared: boolean): number {
    // The bytes of a configuration are the same object in every snapshot of it, where the messages around them are not.
    const key: object | undefined = message.kind === 'snapshot' ? message.configuration : shared ? message : undefined
    let bytes = key === undefined ? undefined : this.#sizes.get(key)
    if (bytes === undefined) {
      bytes = encodeMessage(message).length + CHANNEL_BYTES
      if (key !== undefined) this.#sizes.set(key, bytes)
    }
    return bytes
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
