/**
 * A simulated host: a name, a clock, disks that outlive its processes, and at most one running process at a time.
 *
 * Owns: its disks and its process.
 */
import type { CancelTimer, Clock, Database, Environment, Log } from '../../membership/environment/environment.ts'
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { Disk } from './disk.ts'
import { SimulatedLevel } from './database.ts'
import type { EventOwner, SimulatedEvent } from './event-queue.ts'
import type { Scheduler, SimulatedNetwork } from './network.ts'
import { SimulatedTransport } from './transport.ts'

/** An arbitrary point of wall-clock time at which every simulation begins. */
const WALL_EPOCH_MS = 1_750_000_000_000
/** Monotonic clocks start anywhere below this, each process's elsewhere: whoever compares two of them gets nonsense, and shows it. */
const CLOCK_ORIGIN_MAX_MS = 1_000_000

export interface HostOptions {
  /** Whether its transport listens at the host's name. @default true */
  readonly listen?: boolean
  /** How fast its clock runs: 1.01 gains ten milliseconds per second. @default 1 */
  readonly clockRate?: number
}

export interface CrashOptions {
  /** The power fails: peers hear nothing, and nothing answers there until the next start. @default false */
  readonly silent?: boolean
  /** Writes that were not synced may be lost. False is a killed process on a machine that lives on. @default true */
  readonly losesUnsynced?: boolean
}

/** What a host needs of the simulation. */
export interface HostComponents {
  readonly scheduler: Scheduler
  readonly network: SimulatedNetwork
  readonly random: SeededRandom
  readonly createDisk: (name: string) => Disk
}

/** One run of a host. */
class SimulatedProcess implements EventOwner {
  alive = true
  paused = false
  /** The true time at which its machine was suspended: its monotonic clock stands still. */
  suspendedAtMs: number | undefined
  /** How long it was suspended, altogether. */
  suspendedMs = 0
  readonly held: SimulatedEvent[] = []
  readonly transport: SimulatedTransport
  readonly environment: Environment

  constructor (host: SimulatedHost, { scheduler, network, random }: HostComponents) {
    this.transport = new SimulatedTransport(host.name, host.listens, this, network, scheduler)
    this.environment = {
      clock: this.#clock(host, scheduler, random.below(CLOCK_ORIGIN_MAX_MS)),
      random,
      transport: this.transport,
      // The types of abstract-level are invariant in the database's own class, which nobody sees here.
      storage: directory => new SimulatedLevel(host.disk(directory), this) as unknown as Database,
      log: this.#log(host.name, scheduler)
    }
  }

  #clock (host: SimulatedHost, scheduler: Scheduler, originMs: number): Clock {
    const startedAtMs = scheduler.nowMs
    const rate = host.clockRate
    const now = (): number => originMs + ((this.suspendedAtMs ?? scheduler.nowMs) - startedAtMs - this.suspendedMs) * rate
    return {
      now,
      wallNow: () => WALL_EPOCH_MS + scheduler.nowMs + host.wallOffsetMs,
      setTimer: (delayMs, callback): CancelTimer => {
        if (!this.alive) return () => {}
        const dueMs = now() + Math.max(0, delayMs)
        let event: SimulatedEvent
        const arm = (): void => { event = scheduler.schedule((dueMs - now()) / rate, this, fire) }
        // A suspension in between was no time for this clock. A rounding error is no reason to wait.
        const fire = (): void => {
          if (now() < dueMs - 1e-3) arm()
          else callback()
        }
        arm()
        return () => { event.run = undefined }
      }
    }
  }

  #log (name: string, scheduler: Scheduler): Log {
    const at = (level: string): Log['info'] => (fields, message) => {
      if (this.alive) scheduler.trace(name, `${level}: ${message} ${describe(fields)}`)
    }
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  }
}

/** The fields of a log line. Errors without their stacks, which name files of this machine. */
function describe (fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(fields, (_name, value: unknown) => {
    if (value instanceof Error) return `${value.name}: ${value.message}`
    return typeof value === 'bigint' ? value.toString() : value
  })
}

export class SimulatedHost {
  readonly name: string
  readonly listens: boolean
  readonly clockRate: number
  /** How far its wall clock is off. */
  wallOffsetMs = 0
  readonly #components: HostComponents
  readonly #disks = new Map<string, Disk>()
  #process: SimulatedProcess | undefined
  #runs = 0
  #boots = 1

