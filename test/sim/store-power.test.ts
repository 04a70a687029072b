/**
 * Stores that acknowledge before they sync (durability 'os'), and lose their power: as long as fewer than a majority of a group loses it before
 * the others have brought it up to date, nothing acknowledged is lost, whatever else happens; where all do, the last writes may be lost,
 * and nothing else goes wrong.
 */
import { describe, expect, test } from 'vitest'
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { Client } from '../../store/client/client.ts'
import { StoreError } from '../../store/errors.ts'
import { seedsToRun } from './simulation.ts'
import { addressOf, StoreCluster } from './store-cluster.ts'
import { runStoreScenario } from './store-scenario.ts'

const SEEDS_PER_TEST = 5
const KEYS = 40
const keys = Array.from({ length: KEYS }, (_, index) => `key ${index}`)

function inGroups (count: number, run: (seeds: readonly number[]) => Promise<void>): void {
  const seeds = seedsToRun(count)
  for (let first = 0; first < seeds.length; first += SEEDS_PER_TEST) {
    const some = seeds.slice(first, first + SEEDS_PER_TEST)
    test(`seeds ${some[0]} to ${some.at(-1)}`, async () => { await run(some) })
  }
}

describe('while a minority loses its power, under all faults, the store keeps its promises', () => {
  inGroups(10, async seeds => {
    let losses = 0
    for (const seed of seeds) losses += (await runStoreScenario(seed, 12_000, 'os')).faults['loss of what was not synced'] ?? 0
    if (seeds.length > 1) expect(losses, 'power was lost').toBeGreaterThanOrEqual(seeds.length)
  })
})

interface Running { readonly cluster: StoreCluster, readonly client: Client, readonly random: SeededRandom }

async function formed (seed: number, size: number): Promise<Running> {
  const cluster = new StoreCluster({ seed, size, partitions: 4, durability: 'os', replication: { rereplicateAfterMs: seed % 2 * 60_000 } })
  await cluster.form()
  const client = cluster.client(20_000)
  await cluster.simulation.settle(client.open())
  return { cluster, client, random: cluster.simulation.random.fork('test') }
}

async function started ({ cluster }: Running, nodes: readonly number[]): Promise<void> {
  for (const index of nodes) cluster.start(index)
  await cluster.simulation.settle(Promise.all(nodes.map(index => cluster.starts.get(index)!)))
}

/** Three times the power fails everywhere, while clients write; the second time in the middle of a rebalance. Returns what that cost. */
async function loseAll (seed: number): Promise<number> {
  const size = 3 + seed % 3
  const { cluster, client, random } = await formed(seed, size)
  const { simulation } = cluster
  const written = new Map<string, Set<string>>()
  const put = async (key: string, value: string): Promise<void> => {
    written.set(key, (written.get(key) ?? new Set()).add(value))
    // What becomes of a write while the power fails is not known; the oracle knows what was committed.
    await client.put(key, value).catch((error: unknown) => { if (!(error instanceof StoreError)) throw error })
  }
  for (let round = 1; round <= 3; round++) {
    const writing = Array.from({ length: 20 }, async (_, worker) => {
      for (let turn = 0; turn < 5; turn++) await put(keys[(worker * 7 + turn * 3) % KEYS]!, `${round} ${worker} ${turn}`)
    })
    if (round === 2) cluster.start(size)
    await simulation.runFor(random.between(1, 60))
    for (const index of random.shuffle([...cluster.nodes.keys()])) {
      cluster.crash(index, true)
      if (random.chance(0.5)) await simulation.runFor(random.between(0, 20))
    }
    cluster.oracle.acceptLoss()
    const members = Array.from({ length: size + Number(round > 1) }, (_, index) => index)
    for (const index of random.shuffle(members)) {
      // The newcomer may have been in no cluster yet.
      cluster.start(index, { seeds: members.filter(other => other !== index).map(addressOf) })
      if (random.chance(0.5)) await simulation.runFor(random.between(0, 3000))
    }
    await simulation.settle(Promise.all(writing))
    await simulation.settle(Promise.all(members.map(index => cluster.starts.get(index)!)))
    await cluster.rest()
    expect(cluster.doubts).toBe(false)
  }
  await cluster.compareData()
  const found = await simulation.settle(client.getMany(keys))
  found.forEach((value, index) => { if (value !== undefined) expect(written.get(keys[index]!)).toContain(value) })
  await simulation.settle(Promise.all(keys.map(key => client.put(key, 'last'))))
  expect(await simulation.settle(client.getMany(keys))).toEqual(keys.map(() => 'last'))
  return cluster.oracle.lost
}

describe('a whole cluster that loses its power goes on in every group as soon as all its stores are back, with one history', () => {
  inGroups(20, async seeds => {
    let lost = 0
    for (const seed of seeds) lost += await loseAll(seed)
    if (seeds.length > 1) expect(lost, 'something was lost').toBeGreaterThan(0)
  })
})

describe('a majority of a group that loses its power', () => {
  test('waits for the others, names them, and loses nothing that they have', async () => {
    const running = await formed(1, 3)
    const { cluster, client } = running
    const { simulation } = cluster
    await simulation.settle(Promise.all(keys.map(key => client.put(key, 'first'))))
    const third = cluster.nodes.get(2)!.storeId
    cluster.crash(2, false, { losesUnsynced: false })
    for (const index of [0, 1]) cluster.crash(index, true)
    await started(running, [0, 1])
    const error = await simulation.settle(client.get('key 0').then(() => undefined, (error: unknown) => error as StoreError))
    expect(error).toMatchObject({ code: 'PARTITION_UNAVAILABLE', definite: true, waitingFor: [third] })
    await started(running, [2])
    expect(await simulation.settle(client.getMany(keys))).toEqual(keys.map(() => 'first'))
    await cluster.rest()
    await cluster.compareData()
  })

  test('that has ended in order before lacks nothing, and waits for nobody', async () => {
    const running = await formed(2, 3)
    const { cluster, client } = running
    const { simulation } = cluster
    await simulation.settle(client.put('key', 'value'))
    await simulation.runFor(1000)
    for (const index of [0, 1, 2]) await simulation.settle(cluster.nodes.get(index)!.close())
    for (const index of [0, 1, 2]) cluster.crash(index, true)
    await started(running, [0, 1])
    expect(cluster.doubts).toBe(false)
    expect(await simulation.settle(client.get('key'))).toBe('value')
  })
})
