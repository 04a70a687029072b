/**
 * The simulated network: connections between transports, and what happens to messages on the way.
 *
 * A message is lost, or arrives in the order sent per pair of hosts, channel and stream, as the `Transport` contract says, unless the
 * faults say otherwise; those of one stream overtake those of another, however short all of them are. A long one goes in pieces, between
 * which the others pass, so it takes its time and holds up only what is in its stream. Connections behave as those of TCP: a process
 * that dies closes its own, a machine that dies leaves the others' half open until they send something after it is back.
 *
 * Owns: every connection. Time and chance are the simulation's.
 */
import { type Address, type Channel, CHANNELS } from '../../membership/environment/environment.ts'
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { EventOwner, SimulatedEvent } from './event-queue.ts'
import type { FaultTable, LinkFaults } from './faults.ts'
import { WHOLE_BYTES_MAX } from '../../membership/transport/pieces.ts'
import { copyAgain, MessageCopier } from './message-copy.ts'
import type { SimulatedTransport } from './transport.ts'

/** What the network needs of the simulation. */
export interface Scheduler {
  readonly nowMs: number
  /** Runs something after a delay of true time; dropped when the owner is dead by then, held while it is paused. */
  schedule (delayMs: number, owner: EventOwner | undefined, run: () => void): SimulatedEvent
  trace (host: string, what: string): void
}

export interface NetworkStatistics {
  sent: number
  delivered: number
  lost: number
  duplicated: number
  /** Of those sent, how many were so long that they went in pieces. */
  long: number
  /** Of all messages sent, about as MessagePack would have it. */
  bytes: number
}

export interface Packet {
  readonly channel: Channel
  readonly stream: number
  /** Nobody else's: a copy. */
  readonly message: unknown
  readonly bytes: number
  readonly digest: number
}

/** One side of a connection. */
export interface LinkEnd {
  readonly connectionId: number
  readonly transport: SimulatedTransport
  /** What the other side is called: its address, or the name of a host that does not listen. */
  readonly peerName: string
  /** Undefined when the other side does not listen. */
  readonly peerAddress: Address | undefined
  peer: LinkEnd | undefined
  state: 'dialling' | 'open' | 'closed'
  /** Waits for the connection. */
  queue: Packet[]
  queuedBytes: number
  /** When the peer hears that the connection is open: no message may overtake that. */
  openMs: number
  /** When the last message towards the peer arrives. */
  lastArrivalMs: number
  /** By lane, when the last message of it towards the peer arrives: none of it may overtake that. Those that arrived may be missing. */
  arrivalsMs: Map<number, number>
  /** When the link has taken all bytes sent so far, but for those of long messages. */
  freeAtMs: number
  /** When it has taken the long messages, too. */
  longFreeAtMs: number
  faults: LinkFaults
  faultsVersion: number
}

/** Lanes whose last arrivals are remembered before those of the past are looked for. */
const ARRIVALS_KEPT = 256

/** The pieces of long messages pass at this pace, where the link is not slower by itself. */
const PIECE_BYTES_PER_MS = 16 * 1024

const CHANNEL_COUNT = Object.keys(CHANNELS).length

/** What keeps its order: a stream of a channel. */
const laneOf = (channel: Channel, stream: number): number => stream * CHANNEL_COUNT + channel

/** What one host may have queued towards another before further messages are lost. */
const QUEUE_BYTES_MAX = 64 * 2 ** 20

export class SimulatedNetwork {
  readonly faults: FaultTable
  readonly statistics: NetworkStatistics = { sent: 0, delivered: 0, lost: 0, duplicated: 0, long: 0, bytes: 0 }
  readonly #scheduler: Scheduler
  readonly #random: SeededRandom
  readonly #copier = new MessageCopier()
  readonly #listeners = new Map<Address, SimulatedTransport>()
  /** Hosts that lost power: they answer nothing, not even with a refusal. */
  readonly #dark = new Set<string>()
  readonly #connectTimeoutMs: number
  #connections = 0

