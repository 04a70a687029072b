/**
 * `coterie verify`: runs a cluster of real processes under a random workload, with or without churn, and checks what it promises:
 * every history is linearizable, the version of a key rises, nothing acknowledged is lost, what was written for a time is gone after it and
 * not before, no transfer is carried out twice, and in the end all nodes have one configuration, one placement, and every copy where it belongs.
 *
 * The workload goes in rounds, each with keys of its own, and each is checked when it ends; at the very end all keys of all rounds are
 * read again, which belongs to the history of their round.
 *
 * Owns the processes, their directories, the clients and the file of the history; all is ended and closed when it returns.
 */
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { createSystemClock } from '../../membership/environment/system.ts'
import { connect, type Client } from '../client/client.ts'
import { checkHistory } from './checker.ts'
import type { HistoryOperation } from './history.ts'
import { Churn, type ChurnEvent } from './churn.ts'
import { eventually, PATIENCE_MS } from './eventually.ts'
import { HistoryFile } from './history-file.ts'
import { ProcessCluster } from './process-cluster.ts'
import { checkVersions } from './versions.ts'
import { runWorkload, type WorkloadResult } from './workload.ts'

export interface VerifyOptions {
  /** Nodes of the cluster, each a process. @default 5 */
  readonly nodes?: number
  /** How long the workload runs, in milliseconds; what is under way then ends first. @default 60000 */
  readonly durationMs?: number
  /** Whether nodes are killed, stopped, added, taken out and lost meanwhile. @default false */
  readonly churn?: boolean
  /** What the workload and the churn draw from. The processes' timing is not in it, so a run cannot be repeated exactly. @default 1 */
  readonly seed?: number
  /** Where the history goes as JSON lines. @default nowhere */
  readonly historyFile?: string
  readonly signal?: AbortSignal
  /** @default nobody is told */
  readonly progress?: (line: string) => void
}

export interface VerifyReport {
  readonly ok: boolean
  /** What did not hold, in words. */
  readonly problems: readonly string[]
  readonly seed: number
  readonly events: Readonly<Record<ChurnEvent, number>>
  readonly rounds: number
  readonly operations: number
  readonly succeeded: number
  /** Puts that were acknowledged and gave their value a time to live. */
  readonly expiring: number
  readonly failedDefinite: number
  readonly failedIndefinite: number
  readonly errors: Readonly<Record<string, number>>
  /** The longest time in which no operation of any worker succeeded, in milliseconds. */
  readonly longestGapMs: number
  readonly epochs: number
  readonly moves: number
  readonly duplicates: number
}

const CLIENTS = 3
const WORKERS = 12
const KEYS = 40
const THINK_MS = 20
/** Of which some writes are for a time, no longer than that. */
const WEIGHTS = { put: 3, putFor: 2, getEntry: 2, get: 4 }
const TTL_MS_MAX = 2000
/** A round of this length has some thousands of operations, which are checked in less than a second. */
const ROUND_MS = 10_000

const isExpiring = ({ expiresAfter, end }: HistoryOperation): boolean => expiresAfter !== undefined && end !== undefined

type FilledOptions = Required<Omit<VerifyOptions, 'historyFile' | 'signal'>> & Pick<VerifyOptions, 'signal'>

class Verification {
  readonly #options: FilledOptions
  readonly #cluster: ProcessCluster
  readonly #clients: readonly Client[]
  readonly #churn: Churn
  readonly #file: HistoryFile | undefined
  readonly #clock = createSystemClock()
  readonly #rounds: { readonly result: WorkloadResult, readonly prefix: string }[] = []
  readonly #problems: string[] = []

  constructor (options: FilledOptions, cluster: ProcessCluster, clients: readonly Client[], file: HistoryFile | undefined) {
    this.#options = options
    this.#cluster = cluster
    this.#clients = clients
    this.#file = file
    this.#churn = new Churn({ cluster, client: clients[0]!, random: new SeededRandom(options.seed), progress: options.progress })
  }

  async run (): Promise<VerifyReport> {
    const { churn, durationMs, signal } = this.#options
    const endMs = this.#clock.now() + durationMs
    const over = (): boolean => this.#clock.now() >= endMs || signal?.aborted === true
    let stopped = false
    const load = this.#load(() => stopped || over())
    try {
      while (churn && !over()) await this.#churn.step()
    } finally {
      stopped = churn
      await load
    }
    signal?.throwIfAborted()
    return await this.#conclude()
  }

