/**
 * How a process gets into a configuration: it founds one, joins one, returns to the one that its disk tells of, and, where the
 * cluster removed it, joins again after a pause as another member.
 *
 * Owns: what this process is or wants to be as a member, the timer that asks for seeds anew, and the one that ends the pause.
 */
import type { BroadcasterFactory } from './broadcaster.ts'
import type { ChainStorage } from './chain-storage.ts'
import type { ClusterId, Member, MemberId, Metadata, StoreId } from './configuration.ts'
import type { CoreRunner } from './core-runner.ts'
import type { DetectorFactory } from './detector/detector.ts'
import type { Kept, MembershipStatus } from './effects.ts'
import type { Address, CancelTimer, Environment } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import type { Fold } from './fold.ts'
import type { MembershipCore } from './membership-core.ts'
import type { ResolvedOptions } from './options.ts'
import { keptOf } from './parting.ts'
import { RejoinPause } from './rejoin-pause.ts'
import type { ViewChange } from './view-change.ts'

/** Seeds given by a function are asked for anew so often while joining. */
const SEEDS_REFRESH_MS = 5000

export interface EntranceComponents<State> {
  readonly environment: Pick<Environment, 'clock' | 'random' | 'transport' | 'log'>
  readonly chain: ChainStorage<State> | undefined
  readonly detector: DetectorFactory
  readonly broadcaster: BroadcasterFactory
  readonly fold: Fold<State> | undefined
  readonly nextIncarnation: (() => Promise<number>) | undefined
  readonly runner: CoreRunner<State>
}

export interface EntranceHost<State> {
  status (): MembershipStatus
  /** How this process got to the last configuration that it saw. */
  last (): ViewChange<State> | undefined
  /** True until this process has been a member once: then joining has a time limit. */
  isFirst (): boolean
  /** It joins again. */
  joining (): void
  halt (error: Error): void
}

export class Entrance<State> {
  readonly #parts: EntranceComponents<State>
  readonly #options: ResolvedOptions
  readonly #host: EntranceHost<State>
  readonly #rejoinPause: RejoinPause
  #self: Member | undefined
  #incarnation: number
  /** What this process joins with: the options, or what the last configuration had of it. */
  #metadata: Metadata
  #cancelSeeds: CancelTimer = () => {}
  #cancelRejoin: CancelTimer = () => {}

  constructor (parts: EntranceComponents<State>, options: ResolvedOptions, host: EntranceHost<State>) {
    this.#parts = parts
    this.#options = options
    this.#host = host
    this.#incarnation = options.incarnation
    this.#metadata = options.metadata
    this.#rejoinPause = new RejoinPause(options)
  }

  /** This process, as it is or wants to be a member; undefined before the first machine runs. */
  get self (): Member | undefined {
    return this.#self
  }

  /** A configuration has this process as that. */
  entered (own: Member): void {
    this.#self = own
    this.#metadata = own.metadata
  }

  /**
   * Begins to found or to join.
   * @throws {MembershipError} MEMBERSHIP_ALREADY_FOUNDED, MEMBERSHIP_STORAGE_FAILED
   */
  async open (): Promise<void> {
    const { runner, environment: { random } } = this.#parts
    const { found, clusterId, joinTimeoutMs } = this.#options
    const stored = await this.#load()
    const seeds = await this.#seeds()
    if (runner.stopped) return
    runner.attach()
    // A directory founds one cluster, once: afterwards it returns to that cluster.
    if (!found || stored !== undefined) {
      this.#join(clusterId, seeds, joinTimeoutMs, stored)
      return
    }
    this.#run(stored)
    runner.apply({ kind: 'found', clusterId: clusterId ?? random.id() as ClusterId, seeds })
  }

