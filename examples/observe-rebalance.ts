/**
 * Watching a rebalance: why the cluster changed, what has to move because of it, and each node's share of the work as it is done.
 *
 * Three nodes hold a few thousand keys; a fourth joins, then one crashes. A node emits `view-change` with the reason for it and
 * `rebalance` with the plan, which is the same at every node; its `status()` has the ledger of the moves that concern it.
 *
 * Run it: npm run example -- observe-rebalance
 */
import { connect, createNode, type KillableNode, type NodeOptions } from 'coterie'
import { formatExplanation } from 'coterie/membership'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const PARTITIONS = 64
const KEYS = 2000
/** A rebalance of this size takes a second or two; after so long something is wrong. */
const DEADLINE_MS = 30_000

const directory = await mkdtemp(join(tmpdir(), 'coterie-observe-'))
const nodes = new Map<string, KillableNode>()
/** Of every node that ever was, by store id. */
const names = new Map<string, string>()

/** Starts a node; `observed` is the one whose view of things is printed. */
async function start (name: string, observed: boolean, options: Partial<NodeOptions>): Promise<KillableNode> {
  // A crashed node usually comes back within the minute for which the others wait by default. Here nobody does.
  const replication = { rereplicateAfterMs: 0 }
  const node = createNode({ directory: join(directory, name), clusterName: 'observe-rebalance', partitions: PARTITIONS, replication, ...options })
  nodes.set(name, node)
  if (observed) observe(node)
  await node.start()
  names.set(node.storeId, name)
  return node
}

/** A joiner is part of the plan before its start() resolves. */
const nameOf = (storeId: string): string => names.get(storeId) ?? [...nodes].find(([, node]) => node.storeId === storeId)?.[0] ?? storeId

function observe (node: KillableNode): void {
  node.on('view-change', ({ configuration, joined, removed, reason }) => {
    const change = [...joined.map(member => `+${member.address}`), ...removed.map(member => `-${member.address}`)].join(' ')
    console.log(`\nconfiguration ${configuration.epoch} has ${configuration.members.length} members (${change})`)
    console.log(formatExplanation(reason).replaceAll(/^/gm, '  '))
  })
  node.on('rebalance', ({ plan }) => {
    console.log(`  the plan: ${plan.moves.length} moves, of which no plan could save any below ${plan.lowerBound}; ${plan.leaderChanges} partitions get another leader`)
    const examples = plan.moves.slice(0, 3).map(({ partition, from, to }) => `partition ${partition} from ${from === undefined ? 'nobody' : nameOf(from)} to ${nameOf(to)}`)
    if (examples.length > 0) console.log(`  among them: ${examples.join('; ')}`)
  })
}

/** Prints every node's moves of the newest rebalance as they are completed, until nothing is left to do. */
async function follow (epoch: number): Promise<void> {
  const printed = new Map<string, number>()
  const endMs = performance.now() + DEADLINE_MS
  for (;;) {
    let settled = 0
    let leftovers = 0
    let current = true
    for (const [name, node] of nodes) {
      const status = node.status()
      current &&= status.epoch >= epoch
      settled += status.partitions.settled
      leftovers += status.partitions.leftovers
      const ledger = status.rebalances.find(rebalance => rebalance.epoch === epoch)
      if (ledger === undefined || ledger.done === (printed.get(name) ?? 0)) continue
      printed.set(name, ledger.done)
      console.log(`  ${name}: ${ledger.done} of ${ledger.planned} moves done, ${ledger.bytes} bytes received, ${ledger.duplicates} twice`)
    }
    if (current && settled === PARTITIONS && leftovers === 0) break
    if (performance.now() > endMs) throw new Error(`only ${settled} of ${PARTITIONS} partitions are settled after ${DEADLINE_MS} ms`)
    await delay(20)
  }
  console.log('  balanced: every partition is where the placement wants it')
}

async function main (): Promise<void> {
  const first = await start('a', true, { found: true, expect: 3 })
  const seeds = [first.address]
  await Promise.all([start('b', false, { seeds }), start('c', false, { seeds })])
  await follow(2)
  const db = await connect(seeds)
  try {
    await db.batch(Array.from({ length: KEYS }, (_, index) => ({ type: 'put', key: `key ${index}`, value: 'x'.repeat(100) })))
    console.log(`\nwrote ${KEYS} keys; now d joins`)
    await start('d', false, { seeds })
    await follow(3)

    console.log('\nnow b crashes')
    const crashed = nodes.get('b')!
    nodes.delete('b')
    await crashed.kill()
    await follow(4)

    const values = await db.getMany(Array.from({ length: KEYS }, (_, index) => `key ${index}`))
    const kept = values.filter(value => value !== undefined).length
    console.log(`\n${kept} of ${KEYS} keys are still there`)
    if (kept !== KEYS) process.exitCode = 1
  } finally {
    await db.close()
  }
}

try {
  await main()
} finally {
  await Promise.all([...nodes.values()].map(node => node.close()))
  await rm(directory, { recursive: true, force: true })
}
