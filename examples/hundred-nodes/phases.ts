/**
 * The steps of the main job: form, load, and twice a change under traffic (nodes join, a rack crashes), each measured and checked.
 *
 * A change has *converged* when every live node has the same configuration, of the right size, and is *balanced* when every partition's
 * group is the one that the placement wants, every member of it is level, and no copy is left over. Both times count from just
 * before the first node starts or dies.
 */
import { type Client, connect, decodeAgreedState } from 'coterie'
import { partitionOf, type Placement } from 'coterie/ring'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import type { Journal } from './journal.ts'
import { type Verification, verifyAll, writeAll } from './load.ts'
import type { Options } from './options.ts'
import { type PlanTotals, planTotals } from './plan-totals.ts'
import type { Progress } from './progress.ts'
import { Traffic, type TrafficReport } from './traffic.ts'

/** How long each wait may take before the job gives up: far longer than it ever should, also on a slow machine. */
const CONVERGE_DEADLINE_MS = 120_000
const BALANCE_DEADLINE_MS = 120_000
/** How long the client goes on with one operation: a machine that has to run a hundred nodes may be slow at times. */
const OPERATION_DEADLINE_MS = 30_000
/** How long it waits for one node: one that died is noticed at once, by its connection, and one that is merely slow is not asked twice. */
const ATTEMPT_TIMEOUT_MS = 5000
/** Traffic before a change, so that its gaps are gaps of a running system. */
const WARM_MS = 500

export interface JobContext {
  readonly options: Options
  readonly cluster: Cluster
  readonly journal: Journal
  readonly progress: Progress
  readonly signal: AbortSignal
}

export interface Formation {
  readonly ms: number
  /** Decided after the founder's own. */
  readonly configurations: number
  readonly distinctSizes: number[]
}

export interface Loaded {
  readonly keys: number
  readonly verified: number
  readonly failed: number
  readonly writeMs: number
  readonly readMs: number
}

