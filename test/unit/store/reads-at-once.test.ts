/**
 * Reads that are made on the event loop: short ones, where that is quick, for a part of a turn; all others by threads. Which way a value comes
 * changes nothing but the time.
 *
 * Mutations seen to fail here: no limit of a turn, or none of a list; the mean not looked at, or of lists instead of keys, or every slow
 * read taken for it, and none for more; never trying again; handing on before all is read; asking databases that cannot.
 */
import { describe, expect, test, vi } from 'vitest'
import type { Database } from '../../../membership/environment/environment.ts'
import { DiskWork } from '../../../store/disk-work.ts'
import type { ReplicaInput } from '../../../store/group/replica-contract.ts'
import { Copies } from '../../../store/storage/copies.ts'
import { KEYS_AT_ONCE_MAX } from '../../../store/storage/key-reader.ts'
import { encodeValue } from '../../../store/storage/layout.ts'
import { QUICK_MS, STALL_MS, STALLED_MS, THREADS_MS } from '../../../store/storage/read-cost.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)

/** A disk whose reads on the event loop take as long as `tookMs` says. Values are those of their tokens. */
function disk ({ getSync = true, tookMs = () => 0 }: { getSync?: boolean, tookMs?: () => number } = {}) {
  let nowMs = 1000
  const record = (key: Uint8Array): Uint8Array => encodeValue(key, 7, bytes('value'))
  const read = { atOnce: 0, byThreads: 0 }
  const database = {
    supports: { getSync },
    getSync (key: Uint8Array) {
      nowMs += tookMs()
      read.atOnce++
      return record(key)
    },
    getMany (keys: Uint8Array[]) {
      read.byThreads += keys.length
      return Promise.resolve(keys.map(record))
    }
  }
  const found: { partition: number, token: number, values: number }[] = []
  const failures: unknown[] = []
  const clock = { now: () => nowMs, wallNow: () => 0, setTimer: () => () => {} }
  const work = new DiskWork(new Copies(database as unknown as Database), clock, {
    found: (partition, input) => {
      const { token, values } = input as ReplicaInput & { kind: 'fetched' }
      found.push({ partition, token, values: values.length })
    },
    failed: cause => { failures.push(cause) }
  })
  let tokens = 0
  return {
    work,
    read,
    found,
    failures,
    pass: (ms: number) => { nowMs += ms },
    /** So many reads of so many keys in one turn. Returns how many of them were answered within it. */
    turn (count: number, keys = 1, bytesMax?: number): number {
      const before = found.length
      for (let index = 0; index < count; index++) {
        const wanted = Array.from({ length: keys }, (_, number) => bytes(`key ${number}`))
        work.perform(3, { kind: 'fetch', token: ++tokens, copy: 1, keys: wanted, ...bytesMax === undefined ? {} : { bytesMax } })
      }
      work.flush()
      return found.length - before
    }
  }
}

describe('reads at once', () => {
  test('are answered within the turn, in their order', () => {
    const { turn, found, read } = disk()
    expect(turn(20, 3)).toBe(20)
    expect(found).toEqual(Array.from({ length: 20 }, (_, index) => ({ partition: 3, token: index + 1, values: 3 })))
    expect(read).toEqual({ atOnce: 60, byThreads: 0 })
  })

  test('are left to threads where the database cannot, and so are long lists, with a limit or without', async () => {
    for (const { getSync, keys, bytesMax } of [
      { getSync: false, keys: 1 }, { getSync: true, keys: KEYS_AT_ONCE_MAX + 1 }, { getSync: true, keys: KEYS_AT_ONCE_MAX + 1, bytesMax: 1e6 }
    ]) {
      const { turn, work, found, read } = disk({ getSync })
      expect(turn(2, keys, bytesMax)).toBe(0)
      await vi.waitUntil(() => found.length === 2)
      await work.stop()
      expect(read).toEqual({ atOnce: 0, byThreads: 2 * keys })
      expect(found.map(({ token, values }) => [token, values])).toEqual([[1, keys], [2, keys]])
    }
  })

  test('take a part of a turn at most; the rest of it is for threads, and the next turn begins anew', async () => {
    const { turn, work, found, read } = disk({ tookMs: () => QUICK_MS / 2 })
    const count = 120
    const atOnce = turn(count)
    expect(atOnce).toBeGreaterThan(10)
    expect(atOnce).toBeLessThan(count)
    expect(turn(atOnce)).toBe(atOnce)
    await work.stop()
    expect(read).toEqual({ atOnce: 2 * atOnce, byThreads: count - atOnce })
    expect(new Set(found.map(({ token }) => token)).size).toBe(count + atOnce)
  })

  test('end where they are slow on the average, and are tried again after a while', () => {
    let tookMs = 2 * QUICK_MS
    const { turn, read, pass } = disk({ tookMs: () => tookMs })
    while (turn(1) === 1) expect(read.atOnce).toBeLessThan(100)
    const first = read.atOnce
    expect(turn(10)).toBe(0)
    pass(THREADS_MS)
    while (turn(1) === 1) expect(read.atOnce).toBeLessThan(2 * first)
    expect(read.atOnce).toBeGreaterThan(first)
    pass(THREADS_MS)
    tookMs = QUICK_MS / 10
    for (let turns = 0; turns < 100; turns++) expect(turn(1)).toBe(1)
  })

  test('of a list end with the value that gives it its bytes', () => {
    const { turn, found, read } = disk()
    expect(turn(1, 10, 3 * bytes('value').length - 1)).toBe(1)
    expect([found[0]!.values, read.atOnce]).toEqual([3, 3])
  })

  test('go on after one that took very long, which may be the machine\'s fault', () => {
    let reads = 0
    const { turn } = disk({ tookMs: () => ++reads % 50 === 0 ? STALL_MS - 1 : 0.005 })
    for (let turns = 0; turns < 200; turns++) expect(turn(1)).toBe(1)
  })

  test('end for longer after one that took so long that the device may not answer', () => {
    let tookMs = STALL_MS
    const { turn, pass } = disk({ tookMs: () => tookMs })
    expect(turn(1)).toBe(1)
    tookMs = 0.005
    expect(turn(3)).toBe(0)
    pass(STALLED_MS - 1)
    expect(turn(1)).toBe(0)
    pass(1)
    expect(turn(3)).toBe(3)
  })

  test('are slow or not by their keys: many together take longer', () => {
    const { turn } = disk({ tookMs: () => QUICK_MS / 2 })
    for (let turns = 0; turns < 100; turns++) expect(turn(1, KEYS_AT_ONCE_MAX)).toBe(1)
  })

  test('that fail are told once, as a failure of the disk, and nothing of that turn is handed on', () => {
    const error = new Error('LEVEL_CORRUPTION')
    let reads = 0
    const { turn, failures, found } = disk({ tookMs: () => { if (++reads === 3) throw error; return 0 } })
    expect(turn(5)).toBe(0)
    expect([failures, found]).toEqual([[error], []])
  })
})
