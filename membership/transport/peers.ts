/**
 * Which connection carries what for which peer: dials, takes in what was accepted, and gives up what another connection makes needless.
 *
 * Who wins when two processes dial each other is link-table.ts, whom to dial when dial-policy.ts.
 *
 * Owns: every connection.
 */
import { type Address, type CancelTimer, type Channel, CHANNELS, type Clock, type LinkEvent } from '../environment/environment.ts'
import { onNextTurn } from '../environment/system.ts'
import { isAddress } from './address.ts'
import { Connection, type ConnectionEnd, type ConnectionOwner, TrafficCounter } from './connection.ts'
import { dial } from './dial.ts'
import { DialPolicy } from './dial-policy.ts'
import { FlushSchedule } from './flush-schedule.ts'
import type { Hello } from './hello.ts'
import { type Link, LinkTable } from './link-table.ts'
import { Outbox } from './outbox.ts'
import type { WebSocketSettings } from './websocket-options.ts'

/** Signs of life are looked for this many times within the silence timeout. */
export const SWEEPS_PER_SILENCE = 3

/**
 * An attempt that takes longer has its turn no more, and goes on: a few hosts that do not answer at all must not keep this process from all others
 * for as long as attempts to connect may take.
 */
const TURN_MS = 250

const clientName = (connection: Connection): string => `client#${connection.id}`

export interface PeersHost {
  /** This transport's own address; undefined for one that does not listen, or not yet. */
  address (): Address | undefined
  emit (event: LinkEvent): void
  message (connection: Connection, channel: Channel, message: unknown): void
}

export class Peers implements ConnectionOwner {
  readonly clock: Clock
  readonly helloTimeoutMs: number
  readonly queueBytesMax: number
  readonly frameBytesMax: number
  readonly sent = new TrafficCounter()
  readonly received = new TrafficCounter()
  readonly #settings: WebSocketSettings
  readonly #host: PeersHost
  readonly #run: string
  readonly #links = new LinkTable()
  /** Every connection that is not closed yet, in whatever state. */
  readonly #connections = new Set<Connection>()
  /** Open connections of peers that do not listen. */
  readonly #clients = new Set<Connection>()
  #connectionIds = 0
  readonly #dials: DialPolicy
  /** Attempts that count against `dialsMax`, each with what cancels the end of its turn. */
  readonly #dialling = new Map<Connection, CancelTimer>()
  readonly #flushes = new FlushSchedule()
  #closed = false

  constructor (settings: WebSocketSettings, host: PeersHost) {
    this.#settings = settings
    this.#host = host
    this.clock = settings.clock
    this.helloTimeoutMs = settings.helloTimeoutMs
    this.queueBytesMax = settings.queueBytesMax
    this.frameBytesMax = settings.frameBytesMax
    this.#dials = new DialPolicy(settings.dialsMax, settings.redialDelayMs)
    this.#run = settings.random.id()
  }

  queuedBytes (to: Address): number {
    const link = this.#links.get(to)
    return (link?.open[0] ?? link?.dial)?.queuedBytes ?? link?.waiting?.bytes ?? 0
  }

  /** Sends, on a connection that is there or to be made. @returns false when the message is lost, because too much is queued. */
  send (to: Address, channel: Channel, bytes: Uint8Array, stream: number): boolean {
    const link = this.#links.get(to)
    const connection = link?.open[0] ?? link?.dial ?? this.#reach(to, channel)
    if (connection === undefined) return true
    return connection instanceof Outbox ? connection.push(channel, bytes, stream) : connection.send(channel, bytes, stream)
  }

  isBusy (to: Address, channel: Channel, stream: number): boolean {
    const link = this.#links.get(to)
    return ((link?.open[0] ?? link?.dial)?.outbox ?? link?.waiting)?.isBusy(channel, stream) === true
  }

  connect (to: Address): void {
    const link = this.#links.get(to)
    if (link === undefined || (link.open.length === 0 && link.dial === undefined)) this.#dial(to)
  }

