/**
 * Restarts of real processes: one after another under traffic, all at once by a loss of power, with one missing at first, and a majority of
 * some groups. Where nothing may be copied there are four nodes, so that each store's share of the seats is a whole number: otherwise a
 * store that returns may get one seat fewer than it had.
 */
import { type AddressInfo, createServer } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type Client, connect } from '../../store/client/client.ts'
import { StoreError } from '../../store/errors.ts'
import type { NodeStatus } from '../../store/node-status.ts'
import { checkHistory } from '../../store/verify/checker.ts'
import { ProcessCluster } from '../../store/verify/process-cluster.ts'
import { eventually, PATIENCE_MS } from '../../store/verify/eventually.ts'
import { load, missing, Traffic } from './traffic.ts'

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function formed (nodes: number, args: readonly string[] = []): Promise<ProcessCluster> {
  const cluster = await ProcessCluster.form({ nodes, args })
  cleanups.push(() => cluster.close())
  return cluster
}

async function connected (seeds: readonly string[]): Promise<Client> {
  const client = await connect(seeds)
  cleanups.push(() => client.close())
  return client
}

/** Traffic that ends with the test, however that ends. */
function busy (clients: readonly Client[], seed: number): Traffic {
  const traffic = new Traffic(clients, seed)
  cleanups.push(async () => { await traffic.stop() })
  return traffic
}

/** An address on which nobody listens, and none of some others. */
async function freeAddress (others: readonly string[]): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => { server.close(resolve) })
  const address = `127.0.0.1:${port}`
  return others.includes(address) ? await freeAddress(others) : address
}

/** What all ledgers have counted together. */
function moved (statuses: readonly NodeStatus[]): { planned: number, snapshots: number, bytes: number, duplicates: number } {
  const sum = { planned: 0, snapshots: 0, bytes: 0, duplicates: 0 }
  for (const page of statuses.flatMap(({ rebalances }) => rebalances)) {
    sum.planned += page.planned
    sum.snapshots += page.snapshots
    sum.bytes += page.bytes
    sum.duplicates += page.duplicates
  }
  return sum
}

test('all nodes restart one after another under traffic: no operation fails, and nothing is copied', async () => {
  const cluster = await formed(4, ['--rereplicate-after-ms', '60000'])
  const client = await connected(cluster.addresses)
  await load(client)
  const traffic = busy([client], 1)
  await traffic.progress(100)
  for (let index = 0; index < cluster.size; index++) {
    cluster.node(index).signal('SIGTERM')
    expect(await cluster.node(index).exit()).toMatchObject({ code: 0 })
    cluster.restart(index)
    await cluster.settled(client)
    await traffic.progress(50)
  }
  const result = await traffic.stop()
  expect([result.failedDefinite, result.failedIndefinite]).toEqual([0, 0])
  expect(checkHistory(result.history)).toEqual({ ok: true })
  // A node that was removed before it was back had its seats given away and returned. Within the grace that moves nothing but what it missed.
  const { snapshots, duplicates } = moved(await cluster.settled(client))
  expect({ snapshots, duplicates }).toEqual({ snapshots: 0, duplicates: 0 })
  expect(await missing(client)).toEqual([])
})

test('all processes are killed at once and start again in another order, at other ports: nothing moves, nothing is lost', async () => {
  const cluster = await formed(4)
  const client = await connected(cluster.addresses)
  await load(client)
  const traffic = busy([client], 2)
  await traffic.progress(200)
  await Promise.all(Array.from({ length: cluster.size }, (_, index) => cluster.node(index).kill()))
  const seed = cluster.address(2)
  // One address stays, and is on all disks; the others are new, and nobody is told of them.
  for (const index of [3, 1, 2, 0]) cluster.move(index, index === 2 ? seed : '127.0.0.1:0', [])
  for (let index = 0; index < cluster.size; index++) await cluster.joined(index)
  const again = await connected(cluster.addresses)
  const statuses = await cluster.settled(again)
  const result = await traffic.stop()
  expect(checkHistory(result.history)).toEqual({ ok: true })
  expect(moved(statuses)).toEqual({ planned: 0, snapshots: 0, bytes: 0, duplicates: 0 })
  expect(await missing(again)).toEqual([])
  await again.put('loaded-0', 'value 0')
})

