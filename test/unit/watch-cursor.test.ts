/** Cursors: a mark reads as the place it was made at, whatever happened later; a cursor comes back as it was, or is refused. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeCursor, encodeCursor, WatchProgress, type WatchScope } from '../../store/client/watch-cursor.ts'

const scope: WatchScope = { clusterId: 'cluster', prefix: Buffer.from('p'), partitions: [0, 1, 2, 3] }

test('every mark reads as the positions were when it was made', () => {
  const step = fc.record({ index: fc.nat(3), position: fc.maxSafeNat(), skip: fc.nat(3) })
  fc.assert(fc.property(fc.array(step, { maxLength: 900, size: 'max' }), steps => {
    const positions = new Float64Array(4)
    const skips = new Map<number, number>()
    const progress = new WatchProgress(scope, { positions: new Float64Array(4), skips: new Map() })
    const marks: [() => string, string][] = []
    for (const { index, position, skip } of steps) {
      progress.advance(index, position, skip)
      positions[index] = position
      if (skip > 0) skips.set(index, skip)
      else skips.delete(index)
      marks.push([progress.mark(), encodeCursor(scope, { positions, skips })])
    }
    for (const [mark, expected] of marks) expect(mark()).toBe(expected)
  }), { numRuns: 20 })
})

test('a cursor comes back as it was', () => {
  const list = fc.array(fc.maxSafeNat(), { minLength: 4, maxLength: 4 })
  const skips = fc.uniqueArray(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 10_000 })), { selector: ([index]) => index })
  fc.assert(fc.property(list, skips, (list, skips) => {
    const place = { positions: Float64Array.from(list), skips: new Map(skips) }
    expect(decodeCursor(encodeCursor(scope, place), scope)).toEqual(place)
  }))
})

test('what is no cursor of this watch is refused', () => {
  const cursor = encodeCursor(scope, { positions: Float64Array.from([1, 2, 300, 4]), skips: new Map([[2, 1]]) })
  const refused = expect.objectContaining({ code: 'STORE_INVALID_OPTIONS' }) as Error
  const others = ['', 'a', '!', 'x'.repeat(100), cursor.slice(0, -2), cursor + 'AA', cursor.slice(4)]
  for (const other of others) expect(() => decodeCursor(other, scope), other).toThrow(refused)
  for (const change of [{ clusterId: 'another' }, { prefix: Buffer.from('q') }, { partitions: [0, 1] }, { partitions: [1, 2, 3, 4] }]) {
    expect(() => decodeCursor(cursor, { ...scope, ...change })).toThrow(refused)
  }
})
