/**
 * Damaged directories of real processes (rule S8): one of LevelDB's files at a time is cut off or overwritten while its node is down. The
 * node says so and ends; with `--repair` it is replaced by a new store, which the others teach. Meanwhile they serve everything. In the end the
 * disks of all nodes have the same bytes.
 *
 * What opening finds in which damage is in test/bad-input/damage.test.ts.
 */
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { connect } from '../../store/client/client.ts'
import { setAside } from '../../store/start-node.ts'
import { checkDisks } from '../../store/verify/disk-check.ts'
import { ProcessCluster } from '../../store/verify/process-cluster.ts'
import { load, missing } from './traffic.ts'

const NODES = 3
const VICTIM = 2
const PARTITIONS = 16
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function changeFiles (directory: string, pattern: RegExp, change: (bytes: Buffer) => Buffer): Promise<void> {
  const names = (await readdir(directory)).filter(name => pattern.test(name))
  expect(names, `files like ${String(pattern)}`).not.toEqual([])
  for (const name of names) {
    const file = await open(join(directory, name), 'r+')
    const changed = change(await file.readFile())
    await file.truncate(changed.length)
    await file.write(changed, 0, changed.length, 0)
    await file.close()
  }
}

const half = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length >> 1)

/** Every node is opened once more before it is damaged, so that it has a table as well as a log. */
const damages: readonly (readonly [string, RegExp, (bytes: Buffer) => Buffer])[] = [
  ['manifest cut off', /^MANIFEST/, half],
  ['manifest overwritten', /^MANIFEST/, bytes => { bytes.fill(0xff, 4, 20); return bytes }],
  ['pointer to the manifest cut off', /^CURRENT$/, half],
  ['table cut off', /\.ldb$/, half]
]

test('a node whose directory was damaged says so, and with --repair is replaced by a new store that the others teach', async () => {
  const cluster = await ProcessCluster.form({ nodes: NODES, partitions: PARTITIONS })
  cleanups.push(() => cluster.close())
  const client = await connect([0, 1].map(index => cluster.address(index)))
  cleanups.push(() => client.close())
  await load(client)
  const directory = cluster.directory(VICTIM)
  let { storeId } = (await cluster.settled(client))[VICTIM]!
  for (const [name, pattern, change] of damages) {
    cluster.node(VICTIM).signal('SIGTERM')
    await cluster.node(VICTIM).exit()
    await cluster.restart(VICTIM).event('joined')
    await cluster.node(VICTIM).kill()
    await changeFiles(directory, pattern, change)

    const refused = cluster.restart(VICTIM)
    expect(await refused.exit(), name).toEqual({ code: 1, signal: null })
    expect(refused.errors, name).toMatch(/^STORE_DIRECTORY_DAMAGED: /m)
    expect(await missing(client)).toEqual([])

    cluster.move(VICTIM, cluster.address(VICTIM), ['--repair', '--seed', cluster.address(0)])
    const joined = await cluster.joined(VICTIM)
    expect(joined.storeId, name).not.toBe(storeId)
    storeId = joined.storeId
    const statuses = await cluster.settled(client)
    // All partitions have three replicas, so the new store has been taught every one.
    expect(statuses[VICTIM], name).toMatchObject({ storeId, partitions: { seats: PARTITIONS } })
    expect(await missing(client), name).toEqual([])
  }
  expect((await readdir(cluster.root)).filter(name => name.includes('damaged'))).toHaveLength(damages.length)

  // What LevelDB finds no directory in says nothing about what was there: nobody but an operator may put it away.
  await cluster.node(VICTIM).kill()
  await changeFiles(directory, /^CURRENT$/, () => Buffer.from('MANIFEST-999999\n'))
  for (const args of [[], ['--repair', '--seed', cluster.address(0)]]) {
    cluster.move(VICTIM, cluster.address(VICTIM), args)
    expect(await cluster.node(VICTIM).exit()).toEqual({ code: 1, signal: null })
    expect(cluster.node(VICTIM).errors).toMatch(/^STORE_DIRECTORY_INVALID: /m)
  }
  setAside(directory)
  cluster.move(VICTIM, cluster.address(VICTIM), ['--seed', cluster.address(0)])
  await cluster.joined(VICTIM)
  await cluster.quiet(client)
  expect(await missing(client)).toEqual([])
  await cluster.killAll()
  expect(await checkDisks(cluster, [0, 1, VICTIM], PARTITIONS)).toMatchObject({ problems: [], copies: NODES * PARTITIONS })
})
