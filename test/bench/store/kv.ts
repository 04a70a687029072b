/**
 * Benchmark: puts and linearizable gets of a client process on a cluster of three node processes, LevelDB on disk.
 *
 * `ratioToLimit` compares with raw `ws` between two processes in the same run, with as many outstanding and all that is ready in one
 * frame. A put costs at least two such round trips and, with `sync`, an fsync between them. CPU times are those of this process (the
 * client) and of all nodes together, per operation. In the rows over `one partition` one node leads everything, so that leader and
 * followers can be told apart.
 *
 * With `os` a node acknowledges what its operating system has, and no put waits for an fsync.
 */
import { connect } from '../../../store/index.ts'
import type { Client } from '../../../store/client/client.ts'
import type { Durability } from '../../../store/group/synced-log.ts'
import { ProcessCluster } from '../../../store/verify/process-cluster.ts'
import { measureRawWebSocket } from '../limits/raw-ws.ts'
import { rounded } from '../samples.ts'
import { closedLoop } from './closed-loop.ts'
import { cpuTimeMs } from './cpu-time.ts'

export interface KvRow {
  readonly operation: 'put' | 'get'
  readonly concurrency: number
  readonly valueBytes: number
  readonly durability: Durability
  readonly keys: 'all partitions' | 'one partition'
  readonly opsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly ratioToLimit: number
  readonly clientCpuUs: number
  readonly nodesCpuUs?: number
  readonly leaderCpuUs?: number
  /** The mean of the two. */
  readonly followerCpuUs?: number
}

const NODES = 3
const KEYS = 10_000
const CONCURRENCIES = [1, 16, 64, 256]
const VALUE_BYTES = [100, 1024]
const LIMIT_RUN_MS = 300
const LIMIT_RUNS = 3
const COMPILE_MS = 2000
const WARM_UP_MS = 250
const WINDOW_MS = 300
const WINDOWS = 3

interface Target { readonly cluster: ProcessCluster, readonly client: Client<string, Uint8Array>, readonly limits: ReadonlyMap<number, number> }
type Case = Pick<KvRow, 'operation' | 'concurrency' | 'valueBytes' | 'durability' | 'keys'>

async function measure ({ cluster, client, limits }: Target, case_: Case): Promise<KvRow> {
  const { operation, concurrency, valueBytes, keys } = case_
  const value = new Uint8Array(valueBytes).fill(7)
  const prefix = keys === 'one partition' ? '{one}' : ''
  let turn = 0
  // Keys in an order without a pattern, each as often as the others.
  const key = (): string => `${prefix}key-${(turn = (turn + 7919) % KEYS)}`
  if (operation === 'get') {
    for (let from = 0; from < KEYS; from += 1000) {
      await client.batch(Array.from({ length: 1000 }, (_, index) => ({ type: 'put' as const, key: `${prefix}key-${from + index}`, value })))
    }
  }
  const pids = Array.from({ length: NODES }, (_, index) => cluster.node(index).pid)
  const nodes: (number | undefined)[][] = []
  const clients: NodeJS.CpuUsage[] = []
  const result = await closedLoop(operation === 'put' ? () => client.put(key(), value) : () => client.get(key()), {
    concurrency,
    warmUpMs: WARM_UP_MS,
    windowMs: WINDOW_MS,
    windows: WINDOWS,
    edge: () => { nodes.push(pids.map(cpuTimeMs)); clients.push(process.cpuUsage()) }
  })
  const perOperationUs = (ms: number): number => rounded(ms * 1000 / result.operations)
  const [first, last] = clients
  const usedMs = pids.map((_, index) => nodes[1]![index] === undefined ? undefined : nodes[1]![index]! - nodes[0]![index]!)
  const known = usedMs.filter(ms => ms !== undefined).sort((a, b) => b - a)
  const [leader = 0, ...followers] = known
  return {
    ...case_,
    opsPerSecond: Math.round(result.opsPerSecond),
    p50Ms: rounded(result.p50Ms),
    p99Ms: rounded(result.p99Ms),
    p999Ms: rounded(result.p999Ms),
    ratioToLimit: rounded(result.opsPerSecond / limits.get(concurrency)!),
    clientCpuUs: perOperationUs((last!.user - first!.user + last!.system - first!.system) / 1000),
    ...known.length < NODES ? {} : keys === 'one partition'
      ? { leaderCpuUs: perOperationUs(leader), followerCpuUs: perOperationUs(followers.reduce((sum, ms) => sum + ms, 0) / followers.length) }
      : { nodesCpuUs: perOperationUs(known.reduce((sum, ms) => sum + ms, 0)) }
  }
}

async function compile (client: Target['client'], compileMs: number): Promise<void> {
  let turn = 0
  const value = new Uint8Array(100)
  for (const operation of [() => client.put(`key-${turn++ % KEYS}`, value), () => client.get(`key-${turn++ % KEYS}`)]) {
    await closedLoop(operation, { concurrency: 64, warmUpMs: compileMs, windowMs: 1, windows: 1 })
  }
}

export interface KvBenchOptions {
  /** @default both */
  readonly durabilities?: readonly Durability[]
  /** Among 1, 16, 64 and 256. @default all of them */
  readonly concurrencies?: readonly number[]
  /** @default 100 and 1024 */
  readonly valueBytes?: readonly number[]
  /** A cluster is used for so long with each operation before anything is measured, or the first rows would measure the compiler. @default 2000 */
  readonly compileMs?: number
  readonly progress?: (text: string) => void
}

/** Requests per second of raw `ws`, by how many are outstanding: medians. */
async function rawLimits (): Promise<Map<number, number>> {
  const rows = await measureRawWebSocket(LIMIT_RUN_MS, LIMIT_RUNS)
  return new Map(CONCURRENCIES.map(outstanding => [outstanding, rows.find(({ limit }) => limit === `ws: ${outstanding} outstanding, all in one frame`)!.value]))
}

/** Takes about a minute. */
export async function kvBench (options: KvBenchOptions = {}): Promise<KvRow[]> {
  const {
    durabilities = ['sync', 'os'], concurrencies = CONCURRENCIES, valueBytes: lengths = VALUE_BYTES, compileMs = COMPILE_MS, progress = () => {}
  } = options
  const limits = await rawLimits()
  const rows: KvRow[] = []
  for (const durability of durabilities) {
    const cluster = await ProcessCluster.form({ nodes: NODES, args: ['--durability', durability] })
    const client = await connect<string, Uint8Array>(cluster.addresses, { valueEncoding: 'view' })
    try {
      const target = { cluster, client, limits }
      await compile(client, compileMs)
      const cases = lengths.flatMap(valueBytes => (['put', 'get'] as const).flatMap(operation => [
        ...concurrencies.map((concurrency): Case => ({ operation, concurrency, valueBytes, durability, keys: 'all partitions' })),
        ...valueBytes === 100 ? [{ operation, concurrency: 64, valueBytes, durability, keys: 'one partition' } satisfies Case] : []
      ]))
      for (const case_ of cases) {
        const row = await measure(target, case_)
        progress(`${row.operation}, ${row.concurrency} at once, ${row.valueBytes} B, ${row.durability}, ${row.keys}: ${row.opsPerSecond}/s`)
        rows.push(row)
      }
    } finally {
      await client.close()
      await cluster.close()
    }
  }
  return rows
}
