/**
 * A disk that is really full: one node of three keeps its directory in a small file system of its own, which clients fill.
 *
 * Needs the right to mount; without it the test is skipped, and the simulator's disks (test/sim/store-disks.test.ts) stand alone.
 *
 * Mutation caught: a store goes on after a failed write.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { type Client, connect } from '../../store/client/client.ts'
import { levelStorage } from '../../store/start-node.ts'
import { BINARY, decodeValue, ranges, userKeyOf } from '../../store/storage/layout.ts'
import { openStore } from '../../store/storage/open.ts'
import { eventually, PATIENCE_MS } from '../../store/verify/eventually.ts'
import { ProcessCluster } from '../../store/verify/process-cluster.ts'

const run = promisify(execFile)

const VICTIM = 2
/** LevelDB's log takes 4 MiB before it becomes a table; this has room for some tables, so that there are files of each kind. */
const DISK_MIB = 16
/** Large enough that the disk is full in the middle of a record of LevelDB's log. */
const VALUE_BYTES = 40_000
/** More than the disk can hold: it must be full before. */
const WRITES_MAX = 2 * DISK_MIB * 1024 * 1024 / VALUE_BYTES
const TOGETHER = 8

const cleanups: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Mounts a file system of that size in memory. Undefined where this process may not. */
async function smallDisk (): Promise<string | undefined> {
  const path = await mkdtemp(join(tmpdir(), 'coterie-disk-'))
  cleanups.push(() => rm(path, { recursive: true, force: true }))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'coterie-test', path])
  } catch {
    return undefined
  }
  cleanups.push(() => run('umount', [path]))
  return path
}

/** Writes until told to end. Every write that is acknowledged goes into `acknowledged`; one that fails ends the test. */
async function fill (client: Client, acknowledged: Map<string, string>, ended: () => boolean): Promise<void> {
  for (let first = 0; first < WRITES_MAX && !ended(); first += TOGETHER) {
    await Promise.all(Array.from({ length: TOGETHER }, async (_, index) => {
      const key = `filler ${first + index}`
      // LevelDB compresses what it can.
      const value = randomBytes(VALUE_BYTES * 3 / 4).toString('base64')
      await client.put(key, value)
      acknowledged.set(key, value)
    }))
  }
  expect(ended(), 'the disk is full').toBe(true)
}

/** What is in the directory of a node that has ended, its log included. */
async function contents (directory: string): Promise<Map<string, string>> {
  const database = levelStorage(directory)
  const { partitions } = await openStore(database, directory, 'coterie', new SeededRandom(1))
  const found = new Map<string, string>()
  try {
    for await (const [key, record] of database.iterator<Uint8Array, Uint8Array>({ ...ranges.data, ...BINARY })) {
      found.set(Buffer.from(userKeyOf(key)).toString(), Buffer.from(decodeValue(key, record).value).toString())
    }
    for (const { state, entries } of partitions.values()) {
      for (const { seq, body } of entries) {
        if (body.kind !== 'write' || seq <= state.applied) continue
        for (const operation of body.operations ?? []) {
          if (operation.kind === 'put') found.set(Buffer.from(operation.key).toString(), Buffer.from(operation.value).toString())
        }
      }
    }
  } finally {
    await database.close()
  }
  return found
}

async function expectAll (client: Client, expected: ReadonlyMap<string, string>): Promise<void> {
  for (const [key, value] of expected) expect((await client.get(key)) === value, key).toBe(true)
}

test('a node whose disk is full ends and says why; nothing is lost; with room again it is brought up to date', async context => {
  const disk = await smallDisk()
  if (disk === undefined) return context.skip('this process may not mount a file system: run as root, with CAP_SYS_ADMIN')
  const directory = join(disk, 'data')
  const cluster = await ProcessCluster.form({ nodes: 3, partitions: 16, directories: new Map([[VICTIM, directory]]) })
  cleanups.push(() => cluster.close())
  const client = await connect([0, 1].map(index => cluster.address(index)))
  cleanups.push(() => client.close())
  const { storeId } = (await cluster.settled(client))[VICTIM]!
  const acknowledged = new Map<string, string>()

  const victim = cluster.node(VICTIM)
  await fill(client, acknowledged, () => victim.ended)
  expect(await victim.exit()).toEqual({ code: 1, signal: null })
  expect(victim.errors).toMatch(/^STORE_FAILED: .*No space left on device/m)
  await eventually(PATIENCE_MS, async () => {
    const counts = (await cluster.statuses(client, [0, 1])).map(({ members }) => members)
    return counts.every(count => count === 2) ? undefined : `members counted: ${counts.join()}`
  })
  await expectAll(client, acknowledged)

  // Still no room: it says so, and does not take part.
  const refused = cluster.restart(VICTIM)
  expect(await refused.exit()).toEqual({ code: 1, signal: null })
  expect(refused.errors).toMatch(/^STORE_\w+: .*No space left on device/m)
  expect(refused.errors).not.toContain('DAMAGED')
  await expectAll(client, acknowledged)

  await run('mount', ['-o', `remount,size=${8 * DISK_MIB}m`, disk])
  cluster.restart(VICTIM)
  expect((await cluster.settled(client))[VICTIM]!.storeId).toBe(storeId)
  await expectAll(client, acknowledged)

  cluster.node(VICTIM).signal('SIGTERM')
  expect(await cluster.node(VICTIM).exit()).toEqual({ code: 0, signal: null })
  const found = await contents(directory)
  expect([...acknowledged].filter(([key, value]) => found.get(key) !== value).map(([key]) => key)).toEqual([])
})
