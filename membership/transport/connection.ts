/**
 * One WebSocket between two transports: the hello in each direction, then frames of messages.
 *
 * Owns: the socket, the outbox, and the timer that waits for the hello. Which connection is used for whom is the transport's
 * business.
 */
import type { RawData, WebSocket } from 'ws'
import type { Address, CancelTimer, Channel, Clock, Remote } from '../environment/environment.ts'
import type { DialEvents } from './dial.ts'
import { FrameDecoder, FrameEncoder } from './frame-codec.ts'
import { decodeHello, encodeHello, type Hello } from './hello.ts'
import { checkLength, encodeMessage } from './message-codec.ts'
import { Outbox } from './outbox.ts'

/** Pieces of long messages that a connection sends in one turn of the event loop, about, in bytes. */
const PIECE_BYTES_PER_TURN = 256 * 1024

const BINARY = Object.freeze({ binary: true, compress: false })

/** What passed the connections of one transport since it was made: the payloads of WebSocket frames, hellos included. */
export interface TransportTraffic {
  readonly sent: { readonly messages: number, readonly frames: number, readonly bytes: number }
  readonly received: { readonly messages: number, readonly frames: number, readonly bytes: number }
}

/** Counts one direction. */
export class TrafficCounter {
  messages = 0
  frames = 0
  bytes = 0

  count (messages: number, bytes: number): void {
    this.messages += messages
    this.frames++
    this.bytes += bytes
  }
}

/** What a connection reports, and what it may ask. */
export interface ConnectionOwner {
  readonly clock: Clock
  readonly helloTimeoutMs: number
  readonly queueBytesMax: number
  /** The largest message that either side may send, in pieces or not. */
  readonly frameBytesMax: number
  readonly sent: TrafficCounter
  readonly received: TrafficCounter
  /** What this side says of itself. */
  hello (): Hello
  /** The other side said who it is. */
  onHello (connection: Connection, hello: Hello): void
  onMessage (connection: Connection, channel: Channel, message: unknown): void
  /** The connection is gone; called once. `reason` is set when the other side broke the rules. */
  onEnd (connection: Connection, end: ConnectionEnd): void
  /** An answer of so many bytes is lost: too much is queued for the other side. */
  lost (connection: Connection, bytes: number): void
  /** Has `flush` called once in this turn of the event loop, after everything that is ready. */
  scheduleFlush (connection: Connection): void
}

export interface ConnectionEnd {
  /** Code of the system error that ended it, such as ECONNREFUSED. */
  readonly code: string | undefined
  readonly reason: string | undefined
}

export class Connection {
  readonly id: number
  /** The address this side dialled; undefined on the side that accepted. */
  readonly dialled: Address | undefined
  readonly outbox: Outbox
  /** What the other side said; undefined before its hello. */
  hello: Hello | undefined
  /** Every address that messages to this connection are sent under: the one in the hello, and others that were dialled. */
  readonly names = new Set<Address>()
  /** Sweeps in a row that saw nothing arrive. */
  silentSweeps = 0
  /** True once the other side broke the rules. */
  broke = false
  /** True while a flush is scheduled. */
  dirty = false
  /** Undefined while the attempt to connect is under way. */
  #socket: WebSocket | undefined
  #giveUp: () => void = () => {}
  readonly #owner: ConnectionOwner
  readonly #encoder = new FrameEncoder()
  readonly #decoder: FrameDecoder
  readonly #remotes = new Map<Channel, Remote>()
  /** Invariant: messages pass only while open, and a closed connection never opens again. */
  #state: 'greeting' | 'open' | 'closed' = 'greeting'
  #cancelHello: CancelTimer = () => {}
  #code: string | undefined
  #reason: string | undefined

  constructor (id: number, dialled: Address | undefined, owner: ConnectionOwner) {
    this.id = id
    this.dialled = dialled
    this.outbox = new Outbox(owner.queueBytesMax, owner.frameBytesMax)
    this.#decoder = new FrameDecoder(owner.frameBytesMax)
    this.#owner = owner
  }

