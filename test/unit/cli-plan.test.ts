/** `coterie plan` and `coterie explain` against a node: what they work out, and what they refuse. */
import { MemoryLevel } from 'memory-level'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../../membership/environment/environment.ts'
import { silentLog } from '../../membership/environment/system.ts'
import { run } from '../../store/cli/run.ts'
import { type KillableNode, startNode } from '../../store/index.ts'

const PARTITIONS = 64
const nodes: KillableNode[] = []

beforeAll(async () => {
  const storage = (): Database => new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
  const parts = { storage, log: silentLog }
  const founder = await startNode({ directory: 'a', found: true, expect: 4, partitions: PARTITIONS, replicas: 3 }, parts)
  nodes.push(founder, ...await Promise.all(['b', 'c', 'd'].map(directory => startNode({ directory, seeds: [founder.address] }, parts))))
})

afterAll(async () => { await Promise.all(nodes.map(node => node.close())) })

interface Result { code: number, lines: string[], errors: string[] }

async function coterie (...args: string[]): Promise<Result> {
  const [lines, errors]: [string[], string[]] = [[], []]
  const terminal = {
    out: (line: string) => { lines.push(line) }, write: () => {}, error: (line: string) => { errors.push(line) },
    input: () => Promise.resolve(new Uint8Array()), interruption: () => new AbortController().signal
  }
  return { code: await run([...args, '--node', nodes[0]!.address], terminal), lines, errors }
}

const plan = (...args: string[]): Promise<Result> => coterie('plan', ...args)

interface Json {
  moves: number
  lowerBound: number
  fewestLiveReplicas: number
  withoutMajority: number
  stores: { address: string | null, before: number, after: number }[]
}

test('nodes that come take their share, and nothing else moves', async () => {
  const { code, lines } = await plan('--join', '2', '--json')
  expect(code).toBe(0)
  const json = JSON.parse(lines.at(-1)!) as Json
  expect(json).toMatchObject({ moves: PARTITIONS, lowerBound: PARTITIONS, fewestLiveReplicas: 3, withoutMajority: 0 })
  expect(json.stores.map(({ before, after }) => `${before} ${after}`).sort()).toEqual(['0 32', '0 32', '48 32', '48 32', '48 32', '48 32'])
})

test('a node that is drained serves until it is replaced; one that is gone does not', async () => {
  const { address } = nodes[1]!
  const drained = JSON.parse((await plan('--drain', address, '--json')).lines.at(-1)!) as Json
  expect(drained).toMatchObject({ moves: 48, fewestLiveReplicas: 3 })
  const gone = JSON.parse((await plan('--remove', nodes[1]!.status().storeId, '--json')).lines.at(-1)!) as Json
  expect(gone).toMatchObject({ moves: 48, fewestLiveReplicas: 2, withoutMajority: 0 })
  const two = JSON.parse((await plan('--remove', address, '--remove', nodes[2]!.address, '--json')).lines.at(-1)!) as Json
  expect(two.fewestLiveReplicas).toBe(1)
  expect(two.withoutMajority).toBeGreaterThan(0)
})

test('in words', async () => {
  const { code, lines } = await plan('--join', '1')
  expect(code).toBe(0)
  expect(lines[0]).toMatch(/^from epoch \d+: 38 copies of partitions move, 38 at least; \d+ partitions change their preferred leader$/)
  expect(lines).toHaveLength(3 + 5)
})

test('what it cannot work out', async () => {
  expect(await plan()).toMatchObject({ code: 2, lines: [] })
  expect(await plan('--join', '-1')).toMatchObject({ code: 2 })
  const unknown = await plan('--remove', '127.0.0.1:1')
  expect(unknown.code).toBe(2)
  expect(unknown.errors[0]).toContain('STORE_INVALID_OPTIONS: --remove: \'127.0.0.1:1\' is neither the address nor the store id of a member')
  // What every object has by that name is no store either.
  expect(await plan('--drain', 'constructor')).toMatchObject({ code: 2, lines: [] })
  for (const weight of ['-5', '1001']) expect(await plan('--join', '1', '--weight', weight), weight).toMatchObject({ code: 2, lines: [] })
})

test('why a configuration came about: who reported the nodes that came, and how it was decided', async () => {
  const { epoch } = nodes[0]!.status()
  const { code, lines } = await coterie('explain')
  expect(code).toBe(0)
  expect(lines.join('\n')).toMatch(new RegExp(`^epoch ${epoch}: decided`))
  for (const node of nodes.slice(1)) expect(lines.join('\n')).toContain(`join ${node.address}: `)
  const founding = JSON.parse((await coterie('explain', '1', '--json')).lines[0]!) as { epoch: number, learned: string }
  expect(founding).toMatchObject({ epoch: 1, learned: 'founded' })
  expect((await coterie('explain', '99')).errors[0]).toMatch(/^STORE_INVALID_OPTIONS: .* did not see epoch 99, or has forgotten it$/)
})
