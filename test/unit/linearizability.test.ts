/**
 * The checker of histories, against histories whose verdict is known and against a twin that tries every order.
 *
 * Mutations that these tests caught: a pending get settled whatever the register holds; a write of unknown outcome made to happen
 * at once, or never let happen; a value overwritten never instead of not before its last get; writes taken as unseen although
 * somebody saw them; ends sorted before starts of the same time; a reported get without the write that it saw; of the writes of
 * unknown outcome, only the first kind tried.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { checkHistory } from '../../store/verify/checker.ts'
import type { HistoryOperation, RegisterValue } from '../../store/verify/history.ts'

type Line = readonly [kind: 'put' | 'del' | 'get', value: RegisterValue, start: number, end: number | undefined]

const history = (...lines: Line[]): HistoryOperation[] => lines.map(([kind, value, start, end], process) => ({
  process, key: 'k', kind, start, end, ...(kind === 'put' ? { input: value } : kind === 'get' ? { output: value } : {})
}))

const good: Record<string, HistoryOperation[]> = {
  'nothing at all': [],
  'a get before any put': history(['get', undefined, 0, 1]),
  'one after the other': history(['put', 'a', 0, 1], ['get', 'a', 2, 3], ['del', undefined, 4, 5], ['get', undefined, 6, 7]),
  'a get beside a put sees it': history(['put', 'a', 0, 10], ['get', 'a', 1, 2]),
  'a get beside a put does not see it': history(['put', 'a', 0, 10], ['get', undefined, 1, 2]),
  'two puts at once, in the order the gets say': history(['put', 'a', 0, 10], ['put', 'b', 0, 10], ['get', 'b', 11, 12]),
  'a put of unknown outcome that never happened': history(['put', 'a', 0, undefined], ['get', undefined, 1, 2], ['get', undefined, 100, 101]),
  'a put of unknown outcome that happened late': history(['put', 'a', 0, undefined], ['get', undefined, 1, 2], ['get', 'a', 100, 101]),
  'a deletion of unknown outcome that happened late': history(['put', 'a', 0, 1], ['del', undefined, 2, undefined], ['get', 'a', 3, 4], ['get', undefined, 5, 6]),
  'two deletions of unknown outcome, both seen': history(['del', undefined, 0, undefined], ['del', undefined, 0, undefined],
    ['put', 'a', 1, 2], ['get', 'a', 3, 4], ['get', undefined, 5, 6], ['put', 'b', 7, 8], ['get', undefined, 9, 10]),
  'writes of unknown outcome of two kinds, in another order than they began': history(['put', 'x', 0, 1], ['del', undefined, 2, undefined],
    ['put', 'a', 2, undefined], ['put', 'a', 2, undefined], ['get', 'a', 3, 4], ['get', undefined, 5, 6], ['get', 'a', 7, 8]),
  'a put that certainly failed, unseen': [...history(['get', undefined, 5, 6]), { process: 1, key: 'k', kind: 'put', input: 'a', start: 0, end: 1, definiteFailure: true }],
  'a write that found what it expected': [...history(['put', 'a', 0, 1], ['get', 'b', 4, 5]), { process: 2, key: 'k', kind: 'put', input: 'b', expected: { value: 'a' }, start: 2, end: 3 }],
  'a write of unknown outcome that did not find what it expected': [...history(['put', 'a', 0, 1], ['get', 'a', 4, 5]),
    { process: 2, key: 'k', kind: 'put', input: 'b', expected: { value: undefined }, start: 2, end: undefined }],
  'a value that expired': [...history(['get', 'a', 2, 3], ['get', undefined, 9, 11]), { process: 2, key: 'k', kind: 'put', input: 'a', expiresAfter: 10, start: 0, end: 1 }],
  'a value that expired between two puts on condition that there is none': [1, 11].map((start, process): HistoryOperation =>
    ({ process, key: 'k', kind: 'put', input: start, expected: { value: undefined }, expiresAfter: start + 9, start, end: start + 1 })),
  'a get without an answer': history(['put', 'a', 0, 1], ['get', undefined, 2, undefined])
}

const bad: Record<string, HistoryOperation[]> = {
  'a stale read': history(['put', 'a', 0, 1], ['put', 'b', 2, 3], ['get', 'a', 4, 5]),
  'a lost update': history(['put', 'a', 0, 1], ['get', undefined, 2, 3]),
  'a value that was never written': history(['put', 'a', 0, 1], ['get', 'z', 2, 3]),
  'a value read before it was written': history(['get', 'a', 0, 1], ['put', 'a', 2, 3]),
  'a deletion undone': history(['put', 'a', 0, 1], ['del', undefined, 2, 3], ['get', undefined, 4, 5], ['get', 'a', 6, 7]),
  'reads that go back in time': history(['put', 'a', 0, 1], ['put', 'b', 2, 20], ['get', 'b', 3, 4], ['get', 'a', 5, 6]),
  'reads that disagree on the order of two puts': history(['put', 'a', 0, 20], ['put', 'b', 0, 20], ['get', 'a', 1, 2], ['get', 'b', 3, 4], ['get', 'a', 5, 6]),
  'a put of unknown outcome that happened twice': history(['put', 'a', 0, undefined], ['get', 'a', 1, 2], ['put', 'b', 3, 4], ['get', 'b', 5, 6], ['get', 'a', 7, 8]),
  'one deletion of unknown outcome that happened twice': history(['del', undefined, 0, undefined], ['put', 'a', 1, 2],
    ['get', undefined, 3, 4], ['get', 'a', 5, 6], ['get', undefined, 7, 8], ['get', 'a', 9, 10]),
  'a write that found something else than it expected': [...history(['put', 'a', 0, 1]), { process: 2, key: 'k', kind: 'put', input: 'b', expected: { value: undefined }, start: 2, end: 3 }],
  'two writes that both found the same, which is there once': [...history(['put', 'a', 0, 1]), ...['b', 'c'].map((input, process): HistoryOperation =>
    ({ process, key: 'k', kind: 'put', input, expected: { value: 'a' }, start: 2, end: 3 }))],
  'a value that expired too early': [...history(['get', undefined, 8, 9]), { process: 2, key: 'k', kind: 'put', input: 'a', expiresAfter: 10, start: 0, end: 1 }],
  'a value that expired and came back': [...history(['get', undefined, 11, 12], ['get', 'a', 13, 14]), { process: 2, key: 'k', kind: 'put', input: 'a', expiresAfter: 10, start: 0, end: 1 }],
  'a put that certainly failed, seen': [...history(['get', 'a', 5, 6]), { process: 1, key: 'k', kind: 'put', input: 'a', start: 0, end: 1, definiteFailure: true }]
}

describe('known histories', () => {
  for (const [name, operations] of Object.entries(good)) test(`linearizable: ${name}`, () => expect(checkHistory(operations)).toEqual({ ok: true }))
  for (const [name, operations] of Object.entries(bad)) {
    test(`not linearizable: ${name}`, () => {
      const result = checkHistory(operations)
      expect(result).toMatchObject({ ok: false, key: 'k' })
      // What is reported contradicts itself.
      if (!result.ok) expect(checkHistory(result.operations).ok).toBe(false)
    })
  }

  test('the reason names a value nobody wrote', () => {
    expect(checkHistory(bad['a value that was never written']!)).toMatchObject({ reason: expect.stringContaining('nobody had begun to write') })
  })

  test('keys are independent: only the bad one is reported', () => {
    const operations = [...history(['put', 'a', 0, 1], ['get', 'a', 2, 3]), ...bad['a stale read']!.map(operation => ({ ...operation, key: 'other' }))]
    expect(checkHistory(operations)).toMatchObject({ ok: false, key: 'other' })
  })
})

/** The definition itself: tries every order of every subset that has all operations with an end. */
function bruteForce (operations: readonly HistoryOperation[]): boolean {
  const certain = operations.filter(operation => operation.definiteFailure !== true && !(operation.kind === 'get' && operation.end === undefined))
  // A value that may expire is one that somebody may delete.
  const expiries = certain.flatMap(({ key, input, expiresAfter }): HistoryOperation[] => expiresAfter === undefined
    ? []
    : [{ process: -1, key, kind: 'del', expected: { value: input }, start: expiresAfter, end: undefined }])
  const relevant = [...certain, ...expiries]
  const happened = new Set<HistoryOperation>()
  const search = (value: RegisterValue): boolean => {
    const left = relevant.filter(operation => !happened.has(operation))
    if (left.every(operation => operation.end === undefined)) return true
    for (const operation of left) {
      // Whatever ended before this one began must have happened before it.
      if (left.some(other => other.end !== undefined && other.end < operation.start)) continue
      if (operation.kind === 'get' && operation.output !== value) continue
      if (operation.expected !== undefined && operation.expected.value !== value) continue
      happened.add(operation)
      const explained = search(operation.kind === 'put' ? operation.input : operation.kind === 'del' ? undefined : value)
      happened.delete(operation)
      if (explained) return true
    }
    return false
  }
  return search(undefined)
}

