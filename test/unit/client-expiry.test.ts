/** Values that expire, through a client and the command line over real nodes: gone after their time, once, and told to watches. */
import { MemoryLevel } from 'memory-level'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../../membership/environment/environment.ts'
import { silentLog } from '../../membership/environment/system.ts'
import { run } from '../../store/cli/run.ts'
import { type Client, connect, type KillableNode, startNode } from '../../store/index.ts'

const TTL_MS = 300
/** Long enough to write once more before it is over, on any machine. */
const LONG_TTL_MS = 3000
const nodes: KillableNode[] = []
let db: Client

beforeAll(async () => {
  const storage = (): Database => new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
  const parts = { storage, log: silentLog }
  const founder = await startNode({ directory: 'a', found: true, expect: 3, partitions: 8 }, parts)
  nodes.push(founder, ...await Promise.all(['b', 'c'].map(directory => startNode({ directory, seeds: [founder.address] }, parts))))
  db = await connect([founder.address], { deadlineMs: 30_000 })
})

afterAll(async () => {
  await db.close()
  await Promise.all(nodes.map(node => node.close()))
})

test('a value is gone after its time for every kind of read, and a watch is told why', async () => {
  const watch = await db.watch('a').ready()
  const begun = performance.now()
  await db.batch([{ type: 'put', key: 'a{1}', value: 'for a time', ttlMs: TTL_MS }, { type: 'put', key: 'a{1}b', value: 'for ever' }])
  await db.sublevel('sub').put('x', 'for a time', { ttlMs: TTL_MS } as object)
  const events = []
  for await (const { type, key, reason } of watch) {
    events.push({ type, key, reason })
    if (events.length === 3) break
  }
  expect(performance.now() - begun).toBeGreaterThanOrEqual(TTL_MS)
  expect(events).toEqual([
    { type: 'put', key: 'a{1}', reason: undefined }, { type: 'put', key: 'a{1}b', reason: undefined }, { type: 'del', key: 'a{1}', reason: 'expired' }
  ])
  expect(await db.get('a{1}')).toBeUndefined()
  expect(await db.get('a{1}', { consistency: 'session' })).toBeUndefined()
  expect(await db.keys({ gte: 'a', lt: 'b' }).all()).toEqual(['a{1}b'])
  await db.put('a{1}', 'again', { ifAbsent: true })
  while (await db.sublevel('sub').get('x') !== undefined) await delay(20)
})

test('a write without a time to live takes it away, and a condition goes with it', async () => {
  const version = await db.putEntry('b', '1', { ttlMs: LONG_TTL_MS })
  await db.put('b', '2', { ifVersion: version })
  await db.put('b other', '1', { ttlMs: LONG_TTL_MS })
  while (await db.get('b other') !== undefined) await delay(20)
  await delay(3 * TTL_MS)
  expect(await db.get('b')).toBe('2')
})

test('what is no time to live is refused', async () => {
  const refused = { code: 'STORE_INVALID_OPTIONS', definite: true }
  for (const ttlMs of [0, -1, 1.5, NaN, Infinity, '5', 10 ** 15]) await expect(db.put('c', '1', { ttlMs: ttlMs as number })).rejects.toMatchObject(refused)
  await expect(db.put('c', '1', { ttl: 1000 } as object)).rejects.toMatchObject(refused)
  await expect(db.del('c', { ttlMs: 1000 } as object)).rejects.toMatchObject(refused)
  await expect(db.batch([{ type: 'del', key: 'c', ttlMs: 1000 }])).rejects.toMatchObject(refused)
  expect(await db.get('c')).toBeUndefined()
})

test('coterie put --ttl', async () => {
  const errors: string[] = []
  const terminal = {
    out: () => {}, write: () => {}, error: (line: string) => { errors.push(line) },
    input: () => Promise.resolve(new Uint8Array()), interruption: () => new AbortController().signal
  }
  const put = (ttl: string): Promise<number> => run(['put', 'd', 'x', '--ttl', ttl, '--node', nodes[0]!.address], terminal)
  const watch = await db.watch('d').ready()
  expect(await put('1s')).toBe(0)
  expect(await watch.next()).toMatchObject({ value: { type: 'put', key: 'd', value: 'x' } })
  expect(await watch.next()).toMatchObject({ value: { type: 'del', key: 'd', reason: 'expired' } })
  for (const ttl of ['1', '1 s', 's', '-1s', '1.5s']) expect(await put(ttl)).toBe(2)
  expect(await put('0s')).toBe(2)
  expect(errors.at(-1)).toContain('STORE_INVALID_OPTIONS: ttlMs must be an integer from 1 to')
})
