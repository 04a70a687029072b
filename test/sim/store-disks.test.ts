/**
 * Disks that fail (rule S8): a store whose write or read fails, or that reads a record that has changed, answers nothing more and is removed; the
 * others go on, nothing acknowledged is lost, and nothing wrong is ever returned.
 *
 * Mutations caught: a store goes on after a failed write; checksums are not compared; damage that was found is not noted for the next
 * start.
 */
import { describe, expect, test } from 'vitest'
import { copyRange, userKeyOf } from '../../store/storage/layout.ts'
import type { Client } from '../../store/client/client.ts'
import { addressOf, StoreCluster } from './store-cluster.ts'

const NODES = 4
const KEYS = 30
const keyOf = (index: number): string => `key ${index}`

interface Running { readonly cluster: StoreCluster, readonly client: Client }

async function formed (seed: number): Promise<Running> {
  const cluster = new StoreCluster({ seed, size: NODES, partitions: 4 })
  await cluster.form()
  const client = cluster.client(30_000)
  await cluster.simulation.settle(client.open())
  await writeAll({ cluster, client }, 'first')
  await cluster.rest()
  await cluster.simulation.runFor(2000)
  return { cluster, client }
}

async function writeAll ({ cluster, client }: Running, value: string): Promise<void> {
  await cluster.simulation.settle(Promise.all(Array.from({ length: KEYS }, (_, index) => client.put(keyOf(index), `${value} ${index}`))))
}

async function expectAll ({ cluster, client }: Running, value: string): Promise<void> {
  const found = await cluster.simulation.settle(client.getMany(Array.from({ length: KEYS }, (_, index) => keyOf(index))))
  expect(found).toEqual(Array.from({ length: KEYS }, (_, index) => `${value} ${index}`))
}

/** Waits until the cluster has got rid of a node whose store failed, and ends its process. */
async function removed ({ cluster }: Running, victim: number): Promise<void> {
  expect(cluster.failed.get(victim)).toBeInstanceOf(Error)
  expect(cluster.nodes.get(victim)!.status().state).toBe('failed')
  cluster.crash(victim)
  await cluster.rest()
  expect([...cluster.nodes.values()].map(node => node.status().members)).toEqual([...cluster.nodes.keys()].map(() => cluster.nodes.size))
}

describe('a store whose disk fails', () => {
  for (const kind of ['is full', 'fails one write'] as const) {
    test(`because it ${kind} acknowledges nothing more; it returns when there is space again`, async () => {
      for (let victim = 0; victim < NODES; victim++) {
        const running = await formed(10 + victim)
        const { cluster } = running
        cluster.mayFail.add(victim)
        const disk = cluster.simulation.host(addressOf(victim)).disk('data')
        if (kind === 'is full') disk.full = true
        else disk.failNextWrite()
        await writeAll(running, 'second')
        await removed(running, victim)
        await expectAll(running, 'second')
        disk.full = false
        cluster.start(victim)
        await cluster.simulation.settle(cluster.starts.get(victim)!)
        await cluster.rest()
        await expectAll(running, 'second')
        await cluster.compareData()
      }
    })
  }
})

/** What makes a leader read from its disk. */
const reads: readonly (readonly [string, (running: Running) => Promise<void>])[] = [
  ['a value is asked for', running => expectAll(running, 'first')],
  ['a page of a range is asked for', async ({ cluster, client }) => {
    const found = await cluster.simulation.settle(client.iterator().all())
    expect(new Map(found)).toEqual(new Map(Array.from({ length: KEYS }, (_, index) => [keyOf(index), `first ${index}`])))
  }],
  ['another store is taught', async ({ cluster }) => {
    // It gets seats of all the others, one of which is led by the victim in one of these runs at least.
    cluster.start(NODES)
    await cluster.simulation.settle(cluster.starts.get(NODES)!)
    await cluster.simulation.runFor(3000)
  }]
]

describe('a store whose disk fails a read', () => {
  test.each(reads)('when %s stops, is removed, and is brought up to date when its disk reads again', async (_name, read) => {
    let stopped = 0
    for (let victim = 0; victim < NODES; victim++) {
      const running = await formed(30 + victim)
      const { cluster } = running
      const { simulation } = cluster
      const disk = simulation.host(addressOf(victim)).disk('data')
      const { storeId } = cluster.nodes.get(victim)!
      cluster.mayFail.add(victim)
      disk.failNextRead()
      await read(running)
      const error = cluster.failed.get(victim)
      if (error === undefined) { cluster.mayFail.delete(victim); continue }
      stopped++
      expect(error).toMatchObject({ code: 'STORE_FAILED' })
      expect(String(error)).toContain('read failed')
      await writeAll(running, 'second')
      await removed(running, victim)
      await expectAll(running, 'second')
      // As long as it does not read, it does not start.
      disk.unreadable = true
      cluster.start(victim)
      await expect(simulation.settle(cluster.starts.get(victim)!)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_DAMAGED' })
      disk.unreadable = false
      cluster.crash(victim)
      const again = cluster.start(victim)
      await simulation.settle(cluster.starts.get(victim)!)
      expect(again.storeId).toBe(storeId)
      await cluster.rest()
      await expectAll(running, 'second')
      await cluster.compareData()
    }
    expect(stopped).toBeGreaterThan(0)
  })
})

describe('a store that reads a value that has changed', () => {
  test('returns it to nobody, stops, and refuses to start again', async () => {
    for (let victim = 0; victim < NODES; victim++) {
      const running = await formed(20 + victim)
      const { cluster } = running
      const { simulation } = cluster
      const node = cluster.nodes.get(victim)!
      const disk = simulation.host(addressOf(victim)).disk('data')
      let changed = 0
      for (const [partition, { leader, copy }] of node.replicas) {
        if (leader === undefined) continue
        const { gte, lt } = copyRange('data', partition, copy!.number)
        for (const [key, record] of [...disk.content.entries(gte, false)]) {
          if (Buffer.compare(key, lt) >= 0) break
          expect(Buffer.from(userKeyOf(key)).toString()).toMatch(/^key /)
          const wrong = Buffer.from(record)
          wrong[7] = wrong[7]! ^ 0x10
          disk.corrupt(key, wrong)
          changed++
        }
      }
      expect(changed).toBeGreaterThan(0)
      cluster.mayFail.add(victim)
      await expectAll(running, 'first')
      expect(String(cluster.failed.get(victim))).toContain('does not fit its checksum')
      await simulation.runFor(500)
      await removed(running, victim)
      cluster.start(victim)
      await expect(simulation.settle(cluster.starts.get(victim)!)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_DAMAGED' })
      await expectAll(running, 'first')
    }
  })
})
