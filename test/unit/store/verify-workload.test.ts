/**
 * The workload of `coterie verify` and its checks, on a database of one process that keeps its promises, and on one that breaks a single one:
 * a wrong answer, or a wrong write, to operations with conditions and to scans is found in the history.
 *
 * Mutations that were tried and are caught: pages are not compared with versions; a condition that failed is recorded as nothing but a failure,
 * or not looked at where nobody knows its value; deletions are recorded without their versions; a scan says nothing of the keys that it
 * lacks; a line of the history has no condition.
 */
import { describe, expect, test } from 'vitest'
import { Simulation } from '../../sim/simulation.ts'
import { checkHistory } from '../../../store/verify/checker.ts'
import type { HistoryOperation } from '../../../store/verify/history.ts'
import { historyLine } from '../../../store/verify/history-file.ts'
import { checkPages } from '../../../store/verify/pages.ts'
import { checkVersions } from '../../../store/verify/versions.ts'
import { runWorkload, type WorkloadResult } from '../../../store/verify/workload.ts'
import type { VersionedEntry, WorkloadDatabase } from '../../../store/verify/workload-steps.ts'

type Batch = Parameters<WorkloadDatabase['batch']>[0]
type Condition = Pick<Batch[number], 'ifVersion' | 'ifAbsent'>

/** What a database does wrong. */
type Fault =
  | 'a condition that failed, and the write happened'
  | 'a condition that is not looked at'
  | 'a condition that failed on a version of the past'
  | 'a condition that failed without a reason'
  | 'a batch of which a condition failed, and the rest happened'
  | 'a scan without one of the keys'
  | 'a scan with a value of the past'
  | 'a scan of a tag that is not of one moment'
  | 'a scan with a deleted key'

class DatabaseError extends Error {
  readonly code: string
  readonly definite: boolean
  readonly version: number | undefined
  readonly operation: number | undefined

  constructor (code: string, definite: boolean, { version, operation }: { version?: number, operation?: number } = {}) {
    super(code)
    this.code = code
    this.definite = definite
    this.version = version
    this.operation = operation
  }
}

/** A database in memory. What it is asked for takes effect at some moment between the call and the answer; now and then no answer comes. */
class TestDatabase implements WorkloadDatabase {
  readonly #simulation: Simulation
  readonly #fault: Fault | undefined
  readonly #data = new Map<string, VersionedEntry>()
  /** What keys had before their last change. */
  readonly #past = new Map<string, VersionedEntry | undefined>()
  #version = 0

  constructor (simulation: Simulation, fault?: Fault) {
    this.#simulation = simulation
    this.#fault = fault
  }

