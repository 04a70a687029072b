/**
 * Benchmark: what large values do to small operations. A client writes and reads values of 8 MiB without a pause, while one puts and gets
 * values of 100 bytes at a fixed rate: in partitions that have no large values, and in the very same.
 *
 * A small operation is timed from when it was due, so that what a busy client begins late counts in full. `p99OverNone` compares with the same
 * operations while nobody moves large values. Each load is looked at in several rounds, in turn; a row is the median over its rounds.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { partitionOf } from '../../../ring/index.ts'
import { connect } from '../../../store/index.ts'
import type { Client } from '../../../store/client/client.ts'
import { ProcessCluster } from '../../../store/verify/process-cluster.ts'
import { median, quantile, rounded } from '../samples.ts'
import { LargeValues } from './large-load-loop.ts'

const LOADS = ['none', 'another client', 'the same client'] as const
const KEYS = ['other partitions', 'same partitions'] as const
const OPERATIONS = ['put', 'get'] as const

export interface LargeValuesRow {
  readonly operation: typeof OPERATIONS[number]
  readonly load: typeof LOADS[number]
  readonly keys: typeof KEYS[number]
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p50OverNone: number
  readonly p99OverNone: number
  /** Large values written and read meanwhile. */
  readonly largeMebibytesPerSecond: number
}

const NODES = 3
const PARTITIONS = 64
const LARGE_BYTES = 8 * 1024 * 1024
const LARGE_KEYS = 8
const SMALL_BYTES = 100
const SMALL_KEYS = 500
/** Between two small operations of a kind. */
const PAUSE_MS = 25
const WARM_UP_MS = 500
const WINDOW_MS = 5000

type Cell = Record<typeof OPERATIONS[number], Record<typeof KEYS[number], number[]>>

const encoder = new TextEncoder()
const partition = (key: string): number => partitionOf(encoder.encode(key), PARTITIONS)

/** Performs operations when they are due, whether or not earlier ones have ended, and notes how long after that each was done. */
async function openLoop (operation: (turn: number) => Promise<unknown>, tookMs: number[]): Promise<void> {
  const beganMs = performance.now()
  const all: Promise<void>[] = []
  for (let turn = 0; turn * PAUSE_MS < WINDOW_MS; turn++) {
    const dueMs = beganMs + turn * PAUSE_MS
    const earlyMs = dueMs - performance.now()
    if (earlyMs > 0) await delay(earlyMs)
    all.push(operation(turn).then(() => { tookMs.push(performance.now() - dueMs) }))
  }
  await Promise.all(all)
}

interface Smalls { readonly client: Client<string, Uint8Array>, readonly keys: Record<typeof KEYS[number], readonly string[]> }

async function smallOperations ({ client, keys }: Smalls): Promise<Cell> {
  const value = new Uint8Array(SMALL_BYTES).fill(7)
  const cell: Cell = { put: { 'other partitions': [], 'same partitions': [] }, get: { 'other partitions': [], 'same partitions': [] } }
  await Promise.all(KEYS.flatMap(kind => {
    const key = (turn: number): string => keys[kind][turn * 37 % keys[kind].length]!
    return [
      openLoop(turn => client.put(key(turn), value), cell.put[kind]),
      openLoop(turn => client.get(key(turn)), cell.get[kind])
    ]
  }))
  for (const times of Object.values(cell).flatMap(Object.values) as number[][]) times.sort((a, b) => a - b)
  return cell
}

interface Load { start (): void, stop (): Promise<number> }
const NO_LOAD: Load = { start: () => {}, stop: async () => 0 }

/** @param rounds in which each load is looked at. A round takes about 20 seconds. */
export async function largeValuesBench (rounds = 3): Promise<LargeValuesRow[]> {
  const cluster = await ProcessCluster.form({ nodes: NODES, partitions: PARTITIONS })
  const client = await connect<string, Uint8Array>(cluster.addresses, { valueEncoding: 'view', deadlineMs: 60_000 })
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const child = fork(new URL(`./large-load.${extension}`, import.meta.url))
  try {
    const large = Array.from({ length: LARGE_KEYS }, (_, index) => `large-${index}`)
    const taken = new Set(large.map(partition))
    const candidates = Array.from({ length: 100 * SMALL_KEYS }, (_, index) => `small-${index}`)
    const keys = {
      'same partitions': candidates.filter(key => taken.has(partition(key))).slice(0, SMALL_KEYS),
      'other partitions': candidates.filter(key => !taken.has(partition(key))).slice(0, SMALL_KEYS)
    }
    child.send({ addresses: cluster.addresses, keys: large, valueBytes: LARGE_BYTES })
    await once(child, 'message')
    const loads: Record<typeof LOADS[number], Load> = {
      none: NO_LOAD,
      'another client': { start: () => { child.send('start') }, stop: async () => { child.send('stop'); return (await once(child, 'message'))[0] as number } },
      'the same client': new LargeValues(client, large, LARGE_BYTES)
    }
    await smallOperations({ client, keys })
    const cells = new Map<typeof LOADS[number], Cell[]>(LOADS.map(load => [load, []]))
    const moved = new Map<typeof LOADS[number], number[]>(LOADS.map(load => [load, []]))
    for (let round = 0; round < rounds; round++) {
      for (const load of LOADS) {
        const beganMs = performance.now()
        loads[load].start()
        await delay(WARM_UP_MS)
        cells.get(load)!.push(await smallOperations({ client, keys }))
        moved.get(load)!.push(await loads[load].stop() * LARGE_BYTES / 2 ** 20 / (performance.now() - beganMs) * 1000)
      }
    }
    const over = (load: typeof LOADS[number], operation: typeof OPERATIONS[number], kind: typeof KEYS[number], share: number): number =>
      median(cells.get(load)!.map(cell => quantile(cell[operation][kind], share)))
    return KEYS.flatMap(kind => OPERATIONS.flatMap(operation => LOADS.map((load): LargeValuesRow => {
      const [p50Ms, p99Ms] = [over(load, operation, kind, 0.5), over(load, operation, kind, 0.99)]
      return {
        operation,
        load,
        keys: kind,
        p50Ms: rounded(p50Ms),
        p99Ms: rounded(p99Ms),
        p50OverNone: rounded(p50Ms / over('none', operation, kind, 0.5)),
        p99OverNone: rounded(p99Ms / over('none', operation, kind, 0.99)),
        largeMebibytesPerSecond: rounded(median(moved.get(load)!))
      }
    })))
  } finally {
    child.kill()
    await client.close()
    await cluster.close()
  }
}