const randomOperation = fc.record({
  process: fc.nat(3),
  kind: fc.constantFrom('put', 'put', 'del', 'get', 'get', 'get'),
  value: fc.constantFrom<RegisterValue>(undefined, 'a', 'b', 'c'),
  start: fc.nat(12),
  length: fc.nat(6),
  unknown: fc.boolean(),
  expected: fc.option(fc.constantFrom<RegisterValue>(undefined, 'a', 'b', 'c'), { freq: 2, nil: null })
}).map(({ process, kind, value, start, length, unknown, expected }): HistoryOperation => ({
  process,
  key: 'k',
  kind: kind as HistoryOperation['kind'],
  start,
  end: unknown && kind !== 'get' ? undefined : start + length,
  ...(kind === 'put' ? { input: value ?? 'd' } : kind === 'get' ? { output: value } : {}),
  ...(kind === 'get' || expected === null ? {} : { expected: { value: expected } })
}))

/** Each put writes a value of its own, which may expire, and the others find one of them. */
const withTtl = fc.tuple(randomOperation, fc.option(fc.nat(8)))
const uniqueHistory = fc.array(withTtl, { maxLength: 7 }).map(all => all.map(([operation, ttl], index): HistoryOperation => {
  const unique = (value: RegisterValue): RegisterValue => {
    const place = { a: 0, b: 1, c: 2 }[value as 'a' | 'b' | 'c']
    return place === undefined ? undefined : all.findIndex(([other], at) => other.kind === 'put' && at >= place)
  }
  const { kind, output, expected, start } = operation
  return {
    ...operation,
    ...(kind === 'put' ? { input: index } : {}),
    ...(kind === 'get' ? { output: unique(output) } : {}),
    ...(expected === undefined ? {} : { expected: { value: unique(expected.value) } }),
    ...(kind === 'put' && ttl !== null ? { expiresAfter: start + ttl } : {})
  }
}))

