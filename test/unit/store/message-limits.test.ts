/**
 * Whatever is small but many fits into the messages that tell of it: a message has a million values, and bytes alone do not bound them. What
 * does not fit goes another way, or in several messages.
 *
 * Mutations seen to fail here: a delta of any number of keys, or of entries, when it is planned, and when it is composed; a memory without
 * a limit, or one that loses the time at its floor; an answer to a watch with any number of changes; an option that allows more.
 */
import { describe, expect, test } from 'vitest'
import { encodeMessage } from '../../../membership/transport/message-codec.ts'
import { Copy } from '../../../store/group/copy.ts'
import { composeDelta, planDelta } from '../../../store/group/delta.ts'
import { BARE_BYTES_MAX, bareEntryBytes, type Entry, entryBytes, timeOf, withoutValues } from '../../../store/group/history.ts'
import { resolveNodeOptions } from '../../../store/options.ts'
import { ballot, bytes, of, ReplicaNet } from './replica-harness.ts'

/** The most that `logEntriesMax` may be. */
const LOG_ENTRIES_MAX = 8192
const LONG = { logEntriesMax: 1_000_000, logBytesMax: 2 ** 30 }

/** Committed writes of so many keys each, all different, numbered from 1. */
function copyWith (entries: number, keysEach: number, options = LONG): Copy {
  const copy = new Copy(1, 0, 0, [], options)
  let next = 0
  for (let seq = 1; seq <= entries; seq++) {
    const operations = Array.from({ length: keysEach }, () => ({ kind: 'put' as const, key: bytes((36 ** 3 + next++).toString(36)), value: bytes('') }))
    const time = seq % 10 === 0 ? { time: 1000 * seq } : {}
    copy.append({ seq, ballot: ballot(1, 0, 'A'), body: { kind: 'write', id: { client: 'a client of some length', number: seq, base: 0 }, operations, ...time } })
  }
  copy.advanceCommit(entries)
  copy.takeApplied()
  copy.applyDone(copy.applying)
  return copy
}

const bareBytes = (entries: readonly Entry[]): number => entries.reduce((sum, entry) => sum + entryBytes(entry), 0)

describe('what a learner is told to remember', () => {
  test('is the whole log where that fits', () => {
    const copy = copyWith(500, 20)
    const { entries, floor, time } = copy.memory(400)
    expect([floor, time, entries.length]).toEqual([0, 0, 400])
    expect(entries).toEqual(Array.from({ length: 400 }, (_, index) => withoutValues(copy.entry(index + 1)!)))
  })

  test('is the end of a long one: the older part without keys, and the time at the floor', () => {
    const copy = copyWith(20_000, 42)
    const { entries, floor, time } = copy.memory(19_995)
    expect(floor).toBeGreaterThan(0)
    expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: 19_995 - floor }, (_, index) => floor + 1 + index))
    expect(bareBytes(entries)).toBeLessThanOrEqual(BARE_BYTES_MAX)
    expect(time).toBe(1000 * (floor - floor % 10))
    expect(timeOf(copy.entry(floor - floor % 10)!)).toBe(time)
    const known = entries.map(({ body }) => body.kind === 'write' && body.changed !== undefined)
    expect(known.lastIndexOf(false)).toBe(known.indexOf(true) - 1)
    expect(known.filter(Boolean).length).toBeGreaterThan(200)
    expect(() => encodeMessage(entries)).not.toThrow()
    // The copy that begins with it is one.
    expect(new Copy(2, floor, 19_995, entries, LONG, time).last).toBe(19_995)
  })

  test('has as many entries as a log may be told to keep, whatever they change', () => {
    for (const keys of [1, 100]) expect(copyWith(LOG_ENTRIES_MAX, keys).memory(LOG_ENTRIES_MAX).floor).toBe(0)
  })
})

test('what an entry will cost without its values is known before', () => {
  for (const keys of [1, 2, 128, 129]) {
    const entry = copyWith(1, keys).entry(1)!
    expect(bareEntryBytes(entry)).toBe(entryBytes(withoutValues(entry)))
    expect(bareEntryBytes(withoutValues(entry))).toBe(bareEntryBytes(entry))
  }
})