  constructor (scheduler: Scheduler, random: SeededRandom, faults: FaultTable, connectTimeoutMs: number) {
    this.#scheduler = scheduler
    this.#random = random
    this.faults = faults
    this.#connectTimeoutMs = connectTimeoutMs
  }

  /** @returns false when another process listens there. */
  listen (address: Address, transport: SimulatedTransport): boolean {
    if (this.#listeners.has(address)) return false
    this.#listeners.set(address, transport)
    return true
  }

  unlisten (address: Address, transport: SimulatedTransport): void {
    if (this.#listeners.get(address) === transport) this.#listeners.delete(address)
  }

  setDark (host: string, dark: boolean): void {
    if (dark) this.#dark.add(host)
    else this.#dark.delete(host)
  }

  #newEnd (transport: SimulatedTransport, peerName: string, peerAddress: Address | undefined, state: LinkEnd['state']): LinkEnd {
    return {
      connectionId: ++this.#connections, transport, peerName, peerAddress, peer: undefined, state,
      queue: [], queuedBytes: 0, openMs: 0, lastArrivalMs: 0, arrivalsMs: new Map(), freeAtMs: 0, longFreeAtMs: 0,
      faults: this.faults.between(transport.name, peerName), faultsVersion: this.faults.version
    }
  }

  #faultsOf (from: LinkEnd): LinkFaults {
    if (from.faultsVersion !== this.faults.version) {
      from.faults = this.faults.between(from.transport.name, from.peerName)
      from.faultsVersion = this.faults.version
    }
    return from.faults
  }

