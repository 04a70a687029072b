/**
 * What a worker of a workload does next: drawn at random, with what to record for each key, and how to do it.
 *
 * Every put writes a value that nothing else writes, so that a get tells which write it saw. What somebody was told of a key, which may be
 * old by then, is what conditions depend on.
 */
import type { Random } from '../../membership/environment/environment.ts'
import type { HistoryOperation } from './history.ts'

interface Condition { readonly ifVersion?: number, readonly ifAbsent?: boolean }
interface PutOptions extends Condition { readonly ttlMs?: number }
type BatchEntry = Condition & ({ readonly type: 'put', readonly key: string, readonly value: string } | { readonly type: 'del', readonly key: string })
export interface VersionedEntry { readonly value: string, readonly version: number }

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

/** `scan` goes over all keys; `scanTag` over those that share a tag, and so a partition. */
export type WorkloadAction = 'put' | 'del' | 'get' | 'batch' | 'getMany' | 'scan' | 'getEntry' | 'putFor' | 'putIf' | 'delIf' | 'batchIf' | 'scanTag'

/** Keys below this number share a tag, so that a batch with conditions can have several. */
const TAGGED = 4

/** The name of a key of a workload. All begin with the prefix and a hyphen. */
export const workloadKey = (prefix: string, number: number): string => number < TAGGED ? `${prefix}-{${prefix}}${number}` : `${prefix}-${number}`

const WEIGHTS: Readonly<Record<WorkloadAction, number>> = Object.freeze({
  put: 4, del: 1, get: 6, batch: 1, getMany: 1, scan: 0, getEntry: 0, putFor: 0, putIf: 0, delIf: 0, batchIf: 0, scanTag: 0
})
/** Keys of one batch or getMany. */
const MANY_MAX = 4

/** What a worker learned about a key: the value that it got, the version that it got or gave. */
export interface Learned { readonly output?: string | undefined, readonly version?: number | undefined }

/** One thing a worker does: what to record for each key, and how to do it. */
export interface Step {
  readonly action: WorkloadAction
  /** What it gets is one page, the state of its keys at one moment. */
  readonly page?: true
  readonly records: Pick<HistoryOperation, 'key' | 'kind' | 'input' | 'expected'>[]
  /** Milliseconds after which what it writes may be gone. */
  readonly ttlMs?: number
  /** The versions that it depends on, in the order of the records; 0 for none. */
  readonly conditions?: readonly (number | undefined)[]
  run (database: WorkloadDatabase): Promise<Learned[]>
}

/** Values that are longer than the others, so that they travel in pieces. */
export interface LargeValues {
  /** Of a value to be one of them. */
  readonly probability: number
  /** Characters that it has at most; each has a quarter of them at least. */
  readonly lengthMax: number
}

export interface StepOptions {
  /** Distinct keys. */
  readonly keys: number
  /** Precedes every key, and every value. */
  readonly prefix: string
  /** The longest time that a value is given to live, in milliseconds. */
  readonly ttlMsMax: number
  /** Relative weights of the actions. */
  readonly weights: Partial<Record<WorkloadAction, number>>
  /** Some values are that long. */
  readonly largeValues?: LargeValues | undefined
}

export class Steps {
  readonly #random: Random
  readonly #options: StepOptions
  readonly #weights: readonly (readonly [WorkloadAction, number])[]
  /** By key: what somebody was told of it last. */
  readonly #known = new Map<string, VersionedEntry>()
  #values = 0

  constructor (random: Random, options: StepOptions) {
    this.#random = random
    this.#options = options
    const weights = { ...WEIGHTS, ...options.weights }
    this.#weights = (Object.keys(WEIGHTS) as WorkloadAction[]).map(action => [action, weights[action]])
  }

  /** Somebody was told that a key has this value in this version. */
  learn (key: string, entry: VersionedEntry): void {
    this.#known.set(key, entry)
  }

  #below (limit: number): number {
    return Math.floor(this.#random.next() * limit)
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
    const { prefix, largeValues } = this.#options
    const name = `${prefix}.${worker}.${++this.#values}`
    if (largeValues === undefined || this.#random.next() >= largeValues.probability) return name
    // No part of it is like one of another value.
    return `${name} `.repeat(Math.floor(largeValues.lengthMax * (1 + 3 * this.#random.next()) / 4 / (name.length + 1)))
  }

  /** A scan of all keys of the workload with a prefix, forwards or backwards: each of them that it does not have was absent. */
  #scan (prefix: string, end: string, count: number): Omit<Step, 'action'> {
    const keys = Array.from({ length: count }, (_, index) => workloadKey(this.#options.prefix, index))
    const range = { gte: prefix, lt: end, reverse: this.#below(2) === 0 }
    return {
      records: keys.map(key => ({ key, kind: 'get' })),
      run: async database => {
        const entries = await database.iterator!(range).all()
        const found = new Map(entries)
        const sorted = [...found.keys()].sort()
        if (range.reverse) sorted.reverse()
        if (entries.length !== found.size || entries.some(([key], index) => key !== sorted[index])) throw new Error(`a scan is out of order: ${String(entries)}`)
        const foreign = entries.find(([key]) => !keys.includes(key))
        if (foreign !== undefined) throw new Error(`a scan has ${foreign[0]}, which nobody wrote`)
        return keys.map(key => ({ output: found.get(key) }))
      }
    }
  }

  #action (): WorkloadAction {
    let rest = this.#random.next() * this.#weights.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [action, weight] of this.#weights) if ((rest -= weight) < 0) return action
    return 'get'
  }

  /** The next thing that a worker does. */
  choose (worker: number): Step {
    const action = this.#action()
    return { action, ...this.#step(action, worker) }
  }

  #step (action: WorkloadAction, worker: number): Omit<Step, 'action'> {
    switch (action) {
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
      case 'scan': {
        const { prefix, keys } = this.#options
        return this.#scan(`${prefix}-`, `${prefix}.`, keys)
      }
      case 'scanTag': {
        const { prefix, keys, largeValues } = this.#options
        // Everything between has the whole tag. Some short values are one page, whatever limits pages.
        return { ...this.#scan(`${prefix}-{${prefix}}`, `${prefix}-{${prefix}}:`, Math.min(TAGGED, keys)), ...largeValues === undefined ? { page: true } : {} }
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
