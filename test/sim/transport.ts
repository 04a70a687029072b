/**
 * One process's end of the simulated network: the `Transport` that its shells see.
 *
 * Owns: the connections of one process. It dies with the process.
 */
import type { Address, Channel, LinkEvent, Remote, Transport } from '../../membership/environment/environment.ts'
import { TransportError } from '../../membership/errors.ts'
import type { EventOwner } from './event-queue.ts'
import type { LinkEnd, Packet, Scheduler, SimulatedNetwork } from './network.ts'

type Receiver = (message: unknown, from: Remote) => void

export class SimulatedTransport implements Transport {
  /** The host's name; its address, if it listens. */
  readonly name: string
  readonly address: Address | undefined
  readonly owner: EventOwner
  readonly #network: SimulatedNetwork
  readonly #scheduler: Scheduler
  readonly #receivers = new Map<Channel, Receiver>()
  readonly #listeners = new Set<(event: LinkEvent) => void>()
  /** Connections to hosts that listen, open or being dialled. */
  readonly #byAddress = new Map<Address, LinkEnd>()
  /** All open connections. */
  readonly #byId = new Map<number, LinkEnd>()
  #state: 'new' | 'started' | 'closed' = 'new'

  constructor (name: string, listens: boolean, owner: EventOwner, network: SimulatedNetwork, scheduler: Scheduler) {
    this.name = name
    this.address = listens ? name : undefined
    this.owner = owner
    this.#network = network
    this.#scheduler = scheduler
  }

  get listening (): boolean {
    return this.#state === 'started' && this.address !== undefined
  }

  async start (): Promise<void> {
    if (this.#state === 'closed') throw new TransportError('TRANSPORT_CLOSED', 'A transport cannot be started again')
    if (this.#state === 'started') return
    if (this.address !== undefined && !this.#network.listen(this.address, this)) {
      throw new TransportError('TRANSPORT_ADDRESS_IN_USE', `Another process listens on ${this.address}`)
    }
    this.#state = 'started'
    this.#scheduler.trace(this.name, 'listens')
  }

  get #usable (): boolean {
    return this.#state !== 'closed' && this.owner.alive
  }

  send (to: Address, channel: Channel, message: unknown, stream = 0): void {
    if (!this.#usable) return
    if (to === this.address) this.#sendToSelf(channel, message)
    else this.#network.send(this.#endFor(to), channel, message, stream)
  }

  sendToAll (to: readonly Address[], channel: Channel, message: unknown): void {
    let packet: Packet | undefined
    for (const address of to) {
      if (!this.#usable) return
      if (address === this.address) this.#sendToSelf(channel, message)
      else packet = this.#network.send(this.#endFor(address), channel, message, 0, packet)
    }
  }

  isBusy (to: Address, channel: Channel, stream: number): boolean {
    const end = this.#byAddress.get(to)
    return end !== undefined && this.#network.isBusy(end, channel, stream)
  }

  #sendToSelf (channel: Channel, message: unknown): void {
    const packet = this.#network.pack(channel, message, 0)
    const reply = (answer: unknown): void => { if (this.#usable) this.#sendToSelf(channel, answer) }
    const remote: Remote = { address: this.address, connectionId: 0, reply, queuedBytes: () => 0 }
    this.#scheduler.schedule(0, this.owner, () => { if (this.#usable) this.#receivers.get(channel)?.(packet.message, remote) })
  }

  #endFor (to: Address): LinkEnd {
    let end = this.#byAddress.get(to)
    if (end === undefined) {
      end = this.#network.dial(this, to)
      this.#byAddress.set(to, end)
    }
    return end
  }

  connect (to: Address): void {
    if (this.#usable && to !== this.address) this.#endFor(to)
  }

  receive (channel: Channel, receiver: Receiver): void {
    this.#receivers.set(channel, receiver)
  }

  onLink (listener: (event: LinkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  queuedBytes (to: Address): number {
    const end = this.#byAddress.get(to)
    return end === undefined ? 0 : this.#network.queuedBytes(end)
  }

  async close (): Promise<void> {
    this.die(false)
  }

  /** The end of the process: nothing is sent or received any more. */
  die (silently: boolean): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    if (this.address !== undefined) this.#network.unlisten(this.address, this)
    const ends = new Set([...this.#byAddress.values(), ...this.#byId.values()])
    this.#byAddress.clear()
    this.#byId.clear()
    this.#listeners.clear()
    this.#network.abandon([...ends], silently)
  }

  // What follows is for the network alone.

  endTowards (address: Address): LinkEnd | undefined {
    return this.#byAddress.get(address)
  }

  /** The open connection with this number, for a test that wants to break it. */
  connections (): LinkEnd[] {
    return [...this.#byId.values()]
  }

  register (end: LinkEnd): void {
    this.#byId.set(end.connectionId, end)
    if (end.peerAddress !== undefined) this.#byAddress.set(end.peerAddress, end)
  }

  opened (end: LinkEnd): void {
    this.#emit(end, 'opened')
  }

  ended (end: LinkEnd, kind: 'closed' | 'refused' | 'unreachable'): void {
    this.#byId.delete(end.connectionId)
    if (end.peerAddress !== undefined && this.#byAddress.get(end.peerAddress) === end) this.#byAddress.delete(end.peerAddress)
    this.#emit(end, kind)
  }

  #emit (end: LinkEnd, kind: LinkEvent['kind']): void {
    const event: LinkEvent = end.peerAddress === undefined
      ? { kind, address: end.peerName, connectionId: end.connectionId }
      : { kind, address: end.peerAddress }
    for (const listener of [...this.#listeners]) listener(event)
  }

  deliver (end: LinkEnd, channel: Channel, message: unknown): void {
    const receiver = this.#receivers.get(channel)
    if (receiver === undefined || !this.#usable) return
    receiver(message, {
      address: end.peerAddress,
      connectionId: end.connectionId,
      reply: (answer, stream = 0) => { if (this.#usable && end.state === 'open') this.#network.send(end, channel, answer, stream) },
      queuedBytes: () => this.#usable && end.state === 'open' ? this.#network.queuedBytes(end) : 0
    })
  }
}
