/**
 * Giving up on stores (rule S12): partitions that lost their majority for good go on with the most advanced copy that is left, and nothing
 * else is lost. The oracle knows in which partitions loss was accepted, and of which stores (test/sim/store-oracle.ts).
 *
 * Mutations caught: a partition is forced while a store that may hold something of it is away; a replica gives up its copy as soon as it hears
 * of the forced group; replacing that copy is taken for a second transfer.
 */
import { describe, expect, test } from 'vitest'
import type { StoreId } from '../../membership/configuration.ts'
import { partitionOf } from '../../ring/index.ts'
import type { Client } from '../../store/client/client.ts'
import type { StoreError } from '../../store/errors.ts'
import { type ForcePlan, planForce } from '../../store/force/plan.ts'
import { StoreCluster } from './store-cluster.ts'

const PARTITIONS = 16
const KEYS = 80
const keys = Array.from({ length: KEYS }, (_, index) => `key ${index}`)

class Life {
  readonly cluster: StoreCluster
  readonly client: Client
  /** What was acknowledged last of each key, and what may have happened to it since. */
  readonly #acknowledged = new Map<string, string>()
  readonly #attempted = new Map<string, Set<string>>()
  #round = 0

  private constructor (cluster: StoreCluster) {
    this.cluster = cluster
    this.client = cluster.client(4000)
  }

  static async form (seed: number, size: number, replicas: number): Promise<Life> {
    // Long enough that nothing is copied before it is decided, and logs so short that deltas and snapshots happen.
    const replication = { rereplicateAfterMs: 20_000, logEntriesMax: 24, logBytesMax: 600, batchEntriesMax: 8 }
    const life = new Life(new StoreCluster({ seed, size, replicas, partitions: PARTITIONS, replication, disk: { rotationProbability: 0.05 } }))
    await life.cluster.form()
    await life.cluster.simulation.settle(life.client.open())
    await life.write()
    await life.cluster.rest()
    return life
  }

  /** Writes every key once. @returns the errors of those that failed */
  async write (): Promise<StoreError[]> {
    const errors: StoreError[] = []
    const round = ++this.#round
    await this.cluster.simulation.settle(Promise.all(keys.map(async key => {
      const value = `${round} of ${key}`
      this.#attempted.set(key, (this.#attempted.get(key) ?? new Set()).add(value))
      try {
        // Some expire long after the end, so that the partition has a time to carry on.
        await this.client.put(key, value, key.endsWith('7') ? { ttlMs: 3_600_000 } : {})
        this.#acknowledged.set(key, value)
      } catch (error) {
        errors.push(error as StoreError)
      }
    })))
    return errors
  }

  partitionOf (key: string): number { return partitionOf(Buffer.from(key), PARTITIONS) }

  store (index: number): StoreId { return this.cluster.nodes.get(index)!.storeId }

  /** Ends processes with writes under way, so that the copies that stay differ; waits until the cluster has noticed. */
  async lose (indexes: readonly number[]): Promise<StoreId[]> {
    const { cluster } = this
    const stores = indexes.map(index => this.store(index))
    const writing = this.write()
    await cluster.simulation.runFor(cluster.simulation.random.between(0, 12))
    for (const index of indexes) cluster.crash(index, true)
    await writing
    await this.noticed()
    return stores
  }