  /** Makes the connection by an attempt, which `begin` begins; it returns what ends it. */
  dial (begin: (events: DialEvents) => () => void): void {
    this.#giveUp = begin({
      connected: socket => {
        if (this.#state === 'closed') socket.terminate()
        this.attach(socket)
      },
      failed: error => {
        this.#code = error.code
        this.#reason ??= error.message
        this.#ended()
      }
    })
  }

  /** The connection's WebSocket, whether it is open already or about to shake hands. */
  attach (socket: WebSocket): void {
    this.#socket = socket
    // A dialled socket has a timeout of its own until it is connected.
    if (socket.readyState === socket.OPEN) this.#awaitHello()
    socket.on('open', () => this.#awaitHello())
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary))
    socket.on('pong', () => { this.silentSweeps = 0 })
    socket.on('error', error => {
      this.#code = (error as NodeJS.ErrnoException).code
      this.#reason ??= error.message
      // A frame that is no frame, or too large: without this, the other side could take its time to close.
      if (this.#code?.startsWith('WS_ERR_') === true) this.fail(error.message)
    })
    socket.on('close', () => this.#ended())
    socket.on('ping', () => { this.silentSweeps = 0 })
  }

  get isOpen (): boolean {
    return this.#state === 'open'
  }

  #awaitHello (): void {
    if (this.dialled !== undefined) this.greet()
    this.#cancelHello = this.#owner.clock.setTimer(this.#owner.helloTimeoutMs, () => {
      if (this.hello === undefined) this.fail(`no hello within ${this.#owner.helloTimeoutMs} ms`)
    })
  }

  /** Tells the other side who this is: when connected on the side that dialled, as the answer on the other. */
  greet (): void {
    const hello = encodeHello(this.#owner.hello())
    this.#owner.sent.count(0, hello.length)
    this.#socket?.send(hello, BINARY)
  }

  /** From now on messages pass. */
  open (): void {
    if (this.#state !== 'greeting') return
    this.#state = 'open'
    if (this.outbox.bytes > 0) this.#owner.scheduleFlush(this)
  }

  /** @returns false when the outbox is full and the message is lost. */
  send (channel: Channel, bytes: Uint8Array, stream: number): boolean {
    if (!this.outbox.push(channel, bytes, stream)) return false
    if (this.#state === 'open' && !this.dirty) this.#owner.scheduleFlush(this)
    return true
  }

  /**
   * Writes what the socket takes. What it does not take now goes when it has written what it has; and of long messages only so much goes in
   * one turn, since a socket of this machine would take all of it, and everything else would wait for that.
   */
  flush (): void {
    const socket = this.#socket
    if (this.#state !== 'open' || socket === undefined) return
    let pieceBytes = PIECE_BYTES_PER_TURN
    for (;;) {
      const batch = this.outbox.take(socket.bufferedAmount, pieceBytes)
      if (batch === undefined) break
      pieceBytes -= batch.pieceBytes
      const frame = this.#encoder.encode(batch.parts, batch.bytes)
      this.#owner.sent.count(batch.completed, frame.length)
      socket.send(frame, BINARY, this.#onWritten)
    }
    if (pieceBytes <= 0 && this.outbox.bytes > 0 && !this.dirty) this.#owner.scheduleFlush(this)
  }

  readonly #onWritten = (): void => {
    if (this.outbox.bytes > 0 && !this.dirty) this.#owner.scheduleFlush(this)
  }

  get queuedBytes (): number {
    return this.outbox.bytes + (this.#socket?.bufferedAmount ?? 0)
  }

  /** Asks the other side for a sign of life. */
  ping (): void {
    if (this.#state === 'open') this.#socket?.ping()
  }

  remote (channel: Channel): Remote {
    let remote = this.#remotes.get(channel)
    if (remote === undefined) {
      remote = {
        address: this.hello?.address,
        connectionId: this.id,
        reply: (message, stream = 0) => {
          const bytes = encodeMessage(message)
          checkLength(bytes, this.#owner.frameBytesMax)
          if (this.#state === 'open' && !this.send(channel, bytes, stream)) this.#owner.lost(this, bytes.length)
        },
        queuedBytes: () => this.#state === 'open' ? this.queuedBytes : 0
      }
      this.#remotes.set(channel, remote)
    }
    return remote
  }

  #receive (data: RawData, isBinary: boolean): void {
    if (this.#state === 'closed') return
    this.silentSweeps = 0
    if (!isBinary) {
      this.fail('a text frame')
      return
    }
    let values: unknown[]
    try {
      if (this.hello === undefined) {
        this.#owner.received.count(0, (data as Buffer).length)
        this.hello = decodeHello(data as Buffer)
        this.#cancelHello()
        this.#owner.onHello(this, this.hello)
        return
      }
      if (this.#state !== 'open') throw new TypeError('a message before the hello was answered')
      values = this.#decoder.decode(data as Buffer)
    } catch (error) {
      this.fail((error as Error).message)
      return
    }
    this.#owner.received.count(values.length / 2, (data as Buffer).length)
    for (let index = 0; index < values.length && this.isOpen; index += 2) {
      this.#owner.onMessage(this, values[index] as Channel, values[index + 1])
    }
  }

  /** Ends a connection whose other side broke the rules. */
  fail (reason: string): void {
    this.#reason = reason
    this.broke = true
    this.terminate()
  }

  /** Ends the connection at once; what is queued is lost. `onEnd` follows, in a later turn. */
  terminate (): void {
    this.#state = 'closed'
    this.#cancelHello()
    if (this.#socket === undefined) this.#giveUp()
    else this.#socket.terminate()
  }

  #ended (): void {
    this.#state = 'closed'
    this.#cancelHello()
    this.#owner.onEnd(this, { code: this.#code, reason: this.#reason })
  }
}
