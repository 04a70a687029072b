/** `coterie leave` on a cluster of processes: what it says, what it refuses, and that the process of the node ends by itself. */
import { afterEach, expect, test } from 'vitest'
import { connect } from '../../store/client/client.ts'
import { PATIENCE_MS } from '../../store/verify/eventually.ts'
import { runCli } from '../../store/verify/node-process.ts'
import { ProcessCluster } from '../../store/verify/process-cluster.ts'
import { load, missing } from './traffic.ts'

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

test('a node that is asked to leave moves everything away, leaves, and ends with exit code 0', async () => {
  const cluster = await ProcessCluster.form({ nodes: 5, partitions: 32 })
  cleanups.push(() => cluster.close())
  const client = await connect(cluster.addresses.slice(0, 2))
  cleanups.push(() => client.close())
  await load(client)
  await cluster.settled(client)
  const leave = (index: number, ...args: string[]): ReturnType<typeof runCli> =>
    runCli(['leave', '--node', cluster.address(index), ...args], { timeoutMs: PATIENCE_MS })
  const members = async (): Promise<number> => (await cluster.statuses(client, [0]))[0]!.members

  const drained = await leave(4, '--json')
  expect(drained.code, drained.stderr).toBe(0)
  expect(JSON.parse(drained.stdout)).toMatchObject({ ok: true, nodes: [{ node: cluster.address(4) }] })
  expect((await cluster.node(4).event('left')).address).toBe(cluster.address(4))
  expect(await cluster.node(4).exit(PATIENCE_MS)).toEqual({ code: 0, signal: null })
  expect(await members()).toBe(4)
  expect(await missing(client)).toEqual([])

  const told = await leave(3)
  expect(told).toMatchObject({ code: 0, stdout: `${cluster.address(3)}: left\n` })
  expect(told.stderr).toContain(`${cluster.address(3)}: draining; `)
  expect(await cluster.node(3).exit(PATIENCE_MS)).toEqual({ code: 0, signal: null })
  expect(await missing(client)).toEqual([])

  // Three are left, for three replicas: the lead moves alone. Of two, none can be spared, unless it is told to go.
  expect((await leave(2)).code).toBe(0)
  const refused = await leave(1)
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toMatch(/STORE_TOO_FEW_STORES: .* stays: .* would stand still/)
  expect([await members(), cluster.node(1).ended]).toEqual([2, false])
  expect((await leave(1, '--now')).code).toBe(0)
  expect(await cluster.node(1).exit(PATIENCE_MS)).toEqual({ code: 0, signal: null })
  expect(await members()).toBe(1)
})
