/**
 * A whole cluster of stores that lost power comes back from its directories (rules M4 and R2): the same chain of configurations, one
 * view change later, the same placement, nothing moved, every acknowledged write there.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { connect, createNode, type KillableNode, type Rebalance } from '../../store/index.ts'

const NODES = 5
const KEYS = 200
const SETTINGS = { partitions: 32, replicas: 3, membership: { preset: 'test' } } as const
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

interface Run {
  readonly nodes: KillableNode[]
  readonly rebalances: Rebalance[]
}

/** Makes a node per directory; those of `order` are started, in that order, all at once. */
async function start (directory: string, order: readonly number[], options: (index: number) => object): Promise<Run> {
  const rebalances: Rebalance[] = []
  const nodes = order.map(index => {
    const node = createNode({ ...SETTINGS, directory: join(directory, String(index)), ...options(index) }, { log })
    node.on('rebalance', rebalance => rebalances.push(rebalance))
    return node
  })
  await Promise.all(nodes.map(node => node.start()))
  return { nodes, rebalances }
}

const placementOf = (node: KillableNode): string => {
  const placement = node.membership.state.placement!
  return JSON.stringify(Array.from({ length: placement.partitions }, (_, index) => placement.seats(index as never)))
}

describe('a whole cluster loses power', () => {
  for (const moved of [false, true]) {
    test(`${NODES} stores come back in another order, ${moved ? 'all at new addresses but one seed' : 'at their addresses'}: 0 moves, all data`, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'coterie-restart-'))
      let run: Run = { nodes: [], rebalances: [] }
      try {
        const founder = createNode({ ...SETTINGS, directory: join(directory, '0'), found: true, expect: NODES }, { log })
        run = { nodes: [founder], rebalances: [] }
        await founder.start()
        const others = await start(directory, [1, 2, 3, 4], () => ({ seeds: [founder.address] }))
        run = { nodes: [founder, ...others.nodes], rebalances: others.rebalances }
        const db = await connect(run.nodes.map(({ address }) => address))
        await db.batch(Array.from({ length: KEYS }, (_, i) => ({ type: 'put', key: `key ${i}`, value: `value ${i}` })))
        await db.close()
        const before = founder.status()
        const placement = placementOf(founder)
        const addresses = run.nodes.map(({ address }) => address)

        await Promise.all(run.nodes.map(node => node.kill()))
        run = await start(directory, [3, 1, 4, 0, 2], index => ({
          seeds: [addresses[2]!], found: index === 0, ...moved && index !== 2 ? {} : { listen: addresses[index]! }
        }))
        for (const node of run.nodes) {
          expect(node.status()).toMatchObject({ clusterId: before.clusterId, members: NODES })
          expect(placementOf(node)).toBe(placement)
        }
        expect(new Set(run.nodes.map(node => node.status().epoch))).toEqual(new Set([before.epoch + 1]))
        const again = await connect(run.nodes.map(({ address }) => address))
        expect(await again.getMany(Array.from({ length: KEYS }, (_, i) => `key ${i}`))).toEqual(Array.from({ length: KEYS }, (_, i) => `value ${i}`))
        await again.put('key 0', 'written after')
        expect(await again.get('key 0')).toBe('written after')
        await again.close()
        expect(run.rebalances.flatMap(({ plan }) => plan.moves)).toEqual([])
        for (const node of run.nodes) expect(node.status().rebalances).toEqual([])
      } finally {
        await Promise.all(run.nodes.map(node => node.close()))
        rmSync(directory, { recursive: true })
      }
    })
  }
})
