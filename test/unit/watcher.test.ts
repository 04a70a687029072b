/**
 * A watch over partitions that a test answers for.
 *
 * Mutations caught: a cursor that knows of one partition alone that an entry was delivered in part; a partition that is asked on as soon as it
 * has answered; questions for pages that are as large however many partitions are watched; a cursor that is moved before a change is
 * decoded; a watch that goes on, asks on, or keeps its answers after a change that could not be decoded.
 */
import { expect, test } from 'vitest'
import type { ChangedEntry, WatchSpec } from '../../store/client-protocol.ts'
import type { WatchScope } from '../../store/client/watch-cursor.ts'
import { type Changes, Watcher } from '../../store/client/watcher.ts'

/** What the answers that wait in one watch have together, at most, up to 4,096 partitions. */
const HELD_BYTES_MAX = 16 * 1024 * 1024

const scope: WatchScope = { clusterId: 'cluster', prefix: Buffer.from(''), partitions: [0, 1] }

/** An entry that changes two keys. */
const entryOf = (partition: number, seq: number): ChangedEntry => ({
  seq, changes: ['a', 'b'].map(name => ({ key: Buffer.from(`${name}${partition}.${seq}`), value: Buffer.from('x') }))
})

/** Each partition has such entries at 1 and 2; one that `silent` names never answers. */
function watch (since: string | undefined, silent: readonly number[]): Watcher<string, string> {
  const poll = (partition: number, { after }: WatchSpec): Promise<Changes> => {
    if (after < 0) return Promise.resolve({ entries: [], upTo: 0 })
    if (after >= 2 || silent.includes(partition)) return new Promise(() => {})
    return Promise.resolve({ entries: [1, 2].filter(seq => seq > after).map(seq => entryOf(partition, seq)), upTo: 2 })
  }
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
  return new Watcher({ scope, waitMs: 1000, poll, decodeKey: text, decodeValue: text }, since)
}

async function keys (watcher: Watcher<string, string>, count: number): Promise<string[]> {
  const found: string[] = []
  while (found.length < count) found.push((await watcher.next()).value!.key)
  await watcher.return()
  return found
}

test('a watch that is left in the middle of an entry, and again in the middle of another one, delivers the rest of both', async () => {
  const first = watch(undefined, [1])
  expect(await keys(first, 1)).toEqual(['a0.1'])
  // The partition whose entry was begun is silent while another one's is.
  const second = watch(first.cursor, [0])
  expect(await keys(second, 3)).toEqual(['a1.1', 'b1.1', 'a1.2'])
  const third = await keys(watch(second.cursor, []), 4)
  expect([...third].sort()).toEqual(['a0.2', 'b0.1', 'b0.2', 'b1.2'])
})

test('of a watch that nobody reads each partition is asked once, and what is held is bounded', async () => {
  const partitions = Array.from({ length: 1000 }, (_, partition) => partition)
  const asked = new Map<number, number>()
  let heldBytes = 0
  let after: number | undefined
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
  const poll = (partition: number, spec: WatchSpec): Promise<Changes> => {
    if (spec.after < 0) return Promise.resolve({ entries: [], upTo: 0 })
    asked.set(partition, (asked.get(partition) ?? 0) + 1)
    if (partition === 0) after = spec.after
    // A leader fills its answer as far as it was told to, and always has more.
    heldBytes += spec.bytesMax
    const seq = spec.after + 1
    return Promise.resolve({ entries: [{ seq, changes: [{ key: Buffer.from(`${partition}`), value: Buffer.from('x') }] }], upTo: seq })
  }
  const watcher = new Watcher({ scope: { ...scope, partitions }, waitMs: 1000, poll, decodeKey: text, decodeValue: text }, undefined)
  await watcher.ready()
  // All answers are there at once: whoever asked on would do so by now.
  for (let turn = 0; turn < 1000; turn++) await Promise.resolve()
  expect([...asked.values()]).toEqual(partitions.map(() => 1))
  expect(heldBytes).toBeLessThanOrEqual(HELD_BYTES_MAX)
  // What is taken makes room for the next answer of that partition alone.
  for (let taken = 0; taken < 2; taken++) await watcher.next()
  expect([asked.get(0), asked.get(1), after]).toEqual([2, 1, 1])
  await watcher.return()
})

test.each(['key', 'value'] as const)('a %s that cannot be decoded ends the watch with LEVEL_DECODE_ERROR, and its cursor resumes right before that change', async part => {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
  const cause = new SyntaxError('it is not what it should be')
  const strict = (wrong: string) => (bytes: Uint8Array): string => {
    if (text(bytes) === wrong) throw cause
    return text(bytes)
  }
  const questions: { after: number, signal: AbortSignal }[] = []
  /** Of one partition, with an entry of three changes, another one, and nothing more for the time being. */
  const poll = (_partition: number, { after }: WatchSpec, signal: AbortSignal): Promise<Changes> => {
    if (after < 0) return Promise.resolve({ entries: [], upTo: 0 })
    questions.push({ after, signal })
    if (after >= 2) return new Promise(() => {})
    const change = (name: string): ChangedEntry['changes'][number] => ({ key: Buffer.from(name), value: Buffer.from(`value of ${name}`) })
    const entries = [{ seq: 1, changes: ['a', 'b', 'c'].map(change) }, { seq: 2, changes: [change('d')] }]
    return Promise.resolve({ entries: entries.filter(({ seq }) => seq > after), upTo: 2 })
  }
  const components = { scope: { ...scope, partitions: [0] }, waitMs: 1000, poll, decodeKey: text, decodeValue: text }
  const decoders = part === 'key' ? { decodeKey: strict('b') } : { decodeValue: strict('value of b') }
  const watcher = new Watcher<string, string>({ ...components, ...decoders }, undefined)
  const first = await watcher.next()
  expect(first.value).toMatchObject({ key: 'a' })
  const failed = watcher.next()
  await expect(failed).rejects.toMatchObject({ code: 'LEVEL_DECODE_ERROR', cause })
  await expect(failed).rejects.toBeInstanceOf(Error)
  expect(watcher.ended.aborted).toBe(true)
  expect(questions.map(({ after, signal }) => [after, signal.aborted])).toEqual([[0, true]])
  expect(await watcher.next()).toEqual({ done: true, value: undefined })
  expect(questions).toHaveLength(1)
  // Whoever can read it goes on where this one could not.
  expect(watcher.cursor).toBe(first.value!.cursor)
  expect(await keys(new Watcher(components, watcher.cursor), 3)).toEqual(['b', 'c', 'd'])
})
