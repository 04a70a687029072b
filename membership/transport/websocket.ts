/**
 * The production transport: one WebSocket per pair of processes, one port for peers, clients and HTTP, frames that hold all
 * messages to a peer of one turn of the event loop.
 *
 * Owns: every connection, the schedule of flushes and of signs of life.
 */
import type { RequestListener } from 'node:http'
import {
  type Address, type CancelTimer, type Channel, CHANNELS, type Clock, type LinkEvent, type Log, type Random, type Remote, type Transport
} from '../environment/environment.ts'
import { createSystemClock, createSystemRandom, onNextTurn, silentLog } from '../environment/system.ts'
import { TransportError } from '../errors.ts'
import { formatAddress, isAddress, parseAddress } from './address.ts'
import { Connection, type ConnectionEnd, type ConnectionOwner, TrafficCounter, type TransportTraffic } from './connection.ts'
import { dial } from './dial.ts'
import { DialPolicy } from './dial-policy.ts'
import type { Hello } from './hello.ts'
import { type Link, LinkTable } from './link-table.ts'
import { Listener } from './listener.ts'
import { decodeMessage, encodeMessage } from './message-codec.ts'
import { Outbox } from './outbox.ts'
import type { TransportTls } from './tls.ts'

export interface WebSocketTransportOptions {
  /** Where to listen; port 0 picks a free one. Left out: a client's transport, which does not listen. */
  readonly listen?: { readonly host: string, readonly port: number }
  /** What others dial to reach this transport. @default the host and port listened on */
  readonly advertise?: Address
  /** Answers plain HTTP requests on the same port. @default 404 to all */
  readonly onHttpRequest?: RequestListener
  /** Largest frame, and so the largest message, in bytes. Both sides need the same. @default 32 MiB */
  readonly frameBytesMax?: number
  /** Largest sum of messages waiting for one peer, in bytes; what is beyond is lost. @default 64 MiB */
  readonly queueBytesMax?: number
  /** Attempts to connect under way at once; others wait. Membership's own messages never do. @default 4 */
  readonly dialsMax?: number
  /** How long a connected stranger may take to say who it is. @default 10_000 */
  readonly helloTimeoutMs?: number
  /** How long an attempt to connect may take. Includes the lateness of this process. @default 5000 */
  readonly connectTimeoutMs?: number
  /**
   * After a failed attempt messages to that address are lost for so long, before the next attempt; doubles with each failure up to 16
   * times this, except for membership's own messages. @default 100
   */
  readonly redialDelayMs?: number
  /** A connection on which nothing arrives for about so long, pings included, is closed. @default 30_000 */
  readonly silenceTimeoutMs?: number
  /** Accepted connections at one time; further ones are refused. @default 10_000 */
  readonly connectionsMax?: number
  /** Speaks TLS with everybody. The same at every process and client of a cluster. @default plain TCP */
  readonly tls?: TransportTls
  readonly clock?: Clock
  readonly random?: Random
  readonly log?: Log
}

export interface WebSocketTransport extends Transport {
  /** Dies as a killed process does: destroys every socket and stops listening, in this very call and without a goodbye. */
  kill (): void
  /** What was sent and received so far. */
  readonly traffic: TransportTraffic
}

const DEFAULTS = Object.freeze({
  frameBytesMax: 32 * 1024 * 1024,
  queueBytesMax: 64 * 1024 * 1024,
  dialsMax: 4,
  helloTimeoutMs: 10_000,
  connectTimeoutMs: 5000,
  redialDelayMs: 100,
  silenceTimeoutMs: 30_000,
  connectionsMax: 10_000
})

/** Signs of life are looked for this many times within the silence timeout. */
const SWEEPS_PER_SILENCE = 3

/** @throws {TransportError} TRANSPORT_ADDRESS_INVALID when `advertise` is not an address, or is needed and missing. */
export function createWebSocketTransport (options: WebSocketTransportOptions = {}): WebSocketTransport {
  if (options.advertise !== undefined) parseAddress(options.advertise)
  const anyHost = options.listen !== undefined && ['', '0.0.0.0', '::'].includes(options.listen.host)
  if (anyHost && options.advertise === undefined) {
    throw new TransportError('TRANSPORT_ADDRESS_INVALID', `Listening on every interface ('${options.listen?.host}') needs \`advertise\`: the address others dial`)
  }
  return new WebSocketNode({
    ...DEFAULTS, clock: createSystemClock(), random: createSystemRandom(), log: silentLog, ...options
  })
}

const clientName = (connection: Connection): string => `client#${connection.id}`

