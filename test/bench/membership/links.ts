/**
 * The network of the lean driver: one connection per pair of processes, latency of one data centre, loss per process and direction.
 *
 * Latency, one way: 0.5 ms and log-normal jitter with a median of 0.1 ms (sigma 1), drawn from a table of samples; messages of one
 * connection and direction arrive in order. A message is lost with the probability that either of the two processes' rules gives it, as
 * with packets, but messages behind it do not wait: harsher than TCP, whose segments come late, and what the paper's UDP sees. An
 * attempt to connect is made again after a second, as a kernel repeats a SYN, and given up after three. Frame headers, TCP and IP are
 * not in the bytes.
 *
 * Owns: all connections. Time and chance are the driver's. Messages are shared by reference: they never change.
 */
import type { SeededRandom } from '../../../membership/environment/seeded-random.ts'
import type { LinkEvent } from '../../../membership/environment/environment.ts'
import type { MembershipMessage } from '../../../membership/messages.ts'
import type { EventOwner, EventQueue } from '../../sim/event-queue.ts'
import type { Traffic } from './traffic.ts'

/** One end of every connection of one process. */
export interface Host extends EventOwner {
  readonly index: number
  readonly address: string
  /** The probability that a message which this process receives, or sends, is lost. */
  ingressLoss: number
  egressLoss: number
  /** The machine is off: nothing answers, not even with a refusal. */
  dark: boolean
  deliver (from: Host, message: MembershipMessage): void
  linkEvent (kind: LinkEvent['kind'], peer: Host): void
}

interface Outgoing {
  readonly message: MembershipMessage
  readonly bytes: number
}

/** One side of a connection. */
interface Side {
  readonly host: Host
  open: boolean
  /** Waits for the connection. */
  queue: Outgoing[]
  /** When the last message towards this side arrives: none may overtake it. */
  lastArrivalMs: number
}

interface Link {
  readonly low: Side
  readonly high: Side
  state: 'dialling' | 'open' | 'closed'
  /** Attempts are told apart, so that an event of an old one means nothing. */
  attempt: number
  failedAtMs: number
}

const BASE_LATENCY_MS = 0.5
const JITTER_MEDIAN_MS = 0.1
const JITTER_SIGMA = 1
const JITTER_SAMPLES = 4096
const CONNECT_TRIES_MS: readonly number[] = [0, 1000]
const CONNECT_TIMEOUT_MS = 3000
/** As the WebSocket transport: messages within this time after a failed attempt are lost. */
const REDIAL_DELAY_MS = 100
const HOSTS_MAX = 65_536

function jitterTable (random: SeededRandom): Float64Array {
  return Float64Array.from({ length: JITTER_SAMPLES }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
    return JITTER_MEDIAN_MS * Math.exp(JITTER_SIGMA * normal)
  })
}

export interface LinkClock {
  readonly nowMs: number
}

export class Links {
  readonly #clock: LinkClock
  readonly #queue: EventQueue
  readonly #random: SeededRandom
  readonly #traffic: Traffic
  readonly #jitter: Float64Array
  readonly #links = new Map<number, Link>()
  /** Every pair is connected from the beginning: for comparing what broadcasts cost, without the connections that they need. */
  readonly #meshed: boolean

  constructor (clock: LinkClock, queue: EventQueue, random: SeededRandom, traffic: Traffic, meshed: boolean) {
    this.#clock = clock
    this.#queue = queue
    this.#random = random
    this.#traffic = traffic
    this.#jitter = jitterTable(random)
    this.#meshed = meshed
  }