  async #load (over: () => boolean): Promise<void> {
    const { seed, progress } = this.#options
    for (let round = 0; !over(); round++) {
      const prefix = `round-${round}`
      const random = new SeededRandom(seed * 1000 + round)
      const result = await runWorkload({ clock: this.#clock, random }, {
        clients: this.#clients,
        workers: WORKERS,
        keys: KEYS,
        prefix,
        operationsPerWorker: Infinity,
        thinkMs: THINK_MS,
        weights: WEIGHTS,
        ttlMsMax: TTL_MS_MAX,
        durationMs: ROUND_MS,
        stopped: over
      })
      await this.#file?.append(result.history)
      this.#check(prefix, result.history)
      this.#rounds.push({ prefix, result })
      progress(`round ${round}: ${result.succeeded} operations, ${result.failedDefinite + result.failedIndefinite} failed`)
    }
  }

  #check (prefix: string, history: readonly HistoryOperation[]): void {
    const checked = checkHistory(history)
    if (!checked.ok) this.#problems.push(`${prefix}, key ${checked.key} is not linearizable: ${checked.reason}; ${JSON.stringify(checked.operations)}`)
    const wrong = checkVersions(history)
    if (wrong !== undefined) this.#problems.push(`${prefix}, versions: ${wrong}`)
  }

  async #conclude (): Promise<VerifyReport> {
    const { seed, progress } = this.#options
    progress('the cluster comes to rest; every key is read again')
    const statuses = await this.#cluster.settled(this.#clients[0]!, this.#churn.alive)
    for (const { prefix, result } of this.#rounds) {
      const reads = await this.#lastReads(prefix, result.history)
      await this.#file?.append(reads)
      this.#check(prefix, [...result.history, ...reads])
    }
    const pages = statuses.flatMap(({ rebalances }) => rebalances)
    const duplicates = pages.reduce((sum, page) => sum + page.duplicates, 0)
    if (duplicates > 0) this.#problems.push(`${duplicates} transfers were carried out twice`)
    if (new Set(statuses.map(({ placementDigest }) => placementDigest)).size !== 1) this.#problems.push('the nodes have different placements')
    const sum = (field: 'succeeded' | 'failedDefinite' | 'failedIndefinite'): number => this.#rounds.reduce((total, { result }) => total + result[field], 0)
    const errors: Record<string, number> = {}
    for (const { result } of this.#rounds) for (const [code, count] of Object.entries(result.errors)) errors[code] = (errors[code] ?? 0) + count
    const succeeded = sum('succeeded')
    if (succeeded === 0) this.#problems.push('no operation succeeded')
    return {
      ok: this.#problems.length === 0,
      problems: this.#problems,
      seed,
      events: this.#churn.counts,
      rounds: this.#rounds.length,
      operations: succeeded + sum('failedDefinite') + sum('failedIndefinite'),
      succeeded,
      expiring: this.#rounds.reduce((total, { result }) => total + result.history.filter(isExpiring).length, 0),
      failedDefinite: sum('failedDefinite'),
      failedIndefinite: sum('failedIndefinite'),
      errors,
      longestGapMs: Math.round(Math.max(0, ...this.#rounds.map(({ result }) => result.longestGapMs))),
      epochs: statuses[0]!.epoch,
      moves: pages.reduce((total, page) => total + page.done, 0),
      duplicates
    }
  }

  /** Reads every key of a round when all that was written for a time is gone, or is a problem. */
  async #lastReads (prefix: string, history: readonly HistoryOperation[]): Promise<HistoryOperation[]> {
    const expiring = new Set(history.flatMap(({ input, expiresAfter }) => expiresAfter === undefined ? [] : [input]))
    let reads: HistoryOperation[] = []
    try {
      await eventually(PATIENCE_MS, async () => {
        reads = await this.#readAll(prefix)
        const left = reads.filter(({ output }) => output !== undefined && expiring.has(output)).map(({ key }) => key)
        return left.length === 0 ? undefined : `values that were written for ${TTL_MS_MAX} ms at most are still there: ${left.join()}`
      })
    } catch (error) {
      this.#problems.push(`${prefix}: ${(error as Error).message}`)
    }
    return reads
  }

  async #readAll (prefix: string): Promise<HistoryOperation[]> {
    const keys = Array.from({ length: KEYS }, (_, index) => `${prefix}-${index}`)
    const start = this.#clock.now()
    const values = await this.#clients[0]!.getMany(keys)
    const end = this.#clock.now()
    return keys.map((key, index) => {
      const output = values[index]
      return { process: WORKERS, key, kind: 'get', ...output === undefined ? {} : { output }, start, end }
    })
  }
}

/**
 * Verifies a cluster of processes on this machine.
 * @throws {StoreError} STORE_INVALID_OPTIONS when the history cannot be written; whatever `signal` was aborted with
 * @throws {Error} when the cluster does not come to rest, which is a failure as well
 */
export async function verify (options: VerifyOptions = {}): Promise<VerifyReport> {
  const filled = { nodes: 5, durationMs: 60_000, churn: false, seed: 1, progress: () => {}, ...options }
  const file = options.historyFile === undefined ? undefined : await HistoryFile.create(options.historyFile)
  try {
    filled.progress(`${filled.nodes} processes form a cluster`)
    const cluster = await ProcessCluster.form({ nodes: filled.nodes })
    const clients: Client[] = []
    try {
      for (let index = 0; index < CLIENTS; index++) clients.push(await connect([...cluster.addresses]))
      return await new Verification(filled, cluster, clients, file).run()
    } finally {
      await Promise.all(clients.map(client => client.close()))
      await cluster.close()
    }
  } finally {
    await file?.close()
  }
}
