/**
 * Which transfers a store sends, and how fast: few at a time, the most urgent first, and no faster than its clients bear.
 *
 * *Places.* `transfersMax` snapshots are under way at once. A place that becomes free goes to the partition with the fewest live
 * replicas: lost redundancy is restored before anything is balanced.
 *
 * *Rate.* A bucket of tokens, one per byte, which a snapshot's pieces are taken from; one piece may overdraw it. Deltas and the tail of
 * committed entries are counted and do not wait: a learner that cannot keep up with the tail would never be level. They may overdraw the bucket
 * by a second, so that pieces always get on. How fast it fills follows
 * the writes of clients at this store: additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the increase and
 * decrease algorithms for congestion avoidance", Computer Networks 1989). While nothing is copied the latency of writes is learned; while
 * something is, each second in which its 99th percentile is above `LATENCY_FACTOR` times that halves the rate, and each other raises it.
 *
 * Pure: no clock, no I/O.
 */

/** The 99th percentile of the latency of writes may be so many times the undisturbed one. */
const LATENCY_FACTOR = 2
/** Below this a latency is no reason to slow down, in milliseconds: a timer's worth. */
const LATENCY_FLOOR_MS = 10
const WINDOW_MS = 1000
/** Fewer writes in a window say nothing about a 99th percentile. */
const SAMPLES_MIN = 20
const SAMPLES_MAX = 4096
/** The rate falls to this part of the greatest one at most, so that a transfer always gets on. */
const RATE_PART_MIN = 1 / 64
/** A second without a reason to slow down raises the rate by this part of the greatest. */
const RATE_PART_STEP = 1 / 16
/** How much of the latest undisturbed window goes into what is taken for undisturbed. */
const LEARNING = 0.2

export interface TransferScheduleOptions {
  /** Snapshots that this store sends at once. */
  readonly transfersMax: number
  /** Bytes of snapshots that this store sends per second, at most. */
  readonly transferBytesPerSecondMax: number
}

export interface TransferStatus {
  /** Snapshots under way from here, and those that wait for their turn. */
  readonly running: number
  readonly waiting: number
  /** Sent within the last whole second, and what may be sent in one now. */
  readonly bytesPerSecond: number
  readonly bytesPerSecondMax: number
  /** Since the process started. */
  readonly bytesSent: number
}

interface Wish { readonly partition: number, readonly liveReplicas: number }

export class TransferSchedule {
  readonly #options: TransferScheduleOptions
  readonly #running = new Set<object>()
  /** In the order in which they came. */
  readonly #waiting = new Map<object, Wish>()
  #rate: number
  /** Invariant: at most what the rate gives in a second, above or below 0. */
  #tokens: number
  #filledAt = -Infinity
  #windowStart = -Infinity
  #samples: number[] = []
  #bytes = 0
  #lastBytes = 0
  #sent = 0
  /** The undisturbed 99th percentile, once one was seen. */
  #undisturbedMs: number | undefined

  constructor (options: TransferScheduleOptions) {
    this.#options = options
    this.#rate = this.#tokens = options.transferBytesPerSecondMax
  }

  /** Asks for a place. Whoever gets none is remembered, and asks again when `next` names it, or at any time. */
  acquire (holder: object, partition: number, liveReplicas: number): boolean {
    if (this.#running.has(holder)) return true
    let ahead = 0
    for (const [other, wish] of this.#waiting) if (other !== holder && wish.liveReplicas < liveReplicas) ahead++
    if (this.#running.size + ahead >= this.#options.transfersMax) {
      this.#waiting.set(holder, { partition, liveReplicas })
      return false
    }
    this.#waiting.delete(holder)
    this.#running.add(holder)
    return true
  }

  /** Gives back a place, or the wish for one. */
  release (holder: object): void {
    this.#running.delete(holder)
    this.#waiting.delete(holder)
  }

  /** The partition whose turn it is, if a place is free. */
  next (): number | undefined {
    if (this.#running.size >= this.#options.transfersMax) return undefined
    let best: Wish | undefined
    for (const wish of this.#waiting.values()) if (best === undefined || wish.liveReplicas < best.liveReplicas) best = wish
    return best?.partition
  }

  /** True when the next piece may be sent. */
  ready (now: number): boolean {
    this.#fill(now)
    return this.#tokens > 0
  }

  /** So many bytes were sent. */
  spend (now: number, bytes: number): void {
    this.#turn(now)
    this.#fill(now)
    this.#tokens = Math.max(this.#tokens - bytes, -this.#rate)
    this.#bytes += bytes
    this.#sent += bytes
  }

  /** A client's write was answered after so long. */
  answered (now: number, tookMs: number): void {
    this.#turn(now)
    if (this.#samples.length < SAMPLES_MAX) this.#samples.push(tookMs)
  }

  status (now: number): TransferStatus {
    this.#turn(now)
    return {
      running: this.#running.size,
      waiting: this.#waiting.size,
      bytesPerSecond: this.#lastBytes,
      bytesPerSecondMax: Math.round(this.#rate),
      bytesSent: this.#sent
    }
  }

  #fill (now: number): void {
    const elapsed = now - this.#filledAt
    this.#filledAt = now
    this.#tokens = Math.min(this.#rate, Math.max(this.#tokens, -this.#rate) + this.#rate * Math.min(elapsed, WINDOW_MS) / 1000)
  }

  /** Ends the window if it is over, and draws the conclusion from it. */
  #turn (now: number): void {
    if (now - this.#windowStart < WINDOW_MS) return
    const samples = this.#samples
    const [bytes, disturbed] = [this.#bytes, this.#bytes + this.#lastBytes > 0]
    this.#lastBytes = now - this.#windowStart < 2 * WINDOW_MS ? bytes : 0
    this.#windowStart = now
    this.#samples = []
    this.#bytes = 0
    const { transferBytesPerSecondMax: greatest } = this.#options
    const latencyMs = samples.length < SAMPLES_MIN ? undefined : samples.sort((a, b) => a - b)[Math.ceil(samples.length * 0.99) - 1]!
    if (!disturbed) {
      if (latencyMs === undefined) return
      this.#undisturbedMs = this.#undisturbedMs === undefined ? latencyMs : (1 - LEARNING) * this.#undisturbedMs + LEARNING * latencyMs
    } else if (latencyMs !== undefined && this.#undisturbedMs !== undefined &&
      latencyMs > LATENCY_FACTOR * Math.max(this.#undisturbedMs, LATENCY_FLOOR_MS)) {
      this.#rate = Math.max(greatest * RATE_PART_MIN, this.#rate / 2)
    } else this.#rate = Math.min(greatest, this.#rate + greatest * RATE_PART_STEP)
  }
}
