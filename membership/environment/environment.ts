/**
 * Everything from outside that a node uses: time, chance, the network, the disk, a log.
 *
 * Protocol cores see none of it; the shells around them receive it from here. Production values come from
 * `system.ts` and `../transport`; the deterministic simulator implements the same interfaces, so that the very same
 * classes run on WebSockets and in virtual time.
 */
import type { AbstractLevel } from 'abstract-level'

/** `host:port`, as others reach it. */
export type Address = string

/** Cancels a timer; calling it twice, or after the timer fired, does nothing. */
export type CancelTimer = () => void

export interface Clock {
  /** Monotonic time in milliseconds, from an arbitrary origin. Never goes back. */
  now (): number
  /** Wall-clock time in milliseconds since 1970. For people to read; a protocol may only take it as a reason to doubt, since it jumps. */
  wallNow (): number
  /** Calls back once, no earlier than `delayMs` from now. A pending timer keeps the process alive unless `unref` is set. */
  setTimer (delayMs: number, callback: () => void): CancelTimer
}

export interface Random {
  /** Uniform in [0, 1). */
  next (): number
  /** A fresh id of 128 random bits, as 32 lower-case hexadecimal digits. */
  id (): string
}

export interface Log {
  debug (fields: Readonly<Record<string, unknown>>, message: string): void
  info (fields: Readonly<Record<string, unknown>>, message: string): void
  warn (fields: Readonly<Record<string, unknown>>, message: string): void
  error (fields: Readonly<Record<string, unknown>>, message: string): void
}

/** Keys and values are bytes; the encodings of callers are set per call or per sublevel. */
export type Database = AbstractLevel<string | Buffer | Uint8Array, Uint8Array, Uint8Array>

/** Opens (creating it when absent) the database of one directory. The same directory gives the same data. */
export type StorageFactory = (directory: string) => Database

/** Who a message came from, and the way to answer it. */
export interface Remote {
  /** The address the other side listens on, or undefined for one that does not listen (a client). */
  readonly address: Address | undefined
  /** Identifies the underlying connection among all of this transport's; a client that reconnects gets another. */
  readonly connectionId: number
  /** Queues an answer on the connection the message came by, in a stream as `send` does. Lost, silently, when that connection is gone. */
  reply (message: unknown, stream?: number): void
  /** Bytes queued on that connection and not yet handed to the operating system; 0 when it is gone. For backpressure. */
  queuedBytes (): number
}

/**
 * What is known about the connection to an address. `opened` and `closed` speak of an established connection; `refused` of
 * an attempt that the other host answered with a refusal (nobody listens there); `unreachable` of one that nobody answered.
 */
export interface LinkEvent {
  readonly kind: 'opened' | 'closed' | 'refused' | 'unreachable'
  readonly address: Address
  /** Set for a link to a peer that does not listen. */
  readonly connectionId?: number
}

/** Independent message streams over one connection. Lower numbers go first when a connection is congested. */
export const CHANNELS = Object.freeze({ membership: 0, client: 1, store: 2, bulk: 3 } as const)
export type Channel = typeof CHANNELS[keyof typeof CHANNELS]

/**
 * Sends messages between addresses. A message is a tree of plain objects, arrays, strings, finite numbers, booleans, null and
 * Uint8Arrays. It arrives at most once, in the order sent per (pair, channel, stream), or it is lost; nothing else is promised.
 *
 * A stream is any number that the sender chooses. What has no order with anything is sent in a stream of its own, so that a long message
 * need not be waited for: messages of other streams may overtake it.
 */
export interface Transport {
  /** Where others reach this transport. A client's transport, which does not listen, has none. Final once started. */
  readonly address: Address | undefined
  /** Begins to listen (unless it is a client's). @throws {TransportError} TRANSPORT_ADDRESS_IN_USE, TRANSPORT_ADDRESS_INVALID */
  start (): Promise<void>
  /**
   * Queues a message; connects first where there is no connection. Messages to one address in one turn of the event loop
   * share frames. Never throws for a peer that cannot be reached: the message is lost and a link event says why. After an attempt to connect
   * that failed there may be a pause, in which messages are lost and no event says so; `connect` makes an attempt at once.
   * @param stream a natural number. @default 0
   * @throws {TypeError} for what no message is, or a million values; {RangeError} for what is longer than a frame
   */
  send (to: Address, channel: Channel, message: unknown, stream?: number): void
  /** True while what is sent to that address on another stream may overtake what was sent on this one. */
  isBusy (to: Address, channel: Channel, stream: number): boolean
  /** Sends one message to several peers, as `send` does to each, in stream 0; it is encoded once. */
  sendToAll (to: readonly Address[], channel: Channel, message: unknown): void
  /** Sets the one receiver of a channel. The message has been decoded, not validated: treat it as hostile. */
  receive (channel: Channel, receiver: (message: unknown, from: Remote) => void): void
  /** Adds a listener of link events. Returns a function that removes it. */
  onLink (listener: (event: LinkEvent) => void): () => void
  /** Bytes queued towards an address and not yet handed to the operating system. For backpressure. */
  queuedBytes (to: Address): number
  /** Opens a connection to an address without sending anything, if there is none. A link event tells what came of it. */
  connect (to: Address): void
  /** Stops listening, closes every connection, drops what is queued. */
  close (): Promise<void>
}

export interface Environment {
  readonly clock: Clock
  readonly random: Random
  readonly transport: Transport
  readonly storage: StorageFactory
  readonly log: Log
}