type Settings = WebSocketTransportOptions & Required<Pick<WebSocketTransportOptions, keyof typeof DEFAULTS | 'clock' | 'random' | 'log'>>

class WebSocketNode implements WebSocketTransport, ConnectionOwner {
  readonly clock: Clock
  readonly helloTimeoutMs: number
  readonly queueBytesMax: number
  readonly sent = new TrafficCounter()
  readonly received = new TrafficCounter()
  readonly #settings: Settings
  readonly #log: Log
  readonly #run: string
  readonly #receivers = new Map<Channel, (message: unknown, from: Remote) => void>()
  readonly #listeners = new Set<(event: LinkEvent) => void>()
  readonly #links = new LinkTable()
  /** Every connection that is not closed yet, in whatever state. */
  readonly #connections = new Set<Connection>()
  /** Open connections of peers that do not listen. */
  readonly #clients = new Set<Connection>()
  #state: 'new' | 'starting' | 'started' | 'closed' = 'new'
  #address: Address | undefined
  #listener: Listener | undefined
  #connectionIds = 0
  readonly #dials: DialPolicy
  /** Attempts that count against `dialsMax`. */
  readonly #dialling = new Set<Connection>()
  #dirty: Connection[] = []
  #cancelSweep: CancelTimer = () => {}

  constructor (settings: Settings) {
    this.#settings = settings
    this.clock = settings.clock
    this.helloTimeoutMs = settings.helloTimeoutMs
    this.queueBytesMax = settings.queueBytesMax
    this.#log = settings.log
    this.#dials = new DialPolicy(settings.dialsMax, settings.redialDelayMs)
    this.#run = settings.random.id()
    this.#address = settings.listen === undefined ? undefined : settings.advertise
  }

  get address (): Address | undefined {
    return this.#address
  }

  get traffic (): TransportTraffic {
    return { sent: { ...this.sent }, received: { ...this.received } }
  }

