/**
 * The whole cluster at once: the power fails everywhere while clients write, and what was not synced is lost. All nodes return, in any order, over
 * several seconds, at their addresses of before, at other ones but for one, or at other ones altogether. Nothing is moved, nothing that was
 * acknowledged is lost (with durability 'os': nothing that was synced), and after a bounded time all is as before.
 *
 * Mutations that were tried and are caught here: a node that returns does not use the seeds it is given; it does not use the addresses of its
 * last configuration; it does not get in touch with those that others name; those that are back do not wait for the others; batches
 * that have to be synced are not; histories of stores that lost their power after acknowledging what was not synced count like any.
 */
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../membership/environment/environment.ts'
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { Client } from '../../store/client/client.ts'
import { StoreError } from '../../store/errors.ts'
import type { LedgerField } from '../../store/group/effects.ts'
import type { NodeOptions } from '../../store/options.ts'
import { seedsToRun } from './simulation.ts'
import { StoreCluster } from './store-cluster.ts'

const SEEDS_PER_TEST = 2
const PARTITIONS = 16
const WORKERS = 8
/** Between an answer and the next write of a worker. */
const THINK_MS = 50
/** All are back within this, and it is less than `restartDeadlineMs`: nobody goes on without the others. */
const RETURN_MS_MAX = 9000
/** From the return of the last one until everything is as before. */
const REST_MS_MAX = 10_000

const keyOf = (worker: number): string => `key ${worker}`
const elsewhere = (index: number): string => `10.2.0.${index + 1}:8000`

/** One worker's writes of its own key: 0, 1, 2 and so on, each after the answer to the one before. */
class Writer {
  readonly key: string
  readonly done: Promise<void>
  /** The highest number that was sent, and the highest that was acknowledged. */
  sent = -1
  acknowledged = -1
  #over = false

  constructor (client: Client, key: string, clock: Clock) {
    this.key = key
    this.done = this.#run(client, clock)
  }

  stop (): Promise<void> {
    this.#over = true
    return this.done
  }

  async #run (client: Client, clock: Clock): Promise<void> {
    while (!this.#over) {
      const number = ++this.sent
      try {
        await client.put(this.key, String(number))
        this.acknowledged = number
      } catch (error) {
        // What becomes of a write that found no answer is not known: it may be there or not.
        if (!(error instanceof StoreError)) throw error
      }
      await new Promise<void>(resolve => { clock.setTimer(THINK_MS, resolve) })
    }
  }
}

/** How the nodes come back: where, and told of whom. Nothing but the directory says more. */
interface Return {
  readonly addresses: 'the same' | 'new but for one' | 'all new'
  /** The seeds of a node that returns, by their indexes, among all in the order of their return. */
  readonly seedsOf: (index: number, order: readonly number[]) => number[]
}

const returns: readonly Return[] = [
  { addresses: 'the same', seedsOf: () => [] },
  // The address that stays is on the disks of all.
  { addresses: 'new but for one', seedsOf: () => [] },
  // One node, which is told of nobody, is the seed of all others.
  { addresses: 'all new', seedsOf: (index, order) => index === order.at(-1) ? [] : [order.at(-1)!] },
  // Each is told of one other, and it takes all of them to get from the first to the last.
  { addresses: 'all new', seedsOf: (index, order) => order.slice(order.indexOf(index) + 1).slice(0, 1) }
]

interface Blackout {
  readonly cluster: StoreCluster
  readonly writers: readonly Writer[]
  /** By writer: the highest number that must be there afterwards. */
  readonly floor: readonly number[]
  readonly random: SeededRandom
}

