/**
 * Stores that are agents (rule M13): three voters decide who is in the cluster, and the ring places data at everybody.
 *
 * A mutation that was tried and is caught here: a node that does not tell the membership its role.
 */
import { expect, test } from 'vitest'
import { isVoter } from '../../membership/configuration.ts'
import { resolveNodeOptions } from '../../store/options.ts'
import { StoreCluster } from './store-cluster.ts'

const KEYS = 60

test('three voters and four agents form, serve, and give the seats of an agent that crashed to others, agents among them', async () => {
  const cluster = new StoreCluster({ seed: 1, size: 7, partitions: 16, replication: { rereplicateAfterMs: 1000 } })
  const { simulation } = cluster
  cluster.start(0, { found: true, expect: 7, partitions: 16, replicas: 3, seeds: [] })
  for (let index = 1; index < 7; index++) cluster.start(index, { seeds: ['10.1.0.1:7000'], role: index < 3 ? 'voter' : 'agent' })
  await simulation.settle(Promise.all(cluster.starts.values()))
  const { configuration } = cluster.nodes.get(6)!.membership
  expect(configuration.epoch).toBe(2)
  expect(configuration.members.filter(isVoter)).toHaveLength(3)
  const client = cluster.client()
  await simulation.settle(client.open())
  await simulation.settle(Promise.all(Array.from({ length: KEYS }, (_, key) => client.put(`key ${key}`, `value ${key}`))))
  await cluster.rest()
  const seats = (index: number): number => cluster.nodes.get(index)!.status().partitions.seats
  for (let index = 0; index < 7; index++) expect(seats(index)).toBeGreaterThan(0)
  const before = [3, 4, 5].reduce((sum, index) => sum + seats(index), 0)
  cluster.crash(6)
  await cluster.rest()
  expect(cluster.nodes.get(5)!.membership.configuration.members).toHaveLength(6)
  expect([3, 4, 5].reduce((sum, index) => sum + seats(index), 0)).toBeGreaterThan(before)
  expect([0, 1, 2, 3, 4, 5].reduce((sum, index) => sum + seats(index), 0)).toBe(16 * 3)
  const values = await simulation.settle(client.getMany(Array.from({ length: KEYS }, (_, key) => `key ${key}`)))
  expect(values).toEqual(Array.from({ length: KEYS }, (_, key) => `value ${key}`))
  await cluster.compareData()
})

test('a role that there is not, and a founder without a vote, are refused', () => {
  expect(() => resolveNodeOptions({ directory: 'data', role: 'observer' as 'agent' })).toThrow(/role must be/)
  expect(() => resolveNodeOptions({ directory: 'data', found: true, role: 'agent' })).toThrow(/agent founds no cluster/)
})
