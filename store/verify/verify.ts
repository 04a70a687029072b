/**
 * `coterie verify`: runs a cluster of real processes under a random workload, with or without churn, and checks what it promises:
 * every history is linearizable, conditions that failed and scans included, the version of a key rises, a page of a scan is one moment of its
 * partition, nothing acknowledged is lost, what was written for a time is gone after it and not before, no transfer is carried out twice,
 * and in the end all nodes have one configuration, one placement, and every copy where it belongs, with the same bytes as its replicas.
 *
 * The workload goes in rounds, each with keys of its own, and each is checked when it ends; at the very end all keys of all rounds are
 * read again, which belongs to the history of their round. Then all processes are ended, and what is on their disks is compared.
 *
 * Owns the processes, their directories, the clients and the file of the history; all is ended and closed when it returns.
 */
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { createSystemClock } from '../../membership/environment/system.ts'
import { connect, type Client } from '../client/client.ts'
import { checkHistory } from './checker.ts'
import { Churn } from './churn.ts'
import { checkDisks } from './disk-check.ts'
import type { HistoryOperation } from './history.ts'
import { HistoryFile } from './history-file.ts'
import { readLast } from './last-reads.ts'
import { checkPages } from './pages.ts'
import { ProcessCluster } from './process-cluster.ts'
import { reportOf, type VerifyReport } from './report.ts'
import { checkVersions } from './versions.ts'
import { runWorkload, type WorkloadResult } from './workload.ts'
import { workloadKey } from './workload-steps.ts'

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

const CLIENTS = 3
const WORKERS = 12
const KEYS = 40
const THINK_MS = 20
/** Of which some writes are for a time, no longer than that. A scan of all keys asks every partition. */
const WEIGHTS = { put: 3, putFor: 2, getEntry: 3, get: 3, putIf: 3, delIf: 1, batchIf: 2, scan: 0.25, scanTag: 1 }
const TTL_MS_MAX = 2000
/** A round of this length has some thousands of operations, which are checked in less than a second. */
const ROUND_MS = 10_000

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
    const page = checkPages(history)
    if (page !== undefined) this.#problems.push(`${prefix}, scans: ${page}`)
  }

  async #conclude (): Promise<VerifyReport> {
    const { seed, progress } = this.#options
    progress('the cluster comes to rest; every key is read again')
    await this.#cluster.settled(this.#clients[0]!, this.#churn.alive)
    for (const { prefix, result } of this.#rounds) {
      const keys = Array.from({ length: KEYS }, (_, index) => workloadKey(prefix, index))
      const { reads, problem } = await readLast({ clock: this.#clock, client: this.#clients[0]!, process: WORKERS }, keys, result.history)
      if (problem !== undefined) this.#problems.push(`${prefix}: ${problem}`)
      await this.#file?.append(reads)
      this.#check(prefix, [...result.history, ...reads])
    }
    const statuses = await this.#cluster.quiet(this.#clients[0]!, this.#churn.alive)
    progress('all nodes are ended, and their disks compared')
    await this.#cluster.killAll()
    const disks = await checkDisks(this.#cluster, [...this.#churn.alive, ...this.#churn.departed], statuses[0]!.partitions.total)
    const rounds = this.#rounds.map(({ result }) => result)
    return reportOf({ seed, events: this.#churn.counts, rounds, statuses, disks, problems: this.#problems })
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
