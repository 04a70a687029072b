/**
 * Collects what the replicas of this store say to other stores in one turn, and sends it as one packet per peer (or a few, where it is
 * much). Copies of data go on the bulk channel, one message per packet, so that nothing waits behind them.
 *
 * Owns nothing; what it holds goes out with the next `flush`.
 */
import { type Address, type Channel, CHANNELS } from '../membership/environment/environment.ts'
import type { BodyBytes } from './body-bytes.ts'
import { entryBytes } from './group/history.ts'
import type { GroupMessage } from './group/messages.ts'
import { PACKET_MESSAGES_MAX, type Packet, PacketBuilder } from './peer-messages.ts'

/** A packet takes no further message once it has so many bytes, about. */
const PACKET_BYTES = 1024 * 1024
/** What a message without entries takes, about. */
const MESSAGE_BYTES = 64

interface Open { readonly builder: PacketBuilder, bytes: number, messages: number }

export class PeerOutbox {
  readonly #send: (to: Address, channel: Channel, packet: Packet) => void
  readonly #bodies: BodyBytes
  readonly #open = new Map<Address, Open>()

  constructor (bodies: BodyBytes, send: (to: Address, channel: Channel, packet: Packet) => void) {
    this.#bodies = bodies
    this.#send = send
  }

  add (to: Address, partition: number, message: GroupMessage): void {
    if (message.kind === 'chunk' || message.kind === 'delta' || message.kind === 'tail') {
      const builder = new PacketBuilder(this.#bodies)
      builder.add(partition, message)
      this.#send(to, CHANNELS.bulk, builder.build())
      return
    }
    let open = this.#open.get(to)
    if (open === undefined) this.#open.set(to, open = { builder: new PacketBuilder(this.#bodies), bytes: 0, messages: 0 })
    open.builder.add(partition, message)
    open.messages++
    open.bytes += MESSAGE_BYTES
    if (message.kind === 'append') for (const entry of message.entries) open.bytes += entryBytes(entry)
    if (open.bytes < PACKET_BYTES && open.messages < PACKET_MESSAGES_MAX) return
    this.#open.delete(to)
    this.#send(to, CHANNELS.store, open.builder.build())
  }

  /** The end of a turn. */
  flush (): void {
    if (this.#open.size === 0) return
    const packets = [...this.#open]
    this.#open.clear()
    for (const [to, { builder }] of packets) this.#send(to, CHANNELS.store, builder.build())
  }
}
