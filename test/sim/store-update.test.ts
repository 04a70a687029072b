/**
 * Metadata of a running node, changed (rule M13): one view change, and one rebalance that every node derives alike and that moves no more
 * than the difference.
 *
 * Mutations that these tests caught: `update` replaces the tag that says where the stand-in is; the node does not start its stand-in; a
 * drain that is taken back forgets a weight that was set meanwhile; a drained store takes the weight at once.
 */
import { expect, test } from 'vitest'
import type { Metadata } from '../../membership/configuration.ts'
import { type DetectorFactory, silentLog } from '../../membership/index.ts'
import { StoreNode } from '../../store/node.ts'
import { StoreCluster } from './store-cluster.ts'

const PARTITIONS = 32
const KEYS = 60

async function formed (): Promise<StoreCluster> {
  const cluster = new StoreCluster({ seed: 1, size: 5, partitions: PARTITIONS })
  await cluster.form()
  const client = cluster.client()
  const { simulation } = cluster
  await simulation.settle(client.open())
  await simulation.settle(Promise.all(Array.from({ length: KEYS }, (_, key) => client.put(`key ${key}`, 'x'.repeat(50)))))
  await cluster.rest()
  return cluster
}

interface Rebalance {
  readonly epoch: number
  readonly lowerBound: number
  readonly planned: number
  readonly snapshots: number
  readonly duplicates: number
}

/** The rebalances since an epoch: which ones is the same at every node, what was planned and copied is the sum of them. */
function rebalancesSince (cluster: StoreCluster, epoch: number): Rebalance[] {
  const statuses = [...cluster.nodes.values()].map(node => node.status())
  expect(new Set(statuses.map(({ placementDigest }) => placementDigest)).size).toBe(1)
  const [first, ...others] = statuses.map(({ rebalances }) => rebalances.filter(rebalance => rebalance.epoch > epoch))
  const plans = (rebalances: readonly Rebalance[]): unknown[] => rebalances.map(({ epoch: own, lowerBound }) => [own, lowerBound])
  for (const other of others) expect(plans(other)).toEqual(plans(first!))
  return first!.map(({ epoch: own, lowerBound, ...rebalance }, index) => {
    const sum = (name: 'planned' | 'snapshots' | 'duplicates'): number => others.reduce((total, other) => total + other[index]![name], rebalance[name])
    return { epoch: own, lowerBound, planned: sum('planned'), snapshots: sum('snapshots'), duplicates: sum('duplicates') }
  })
}

const seats = (node: StoreNode): number => node.status().partitions.seats

test('another weight is one view change and one rebalance, of the least that must move', async () => {
  const cluster = await formed()
  const { simulation } = cluster
  const node = cluster.nodes.get(1)!
  const { epoch } = node.status()
  expect(seats(node)).toBeLessThanOrEqual(Math.ceil(PARTITIONS * 3 / 5))
  await simulation.settle(node.update({ weight: 2 }))
  await cluster.rest()
  expect(cluster.nodes.get(0)!.status().epoch).toBe(epoch + 1)
  // Two of six shares of 96 seats.
  expect(seats(node)).toBe(PARTITIONS)
  const [rebalance, ...more] = rebalancesSince(cluster, epoch)
  expect(more).toEqual([])
  expect(rebalance!.planned).toBeGreaterThan(0)
  expect(rebalance).toMatchObject({ planned: rebalance!.lowerBound, snapshots: rebalance!.planned, duplicates: 0 })
  await cluster.compareData()
})

test('several nodes that change at a time: what they ask for together takes no more view changes than nodes, and all of it holds', async () => {
  const cluster = await formed()
  const { simulation } = cluster
  const { epoch } = cluster.nodes.get(0)!.status()
  await simulation.settle(Promise.all([
    cluster.nodes.get(1)!.update({ weight: 2 }), cluster.nodes.get(1)!.update({ zone: 'cellar' }), cluster.nodes.get(2)!.update({ zone: 'cellar', tags: { rack: '7' } })
  ]))
  await cluster.rest()
  expect(cluster.nodes.get(0)!.status().epoch - epoch).toBeLessThanOrEqual(2)
  for (const { membership } of cluster.nodes.values()) {
    const metadataOf = (index: number): Metadata => {
      const { storeId } = cluster.nodes.get(index)!
      return membership.configuration.members.find(member => member.storeId === storeId)!.metadata
    }
    expect(metadataOf(1)).toEqual({ zone: 'cellar', weight: 2, tags: {} })
    expect(metadataOf(2)).toEqual({ zone: 'cellar', weight: 1, tags: { rack: '7' } })
  }
  for (const { duplicates } of rebalancesSince(cluster, epoch)) expect(duplicates).toBe(0)
  await cluster.compareData()
})

test('a weight that is set while the store is drained is for afterwards, also in the middle of taking the drain back', async () => {
  const cluster = await formed()
  const { simulation } = cluster
  const node = cluster.nodes.get(1)!
  await simulation.settle(node.drain())
  await simulation.settle(node.update({ weight: 3 }))
  expect(node.membership.self.metadata.weight).toBe(0)
  const undone = node.undrain()
  await simulation.settle(node.update({ weight: 2 }))
  await simulation.settle(undone)
  await cluster.rest()
  expect(node.membership.self.metadata.weight).toBe(2)
  expect(seats(node)).toBe(PARTITIONS)
})

test('what is wrong is refused without any effect', async () => {
  const cluster = await formed()
  const { simulation } = cluster
  const node = cluster.nodes.get(1)!
  const { epoch } = node.status()
  for (const wrong of [{ weight: -1 }, { weight: 1.5 }, { zone: 7 }, { tags: { a: 1 } }, { rack: 'x' }, null]) {
    await simulation.settle(expect(node.update(wrong as unknown as Partial<Metadata>)).rejects.toMatchObject({ code: 'MEMBERSHIP_INVALID_OPTIONS' }))
  }
  await simulation.settle(node.update({}))
  await simulation.runFor(2000)
  expect(node.status().epoch).toBe(epoch)
})

test('where the stand-in is found outlives other tags', async () => {
  const cluster = new StoreCluster({ seed: 1, size: 1, partitions: PARTITIONS })
  const { simulation } = cluster
  const calls: string[] = []
  const standIn = {
    tags: { standIn: 'there' },
    detector: (factory: DetectorFactory) => factory,
    start: () => { calls.push('start'); return Promise.resolve() },
    close: () => { calls.push('close'); return Promise.resolve() }
  }
  const { environment } = simulation.host('10.9.0.1:7000')
  const options = { directory: 'data', listen: '10.9.0.1:7000', found: true, expect: 1, partitions: PARTITIONS, replicas: 1, tags: { rack: '1' }, standIn: true }
  expect(() => new StoreNode({ environment: { ...environment, log: silentLog } }, options)).toThrow(expect.objectContaining({ code: 'STORE_INVALID_OPTIONS' }))
  const node = new StoreNode({ environment, standIn: standIn as never }, options)
  await simulation.settle(node.start())
  expect(node.membership.self.metadata.tags).toEqual({ rack: '1', standIn: 'there' })
  await simulation.settle(node.update({ tags: { rack: '2' } }))
  expect(node.membership.self.metadata.tags).toEqual({ rack: '2', standIn: 'there' })
  await simulation.settle(node.close())
  expect(calls).toEqual(['start', 'close'])
})
