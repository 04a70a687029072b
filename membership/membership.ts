/**
 * Membership: the process's handle on its cluster. Runs the membership machine on a transport, a clock and an optional disk.
 *
 * Rapid (Suresh et al., USENIX ATC '18). Every process emits the same sequence of view changes.
 *
 * Owns: the receiver of the transport's membership channel, one timer, the keys of its database. It neither starts nor
 * closes the transport, which other channels share.
 */
import { EventEmitter } from 'node:events'
import type { BroadcasterFactory } from './broadcaster.ts'
import { ChainStorage } from './chain-storage.ts'
import { ChangeStream } from './change-stream.ts'
import { memberIndex, type ClusterId, type Configuration, type Member, type MemberId, type Metadata, type StoreId } from './configuration.ts'
import type { DetectorFactory } from './detector/detector.ts'
import { phiAccrual } from './detector/phi-accrual.ts'
import type { DurableRecord, Kept, MembershipEffect, MembershipStatus } from './effects.ts'
import { CHANNELS, type Address, type CancelTimer, type Database, type Environment, type Remote } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import type { Fold } from './fold.ts'
import { gossip } from './gossip-broadcaster.ts'
import { MembershipCore, type CoreInput } from './membership-core.ts'
import type { MembershipEvents } from './membership-events.ts'
import { leaveTimeout } from './leaving.ts'
import { validateMessage } from './message-validation.ts'
import type { MembershipMessage } from './messages.ts'
import { checkMetadata, resolveOptions, type MembershipOptions, type ResolvedOptions } from './options.ts'
import { PendingCalls, type Waiter } from './pending-calls.ts'
import { RejoinPause } from './rejoin-pause.ts'
import type { Explanation, ViewChange } from './view-change.ts'

/** Epochs that `explain` remembers. */
const EXPLANATIONS_MAX = 128
/** Seeds given by a function are asked for anew so often while joining. */
const SEEDS_REFRESH_MS = 5000
/** How long `leave()` waits by default. */
const LEAVE_DEADLINE_MS = 10_000

export interface MembershipComponents<State> {
  readonly environment: Pick<Environment, 'clock' | 'random' | 'transport' | 'log'>
  /** Keeps promises, votes and the last configuration across restarts (rule M4). @default none */
  readonly storage?: Database
  /** @default phiAccrual() */
  readonly detector?: DetectorFactory
  /** @default gossip */
  readonly broadcaster?: BroadcasterFactory
  /** State derived from the sequence of configurations. @default none */
  readonly fold?: Fold<State>
  /** The incarnation under which a removed process joins again, made durable first. @default one more than before */
  readonly nextIncarnation?: () => Promise<number>
}

export interface LeaveOptions {
  /** After this long the cluster may still remove this member, but nobody waits for it. @default 10000 */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

/** Indefinite: a configuration that this process did not see may have held the update. */
function notHeld (code: 'MEMBERSHIP_REMOVED' | 'MEMBERSHIP_CLOSED', why: string, cause?: unknown): MembershipError {
  return new MembershipError(code, `No configuration held the update before ${why}.`, { definite: false, cause })
}

export class Membership<State = undefined> extends EventEmitter<MembershipEvents<State>> {
  readonly #components: MembershipComponents<State>
  readonly #options: ResolvedOptions
  readonly #chain: ChainStorage<State> | undefined
  #core: MembershipCore<State> | undefined
  #self: Member | undefined
  #change: ViewChange<State> | undefined
  #status: MembershipStatus = 'idle'
  #incarnation: number
  /** Inputs in order of arrival; a listener that calls back adds to it instead of re-entering the machine. */
  readonly #inputs: { core: MembershipCore<State>, input: CoreInput }[] = []
  #running = false
  #cancelWake: CancelTimer = () => {}
  #cancelSeeds: CancelTimer = () => {}
  #cancelRejoin: CancelTimer = () => {}
  #removeLinkListener: () => void = () => {}
  /** Addresses with an open connection: each new machine has to hear of them. */
  readonly #links = new Set<Address>()
  /** The last write; each one begins after the one before it. */
  #writes: Promise<void> = Promise.resolve()
  #starting: Waiter | undefined
  #leaving: Waiter | undefined
  readonly #explanations = new Map<number, Explanation>()
  readonly #streams = new Set<ChangeStream<ViewChange<State>>>()
  readonly #rejoinPause: RejoinPause
  /** Calls of `update` that no configuration holds yet. */
  readonly #updates = new PendingCalls()
  /** What this process joins with: the options, or what the last configuration had of it. */
  #metadata: Metadata