  #delay (faults: LinkFaults): number {
    return faults.jitterMs > 0 ? faults.latencyMs + this.#random.next() * faults.jitterMs : faults.latencyMs
  }

  /** Begins to connect to an address. */
  dial (transport: SimulatedTransport, to: Address): LinkEnd {
    const end = this.#newEnd(transport, to, to, 'dialling')
    const back = this.faults.between(to, transport.name)
    const there = end.faults
    this.#scheduler.trace(transport.name, `dial ${to}`)
    this.#scheduler.schedule(this.#connectTimeoutMs, transport.owner, () => this.#fail(end, 'unreachable'))
    if (there.blocked) return end
    this.#scheduler.schedule(this.#delay(there), undefined, () => {
      const target = this.#listeners.get(to)
      if (target !== undefined) {
        // In an event of the target's own, so that a paused process accepts when it is resumed.
        this.#scheduler.schedule(0, target.owner, () => this.#accept(end, target))
      } else if (!this.#dark.has(to) && !back.blocked) {
        this.#scheduler.schedule(this.#delay(back), transport.owner, () => this.#fail(end, 'refused'))
      }
    })
    return end
  }

  #fail (end: LinkEnd, kind: 'refused' | 'unreachable'): void {
    if (end.state !== 'dialling') return
    end.state = 'closed'
    this.statistics.lost += end.queue.length
    this.#scheduler.trace(end.transport.name, `${kind} ${end.peerName}`)
    end.transport.ended(end, kind)
  }

  #accept (dialled: LinkEnd, target: SimulatedTransport): void {
    if (!target.listening || (dialled.state !== 'dialling')) return
    const dialler = dialled.transport
    const existing = dialler.address === undefined ? undefined : target.endTowards(dialler.address)
    if (existing?.state === 'open') {
      // The dialler knows nothing of the older connection any more.
      this.#shut(existing)
    }
    const end = existing?.state === 'dialling' ? existing : this.#newEnd(target, dialler.name, dialler.address, 'dialling')
    end.peer = dialled
    dialled.peer = end
    this.#open(end)
    const faults = this.#faultsOf(end)
    if (faults.blocked) return
    end.openMs = this.#scheduler.nowMs + this.#delay(faults)
    this.#scheduler.schedule(end.openMs - this.#scheduler.nowMs, dialler.owner, () => this.#open(dialled))
  }

  #open (end: LinkEnd): void {
    if (end.state !== 'dialling') return
    end.state = 'open'
    this.#scheduler.trace(end.transport.name, `opened ${end.peerName}`)
    end.transport.register(end)
    // What waited goes first: whoever hears of the connection may send at once.
    const queue = end.queue
    end.queue = []
    end.queuedBytes = 0
    for (const packet of queue) this.#transmit(end, packet)
    if (this.#isOpen(end)) end.transport.opened(end)
  }

  /** For where the compiler still believes in a state that a call has changed. */
  #isOpen (end: LinkEnd): boolean {
    return end.state === 'open'
  }

  /**
   * What cannot be sent is a fault of whoever sends it, and ends the simulation even where the sender goes on without it.
   * @throws {TypeError} when the message holds what a transport does not carry.
   */
  pack (channel: Channel, message: unknown, stream: number): Packet {
    try {
      return { channel, stream, message: this.#copier.copy(message), bytes: this.#copier.bytes, digest: this.#copier.digest }
    } catch (error) {
      this.#scheduler.schedule(0, undefined, () => { throw error })
      throw error
    }
  }

  /** Sends, or queues until the connection is open. @param like the packet of this message to another receiver, which has been measured. */
  send (from: LinkEnd, channel: Channel, message: unknown, stream: number, like?: Packet): Packet {
    const packet = like === undefined ? this.pack(channel, message, stream) : { ...like, message: copyAgain(like.message) }
    this.statistics.sent++
    if (packet.bytes > WHOLE_BYTES_MAX) this.statistics.long++
    this.statistics.bytes += packet.bytes
    if (from.state === 'open') {
      this.#transmit(from, packet)
    } else if (from.state === 'dialling' && from.queuedBytes + packet.bytes <= QUEUE_BYTES_MAX) {
      from.queue.push(packet)
      from.queuedBytes += packet.bytes
    } else {
      this.statistics.lost++
    }
    return packet
  }

  #transmit (from: LinkEnd, packet: Packet): void {
    const faults = this.#faultsOf(from)
    const random = this.#random
    if (from.state !== 'open') {
      this.statistics.lost++
      return
    }
    if (random.chance(faults.resetProbability)) {
      this.statistics.lost++
      this.reset(from)
      return
    }
    const takenMs = this.#take(from, packet.bytes, faults.bandwidthBytesPerMs)
    if (faults.blocked || random.chance(faults.lossProbability)) {
      this.statistics.lost++
      this.#scheduler.trace(from.transport.name, `lost ${packet.channel} to ${from.peerName}`)
      return
    }
    const lane = laneOf(packet.channel, packet.stream)
    let arrivalMs = Math.max(takenMs + this.#delay(faults), from.openMs, from.arrivalsMs.get(lane) ?? 0)
    if (random.chance(faults.reorderProbability)) arrivalMs += random.next() * faults.reorderMs
    else this.#noteArrival(from, lane, arrivalMs)
    this.#arrive(from, packet, arrivalMs)
    if (random.chance(faults.duplicateProbability)) {
      this.statistics.duplicated++
      this.#arrive(from, this.pack(packet.channel, packet.message, packet.stream), arrivalMs + random.next() * faults.reorderMs)
    }
  }

  /** When the link has taken a message. Long ones share it by piece with all that is short, which does not wait for them. */
  #take (from: LinkEnd, bytes: number, bytesPerMs: number): number {
    const nowMs = this.#scheduler.nowMs
    const free = Math.max(nowMs, from.freeAtMs)
    if (bytes <= WHOLE_BYTES_MAX) return bytesPerMs === Infinity ? free : from.freeAtMs = free + bytes / bytesPerMs
    return from.longFreeAtMs = Math.max(free, from.longFreeAtMs) + bytes / Math.min(bytesPerMs, PIECE_BYTES_PER_MS)
  }

  #noteArrival (from: LinkEnd, lane: number, atMs: number): void {
    const { arrivalsMs } = from
    arrivalsMs.set(lane, atMs)
    from.lastArrivalMs = Math.max(from.lastArrivalMs, atMs)
    if (arrivalsMs.size <= ARRIVALS_KEPT) return
    for (const [known, knownMs] of arrivalsMs) if (knownMs < this.#scheduler.nowMs) arrivalsMs.delete(known)
  }

  /** True while a message of that stream is under way, or waits for the connection. */
  isBusy (end: LinkEnd, channel: Channel, stream: number): boolean {
    const lane = laneOf(channel, stream)
    return end.queue.some(packet => laneOf(packet.channel, packet.stream) === lane) || (end.arrivalsMs.get(lane) ?? 0) > this.#scheduler.nowMs
  }

  #arrive (from: LinkEnd, packet: Packet, atMs: number): void {
    const end = from.peer!
    const delayMs = atMs - this.#scheduler.nowMs
    if (end.state === 'closed') {
      this.statistics.lost++
      this.#scheduler.schedule(delayMs, undefined, () => this.#answerForTheDead(end))
      return
    }
    this.#scheduler.schedule(delayMs, end.transport.owner, () => {
      // Only what the other side accepted can come from it: the connection is there, even if its own news is late.
      this.#open(end)
      if (end.state === 'closed') {
        this.statistics.lost++
        this.#answerForTheDead(end)
        return
      }
      this.#scheduler.trace(end.transport.name, `${packet.channel} from ${from.transport.name} ${packet.bytes} ${packet.digest.toString(16)}`)
      this.statistics.delivered++
      end.transport.deliver(end, packet.channel, packet.message)
    })
  }

  /** Breaks a connection: both sides hear of it, and what was under way is lost. */
  reset (end: LinkEnd): void {
    this.#scheduler.trace(end.transport.name, `reset ${end.peerName}`)
    this.close(end)
    end.transport.ended(end, 'closed')
  }

  /** Closes this side; the other side hears of it, unless nothing passes there. */
  close (end: LinkEnd): void {
    if (end.state === 'closed') return
    end.state = 'closed'
    this.statistics.lost += end.queue.length
    end.queue = []
    const peer = end.peer
    const faults = this.#faultsOf(end)
    if (peer === undefined || faults.blocked) return
    const atMs = Math.max(this.#scheduler.nowMs + this.#delay(faults), end.openMs, end.lastArrivalMs)
    this.#scheduler.schedule(atMs - this.#scheduler.nowMs, peer.transport.owner, () => this.#shut(peer))
  }

  /** Closes a side because the other one is gone. */
  #shut (end: LinkEnd): void {
    if (end.state === 'closed') return
    const wasDialling = end.state === 'dialling'
    end.state = 'closed'
    this.statistics.lost += end.queue.length
    end.queue = []
    this.#scheduler.trace(end.transport.name, `closed ${end.peerName}`)
    end.transport.ended(end, wasDialling ? 'unreachable' : 'closed')
  }

  /** Closes the sides of a dead process. A machine that lost power tells nobody. */
  abandon (ends: readonly LinkEnd[], silently: boolean): void {
    for (const end of ends) {
      if (silently) end.state = 'closed'
      else this.close(end)
    }
  }

  /** A message for a side that is gone: its host, when it runs, says so, as TCP does with a reset. */
  #answerForTheDead (end: LinkEnd): void {
    const sender = end.peer
    if (sender === undefined || this.#dark.has(end.transport.name) || this.faults.between(end.transport.name, sender.transport.name).blocked) return
    this.#scheduler.schedule(this.#delay(this.#faultsOf(end)), sender.transport.owner, () => this.#shut(sender))
  }

  queuedBytes (end: LinkEnd): number {
    const { bandwidthBytesPerMs } = this.#faultsOf(end)
    const queued = (untilMs: number, bytesPerMs: number): number => {
      const behindMs = untilMs - this.#scheduler.nowMs
      return behindMs > 0 ? Math.ceil(behindMs * bytesPerMs) : 0
    }
    return end.queuedBytes + queued(end.freeAtMs, bandwidthBytesPerMs) + queued(end.longFreeAtMs, Math.min(bandwidthBytesPerMs, PIECE_BYTES_PER_MS))
  }
}