  /** Joins again under another member id and a higher incarnation, after a pause. */
  rejoinLater (): void {
    const { clock, random } = this.#parts.environment
    const pauseMs = this.#rejoinPause.next(clock.now())
    this.#cancelRejoin = clock.setTimer(pauseMs * (0.5 + random.next() / 2), () => {
      this.#rejoin().catch((error: unknown) => { this.#host.halt(error instanceof Error ? error : new Error(String(error))) })
    })
  }

  stop (): void {
    this.#cancelSeeds()
    this.#cancelRejoin()
  }

  async #rejoin (): Promise<void> {
    const { runner, nextIncarnation } = this.#parts
    const last = this.#host.last()
    const { clusterId, members } = last?.configuration ?? { clusterId: this.#options.clusterId, members: [] }
    await runner.written()
    const stored = await this.#load()
    this.#incarnation = nextIncarnation === undefined ? this.#incarnation + 1 : await nextIncarnation()
    const seeds = new Set([...members.map(member => member.address), ...await this.#seeds()])
    if (runner.stopped) return
    this.#host.joining()
    this.#join(clusterId, [...seeds], this.#host.isFirst() ? this.#options.joinTimeoutMs : Infinity, stored, stored ?? (last && keptOf(last)))
  }

  async #load (): Promise<Kept<State> | undefined> {
    try {
      return await this.#parts.chain?.load()
    } catch (cause) {
      throw new MembershipError('MEMBERSHIP_STORAGE_FAILED', 'What this directory holds of its cluster cannot be read.', { cause })
    }
  }

  async #seeds (): Promise<readonly Address[]> {
    const { seeds } = this.#options
    return typeof seeds === 'function' ? await seeds() : seeds
  }

  /** A machine for a new member id. */
  #run (stored: Kept<State> | undefined): void {
    const { environment: { transport, random }, chain, detector, broadcaster, fold, runner } = this.#parts
    const { storeId, role } = this.#options
    const id = random.id() as MemberId
    const self: Member = {
      id, address: transport.address!, storeId: storeId ?? id as string as StoreId, incarnation: this.#incarnation,
      metadata: this.#metadata, metadataVersion: 0, ...role === 'agent' ? { role: 'agent' as const } : {}
    }
    this.#self = self
    const storedEpoch = chain === undefined ? undefined : stored?.configuration.epoch ?? 0
    runner.run({ self, options: this.#options, fold, detector, broadcaster, storedEpoch })
  }

  /**
   * Joins: as the next process of a member that the disk tells of, if there is one. The members that it names are seeds as well.
   * @param left the last configuration that is known here, to tell those that missed it.
   */
  #join (clusterId: ClusterId | undefined, seeds: readonly Address[], timeoutMs: number, stored: Kept<State> | undefined, left = stored): void {
    const { runner, environment: { transport } } = this.#parts
    const members = stored?.configuration.members ?? []
    const known = [...new Set([...seeds, ...members.map(({ address }) => address)])].filter(address => address !== transport.address)
    const returns = members.some(({ storeId, incarnation }) => storeId === this.#options.storeId && incarnation < this.#incarnation)
    if (stored !== undefined && !returns && known.length === 0) {
      throw new MembershipError('MEMBERSHIP_ALREADY_FOUNDED', `This directory belongs to cluster ${stored.configuration.clusterId}: give seeds to return to it.`)
    }
    this.#run(stored)
    const cluster = clusterId ?? stored?.configuration.clusterId
    const knowledge = stored !== undefined && returns ? { kept: stored } : left === undefined ? {} : { left }
    runner.apply({ kind: 'join', clusterId: cluster, seeds: known, timeoutMs, ...knowledge })
    this.#refreshSeeds(runner.core)
  }

  /** A function may know other seeds by now: DNS, or an orchestrator's list. */
  #refreshSeeds (core: MembershipCore<State> | undefined): void {
    const { runner, environment: { clock, log } } = this.#parts
    if (typeof this.#options.seeds !== 'function') return
    this.#cancelSeeds = clock.setTimer(SEEDS_REFRESH_MS, () => {
      if (runner.core !== core || this.#host.status() !== 'joining') return
      this.#refreshSeeds(core)
      this.#seeds().then(
        seeds => { if (runner.core === core) runner.apply({ kind: 'seeds', seeds }) },
        (error: unknown) => { log.warn({ error }, 'the function that gives seeds failed') }
      )
    })
  }
}
