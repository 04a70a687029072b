/**
 * A seeded workload: clients that put, delete and get, alone, in batches and many at once, and the history of what they saw, for
 * `checkHistory`. Runs in virtual time and on real clusters alike.
 *
 * Every put writes a value that nothing else writes, so that a get tells which write it saw. An operation that fails is recorded
 * as certainly without effect only if its error says so; otherwise it may have happened at any time since it began.
 *
 * Owns: nothing; it ends when its workers have.
 */
import type { Clock, Random } from '../../membership/environment/environment.ts'
import type { HistoryOperation } from './checker.ts'

type BatchEntry = { readonly type: 'put', readonly key: string, readonly value: string } | { readonly type: 'del', readonly key: string }

/** What a workload needs of a database. `Client` offers it, and so does any abstract-level database of strings. */
export interface WorkloadDatabase {
  get (key: string): Promise<string | undefined>
  getMany (keys: string[]): Promise<(string | undefined)[]>
  put (key: string, value: string): Promise<void>
  del (key: string): Promise<void>
  batch (operations: BatchEntry[]): Promise<void>
  /** Needed for scans alone. */
  iterator? (range: { gte: string, lt: string, reverse: boolean }): { all (): Promise<[key: string, value: string][]> }
}

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
  /** What workers do, as relative weights. @default 4 put, 1 del, 6 get, 1 batch, 1 getMany, 0 scan */
  readonly weights?: Partial<Record<WorkloadAction, number>>
  /** Precedes every key, so that several workloads can share a cluster. @default 'w' */
  readonly prefix?: string
  /** Ends the workload, as `durationMs` does, when it returns true. */
  readonly stopped?: () => boolean
}

export type WorkloadAction = 'put' | 'del' | 'get' | 'batch' | 'getMany' | 'scan'

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

const WEIGHTS: Readonly<Record<WorkloadAction, number>> = Object.freeze({ put: 4, del: 1, get: 6, batch: 1, getMany: 1, scan: 0 })
/** Keys of one batch or getMany. */
const MANY_MAX = 4

/** Two things never have the same time, so that what one worker does next is known to come after what it did before. */
const TICK_MS = 1e-6

/** One thing a worker does: what to record for each key, and how to do it. Gets are given their outputs when it is done. */
interface Step {
  readonly records: Pick<HistoryOperation, 'key' | 'kind' | 'input'>[]
  run (database: WorkloadDatabase): Promise<(string | undefined)[]>
}

class Workload {
  readonly #components: WorkloadComponents
  readonly #options: Required<Omit<WorkloadOptions, 'weights'>>
  readonly #weights: readonly (readonly [WorkloadAction, number])[]
  readonly #history: HistoryOperation[] = []
  readonly #errors = new Map<string, number>()
  readonly #begun: number
  #stamp = -Infinity
  #values = 0
  #succeeded = 0
  #failedDefinite = 0
  #failedIndefinite = 0
  #lastSuccess: number
  #longestGapMs = 0

