/**
 * Crashes of real processes: five nodes, started by the CLI, are killed (SIGKILL) or stopped (SIGSTOP) while clients read and
 * write, and come back on their directories.
 *
 * Mutations caught: a leader calls a placement carried out whose members equal its group's although its generation has ended, or
 * although it has logged a stop sign.
 */
import { afterEach, expect, test } from 'vitest'
import { type Client, connect } from '../../store/client/client.ts'
import type { NodeStatus } from '../../store/node-status.ts'
import { checkHistory } from '../../store/verify/checker.ts'
import type { WorkloadResult } from '../../store/verify/workload.ts'
import { ProcessCluster } from '../../store/verify/process-cluster.ts'
import { pause } from '../../store/verify/eventually.ts'
import { load, missing, Traffic } from './traffic.ts'

const NODES = 5
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function formed (args: readonly string[] = []): Promise<ProcessCluster> {
  const cluster = await ProcessCluster.form({ nodes: NODES, args })
  cleanups.push(() => cluster.close())
  return cluster
}

async function connected (seeds: readonly string[]): Promise<Client> {
  const client = await connect(seeds)
  cleanups.push(() => client.close())
  return client
}

/** Traffic that ends with the test, however that ends. */
function busy (clients: readonly Client[], seed: number): Traffic {
  const traffic = new Traffic(clients, seed)
  cleanups.push(async () => { await traffic.stop() })
  return traffic
}

const others = (...absent: readonly number[]): number[] => Array.from({ length: NODES }, (_, index) => index).filter(index => !absent.includes(index))

function expectSound (result: WorkloadResult, statuses: readonly NodeStatus[]): void {
  expect(checkHistory(result.history)).toEqual({ ok: true })
  expect(statuses.flatMap(({ rebalances }) => rebalances).filter(({ duplicates }) => duplicates > 0)).toEqual([])
  expect(new Set(statuses.map(({ placementDigest }) => placementDigest)).size).toBe(1)
}

/** Two clients and traffic on a cluster that `happen` happens to: no acknowledged write is lost, every read is linearizable. */
async function survives (
  seed: number, happen: (cluster: ProcessCluster, observer: Client, traffic: Traffic) => Promise<void>, args: readonly string[] = []
): Promise<void> {
  const cluster = await formed(args)
  const clients = [await connected([cluster.address(0)]), await connected([cluster.address(4)])]
  const observer = clients[0]!
  await load(observer)
  const traffic = busy(clients, seed)
  await traffic.progress(200)
  await happen(cluster, observer, traffic)
  const statuses = await cluster.settled(observer)
  await traffic.progress(200)
  const result = await traffic.stop()
  expectSound(result, statuses)
  expect(await missing(observer)).toEqual([])
}

test('no acknowledged write is lost and every read is linearizable while nodes are killed and come back before or while they are removed', async () => {
  await survives(1, async (cluster, observer, traffic) => {
    // The founder first: after formation it has no part of its own.
    for (const victim of [0, 2]) {
      await cluster.node(victim).kill()
      cluster.restart(victim)
      await cluster.settled(observer)
      await traffic.progress(200)
    }
  })
})

test('the same while nodes come back after others took their seats: what they held moves twice', async () => {
  await survives(4, async (cluster, observer, traffic) => {
    for (const victim of [1, 4]) {
      await cluster.node(victim).kill()
      await cluster.settled(observer, others(victim))
      await traffic.progress(200)
      cluster.restart(victim)
      await cluster.settled(observer)
      await traffic.progress(200)
    }
  })
})

async function killTwo (cluster: ProcessCluster): Promise<void> {
  await Promise.all([cluster.node(3).kill(), cluster.node(0).kill()])
  cluster.restart(3)
  cluster.restart(0)
}

test('the same while two nodes are killed at once: some partitions lose their majority until one of them is back', async () => {
  await survives(5, killTwo)
})

test('the same where nothing waits for the disk: what the operating system has survives the end of the process', async () => {
  await survives(6, killTwo, ['--durability', 'os'])
})

test('a node that was stopped while the cluster went on answers nothing stale when it continues', async () => {
  const cluster = await formed()
  const paused = 3
  // The second client knows the stopped node alone at first, and keeps asking it.
  const clients = [await connected([cluster.address(0)]), await connected([cluster.address(paused)])]
  const observer = clients[0]!
  await load(observer)
  const traffic = busy(clients, 2)
  await traffic.progress(200)
  cluster.node(paused).signal('SIGSTOP')
  await cluster.settled(observer, others(paused))
  await traffic.progress(200)
  cluster.node(paused).signal('SIGCONT')
  const statuses = await cluster.settled(observer)
  await traffic.progress(200)
  const result = await traffic.stop()
  expectSound(result, statuses)
  expect(await missing(observer)).toEqual([])
})

test('a short stop costs neither a seat nor a write', async () => {
  const cluster = await formed()
  const client = await connected([cluster.address(1)])
  await load(client)
  const [before] = await cluster.settled(client)
  const traffic = busy([client], 3)
  await traffic.progress(100)
  cluster.node(2).signal('SIGSTOP')
  await pause(1000)
  cluster.node(2).signal('SIGCONT')
  await traffic.progress(400)
  const result = await traffic.stop()
  const statuses = await cluster.settled(client)
  expectSound(result, statuses)
  expect(statuses.map(({ epoch }) => epoch)).toEqual(statuses.map(() => before!.epoch))
  expect(await missing(client)).toEqual([])
})
