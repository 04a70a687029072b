/**
 * Transports within one process: for tests, examples and programs that hold a whole cluster.
 *
 * Messages are encoded and decoded as on the wire, so that nothing is shared between sender and receiver, and everything
 * happens in a later turn of the event loop, in the order it was asked for.
 *
 * Owns: the transports of one hub and the connections between them.
 */
import type { Address, Channel, LinkEvent, Remote, Transport } from '../environment/environment.ts'
import { onNextTurn } from '../environment/system.ts'
import { TransportError } from '../errors.ts'
import { isAddress } from './address.ts'
import { decodeMessage, encodeMessage } from './message-codec.ts'

export interface MemoryTransport extends Transport {
  /** Dies as a killed process does: at once, and without a goodbye. */
  kill (): void
}

export interface MemoryHub {
  /**
   * A transport that listens on this address once started; without an address, a client's.
   * @throws {TransportError} TRANSPORT_ADDRESS_INVALID
   */
  transport (address?: Address): MemoryTransport
}

/** One side of a connection. */
interface End {
  readonly id: number
  readonly owner: MemoryNode
  readonly peerAddress: Address | undefined
  peer: End | undefined
  /** Sent before the connection was open. */
  waiting: { readonly channel: Channel, readonly bytes: Uint8Array }[]
  waitingBytes: number
  state: 'connecting' | 'open' | 'closed'
}

/** What may wait for one connection to open; beyond it messages are lost. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024

/** All transports that can reach each other. */
export function createMemoryHub (): MemoryHub {
  const listening = new Map<Address, MemoryNode>()
  return {
    transport (address) {
      if (address !== undefined && !isAddress(address)) throw new TransportError('TRANSPORT_ADDRESS_INVALID', `'${address}' is not host:port`)
      return new MemoryNode(address, listening)
    }
  }
}

class MemoryNode implements MemoryTransport {
  readonly address: Address | undefined
  readonly #listening: Map<Address, MemoryNode>
  readonly #receivers = new Map<Channel, (message: unknown, from: Remote) => void>()
  readonly #listeners = new Set<(event: LinkEvent) => void>()
  /** Connections to listening peers, open or on the way. */
  readonly #byAddress = new Map<Address, End>()
  readonly #ends = new Set<End>()
  #state: 'new' | 'started' | 'closed' = 'new'
  #ids = 0

  constructor (address: Address | undefined, listening: Map<Address, MemoryNode>) {
    this.address = address
    this.#listening = listening
  }