  constructor (components: WorkloadComponents, options: WorkloadOptions) {
    this.#components = components
    this.#options = {
      workers: 4, keys: 8, operationsPerWorker: 50, durationMs: Infinity, thinkMs: 5, prefix: 'w', stopped: () => false, ...options
    }
    if (options.clients.length === 0) throw new RangeError('a workload needs a client')
    const weights = { ...WEIGHTS, ...options.weights }
    this.#weights = (Object.keys(WEIGHTS) as WorkloadAction[]).map(action => [action, weights[action]])
    this.#begun = this.#lastSuccess = components.clock.now()
  }

  async run (): Promise<WorkloadResult> {
    const { workers, clients } = this.#options
    await Promise.all(Array.from({ length: workers }, (_, worker) => this.#work(worker, clients[worker % clients.length]!)))
    this.#noteGap()
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
      await this.#perform(worker, database, this.#choose(worker))
    }
  }

  #pause (milliseconds: number): Promise<void> {
    return new Promise(resolve => { this.#components.clock.setTimer(milliseconds, resolve) })
  }

  async #perform (worker: number, database: WorkloadDatabase, step: Step): Promise<void> {
    const start = this.#time()
    const record = (outcome: Pick<HistoryOperation, 'end' | 'definiteFailure'>, outputs: readonly (string | undefined)[] = []): void => {
      step.records.forEach((operation, index) => {
        const output = outputs[index]
        this.#history.push({ process: worker, ...operation, ...(operation.kind === 'get' && output !== undefined ? { output } : {}), start, ...outcome })
      })
    }
    try {
      const outputs = await step.run(database)
      record({ end: this.#time() }, outputs)
      this.#succeeded++
      this.#noteGap()
      this.#lastSuccess = this.#components.clock.now()
    } catch (error) {
      const { code, definite } = error as { code?: unknown, definite?: unknown }
      // Anything that is no error of a database is a fault of the code under test, and must not pass as a failed operation.
      if (typeof code !== 'string') throw error
      this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1)
      if (definite === true) this.#failedDefinite++
      else this.#failedIndefinite++
      record({ end: undefined, ...(definite === true ? { definiteFailure: true } : {}) })
    }
  }

  #noteGap (): void {
    this.#longestGapMs = Math.max(this.#longestGapMs, this.#components.clock.now() - this.#lastSuccess)
  }

  #time (): number {
    this.#stamp = Math.max(this.#components.clock.now(), this.#stamp + TICK_MS)
    return this.#stamp
  }

  #below (limit: number): number {
    return Math.floor(this.#components.random.next() * limit)
  }

  #key (): string {
    return `${this.#options.prefix}-${this.#below(this.#options.keys)}`
  }

  /** Distinct keys, at least one. */
  #keysOfMany (): string[] {
    return [...new Set(Array.from({ length: 1 + this.#below(MANY_MAX) }, () => this.#key()))]
  }

  #value (worker: number): string {
    return `${this.#options.prefix}.${worker}.${++this.#values}`
  }

  #action (): WorkloadAction {
    let rest = this.#components.random.next() * this.#weights.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [action, weight] of this.#weights) if ((rest -= weight) < 0) return action
    return 'get'
  }

  #choose (worker: number): Step {
    switch (this.#action()) {
      case 'put': {
        const key = this.#key()
        const input = this.#value(worker)
        return { records: [{ key, kind: 'put', input }], run: async database => { await database.put(key, input); return [] } }
      }
      case 'del': {
        const key = this.#key()
        return { records: [{ key, kind: 'del' }], run: async database => { await database.del(key); return [] } }
      }
      case 'get': {
        const key = this.#key()
        return { records: [{ key, kind: 'get' }], run: async database => [await database.get(key)] }
      }
      case 'getMany': {
        const keys = this.#keysOfMany()
        return { records: keys.map(key => ({ key, kind: 'get' })), run: database => database.getMany(keys) }
      }
      // All keys there are: each that the scan does not have was absent.
      case 'scan': {
        const { prefix, keys: count } = this.#options
        const keys = Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
        const range = { gte: `${prefix}-`, lt: `${prefix}.`, reverse: this.#below(2) === 0 }
        return {
          records: keys.map(key => ({ key, kind: 'get' })),
          run: async database => {
            const entries = await database.iterator!(range).all()
            const found = new Map(entries)
            const sorted = [...found.keys()].sort()
            if (range.reverse) sorted.reverse()
            if (entries.length !== found.size || entries.some(([key], index) => key !== sorted[index])) throw new Error(`a scan is out of order: ${String(entries)}`)
            return keys.map(key => found.get(key))
          }
        }
      }
      case 'batch': {
        const operations = this.#keysOfMany().map((key): BatchEntry => this.#below(4) === 0
          ? { type: 'del', key }
          : { type: 'put', key, value: this.#value(worker) })
        return {
          records: operations.map(operation => operation.type === 'put'
            ? { key: operation.key, kind: 'put', input: operation.value }
            : { key: operation.key, kind: 'del' }),
          run: async database => { await database.batch(operations); return [] }
        }
      }
    }
  }
}

/**
 * Runs a workload to its end.
 * @throws what a database throws that has no `code`: a fault of the code under test
 */
export function runWorkload (components: WorkloadComponents, options: WorkloadOptions): Promise<WorkloadResult> {
  return new Workload(components, options).run()
}