describe('against a twin that tries every order', () => {
  test('values that repeat', () => {
    fc.assert(fc.property(fc.array(randomOperation, { maxLength: 7 }), operations => {
      expect(checkHistory(operations).ok).toBe(bruteForce(operations))
    }), { numRuns: 4000 })
  })

  test('a value of its own for each put', () => {
    let rejected = 0
    fc.assert(fc.property(uniqueHistory, operations => {
      const expected = bruteForce(operations)
      if (!expected) rejected++
      expect(checkHistory(operations).ok).toBe(expected)
    }), { numRuns: 4000 })
    // Neither verdict is rare, or the comparison would prove little.
    expect(rejected).toBeGreaterThan(400)
    expect(rejected).toBeLessThan(3600)
  })

  test('what is reported contradicts itself, is part of the history, and nothing can be left out', () => {
    fc.assert(fc.property(fc.oneof(uniqueHistory, fc.array(randomOperation, { maxLength: 7 })), operations => {
      const result = checkHistory(operations)
      if (result.ok) return
      expect(bruteForce(result.operations)).toBe(false)
      for (const operation of result.operations) {
        // A write that ended after the contradiction is reported as unended.
        const isSame = (other: HistoryOperation): boolean =>
          other.start === operation.start && other.kind === operation.kind && other.input === operation.input && other.output === operation.output
        expect(operations.some(isSame)).toBe(true)
        if (operation.kind !== 'get') continue
        expect(bruteForce(result.operations.filter(other => other !== operation))).toBe(true)
        // Whoever wrote what a reported get returned, before the contradiction, is reported with it.
        const latest = Math.max(...result.operations.filter(other => other.kind === 'get').map(other => other.end!))
        const isWriter = (other: HistoryOperation): boolean => other.kind !== 'get' && other.input === operation.output && other.start <= latest
        expect(result.operations.filter(isWriter).length).toBe(operations.filter(isWriter).length)
      }
    }), { numRuns: 2000 })
  })
})

/** A history of a register that was really atomic: each operation happens at one moment within its interval. */
function atomicHistory (seed: number, workers: number, perWorker: number, unknown: number): HistoryOperation[] {
  const random = new SeededRandom(seed)
  const drafts: { operation: HistoryOperation, moment: number }[] = []
  for (let process = 0; process < workers; process++) {
    let time = random.next()
    for (let index = 0; index < perWorker; index++) {
      const start = time
      const end = start + random.next() * 10
      time = end + random.next()
      const kind = random.pick(['put', 'put', 'put', 'del', 'get', 'get', 'get', 'get'] as const)
      const lost = kind !== 'get' && random.chance(unknown)
      const moment = !lost ? random.between(start, end) : random.chance(0.5) ? random.between(start, start + 100) : Infinity
      const input = kind === 'put' ? { input: `${process}.${index}` } : {}
      drafts.push({ moment, operation: { process, key: 'k', kind, start, end: lost ? undefined : end, ...input } })
    }
  }
  let value: RegisterValue
  return drafts.sort((a, b) => a.moment - b.moment).map(({ operation, moment }) => {
    if (operation.kind === 'get') return { ...operation, output: value }
    if (moment !== Infinity) value = operation.input
    return operation
  })
}

describe('long histories', () => {
  test('8 clients and 4,000 operations on one key, some of unknown outcome', () => {
    expect(checkHistory(atomicHistory(1, 8, 500, 0.01))).toEqual({ ok: true })
  })

  test('one stale read among 4,000 operations is found, and told by a handful of them', () => {
    const operations = atomicHistory(2, 8, 500, 0)
    const last = operations.findLastIndex(operation => operation.kind === 'get' && operation.output !== undefined)
    operations[last] = { ...operations[last]!, output: operations.find(operation => operation.kind === 'put')!.input! }
    const result = checkHistory(operations)
    expect(result.ok).toBe(false)
    if (!result.ok) expect(result.operations.length).toBeLessThan(6)
  })
})