/** Forms a cluster, has clients write, and takes the power from all. */
async function blackout (seed: number, durability: NonNullable<NodeOptions['durability']>): Promise<Blackout> {
  const size = 3 + seed % 4
  const network = { lossProbability: seed % 3 * 0.01 }
  // Logs rotate, which may lose an unsynced batch before a synced one. Under 'os' such a store notices at its start, and is replaced.
  const disk = { rotationProbability: durability === 'sync' ? 0.05 : 0 }
  const cluster = new StoreCluster({ seed, size, partitions: PARTITIONS, durability, network, disk, replication: { rereplicateAfterMs: 0 } })
  await cluster.form()
  const { simulation } = cluster
  const random = simulation.random.fork('test')
  const client = cluster.client(20_000)
  await simulation.settle(client.open())
  const writers = Array.from({ length: WORKERS }, (_, worker) => new Writer(client, keyOf(worker), simulation.clock))
  await simulation.runFor(random.between(200, 1500))
  let floor = writers.map(({ acknowledged }) => acknowledged)
  if (durability === 'os') {
    // An update of metadata is agreed on, and synced by all: with it what was written before.
    await simulation.settle(cluster.nodes.get(0)!.update({ tags: { synced: 'yes' } }))
    const agree = (): boolean => new Set([...cluster.nodes.values()].map(node => node.status().epoch)).size === 1
    expect(await simulation.run({ untilMs: simulation.nowMs + 10_000, until: agree }), 'all have synced').toBe('condition')
    await simulation.runFor(random.between(0, 500))
  }
  for (const index of random.shuffle([...cluster.nodes.keys()])) {
    cluster.crash(index, true)
    if (random.chance(0.3)) await simulation.runFor(random.between(0, 20))
  }
  if (durability === 'os') cluster.oracle.acceptLoss()
  else floor = writers.map(({ acknowledged }) => acknowledged)
  await simulation.runFor(random.between(0, 5000))
  return { cluster, writers, floor, random }
}

/** All return. Resolves at the moment of the last one. */
async function comeBack ({ cluster, random }: Blackout, { addresses, seedsOf }: Return): Promise<void> {
  const { simulation, options: { size } } = cluster
  const order = random.shuffle(Array.from({ length: size }, (_, index) => index))
  const staying = random.below(size)
  for (const index of order) if (addresses === 'all new' || (addresses === 'new but for one' && index !== staying)) cluster.move(index, elsewhere(index))
  const delays = order.map(() => random.between(0, RETURN_MS_MAX))
  order.forEach((index, turn) => {
    simulation.schedule(delays[turn]!, undefined, () => {
      cluster.start(index, { seeds: seedsOf(index, order).map(seed => cluster.addressOf(seed)) })
    })
  })
  await simulation.runFor(Math.max(...delays) + 1)
}

/** What all ledgers have counted together, since the cluster was formed. */
function counted ({ nodes }: StoreCluster, fields: readonly LedgerField[]): Partial<Record<LedgerField, number>> {
  const pages = [...nodes.values()].flatMap(node => node.status().rebalances)
  return Object.fromEntries(fields.map(field => [field, pages.reduce((sum, page) => sum + page[field], 0)]))
}

/** Whoever still knows the address of one node gets on with its work. */
async function goOn ({ cluster: { simulation }, writers }: Blackout): Promise<void> {
  const before = writers.map(({ acknowledged }) => acknowledged)
  const moved = (): boolean => writers.every(({ acknowledged }, worker) => acknowledged > before[worker]!)
  expect(await simulation.run({ untilMs: simulation.nowMs + 5000, until: moved }), 'all writers go on').toBe('condition')
}

async function recover (seed: number, durability: NonNullable<NodeOptions['durability']>, how: Return): Promise<void> {
  const dark = await blackout(seed, durability)
  const { cluster, writers, floor } = dark
  const { simulation } = cluster
  await comeBack(dark, how)
  await cluster.rest(REST_MS_MAX)
  if (how.addresses !== 'all new') await goOn(dark)
  const again = cluster.client(20_000)
  await simulation.settle(again.open())
  await simulation.settle(Promise.all(writers.map(writer => writer.stop())))
  const found = await simulation.settle(again.getMany(writers.map(({ key }) => key)))
  writers.forEach(({ key, sent }, worker) => {
    const value = Number(found[worker] ?? -1)
    expect(value, `${key}, of which ${floor[worker]} is to be there`).toBeGreaterThanOrEqual(floor[worker]!)
    expect(value, `${key}, of which ${sent} was the last that was sent`).toBeLessThanOrEqual(sent)
  })
  expect(counted(cluster, ['planned', 'snapshots', 'restarted', 'repaired', 'duplicates', 'bytes']))
    .toEqual({ planned: 0, snapshots: 0, restarted: 0, repaired: 0, duplicates: 0, bytes: 0 })
  expect(cluster.doubts).toBe(false)
  await cluster.compareData()
}

describe('a blackout of the whole cluster', () => {
  for (const durability of ['sync', 'os'] as const) {
    for (const [number, how] of returns.entries()) {
      const seeds = seedsToRun(4, 1 + 4 * number)
      for (let first = 0; first < seeds.length; first += SEEDS_PER_TEST) {
        const some = seeds.slice(first, first + SEEDS_PER_TEST)
        test(`${durability}, addresses ${how.addresses} (${number}): seeds ${some[0]} to ${some.at(-1)}`, async () => {
          for (const seed of some) await recover(seed, durability, how)
        })
      }
    }
  }
})
