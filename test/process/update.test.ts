/**
 * What an operator does to a running node: other metadata (rule M13), and a stand-in that answers while the node computes (rule M10).
 *
 * The cluster without stand-ins is the control of the one with them: the same load costs a node its place.
 * Mutation that these tests caught: the thread of a stand-in preloads what its process preloads, which ends the node at its start.
 */
import { beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { connect } from '../../store/client/client.ts'
import type { NodeStatus } from '../../store/node-status.ts'
import { eventually, PATIENCE_MS, pause } from '../../store/verify/eventually.ts'
import { runCli } from '../../store/verify/node-process.ts'
import { ProcessCluster } from '../../store/verify/process-cluster.ts'

/** Less than the 15 s for which a stand-in speaks. */
const BLOCK_MS = 12_000

/** At this signal the main thread of a node computes, and does nothing else. */
const BLOCKER = `
import { isMainThread } from 'node:worker_threads'
if (isMainThread) process.on('SIGUSR2', () => { for (const end = Date.now() + ${BLOCK_MS}; Date.now() < end;); })
`

beforeAll(() => {
  const before = process.env.NODE_OPTIONS
  process.env.NODE_OPTIONS = `${before ?? ''} --import data:text/javascript,${encodeURIComponent(BLOCKER)}`
  return () => {
    if (before === undefined) delete process.env.NODE_OPTIONS
    else process.env.NODE_OPTIONS = before
  }
})

async function formed ({ onTestFinished }: TestContext, args: readonly string[]): Promise<ProcessCluster> {
  const cluster = await ProcessCluster.form({ nodes: 3, partitions: 16, replicas: 2, args })
  onTestFinished(() => cluster.close())
  return cluster
}

async function statusOf (address: string): Promise<NodeStatus> {
  const { code, stdout, stderr } = await runCli(['status', '--json', '--node', address])
  expect(code, stderr).toBe(0)
  return (JSON.parse(stdout) as { nodes: NodeStatus[] }).nodes[0]!
}

describe.concurrent('a running node', () => {
  test('coterie update changes a running node in one view change, and refuses what is no metadata', async context => {
    const cluster = await formed(context, [])
    const { epoch } = await statusOf(cluster.address(0))
    const updated = await runCli(['update', '--json', '--node', cluster.address(1), '--weight', '2', '--zone', 'cellar', '--tag', 'rack=7'])
    expect(updated.code, updated.stderr).toBe(0)
    expect(JSON.parse(updated.stdout)).toMatchObject({ ok: true, nodes: [{ node: cluster.address(1), epoch: epoch + 1 }] })
    const client = await connect(cluster.addresses)
    context.onTestFinished(() => client.close())
    await eventually(PATIENCE_MS, async () => {
      const { code, stdout, stderr } = await runCli(['members', '--json', '--node', cluster.address(0)])
      if (code !== 0) return stderr
      const { members } = JSON.parse(stdout) as { members: { address: string, zone: string, weight: number }[] }
      const { zone, weight } = members.find(({ address }) => address === cluster.address(1))!
      return zone === 'cellar' && weight === 2 ? undefined : `${zone}, ${weight}`
    })
    expect((await statusOf(cluster.address(0))).epoch).toBe(epoch + 1)
    for (const wrong of [['--weight', '-1'], ['--weight', 'heavy'], ['--zone', 'z'.repeat(129)], ['--tag', 'rack'], []]) {
      expect(await runCli(['update', '--node', cluster.address(1), ...wrong]), wrong.join(' ')).toMatchObject({ code: 2, stdout: '' })
    }
  })

  test('without a stand-in a node that computes is removed', async context => {
    const cluster = await formed(context, [])
    const { epoch } = await statusOf(cluster.address(0))
    await eventually(PATIENCE_MS, async () => {
      // For as long as it takes: observers that are short of time themselves are patient with others.
      cluster.node(2).signal('SIGUSR2')
      return (await statusOf(cluster.address(0))).epoch > epoch ? undefined : `still epoch ${epoch}`
    })
  })

  test('with a stand-in it stays, also after its tags were replaced', async context => {
    const cluster = await formed(context, ['--stand-in'])
    expect(await runCli(['update', '--node', cluster.address(2), '--tag', 'rack=7'])).toMatchObject({ code: 0 })
    const { epoch } = await statusOf(cluster.address(0))
    cluster.node(2).signal('SIGUSR2')
    await pause(BLOCK_MS)
    await eventually(PATIENCE_MS, async () => (await statusOf(cluster.address(2))).membership === 'member' ? undefined : 'not a member')
    expect(await statusOf(cluster.address(0))).toMatchObject({ epoch, members: 3 })
  })
})
