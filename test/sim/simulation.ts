/**
 * A deterministic simulation of a whole cluster in one process: virtual time, a simulated network, simulated disks, one seed.
 *
 * After each event every promise that became ready runs before the next event does, so that asynchronous shells behave as in
 * production, only in virtual time. The same seed and the same program give the same trace, byte for byte.
 *
 * Owns: virtual time, all hosts, the trace.
 */
import type { Address, CancelTimer, Clock, Environment } from '../../membership/environment/environment.ts'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { nextTurn, promisesActedUpon } from '../../membership/environment/system.ts'
import { Disk, DISK_DEFAULTS, type DiskOptions } from './disk.ts'
import { EventQueue, type EventOwner, type SimulatedEvent } from './event-queue.ts'
import { FaultTable, type LinkFaults } from './faults.ts'
import { SimulatedHost, type HostOptions } from './host.ts'
import { SimulatedNetwork } from './network.ts'
import { Trace } from './trace.ts'

export interface SimulationOptions {
  /** Whatever happens follows from this. */
  readonly seed: number
  /** Faults of the whole network; change them later through `network.faults`. */
  readonly network?: Partial<LinkFaults>
  /** Speed and faults of every disk. */
  readonly disk?: Partial<DiskOptions>
  /** How long an attempt to connect waits for an answer. @default 3000 */
  readonly connectTimeoutMs?: number
  /**
   * Nothing in this simulation awaits anything: events follow each other without giving promises a turn. Faster, and only for
   * cores driven directly. @default false
   */
  readonly synchronous?: boolean
  /** The command that runs this simulation again, for the report of a failure. @default vitest, with the seed in COTERIE_SEED */
  readonly replay?: string
  /** How many of the last trace lines to keep for reading. Infinity keeps all. @default 200 */
  readonly traceLines?: number
}

export interface RunOptions {
  /** Ends when virtual time would pass this. @default Infinity */
  readonly untilMs?: number
  /** Ends when this holds; looked at whenever `everyMs` of virtual time have passed. */
  readonly until?: () => boolean
  /** @default 1 */
  readonly everyMs?: number
  /** Gives up after so many events, with an error. @default 20,000,000 */
  readonly maxEvents?: number
}

/** Why a run ended: its condition held, its time was up, or nothing was left to happen. */
export type RunEnd = 'condition' | 'time' | 'idle'

const EVENTS_MAX = 20_000_000
const SETTLE_LIMIT_MS = 600_000
/** The real event loop, and with it the time limits of whoever runs the simulation, has a turn after so many events. */
const EVENTS_PER_TURN = 1000

export class Simulation {
  readonly seed: number
  /** For the test itself: which host to crash, when. */
  readonly random: SeededRandom
  /** True time, which no host sees. */
  readonly clock: Clock
  readonly network: SimulatedNetwork
  readonly #trace: Trace
  readonly #replay: string
  readonly #events = new EventQueue()
  readonly #hosts = new Map<string, SimulatedHost>()
  readonly #invariants: { readonly check: () => void, readonly everyMs: number, dueMs: number }[] = []
  readonly #synchronous: boolean
  readonly #diskOptions: DiskOptions
  readonly #diskRandom: SeededRandom
  readonly #hostRandom: SeededRandom
  #nowMs = 0
  #count = 0

  constructor (options: SimulationOptions) {
    this.seed = options.seed
    const root = new SeededRandom(options.seed)
    this.random = root.fork('test')
    this.#diskRandom = root.fork('disks')
    this.#hostRandom = root.fork('hosts')
    this.#replay = options.replay ?? `COTERIE_SEED=${options.seed} npx vitest run <this test's file> -t '<this test's name>'`
    this.#trace = new Trace(options.traceLines ?? 200)
    this.#synchronous = options.synchronous ?? false
    this.#diskOptions = { ...DISK_DEFAULTS, ...options.disk }
    this.network = new SimulatedNetwork(this, root.fork('network'), new FaultTable(options.network ?? {}), options.connectTimeoutMs ?? 3000)
    this.clock = {
      now: () => this.#nowMs,
      wallNow: () => this.#nowMs,
      setTimer: (delayMs, callback): CancelTimer => {
        const event = this.#events.add(this.#nowMs + Math.max(0, delayMs), undefined, callback)
        return () => { event.run = undefined }
      }
    }
  }

  get nowMs (): number {
    return this.#nowMs
  }

  /** Events run so far. */
  get eventCount (): number {
    return this.#count
  }

  /** Runs something after a delay of true time; dropped if the owner is dead by then, held while it is paused. */
  schedule (delayMs: number, owner: EventOwner | undefined, run: () => void): SimulatedEvent {
    return this.#events.add(this.#nowMs + delayMs, owner, run)
  }

