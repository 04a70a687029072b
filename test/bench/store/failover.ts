/**
 * Benchmark: how long a client could not get an operation through on one key while something happens to its cluster of node processes.
 *
 * Each key has a loop of its own that puts and gets it in turn, with a pause between. A gap is the time between the ends of two operations
 * that succeeded, so even where nothing happens it is as long as the pause and an operation; `undisturbedMs` is the longest one before.
 * `gapMs` is the longest on any key, `medianGapMs` the median over the keys of each one's longest.
 *
 * All nodes share one machine, so the keys are few and the pause is long: the watch itself must leave the processors to what it watches. For
 * the same reason a node is asked to drain by this process, and not by a command, which would take half a second of a processor to start.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '../../../store/index.ts'
import type { Client } from '../../../store/client/client.ts'
import { ProcessCluster } from '../../../store/verify/process-cluster.ts'
import { askNodes } from '../../../store/cli/connection.ts'
import { eventually } from '../../../store/verify/eventually.ts'
import { median, rounded } from '../samples.ts'

export interface FailoverRow {
  readonly scenario: 'kill' | 'drain' | 'join' | 'join20' | 'restart'
  readonly nodes: number
  readonly gapMs: number
  readonly medianGapMs: number
  readonly undisturbedMs: number
  /** Operations that ended with an error. Each counts as no success, and so lengthens the gap. */
  readonly failed: number
}

const NODES = 5
const KEYS = 8
const PAUSE_MS = 20
const UNDISTURBED_MS = 2000
/** How often a node that drains is asked whether it has. */
const LOOK_MS = 200
const SETTLE_TIMEOUT_MS = 60_000
const OPERATION_DEADLINE_MS = 30_000

/** Watches keys until it is stopped. */
class GapMeter {
  readonly #client: Client
  readonly #longest = new Array<number>(KEYS).fill(0)
  readonly #loops: Promise<void>[]
  #stopped = false
  failed = 0

  constructor (client: Client) {
    this.#client = client
    this.#loops = this.#longest.map((_, index) => this.#watch(index))
  }

  async #watch (index: number): Promise<void> {
    const key = `watched-${index}`
    let succeededMs = performance.now()
    for (let turn = 0; !this.#stopped; turn++) {
      try {
        if (turn % 2 === 0) await this.#client.put(key, `value ${turn}`)
        else if (await this.#client.get(key) !== `value ${turn - 1}`) throw new Error(`${key} was read with another value than was written`)
        const now = performance.now()
        this.#longest[index] = Math.max(this.#longest[index]!, now - succeededMs)
        succeededMs = now
      } catch (error) {
        if (!('code' in (error as object))) throw error
        this.failed++
      }
      await delay(PAUSE_MS)
    }
  }

  /** The longest gap of each key since the last call. */
  take (): number[] {
    return this.#longest.splice(0, KEYS, ...new Array<number>(KEYS).fill(0))
  }

  async stop (): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#loops)
  }
}

/** Resolves when nothing is left at a node. */
async function drain (address: string): Promise<void> {
  const target = { nodes: [address], deadlineMs: OPERATION_DEADLINE_MS }
  let [status] = await askNodes(target, { drain: true })
  while (status!.drain!.state !== 'drained') {
    await delay(LOOK_MS)
    ;[status] = await askNodes(target)
  }
}

const SCENARIOS: readonly { readonly scenario: FailoverRow['scenario'], readonly run: (cluster: ProcessCluster, client: Client) => Promise<void> }[] = [
  {
    scenario: 'kill',
    run: async (cluster, client) => {
      await cluster.node(1).kill()
      await cluster.settled(client, [0, 2, 3, 4], SETTLE_TIMEOUT_MS)
    }
  },
  {
    scenario: 'drain',
    run: async (cluster, client) => {
      await drain(cluster.address(1))
      const node = cluster.node(1)
      node.signal('SIGTERM')
      await node.exit()
      await cluster.settled(client, [0, 2, 3, 4], SETTLE_TIMEOUT_MS)
    }
  },
  { scenario: 'join', run: async (cluster, client) => { await cluster.grow(1); await cluster.settled(client, undefined, SETTLE_TIMEOUT_MS) } },
  { scenario: 'join20', run: async (cluster, client) => { await cluster.grow(20); await cluster.settled(client, undefined, SETTLE_TIMEOUT_MS) } },
  {
    scenario: 'restart',
    run: async (cluster, client) => {
      const all = Array.from({ length: NODES }, (_, index) => index)
      await Promise.all(all.map(index => cluster.node(index).kill()))
      const nodes = all.map(index => cluster.restart(index))
      await Promise.all(nodes.map(node => node.event('ready')))
      await cluster.settled(client, undefined, SETTLE_TIMEOUT_MS)
    }
  }
]

async function measure ({ scenario, run }: typeof SCENARIOS[number]): Promise<FailoverRow> {
  const cluster = await ProcessCluster.form({ nodes: NODES })
  const client = await connect(cluster.addresses, { deadlineMs: OPERATION_DEADLINE_MS })
  try {
    await cluster.settled(client)
    const meter = new GapMeter(client)
    try {
      await delay(UNDISTURBED_MS)
      // The first operations meet code that was never run; they are not what is measured.
      meter.take()
      await delay(UNDISTURBED_MS)
      const undisturbedMs = Math.max(...meter.take())
      await run(cluster, client)
      // The gap of a key ends with its next success.
      await eventually(SETTLE_TIMEOUT_MS, async () => { await client.getMany(Array.from({ length: KEYS }, (_, index) => `watched-${index}`)); return undefined })
      const longest = meter.take()
      return {
        scenario,
        nodes: NODES,
        gapMs: rounded(Math.max(...longest)),
        medianGapMs: rounded(median(longest)),
        undisturbedMs: rounded(undisturbedMs),
        failed: meter.failed
      }
    } finally {
      await meter.stop()
    }
  } finally {
    await client.close()
    await cluster.close()
  }
}

/** @param only the scenario, where not all of them are wanted. Takes about a minute. */
export async function failoverBench (only?: string): Promise<FailoverRow[]> {
  const rows: FailoverRow[] = []
  for (const scenario of SCENARIOS) if (only === undefined || scenario.scenario === only) rows.push(await measure(scenario))
  return rows
}