export interface Change extends Omit<TrafficReport, 'gapsMs'> {
  /** That joined, or crashed. */
  readonly nodes: number
  readonly viewChanges: number
  readonly distinctSizes: number[]
  readonly convergedMs: number
  readonly balancedMs: number
  readonly plan: PlanTotals
  /** Keys with the right value when all was over, and keys without. */
  readonly verified: number
  readonly lost: number
  /** Keys that could not be read when all was over. */
  readonly unreadable: number
  /** The most at any one time. */
  readonly unavailablePartitions: number
  /** Of probe keys whose partition got other replicas, or the same in another order; and of all others. */
  readonly longestGapMs: number
  readonly longestGapElsewhereMs: number
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`

/** Distinct epochs after `epoch`, and distinct sizes in the order of their epochs, that any node had. */
function seenAfter (cluster: Cluster, epoch: number): { viewChanges: number, distinctSizes: number[] } {
  const sizes = new Map(cluster.nodes.flatMap(node => node.history.configurations.map(seen => [seen.epoch, seen.size] as const)))
  const later = [...sizes].filter(([seen]) => seen > epoch).sort((a, b) => a[0] - b[0])
  return { viewChanges: later.length, distinctSizes: [...new Set(later.map(([, size]) => size))] }
}

export async function form ({ options, cluster, progress }: JobContext): Promise<Formation> {
  const { nodes, zones, processes } = options
  const members = (): number => cluster.nodes.filter(node => node.history.last?.size === nodes).length
  progress.step(() => `${nodes} nodes in ${zones} racks start in parallel, each ${processes ? 'a process' : 'with a port and a directory'} of its own: ${members()} are members`)
  const startMs = performance.now()
  await cluster.grow(nodes)
  const atMs = await cluster.until(() => cluster.configurations, CONVERGE_DEADLINE_MS, () => Promise.resolve(cluster.agreedAtMs(nodes)))
  const { viewChanges, distinctSizes } = seenAfter(cluster, 1)
  const ms = Math.round(atMs - startMs)
  progress.done(`${nodes} nodes agree, ${viewChanges === 1 ? 'in one step' : `in ${viewChanges} steps (sizes ${distinctSizes.join(', ')})`}, ${seconds(ms)} after the first began`)
  return { ms, configurations: viewChanges, distinctSizes }
}

/** Connects by any of the nodes, writes every key, and reads every key back. */
export async function load (context: JobContext, client: Client): Promise<Loaded> {
  const { options, progress } = context
  const keys = Array.from({ length: options.keys }, (_, index) => `key:${index}`)
  let count = 0
  const components = { ...context, client }
  progress.step(() => `a client writes ${keys.length} keys: ${count}`)
  const startMs = performance.now()
  const failed = await writeAll(components, keys, written => { count = written })
  const writeMs = Math.round(performance.now() - startMs)
  progress.done(`${count} keys written in ${seconds(writeMs)}, each on the disks of a majority of ${options.replicas} nodes${failed === 0 ? '' : `; ${failed} FAILED`}`)
  const { verified, readMs } = await verify(context, client)
  return { keys: keys.length, verified, failed, writeMs, readMs }
}

async function verify (context: JobContext, client: Client): Promise<Verification & { readMs: number }> {
  const { journal, progress } = context
  const total = journal.keys.length
  let count = 0
  progress.step(() => `all ${total} keys are read back: ${count}`)
  const startMs = performance.now()
  const verification = await verifyAll({ ...context, client }, read => { count = read })
  const readMs = Math.round(performance.now() - startMs)
  const { verified, lost, failed } = verification
  progress.done(`${verified} of ${total} keys read back and right, in ${seconds(readMs)}${lost + failed === 0 ? '' : `; ${lost} LOST, ${failed} UNREADABLE`}`)
  return { ...verification, readMs }
}

export function openClient ({ cluster }: JobContext): Promise<Client> {
  return connect(cluster.seeds, { deadlineMs: OPERATION_DEADLINE_MS, attemptTimeoutMs: ATTEMPT_TIMEOUT_MS })
}

async function placementOf (client: Client): Promise<Placement> {
  const { placement } = decodeAgreedState((await client.refresh()).state)
  if (placement === undefined) throw new Error('the cluster has no placement yet')
  return placement
}

/** Runs one change under traffic, and everything that must hold afterwards. */
export async function change (context: JobContext, client: Client, name: 'join' | 'crash', count: number): Promise<Change> {
  const { cluster, options, progress, signal } = context
  const before = await placementOf(client)
  const size = cluster.live.length + (name === 'join' ? count : -count)
  const traffic = new Traffic({ ...context, client }, name)
  progress.step(() => `${count} nodes ${name === 'join' ? 'join' : 'of one rack crash'} at once, under traffic (${traffic.operations} operations so far)`)
  const act = name === 'join' ? await cluster.prepareToGrow(count) : () => cluster.crash(count)
  await traffic.start()
  await delay(WARM_MS, undefined, { signal })

  const startMs = performance.now()
  await act()
  const agreedMs = await cluster.until(() => cluster.configurations, CONVERGE_DEADLINE_MS, () => Promise.resolve(cluster.agreedAtMs(size)))
  const convergedMs = count === 0 ? 0 : Math.round(agreedMs - startMs)
  const { viewChanges } = seenAfter(cluster, before.epoch)
  progress.say(`all ${size} live nodes agree after ${seconds(convergedMs)}, by ${viewChanges} view change${viewChanges === 1 ? '' : 's'}`)
  const balance = await balanced(context).catch((error: unknown) => {
    explain(context, before.epoch)
    throw error
  })
  const balancedMs = Math.round(performance.now() - startMs)
  const { gapsMs, ...report } = await traffic.stop()

  // Counted to the very end: a change that calls for another one has not settled anything.
  const seen = seenAfter(cluster, before.epoch)
  if (options.verbose || seen.viewChanges > 1) explain(context, before.epoch)
  const plan = await planTotals(cluster, before.epoch)
  progress.done(`balanced after ${seconds(balancedMs)}: ${plan.moves} moves planned, ${plan.done} done, ${plan.superseded} superseded, ${plan.duplicates} twice`)
  const affected = affectedPartitions(before, await placementOf(client))
  const longest = (isAffected: boolean): number => Math.round(Math.max(0, ...[...gapsMs]
    .filter(([key]) => affected.has(partitionOf(key, before.partitions)) === isAffected).map(([, gapMs]) => gapMs)))
  const { verified, lost, failed } = await verify(context, client)
  return {
    nodes: count, ...seen, convergedMs, balancedMs, plan, verified, lost, unreadable: failed, ...balance, ...report,
    longestGapMs: longest(true), longestGapElsewhereMs: longest(false)
  }
}

/** Why there was each configuration after `epoch`, as one of the live nodes knows it. */
function explain ({ cluster, progress }: JobContext, epoch: number): void {
  const witness = cluster.live.find(node => (node.history.configurations[0]?.epoch ?? Infinity) <= epoch) ?? cluster.live[0]
  for (const seen of witness?.history.configurations ?? []) {
    if (seen.epoch > epoch) progress.say(`${seen.size} members: ${seen.reason}`)
  }
}

async function balanced ({ cluster, options, progress }: JobContext): Promise<{ unavailablePartitions: number }> {
  let unavailablePartitions = 0
  const now = { settled: 0, leftovers: 0, unavailable: 0 }
  const state = (): string => `the data moves: ${now.settled} of ${options.partitions} partitions are where they belong, ${now.leftovers} copies are left over`
  progress.step(state)
  await cluster.until(() => `${state()}, ${now.unavailable} partitions lack a majority; ${cluster.configurations}`, BALANCE_DEADLINE_MS, async () => {
    const statuses = await cluster.statuses()
    for (const field of ['settled', 'leftovers', 'unavailable'] as const) {
      now[field] = statuses.reduce((total, { partitions }) => total + partitions[field], 0)
    }
    unavailablePartitions = Math.max(unavailablePartitions, now.unavailable)
    const sameEpoch = statuses.every(({ epoch }) => epoch === statuses[0]!.epoch)
    return sameEpoch && now.settled === options.partitions && now.leftovers === 0 ? true : undefined
  })
  return { unavailablePartitions }
}

/** Partitions whose list of replicas, or its order, is another. */
function affectedPartitions (before: Placement, after: Placement): Set<number> {
  const affected = new Set<number>()
  for (let index = 0; index < before.partitions; index++) {
    const partition = index as Parameters<Placement['seats']>[0]
    if (before.seats(partition).join() !== after.seats(partition).join()) affected.add(index)
  }
  return affected
}
