/**
 * Clusters that lose their power, or a majority of some groups, and come back in part at first: what has a majority serves, what has none
 * says whom it waits for, nothing acknowledged is lost, and all is as before when everybody is back.
 */
import { describe, expect, test } from 'vitest'
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { Client } from '../../store/client/client.ts'
import type { StoreError } from '../../store/errors.ts'
import { addressOf, StoreCluster } from './store-cluster.ts'

/** So many that each store's share of the seats is a whole number: otherwise a store that returns may get one seat fewer than it had. */
const SIZE = 6
const PARTITIONS = 16
const KEYS = 60
const keys = Array.from({ length: KEYS }, (_, index) => `key ${index}`)

interface Running { readonly cluster: StoreCluster, readonly client: Client, readonly random: SeededRandom }

async function formed (seed: number): Promise<Running> {
  const replication = { rereplicateAfterMs: 60_000 }
  const cluster = new StoreCluster({ seed, size: SIZE, partitions: PARTITIONS, replication, disk: { rotationProbability: 0.05 } })
  await cluster.form()
  const client = cluster.client(20_000)
  await cluster.simulation.settle(client.open())
  const running = { cluster, client, random: cluster.simulation.random.fork('test') }
  await write(running, 'first')
  return running
}

const write = async ({ cluster, client }: Running, value: string): Promise<void> => {
  await cluster.simulation.settle(Promise.all(keys.map(key => client.put(key, `${value} of ${key}`))))
}

async function expectAll ({ cluster, client }: Running, value: string): Promise<void> {
  expect(await cluster.simulation.settle(client.getMany(keys))).toEqual(keys.map(key => `${value} of ${key}`))
}

const indexes = ({ random }: Running): number[] => random.shuffle(Array.from({ length: SIZE }, (_, index) => index))

async function started ({ cluster }: Running, nodes: readonly number[]): Promise<void> {
  for (const index of nodes) cluster.start(index)
  await cluster.simulation.settle(Promise.all(nodes.map(index => cluster.starts.get(index)!)))
}

describe('a cluster that lost its power', () => {
  for (let seed = 1; seed <= 4; seed++) {
    test(`serves everything while one node is missing, and copies nothing when it is back: seed ${seed}`, async () => {
      const running = await formed(seed)
      const { cluster } = running
      // Right after the last answer: what is acknowledged is on the disks, and much besides is not.
      for (let index = 0; index < SIZE; index++) cluster.crash(index, true)
      const [absent, ...present] = indexes(running)
      await started(running, present)
      await expectAll(running, 'first')
      await write(running, 'second')
      await started(running, [absent!])
      await cluster.rest()
      await expectAll(running, 'second')
      await cluster.compareData()
      const pages = [...cluster.nodes.values()].flatMap(node => node.status().rebalances)
      expect(pages.reduce((sum, { snapshots, duplicates }) => sum + snapshots + duplicates, 0)).toBe(0)
    })
  }
})

describe('groups that lost their majority', () => {
  for (let seed = 1; seed <= 4; seed++) {
    test(`name the stores that they wait for, and go on when these are back: seed ${seed}`, async () => {
      const running = await formed(seed)
      const { cluster, client } = running
      await cluster.rest()
      const [first, second] = indexes(running)
      const lost = [first!, second!].map(index => cluster.nodes.get(index)!.storeId)
      const replicas = [...cluster.nodes.values()].flatMap(node => [...node.replicas.values()])
      const groups = replicas.flatMap(({ group }) => group === undefined ? [] : [group])
      expect(groups.some(({ members }) => lost.every(store => members.includes(store))), 'a group with both').toBe(true)
      for (const index of [first!, second!]) cluster.crash(index, true)
      const answers = await cluster.simulation.settle(Promise.allSettled(keys.map(key => client.get(key))))
      const waiting: string[] = []
      answers.forEach((answer, index) => {
        if (answer.status === 'fulfilled') { expect(answer.value).toBe(`first of ${keys[index]!}`); return }
        const error = answer.reason as StoreError
        expect(error).toMatchObject({ code: 'PARTITION_UNAVAILABLE', definite: true })
        expect([...error.waitingFor].sort()).toEqual([...lost].sort())
        waiting.push(keys[index]!)
      })
      expect(waiting.length).toBeGreaterThan(0)
      expect(waiting.length).toBeLessThan(KEYS)
      // One of the two is enough; the other one is brought up to date later.
      await started(running, [first!])
      await expectAll(running, 'first')
      await write(running, 'second')
      await started(running, [second!])
      await cluster.rest()
      await expectAll(running, 'second')
      await cluster.compareData()
      expect(cluster.simulation.host(addressOf(second!)).running).toBe(true)
    })
  }
})
