/**
 * Watching through a client over real nodes: nothing twice, nothing missed, across restarts of the watch and the death of a leader.
 */
import { MemoryLevel } from 'memory-level'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../../membership/environment/environment.ts'
import { silentLog } from '../../membership/environment/system.ts'
import { type Client, connect, type KillableNode, startNode, type WatchEvent } from '../../store/index.ts'

const storage = (): Database => new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
const nodes: KillableNode[] = []
let db: Client

beforeAll(async () => {
  const parts = { storage, log: silentLog }
  const founder = await startNode({ directory: 'a', found: true, expect: 3, partitions: 16 }, parts)
  nodes.push(founder, ...await Promise.all(['b', 'c'].map(directory => startNode({ directory, seeds: [founder.address] }, parts))))
  db = await connect([founder.address], { deadlineMs: 30_000 })
})

afterAll(async () => {
  await db.close()
  await Promise.all(nodes.map(node => node.close()))
})

async function take (watch: AsyncIterator<WatchEvent<string, string>, undefined>, count: number): Promise<WatchEvent<string, string>[]> {
  const events: WatchEvent<string, string>[] = []
  while (events.length < count) {
    const { value, done } = await watch.next()
    if (done === true) throw new Error('the watch has ended')
    events.push(value)
  }
  return events
}

const brief = ({ type, key, value }: WatchEvent<string, string>): string => type === 'put' ? `${key}=${value}` : `${key} deleted`

test('puts and deletions of the prefix, from ready() on, in the order of each key', async () => {
  await db.put('a1', 'before')
  const watch = await db.watch('a').ready()
  await db.put('a1', '1')
  await db.put('b1', 'not watched')
  await db.del('a1')
  await db.put('a1', '2')
  const events = await take(watch, 3)
  expect(events.map(brief)).toEqual(['a1=1', 'a1 deleted', 'a1=2'])
  expect(events[0]!.version).toBeLessThan(events[1]!.version)
  await watch.return()
  expect(await watch.next()).toEqual({ done: true, value: undefined })
})

test('a watch goes on after any event of another, also in the middle of a batch', async () => {
  const watch = await db.watch('c').ready()
  await db.batch([1, 2, 3].map(number => ({ type: 'put', key: `c{tag}${number}`, value: 'x' })))
  await db.put('c{tag}4', 'y')
  const events = await take(watch, 4)
  expect(events.map(({ key }) => key)).toEqual(['c{tag}1', 'c{tag}2', 'c{tag}3', 'c{tag}4'])
  expect(new Set(events.slice(0, 3).map(({ version }) => version)).size).toBe(1)
  for (let index = 0; index < 3; index++) {
    const rest = db.watch('c', { since: events[index]!.cursor })
    expect((await take(rest, 3 - index)).map(({ key }) => key)).toEqual(events.slice(index + 1).map(({ key }) => key))
    await rest.return()
  }
  await watch.return()
})

test('a thousand changes of all partitions arrive once each, while a leader dies', async () => {
  const watch = await db.watch('d').ready()
  const received = take(watch, 1000)
  for (let index = 0; index < 1000; index += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, offset) => db.put(`d${index + offset}`, String(index))))
    if (index === 500) await nodes.pop()!.kill()
  }
  const keys = (await received).map(({ key }) => key)
  expect(new Set(keys).size).toBe(1000)
  // Nothing comes after them.
  const more = watch.next()
  await db.put('d last', 'x')
  expect(brief((await more).value!)).toBe('d last=x')
  await watch.return()
})

test('what ends a watch is an error with a code; a cursor of something else is refused', async () => {
  const controller = new AbortController()
  const watch = await db.watch('e', { signal: controller.signal }).ready()
  const next = expect(watch.next()).rejects.toMatchObject({ code: 'STORE_ABORTED' })
  controller.abort()
  await next
  expect(await watch.next()).toEqual({ done: true, value: undefined })
  await expect(db.watch('f', { since: watch.cursor }).next()).rejects.toMatchObject({ code: 'STORE_INVALID_OPTIONS' })
  const foreign = db.watch('e', { since: 'nonsense' })
  await expect(foreign.next()).rejects.toMatchObject({ code: 'STORE_INVALID_OPTIONS' })
  expect(foreign.ended.aborted).toBe(true)
  expect(() => db.watch('e', { waitMs: 0 })).toThrow(expect.objectContaining({ code: 'STORE_INVALID_OPTIONS' }) as Error)
})

test('a watch whose changes are not remembered any more ends with WATCH_TOO_OLD', async () => {
  const watch = await db.watch('{old}').ready()
  const { cursor } = watch
  await watch.return()
  for (let round = 0; round < 8; round++) await db.put('{old}', String(round).repeat(512 * 1024))
  await expect(db.watch('{old}', { since: cursor }).next()).rejects.toMatchObject({ code: 'WATCH_TOO_OLD', definite: true })
})

test('closing the client ends its watches', async () => {
  const other = await connect(nodes.map(node => node.address))
  const watch = await other.watch('g').ready()
  const next = expect(watch.next()).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  const beginning = expect(other.watch('h').ready()).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  await other.close()
  await Promise.all([next, beginning])
})
