/**
 * The production transport: one WebSocket per pair of processes, one port for peers, clients and HTTP, frames that hold all
 * messages to a peer of one turn of the event loop.
 *
 * Owns: the listener, the connections (peers.ts), and the schedule of signs of life.
 */
import type { Address, CancelTimer, Channel, LinkEvent, Remote, Transport } from '../environment/environment.ts'
import { onNextTurn } from '../environment/system.ts'
import { TransportError } from '../errors.ts'
import { formatAddress } from './address.ts'
import type { TransportTraffic } from './connection.ts'
import { Listener } from './listener.ts'
import { checkLength, decodeMessage, encodeMessage } from './message-codec.ts'
import { Peers, SWEEPS_PER_SILENCE } from './peers.ts'
import { resolveWebSocketOptions, type WebSocketSettings, type WebSocketTransportOptions } from './websocket-options.ts'

export interface WebSocketTransport extends Transport {
  /** Dies as a killed process does: destroys every socket and stops listening, in this very call and without a goodbye. */
  kill (): void
  /** What was sent and received so far. */
  readonly traffic: TransportTraffic
}

/** @throws {TransportError} TRANSPORT_ADDRESS_INVALID when `advertise` is not an address, or is needed and missing. */
export function createWebSocketTransport (options: WebSocketTransportOptions = {}): WebSocketTransport {
  return new WebSocketNode(resolveWebSocketOptions(options))
}

class WebSocketNode implements WebSocketTransport {
  readonly #settings: WebSocketSettings
  readonly #peers: Peers
  readonly #receivers = new Map<Channel, (message: unknown, from: Remote) => void>()
  readonly #listeners = new Set<(event: LinkEvent) => void>()
  #state: 'new' | 'starting' | 'started' | 'closed' = 'new'
  #address: Address | undefined
  #listener: Listener | undefined
  #cancelSweep: CancelTimer = () => {}

  constructor (settings: WebSocketSettings) {
    this.#settings = settings
    this.#address = settings.listen === undefined ? undefined : settings.advertise
    this.#peers = new Peers(settings, {
      address: () => this.#address,
      emit: event => { this.#emit(event) },
      message: (connection, channel, message) => { this.#receive(channel, message, connection.remote(channel)) }
    })
  }

  get address (): Address | undefined {
    return this.#address
  }

  get traffic (): TransportTraffic {
    const { sent, received } = this.#peers
    return { sent: { ...sent }, received: { ...received } }
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
      this.#peers.sweep()
      this.#cancelSweep = this.#settings.clock.setTimer(sweepMs, sweep)
    }
    this.#cancelSweep = this.#settings.clock.setTimer(sweepMs, sweep)
  }

  async #listen ({ host, port }: { readonly host: string, readonly port: number }): Promise<void> {
    const { frameBytesMax, helloTimeoutMs, connectionsMax, onHttpRequest, tls } = this.#settings
    const listener = new Listener(this.#settings.log, socket => { this.#peers.track(undefined).attach(socket) }, {
      host, port, frameBytesMax, helloTimeoutMs, connectionsMax, onHttpRequest, tls
    })
    this.#listener = listener
    const listeningPort = await listener.listen()
    this.#address ??= formatAddress({ host, port: listeningPort })
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
        this.#settings.log.error({ error, event }, 'a listener of link events threw')
      }
    }
  }

  queuedBytes (to: Address): number {
    return this.#peers.queuedBytes(to)
  }

  isBusy (to: Address, channel: Channel, stream: number): boolean {
    return this.#peers.isBusy(to, channel, stream)
  }

  /** @throws {RangeError} for a message larger than a frame. @throws {TypeError} for what is no message. */
  send (to: Address, channel: Channel, message: unknown, stream = 0): void {
    if (this.#state !== 'closed') this.#queue(to, channel, this.#encode(message), stream)
  }

  sendToAll (to: readonly Address[], channel: Channel, message: unknown): void {
    if (this.#state === 'closed' || to.length === 0) return
    const bytes = this.#encode(message)
    for (const address of to) this.#queue(address, channel, bytes, 0)
  }

  #encode (message: unknown): Uint8Array {
    const bytes = encodeMessage(message)
    checkLength(bytes, this.#settings.frameBytesMax)
    return bytes
  }

  #queue (to: Address, channel: Channel, bytes: Uint8Array, stream: number): void {
    if (to === this.#address) onNextTurn(() => this.#deliverToSelf(channel, bytes))
    else if (!this.#peers.send(to, channel, bytes, stream)) {
      this.#settings.log.warn({ to, queuedBytes: this.queuedBytes(to) }, 'lost a message: too much is queued for this peer')
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
      },
      queuedBytes: () => 0
    })
  }

  connect (to: Address): void {
    if (this.#state !== 'closed' && to !== this.#address) this.#peers.connect(to)
  }

  #receive (channel: Channel, message: unknown, from: Remote): void {
    const receiver = this.#receivers.get(channel)
    if (receiver === undefined) return
    try {
      receiver(message, from)
    } catch (error) {
      this.#settings.log.error({ error, channel, from: from.address ?? from.connectionId }, 'a receiver threw')
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
    this.#peers.close()
    await this.#listener?.close()
  }
}
