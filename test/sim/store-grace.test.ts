/**
 * What a crash costs a whole cluster, with the ring's placement: nothing but a delta when the store is back within the grace, its
 * copies anew when it is not.
 */
import { describe, expect, test } from 'vitest'
import type { RebalanceStatus } from '../../store/node-status.ts'
import { StoreCluster, type StoreClusterOptions } from './store-cluster.ts'

const GRACE_MS = 20_000
const PARTITIONS = 32
const KEYS = 60
const VALUE = 'x'.repeat(50)
/** What an entry of the log has beside its value, at most: its key and a fixed part. */
const ENTRY_BYTES_MAX = 120

async function formed (options: Partial<StoreClusterOptions>): Promise<{ cluster: StoreCluster, put: (prefix: string) => Promise<void> }> {
  const cluster = new StoreCluster({ seed: 1, size: 5, partitions: PARTITIONS, replication: { rereplicateAfterMs: GRACE_MS }, ...options })
  await cluster.form()
  const client = cluster.client()
  const { simulation } = cluster
  await simulation.settle(client.open())
  const put = async (prefix: string): Promise<void> => {
    await simulation.settle(Promise.all(Array.from({ length: KEYS }, (_, key) => client.put(`${prefix} ${key}`, VALUE))))
  }
  await put('before')
  await cluster.rest()
  return { cluster, put }
}

/** What became of the transfers of all epochs after the first placement, at all stores together. */
function totals (cluster: StoreCluster): Pick<RebalanceStatus, 'planned' | 'done' | 'snapshots' | 'bytes' | 'delta' | 'duplicates'> {
  const sums = { planned: 0, done: 0, snapshots: 0, bytes: 0, delta: 0, duplicates: 0 }
  for (const node of cluster.nodes.values()) {
    for (const page of node.status().rebalances) {
      for (const field of Object.keys(sums) as (keyof typeof sums)[]) sums[field] += page[field]
    }
  }
  return sums
}

const seats = (cluster: StoreCluster): string[] => {
  const { placement } = cluster.nodes.get(0)!.membership.state
  return Array.from({ length: PARTITIONS }, (_, index) => placement!.seats(index as Parameters<NonNullable<typeof placement>['seats']>[0]).toSorted().join(' '))
}

async function removed (cluster: StoreCluster, members: number): Promise<void> {
  const { simulation } = cluster
  await simulation.run({ untilMs: simulation.nowMs + 30_000, until: () => cluster.nodes.get(0)!.status().members === members, everyMs: 10 })
  expect(cluster.nodes.get(0)!.status().members).toBe(members)
}

describe('a crash', () => {
  for (const [name, size, zones] of [['every store a zone', 5, 1000], ['two stores in each of three zones', 6, 3]] as const) {
    test(`costs nothing but what was written meanwhile when the store is back within the grace: ${name}`, async () => {
      const { cluster, put } = await formed({ size, zones })
      const before = seats(cluster)
      cluster.crash(2)
      await removed(cluster, size - 1)
      await put('meanwhile')
      await cluster.simulation.runFor(GRACE_MS / 2)
      expect(seats(cluster)).not.toEqual(before)
      cluster.start(2)
      await cluster.rest()
      expect(seats(cluster)).toEqual(before)
      const sums = totals(cluster)
      expect(sums).toMatchObject({ snapshots: 0, bytes: 0, duplicates: 0 })
      expect(sums.delta).toBeGreaterThan(KEYS * VALUE.length / 2)
      // Once what was written meanwhile, and not what the store had before.
      expect(sums.delta).toBeLessThan(KEYS * (VALUE.length + ENTRY_BYTES_MAX))
      await cluster.compareData()
    })
  }

  test('is followed by copies when the store stays away, and the lead does not wait for them', async () => {
    const { cluster, put } = await formed({})
    cluster.crash(2)
    await removed(cluster, 4)
    await put('meanwhile')
    await cluster.simulation.runFor(GRACE_MS - 3000)
    expect(totals(cluster).snapshots).toBe(0)
    const waiting = [...cluster.nodes.values()].map(node => node.status().transfers).filter(({ pending }) => pending.grace > 0)
    expect(waiting.length).toBeGreaterThan(0)
    for (const { graceLeftMs } of waiting) expect(graceLeftMs).toBeLessThan(GRACE_MS)
    await cluster.rest()
    const sums = totals(cluster)
    expect(sums.snapshots).toBe(sums.planned)
    expect(sums.snapshots).toBeGreaterThan(0)
    expect(sums.done).toBe(sums.planned)
    await cluster.compareData()
  })

  test('of a second store does not begin the time anew', async () => {
    const { cluster } = await formed({ size: 8, replicas: 5, seed: 2 })
    cluster.crash(2)
    await removed(cluster, 7)
    await cluster.simulation.runFor(GRACE_MS / 2)
    cluster.crash(3)
    await removed(cluster, 6)
    await cluster.simulation.runFor(GRACE_MS / 2 + 1000)
    expect(totals(cluster).snapshots).toBeGreaterThan(0)
    await cluster.rest()
    await cluster.compareData()
  })
})