  /** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS */
  constructor (components: MembershipComponents<State>, options: MembershipOptions) {
    super()
    this.#components = components
    this.#options = resolveOptions(options)
    this.#incarnation = this.#options.incarnation
    this.#metadata = this.#options.metadata
    this.#rejoinPause = new RejoinPause(this.#options)
    this.#chain = components.storage === undefined ? undefined : new ChainStorage(components.storage, components.fold)
  }

  /** This process, as it is or wants to be a member. @throws {MembershipError} MEMBERSHIP_NOT_STARTED */
  get self (): Member {
    return this.#self ?? this.#notStarted()
  }

  /** The last configuration. @throws {MembershipError} MEMBERSHIP_NOT_STARTED before the first. */
  get configuration (): Configuration {
    return (this.#change ?? this.#notStarted()).configuration
  }

  /** The fold's state of `configuration`. @throws {MembershipError} MEMBERSHIP_NOT_STARTED before the first. */
  get state (): State {
    return (this.#change ?? this.#notStarted()).state
  }

  get status (): MembershipStatus {
    return this.#status
  }

  /**
   * Founds or joins. Resolves once this process is a member.
   * @throws {MembershipError} MEMBERSHIP_JOIN_REFUSED, MEMBERSHIP_JOIN_TIMEOUT, MEMBERSHIP_ALREADY_FOUNDED, MEMBERSHIP_CLOSED
   */
  async start (signal?: AbortSignal): Promise<void> {
    if (this.#status !== 'idle') throw new MembershipError('MEMBERSHIP_CLOSED', 'A membership is started once.')
    signal?.throwIfAborted()
    const { transport } = this.#components.environment
    if (transport.address === undefined) throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', 'A member needs a transport that listens.')
    this.#setStatus('joining')
    const abort = (): void => { this.#stop(signal?.reason) }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      const started = new Promise<void>((resolve, reject) => { this.#starting = { resolve, reject } })
      await Promise.all([started, this.#open()])
    } catch (error) {
      this.#stop(error)
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** View changes from now on. Ends with `close()`, with the signal, or with the loop that consumes it. */
  changes ({ signal }: { signal?: AbortSignal } = {}): AsyncIterableIterator<ViewChange<State>> {
    const end = (): void => { stream.end() }
    const stream = new ChangeStream<ViewChange<State>>(() => {
      this.#streams.delete(stream)
      signal?.removeEventListener('abort', end)
    })
    this.#streams.add(stream)
    signal?.addEventListener('abort', end, { once: true })
    if (signal?.aborted === true || this.#ended) stream.end()
    return stream
  }

  /** Why the configuration of an epoch came about; undefined for one that this process did not see, or long ago. */
  explain (epoch: number): Explanation | undefined {
    return this.#explanations.get(epoch)
  }

  /**
   * Changes the metadata of this member: resolves once a configuration with it is in effect here, and hence agreed on, the same
   * at every process (rule M13). Fields that are not given stay as they are; `tags` are replaced as a whole, so spread
   * the present ones to keep them. Calls that come while another one is under way take effect together after it; of a field
   * that several of them give, the last one counts.
   *
   * It lasts until this process ends, also where it is removed and joins again; a process that starts joins with its options.
   * @param options.signal ends the wait; what was asked for may take effect all the same
   * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS, MEMBERSHIP_NOT_STARTED when this process is no member now,
   *   MEMBERSHIP_REMOVED when the cluster removed it first, MEMBERSHIP_CLOSED
   */
  async update (metadata: Partial<Metadata>, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    const change = checkMetadata(metadata)
    if (this.#ended || this.#leaving !== undefined || this.#status === 'leaving') {
      throw new MembershipError('MEMBERSHIP_CLOSED', 'This process has stopped, or is leaving.')
    }
    if (this.#core === undefined || this.#self === undefined || !this.#isMember(this.#self)) this.#notStarted()
    await this.#updates.wait(token => { this.#apply({ kind: 'update', token, change }) }, signal)
  }

  /**
   * Leaves the cluster: resolves once this process is no member and a majority of those that stay knows it. The last member
   * of a cluster just stops; the only voter of one with agents waits until those have left (rule M13).
   * @throws {MembershipError} MEMBERSHIP_NOT_STARTED, MEMBERSHIP_CLOSED, MEMBERSHIP_LEAVE_TIMEOUT
   */
  async leave ({ deadlineMs = LEAVE_DEADLINE_MS, signal }: LeaveOptions = {}): Promise<void> {
    if (this.#status === 'closed') return
    if (this.#status === 'idle') this.#notStarted()
    if (this.#status === 'halted' || this.#leaving !== undefined) {
      throw new MembershipError('MEMBERSHIP_CLOSED', 'This process has halted, or is leaving already.')
    }
    signal?.throwIfAborted()
    const abort = (): void => { this.#leaving?.reject(signal?.reason) }
    signal?.addEventListener('abort', abort, { once: true })
    const cancel = this.#components.environment.clock.setTimer(deadlineMs, () => {
      this.#leaving?.reject(leaveTimeout(deadlineMs, this.#change?.configuration, this.#self?.id))
    })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#leaving = { resolve, reject }
        if (this.#status === 'removed' || this.#core === undefined) resolve()
        else this.#apply({ kind: 'leave' })
      })
      this.#stop(undefined)
      await this.#writes
    } finally {
      this.#leaving = undefined
      cancel()
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Stops at once, without a word to the cluster, which will notice. Waits for writes under way. */
  async close (): Promise<void> {
    this.#stop(new MembershipError('MEMBERSHIP_CLOSED', 'The membership was closed.'))
    await this.#writes
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }

  get #ended (): boolean {
    return this.#status === 'closed' || this.#status === 'halted'
  }

  #isMember ({ id }: Member): boolean {
    return this.#change !== undefined && memberIndex(this.#change.configuration, id) >= 0
  }

  #notStarted (): never {
    throw new MembershipError('MEMBERSHIP_NOT_STARTED', 'This process is not a member of any configuration yet: await start() first.')
  }

  async #open (): Promise<void> {
    const { environment: { transport, random } } = this.#components
    const { found } = this.#options
    const stored = await this.#load()
    const seeds = await this.#seeds()
    if (this.#ended) return
    transport.receive(CHANNELS.membership, (message, remote) => { this.#receive(message, remote) })
    this.#removeLinkListener = transport.onLink(event => {
      if (event.kind === 'opened') this.#links.add(event.address)
      else if (event.kind === 'closed') this.#links.delete(event.address)
      this.#apply({ kind: 'link', event })
    })
    // A directory founds one cluster, once: afterwards it returns to that cluster.
    if (!found || stored !== undefined) {
      this.#join(this.#options.clusterId, seeds, this.#options.joinTimeoutMs, stored)
      return
    }
    this.#newCore(stored)
    this.#apply({ kind: 'found', clusterId: this.#options.clusterId ?? random.id() as ClusterId, seeds })
  }

  async #load (): Promise<Kept<State> | undefined> {
    try {
      return await this.#chain?.load()
    } catch (cause) {
      throw new MembershipError('MEMBERSHIP_STORAGE_FAILED', 'What this directory holds of its cluster cannot be read.', { cause })
    }
  }

  async #seeds (): Promise<readonly Address[]> {
    const { seeds } = this.#options
    return typeof seeds === 'function' ? await seeds() : seeds
  }

  #newCore (stored: Kept<State> | undefined): void {
    const { environment: { transport, random }, detector = phiAccrual(), broadcaster = gossip, fold } = this.#components
    const { storeId } = this.#options
    const id = random.id() as MemberId
    const self: Member = {
      id, address: transport.address!, storeId: storeId ?? id as string as StoreId, incarnation: this.#incarnation,
      metadata: this.#metadata, metadataVersion: 0, ...this.#options.role === 'agent' ? { role: 'agent' as const } : {}
    }
    this.#self = self
    const storedEpoch = this.#chain === undefined ? undefined : stored?.configuration.epoch ?? 0
    this.#core = new MembershipCore({ self, options: this.#options, fold, detector, broadcaster, storedEpoch })
    for (const address of this.#links) this.#apply({ kind: 'link', event: { kind: 'opened', address } })
  }

  /** Joins: as the next process of a member that the disk tells of, if there is one. The members that it names are seeds as well. */
  #join (clusterId: ClusterId | undefined, seeds: readonly Address[], timeoutMs: number, stored: Kept<State> | undefined): void {
    const members = stored?.configuration.members ?? []
    const own = this.#components.environment.transport.address
    const known = [...new Set([...seeds, ...members.map(({ address }) => address)])].filter(address => address !== own)
    const returns = members.some(({ storeId, incarnation }) => storeId === this.#options.storeId && incarnation < this.#incarnation)
    if (stored !== undefined && !returns && known.length === 0) {
      throw new MembershipError('MEMBERSHIP_ALREADY_FOUNDED', `This directory belongs to cluster ${stored.configuration.clusterId}: give seeds to return to it.`)
    }
    this.#newCore(stored)
    const cluster = clusterId ?? stored?.configuration.clusterId
    this.#apply({ kind: 'join', clusterId: cluster, seeds: known, timeoutMs, ...stored !== undefined && returns ? { kept: stored } : {} })
    this.#refreshSeeds(this.#core!)
  }

  /** A function may know other seeds by now: DNS, or an orchestrator's list. */
  #refreshSeeds (core: MembershipCore<State>): void {
    if (typeof this.#options.seeds !== 'function') return
    this.#cancelSeeds = this.#components.environment.clock.setTimer(SEEDS_REFRESH_MS, () => {
      if (this.#core !== core || this.#status !== 'joining') return
      this.#refreshSeeds(core)
      this.#seeds().then(
        seeds => { if (this.#core === core) this.#apply({ kind: 'seeds', seeds }) },
        (error: unknown) => { this.#components.environment.log.warn({ error }, 'the function that gives seeds failed') }
      )
    })
  }

  #receive (raw: unknown, remote: Remote): void {
    let message: MembershipMessage
    try {
      message = validateMessage(raw)
    } catch (error) {
      if (!(error instanceof MembershipError)) throw error
      this.#components.environment.log.warn({ from: remote.address, reason: error.message }, 'dropped a message')
      return
    }
    this.#apply({ kind: 'message', peer: remote, message })
  }

  #apply (input: CoreInput): void {
    if (this.#core === undefined || this.#ended) return
    this.#inputs.push({ core: this.#core, input })
    if (this.#running) return
    this.#running = true
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        if (next.core === this.#core && !this.#ended) this.#step(next.core, next.input)
      }
    } finally {
      this.#running = false
      this.#inputs.length = 0
    }
  }

  #step (core: MembershipCore<State>, input: CoreInput): void {
    let effects: MembershipEffect<State>[]
    try {
      effects = core.apply(this.#components.environment.clock.now(), input)
    } catch (cause) {
      // An assertion of the machine failed: nothing it says from here on can be trusted.
      this.#halt(cause instanceof Error ? cause : new Error(String(cause)))
      return
    }
    for (const effect of effects) {
      if (this.#core !== core || this.#ended) return
      this.#perform(core, effect)
    }
  }

  #perform (core: MembershipCore<State>, effect: MembershipEffect<State>): void {
    const { transport, clock, log } = this.#components.environment
    switch (effect.kind) {
      case 'persist':
        this.#persist(core, effect.token, effect.record)
        break
      case 'send':
        transport.send(effect.to, CHANNELS.membership, effect.message)
        break
      case 'send-to-all':
        transport.sendToAll(effect.to, CHANNELS.membership, effect.message)
        break
      case 'reply':
        (effect.peer as Remote).reply(effect.message)
        break
      case 'proposal':
        this.#tell('proposal', effect.cut)
        break
      case 'view-change':
        this.#viewChanged(effect.change)
        break
      case 'status':
        this.#setStatus(effect.status)
        break
      case 'removed':
        this.#removed()
        break
      case 'updated':
        this.#updates.done(effect.tokens)
        break
      case 'left':
        this.#leaving?.resolve()
        this.#updates.fail(notHeld('MEMBERSHIP_REMOVED', 'this member left'))
        break
      case 'refused':
        this.#refused(effect.error)
        break
      case 'spent':
        this.#spent(effect.error)
        break
      case 'halt':
        this.#halt(effect.error)
        break
      case 'warn':
        log.warn(effect.fields, effect.message)
        break
      case 'wake':
        this.#cancelWake()
        this.#cancelWake = clock.setTimer(Math.max(0, effect.atMs - clock.now()), () => {
          if (this.#core === core) this.#apply({ kind: 'tick' })
        })
        break
    }
  }

  #persist (core: MembershipCore<State>, token: number, record: DurableRecord<State>): void {
    const chain = this.#chain
    const done = (): void => { if (this.#core === core) this.#apply({ kind: 'persisted', token }) }
    if (chain === undefined) {
      done()
      return
    }
    this.#writes = this.#writes.then(async () => {
      if (this.#ended) return
      try {
        await chain.write(record)
      } catch (cause) {
        this.#halt(new MembershipError('MEMBERSHIP_STORAGE_FAILED', 'A record that must survive a restart could not be written.', { cause }))
        return
      }
      done()
    })
  }

  #viewChanged (change: ViewChange<State>): void {
    this.#change = change
    this.#explanations.set(change.configuration.epoch, change.reason)
    if (this.#explanations.size > EXPLANATIONS_MAX) this.#explanations.delete(this.#explanations.keys().next().value!)
    const { configuration: { epoch, members }, joined, removed, updated } = change
    const own = this.#self === undefined ? undefined : members[memberIndex(change.configuration, this.#self.id)]
    if (own !== undefined) {
      this.#self = own
      this.#metadata = own.metadata
    }
    const counts = { members: members.length, joined: joined.length, removed: removed.length, updated: updated.length }
    this.#components.environment.log.info({ epoch, ...counts }, 'view change')
    this.#tell('view-change', change)
    for (const stream of this.#streams) stream.push(change)
    this.#starting?.resolve()
    this.#starting = undefined
  }

  #setStatus (status: MembershipStatus): void {
    const before = this.#status
    if (before === status) return
    this.#status = status
    this.#tell('status', status)
    if (status === 'isolated') this.#isolated()
    else if (before === 'isolated') this.#tell('isolated', false)
  }

  #isolated (): void {
    const kept = this.#chain !== undefined
    this.#components.environment.log.warn({ kept }, kept
      ? 'a majority is out of reach: nothing is decided until it is back, from its disks where it crashed'
      : 'a majority is out of reach: nothing is decided until it is back; where its processes are gone and kept nothing on disks, this is final')
    this.#tell('isolated', true)
  }

  /** A listener that throws must not keep other listeners, nor the machine's other effects, from what is theirs. */
  #tell<Name extends keyof MembershipEvents<State>> (name: Name, ...values: MembershipEvents<State>[Name]): void {
    for (const listener of (this as EventEmitter).rawListeners(name)) {
      try {
        Reflect.apply(listener, this, values)
      } catch (error) {
        this.#components.environment.log.error({ error, event: name }, 'a listener failed')
      }
    }
  }

  #removed (): void {
    this.#cancelWake()
    this.#core = undefined
    this.#updates.fail(notHeld('MEMBERSHIP_REMOVED', 'the cluster removed this member'))
    this.#tell('removed')
    this.#leaving?.resolve()
    if (this.#options.rejoin && this.#leaving === undefined) this.#rejoinLater()
  }

  /** The cluster admitted and removed this process before it knew, or may have: to join again, it must be another one. */
  #spent (error: MembershipError): void {
    if (!this.#options.rejoin) {
      this.#refused(error)
      return
    }
    this.#components.environment.log.warn({ reason: error.message }, 'joins again under another member id')
    this.#cancelWake()
    this.#core = undefined
    this.#rejoinLater()
  }