  /** A host by its name, which is its address. Made when first asked for. */
  host (name: Address, options: HostOptions = {}): SimulatedHost {
    let host = this.#hosts.get(name)
    if (host === undefined) {
      host = new SimulatedHost(name, {
        scheduler: this,
        network: this.network,
        random: this.#hostRandom,
        createDisk: name => new Disk(name, this.#diskOptions, this, this.#diskRandom.fork(name))
      }, options)
      this.#hosts.set(name, host)
    }
    return host
  }

  /** Every host so far, in the order they were made. */
  get hosts (): SimulatedHost[] {
    return [...this.#hosts.values()]
  }

  /** The environment of a host's running process; starts the first one. */
  environment (name: Address, options: HostOptions = {}): Environment {
    return this.host(name, options).environment
  }

  /** The environment of a process that does not listen. */
  client (name: string): Environment {
    return this.host(name, { listen: false }).environment
  }

  disk (name: Address, directory: string): Disk {
    return this.host(name).disk(directory)
  }

  /** Has `check` called after every event, or whenever `everyMs` have passed. It throws when something that must hold does not. */
  addInvariant (check: () => void, everyMs = 0): void {
    this.#invariants.push({ check, everyMs, dueMs: this.#nowMs })
  }

  /** Adds a line to the trace. */
  trace (host: string, what: string): void {
    this.#trace.add(this.#nowMs, host, what)
  }

  /** SHA-256 of the whole trace so far. */
  get traceDigest (): string {
    return this.#trace.digest()
  }

  /** The last lines of the trace. */
  get log (): string[] {
    return this.#trace.lines()
  }

  /**
   * Runs events in the order of virtual time.
   * @throws whatever an event or an invariant throws, as the cause of an error that says how to replay the seed.
   */
  async run (options: RunOptions = {}): Promise<RunEnd> {
    const { untilMs = Infinity, until, everyMs = 1, maxEvents = EVENTS_MAX } = options
    const lastCount = this.#count + maxEvents
    let lookMs = this.#nowMs
    // What the caller began before may be waiting for its turn.
    await nextTurn()
    for (;;) {
      const next = this.#events.peek()
      if (until !== undefined && (next === undefined || next.timeMs >= lookMs)) {
        if (until()) return 'condition'
        lookMs = (next?.timeMs ?? this.#nowMs) + everyMs
      }
      if (next === undefined || next.timeMs > untilMs) {
        if (untilMs !== Infinity) this.#nowMs = Math.max(this.#nowMs, untilMs)
        return next === undefined ? 'idle' : 'time'
      }
      if (this.#count >= lastCount) throw this.#failure(new Error(`Nothing settled within ${maxEvents} events`))
      this.#events.pop()
      const { owner } = next
      if (next.run === undefined || owner?.alive === false) continue
      if (owner?.paused === true) {
        owner.held.push(next)
        continue
      }
      this.#nowMs = next.timeMs
      this.#count++
      try {
        next.run()
        if (this.#count % EVENTS_PER_TURN === 0) await nextTurn()
        else if (!this.#synchronous) await promisesActedUpon()
        if (this.#invariants.length > 0) this.#checkInvariants()
      } catch (error) {
        throw this.#failure(error)
      }
    }
  }

  #checkInvariants (): void {
    for (const invariant of this.#invariants) {
      if (this.#nowMs < invariant.dueMs) continue
      invariant.dueMs = this.#nowMs + invariant.everyMs
      invariant.check()
    }
  }

  /** Runs for a span of virtual time. */
  async runFor (durationMs: number): Promise<void> {
    await this.run({ untilMs: this.#nowMs + durationMs })
  }

  /**
   * Runs until a promise is settled, and gives what it gives.
   * @param limitMs virtual time after which it is an error that it is not. @default 600,000
   */
  async settle<Result> (promise: Promise<Result>, limitMs = SETTLE_LIMIT_MS): Promise<Result> {
    let settled = false
    const done = (): void => { settled = true }
    promise.then(done, done)
    const end = await this.run({ untilMs: this.#nowMs + limitMs, until: () => settled, everyMs: 0 })
    if (!settled) throw this.#failure(new Error(end === 'idle' ? 'Nothing is left to happen, and the promise is not settled' : `The promise is not settled after ${limitMs} ms`))
    return await promise
  }

  #failure (cause: unknown): Error {
    const what = cause instanceof Error ? cause.message : String(cause)
    return new Error(`${what}\n${this.failureReport()}`, { cause })
  }

  /** What happened last, and the command that replays this seed. */
  failureReport (): string {
    const lines = this.log.slice(-40).map(line => `  ${line}`)
    return [
      `Simulation with seed ${this.seed} at ${this.#nowMs.toFixed(3)} ms, after ${this.#count} events. Replay it:`,
      `  ${this.#replay}`,
      'What happened last:',
      ...lines
    ].join('\n')
  }
}

/** Raises the number of seeds, and of runs of properties, to search further: SEEDS_SCALE=30 npx vitest run PATH --testTimeout 3600000 */
export const SEEDS_SCALE = Math.max(1, Math.floor(Number(process.env['SEEDS_SCALE'] ?? 1)))

/** The seeds a test runs: those it names, SEEDS_SCALE times as many, or the single one that COTERIE_SEED asks to replay. */
export function seedsToRun (count: number, first = 1): number[] {
  const replayed = process.env.COTERIE_SEED
  return replayed === undefined ? Array.from({ length: count * SEEDS_SCALE }, (_, index) => first + index) : [Number(replayed)]
}