  constructor (name: string, components: HostComponents, options: HostOptions) {
    this.name = name
    this.listens = options.listen ?? true
    this.clockRate = options.clockRate ?? 1
    this.#components = components
  }

  get running (): boolean {
    return this.#process !== undefined
  }

  get paused (): boolean {
    return this.#process?.paused ?? false
  }

  /** Names the time since this machine was started: another one at each machine, and after each crash that may lose what was not synced. */
  get bootId (): string {
    return `${this.name} boot ${this.#boots}`
  }

  /** What the running process lives in; a first process is started when none runs. */
  get environment (): Environment {
    return (this.#process ?? this.#startProcess()).environment
  }

  #startProcess (): SimulatedProcess {
    const { scheduler, network, random } = this.#components
    this.#runs++
    network.setDark(this.name, false)
    scheduler.trace(this.name, `start ${this.#runs}`)
    this.#process = new SimulatedProcess(this, { ...this.#components, random: random.fork(`${this.name} run ${this.#runs}`) })
    return this.#process
  }

  /** A new process on the same disks. @throws {Error} when one runs. */
  restart (): Environment {
    if (this.#process !== undefined) throw new Error(`${this.name} runs already`)
    return this.#startProcess().environment
  }

  /** Ends the process in the middle of whatever it does: its timers, messages and storage operations never come back. */
  crash (options: CrashOptions = {}): void {
    const process = this.#process
    if (process === undefined) return
    const { scheduler, network } = this.#components
    const silent = options.silent ?? false
    scheduler.trace(this.name, silent ? 'loses power' : 'crash')
    if (silent) network.setDark(this.name, true)
    process.alive = false
    process.held.length = 0
    this.#process = undefined
    process.transport.die(silent)
    const losesUnsynced = options.losesUnsynced ?? true
    if (losesUnsynced) this.#boots++
    for (const disk of this.#disks.values()) disk.crash(losesUnsynced)
  }

  /** Holds the process's timers, messages and storage operations until `resume`. Time goes on. */
  pause (): void {
    if (this.#process === undefined || this.#process.paused) return
    this.#components.scheduler.trace(this.name, 'pause')
    this.#process.paused = true
  }

  /** The machine sleeps until `resume`: as `pause`, and its monotonic clock stands still meanwhile. */
  suspend (): void {
    const process = this.#process
    if (process === undefined || process.paused) return
    const { scheduler } = this.#components
    scheduler.trace(this.name, 'suspend')
    process.paused = true
    process.suspendedAtMs = scheduler.nowMs
  }

  /** The wall clock is set, forward or back. */
  setWallClock (offsetMs: number): void {
    this.#components.scheduler.trace(this.name, `wall clock off by ${offsetMs.toFixed(0)} ms`)
    this.wallOffsetMs = offsetMs
  }

  resume (): void {
    const process = this.#process
    if (process === undefined || !process.paused) return
    const { scheduler } = this.#components
    scheduler.trace(this.name, 'resume')
    process.paused = false
    if (process.suspendedAtMs !== undefined) process.suspendedMs += scheduler.nowMs - process.suspendedAtMs
    process.suspendedAtMs = undefined
    for (const event of process.held.splice(0)) scheduler.schedule(0, process, () => event.run?.())
  }

  /** The disk behind a directory. What was durable outlives every process. */
  disk (directory: string): Disk {
    let disk = this.#disks.get(directory)
    if (disk === undefined) {
      disk = this.#components.createDisk(`${this.name}:${directory}`)
      this.#disks.set(directory, disk)
    }
    return disk
  }

  /** Puts a disk of another machine into this one. @throws {Error} while a process runs. */
  mount (directory: string, disk: Disk): void {
    if (this.#process !== undefined) throw new Error(`${this.name} still runs`)
    this.#disks.set(directory, disk)
  }

  /** Takes a disk out, to put it into another machine. @throws {Error} while a process runs. */
  unmount (directory: string): Disk {
    if (this.#process !== undefined) throw new Error(`${this.name} still runs`)
    const disk = this.disk(directory)
    this.#disks.delete(directory)
    return disk
  }

  /** A new machine: every disk is gone. @throws {Error} while a process runs. */
  wipe (): void {
    if (this.#process !== undefined) throw new Error(`${this.name} still runs`)
    this.#disks.clear()
  }

  /** Breaks the connections to one host, or to all. */
  breakLinks (to?: string): void {
    const { network } = this.#components
    for (const end of this.#process?.transport.connections() ?? []) if (to === undefined || end.peerName === to) network.reset(end)
  }
}
