/**
 * The benchmarks of a cluster of processes, at a small size: they measure what they say, and nothing of it is asserted of the time it takes.
 */
import { describe, expect, test } from 'vitest'
import { failoverBench } from '../bench/store/failover.ts'
import { kvBench } from '../bench/store/kv.ts'
import { rebalanceBench } from '../bench/store/rebalance.ts'

const KEYS = 2000
/** Bytes of a key of the rebalance and its value. */
const ENTRY_BYTES = 112

describe('benchmarks', () => {
  test('kv: one row for each case, of which leader and followers are told apart where one node leads', async () => {
    const rows = await kvBench({ durabilities: ['sync'], concurrencies: [16], valueBytes: [100], compileMs: 0 })
    expect(rows.map(({ operation, concurrency, keys }) => [operation, concurrency, keys])).toEqual([
      ['put', 16, 'all partitions'], ['put', 64, 'one partition'], ['get', 16, 'all partitions'], ['get', 64, 'one partition']
    ])
    for (const row of rows) {
      expect(row.p50Ms).toBeGreaterThan(0)
      expect(row.p99Ms).toBeGreaterThanOrEqual(row.p50Ms)
      expect(row.p999Ms).toBeGreaterThanOrEqual(row.p99Ms)
      expect(row.ratioToLimit).toBeGreaterThan(0)
      expect(row.ratioToLimit).toBeLessThan(1)
    }
    // Reads are answered by the leader alone, by its lease.
    const [, , , read] = rows
    if (process.platform === 'linux') expect(read!.leaderCpuUs).toBeGreaterThan(read!.followerCpuUs!)
  })

  test('failover: operations outlast a kill, and of the keys\' longest gaps there are the longest and the median', async () => {
    const [row] = await failoverBench({ only: 'kill' })
    expect(row).toMatchObject({ scenario: 'kill', runs: 1, failed: 0 })
    expect(row!.undisturbedMs).toBeGreaterThan(0)
    expect(row!.medianGapMs).toBeGreaterThan(0)
    expect(row!.gapMs).toBeGreaterThanOrEqual(row!.medianGapMs)
    await expect(failoverBench({ only: 'nothing' })).rejects.toMatchObject({ code: 'USAGE' })
  })

  test('rebalance: joins are one view change, move the lower bound, and each move once', async () => {
    const [row] = await rebalanceBench({ keys: KEYS, joins: [2] })
    expect(row).toMatchObject({ joined: 2, duplicates: 0, failed: 0 })
    // Processes of a busy machine may join one after the other.
    expect(row!.viewChanges).toBeLessThanOrEqual(2)
    expect(row!.moves).toBe(row!.lowerBound)
    expect(row!.done).toBeLessThanOrEqual(row!.moves)
    expect(row!.bytesLowerBound).toBe(Math.round(row!.moves * KEYS / 256 * ENTRY_BYTES))
    expect(row!.bytes).toBeGreaterThan(row!.bytesLowerBound / 2)
  })
})
