/**
 * Transfers in place, with the ring's placement: how many run at once and how fast, that their end is told, and which go first.
 *
 * Mutations that were tried and are caught here: a transfer begins without asking for a place (by both tests); pieces do not wait for the
 * rate (by the first); places are given in the order in which they were asked for (by the second).
 */
import { expect, test } from 'vitest'
import type { TransfersStatus } from '../../store/rebalance-watch.ts'
import { StoreCluster } from './store-cluster.ts'

const PARTITIONS = 16
const KEYS = 400
const VALUE = 'x'.repeat(1000)
const RATE = 20_000
/** What one message has beside `chunkBytes`, at most: the one value that it ends with, and keys. */
const PIECE_BYTES_MAX = 4096 + 1100

async function formed (): Promise<StoreCluster> {
  const cluster = new StoreCluster({
    seed: 1,
    size: 4,
    partitions: PARTITIONS,
    driftPercent: 0,
    replication: { rereplicateAfterMs: 0, transfersMax: 1, transferBytesPerSecondMax: RATE, chunkBytes: 4096 }
  })
  await cluster.form()
  const client = cluster.client()
  const { simulation } = cluster
  await simulation.settle(client.open())
  await simulation.settle(Promise.all(Array.from({ length: KEYS }, (_, key) => client.put(`key ${key}`, VALUE))))
  await cluster.rest()
  return cluster
}

/** Looks at every store each 100 ms until the cluster is at rest. */
async function watched (cluster: StoreCluster, look: () => void): Promise<void> {
  const { simulation } = cluster
  for (let looks = 0; looks < 1200; looks++) {
    await simulation.runFor(100)
    look()
    if (cluster.unrest() === undefined) return
  }
  throw new Error(`not at rest: ${cluster.unrest()}\n${cluster.describe()}`)
}

test('one that joins is taught by each store one partition at a time, no faster than told, and how it gets on is told to the end', async () => {
  const cluster = await formed()
  const { simulation } = cluster
  const told = new Map<number, TransfersStatus[]>()
  const start = simulation.nowMs
  const sentBefore = new Map<number, number>()
  for (const [index, node] of cluster.nodes) {
    told.set(index, [])
    node.on('progress', status => { told.get(index)!.push(status) })
    sentBefore.set(index, node.status().transfers.bytesSent)
  }
  cluster.start(4)
  let [most, waiting, sentAll] = [0, 0, 0]
  await watched(cluster, () => {
    sentAll = 0
    for (const [index, node] of cluster.nodes) {
      const { transfers } = node.status()
      const sent = transfers.bytesSent - (sentBefore.get(index) ?? 0)
      most = Math.max(most, transfers.running)
      waiting = Math.max(waiting, transfers.waiting)
      sentAll += sent
      // The bucket was full, and one piece may overdraw it.
      expect(sent).toBeLessThanOrEqual(RATE + RATE * (simulation.nowMs - start) / 1000 + PIECE_BYTES_MAX)
    }
  })
  expect(most).toBe(1)
  expect(waiting).toBeGreaterThan(0)
  // So much was sent that the limit was felt.
  expect(sentAll).toBeGreaterThan(4 * RATE)
  await simulation.runFor(2000)
  const busy = [...told.values()].filter(events => events.length > 0)
  expect(busy.length).toBeGreaterThan(0)
  for (const events of busy) expect(events.at(-1)).toMatchObject({ handoversLeft: 0, running: 0, waiting: 0 })
  expect(busy.some(events => events.some(({ handoversLeft, leftMs }) => handoversLeft > 0 && leftMs! > 0))).toBe(true)
  await cluster.compareData()
})

test('a store that crashes while another is balanced: what lost redundancy is copied first', async () => {
  const cluster = await formed()
  const { simulation } = cluster
  // Two that join at once: what they take lasts longer than it takes the others to notice the crash.
  cluster.start(4)
  cluster.start(5)
  await simulation.run({
    untilMs: simulation.nowMs + 20_000, until: () => [...cluster.nodes.values()].some(node => node.status().transfers.waiting > 0), everyMs: 20
  })
  cluster.crash(2)
  /** Of each partition at its leader: whether it waits for a place in the last look. */
  let placeless = new Map<string, number>()
  let chosen = 0
  await watched(cluster, () => {
    const now = new Map<string, number>()
    for (const [index, node] of cluster.nodes) {
      const clock = simulation.host(node.address).environment.clock.now()
      const waiting = new Map<number, number>()
      for (const [partition, { leader, group, view }] of node.replicas) {
        if (leader?.serving !== true) continue
        const live = group!.members.filter(member => view!.live.has(member)).length
        const state = leader.handover.waitsFor(clock)?.state
        if (state === 'place') {
          waiting.set(partition, live)
          now.set(`${index} ${partition}`, live)
        } else if ((state === 'copying' || state === 'rate') && live === 3 && placeless.has(`${index} ${partition}`)) {
          // It got a place since the last look: then nobody more urgent was waiting then and is still.
          for (const [other, otherLive] of placeless) {
            const [otherIndex, otherPartition] = other.split(' ').map(Number) as [number, number]
            if (otherIndex === index && otherLive < live && node.replicas.get(otherPartition)?.leader?.handover.waitsFor(clock)?.state === 'place') {
              throw new Error(`${node.address} copies partition ${partition}, while partition ${otherPartition} has ${otherLive} live replicas`)
            }
          }
        }
      }
      const lives = [...waiting.values()]
      if (lives.some(live => live < 3) && lives.includes(3)) chosen++
    }
    placeless = now
  })
  // There were stores with both to choose between.
  expect(chosen).toBeGreaterThan(0)
  await cluster.compareData()
})
