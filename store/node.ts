/**
 * A node: one process of the cluster, with one port and one data directory. Membership decides who is in the cluster, the agreed
 * state says where every partition lives, and one replica per partition keeps it there.
 *
 * `start()` resolves when the node is a member (joined); `ready` is emitted once partitions have a place (genesis is over); from
 * then on each partition serves as soon as its leader has sealed a majority.
 *
 * Owns the transport and the database it was given, from `start()` to `close()`.
 */
import { EventEmitter } from 'node:events'
import type { Configuration, Metadata, StoreId } from '../membership/configuration.ts'
import { type Database, type Environment, type Fold, Membership, MembershipError, phiAccrual, type ViewChange } from '../membership/index.ts'
import { checkMetadata } from '../membership/metadata-checks.ts'
import { type PartitionIndex, plan } from '../ring/index.ts'
import { Absences } from './absences.ts'
import { type AgreedState, createAgreedStateFold } from './agreed-state.ts'
import { ClientService } from './client-service.ts'
import { Departure } from './departure.ts'
import { Drain, type DrainOptions } from './drain.ts'
import { StoreError } from './errors.ts'
import { carryOutForce } from './force/carry-out.ts'
import type { ForceOrder } from './force/order.ts'
import { type Survey, surveyRows } from './force/survey.ts'
import type { PartitionView } from './group/replica-contract.ts'
import { Ledger } from './ledger.ts'
import { membershipOptions } from './membership-options.ts'
import type { NodeComponents, NodeEvents } from './node-contract.ts'
import { nodeExplanation } from './node-explanation.ts'
import { type NodeStatus, partitionCounts, rebalanceStatus } from './node-status.ts'
import { type NodeOptions, refuseReservedTags, type ResolvedNodeOptions, resolveNodeOptions } from './options.ts'
import { PartitionHost } from './partition-host.ts'
import { partitionsConcerning, partitionView } from './partition-view.ts'
import { NO_TRANSFERS, RebalanceWatch } from './rebalance-watch.ts'
import { IdentityKeeper } from './storage/identity-keeper.ts'
import { BINARY, decodeNumbers, epochOfLedger, ranges } from './storage/layout.ts'
import { openDatabase, openStore, reading, unusableFor } from './storage/open.ts'

/** The message of the damage that an error comes from, if it does. */
function damageOf (error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof StoreError && cause.code === 'STORE_DIRECTORY_DAMAGED') return cause.message
  }
  return undefined
}

/** Plans of past rebalances that the status remembers. */
const PLANS_MAX = 64

export class StoreNode extends EventEmitter<NodeEvents> {
  readonly #environment: Environment
  readonly #options: ResolvedNodeOptions
  readonly #fold: Fold<AgreedState>
  readonly #ledger = new Ledger()
  readonly #plans = new Map<number, { moves: number, lowerBound: number }>()
  readonly #service: ClientService
  readonly #absences: Absences
  readonly #standIn: NodeComponents['standIn']
  readonly #bootId: string | undefined
  readonly #syncEarlier: (() => Promise<void>) | undefined
  #database: Database | undefined
  #identity: IdentityKeeper | undefined
  #membership: Membership<AgreedState> | undefined
  #host: PartitionHost | undefined
  #drain: Drain | undefined
  #departure: Departure | undefined
  #watch: RebalanceWatch | undefined
  #change: ViewChange<AgreedState> | undefined
  #state: NodeStatus['state'] = 'joining'
  #closing: Promise<void> | undefined

  /** @throws {StoreError} STORE_INVALID_OPTIONS */
  constructor ({ environment, fold = createAgreedStateFold(), standIn, bootId, syncEarlier }: NodeComponents, options: NodeOptions) {
    super()
    this.#environment = environment
    this.#options = resolveNodeOptions(options)
    this.#fold = fold
    this.#standIn = standIn
    this.#bootId = bootId
    this.#syncEarlier = syncEarlier === undefined ? undefined : () => syncEarlier(this.#options.directory)
    if (this.#options.standIn !== false && standIn === undefined) throw new StoreError('STORE_INVALID_OPTIONS', 'the option standIn takes the component of that name')
    this.#absences = new Absences(this.#options.replication.rereplicateAfterMs)
    this.#service = new ClientService({
      environment,
      status: () => this.status(),
      explain: epoch => this.#membership === undefined ? null : nodeExplanation(this.#membership, epoch),
      survey: () => this.survey(),
      change: async ({ drain, update, force, leave }) => {
        if (leave !== undefined) this.#departure!.request(leave)
        else if (update !== undefined) await this.update(update)
        else if (force !== undefined) await this.force(force)
        else if (drain === true) await this.#started().begin()
        else await this.undrain()
      }
    }, this.#options)
  }

