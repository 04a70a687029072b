/**
 * A cluster of one comes back by itself, with its data (rule M4 for N = 1), and takes others in afterwards.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { connect, startNode } from '../../store/index.ts'

test('M4: a store that was alone goes on in the same cluster, one epoch later, without being told any seed', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'coterie-alone-'))
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  try {
    let clusterId: string | undefined
    for (let run = 1; run <= 3; run++) {
      const node = await startNode({ directory: join(directory, 'a'), found: true, partitions: 8 }, { log })
      const status = node.status()
      clusterId ??= status.clusterId
      expect(status).toMatchObject({ clusterId, epoch: run, members: 1 })
      const db = await connect([node.address])
      if (run > 1) expect(await db.get('key')).toBe(`value ${run - 1}`)
      await db.put('key', `value ${run}`)
      await db.close()
      if (run === 3) {
        const other = await startNode({ directory: join(directory, 'b'), seeds: [node.address] }, { log })
        expect(other.status()).toMatchObject({ clusterId, epoch: 4, members: 2 })
        // As it crosses the wire, for `coterie status --json`.
        const told = await connect([other.address])
        const metrics = { counters: { viewChanges: { joined: 1, founded: 0 } }, gauges: { epoch: 4, members: 2 } }
        expect(await told.nodeStatus(other.address)).toMatchObject({ membershipMetrics: metrics })
        await told.close()
        await other.close()
      }
      await node.close()
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
})