  /** A connection that this side dialled, or, without an address, accepted. */
  track (dialled: Address | undefined): Connection {
    const connection = new Connection(++this.#connectionIds, dialled, this)
    this.#connections.add(connection)
    return connection
  }

  /** Closes what has been silent for long, asks the merely silent for a sign of life. */
  sweep (): void {
    for (const connection of this.#connections) {
      if (!connection.isOpen) continue
      // Counted in sweeps of this process rather than in time: a process that was stopped for a while must not blame its peers.
      connection.silentSweeps++
      if (connection.silentSweeps > SWEEPS_PER_SILENCE) connection.fail('silent for too long')
      // Either side's question is a sign of life for both, and traffic is one, too.
      else if (connection.silentSweeps > 1) connection.ping()
    }
  }

  /** Ends every connection at once. */
  close (): void {
    this.#closed = true
    for (const connection of this.#connections) connection.terminate()
    this.#links.clear()
    this.#clients.clear()
  }

  /** Where a message to an address goes that is not connected: into a new attempt, or into what waits for one. */
  #reach (to: Address, channel: Channel): Connection | Outbox | undefined {
    const urgent = channel === CHANNELS.membership
    if (this.#dials.isPausing(this.#settings.clock.now(), to, urgent)) return undefined
    const waiting = this.#links.get(to)?.waiting
    if (waiting !== undefined && !urgent) return waiting
    if (urgent || this.#dials.hasTurn) return this.#dial(to)
    this.#dials.enqueue(to, this.#host.address())
    return this.#links.obtain(to).waiting = new Outbox(this.#settings.queueBytesMax, this.#settings.frameBytesMax)
  }

  #dialEnded (connection: Connection): void {
    const cancel = this.#dialling.get(connection)
    if (cancel === undefined) return
    cancel()
    this.#dialling.delete(connection)
    this.#dials.ended()
    this.#dialNext()
  }

  /** Begins the attempts that waited for their turn. */
  #dialNext (): void {
    while (!this.#closed) {
      const to = this.#dials.next()
      if (to === undefined) return
      // Whoever dialled this process meanwhile needs no attempt any more.
      if (this.#links.get(to)?.waiting !== undefined) this.#dial(to)
    }
  }

  #dial (to: Address): Connection | undefined {
    if (!isAddress(to)) {
      // Addresses come out of messages, too: one that is none is a peer that cannot be reached.
      this.#settings.log.warn({ to }, 'not an address')
      onNextTurn(() => { if (!this.#closed) this.#host.emit({ kind: 'unreachable', address: to }) })
      return undefined
    }
    const { connectTimeoutMs, frameBytesMax, tls } = this.#settings
    const connection = this.track(to)
    connection.dial(events => dial(to, { clock: this.#settings.clock, connectTimeoutMs, frameBytesMax, tls }, events))
    const link = this.#links.obtain(to)
    link.dial = connection
    link.waiting?.drainInto(connection.outbox)
    link.waiting = undefined
    this.#dialling.set(connection, this.#settings.clock.setTimer(TURN_MS, () => { this.#dialEnded(connection) }))
    this.#dials.began()
    return connection
  }

  // From here on: what connections report.

  hello (): Hello {
    return { address: this.#host.address(), run: this.#run }
  }

  onHello (connection: Connection, hello: Hello): void {
    this.#dialEnded(connection)
    const dialled = connection.dialled
    if (dialled === undefined && hello.address === undefined) {
      connection.greet()
      connection.open()
      this.#clients.add(connection)
      this.#host.emit({ kind: 'opened', address: clientName(connection), connectionId: connection.id })
      return
    }
    const verdict = dialled === undefined
      ? this.#links.judgeAccepted(connection, hello.address!, this.#host.address())
      : this.#links.judgeDialled(connection, hello.address, this.#host.address())
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
    if (link.open.length === 1) this.#host.emit({ kind: 'opened', address: link.address })
  }

  /** Takes a connection out of the links it carries. */
  #unlink (connection: Connection): void {
    for (const name of connection.names) {
      const link = this.#links.obtain(name)
      link.open = link.open.filter(other => other !== connection)
      if (link.open.length === 0) this.#host.emit({ kind: 'closed', address: name })
      this.#links.forgetIfUnused(link)
    }
    connection.names.clear()
  }

  onMessage (connection: Connection, channel: Channel, message: unknown): void {
    this.#host.message(connection, channel, message)
  }

  lost (connection: Connection, bytes: number): void {
    const { hello, id, queuedBytes } = connection
    this.#settings.log.warn({ to: hello?.address ?? clientName(connection), connection: id, bytes, queuedBytes }, 'lost an answer: too much is queued for this peer')
  }

  onEnd (connection: Connection, end: ConnectionEnd): void {
    this.#connections.delete(connection)
    if (this.#closed) return
    this.#dialEnded(connection)
    if (connection.broke) this.#settings.log.warn({ peer: connection.hello?.address ?? connection.dialled, reason: end.reason }, 'closed a connection')
    this.#unlink(connection)
    if (this.#clients.delete(connection)) this.#host.emit({ kind: 'closed', address: clientName(connection), connectionId: connection.id })
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
    this.#settings.log.debug({ to: link.address, code: end.code, reason: end.reason }, 'cannot connect')
    this.#dials.failed(this.#settings.clock.now(), link.address)
    this.#host.emit({ kind: end.code === 'ECONNREFUSED' ? 'refused' : 'unreachable', address: link.address })
  }

  scheduleFlush (connection: Connection): void {
    this.#flushes.add(connection)
  }
}
