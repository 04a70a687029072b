/**
 * Benchmark: one large partition moves from a node process to another, while a client goes on writing and reading in it, both with a
 * heap of V8 that is much smaller. What the two need of memory must not grow with the partition.
 *
 * The peaks are those of the anonymous part of the resident set during the handover, looked at again and again: what the processes
 * allocated, LevelDB's part of it included, without the files that LevelDB has mapped, which the system takes back as it likes. `grew` is
 * what they are above what there was before.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '../../../store/index.ts'
import type { Client } from '../../../store/client/client.ts'
import type { NodeStatus } from '../../../store/node-status.ts'
import { eventually } from '../../../store/verify/eventually.ts'
import { runCli } from '../../../store/verify/node-process.ts'
import { ProcessCluster } from '../../../store/verify/process-cluster.ts'
import { rounded } from '../samples.ts'

export interface HandoverRow {
  readonly mebibytes: number
  readonly valueBytes: number
  readonly heapMiB: number
  readonly ms: number
  readonly mebibytesPerSecond: number
  readonly sourcePeakMiB: number
  readonly sourceGrewMiB: number
  readonly targetPeakMiB: number
  readonly targetGrewMiB: number
  /** Snapshots that had to begin again. */
  readonly restarted: number
  readonly written: number
  readonly longestGapMs: number
}

const VALUE_BYTES = 16 * 1024
const BATCH = 64
const HEAP_MIB = 48
const WRITE_PAUSE_MS = 5
const LOOK_MS = 20
const TIMEOUT_MS = 600_000

/** Twice as long as a value, so that each key has another one, and such that LevelDB cannot compress them. */
const noise = randomBytes(2 * VALUE_BYTES)
const valueOf = (index: number): Buffer => noise.subarray(index % VALUE_BYTES, index % VALUE_BYTES + VALUE_BYTES)
const keyOf = (index: number): string => `key-${String(index).padStart(8, '0')}`

/** What a process has allocated, in MiB. */
function allocated (pid: number): number {
  const found = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  if (found === null) throw new Error('this system does not say what a process has allocated')
  return Number(found[1]) / 1024
}

/** Looks at processes until it is aborted. @returns the most that each had */
async function peaksOf (pids: readonly number[], signal: AbortSignal): Promise<number[]> {
  const peaks = pids.map(allocated)
  while (!signal.aborted) {
    await delay(LOOK_MS)
    pids.forEach((pid, index) => { peaks[index] = Math.max(peaks[index]!, allocated(pid)) })
  }
  return peaks
}

/** Writes and reads back keys of its own until it is stopped. */
async function traffic (client: Client<string, Uint8Array>, signal: AbortSignal): Promise<{ written: number, longestGapMs: number }> {
  let written = 0
  let longestGapMs = 0
  for (let last = performance.now(); !signal.aborted;) {
    const key = `during-${written % 1000}`
    await client.put(key, Buffer.from(String(written)))
    const found = await client.get(key)
    if (found === undefined || Buffer.from(found).toString() !== String(written)) throw new Error(`${key} was read with another value than was written`)
    written++
    const now = performance.now()
    longestGapMs = Math.max(longestGapMs, now - last)
    last = now
    await delay(WRITE_PAUSE_MS)
  }
  return { written, longestGapMs }
}

/** @param mebibytes of values. A gibibyte takes a few minutes. @throws {Error} where the data is not the same afterwards, or on no Linux */
export async function handoverBench (mebibytes = 128): Promise<HandoverRow[]> {
  if (process.platform !== 'linux') throw new Error('the resident set of another process is read from /proc, which only Linux has')
  const keys = mebibytes * 1024 * 1024 / VALUE_BYTES
  const cluster = await ProcessCluster.form({ nodes: 2, partitions: 1, replicas: 1, nodeArgs: [`--max-old-space-size=${HEAP_MIB}`] })
  const client = await connect<string, Uint8Array>(cluster.addresses, { valueEncoding: 'view', deadlineMs: 60_000 })
  try {
    for (let from = 0; from < keys; from += BATCH) {
      await client.batch(Array.from({ length: Math.min(BATCH, keys - from) }, (_, index) => ({ type: 'put' as const, key: keyOf(from + index), value: valueOf(from + index) })))
    }
    const before = await cluster.statuses(client)
    const source = before.findIndex(({ partitions }) => partitions.seats === 1)
    const target = 1 - source
    const pids = [cluster.node(source).pid, cluster.node(target).pid]
    const rest = pids.map(allocated)
    const ended = new AbortController()
    const watch = peaksOf(pids, ended.signal)
    const load = traffic(client, ended.signal)
    const began = performance.now()
    const { code, stderr } = await runCli(['drain', '--no-wait', '--node', cluster.address(source)])
    if (code !== 0) throw new Error(`drain ended with ${code}: ${stderr}`)
    await eventually(TIMEOUT_MS, async () => {
      const { drain } = await client.nodeStatus(cluster.address(source)) as NodeStatus
      return drain?.state === 'drained' ? undefined : `the source is ${drain?.state}`
    })
    const ms = performance.now() - began
    ended.abort()
    const peaks = await watch
    const { written, longestGapMs } = await load
    let found = 0
    for await (const [key, held] of client.iterator({ gte: 'key-', lt: 'key.' })) {
      if (key !== keyOf(found) || Buffer.compare(held, valueOf(found)) !== 0) throw new Error(`${key} has another value after the handover, or one before it is missing`)
      found++
    }
    if (found !== keys) throw new Error(`${found} of ${keys} keys are there after the handover`)
    const [status] = await cluster.statuses(client, [target])
    return [{
      mebibytes,
      valueBytes: VALUE_BYTES,
      heapMiB: HEAP_MIB,
      ms: Math.round(ms),
      mebibytesPerSecond: rounded(mebibytes / ms * 1000),
      sourcePeakMiB: Math.round(peaks[0]!),
      sourceGrewMiB: Math.round(peaks[0]! - rest[0]!),
      targetPeakMiB: Math.round(peaks[1]!),
      targetGrewMiB: Math.round(peaks[1]! - rest[1]!),
      restarted: status!.rebalances.reduce((sum, { restarted }) => sum + restarted, 0),
      written,
      longestGapMs: rounded(longestGapMs)
    }]
  } finally {
    await client.close()
    await cluster.close()
  }
}
