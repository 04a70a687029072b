/**
 * Draining and leaving, with the ring's placement: nothing is left behind, nobody is interrupted for long, and what cannot be done is said.
 *
 * Mutations that these tests caught: a drain that ends when the placement gives the store no seat any more; one that ends when it leads
 * nothing and is in no group, and copies are left; one that does not say that the others are too few; one that does not notice that it
 * was taken back; half a snapshot that nobody goes on with, and that stays.
 */
import { expect, test } from 'vitest'
import { addressOf, StoreCluster, type StoreClusterOptions } from './store-cluster.ts'

const PARTITIONS = 16
const KEYS = 60

async function formed (options: Partial<StoreClusterOptions> = {}): Promise<StoreCluster> {
  const cluster = new StoreCluster({ seed: 1, size: 5, partitions: PARTITIONS, ...options })
  await cluster.form()
  const client = cluster.client()
  const { simulation } = cluster
  await simulation.settle(client.open())
  await simulation.settle(Promise.all(Array.from({ length: KEYS }, (_, key) => client.put(`key ${key}`, 'x'.repeat(50)))))
  await cluster.rest()
  return cluster
}

/** Whether anybody still counts on a store: a copy there, a group that it is in, or a lead. */
function usesOf (cluster: StoreCluster, index: number): string[] {
  const { storeId } = cluster.nodes.get(index)!
  const uses: string[] = []
  for (const node of cluster.nodes.values()) {
    for (const [partition, { group, copy, leader }] of node.replicas) {
      if (node.storeId === storeId && (copy !== undefined || leader !== undefined)) uses.push(`copy of ${partition}`)
      if (leader?.serving === true && group!.members.includes(storeId)) uses.push(`member of ${partition}`)
      if (leader?.serving === true && !leader.handover.allLevel()) uses.push(`${partition} is not level`)
    }
  }
  return uses
}

test('a drain ends when nothing is left there, and leaving costs nothing then', async () => {
  const cluster = await formed()
  const { simulation } = cluster
  const node = cluster.nodes.get(1)!
  expect(node.status().drain).toMatchObject({ state: 'none' })
  await simulation.settle(node.drain())
  expect(usesOf(cluster, 1)).toEqual([])
  expect(node.status()).toMatchObject({ drain: { state: 'drained', leading: 0, members: 0, copies: 0 }, partitions: { seats: 0 } })
  await simulation.settle(node.leave())
  cluster.nodes.delete(1)
  await cluster.rest(5000)
  for (const { status } of [...cluster.nodes.values()].map(other => ({ status: other.status() }))) {
    expect(status.rebalances.at(-1)).toMatchObject({ planned: 0, snapshots: 0, duplicates: 0 })
  }
  await cluster.compareData()
})

test('a drain can be taken back, and a restart takes it back', async () => {
  const cluster = await formed()
  const { simulation } = cluster
  const node = cluster.nodes.get(1)!
  await simulation.settle(node.drain())
  await simulation.settle(node.undrain())
  await cluster.rest()
  expect(node.status()).toMatchObject({ drain: { state: 'none' } })
  expect(node.status().partitions.seats).toBeGreaterThan(0)

  // While one of the others does not move, nothing can be moved to it, and the drain does not end.
  simulation.host(addressOf(2)).pause()
  const aborted = expect(node.drain()).rejects.toMatchObject({ code: 'STORE_ABORTED', definite: false })
  const begun = (): boolean => node.status().drain!.state === 'draining'
  expect(await simulation.run({ untilMs: simulation.nowMs + 5000, until: begun })).toBe('condition')
  await simulation.settle(node.undrain())
  simulation.host(addressOf(2)).resume()
  await simulation.settle(aborted)

  await simulation.settle(node.drain())
  cluster.crash(1)
  await simulation.runFor(5000)
  const restarted = cluster.start(1)
  await cluster.rest()
  expect(restarted.status().drain).toMatchObject({ state: 'none' })
  expect(restarted.status().partitions.seats).toBeGreaterThan(0)
  await cluster.compareData()
})

test('where the others are too few a drain says so and changes nothing; leaving moves the lead alone', async () => {
  const cluster = await formed({ size: 3 })
  const { simulation } = cluster
  const node = cluster.nodes.get(1)!
  const { epoch } = node.status()
  await simulation.settle(expect(node.drain()).rejects.toMatchObject({ code: 'STORE_TOO_FEW_STORES', definite: true }))
  expect(node.status().epoch).toBe(epoch)
  await simulation.settle(node.leave())
  cluster.nodes.delete(1)
  const client = cluster.client(1000)
  await simulation.settle(client.open())
  await simulation.settle(Promise.all(Array.from({ length: KEYS }, (_, key) => client.put(`key ${key}`, 'later'))))
  // Without this one, nothing would have a majority.
  const other = cluster.nodes.get(2)!
  await simulation.settle(expect(other.leave()).rejects.toMatchObject({ code: 'STORE_TOO_FEW_STORES' }))
  expect(other.status().membership).toBe('member')
})

test('a drain that comes to stand still, because another store crashed, says so', async () => {
  const cluster = await formed({ size: 4, replication: { rereplicateAfterMs: 0, pauseMsMax: 1, patienceMs: 100_000 } })
  const { simulation } = cluster
  const failed = expect(cluster.nodes.get(1)!.drain()).rejects.toMatchObject({ code: 'STORE_TOO_FEW_STORES', definite: false })
  cluster.crash(2)
  await simulation.settle(failed)
  cluster.start(2)
  await simulation.runFor(5000)
  await simulation.settle(cluster.nodes.get(1)!.drain())
  expect(usesOf(cluster, 1)).toEqual([])
})

test('a drain survives that leaders crash meanwhile', async () => {
  const cluster = await formed({ size: 6, seed: 3 })
  const { simulation } = cluster
  const drained = cluster.nodes.get(1)!.drain()
  await simulation.runFor(100)
  cluster.crash(2)
  await simulation.runFor(5000)
  cluster.start(2)
  await simulation.settle(drained)
  expect(usesOf(cluster, 1)).toEqual([])
  await cluster.rest()
  await cluster.compareData()
})

test('a store that is drained while it is being taught keeps no half of anything', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const cluster = new StoreCluster({ seed, size: 4, partitions: 64, replication: { chunkBytes: 4096, transfersMax: 2 } })
    await cluster.form()
    const client = cluster.client()
    const { simulation } = cluster
    await simulation.settle(client.open())
    for (let round = 0; round < 6; round++) {
      await simulation.settle(Promise.all(Array.from({ length: 60 }, (_, key) => client.put(`key ${round} ${key}`, 'x'.repeat(2000)))))
    }
    await cluster.rest()
    simulation.network.faults.setEverywhere({ latencyMs: 1, jitterMs: 40 })
    const joining = cluster.start(5)
    const isTaught = (): boolean => [...joining.replicas.values()].some(({ learner }) => learner.active)
    expect(await simulation.run({ untilMs: simulation.nowMs + 20_000, until: isTaught })).toBe('condition')
    await simulation.runFor(20 * seed)
    await simulation.settle(joining.drain(), 120_000)
    expect(isTaught()).toBe(false)
    expect(joining.status()).toMatchObject({ drain: { state: 'drained', copies: 0 } })
  }
})