test('all processes are killed at once and start again, all at other ports and told of one of them: nothing moves, nothing is lost', async () => {
  const cluster = await formed(4)
  const client = await connected(cluster.addresses)
  await load(client)
  await cluster.settled(client)
  const former = [...cluster.addresses]
  await Promise.all(former.map((_, index) => cluster.node(index).kill()))
  // Nobody tells it of anybody: all others come to it.
  const seed = await freeAddress(former)
  cluster.move(2, seed, [])
  for (const index of [3, 0, 1]) cluster.move(index, await freeAddress(former), ['--seed', seed])
  for (const index of former.keys()) await cluster.joined(index)
  expect(cluster.addresses.filter(address => former.includes(address))).toEqual([])
  const again = await connected([seed])
  const statuses = await cluster.settled(again)
  expect(moved(statuses)).toEqual({ planned: 0, snapshots: 0, bytes: 0, duplicates: 0 })
  expect(await missing(again)).toEqual([])
  await again.put('loaded-0', 'value 0')
})

test('all processes are killed at once and one stays away: the others serve everything, and it is brought up to date when it is back', async () => {
  const cluster = await formed(4, ['--rereplicate-after-ms', '60000'])
  const client = await connected(cluster.addresses)
  await load(client)
  await cluster.settled(client)
  const [absent, ...present] = [3, 0, 2, 1]
  await Promise.all(cluster.addresses.map((_, index) => cluster.node(index).kill()))
  for (const index of present) cluster.restart(index)
  for (const index of present) await cluster.node(index).event('ready')
  // The others go on with the absent one among them, and notice then that it is not there: what it led waits for that.
  await eventually(PATIENCE_MS, async () => {
    const statuses = await cluster.statuses(client, present)
    const led = statuses.reduce((sum, { partitions: { leading } }) => sum + leading, 0)
    return led === statuses[0]!.partitions.total ? undefined : `${led} partitions are led; members: ${statuses.map(({ members }) => members).join()}`
  })
  expect(await missing(client)).toEqual([])
  const traffic = busy([client], 3)
  await traffic.progress(200)
  cluster.restart(absent!)
  const statuses = await cluster.settled(client)
  await traffic.progress(100)
  const result = await traffic.stop()
  expect(checkHistory(result.history)).toEqual({ ok: true })
  expect(moved(statuses)).toMatchObject({ snapshots: 0, duplicates: 0 })
  expect(await missing(client)).toEqual([])
})

test('partitions that lose a majority name the stores they wait for, and go on when these are back', async () => {
  const cluster = await formed(5)
  const client = await connected(cluster.addresses.slice(0, 3))
  await load(client)
  const stores = (await cluster.settled(client)).map(({ storeId }) => storeId)
  await Promise.all([cluster.node(3).kill(), cluster.node(4).kill()])
  let waitingFor: readonly string[] = []
  await eventually(PATIENCE_MS, async () => {
    const reads = Array.from({ length: 40 }, (_, index) => client.get(`loaded-${index}`, { deadlineMs: 1500 }))
    const errors = (await Promise.allSettled(reads)).flatMap(read => read.status === 'rejected' ? [read.reason as Error] : [])
    const unavailable = errors.find(error => error instanceof StoreError && error.code === 'PARTITION_UNAVAILABLE') as StoreError | undefined
    waitingFor = unavailable?.waitingFor ?? []
    return waitingFor.length > 0 ? undefined : `no read found its partition unavailable: ${errors.map(String).slice(0, 3).join('; ')}`
  })
  expect([...waitingFor].sort()).toEqual([stores[3]!, stores[4]!].sort())
  cluster.restart(3)
  cluster.restart(4)
  await cluster.settled(client)
  expect(await missing(client)).toEqual([])
})
