/**
 * Traffic while the cluster changes: writers and readers that never stop, every answer judged, every failure counted.
 *
 * Each prober writes one probe key, again and again. The *gap* of a probe key is the longest time between two acknowledged
 * writes of it (the end of the traffic stands for the last): failed attempts, waiting and the pause all count, so without any
 * disturbance it is the pause and one write. The longest gap of a change is the longest among the probe keys whose partition it
 * affects. Writers write all other keys, each a share of its own, and readers read any.
 */
import { type Client, StoreError } from 'coterie'
import { setTimeout as delay } from 'node:timers/promises'
import type { Journal } from './journal.ts'

export interface TrafficOptions {
  readonly probers: number
  readonly writers: number
  readonly readers: number
  /** Between two operations of one of them. */
  readonly pauseMs: number
}

/** Under a thousand operations in a second: enough to notice whatever goes wrong, and no test of what the machine can do. */
export const TRAFFIC_DEFAULTS: TrafficOptions = Object.freeze({ probers: 64, writers: 8, readers: 16, pauseMs: 100 })

export interface TrafficReport {
  readonly writes: number
  readonly reads: number
  /** Operations that failed and certainly had no effect. */
  readonly failedDefinite: number
  /** Operations that failed and may have had one. */
  readonly failedIndefinite: number
  /** Reads that gave an older value than they had to, none, or one that nobody wrote. */
  readonly violations: number
  /** By probe key. */
  readonly gapsMs: ReadonlyMap<string, number>
}

export interface TrafficComponents {
  readonly client: Client
  readonly journal: Journal
  /** Ends the traffic; what fails after that is nobody's concern. */
  readonly signal: AbortSignal
}

interface Probe { readonly key: string, acknowledgedMs: number, gapMs: number }

export class Traffic {
  readonly #client: Client
  readonly #journal: Journal
  readonly #options: TrafficOptions
  readonly #probes: Probe[]
  readonly #others: readonly string[]
  readonly #counts = { writes: 0, reads: 0, failedDefinite: 0, failedIndefinite: 0, violations: 0 }
  #stopping = false
  readonly #signal: AbortSignal
  #running: Promise<unknown> = Promise.resolve()

  /** @param name keeps the probe keys of several traffics apart */
  constructor ({ client, journal, signal }: TrafficComponents, name: string, options: TrafficOptions = TRAFFIC_DEFAULTS) {
    this.#client = client
    this.#journal = journal
    this.#signal = signal
    this.#options = options
    this.#others = journal.keys
    this.#probes = Array.from({ length: options.probers }, (_, index) => ({ key: `probe:${name}:${index}`, acknowledgedMs: 0, gapMs: 0 }))
  }

  get #goesOn (): boolean { return !this.#stopping && !this.#signal.aborted }

  get operations (): number { return this.#counts.writes + this.#counts.reads }

  /** Resolves when every probe key was written once. */
  async start (): Promise<void> {
    await Promise.all(this.#probes.map(probe => this.#write(probe.key)))
    const nowMs = performance.now()
    for (const probe of this.#probes) probe.acknowledgedMs = nowMs
    this.#running = Promise.all([
      ...this.#probes.map(probe => this.#prober(probe)),
      ...Array.from({ length: this.#options.writers }, (_, index) => this.#writer(index)),
      ...Array.from({ length: this.#options.readers }, () => this.#reader())
    ])
    // A failure is not lost: `stop()` waits for the same promise.
    this.#running.catch(() => { this.#stopping = true })
  }

  async stop (): Promise<TrafficReport> {
    this.#stopping = true
    await this.#running
    const nowMs = performance.now()
    const gap = ({ acknowledgedMs, gapMs }: Probe): number => Math.max(gapMs, nowMs - acknowledgedMs)
    return { ...this.#counts, gapsMs: new Map(this.#probes.map(probe => [probe.key, gap(probe)])) }
  }

  async #prober (probe: Probe): Promise<void> {
    while (this.#goesOn) {
      if (await this.#write(probe.key)) {
        const nowMs = performance.now()
        probe.gapMs = Math.max(probe.gapMs, nowMs - probe.acknowledgedMs)
        probe.acknowledgedMs = nowMs
      }
      await delay(this.#options.pauseMs)
    }
  }

  async #writer (index: number): Promise<void> {
    const share = this.#others.filter((_, other) => other % this.#options.writers === index)
    for (let next = 0; this.#goesOn && share.length > 0; next = (next + 1) % share.length) {
      await this.#write(share[next]!)
      await delay(this.#options.pauseMs)
    }
  }

  async #reader (): Promise<void> {
    while (this.#goesOn) {
      const ofProbes = Math.random() < 0.5
      const key = ofProbes
        ? this.#probes[Math.floor(Math.random() * this.#probes.length)]!.key
        : this.#others[Math.floor(Math.random() * this.#others.length)]
      if (key !== undefined) await this.#read(key)
      await delay(this.#options.pauseMs)
    }
  }

  async #write (key: string): Promise<boolean> {
    const write = this.#journal.write(key)
    try {
      await this.#client.put(key, write.value)
      write.acknowledged()
      this.#counts.writes++
      return true
    } catch (error) {
      write.failed(this.#countFailure(error))
      return false
    }
  }

  async #read (key: string): Promise<void> {
    const judge = this.#journal.read(key)
    try {
      if (judge(await this.#client.get(key)) !== 'right') this.#counts.violations++
      this.#counts.reads++
    } catch (error) {
      this.#countFailure(error)
    }
  }

  /** @returns whether the operation certainly had no effect. @throws what is no error of the store: a bug. */
  #countFailure (error: unknown): boolean {
    if (this.#signal.aborted) return false
    if (!(error instanceof StoreError)) throw error
    if (error.definite) this.#counts.failedDefinite++
    else this.#counts.failedIndefinite++
    return error.definite
  }
}