  #faulty (fault: Fault): boolean {
    return this.#fault === fault && this.#simulation.random.chance(0.1)
  }

  #pause (): Promise<void> {
    return new Promise(resolve => { this.#simulation.clock.setTimer(this.#simulation.random.next() * 10, resolve) })
  }

  async #perform<Result> (act: () => Result): Promise<Result> {
    await this.#pause()
    const fate = this.#simulation.random.next()
    if (fate < 0.02) throw new DatabaseError('STORE_OVERLOADED', true)
    if (fate < 0.04) {
      // Late, or never.
      if (fate < 0.03) void this.#pause().then(this.#pause.bind(this)).then(act).catch(() => {})
      throw new DatabaseError('STORE_DEADLINE_EXCEEDED', false)
    }
    const result = act()
    await this.#pause()
    return result
  }

  #holds (key: string, { ifVersion, ifAbsent }: Condition): boolean {
    const version = this.#data.get(key)?.version ?? 0
    return (ifVersion === undefined || ifVersion === version) && (ifAbsent !== true || version === 0)
  }

  #set (key: string, entry: VersionedEntry | undefined): void {
    this.#past.set(key, this.#data.get(key))
    if (entry === undefined) this.#data.delete(key)
    else this.#data.set(key, entry)
  }

  #write (operations: Batch): number {
    const failed = this.#faulty('a condition that is not looked at') ? -1 : operations.findIndex(operation => !this.#holds(operation.key, operation))
    const invented = operations.findIndex(({ ifVersion }) => ifVersion !== undefined)
    const version = ++this.#version
    const apply = (operation: Batch[number]): void => { this.#set(operation.key, operation.type === 'put' ? { value: operation.value, version } : undefined) }
    if (failed >= 0) {
      const { key } = operations[failed]!
      const met = this.#faulty('a condition that failed on a version of the past') ? this.#past.get(key)?.version ?? 0 : this.#data.get(key)?.version ?? 0
      if (this.#faulty('a condition that failed, and the write happened')) operations.forEach(apply)
      if (this.#faulty('a batch of which a condition failed, and the rest happened')) operations.filter((_, index) => index !== failed).forEach(apply)
      throw new DatabaseError('CONDITION_FAILED', true, { version: met, operation: failed })
    }
    if (invented >= 0 && this.#faulty('a condition that failed without a reason')) throw new DatabaseError('CONDITION_FAILED', true, { version: 0, operation: invented })
    operations.forEach(apply)
    return version
  }

  get (key: string): Promise<string | undefined> {
    return this.#perform(() => this.#data.get(key)?.value)
  }

  getEntry (key: string): Promise<VersionedEntry | undefined> {
    return this.#perform(() => this.#data.get(key))
  }

  async getMany (keys: string[]): Promise<(string | undefined)[]> {
    return await Promise.all(keys.map(key => this.get(key)))
  }

  async put (key: string, value: string): Promise<void> {
    await this.putEntry(key, value)
  }

  putEntry (key: string, value: string, options: Condition = {}): Promise<number> {
    return this.#perform(() => this.#write([{ type: 'put', key, value, ...options }]))
  }

  async del (key: string, options: Condition = {}): Promise<void> {
    await this.#perform(() => this.#write([{ type: 'del', key, ...options }]))
  }

  async batch (operations: Batch): Promise<void> {
    await this.batchEntries(operations)
  }

  batchEntries (operations: Batch): Promise<number[]> {
    return this.#perform(() => {
      const version = this.#write(operations)
      return operations.map(() => version)
    })
  }

  iterator ({ gte, lt, reverse }: { gte: string, lt: string, reverse: boolean }): { all (): Promise<[string, string][]> } {
    return {
      all: async () => {
        const within = (key: string): boolean => key >= gte && key < lt
        const torn = gte.includes('{') && this.#fault === 'a scan of a tag that is not of one moment'
        // Each key is read at a moment of its own.
        const found = torn
          ? (await Promise.all(['0', '1', '2', '3'].map(async number => [gte + number, await this.get(gte + number)] as const)))
              .flatMap(([key, value]): [string, string][] => value === undefined ? [] : [[key, value]])
          : await this.#perform(() => [...this.#data].filter(([key]) => within(key)).map(([key, { value }]): [string, string] => [key, value]))
        const some = found[Math.floor(this.#simulation.random.next() * found.length)]
        if (some !== undefined && this.#faulty('a scan without one of the keys')) found.splice(found.indexOf(some), 1)
        const past = some === undefined ? undefined : this.#past.get(some[0])
        if (past !== undefined && this.#faulty('a scan with a value of the past')) some![1] = past.value
        const deleted = [...this.#past].find(([key, entry]) => within(key) && entry !== undefined && !found.some(([other]) => other === key))
        if (deleted !== undefined && this.#faulty('a scan with a deleted key')) found.push([deleted[0], deleted[1]!.value])
        found.sort(([a], [b]) => (a < b ? -1 : 1) * (reverse ? -1 : 1))
        return found
      }
    }
  }
}

/** What the checks of `coterie verify` say. */
function verdict (history: readonly HistoryOperation[]): string | undefined {
  const checked = checkHistory(history)
  return checked.ok ? checkVersions(history) ?? checkPages(history) : checked.reason
}

function run (seed: number, fault?: Fault): Promise<WorkloadResult> {
  const simulation = new Simulation({ seed })
  const work = runWorkload({ clock: simulation.clock, random: simulation.random.fork('workload') }, {
    clients: [new TestDatabase(simulation, fault)],
    workers: 6,
    keys: 8,
    operationsPerWorker: 100,
    prefix: 'w',
    weights: { put: 2, del: 1, get: 2, getEntry: 3, putIf: 4, delIf: 1, batchIf: 3, scan: 1, scanTag: 2 }
  })
  return simulation.settle(work)
}

const faults: readonly Fault[] = [
  'a condition that failed, and the write happened', 'a condition that is not looked at', 'a condition that failed on a version of the past',
  'a condition that failed without a reason', 'a batch of which a condition failed, and the rest happened', 'a scan without one of the keys',
  'a scan with a value of the past', 'a scan of a tag that is not of one moment', 'a scan with a deleted key'
]

describe('a database', () => {
  test('that keeps its promises is found to, whatever fails or stays without an answer', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { history, errors } = await run(seed)
      expect(verdict(history), `seed ${seed}`).toBeUndefined()
      expect(errors).toMatchObject({ STORE_DEADLINE_EXCEEDED: expect.any(Number), STORE_OVERLOADED: expect.any(Number) })
      const [held, failed, unknown] = [
        history.filter(({ expected, end }) => expected !== undefined && end !== undefined),
        history.filter(({ kind, call, end }) => kind === 'get' && call!.action.endsWith('If') && end !== undefined),
        history.filter(({ expected, end, definiteFailure }) => expected !== undefined && end === undefined && definiteFailure !== true)
      ]
      expect(history.some(({ kind, version }) => kind === 'del' && version !== undefined)).toBe(true)
      expect(Math.min(held.length, failed.length, unknown.length), `seed ${seed}`).toBeGreaterThan(0)
    }
  })

  test.each(faults)('with %s is found out', async fault => {
    const found: number[] = []
    for (let seed = 1; seed <= 5; seed++) {
      // Some answers contradict the question already; that ends the workload.
      const wrong = await run(seed, fault).then(({ history }) => verdict(history), (error: unknown) => String(error))
      if (wrong !== undefined) found.push(seed)
    }
    // Where what is wrong makes a difference is drawn.
    expect(found.length, `seeds ${found.join()}`).toBeGreaterThanOrEqual(2)
  })
})

describe('a page of a scan', () => {
  const page = (number: number, start: number, values: Record<string, string | undefined>): HistoryOperation[] =>
    Object.entries(values).map(([key, output]) => ({ process: 1, key, kind: 'get', ...output === undefined ? {} : { output }, call: { number, action: 'scanTag', page: true }, start, end: start + 1 }))
  const put = (key: string, input: string, version: number, start: number): HistoryOperation =>
    ({ process: 2, key, kind: 'put', input, version, start, end: start + 50 })
  const writes = [put('a', 'a1', 1, 0), put('b', 'b1', 1, 0), put('a', 'a2', 2, 10), put('b', 'b2', 2, 10), put('c', 'c3', 3, 20)]

  test('has all of a batch or nothing, and all that was before the last that it has', () => {
    for (const values of [{ a: 'a1', b: 'b1', c: undefined }, { a: 'a2', b: 'b2', c: undefined }, { a: 'a2', b: 'b2', c: 'c3' }, { c: 'c3' }]) {
      expect(checkPages([...writes, ...page(1, 30, values)])).toBeUndefined()
    }
    expect(checkPages([...writes, ...page(1, 30, { a: 'a1', b: 'b2' })])).toContain('a1 of a, version 1, although that key had version 2')
    expect(checkPages([...writes, ...page(1, 30, { a: 'a2', b: 'b1' })])).toContain('b1 of b')
    expect(checkPages([...writes, ...page(1, 30, { b: 'b1', c: 'c3' })])).toContain('b1 of b')
    // Each by itself may be right.
    expect(checkPages([...writes, ...page(1, 30, { a: 'a1' }), ...page(2, 30, { b: 'b2' })])).toBeUndefined()
  })

  test('does not have what was deleted before the last that it has', () => {
    const deletion: HistoryOperation = { process: 2, key: 'a', kind: 'del', version: 3, start: 20, end: 70 }
    expect(checkPages([...writes, deletion, ...page(1, 30, { a: 'a2', c: 'c3' })])).toContain('although that key had version 3')
    expect(checkPages([...writes, deletion, ...page(1, 30, { c: 'c3', a: undefined })])).toBeUndefined()
  })
})

describe('versions', () => {
  const at = (start: number): { process: number, key: string, start: number, end: number } => ({ process: 1, key: 'k', start, end: start + 1 })

  test('of deletions, and of values that nobody knows, rise like others, and are no value\'s', () => {
    expect(checkVersions([{ ...at(0), kind: 'put', input: 'a', version: 1 }, { ...at(2), kind: 'del', version: 2 }, { ...at(4), kind: 'get', version: 3, valueUnknown: true }])).toBeUndefined()
    expect(checkVersions([{ ...at(0), kind: 'del', version: 2 }, { ...at(2), kind: 'put', input: 'a', version: 1 }])).toContain('after version 2')
    expect(checkVersions([{ ...at(0), kind: 'del', version: 2 }, { ...at(0), kind: 'put', input: 'a', version: 2 }])).toContain('both of a deletion and of a')
    expect(checkVersions([{ ...at(0), kind: 'put', input: 'a', version: 2 }, { ...at(2), kind: 'get', version: 1, valueUnknown: true }])).toContain('after version 2')
    expect(checkVersions([{ ...at(0), kind: 'del', version: 2 }, { ...at(2), kind: 'get', version: 2, valueUnknown: true }])).toContain('is of a deletion')
  })
})

test('a line of the history says what another checker needs: conditions, versions, and which lines are of one call', () => {
  const call = { number: 7, action: 'putIf' }
  expect(JSON.parse(historyLine({ process: 1, key: 'k', kind: 'put', input: 'b', expected: { value: undefined }, version: 9, call, start: 1, end: 2.5 }))).toEqual({
    process: 1, type: 'put', key: 'k', input: 'b', output: null, start: 1_000_000, end: 2_500_000, expires: null, condition: { value: null }, version: 9, action: 'putIf', call: 7, outcome: 'ok'
  })
  const line = (operation: Partial<HistoryOperation>): unknown => JSON.parse(historyLine({ process: 1, key: 'k', kind: 'put', input: 'b', start: 1, end: undefined, ...operation }))
  expect(line({})).toMatchObject({ condition: null, version: null, action: 'put', call: null, end: null, outcome: 'unknown' })
  expect(line({ expected: { value: 'a' }, definiteFailure: true })).toMatchObject({ condition: { value: 'a' }, outcome: 'failed' })
  expect(line({ kind: 'get', input: undefined, version: 3, valueUnknown: true, end: 2 })).toMatchObject({ type: 'get', output: null, version: 3, end: 2_000_000, outcome: 'unknown' })
})