  #rejoinLater (): void {
    const { clock, random } = this.#components.environment
    const pauseMs = this.#rejoinPause.next(clock.now())
    this.#cancelRejoin = clock.setTimer(pauseMs * (0.5 + random.next() / 2), () => {
      this.#rejoin().catch((error: unknown) => { this.#halt(error instanceof Error ? error : new Error(String(error))) })
    })
  }

  async #rejoin (): Promise<void> {
    const { nextIncarnation } = this.#components
    const { clusterId, members } = this.#change?.configuration ?? { clusterId: this.#options.clusterId, members: [] }
    await this.#writes
    const stored = await this.#load()
    this.#incarnation = nextIncarnation === undefined ? this.#incarnation + 1 : await nextIncarnation()
    const seeds = new Set([...members.map(member => member.address), ...await this.#seeds()])
    if (this.#ended) return
    this.#setStatus('joining')
    this.#join(clusterId, [...seeds], this.#starting === undefined ? Infinity : this.#options.joinTimeoutMs, stored)
  }

  #refused (error: MembershipError): void {
    if (this.#starting === undefined) this.#halt(error)
    else this.#starting.reject(error)
  }

  #halt (error: Error): void {
    if (this.#ended) return
    this.#components.environment.log.error({ error }, 'membership halts')
    this.#setStatus('halted')
    this.#release(error)
    this.#tell('halted', error)
  }

  #stop (reason: unknown): void {
    if (this.#status === 'closed') return
    this.#setStatus('closed')
    this.#release(reason)
  }

  /** Lets go of timers, listeners and everyone who waits. */
  #release (reason: unknown): void {
    this.#core = undefined
    this.#cancelWake()
    this.#cancelSeeds()
    this.#cancelRejoin()
    this.#removeLinkListener()
    this.#starting?.reject(reason)
    this.#leaving?.reject(reason)
    this.#updates.fail(notHeld('MEMBERSHIP_CLOSED', 'this process stopped', reason))
    this.#starting = undefined
    for (const stream of [...this.#streams]) stream.end()
  }
}
