/**
 * A seeded workload: clients that put, delete and get, alone, in batches and many at once, and the history of what they saw, for
 * `checkHistory`. Runs in virtual time and on real clusters alike.
 *
 * What workers do is drawn in workload-steps.ts. An operation that fails is recorded as certainly without effect only if its error says so;
 * otherwise it may have happened at any time since it began. A condition that failed is recorded as a get of the value whose version it met;
 * where nobody was told which value that is, as one of that version alone.
 *
 * Owns: nothing; it ends when its workers have.
 */
import type { Clock, Random } from '../../membership/environment/environment.ts'
import type { HistoryCall, HistoryOperation } from './history.ts'
import { type LargeValues, type Learned, type Step, Steps, type WorkloadAction, type WorkloadDatabase } from './workload-steps.ts'

export interface WorkloadComponents {
  readonly clock: Clock
  readonly random: Random
}

export interface WorkloadOptions {
  /** One or more clients; worker i uses client i modulo their number. */
  readonly clients: readonly WorkloadDatabase[]
  /** Workers, each with one operation under way at a time. @default 4 */
  readonly workers?: number
  /** Distinct keys. Fewer keys mean more contention. @default 8 */
  readonly keys?: number
  /** Operations of each worker. @default 50 */
  readonly operationsPerWorker?: number
  /** Ends every worker before its next operation once this many milliseconds have passed. @default never */
  readonly durationMs?: number
  /** The longest pause between a worker's operations, in milliseconds; each is drawn uniformly. @default 5 */
  readonly thinkMs?: number
  /**
   * What workers do, as relative weights. Those of `scan`, of `getEntry` and of the actions with conditions or a time to live need a database that
   * offers them.
   * @default 4 put, 1 del, 6 get, 1 batch, 1 getMany, nothing else
   */
  readonly weights?: Partial<Record<WorkloadAction, number>>
  /** Precedes every key, so that several workloads can share a cluster. @default 'w' */
  readonly prefix?: string
  /** The longest time that `putFor` gives a value, in milliseconds; each is drawn uniformly. @default 1000 */
  readonly ttlMsMax?: number
  /** Makes some of the values long. @default none */
  readonly largeValues?: LargeValues
  /** Ends the workload, as `durationMs` does, when it returns true. */
  readonly stopped?: () => boolean
}

export interface WorkloadResult {
  /** What happened, for `checkHistory`, in order of the starts. A batch is one operation for each of its keys. */
  readonly history: readonly HistoryOperation[]
  readonly succeeded: number
  /** Failures that certainly had no effect, and others. */
  readonly failedDefinite: number
  readonly failedIndefinite: number
  /** By error code, sorted. */
  readonly errors: Readonly<Record<string, number>>
  /** The longest time in which no operation succeeded, in milliseconds. */
  readonly longestGapMs: number
}

/** How slowly the clock of the workload may run, beside the one that a time to live is counted by. */
const CLOCK_RATE_MIN = 0.98

/** Two things never have the same time, so that what one worker does next is known to come after what it did before. */
const TICK_MS = 1e-6

/** What a database says of a condition that failed. */
interface Failure { readonly version: number, readonly operation: number, readonly definite: boolean }

/** A condition that failed: which value it met is known once somebody was told the one that has this version. */
interface Met { readonly operation: HistoryOperation, readonly version: number }

class Workload {
  readonly #components: WorkloadComponents
  readonly #options: Required<Omit<WorkloadOptions, 'weights' | 'largeValues'>>
  readonly #steps: Steps
  readonly #history: HistoryOperation[] = []
  readonly #met: Met[] = []
  /** By key and version: the value that has it, as far as somebody was told. */
  readonly #valueOf = new Map<string, string>()
  readonly #errors = new Map<string, number>()
  readonly #begun: number
  #stamp = -Infinity
  #calls = 0
  #succeeded = 0
  #failedDefinite = 0
  #failedIndefinite = 0
  #lastSuccess: number
  #longestGapMs = 0