  /** @throws {StoreError} STORE_CLOSED before start() */
  get membership (): Membership<AgreedState> {
    if (this.#membership === undefined) throw new StoreError('STORE_CLOSED', 'the node has not been started')
    return this.#membership
  }

  get address (): string { return this.#environment.transport.address ?? this.#options.listen }
  get storeId (): StoreId { return (this.#identity?.identity.storeId ?? '') as StoreId }

  /** The replicas of this store, for inspection in tests; nothing outside may change them. */
  get replicas (): PartitionHost['replicas'] { return this.#host?.replicas ?? new Map() }

  /**
   * Opens the directory, listens, and founds or joins. Resolves when this node is a member. After a failure nothing stays open.
   * @throws {StoreError} STORE_DIRECTORY_LOCKED, STORE_DIRECTORY_INVALID, STORE_DIRECTORY_DAMAGED
   * @throws {TransportError} TRANSPORT_ADDRESS_IN_USE, TRANSPORT_ADDRESS_INVALID
   * @throws {MembershipError} MEMBERSHIP_JOIN_REFUSED, MEMBERSHIP_JOIN_TIMEOUT, MEMBERSHIP_ALREADY_FOUNDED
   */
  async start (signal?: AbortSignal): Promise<void> {
    try {
      await this.#open()
      await this.#enter(signal)
    } catch (error) {
      // A start that the cluster refused does not count: else a copied directory would outgrow its refusal by trying again (rule R3).
      if ((error as { code?: unknown }).code === 'MEMBERSHIP_JOIN_REFUSED') await this.#identity!.update({ incarnation: this.#identity!.identity.incarnation - 1 })
      await this.close()
      throw error
    }
  }

  /** What membership has in the directory can be damaged like anything else there. */
  async #enter (signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.membership.start(signal)
    } catch (error) {
      if (!(error instanceof MembershipError) || error.code !== 'MEMBERSHIP_STORAGE_FAILED') throw error
      throw unusableFor(this.#options.directory, error)
    }
  }

  async #open (): Promise<void> {
    const { directory, clusterName, durability } = this.#options
    const environment = this.#environment
    const database = this.#database = environment.storage(directory)
    await openDatabase(database, directory)
    const aloneSince = environment.clock.now()
    const run = { durability, bootId: this.#bootId }
    const { identity, partitions, lastBatch } = await openStore(database, directory, clusterName, environment.random, run)
    this.#identity = new IdentityKeeper(database, identity, error => { this.#fail(error) })
    await reading(directory, async () => {
      for await (const [key, value] of database.iterator<Uint8Array, Uint8Array>({ ...ranges.ledgers, ...BINARY })) {
        this.#ledger.restore(epochOfLedger(key), decodeNumbers(key, value))
      }
    })
    await environment.transport.start()
    await this.#standIn?.start()
    const host = this.#host = new PartitionHost({
      environment,
      database,
      self: this.storeId,
      partitions,
      aloneSince,
      lastBatch,
      durability,
      syncEarlier: this.#syncEarlier,
      ledger: this.#ledger,
      answer: (ticket, _partition, answer) => { this.#service.answer(ticket, answer) },
      failed: error => { this.#fail(error) }
    }, this.#options.replication)
    const membership = this.#membership = new Membership<AgreedState>({
      environment,
      fold: this.#fold,
      ...this.#standIn === undefined ? {} : { detector: this.#standIn.detector(phiAccrual()) },
      storage: database.sublevel('membership', { keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database,
      nextIncarnation: async () => {
        await this.#identity!.update({ incarnation: this.#identity!.identity.incarnation + 1 })
        return this.#identity!.identity.incarnation
      }
    }, membershipOptions(this.#options, identity, { address: this.address, tags: this.#tags(this.#options.tags) }))
    membership.on('view-change', change => { this.#changeView(change) })
    membership.on('halted', error => { this.#fail(error) })
    this.#drain = new Drain({
      membership, clock: environment.clock, self: this.storeId, replicas: host.replicas, stopped: () => this.#state === 'failed' || this.#state === 'closed'
    })
    this.#departure = new Departure({
      membership,
      drain: this.#drain,
      log: environment.log,
      left: () => { this.emit('left') },
      close: () => this.close(),
      failed: error => { this.emit('failed', error) }
    })
    host.start()
    this.#watch = new RebalanceWatch(environment.clock, host, status => { this.emit('progress', status) })
    this.#watch.start()
    this.#service.start(host)
  }

  /** The user's tags, and where this node's stand-in is. */
  #tags (tags: Metadata['tags']): Metadata['tags'] {
    return { ...tags, ...this.#standIn?.tags }
  }

  #changeView (change: ViewChange<AgreedState>): void {
    const { configuration, state } = change
    const before = this.#change?.state.placement
    this.#change = change
    const addresses = configuration.members.filter(member => member.storeId !== this.storeId).map(member => member.address)
    void this.#identity!.update({ clusterId: configuration.clusterId, addresses: addresses.slice(0, 128) })
    this.#service.changeView(configuration, state)
    this.#applyPlacement(configuration, state)
    this.emit('view-change', change)
    if (state.placement === undefined) { this.#state = 'waiting'; return }
    if (before !== undefined && !change.gap && before.epoch === state.placement.epoch - 1) {
      const moves = plan(before, state.placement)
      this.#plans.set(configuration.epoch, { moves: moves.moves.length, lowerBound: moves.lowerBound })
      for (const epoch of this.#plans.keys()) if (this.#plans.size > PLANS_MAX) this.#plans.delete(epoch)
      this.emit('rebalance', { configuration, plan: moves })
    }
    if (this.#state !== 'ready') {
      this.#state = 'ready'
      this.emit('ready')
    }
  }

  #applyPlacement (configuration: Configuration, state: AgreedState): void {
    const { placement } = state
    if (placement === undefined) return
    const addresses = new Map(configuration.members.map(member => [member.storeId, member.address]))
    const live = new Map(configuration.members.map(member => [member.storeId, member.incarnation]))
    const { epoch } = configuration
    const departed = this.#absences.changeView(this.#environment.clock.now(), epoch, placement.departures)
    const viewOf = (partition: number): PartitionView => partitionView(state, placement, partition as PartitionIndex, { epoch, live, departed })
    this.#host!.changeView(configuration.clusterId, addresses, placement.partitions, partitionsConcerning(this.storeId, state, placement), viewOf)
  }

  status (): NodeStatus {
    const configuration = this.#change?.configuration
    const placement = this.#change?.state.placement
    const counts = partitionCounts(this.storeId, configuration, this.replicas.values(), this.#host?.deletions ?? 0)
    return {
      storeId: this.storeId,
      address: this.address,
      state: this.#state,
      membership: this.#membership?.status ?? 'idle',
      clusterId: configuration?.clusterId ?? '',
      epoch: configuration?.epoch ?? 0,
      configurationId: configuration?.id ?? '',
      members: configuration?.members.length ?? 0,
      placementDigest: placement?.digest ?? '',
      partitions: { total: placement?.partitions ?? 0, ...counts },
      ...(configuration === undefined ? {} : { drain: this.#drain!.status() }),
      ...(this.#departure?.status === undefined ? {} : { leaving: this.#departure.status }),
      operationsInFlight: this.#service.inFlight,
      transfers: this.#watch?.look() ?? NO_TRANSFERS,
      ...(this.#membership === undefined ? {} : { membershipMetrics: this.#membership.metrics() }),
      rebalances: rebalanceStatus(this.#ledger, this.#plans)
    }
  }

  /** A store that cannot trust its disk or itself answers nothing more, and lets the cluster notice. */
  #fail (error: Error): void {
    if (this.#state === 'failed' || this.#state === 'closed') return
    this.#state = 'failed'
    this.#environment.log.error({ store: this.storeId, error }, 'this store stopped')
    this.#service.fail(error)
    const damage = damageOf(error)
    // The next start must not have to come across it again: it may serve other records meanwhile, and this one as absent.
    if (damage !== undefined) this.#identity?.update({ damage }).catch((cause: unknown) => { this.#environment.log.error({ cause }, 'the damage could not be noted') })
    this.#watch?.stop()
    void this.#host?.stop()
    void this.#membership?.close()
    this.emit('failed', error)
  }

  /**
   * Moves the lead and all data off this store, which stays a member of weight 0. Resolves when nothing is left here and every copy
   * has been replaced; `leave()` or `close()` interrupt nothing then. Calling it again waits for the same drain.
   *
   * It lasts until `undrain()` or the end of this process: started again, the store takes part again.
   * @throws {StoreError} STORE_TOO_FEW_STORES when the others are too few to hold all replicas; definite if they were at the beginning,
   *   so that nothing was changed. STORE_ABORTED on the signal, or when `undrain` took it back. STORE_CLOSED
   * @throws {MembershipError} as `update`: where the cluster removed the node before it agreed, it joins again as it was, and may be asked again
   */
  async drain (options: DrainOptions = {}): Promise<void> {
    const drain = this.#started()
    await drain.begin(options)
    await drain.end(options)
  }

  /**
   * Takes a drain back, finished or not. Resolves when the cluster has agreed on it; the data returns afterwards.
   * @throws {StoreError} STORE_CLOSED
   * @throws {MembershipError} as `drain`
   */
  async undrain (options: DrainOptions = {}): Promise<void> {
    await this.#started().undo(options)
  }

  /**
   * Changes what the cluster knows of this node: its weight and zone, from which the placement follows, and the user's tags. Resolves
   * once it is agreed on, in one view change; the data moves afterwards. Fields that are not given stay as they are; tags are
   * replaced as a whole. While the store is drained, a weight is kept for `undrain`.
   *
   * It lasts until the end of the process: started again, the node joins with its options.
   * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS, MEMBERSHIP_NOT_STARTED when the node is no member now, MEMBERSHIP_REMOVED when
   *   the cluster removed it first, MEMBERSHIP_CLOSED
   * @throws {StoreError} STORE_CLOSED
   */
  async update (metadata: Partial<Metadata>, options: { signal?: AbortSignal } = {}): Promise<void> {
    const drain = this.#started()
    const { weight, tags, ...rest } = checkMetadata(metadata)
    refuseReservedTags(tags)
    const weigh = weight !== undefined && !drain.keep(weight)
    const change = { ...rest, ...weigh ? { weight } : {}, ...tags === undefined ? {} : { tags: this.#tags(tags) } }
    if (Object.keys(change).length > 0) await this.membership.update(change, options)
  }

  /**
   * What this store knows of each partition: what `planForce` needs of every member.
   * @throws {StoreError} STORE_CLOSED before it is a member; NOT_READY before there is a placement
   */
  survey (): Survey {
    this.#started()
    const { configuration: { epoch, id, members }, state: { placement, abandoned } } = this.#change!
    if (placement === undefined) throw new StoreError('NOT_READY', 'the cluster has not reached its expected size yet')
    const addresses = Object.fromEntries(members.map(({ storeId, address }) => [storeId, address]))
    return { storeId: this.storeId, epoch, configurationId: id, members: addresses, abandoned, rows: surveyRows(this.replicas, placement) }
  }

  /**
   * Gives up on stores that are lost for good, for ever: each partition that the order names goes on with what one store has, and whatever
   * only the lost ones had is lost. None of them may run any more: one that is merely cut off may go on answering its own clients.
   * Resolves when it is agreed on and in effect.
   * @param order of `planForce`, from the surveys of all members
   * @throws {StoreError} STORE_FORCE_REFUSED when the cluster is not as it was planned for; STORE_CLOSED
   * @throws {MembershipError} as `update`
   */
  async force (order: ForceOrder, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    this.#started()
    await carryOutForce(this.membership, order, signal)
  }

  #started (): Drain {
    if (this.#drain === undefined || this.#change === undefined) throw new StoreError('STORE_CLOSED', 'the node is no member yet')
    return this.#drain
  }

  /**
   * Leaves the cluster, and stops. Drains first, however long that takes: nothing is interrupted, and nothing is copied afterwards.
   * Where the others are too few for all replicas, at least the lead moves first, and the partitions go on with one replica fewer.
   * An error of the drain leaves the node running; what fails later, or after `drain: false`, stops it.
   * @param options.drain false: leaves at once; to the others it is a crash that was announced. @default true
   * @param options.deadlineMs of the leaving itself, after the drain
   * @throws {StoreError} what `drain` throws; STORE_TOO_FEW_STORES where partitions would stand still without this store; STORE_CLOSED when
   *   it is leaving already, which `drain: false` hastens
   * @throws {MembershipError} MEMBERSHIP_LEAVE_TIMEOUT
   */
  async leave ({ drain = true, ...options }: { drain?: boolean, deadlineMs?: number, signal?: AbortSignal } = {}): Promise<void> {
    const mode = drain && this.#change !== undefined && this.#state !== 'closed' ? 'drained' : 'now'
    if (this.#departure === undefined) throw new StoreError('STORE_CLOSED', 'the node has not been started')
    await this.#departure.leave(mode, options)
  }

  /** Stops at once and gives everything back. The cluster sees a crash; a later start with the same directory returns. */
  close (): Promise<void> {
    return this.#closing ??= this.#close()
  }

  async #close (): Promise<void> {
    const sound = this.#state !== 'failed'
    this.#state = 'closed'
    this.#watch?.stop()
    await this.#membership?.close()
    await this.#host?.stop()
    await this.#environment.transport.close()
    await this.#standIn?.close()
    if (sound && this.#database?.status === 'open') await this.#identity?.endRun(async () => { await this.#syncEarlier?.() })
    await this.#identity?.settled()
    if (this.#database?.status === 'open') await this.#database.close()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }
}
