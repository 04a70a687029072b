/**
 * A partition that is larger than the memory its processes may take moves from one to the other, while a client writes.
 */
import { expect, test } from 'vitest'
import { handoverBench } from '../bench/store/handover.ts'

const MEBIBYTES = 96
/** What a process may allocate for a handover: the garbage of a few pieces, LevelDB's buffers, and code that runs for the first time. */
const GREW_MIB_MAX = 64

test.runIf(process.platform === 'linux')('a handover takes memory that does not depend on the size of the partition', async () => {
  const [row] = await handoverBench(MEBIBYTES)
  expect(row!.sourceGrewMiB).toBeLessThan(GREW_MIB_MAX)
  expect(row!.targetGrewMiB).toBeLessThan(GREW_MIB_MAX)
  expect(row).toMatchObject({ restarted: 0 })
  expect(row!.written).toBeGreaterThan(0)
})