  send (from: Host, to: Host, message: MembershipMessage, bytes: number): void {
    const link = this.#between(from, to)
    const side = sideOf(link, from)
    if (side.open) {
      this.#transmit(link, from, to, message, bytes)
      return
    }
    if (link.state !== 'dialling') {
      if (this.#clock.nowMs < link.failedAtMs + REDIAL_DELAY_MS) return
      this.#dial(link, from, to)
    }
    side.queue.push({ message, bytes })
  }

  /** The process is gone: its connections close, and its peers hear of it, unless its machine lost power. */
  abandon (host: Host): void {
    for (const link of this.#links.values()) {
      if (link.low.host !== host && link.high.host !== host) continue
      const other = link.low.host === host ? link.high : link.low
      if (host.dark) {
        sideOf(link, host).open = false
        continue
      }
      const wasOpen = other.open
      this.#close(link)
      if (wasOpen) this.#later(Math.max(this.#latency(), other.lastArrivalMs - this.#clock.nowMs), other.host, () => { other.host.linkEvent('closed', host) })
    }
  }

  #between (a: Host, b: Host): Link {
    const [low, high] = a.index < b.index ? [a, b] : [b, a]
    const key = low.index * HOSTS_MAX + high.index
    let link = this.#links.get(key)
    if (link === undefined) {
      const open = this.#meshed
      const side = (host: Host): Side => ({ host, open, queue: [], lastArrivalMs: 0 })
      link = { low: side(low), high: side(high), state: open ? 'open' : 'closed', attempt: 0, failedAtMs: -Infinity }
      this.#links.set(key, link)
    }
    return link
  }

  #latency (): number {
    return BASE_LATENCY_MS + this.#jitter[this.#random.word() % JITTER_SAMPLES]!
  }

  #later (delayMs: number, owner: Host | undefined, run: () => void): void {
    this.#queue.add(this.#clock.nowMs + delayMs, owner, run)
  }

  #isLost (from: Host, to: Host): boolean {
    if (from.egressLoss === 0 && to.ingressLoss === 0) return false
    return this.#random.chance(1 - (1 - from.egressLoss) * (1 - to.ingressLoss))
  }

  #transmit (link: Link, from: Host, to: Host, message: MembershipMessage, bytes: number): void {
    this.#traffic.sent(this.#clock.nowMs, from.index, message.kind, bytes)
    if (this.#isLost(from, to)) return
    const far = sideOf(link, to)
    const { attempt } = link
    far.lastArrivalMs = Math.max(this.#clock.nowMs + this.#latency(), far.lastArrivalMs)
    this.#queue.add(far.lastArrivalMs, to, () => {
      // What was under way when the connection closed is gone with it.
      if (link.attempt !== attempt) return
      this.#traffic.received(this.#clock.nowMs, to.index, bytes)
      to.deliver(from, message)
    })
  }

  #dial (link: Link, from: Host, to: Host): void {
    link.state = 'dialling'
    const attempt = ++link.attempt
    for (const delayMs of CONNECT_TRIES_MS) this.#later(delayMs, from, () => { this.#knock(link, attempt, from, to) })
    this.#later(CONNECT_TIMEOUT_MS, from, () => { this.#fail(link, attempt, from, to, 'unreachable') })
  }

  #knock (link: Link, attempt: number, from: Host, to: Host): void {
    if (link.state !== 'dialling' || link.attempt !== attempt || this.#isLost(from, to)) return
    this.#later(this.#latency(), undefined, () => {
      if (link.state !== 'dialling' || link.attempt !== attempt || to.dark || this.#isLost(to, from)) return
      if (!to.alive) {
        this.#later(this.#latency(), from, () => { this.#fail(link, attempt, from, to, 'refused') })
        return
      }
      link.state = 'open'
      this.#open(link, to, from)
      const side = sideOf(link, from)
      side.lastArrivalMs = Math.max(this.#clock.nowMs + this.#latency(), side.lastArrivalMs)
      this.#later(side.lastArrivalMs - this.#clock.nowMs, from, () => {
        if (link.state === 'open' && link.attempt === attempt) this.#open(link, from, to)
      })
    })
  }

  #open (link: Link, at: Host, peer: Host): void {
    const side = sideOf(link, at)
    if (side.open) return
    side.open = true
    const { queue } = side
    side.queue = []
    for (const { message, bytes } of queue) this.#transmit(link, at, peer, message, bytes)
    at.linkEvent('opened', peer)
  }

  #fail (link: Link, attempt: number, from: Host, to: Host, kind: 'refused' | 'unreachable'): void {
    if (link.state !== 'dialling' || link.attempt !== attempt) return
    this.#close(link)
    link.failedAtMs = this.#clock.nowMs
    from.linkEvent(kind, to)
  }

  #close (link: Link): void {
    link.state = 'closed'
    link.attempt++
    for (const side of [link.low, link.high]) {
      side.open = false
      side.queue = []
    }
  }
}

function sideOf (link: Link, host: Host): Side {
  return link.low.host === host ? link.low : link.high
}
