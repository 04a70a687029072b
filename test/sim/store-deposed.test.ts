/**
 * A leader that is cut off from the other stores, and not from its clients, is deposed without hearing of it: reads that go to it must
 * not find what it has any more (rule S7). One client writes and finds the new leader; another one only reads, and keeps to the node that
 * answered it last. What both saw must be linearizable.
 *
 * Mutations that this test caught: reads that are not confirmed; reads that need no lease of a majority.
 */
import { expect, test } from 'vitest'
import type { Client } from '../../store/client/client.ts'
import { StoreError } from '../../store/errors.ts'
import { checkHistory } from '../../store/verify/checker.ts'
import type { HistoryOperation } from '../../store/verify/history.ts'
import { seedsToRun } from './simulation.ts'
import { addressOf, StoreCluster } from './store-cluster.ts'

const SIZE = 5
const KEY = 'contended'
const PAUSE_MS = 20
/** Longer than a lease, and than the others take to remove who is silent. */
const CUT_OFF_MS = 12_000
/** Neither client waits long for a node that says nothing. */
const DEADLINE_MS = 2500

type Operate = (client: Client, turn: number) => Promise<Partial<HistoryOperation>>

/** One of the clients: does one operation after the other on the key, and notes what it saw. */
class Observer {
  readonly history: HistoryOperation[] = []
  #stopped = false
  readonly #done: Promise<void>

  constructor (cluster: StoreCluster, process: number, operate: Operate) {
    this.#done = this.#run(cluster, cluster.client(DEADLINE_MS), process, operate)
  }

  async #run ({ simulation }: StoreCluster, client: Client, process: number, operate: Operate): Promise<void> {
    const { clock } = simulation.client('the pauses between operations')
    await client.open()
    for (let turn = 1; !this.#stopped; turn++) {
      const start = simulation.nowMs
      const operation = { process, key: KEY, kind: process === 0 ? 'put' as const : 'get' as const, ...process === 0 ? { input: turn } : {}, start }
      try {
        const seen = await operate(client, turn)
        this.history.push({ ...operation, ...seen, end: simulation.nowMs })
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        this.history.push({ ...operation, end: undefined, ...error.definite ? { definiteFailure: true } : {} })
      }
      await new Promise<void>(resolve => { clock.setTimer(PAUSE_MS, resolve) })
    }
  }

  async stop (cluster: StoreCluster): Promise<void> {
    this.#stopped = true
    await cluster.simulation.settle(this.#done)
  }
}

for (const leaseMs of [0, 3000]) {
  test(`a deposed leader that clients reach answers nothing old: ${leaseMs === 0 ? 'without leases' : `with leases of ${leaseMs} ms`}`, async () => {
    for (const seed of seedsToRun(2)) {
      const cluster = new StoreCluster({ seed, size: SIZE, partitions: 1, replication: { leaseMs, leaseReadsMin: 1, rereplicateAfterMs: 60_000 } })
      const { simulation } = cluster
      await cluster.form()
      const writer = new Observer(cluster, 0, async (client, turn) => { await client.put(KEY, String(turn)); return {} })
      const reader = new Observer(cluster, 1, async client => {
        const value = await client.get(KEY)
        return value === undefined ? {} : { output: Number(value) }
      })
      await simulation.runFor(2000)
      const leader = [...cluster.nodes].find(([, node]) => node.replicas.get(0)?.leader?.serving === true)![0]
      const others = [...cluster.nodes.keys()].filter(index => index !== leader).map(addressOf)
      const cutAt = simulation.nowMs
      simulation.network.faults.partition([addressOf(leader)], others)
      await simulation.runFor(CUT_OFF_MS)
      simulation.network.faults.heal()
      const healedAt = simulation.nowMs
      await simulation.runFor(3000)
      await writer.stop(cluster)
      await reader.stop(cluster)
      const during = ({ history }: Observer): number =>
        history.filter(({ start, end }) => end !== undefined && start > cutAt && end < healedAt).length
      // Else nothing would be proven.
      expect(during(writer), `seed ${seed}: writes while it is cut off`).toBeGreaterThan(50)
      expect(during(reader), `seed ${seed}: reads while it is cut off`).toBeGreaterThan(50)
      expect(checkHistory([...writer.history, ...reader.history]), `seed ${seed}`).toEqual({ ok: true })
      await cluster.rest()
    }
  })
}
