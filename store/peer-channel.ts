/**
 * What this store says to the other stores of its cluster, and what it hears from them: the envelope of their messages.
 *
 * An envelope names the cluster (`c`), who says it (`f`) and to whom (`t`), and carries a packet of messages between replicas (`m`) or one about
 * leases (`l`). Addresses are used again: what was meant for the store that was at one before is not for this one, though it may be a
 * member of the same groups, and of an incarnation with the same number. So only what names this store and this cluster is passed on.
 *
 * Owns the receivers of the transport's store and bulk channels.
 */
import type { StoreId } from '../membership/configuration.ts'
import { type Address, type Channel, CHANNELS, type Environment } from '../membership/environment/environment.ts'
import type { BodyBytes } from './body-bytes.ts'
import { validateStoreId } from './group/message-checks.ts'
import type { GroupMessage } from './group/messages.ts'
import { type LeaseMessage, validateLeaseMessage } from './leases.ts'
import { type Addressed, type Packet, unpack } from './peer-messages.ts'
import { PeerOutbox } from './peer-outbox.ts'

export interface PeerChannelComponents {
  readonly environment: Pick<Environment, 'transport' | 'log'>
  readonly self: StoreId
  readonly bodies: BodyBytes
  /** Messages for the partition of that number came, which there is. */
  readonly heard: (partition: number, from: StoreId, message: GroupMessage) => void
  readonly heardOfLease: (from: StoreId, message: LeaseMessage) => void
}

/** What came in an envelope: messages for partitions, or one about leases. */
interface Heard { readonly from: StoreId, readonly messages: readonly Addressed[], readonly lease?: LeaseMessage }

export class PeerChannel {
  readonly #components: PeerChannelComponents
  readonly #outbox: PeerOutbox
  #clusterId = ''
  #addresses: ReadonlyMap<StoreId, Address> = new Map()
  #storeAt: ReadonlyMap<Address, StoreId> = new Map()
  /** 0 until there is a placement. */
  #partitions = 0

  constructor (components: PeerChannelComponents) {
    this.#components = components
    const { transport } = components.environment
    this.#outbox = new PeerOutbox(components.bodies, {
      send: (to, channel, packet, stream) => { this.#sendPacket(to, channel, packet, stream) },
      isBusy: (to, channel, stream) => transport.isBusy(to, channel, stream)
    })
  }

  start (): void {
    const { transport } = this.#components.environment
    transport.receive(CHANNELS.store, message => { this.#receive(message) })
    transport.receive(CHANNELS.bulk, message => { this.#receive(message) })
  }

  /** From now on these stores are heard and spoken to, about so many partitions. */
  changeView (clusterId: string, addresses: ReadonlyMap<StoreId, Address>, partitions: number): void {
    this.#clusterId = clusterId
    this.#addresses = addresses
    this.#storeAt = new Map([...addresses].map(([store, address]) => [address, store]))
    this.#partitions = partitions
  }

  /** Undefined for a store that is not in the configuration. */
  addressOf (store: StoreId): Address | undefined {
    return this.#addresses.get(store)
  }

  #heading (to: Address): { c: string, f: StoreId, t: StoreId | undefined } {
    return { c: this.#clusterId, f: this.#components.self, t: this.#storeAt.get(to) }
  }

  /** Goes out with the next `flush`. To a store that is not in the configuration nothing is said. */
  send (to: StoreId, partition: number, message: GroupMessage): void {
    const address = this.#addresses.get(to)
    if (address !== undefined) this.#outbox.add(address, partition, message)
  }

  /** What the transport does not take is a fault of this store, and as if it were lost: it must not end the turn, with all else in it. */
  #sendPacket (to: Address, channel: Channel, packet: Packet, stream: number): void {
    const { transport, log } = this.#components.environment
    try {
      transport.send(to, channel, { ...this.#heading(to), m: packet }, stream)
    } catch (error) {
      // Too many values, or too long: see `Transport`.
      if (!(error instanceof TypeError || error instanceof RangeError)) throw error
      log.error({ to, error }, 'a message to another store cannot be sent')
    }
  }

  sendLease (to: StoreId, message: LeaseMessage): void {
    const address = this.#addresses.get(to)
    if (address !== undefined) this.#components.environment.transport.send(address, CHANNELS.store, { ...this.#heading(address), l: message })
  }

  /** The end of a turn. */
  flush (): void {
    this.#outbox.flush()
  }

  #receive (raw: unknown): void {
    if (this.#partitions === 0) return
    let heard: Heard
    try {
      heard = this.#open(raw)
    } catch (error) {
      this.#components.environment.log.warn({ reason: String(error) }, 'dropped a message')
      return
    }
    if (heard.lease !== undefined) this.#components.heardOfLease(heard.from, heard.lease)
    for (const { partition, message } of heard.messages) this.#components.heard(partition, heard.from, message)
  }

  /** @throws where it is nothing that another store says to this one */
  #open (raw: unknown): Heard {
    const envelope = raw as { c: unknown, f: unknown, t: unknown, m?: unknown, l?: unknown } | null
    if (envelope?.c !== this.#clusterId) throw new TypeError('of another cluster')
    if (envelope.t !== this.#components.self) throw new TypeError('for another store')
    const from = validateStoreId(envelope.f)
    if (envelope.l !== undefined) return { from, messages: [], lease: validateLeaseMessage(envelope.l) }
    const messages = unpack(envelope.m, this.#components.bodies, this.#partitions)
    return { from, messages }
  }
}