describe('a delta', () => {
  test('is as long as fits', () => {
    const copy = copyWith(150, 128)
    const plan = planDelta(copy, 0, 2 ** 30)!
    const delta = composeDelta(copy, plan, plan.keys.map(() => ({ value: bytes(''), seq: 1, expires: 1e12 })), 2 ** 30)!
    expect(delta.items).toHaveLength(150 * 128)
    expect(() => encodeMessage(delta)).not.toThrow()
  })

  test('is not planned for more keys, or more entries', () => {
    expect(planDelta(copyWith(160, 128), 0, 2 ** 30)).toBeUndefined()
    // All of one key.
    const copy = new Copy(1, 0, 0, [], LONG)
    for (let seq = 1; seq <= 12_000; seq++) {
      const operations = [{ kind: 'put' as const, key: bytes('k'), value: bytes('') }]
      copy.append({ seq, ballot: ballot(1, 0, 'A'), body: { kind: 'write', id: { client: 'c', number: seq, base: 0 }, operations } })
    }
    copy.advanceCommit(12_000)
    copy.takeApplied()
    copy.applyDone(copy.applying)
    expect(planDelta(copy, 0, 2 ** 30)).toBeUndefined()
    expect(planDelta(copy, 6000, 2 ** 30)).toMatchObject({ keys: { length: 1 } })
  })

  test('is given up where too much is written while it is read', () => {
    for (const [entries, keys] of [[100, 128], [8000, 1]] as const) {
      const copy = copyWith(entries, keys)
      const plan = planDelta(copy, 0, 2 ** 30)!
      for (let seq = entries + 1; seq <= 2 * entries; seq++) {
        const operations = Array.from({ length: keys }, (_, key) => ({ kind: 'del' as const, key: bytes(`later ${seq} ${key}`) }))
        copy.append({ seq, ballot: ballot(1, 0, 'A'), body: { kind: 'write', id: { client: 'c', number: seq, base: 0 }, operations } })
      }
      copy.advanceCommit(2 * entries)
      expect(composeDelta(copy, plan, plan.keys.map(() => null), 2 ** 30)).toBeUndefined()
    }
  })
})

/** Has A write batches of small keys. */
function writeBatches (net: ReplicaNet, batches: number, keysEach: number, ticket = 1000): void {
  let next = 0
  for (let batch = 0; batch < batches; batch++) {
    const operations = Array.from({ length: keysEach }, () => ({ kind: 'put' as const, key: bytes((36 ** 3 + next++).toString(36)), value: bytes('v') }))
    net.input('A', { kind: 'write', ticket: ticket + batch, id: net.operation(net.replica('A').copy!.commit), operations })
    if (batch % 10 === 9) net.settle()
  }
  net.settle()
}

test('a store that missed many small keys is taught by a snapshot when it returns', () => {
  const net = new ReplicaNet('ABC', { logEntriesMax: 1024, logBytesMax: 20_000, chunkBytes: 256 * 1024, batchEntriesMax: 512, batchBytesMax: 1024 * 1024, waitingMax: 10_000 })
  net.view(1, 'ABC', 'ABC')
  net.settle()
  net.write('A', 'x', '1')
  net.settle()
  net.pass(500)
  net.crash('C')
  net.view(2, 'AB', 'ABC')
  writeBatches(net, 200, 128)
  net.pass(500)
  net.restart('C')
  net.sent.length = 0
  net.view(3, 'ABC', 'ABC')
  net.pass(5000)
  expect(net.replica('C').copy!.commit).toBe(net.replica('A').copy!.commit)
  expect(net.sent.filter(of('delta'))).toEqual([])
  for (const { message } of net.sent) expect(() => encodeMessage(message)).not.toThrow()
})

test('the answer to a watch ends where it has many changes, and the next one goes on there', () => {
  const net = new ReplicaNet('ABC', { logEntriesMax: 1024, logBytesMax: 2 ** 30, batchEntriesMax: 512, batchBytesMax: 1024 * 1024 })
  net.view(1, 'ABC', 'ABC')
  net.settle()
  let after = net.replica('A').copy!.commit
  writeBatches(net, 5, 9000)
  const counts: number[] = []
  for (let ticket = 2000; counts.reduce((sum, count) => sum + count, 0) < 45_000; ticket++) {
    net.input('A', { kind: 'watch', ticket, watch: { prefix: bytes(''), after, waitMs: 1000, bytesMax: 4 * 1024 * 1024 } })
    net.settle()
    const answer = net.answers.get(ticket)!
    if (answer.kind !== 'changes') throw new Error(JSON.stringify(answer))
    expect(() => encodeMessage(answer)).not.toThrow()
    counts.push(answer.entries.reduce((sum, { changes }) => sum + changes.length, 0))
    after = answer.upTo
  }
  expect(counts).toEqual([18_000, 18_000, 9000])
})

test.each([['batchEntriesMax', 10_000], ['batchBytesMax', 2 * 1024 * 1024], ['chunkBytes', 1024 * 1024], ['logEntriesMax', LOG_ENTRIES_MAX], ['expiryBatchMax', 10_000]])(
  'the option %s allows no more than a message has room for', (name, most) => {
    const options = (value: number) => ({ listen: '127.0.0.1:0', directory: 'd', found: true, replication: { [name]: value } })
    expect(() => resolveNodeOptions(options(most))).not.toThrow()
    expect(() => resolveNodeOptions(options(most + 1))).toThrow(expect.objectContaining({ code: 'STORE_INVALID_OPTIONS' }))
  })
