/** Cursors: a mark reads as the place it was made at, whatever happened later; a cursor comes back as it was, or is refused. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeCursor, encodeCursor, WatchProgress, type WatchScope } from '../../store/client/watch-cursor.ts'

const scope: WatchScope = { clusterId: 'cluster', prefix: Buffer.from('p'), partitions: [0, 1, 2, 3] }

test('every mark reads as the positions were when it was made', () => {
  const step = fc.record({ index: fc.nat(3), position: fc.maxSafeNat(), skip: fc.nat(3) })
  fc.assert(fc.property(fc.array(step, { maxLength: 900, size: 'max' }), steps => {
    const positions = new Float64Array(4)
    const progress = new WatchProgress(scope, { positions: new Float64Array(4), partial: -1, skip: 0 })
    let partial = -1
    let skipped = 0
    const marks: [() => string, string][] = []
    for (const { index, position, skip } of steps) {
      // As a watch does it: an entry that was begun is finished before another is.
      if (partial >= 0 && partial !== index) progress.advance(partial, positions[partial]!)
      progress.advance(index, position, skip)
      positions[index] = position
      ;[partial, skipped] = skip > 0 ? [index, skip] : [-1, 0]
      marks.push([progress.mark(), encodeCursor(scope, { positions, partial, skip: skipped })])
    }
    for (const [mark, expected] of marks) expect(mark()).toBe(expected)
  }), { numRuns: 20 })
})

test('a cursor comes back as it was', () => {
  const list = fc.array(fc.maxSafeNat(), { minLength: 4, maxLength: 4 })
  fc.assert(fc.property(list, fc.integer({ min: -1, max: 3 }), fc.nat(), (list, partial, skip) => {
    const place = { positions: Float64Array.from(list), partial, skip }
    expect(decodeCursor(encodeCursor(scope, place), scope)).toEqual(place)
  }))
})

test('what is no cursor of this watch is refused', () => {
  const cursor = encodeCursor(scope, { positions: Float64Array.from([1, 2, 300, 4]), partial: -1, skip: 0 })
  const refused = expect.objectContaining({ code: 'STORE_INVALID_OPTIONS' }) as Error
  const others = ['', 'a', '!', 'x'.repeat(100), cursor.slice(0, -2), cursor + 'AA', cursor.slice(4)]
  for (const other of others) expect(() => decodeCursor(other, scope), other).toThrow(refused)
  for (const change of [{ clusterId: 'another' }, { prefix: Buffer.from('q') }, { partitions: [0, 1] }, { partitions: [1, 2, 3, 4] }]) {
    expect(() => decodeCursor(cursor, { ...scope, ...change })).toThrow(refused)
  }
})
