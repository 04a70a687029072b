/**
 * `coterie force` on a cluster of processes that lost two of its five nodes with their directories: what it says, and what it does.
 */
import { rm } from 'node:fs/promises'
import { afterEach, expect, test } from 'vitest'
import { connect } from '../../store/client/client.ts'
import { StoreError } from '../../store/errors.ts'
import { eventually, PATIENCE_MS } from '../../store/verify/eventually.ts'
import { runCli } from '../../store/verify/node-process.ts'
import { ProcessCluster } from '../../store/verify/process-cluster.ts'
import { load, missing } from './traffic.ts'

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Report {
  readonly carriedOut: boolean
  readonly epoch: number
  readonly stores: readonly string[]
  readonly partitions: readonly { readonly partition: number, readonly survivor: string, readonly empty: boolean }[]
}

test('coterie force says what would be lost, and with --accept-loss has the partitions go on', async () => {
  const cluster = await ProcessCluster.form({ nodes: 5, partitions: 32 })
  cleanups.push(() => cluster.close())
  const client = await connect(cluster.addresses.slice(0, 3))
  cleanups.push(() => client.close())
  await load(client)
  const lost = (await cluster.settled(client)).slice(3).map(({ storeId }) => storeId)
  await Promise.all([3, 4].map(index => cluster.node(index).kill()))
  await Promise.all([3, 4].map(index => rm(cluster.directory(index), { recursive: true })))
  let unavailable = 0
  await eventually(PATIENCE_MS, async () => {
    const statuses = await cluster.statuses(client, [0, 1, 2])
    unavailable = statuses.reduce((sum, { partitions }) => sum + partitions.unavailable, 0)
    return statuses.every(({ members }) => members === 3) && unavailable > 0 ? undefined : `members: ${statuses.map(({ members }) => members).join()}; ${unavailable} unavailable`
  })
  const force = (...args: string[]): ReturnType<typeof runCli> =>
    runCli(['force', '--node', cluster.address(1), ...lost.flatMap(store => ['--store', store]), ...args])

  const dry = await force()
  expect(dry).toMatchObject({ code: 0, stderr: '' })
  expect(dry.stdout.match(/^partition \d+: store \w+ goes on/gm)).toHaveLength(unavailable)
  expect(dry.stdout).toContain('--accept-loss')
  const error = await client.getMany(Array.from({ length: 300 }, (_, index) => `loaded-${index}`), { deadlineMs: 1500 }).then(() => undefined, (error: unknown) => error)
  expect(error).toBeInstanceOf(StoreError)

  const mistaken = await runCli(['force', '--node', cluster.address(1), '--store', (await cluster.statuses(client, [2]))[0]!.storeId, '--accept-loss'])
  expect(mistaken).toMatchObject({ code: 1 })
  expect(mistaken.stderr).toMatch(/^STORE_FORCE_REFUSED: .*is in the cluster/)

  const done = await force('--accept-loss', '--json')
  expect(done).toMatchObject({ code: 0, stderr: '' })
  const report = JSON.parse(done.stdout) as Report
  expect(report).toMatchObject({ carriedOut: true, stores: [...lost].sort() })
  expect(report.partitions).toHaveLength(unavailable)
  expect(report.partitions.every(({ empty }) => !empty)).toBe(true)
  // Everything had reached all three replicas, so nothing is lost with two of them.
  await cluster.settled(client, [0, 1, 2])
  expect(await missing(client)).toEqual([])
  await load(client)
  expect(await missing(client)).toEqual([])
})
