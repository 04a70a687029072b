/**
 * A seeded workload: clients that put, delete and get, alone, in batches and many at once, and the history of what they saw, for
 * `checkHistory`. Runs in virtual time and on real clusters alike.
 *
 * Every put writes a value that nothing else writes, so that a get tells which write it saw. An operation that fails is recorded
 * as certainly without effect only if its error says so; otherwise it may have happened at any time since it began. A condition
 * that failed is recorded as a get of the value whose version it met.
 *
 * Owns: nothing; it ends when its workers have.
 */
import type { Clock, Random } from '../../membership/environment/environment.ts'
import type { HistoryOperation } from './checker.ts'

interface Condition { readonly ifVersion?: number, readonly ifAbsent?: boolean }
interface PutOptions extends Condition { readonly ttlMs?: number }
type BatchEntry = Condition & ({ readonly type: 'put', readonly key: string, readonly value: string } | { readonly type: 'del', readonly key: string })
interface VersionedEntry { readonly value: string, readonly version: number }

/** What a workload needs of a database. `Client` offers it, and but for conditions and versions any abstract-level database of strings. */
export interface WorkloadDatabase {
  get (key: string): Promise<string | undefined>
  getMany (keys: string[]): Promise<(string | undefined)[]>
  put (key: string, value: string): Promise<void>
  del (key: string, options?: Condition): Promise<void>
  batch (operations: BatchEntry[]): Promise<void>
  /** Needed for scans alone. */
  iterator? (range: { gte: string, lt: string, reverse: boolean }): { all (): Promise<[key: string, value: string][]> }
  getEntry? (key: string): Promise<VersionedEntry | undefined>
  putEntry? (key: string, value: string, options?: PutOptions): Promise<number>
  batchEntries? (operations: BatchEntry[]): Promise<number[]>
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
  /** Ends the workload, as `durationMs` does, when it returns true. */
  readonly stopped?: () => boolean
}

export type WorkloadAction = 'put' | 'del' | 'get' | 'batch' | 'getMany' | 'scan' | 'getEntry' | 'putFor' | 'putIf' | 'delIf' | 'batchIf'

/** Keys below this number share a tag, so that a batch with conditions can have several. */
const TAGGED = 4

/** The name of a key of a workload. All begin with the prefix and a hyphen. */
export const workloadKey = (prefix: string, number: number): string => number < TAGGED ? `${prefix}-{${prefix}}${number}` : `${prefix}-${number}`

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

const WEIGHTS: Readonly<Record<WorkloadAction, number>> = Object.freeze({
  put: 4, del: 1, get: 6, batch: 1, getMany: 1, scan: 0, getEntry: 0, putFor: 0, putIf: 0, delIf: 0, batchIf: 0
})
/** Keys of one batch or getMany. */
const MANY_MAX = 4

/** How slowly the clock of the workload may run, beside the one that a time to live is counted by. */
const CLOCK_RATE_MIN = 0.98

/** Two things never have the same time, so that what one worker does next is known to come after what it did before. */
const TICK_MS = 1e-6

/** What a worker learned about a key: the value that it got, the version that it got or gave. */
interface Learned { readonly output?: string | undefined, readonly version?: number | undefined }

/** One thing a worker does: what to record for each key, and how to do it. */
interface Step {
  readonly records: Pick<HistoryOperation, 'key' | 'kind' | 'input' | 'expected'>[]
  /** Milliseconds after which what it writes may be gone. */
  readonly ttlMs?: number
  /** The versions that it depends on, in the order of the records; 0 for none. */
  readonly conditions?: readonly (number | undefined)[]
  run (database: WorkloadDatabase): Promise<Learned[]>
}

/** What a database says of a condition that failed. */
interface Failure { readonly version: number, readonly operation: number, readonly definite: boolean }

/** A condition that failed: what it met is known once somebody was told the value that has this version. */
interface Met { readonly operation: HistoryOperation, readonly version: number }

