/**
 * How long a client waits for one key while its partition changes hands, in virtual time: no handover may wait for a timer, for the lease
 * of somebody who is alive, or for a client that asks again only after a pause.
 *
 * A message takes a millisecond or so here and a synced write the same, so an undisturbed write takes up to 8 ms, and a handover adds a few
 * of these to it. Mutations that these tests caught: a stop sign whose commit is told to nobody.
 */
import { expect, test } from 'vitest'
import type { Client } from '../../store/client/client.ts'
import { StoreCluster } from './store-cluster.ts'

const KEYS = 8
const PARTITIONS = 16
/** Between two operations on a key, so that the test does not take long. */
const PAUSE_MS = 6
/** The longest that a view change which moves data, and loses nobody, may keep a client waiting. */
const GAP_MS_MAX = 20
/** Time that keys are watched before and after, and that a lease has been in use for. */
const WATCH_MS = 800

/** Puts and gets some keys, each in turn, until it is stopped, and notes the longest time between two successes on one key. */
class GapMeter {
  longestMs = 0
  #stopped = false
  readonly #cluster: StoreCluster
  readonly #client: Client
  readonly #loops: Promise<unknown>

  constructor (cluster: StoreCluster) {
    this.#cluster = cluster
    this.#client = cluster.client()
    this.#loops = Promise.all(Array.from({ length: KEYS }, (_, index) => this.#watch(`watched ${index}`)))
  }

  async #watch (key: string): Promise<void> {
    const { simulation } = this.#cluster
    const { clock } = simulation.client('the pauses between operations')
    await this.#client.open()
    let succeededMs = simulation.nowMs
    for (let turn = 0; !this.#stopped; turn++) {
      if (turn % 2 === 0) await this.#client.put(key, String(turn))
      else expect(await this.#client.get(key)).toBe(String(turn - 1))
      this.longestMs = Math.max(this.longestMs, simulation.nowMs - succeededMs)
      succeededMs = simulation.nowMs
      await new Promise<void>(resolve => { clock.setTimer(PAUSE_MS, resolve) })
    }
  }

  async stop (): Promise<void> {
    this.#stopped = true
    await this.#cluster.simulation.settle(this.#loops)
  }
}

/** The longest gap, without the pause in it, while something happens to a cluster of five. */
async function gapOf (happens: (cluster: StoreCluster) => Promise<void>): Promise<number> {
  const cluster = new StoreCluster({ seed: 1, size: 5, partitions: PARTITIONS, replication: { rereplicateAfterMs: 0 } })
  await cluster.form()
  await cluster.rest()
  const meter = new GapMeter(cluster)
  await cluster.simulation.runFor(WATCH_MS)
  meter.longestMs = 0
  await happens(cluster)
  await cluster.rest()
  await cluster.simulation.runFor(WATCH_MS)
  await meter.stop()
  return meter.longestMs - PAUSE_MS
}

test('a store joins', async () => {
  const gapMs = await gapOf(async cluster => {
    cluster.start(5)
    await cluster.simulation.settle(cluster.starts.get(5)!)
  })
  expect(gapMs).toBeLessThan(GAP_MS_MAX)
})

test('ten stores join at once', async () => {
  const gapMs = await gapOf(async cluster => {
    const joiners = Array.from({ length: 10 }, (_, index) => 5 + index)
    for (const index of joiners) cluster.start(index)
    await cluster.simulation.settle(Promise.all(joiners.map(index => cluster.starts.get(index))))
  })
  expect(gapMs).toBeLessThan(GAP_MS_MAX)
})

test('a store is drained, and leaves', async () => {
  const gapMs = await gapOf(async cluster => {
    const node = cluster.nodes.get(1)!
    await cluster.simulation.settle(node.drain())
    await cluster.simulation.settle(node.leave())
    cluster.nodes.delete(1)
  })
  expect(gapMs).toBeLessThan(GAP_MS_MAX)
})
