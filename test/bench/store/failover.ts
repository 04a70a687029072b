/**
 * Benchmark: how long a client could not get an operation through on one key while something happens to its cluster of node processes.
 *
 * Half of the keys are led by the node that is killed or drained. Each key has a loop of its own that puts and gets it in turn, with a
 * pause between. A gap is the time between the ends of two operations that succeeded, so even where nothing happens it is as long as the
 * pause and an operation; `undisturbedMs` is the longest one before. `gapMs` is the longest on any key, `medianGapMs` the median over the
 * keys of each one's longest. Of several runs each is the median.
 *
 * All nodes share one machine, so the keys are few and the pause is long: the watch itself must leave the processors to what it watches. For
 * the same reason a node is asked to drain by this process, and not by a command, which would take half a second of a processor to start.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Address } from '../../../membership/environment/environment.ts'
import { partitionOf } from '../../../ring/index.ts'
import { decodeAgreedState } from '../../../store/agreed-state.ts'
import { askNodes } from '../../../store/cli/connection.ts'
import type { ClusterView } from '../../../store/client-protocol.ts'
import type { Client } from '../../../store/client/client.ts'
import { connect } from '../../../store/index.ts'
import { eventually } from '../../../store/verify/eventually.ts'
import { ProcessCluster } from '../../../store/verify/process-cluster.ts'
import { UsageError } from '../../program.ts'
import { median, rounded } from '../samples.ts'

export interface FailoverRow {
  readonly scenario: 'kill' | 'drain' | 'join' | 'join20' | 'restart'
  readonly nodes: number
  readonly runs: number
  readonly gapMs: number
  readonly medianGapMs: number
  readonly undisturbedMs: number
  /** Operations of all runs that ended with an error. Each counts as no success, and so lengthens the gap. */
  readonly failed: number
}

const NODES = 5
/** The node that is killed or drained. It leads half of the keys. */
const VICTIM = 1
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
  readonly #keys: readonly string[]
  readonly #longest = new Array<number>(KEYS).fill(0)
  readonly #successes = new Array<number>(KEYS).fill(0)
  readonly #loops: Promise<void>[]
  #stopped = false
  failed = 0

  constructor (client: Client, keys: readonly string[]) {
    this.#client = client
    this.#keys = keys
    this.#loops = this.#longest.map((_, index) => this.#watch(index))
  }

  async #watch (index: number): Promise<void> {
    const key = this.#keys[index]!
    let succeededMs = performance.now()
    for (let turn = 0; !this.#stopped; turn++) {
      try {
        if (turn % 2 === 0) await this.#client.put(key, `value ${turn}`)
        else if (await this.#client.get(key) !== `value ${turn - 1}`) throw new Error(`${key} was read with another value than was written`)
        const now = performance.now()
        this.#longest[index] = Math.max(this.#longest[index]!, now - succeededMs)
        succeededMs = now
        this.#successes[index]!++
      } catch (error) {
        if (!('code' in (error as object))) throw error
        this.failed++
      }
      await delay(PAUSE_MS)
    }
  }

  /**
   * Resolves when every key had a success that began after this call: the gap of a key is known with the success that ends it, and that may
   * be long after others get through.
   */
  async throughEverywhere (): Promise<void> {
    // The first one may have begun before.
    const wanted = this.#successes.map(count => count + 2)
    await eventually(SETTLE_TIMEOUT_MS, () => {
      const waiting = this.#keys.filter((_, index) => this.#successes[index]! < wanted[index]!)
      return Promise.resolve(waiting.length === 0 ? undefined : `nothing gets through for ${waiting.join(', ')}`)
    })
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

/** Half of them in partitions that a node leads by the placement, and half in others. */
function keysToWatch ({ addresses, state }: ClusterView, led: Address): string[] {
  const { placement, partitions } = decodeAgreedState(state)
  const leader = Object.keys(addresses).find(store => addresses[store] === led)
  const isLed = (key: string): boolean => placement!.seats(partitionOf(Buffer.from(key), partitions))[0] === leader
  const candidates = Array.from({ length: 100 * KEYS }, (_, index) => `watched-${index}`)
  return [candidates.filter(isLed), candidates.filter(key => !isLed(key))].flatMap(keys => keys.slice(0, KEYS / 2))
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
      await cluster.node(VICTIM).kill()
      await cluster.settled(client, [0, 2, 3, 4], SETTLE_TIMEOUT_MS)
    }
  },
  {
    scenario: 'drain',
    run: async (cluster, client) => {
      await drain(cluster.address(VICTIM))
      const node = cluster.node(VICTIM)
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

type FailoverRun = Pick<FailoverRow, 'gapMs' | 'medianGapMs' | 'undisturbedMs' | 'failed'>

/** One run, on a cluster of its own. */
async function measure ({ run }: typeof SCENARIOS[number]): Promise<FailoverRun> {
  const cluster = await ProcessCluster.form({ nodes: NODES })
  const client = await connect(cluster.addresses, { deadlineMs: OPERATION_DEADLINE_MS })
  try {
    await cluster.settled(client)
    const keys = keysToWatch(client.view!, cluster.address(VICTIM))
    const meter = new GapMeter(client, keys)
    try {
      await delay(UNDISTURBED_MS)
      // The first operations meet code that was never run; they are not what is measured.
      meter.take()
      await delay(UNDISTURBED_MS)
      const undisturbedMs = Math.max(...meter.take())
      await run(cluster, client)
      await meter.throughEverywhere()
      const longest = meter.take()
      return { gapMs: Math.max(...longest), medianGapMs: median(longest), undisturbedMs, failed: meter.failed }
    } finally {
      await meter.stop()
    }
  } finally {
    await client.close()
    await cluster.close()
  }
}

export interface FailoverBenchOptions {
  /** The scenario, where not all of them are wanted. @default all */
  readonly only?: string | undefined
  /** How often each is run. @default 1, which takes about a minute for all of them */
  readonly runs?: number | undefined
}

export async function failoverBench ({ only, runs = 1 }: FailoverBenchOptions = {}): Promise<FailoverRow[]> {
  const chosen = SCENARIOS.filter(({ scenario }) => only === undefined || scenario === only)
  if (chosen.length === 0) throw new UsageError(`--only must be one of ${SCENARIOS.map(({ scenario }) => scenario).join(', ')}, not ${only}`)
  const rows: FailoverRow[] = []
  for (const scenario of chosen) {
    const results: FailoverRun[] = []
    for (let run = 0; run < runs; run++) results.push(await measure(scenario))
    const of = (name: keyof FailoverRun): number => rounded(median(results.map(result => result[name])))
    rows.push({
      scenario: scenario.scenario,
      nodes: NODES,
      runs,
      gapMs: of('gapMs'),
      medianGapMs: of('medianGapMs'),
      undisturbedMs: of('undisturbedMs'),
      failed: results.reduce((sum, { failed }) => sum + failed, 0)
    })
  }
  return rows
}