  async start (): Promise<void> {
    if (this.#state === 'closed') throw new TransportError('TRANSPORT_CLOSED', 'A closed transport cannot be started')
    if (this.#state === 'started') return
    if (this.address !== undefined) {
      if (this.#listening.has(this.address)) throw new TransportError('TRANSPORT_ADDRESS_IN_USE', `Another transport listens on ${this.address}`)
      this.#listening.set(this.address, this)
    }
    this.#state = 'started'
  }

  receive (channel: Channel, receiver: (message: unknown, from: Remote) => void): void {
    this.#receivers.set(channel, receiver)
  }

  onLink (listener: (event: LinkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  /** Nothing overtakes anything here, whatever its stream. */
  send (to: Address, channel: Channel, message: unknown): void {
    this.sendToAll([to], channel, message)
  }

  isBusy (): boolean {
    return false
  }

  sendToAll (to: readonly Address[], channel: Channel, message: unknown): void {
    if (this.#state === 'closed') return
    const bytes = encodeMessage(message)
    for (const address of to) {
      if (address === this.address) this.#sendToSelf(channel, bytes)
      else this.#transmit(this.#byAddress.get(address) ?? this.#dial(address), channel, bytes)
    }
  }

  connect (to: Address): void {
    if (this.#state !== 'closed' && to !== this.address && !this.#byAddress.has(to)) this.#dial(to)
  }

  queuedBytes (to: Address): number {
    return this.#byAddress.get(to)?.waitingBytes ?? 0
  }

  #sendToSelf (channel: Channel, bytes: Uint8Array): void {
    onNextTurn(() => {
      const reply = (answer: unknown): void => { this.#sendToSelf(channel, encodeMessage(answer)) }
      this.#deliver(channel, bytes, { address: this.address, connectionId: 0, reply, queuedBytes: () => 0 })
    })
  }

  #newEnd (peerAddress: Address | undefined): End {
    const end: End = { id: ++this.#ids, owner: this, peerAddress, peer: undefined, waiting: [], waitingBytes: 0, state: 'connecting' }
    this.#ends.add(end)
    if (peerAddress !== undefined) this.#byAddress.set(peerAddress, end)
    return end
  }

  #dial (to: Address): End {
    const end = this.#newEnd(to)
    onNextTurn(() => {
      if (end.state !== 'connecting') return
      const target = this.#listening.get(to)
      if (target === undefined) this.#end(end, isAddress(to) ? 'refused' : 'unreachable')
      else target.#accept(end)
    })
    return end
  }

  #accept (dialled: End): void {
    const { address } = dialled.owner
    const existing = address === undefined ? undefined : this.#byAddress.get(address)
    // When both sides dial at once, the first of the two connects both.
    const end = existing?.state === 'connecting' ? existing : this.#newEnd(address)
    end.peer = dialled
    dialled.peer = end
    this.#open(end)
    dialled.owner.#open(dialled)
  }

  #open (end: End): void {
    end.state = 'open'
    const { waiting } = end
    end.waiting = []
    end.waitingBytes = 0
    for (const { channel, bytes } of waiting) this.#transmit(end, channel, bytes)
    this.#emit(end, 'opened')
  }

  #transmit (end: End, channel: Channel, bytes: Uint8Array): void {
    if (end.state === 'connecting') {
      if (end.waitingBytes + bytes.length > WAITING_BYTES_MAX) return
      end.waiting.push({ channel, bytes })
      end.waitingBytes += bytes.length
    } else if (end.state === 'open') {
      const peer = end.peer!
      onNextTurn(() => {
        if (peer.state === 'open') peer.owner.#deliver(channel, bytes, peer.owner.#remote(peer, channel))
      })
    }
  }

  #remote (end: End, channel: Channel): Remote {
    return {
      address: end.peerAddress,
      connectionId: end.id,
      reply: answer => this.#transmit(end, channel, encodeMessage(answer)),
      queuedBytes: () => end.waitingBytes
    }
  }

  #deliver (channel: Channel, bytes: Uint8Array, from: Remote): void {
    if (this.#state !== 'closed') this.#receivers.get(channel)?.(decodeMessage(bytes), from)
  }

  #end (end: End, kind: 'closed' | 'refused' | 'unreachable'): void {
    if (end.state === 'closed') return
    end.state = 'closed'
    this.#ends.delete(end)
    if (end.peerAddress !== undefined && this.#byAddress.get(end.peerAddress) === end) this.#byAddress.delete(end.peerAddress)
    this.#emit(end, kind)
  }

  #emit (end: End, kind: LinkEvent['kind']): void {
    const event: LinkEvent = end.peerAddress === undefined
      ? { kind, address: `client#${end.id}`, connectionId: end.id }
      : { kind, address: end.peerAddress }
    for (const listener of [...this.#listeners]) listener(event)
  }

  kill (): void {
    if (this.#state === 'closed') return
    const listened = this.#state === 'started' && this.address !== undefined
    this.#state = 'closed'
    if (listened) this.#listening.delete(this.address!)
    this.#listeners.clear()
    for (const end of this.#ends) {
      end.state = 'closed'
      const { peer } = end
      if (peer !== undefined) onNextTurn(() => peer.owner.#end(peer, 'closed'))
    }
    this.#ends.clear()
    this.#byAddress.clear()
  }

  async close (): Promise<void> {
    this.kill()
  }
}