class Workload {
  readonly #components: WorkloadComponents
  readonly #options: Required<Omit<WorkloadOptions, 'weights'>>
  readonly #weights: readonly (readonly [WorkloadAction, number])[]
  readonly #history: HistoryOperation[] = []
  readonly #met: Met[] = []
  /** By key and version: the value that has it, as far as somebody was told. */
  readonly #valueOf = new Map<string, string>()
  /** By key: what somebody was told of it last, which may be old by now. */
  readonly #known = new Map<string, VersionedEntry>()
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
      workers: 4, keys: 8, operationsPerWorker: 50, durationMs: Infinity, thinkMs: 5, prefix: 'w', ttlMsMax: 1000, stopped: () => false, ...options
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
    for (const { operation, version } of this.#met) {
      const output = this.#valueOf.get(`${operation.key} ${version}`)
      if (version === 0 || output !== undefined) this.#history.push({ ...operation, ...(output === undefined ? {} : { output, version }) })
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
      await this.#perform(worker, database, this.#choose(worker))
    }
  }

  #pause (milliseconds: number): Promise<void> {
    return new Promise(resolve => { this.#components.clock.setTimer(milliseconds, resolve) })
  }

  async #perform (worker: number, database: WorkloadDatabase, step: Step): Promise<void> {
    const start = this.#time()
    const record = (outcome: Pick<HistoryOperation, 'end' | 'definiteFailure'>, learned: readonly Learned[] = []): void => {
      step.records.forEach((operation, index) => {
        const { output, version } = learned[index] ?? {}
        this.#learn(operation.key, operation.kind === 'put' ? operation.input as string : output, version)
        const told = { ...(output === undefined ? {} : { output }), ...(version === undefined || operation.kind === 'del' ? {} : { version }) }
        const lives = step.ttlMs === undefined ? {} : { expiresAfter: start + step.ttlMs * CLOCK_RATE_MIN }
        this.#history.push({ process: worker, ...operation, ...told, ...lives, start, ...outcome })
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
        this.#conditionFailed(worker, step, start, error as Failure)
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
    this.#known.set(key, { value, version })
  }

  /** @throws when the error contradicts what was asked */
  #conditionFailed (worker: number, { records, conditions }: Step, start: number, { version, operation, definite }: Failure): void {
    const wanted = conditions?.[operation]
    if (wanted === undefined || wanted === version || !definite) {
      throw new Error(`the condition of operation ${operation} on version ${wanted} failed with version ${version}, definite: ${definite}`)
    }
    const end = this.#time()
    for (const record of records) this.#history.push({ process: worker, ...record, start, end: undefined, definiteFailure: true })
    this.#met.push({ version, operation: { process: worker, key: records[operation]!.key, kind: 'get', start, end } })
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
    return workloadKey(this.#options.prefix, this.#below(this.#options.keys))
  }

  /** Distinct keys, at least one. */
  #keysOfMany (): string[] {
    return [...new Set(Array.from({ length: 1 + this.#below(MANY_MAX) }, () => this.#key()))]
  }

  /** A version to depend on: mostly what the key was last known to have, else that it has none. */
  #condition (key: string, kind: 'put' | 'del'): { options: Condition, version: number | undefined, record: Pick<HistoryOperation, 'expected'> } {
    const known = this.#known.get(key)
    if (known !== undefined && (kind === 'del' || this.#below(4) > 0)) {
      return { options: { ifVersion: known.version }, version: known.version, record: { expected: { value: known.value } } }
    }
    if (kind === 'del') return { options: {}, version: undefined, record: {} }
    return { options: { ifAbsent: true }, version: 0, record: { expected: { value: undefined } } }
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
        return {
          records: [{ key, kind: 'put', input }],
          run: async database => {
            if (database.putEntry !== undefined) return [{ version: await database.putEntry(key, input) }]
            await database.put(key, input)
            return []
          }
        }
      }
      case 'del': {
        const key = this.#key()
        return { records: [{ key, kind: 'del' }], run: async database => { await database.del(key); return [] } }
      }
      case 'get': {
        const key = this.#key()
        return { records: [{ key, kind: 'get' }], run: async database => [{ output: await database.get(key) }] }
      }
      case 'getEntry': {
        const key = this.#key()
        return {
          records: [{ key, kind: 'get' }],
          run: async database => {
            const entry = await database.getEntry!(key)
            return [{ output: entry?.value, version: entry?.version }]
          }
        }
      }
      case 'putFor': {
        const key = this.#key()
        const input = this.#value(worker)
        const ttlMs = 1 + this.#below(this.#options.ttlMsMax)
        return { records: [{ key, kind: 'put', input }], ttlMs, run: async database => [{ version: await database.putEntry!(key, input, { ttlMs }) }] }
      }
      case 'putIf': {
        const key = this.#key()
        const input = this.#value(worker)
        const { options, version, record } = this.#condition(key, 'put')
        return {
          records: [{ key, kind: 'put', input, ...record }],
          conditions: [version],
          run: async database => [{ version: await database.putEntry!(key, input, options) }]
        }
      }
      case 'delIf': {
        const key = this.#key()
        const { options, version, record } = this.#condition(key, 'del')
        return { records: [{ key, kind: 'del', ...record }], conditions: [version], run: async database => { await database.del(key, options); return [] } }
      }
      case 'batchIf': {
        const { prefix, keys } = this.#options
        const numbers = Array.from({ length: 1 + this.#below(TAGGED) }, () => this.#below(Math.min(TAGGED, keys)))
        const parts = [...new Set(numbers)].map(number => workloadKey(prefix, number)).map(key => {
          const kind = this.#below(4) === 0 ? 'del' : 'put'
          const input = this.#value(worker)
          const condition = this.#below(3) === 0 ? { options: {}, version: undefined, record: {} } : this.#condition(key, kind)
          const operation: BatchEntry = kind === 'put' ? { type: 'put', key, value: input, ...condition.options } : { type: 'del', key, ...condition.options }
          return { operation, version: condition.version, record: { key, kind, ...(kind === 'put' ? { input } : {}), ...condition.record } as const }
        })
        return {
          records: parts.map(({ record }) => record),
          conditions: parts.map(({ version }) => version),
          run: async database => (await database.batchEntries!(parts.map(({ operation }) => operation))).map(version => ({ version }))
        }
      }
      case 'getMany': {
        const keys = this.#keysOfMany()
        return { records: keys.map(key => ({ key, kind: 'get' })), run: async database => (await database.getMany(keys)).map(output => ({ output })) }
      }
      // All keys there are: each that the scan does not have was absent.
      case 'scan': {
        const { prefix, keys: count } = this.#options
        const keys = Array.from({ length: count }, (_, index) => workloadKey(prefix, index))
        const range = { gte: `${prefix}-`, lt: `${prefix}.`, reverse: this.#below(2) === 0 }
        return {
          records: keys.map(key => ({ key, kind: 'get' })),
          run: async database => {
            const entries = await database.iterator!(range).all()
            const found = new Map(entries)
            const sorted = [...found.keys()].sort()
            if (range.reverse) sorted.reverse()
            if (entries.length !== found.size || entries.some(([key], index) => key !== sorted[index])) throw new Error(`a scan is out of order: ${String(entries)}`)
            return keys.map(key => ({ output: found.get(key) }))
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
