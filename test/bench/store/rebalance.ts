/**
 * Benchmark: what nodes that join at once cost: a cluster of three node processes with 100,000 keys of 100 bytes takes up 1, then 5, then
 * 20 more, while a client goes on reading and writing.
 */
import { connect } from '../../../store/index.ts'
import type { Client } from '../../../store/client/client.ts'
import type { NodeStatus } from '../../../store/node-status.ts'
import { ProcessCluster } from '../../../store/verify/process-cluster.ts'
import { quantile, rounded } from '../samples.ts'

export interface RebalanceRow {
  readonly joined: number
  readonly viewChanges: number
  /** Seats that stores were given; those superseded by a later view change included. */
  readonly moves: number
  readonly lowerBound: number
  readonly done: number
  readonly duplicates: number
  readonly bytes: number
  /** Keys and values of the moves, as if each were sent once: what a move of a whole partition must carry. */
  readonly bytesLowerBound: number
  /** From the start of the joiners' processes until everything is where it belongs. */
  readonly ms: number
  readonly p99BeforeMs: number
  readonly p99DuringMs: number
  readonly failed: number
}

const FIRST_NODES = 3
const JOINS = [1, 5, 20]
const KEYS = 100_000
const VALUE_BYTES = 100
const BATCH_KEYS = 5000
const PARTITIONS = 256
const WORKERS = 16
const UNDISTURBED_MS = 3000
const SETTLE_TIMEOUT_MS = 120_000

const value = new Uint8Array(VALUE_BYTES).fill(7)
const keyOf = (index: number): string => `key-${String(index).padStart(8, '0')}`

/** Reads and writes as long as it is not stopped, half and half. */
class Load {
  readonly #workers: Promise<void[]>
  #stopped = false
  #tookMs: number[] = []
  failed = 0

  constructor (client: Client<string, Uint8Array>, keys: number) {
    let turn = 0
    this.#workers = Promise.all(Array.from({ length: WORKERS }, async () => {
      while (!this.#stopped) {
        const key = keyOf((turn += 7919) % keys)
        const began = performance.now()
        try {
          await (turn % 2 === 0 ? client.get(key) : client.put(key, value))
          this.#tookMs.push(performance.now() - began)
        } catch (error) {
          if (!('code' in (error as object))) throw error
          this.failed++
        }
      }
    }))
  }

  /** The 99th percentile since the last call. */
  takeP99 (): number {
    const sorted = this.#tookMs.sort((a, b) => a - b)
    this.#tookMs = []
    return quantile(sorted, 0.99)
  }

  async stop (): Promise<void> {
    this.#stopped = true
    await this.#workers
  }
}

/** What all stores together say of the epochs after one. */
function totals (statuses: readonly NodeStatus[], after: number): Pick<RebalanceRow, 'viewChanges' | 'moves' | 'lowerBound' | 'done' | 'duplicates' | 'bytes'> {
  const epochs = new Set<number>()
  const sums = { moves: 0, lowerBound: 0, done: 0, duplicates: 0, bytes: 0 }
  for (const { rebalances } of statuses) {
    for (const { epoch, done, duplicates, bytes, moves, lowerBound } of rebalances) {
      if (epoch <= after) continue
      if (!epochs.has(epoch)) {
        epochs.add(epoch)
        sums.moves += moves
        sums.lowerBound += lowerBound
      }
      sums.done += done
      sums.duplicates += duplicates
      sums.bytes += bytes
    }
  }
  return { viewChanges: epochs.size, ...sums }
}

export interface RebalanceBenchOptions {
  /** @default 100,000 */
  readonly keys?: number | undefined
  /** How many nodes join at once, one step after the other. @default 1, 5 and 20 */
  readonly joins?: readonly number[]
}

/** Takes about a minute. */
export async function rebalanceBench ({ keys = KEYS, joins = JOINS }: RebalanceBenchOptions = {}): Promise<RebalanceRow[]> {
  const cluster = await ProcessCluster.form({ nodes: FIRST_NODES, partitions: PARTITIONS })
  const client = await connect<string, Uint8Array>(cluster.addresses, { valueEncoding: 'view', deadlineMs: 30_000 })
  const rows: RebalanceRow[] = []
  try {
    for (let from = 0; from < keys; from += BATCH_KEYS) {
      await client.batch(Array.from({ length: Math.min(BATCH_KEYS, keys - from) }, (_, index) => ({ type: 'put' as const, key: keyOf(from + index), value })))
    }
    const load = new Load(client, keys)
    try {
      for (const joined of joins) {
        const [{ epoch }] = await cluster.settled(client, undefined, SETTLE_TIMEOUT_MS) as [NodeStatus]
        load.takeP99()
        await new Promise<void>(resolve => { setTimeout(resolve, UNDISTURBED_MS) })
        const p99BeforeMs = load.takeP99()
        const failedBefore = load.failed
        const beganMs = performance.now()
        await cluster.grow(joined)
        const statuses = await cluster.settled(client, undefined, SETTLE_TIMEOUT_MS)
        const sums = totals(statuses, epoch)
        rows.push({
          joined,
          ...sums,
          bytesLowerBound: Math.round(sums.moves * keys / PARTITIONS * (keyOf(0).length + VALUE_BYTES)),
          ms: Math.round(performance.now() - beganMs),
          p99BeforeMs: rounded(p99BeforeMs),
          p99DuringMs: rounded(load.takeP99()),
          failed: load.failed - failedBefore
        })
      }
    } finally {
      await load.stop()
    }
  } finally {
    await client.close()
    await cluster.close()
  }
  return rows
}
