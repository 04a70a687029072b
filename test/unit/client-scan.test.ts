/**
 * Iterators of a client over real nodes: what the merge of many partitions costs, and what the range tells about them.
 */
import { MemoryLevel } from 'memory-level'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Database, Transport } from '../../membership/environment/environment.ts'
import { createSystemClock, createSystemRandom, silentLog } from '../../membership/environment/system.ts'
import { createWebSocketTransport } from '../../membership/transport/websocket.ts'
import type { ClientRequest } from '../../store/client-protocol.ts'
import { Client } from '../../store/client/client.ts'
import { type KillableNode, startNode } from '../../store/index.ts'

const PARTITIONS = 64
const clock = createSystemClock()
const storage = (): Database => new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database

const nodes: KillableNode[] = []
let db: Client
/** What the client asked for, by turns of the event loop: what is sent in one turn shares a frame per node. */
let turns: ClientRequest[][] = []

function noting (): Transport {
  const real = createWebSocketTransport({ clock, log: silentLog })
  const send = real.send.bind(real)
  let turn: ClientRequest[] | undefined
  real.send = (to, channel, message) => {
    if (turn === undefined) {
      turns.push(turn = [])
      setImmediate(() => { turn = undefined })
    }
    turn.push(message as ClientRequest)
    send(to, channel, message)
  }
  return real
}

beforeAll(async () => {
  const parts = { storage, log: silentLog }
  const founder = await startNode({ directory: 'a', found: true, expect: 3, partitions: PARTITIONS }, parts)
  nodes.push(founder, ...await Promise.all(['b', 'c'].map(directory => startNode({ directory, seeds: [founder.address] }, parts))))
  db = new Client({ transport: noting, clock, random: createSystemRandom(), log: silentLog }, { seeds: [founder.address], deadlineMs: 30_000 })
  await db.open()
  // From now on the client knows who leads what.
  await db.keys().all()
})

afterAll(async () => {
  await db.close()
  await Promise.all(nodes.map(node => node.close()))
})

describe('what a scan asks for', () => {
  test('over everything, and nothing there: one page of each partition, all at once', async () => {
    turns = []
    expect(await db.keys().all()).toEqual([])
    expect(turns.map(({ length }) => length)).toEqual([PARTITIONS])
  })

  test('of a range that fixes the tag: one page of one partition', async () => {
    await db.batch([1, 2, 3].map(number => ({ type: 'put', key: `{tag}${number}`, value: 'x' })))
    for (const range of [{ gte: '{tag}', lt: '{tag~' }, { gt: '{tag}1', lte: '{tag}3' }, { gte: '{tag}', lte: '{tag}\uffff', reverse: true }]) {
      turns = []
      expect((await db.keys(range).all()).length).toBeGreaterThan(1)
      expect(turns).toHaveLength(1)
      expect(turns[0]).toHaveLength(1)
    }
    const sublevel = db.sublevel('sub')
    await sublevel.put('{tag}1', 'y')
    turns = []
    expect(await sublevel.keys({ gte: '{tag}', lt: '{tag~' }).all()).toEqual(['{tag}1'])
    expect(turns.flat()).toHaveLength(1)
    await db.clear()
  })

  test('for thousands of keys: few rounds of pages, each of many partitions', async () => {
    const keys = Array.from({ length: 5000 }, (_, index) => `key ${String(index).padStart(5, '0')}`)
    await db.batch(keys.map(key => ({ type: 'put', key, value: key })))
    turns = []
    expect(await db.keys().all()).toEqual(keys)
    // 78 keys in a partition come as pages of 16, 64 and 256.
    expect(turns.length).toBeLessThan(10)
    expect(turns.flat().length).toBeLessThanOrEqual(3 * PARTITIONS)
    turns = []
    expect(await db.values({ reverse: true, limit: 100 }).all()).toEqual(keys.slice(-100).reverse())
    expect(turns.flat().length).toBeLessThan(2 * PARTITIONS)
    turns = []
    await db.clear({ gte: 'key 01000' })
    expect(await db.keys().all()).toEqual(keys.slice(0, 1000))
    await db.clear()
  })
})

test('a scan goes on while a leader dies, and misses nothing that was there all the time', async () => {
  const keys = Array.from({ length: 3000 }, (_, index) => `key ${String(index).padStart(5, '0')}`)
  await db.batch(keys.map(key => ({ type: 'put', key, value: 'x'.repeat(100) })))
  const iterator = db.keys()
  const found = await iterator.nextv(100)
  await nodes.pop()!.kill()
  for (;;) {
    const more = await iterator.nextv(500)
    if (more.length === 0) break
    found.push(...more)
  }
  await iterator.close()
  expect(found).toEqual(keys)
})

test('closing the client ends an iterator that waits for nodes which do not answer', async () => {
  const iterator = db.keys({ gte: 'key' })
  await Promise.all(nodes.splice(0).map(node => node.kill()))
  const next = iterator.next()
  const closed = expect(next).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  await db.close()
  await closed
})
