/**
 * Collects what the replicas of this store say to other stores in one turn, and sends it as one packet per peer (or a few, where it is
 * much). Copies of data go on the bulk channel, one message per packet, so that nothing waits behind them.
 *
 * What is long goes by itself in a stream of its partition, and all else may overtake it but what the same partition says to the same
 * peer: an append that arrives before an earlier one is of no use there, and has both sent again.
 *
 * Owns nothing; what it holds goes out with the next `flush`.
 */
import { type Address, type Channel, CHANNELS } from '../membership/environment/environment.ts'
import type { BodyBytes } from './body-bytes.ts'
import { entryBytes } from './group/history.ts'
import type { GroupMessage } from './group/messages.ts'
import { type Packet, PacketBuilder } from './peer-messages.ts'

/** Bytes of a packet with messages of many partitions, about: half of what is sent in pieces. A message that has as many goes by itself. */
const PACKET_BYTES = 64 * 1024
/** What a message without entries takes, about. So a packet has 1,024 messages at most, and less than PACKET_MESSAGES_MAX. */
const MESSAGE_BYTES = 64

/** Stream 0 is that of packets with messages of many partitions. */
const streamOf = (partition: number): number => partition + 1

interface Open { readonly builder: PacketBuilder, bytes: number }

export interface PeerOutboxHost {
  send (to: Address, channel: Channel, packet: Packet, stream: number): void
  /** True while what is sent on another stream may overtake what was sent on this one. */
  isBusy (to: Address, channel: Channel, stream: number): boolean
}

export class PeerOutbox {
  readonly #bodies: BodyBytes
  readonly #host: PeerOutboxHost
  readonly #open = new Map<Address, Open>()
  /** By peer, the partitions that have long messages under way, or had them in this turn. Invariant: none is empty. */
  readonly #long = new Map<Address, Set<number>>()

  constructor (bodies: BodyBytes, host: PeerOutboxHost) {
    this.#bodies = bodies
    this.#host = host
  }

  add (to: Address, partition: number, message: GroupMessage): void {
    if (message.kind === 'chunk' || message.kind === 'delta' || message.kind === 'tail') {
      this.#sendAlone(to, CHANNELS.bulk, partition, message)
      return
    }
    let bytes = MESSAGE_BYTES
    if (message.kind === 'append') for (const entry of message.entries) bytes += entryBytes(entry)
    if (bytes >= PACKET_BYTES) {
      this.#sendLong(to, partition, message)
      return
    }
    if (this.#long.size > 0 && this.#isBehind(to, partition)) {
      this.#sendAlone(to, CHANNELS.store, partition, message)
      return
    }
    let open = this.#open.get(to)
    if (open !== undefined && open.bytes + bytes > PACKET_BYTES) {
      this.#close(to, open)
      open = undefined
    }
    if (open === undefined) this.#open.set(to, open = { builder: new PacketBuilder(this.#bodies), bytes: 0 })
    open.builder.add(partition, message)
    open.bytes += bytes
  }

  #sendLong (to: Address, partition: number, message: GroupMessage): void {
    // What the partition said before in this turn goes first.
    const open = this.#open.get(to)
    if (open !== undefined) this.#close(to, open)
    const partitions = this.#long.get(to)
    if (partitions === undefined) this.#long.set(to, new Set([partition]))
    else partitions.add(partition)
    this.#sendAlone(to, CHANNELS.store, partition, message)
  }

  /** True while a long message of the partition is on its way to the peer. */
  #isBehind (to: Address, partition: number): boolean {
    return this.#long.get(to)?.has(partition) === true && this.#host.isBusy(to, CHANNELS.store, streamOf(partition))
  }

  /** Forgets the long messages that have gone. */
  #forget (): void {
    for (const [to, partitions] of this.#long) {
      for (const partition of partitions) if (!this.#host.isBusy(to, CHANNELS.store, streamOf(partition))) partitions.delete(partition)
      if (partitions.size === 0) this.#long.delete(to)
    }
  }

  #sendAlone (to: Address, channel: Channel, partition: number, message: GroupMessage): void {
    const builder = new PacketBuilder(this.#bodies)
    builder.add(partition, message)
    this.#host.send(to, channel, builder.build(), streamOf(partition))
  }

  #close (to: Address, { builder }: Open): void {
    this.#open.delete(to)
    this.#host.send(to, CHANNELS.store, builder.build(), 0)
  }

  /** The end of a turn. */
  flush (): void {
    if (this.#long.size > 0) this.#forget()
    if (this.#open.size > 0) for (const [to, open] of [...this.#open]) this.#close(to, open)
  }
}