  /** Waits until the cluster has noticed who is gone. */
  async noticed (): Promise<void> {
    const { cluster } = this
    const left = cluster.nodes.size
    const gone = (): boolean => [...cluster.nodes.values()].every(node => node.status().members === left)
    expect(await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 60_000, until: gone, everyMs: 50 })).toBe('condition')
    await cluster.simulation.runFor(2000)
  }

  plan (abandoned: readonly StoreId[]): ForcePlan {
    return planForce([...this.cluster.nodes.values()].map(node => node.survey()), abandoned)
  }

  async carryOut (plan: ForcePlan, at = [...this.cluster.nodes.keys()][0]!): Promise<void> {
    const others = [...this.cluster.nodes.values()].map(({ storeId }) => storeId)
    for (const { partition } of plan.partitions) this.cluster.oracle.givenUp.set(partition, { others })
    await this.cluster.simulation.settle(this.cluster.nodes.get(at)!.force(plan.order))
  }

  /** No transfer was carried out twice: that a copy is replaced after a force is none. */
  expectOnce (): void {
    const pages = [...this.cluster.nodes.values()].flatMap(node => node.status().rebalances)
    for (const { epoch, duplicates } of pages) expect([epoch, duplicates]).toEqual([epoch, 0])
  }

  /** Reads every key: as it was acknowledged, or, where loss was accepted, as it was written at some time, or absent. */
  async expectAll (forced: ReadonlySet<number>): Promise<void> {
    const values = await this.cluster.simulation.settle(this.client.getMany(keys))
    keys.forEach((key, index) => {
      const value = values[index]
      if (!forced.has(this.partitionOf(key)) && this.#attempted.get(key)!.size === this.#round) {
        // A write whose fate is unknown may have happened.
        expect([this.#acknowledged.get(key), ...this.#attempted.get(key)!].slice(0), key).toContain(value)
        expect(Number(value!.split(' ')[0]), key).toBeGreaterThanOrEqual(Number(this.#acknowledged.get(key)!.split(' ')[0]))
      } else if (value !== undefined) expect([...this.#attempted.get(key)!], key).toContain(value)
    })
  }
}

let lostEntries = 0

/** The partitions that answer nothing for want of a majority. */
const stopped = (life: Life): number => [...life.cluster.nodes.values()].reduce((sum, node) => sum + node.status().partitions.unavailable, 0)

for (const [size, replicas, lose] of [[6, 3, 2], [8, 5, 3], [7, 3, 3]] as const) {
  describe(`${lose} of ${size} stores are lost for good, with ${replicas} replicas`, () => {
    for (let seed = 1; seed <= 2; seed++) {
      test(`their partitions go on with what is left, and nothing else is lost: seed ${seed}`, async () => {
        const life = await Life.form(seed, size, replicas)
        const { cluster } = life
        const victims = cluster.simulation.random.shuffle([...cluster.nodes.keys()]).slice(0, lose)
        const lost = await life.lose(victims)
        const stood = stopped(life)
        expect(stood).toBeGreaterThan(0)
        const plan = life.plan(lost)
        expect(plan.refused).toEqual([])
        expect(plan.partitions.length).toBeGreaterThanOrEqual(stood)
        await life.carryOut(plan)
        const forced = new Set(plan.partitions.map(({ partition }) => partition))
        const served = (): boolean => stopped(life) === 0
        expect(await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 30_000, until: served, everyMs: 50 })).toBe('condition')
        await life.expectAll(forced)
        expect(await life.write()).toEqual([])
        await life.expectAll(new Set())
        // Back with its old data: refused for ever.
        cluster.start(victims[0]!, { membership: { joinTimeoutMs: 5000 } })
        await expect(cluster.simulation.settle(cluster.starts.get(victims[0]!)!)).rejects.toMatchObject({ code: 'MEMBERSHIP_JOIN_REFUSED' })
        cluster.crash(victims[0]!)
        await cluster.rest()
        await life.expectAll(new Set())
        life.expectOnce()
        await cluster.compareData()
        lostEntries += cluster.oracle.lost
        expect(cluster.nodes.size).toBe(size - lose)
      })
    }
  })
}

test('the oracle has seen loss', () => { expect(lostEntries).toBeGreaterThan(0) })

describe('who goes on', () => {
  for (let seed = 11; seed <= 12; seed++) {
    test(`may crash before it does, and a store that was away meanwhile takes up what it says: seed ${seed}`, async () => {
      const life = await Life.form(seed, 8, 5)
      const { cluster } = life
      const lost = await life.lose(cluster.simulation.random.shuffle([...cluster.nodes.keys()]).slice(0, 3))
      const plan = life.plan(lost)
      expect(plan.partitions.length).toBeGreaterThan(0)
      const survivors = new Set(plan.partitions.map(({ survivor }) => survivor))
      const at = [...cluster.nodes.keys()].find(index => !survivors.has(life.store(index))) ?? [...cluster.nodes.keys()][0]!
      const crashing = [...cluster.nodes.keys()].find(index => index !== at && survivors.has(life.store(index)))!
      const other = [...cluster.nodes.keys()].find(index => index !== at && index !== crashing)!
      const carried = life.carryOut(plan, at)
      // Two of five that are left, so that a majority of the members stays.
      cluster.crash(crashing, true)
      cluster.crash(other, true)
      await carried
      await cluster.simulation.runFor(cluster.simulation.random.between(0, 5000))
      for (const index of [crashing, other]) cluster.start(index)
      await cluster.simulation.settle(Promise.all([crashing, other].map(index => cluster.starts.get(index)!)))
      await cluster.rest()
      await life.expectAll(new Set(plan.partitions.map(({ partition }) => partition)))
      expect(await life.write()).toEqual([])
      life.expectOnce()
      await cluster.compareData()
    })
  }
})

describe('who went on is lost as well', () => {
  for (let seed = 31; seed <= 32; seed++) {
    test(`before it has taught anybody: another force goes on with the best of the former copies: seed ${seed}`, async () => {
      const life = await Life.form(seed, 8, 5)
      const { cluster } = life
      const lost = await life.lose(cluster.simulation.random.shuffle([...cluster.nodes.keys()]).slice(0, 3))
      const first = life.plan(lost)
      const next = [...cluster.nodes.keys()].find(index => first.partitions.some(({ survivor }) => survivor === life.store(index)))!
      const mine = first.partitions.filter(({ survivor }) => survivor === life.store(next)).map(({ partition }) => partition)
      await life.carryOut(first, [...cluster.nodes.keys()].find(index => index !== next)!)
      const again = [life.store(next)]
      // The others have heard who goes on, and have nothing from it yet.
      const heard = (): boolean => mine.every(partition => [...cluster.nodes.values()].some(({ storeId, replicas }) => {
        const replica = replicas.get(partition)
        return storeId !== again[0] && replica?.group?.forced !== undefined && !replica.level
      }))
      expect(await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 5000, until: heard, everyMs: 0.1 })).toBe('condition')
      cluster.crash(next, true)
      await life.noticed()
      const second = life.plan(again)
      expect(second.refused).toEqual([])
      expect(second.partitions.length).toBeGreaterThan(0)
      for (const { partition, empty, position } of second.partitions) {
        expect([mine.includes(partition), empty, position > 0], String(partition)).toEqual([true, false, true])
      }
      await life.carryOut(second)
      // Four are too few for five replicas.
      cluster.start(8)
      await cluster.simulation.settle(cluster.starts.get(8)!)
      await cluster.rest()
      const forced = new Set([...first.partitions, ...second.partitions].map(({ partition }) => partition))
      await life.expectAll(forced)
      // What every copy had is not lost.
      const values = await cluster.simulation.settle(life.client.getMany(keys))
      keys.forEach((key, index) => { expect(values[index], key).toBeDefined() })
      expect(await life.write()).toEqual([])
      await cluster.rest()
      await life.expectAll(new Set())
      await cluster.compareData()
    })
  }
})

describe('stores are not given up', () => {
  const refused = { code: 'STORE_FORCE_REFUSED' }

  test('while they are in the cluster, or unknown, or another that may hold something is merely away', async () => {
    const life = await Life.form(21, 8, 3)
    const { cluster } = life
    const group = [...cluster.nodes.values()].flatMap(node => [...node.replicas.values()])[0]!.group!.members
    const victims = [...cluster.nodes.keys()].filter(index => group.includes(life.store(index)))
    expect(() => life.plan([life.store(victims[0]!)])).toThrow(expect.objectContaining(refused) as Error)
    expect(() => life.plan(['nobody' as StoreId])).toThrow(expect.objectContaining(refused) as Error)
    const lost = await life.lose(victims)
    const partial = [...cluster.nodes.values()].slice(1).map(node => node.survey())
    expect(() => planForce(partial, lost)).toThrow(expect.objectContaining(refused) as Error)
    const [away, ...rest] = lost
    const plan = life.plan(rest)
    expect(plan.refused.length).toBeGreaterThan(0)
    for (const { reason } of plan.refused) expect(reason).toContain(away)
  })

  test('when the cluster has changed since the plan', async () => {
    const life = await Life.form(22, 6, 3)
    const { cluster } = life
    const lost = await life.lose([1, 4])
    const plan = life.plan(lost)
    const stood = stopped(life)
    const outcome = life.carryOut(plan).then(() => 'done', (error: unknown) => { expect(error).toMatchObject(refused); return 'refused' })
    // A node joins at the same time: in one cut or the other it comes first.
    cluster.start(6)
    await cluster.simulation.settle(cluster.starts.get(6)!)
    const agreed = await cluster.simulation.settle(outcome)
    await cluster.simulation.runFor(3000)
    if (agreed === 'refused') expect(stopped(life)).toBe(stood)
    const again = cluster.simulation.settle(cluster.nodes.get(0)!.force(plan.order))
    if (agreed === 'refused') await expect(again).rejects.toMatchObject(refused)
    else await again
    if (agreed === 'refused') await life.carryOut(life.plan(lost))
    await cluster.rest()
    await life.expectAll(new Set(plan.partitions.map(({ partition }) => partition)))
    expect(await life.write()).toEqual([])
    await cluster.compareData()
  })
})