  constructor (components: WorkloadComponents, options: WorkloadOptions) {
    this.#components = components
    this.#options = {
      workers: 4, keys: 8, operationsPerWorker: 50, durationMs: Infinity, thinkMs: 5, prefix: 'w', ttlMsMax: 1000, stopped: () => false, ...options
    }
    if (options.clients.length === 0) throw new RangeError('a workload needs a client')
    this.#steps = new Steps(components.random, { ...this.#options, weights: options.weights ?? {} })
    this.#begun = this.#lastSuccess = components.clock.now()
  }

  async run (): Promise<WorkloadResult> {
    const { workers, clients } = this.#options
    await Promise.all(Array.from({ length: workers }, (_, worker) => this.#work(worker, clients[worker % clients.length]!)))
    this.#noteGap()
    for (const { operation, version } of this.#met) {
      const output = this.#valueOf.get(`${operation.key} ${version}`)
      this.#history.push({ ...operation, ...version === 0 ? {} : { version, ...output === undefined ? { valueUnknown: true } : { output } } })
    }
    return {
      history: this.#history.sort((a, b) => a.start - b.start),
      succeeded: this.#succeeded,
      failedDefinite: this.#failedDefinite,
      failedIndefinite: this.#failedIndefinite,
      errors: Object.fromEntries([...this.#errors].sort(([a], [b]) => a < b ? -1 : 1)),
      longestGapMs: this.#longestGapMs
    }
  }

  async #work (worker: number, database: WorkloadDatabase): Promise<void> {
    const { operationsPerWorker, durationMs, thinkMs, stopped } = this.#options
    for (let index = 0; index < operationsPerWorker; index++) {
      if (thinkMs > 0) await this.#pause(this.#components.random.next() * thinkMs)
      if (stopped() || this.#components.clock.now() - this.#begun >= durationMs) return
      await this.#perform(worker, database, this.#steps.choose(worker))
    }
  }

  #pause (milliseconds: number): Promise<void> {
    return new Promise(resolve => { this.#components.clock.setTimer(milliseconds, resolve) })
  }

  async #perform (worker: number, database: WorkloadDatabase, step: Step): Promise<void> {
    const start = this.#time()
    const call: HistoryCall = { number: ++this.#calls, action: step.action, ...step.page === true ? { page: true } : {} }
    const record = (outcome: Pick<HistoryOperation, 'end' | 'definiteFailure'>, learned: readonly Learned[] = []): void => {
      step.records.forEach((operation, index) => {
        const { output, version } = learned[index] ?? {}
        this.#learn(operation.key, operation.kind === 'put' ? operation.input as string : output, version)
        const told = { ...(output === undefined ? {} : { output }), ...(version === undefined ? {} : { version }) }
        const lives = step.ttlMs === undefined ? {} : { expiresAfter: start + step.ttlMs * CLOCK_RATE_MIN }
        this.#history.push({ process: worker, ...operation, ...told, ...lives, call, start, ...outcome })
      })
    }
    const succeeded = (): void => {
      this.#succeeded++
      this.#noteGap()
      this.#lastSuccess = this.#components.clock.now()
    }
    try {
      const learned = await step.run(database)
      record({ end: this.#time() }, learned)
      succeeded()
    } catch (error) {
      if ((error as { code?: unknown }).code === 'CONDITION_FAILED') {
        this.#conditionFailed(worker, call, step, start, error as Failure)
        succeeded()
        return
      }
      const { code, definite } = error as { code?: unknown, definite?: unknown }
      // Anything that is no error of a database is a fault of the code under test, and must not pass as a failed operation.
      if (typeof code !== 'string') throw error
      this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1)
      if (definite === true) this.#failedDefinite++
      else this.#failedIndefinite++
      record({ end: undefined, ...(definite === true ? { definiteFailure: true } : {}) })
    }
  }

  #learn (key: string, value: string | undefined, version: number | undefined): void {
    if (value === undefined || version === undefined) return
    this.#valueOf.set(`${key} ${version}`, value)
    this.#steps.learn(key, { value, version })
  }

  /** @throws when the error contradicts what was asked */
  #conditionFailed (process: number, call: HistoryCall, { records, conditions }: Step, start: number, failure: Failure): void {
    const { version, operation, definite } = failure
    const wanted = conditions?.[operation]
    if (wanted === undefined || wanted === version || !definite) {
      throw new Error(`the condition of operation ${operation} on version ${wanted} failed with version ${version}, definite: ${definite}`)
    }
    const end = this.#time()
    for (const record of records) this.#history.push({ process, ...record, call, start, end: undefined, definiteFailure: true })
    this.#met.push({ version, operation: { process, key: records[operation]!.key, kind: 'get', call, start, end } })
  }

  #noteGap (): void {
    this.#longestGapMs = Math.max(this.#longestGapMs, this.#components.clock.now() - this.#lastSuccess)
  }

  #time (): number {
    this.#stamp = Math.max(this.#components.clock.now(), this.#stamp + TICK_MS)
    return this.#stamp
  }
}

/**
 * Runs a workload to its end.
 * @throws what a database throws that has no `code`: a fault of the code under test
 */
export function runWorkload (components: WorkloadComponents, options: WorkloadOptions): Promise<WorkloadResult> {
  return new Workload(components, options).run()
}