  async start (): Promise<void> {
    if (this.#state === 'closed') throw new TransportError('TRANSPORT_CLOSED', 'A closed transport cannot be started')
    if (this.#state !== 'new') return
    this.#state = 'starting'
    try {
      if (this.#settings.listen !== undefined) await this.#listen(this.#settings.listen)
    } catch (error) {
      if (this.#state === 'starting') this.#state = 'new'
      throw error
    }
    this.#state = 'started'
    const sweepMs = this.#settings.silenceTimeoutMs / SWEEPS_PER_SILENCE
    const sweep = (): void => {
      this.#sweep()
      this.#cancelSweep = this.clock.setTimer(sweepMs, sweep)
    }
    this.#cancelSweep = this.clock.setTimer(sweepMs, sweep)
  }

  async #listen ({ host, port }: { readonly host: string, readonly port: number }): Promise<void> {
    const { frameBytesMax, helloTimeoutMs, connectionsMax, onHttpRequest, tls } = this.#settings
    const listener = new Listener(this.#log, socket => { this.#track(undefined).attach(socket) }, {
      host, port, frameBytesMax, helloTimeoutMs, connectionsMax, onHttpRequest, tls
    })
    this.#listener = listener
    const listeningPort = await listener.listen()
    this.#address ??= formatAddress({ host, port: listeningPort })
  }

  #track (dialled: Address | undefined): Connection {
    const connection = new Connection(++this.#connectionIds, dialled, this)
    this.#connections.add(connection)
    return connection
  }

  receive (channel: Channel, receiver: (message: unknown, from: Remote) => void): void {
    this.#receivers.set(channel, receiver)
  }

  onLink (listener: (event: LinkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  #emit (event: LinkEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event)
      } catch (error) {
        this.#log.error({ error, event }, 'a listener of link events threw')
      }
    }
  }

  queuedBytes (to: Address): number {
    const link = this.#links.get(to)
    return (link?.open[0] ?? link?.dial)?.queuedBytes ?? link?.waiting?.bytes ?? 0
  }

  /** @throws {RangeError} for a message larger than a frame. @throws {TypeError} for what is no message. */
  send (to: Address, channel: Channel, message: unknown): void {
    if (this.#state !== 'closed') this.#queue(to, channel, this.#encode(message))
  }

  sendToAll (to: readonly Address[], channel: Channel, message: unknown): void {
    if (this.#state === 'closed' || to.length === 0) return
    const bytes = this.#encode(message)
    for (const address of to) this.#queue(address, channel, bytes)
  }

  #encode (message: unknown): Uint8Array {
    const bytes = encodeMessage(message)
    if (bytes.length >= this.#settings.frameBytesMax) {
      throw new RangeError(`A message of ${bytes.length} bytes does not fit into a frame of ${this.#settings.frameBytesMax} bytes`)
    }
    return bytes
  }

  #queue (to: Address, channel: Channel, bytes: Uint8Array): void {
    if (to === this.#address) {
      onNextTurn(() => this.#deliverToSelf(channel, bytes))
      return
    }
    const link = this.#links.get(to)
    const connection = link?.open[0] ?? link?.dial ?? this.#reach(to, channel)
    const taken = connection === undefined || (connection instanceof Outbox ? connection.push(channel, bytes) : connection.send(channel, bytes))
    if (!taken) this.#log.warn({ to, queuedBytes: this.queuedBytes(to) }, 'lost a message: too much is queued for this peer')
  }

  /** Where a message to an address goes that is not connected: into a new attempt, or into what waits for one. */
  #reach (to: Address, channel: Channel): Connection | Outbox | undefined {
    const urgent = channel === CHANNELS.membership
    if (this.#dials.isPausing(this.clock.now(), to, urgent)) return undefined
    const waiting = this.#links.get(to)?.waiting
    if (waiting !== undefined && !urgent) return waiting
    if (urgent || this.#dials.hasTurn) return this.#dial(to)
    this.#dials.enqueue(to, this.#address)
    return this.#links.obtain(to).waiting = new Outbox(this.queueBytesMax)
  }

  #dialEnded (connection: Connection): void {
    if (!this.#dialling.delete(connection)) return
    this.#dials.ended()
    this.#dialNext()
  }

  /** Begins the attempts that waited for their turn. */
  #dialNext (): void {
    while (this.#state !== 'closed') {
      const to = this.#dials.next()
      if (to === undefined) return
      // Whoever dialled this process meanwhile needs no attempt any more.
      if (this.#links.get(to)?.waiting !== undefined) this.#dial(to)
    }
  }

  #deliverToSelf (channel: Channel, bytes: Uint8Array): void {
    if (this.#state === 'closed') return
    this.#receive(channel, decodeMessage(bytes), {
      address: this.#address,
      connectionId: 0,
      reply: message => {
        const answer = encodeMessage(message)
        onNextTurn(() => this.#deliverToSelf(channel, answer))
      }
    })
  }

  connect (to: Address): void {
    if (this.#state === 'closed' || to === this.#address) return
    const link = this.#links.get(to)
    if (link === undefined || (link.open.length === 0 && link.dial === undefined)) this.#dial(to)
  }

  #dial (to: Address): Connection | undefined {
    if (!isAddress(to)) {
      // Addresses come out of messages, too: one that is none is a peer that cannot be reached.
      this.#log.warn({ to }, 'not an address')
      onNextTurn(() => { if (this.#state !== 'closed') this.#emit({ kind: 'unreachable', address: to }) })
      return undefined
    }
    const { connectTimeoutMs, frameBytesMax, tls } = this.#settings
    const connection = this.#track(to)
    connection.dial(events => dial(to, { clock: this.clock, connectTimeoutMs, frameBytesMax, tls }, events))
    const link = this.#links.obtain(to)
    link.dial = connection
    link.waiting?.drainInto(connection.outbox)
    link.waiting = undefined
    this.#dialling.add(connection)
    this.#dials.began()
    return connection
  }

  // From here on: what connections report.

  hello (): Hello {
    return { address: this.#address, run: this.#run }
  }

  onHello (connection: Connection, hello: Hello): void {
    this.#dialEnded(connection)
    const dialled = connection.dialled
    if (dialled === undefined && hello.address === undefined) {
      connection.greet()
      connection.open()
      this.#clients.add(connection)
      this.#emit({ kind: 'opened', address: clientName(connection), connectionId: connection.id })
      return
    }
    const verdict = dialled === undefined
      ? this.#links.judgeAccepted(connection, hello.address!, this.#address)
      : this.#links.judgeDialled(connection, hello.address, this.#address)
    switch (verdict.kind) {
      case 'refuse':
        connection.fail(verdict.reason)
        return
      case 'defer': {
        const link = this.#links.obtain(hello.address!)
        link.deferred?.terminate()
        link.deferred = connection
        return
      }
      case 'alias':
        // The process is connected already, under another name for it.
        connection.outbox.drainInto(verdict.existing.outbox)
        this.#join(this.#links.obtain(dialled!), connection, verdict.existing)
        connection.terminate()
        this.scheduleFlush(verdict.existing)
        return
      case 'open':
        for (const old of verdict.replaced) {
          this.#unlink(old)
          old.terminate()
        }
        this.#open(connection, hello.address!, verdict.superseded)
    }
  }

  #open (connection: Connection, address: Address, superseded: Connection | undefined): void {
    superseded?.outbox.drainInto(connection.outbox)
    if (connection.dialled === undefined) connection.greet()
    connection.open()
    this.#join(this.#links.obtain(address), superseded ?? connection, connection)
    if (connection.dialled !== undefined && connection.dialled !== address) this.#join(this.#links.obtain(connection.dialled), connection, connection)
    superseded?.terminate()
  }

  /** Lets an open connection carry a link, in the place of `dial`, an attempt that it makes needless (or that it came from). */
  #join (link: Link, dial: Connection, connection: Connection): void {
    if (link.dial === dial) link.dial = undefined
    link.deferred?.terminate()
    link.deferred = undefined
    this.#dials.reached(link.address)
    connection.names.add(link.address)
    if (link.waiting !== undefined) {
      link.waiting.drainInto(connection.outbox)
      link.waiting = undefined
      this.scheduleFlush(connection)
    }
    if (link.open.includes(connection)) return
    link.open.push(connection)
    if (link.open.length === 1) this.#emit({ kind: 'opened', address: link.address })
  }

  /** Takes a connection out of the links it carries. */
  #unlink (connection: Connection): void {
    for (const name of connection.names) {
      const link = this.#links.obtain(name)
      link.open = link.open.filter(other => other !== connection)
      if (link.open.length === 0) this.#emit({ kind: 'closed', address: name })
      this.#links.forgetIfUnused(link)
    }
    connection.names.clear()
  }

  onMessage (connection: Connection, channel: Channel, message: unknown): void {
    this.#receive(channel, message, connection.remote(channel))
  }

  #receive (channel: Channel, message: unknown, from: Remote): void {
    const receiver = this.#receivers.get(channel)
    if (receiver === undefined) return
    try {
      receiver(message, from)
    } catch (error) {
      this.#log.error({ error, channel, from: from.address ?? from.connectionId }, 'a receiver threw')
    }
  }

  onEnd (connection: Connection, end: ConnectionEnd): void {
    this.#connections.delete(connection)
    if (this.#state === 'closed') return
    this.#dialEnded(connection)
    if (connection.broke) this.#log.warn({ peer: connection.hello?.address ?? connection.dialled, reason: end.reason }, 'closed a connection')
    this.#unlink(connection)
    if (this.#clients.delete(connection)) this.#emit({ kind: 'closed', address: clientName(connection), connectionId: connection.id })
    const address = connection.dialled ?? connection.hello?.address
    const link = address === undefined ? undefined : this.#links.get(address)
    if (link === undefined) return
    if (link.deferred === connection) link.deferred = undefined
    if (link.dial === connection) this.#dialFailed(link, connection, end)
    this.#links.forgetIfUnused(link)
  }

  #dialFailed (link: Link, connection: Connection, end: ConnectionEnd): void {
    link.dial = undefined
    const deferred = link.deferred
    if (deferred !== undefined) {
      link.deferred = undefined
      this.#open(deferred, link.address, connection)
      return
    }
    if (link.open.length > 0) return
    this.#log.debug({ to: link.address, code: end.code, reason: end.reason }, 'cannot connect')
    this.#dials.failed(this.clock.now(), link.address)
    this.#emit({ kind: end.code === 'ECONNREFUSED' ? 'refused' : 'unreachable', address: link.address })
  }

  scheduleFlush (connection: Connection): void {
    if (connection.dirty) return
    connection.dirty = true
    this.#dirty.push(connection)
    if (this.#dirty.length === 1) onNextTurn(this.#flush)
  }

  readonly #flush = (): void => {
    const dirty = this.#dirty
    this.#dirty = []
    for (const connection of dirty) {
      connection.dirty = false
      connection.flush()
    }
  }

  /** Closes what has been silent for long, asks the merely silent for a sign of life. */
  #sweep (): void {
    for (const connection of this.#connections) {
      if (!connection.isOpen) continue
      // Counted in sweeps of this process rather than in time: a process that was stopped for a while must not blame its peers.
      connection.silentSweeps++
      if (connection.silentSweeps > SWEEPS_PER_SILENCE) connection.fail('silent for too long')
      else connection.ping()
    }
  }

  kill (): void {
    void this.close()
  }

  async close (): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#cancelSweep()
    this.#listeners.clear()
    for (const connection of this.#connections) connection.terminate()
    this.#links.clear()
    this.#clients.clear()
    await this.#listener?.close()
  }
}
