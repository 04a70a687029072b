/**
 * Membership: the process's handle on its cluster. Runs the membership machine on a transport, a clock and an optional disk.
 *
 * Rapid (Suresh et al., USENIX ATC '18). Every process emits the same sequence of view changes.
 *
 * It neither starts nor closes the transport, which other channels share. What runs the machine is core-runner.ts, how a process
 * gets into a configuration is entrance.ts, and what its user can read of them is view-feed.ts.
 *
 * Owns: the calls of its user that wait.
 */
import { EventEmitter } from 'node:events'
import { ChainStorage } from './chain-storage.ts'
import { isVoter, memberIndex, type Configuration, type Member, type Metadata } from './configuration.ts'
import { CoreRunner, type ReportedEffect } from './core-runner.ts'
import { phiAccrual } from './detector/phi-accrual.ts'
import type { MembershipStatus } from './effects.ts'
import { Entrance } from './entrance.ts'
import { MembershipError } from './errors.ts'
import { gossip } from './gossip-broadcaster.ts'
import { leaveTimeout } from './leaving.ts'
import type { LeaveOptions, MembershipComponents } from './membership-components.ts'
import { tellListeners, type MembershipEvents } from './membership-events.ts'
import { checkMetadata } from './metadata-checks.ts'
import { frozenMetrics, type MembershipMetrics } from './metrics.ts'
import { resolveOptions, type MembershipOptions, type ResolvedOptions } from './options.ts'
import { PendingCalls, type Waiter } from './pending-calls.ts'
import type { Explanation, ViewChange } from './view-change.ts'
import { ViewFeed } from './view-feed.ts'

/** How long `leave()` waits by default. */
const LEAVE_DEADLINE_MS = 10_000

/** Indefinite: a configuration that this process did not see may have held the update. */
function notHeld (code: 'MEMBERSHIP_REMOVED' | 'MEMBERSHIP_CLOSED', why: string, cause?: unknown): MembershipError {
  return new MembershipError(code, `No configuration held the update before ${why}.`, { definite: false, cause })
}

export class Membership<State = undefined> extends EventEmitter<MembershipEvents<State>> {
  readonly #environment: MembershipComponents<State>['environment']
  readonly #options: ResolvedOptions
  readonly #keeps: boolean
  readonly #runner: CoreRunner<State>
  readonly #entrance: Entrance<State>
  readonly #feed = new ViewFeed<State>()
  /** Calls of `update` that no configuration holds yet. */
  readonly #updates = new PendingCalls()
  #status: MembershipStatus = 'idle'
  #starting: Waiter | undefined
  #leaving: Waiter | undefined

  /** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS */
  constructor (components: MembershipComponents<State>, options: MembershipOptions) {
    super()
    const { environment, storage, detector = phiAccrual(), broadcaster = gossip, fold, nextIncarnation } = components
    this.#environment = environment
    this.#options = resolveOptions(options)
    const chain = storage === undefined ? undefined : new ChainStorage(storage, fold)
    this.#keeps = chain !== undefined
    const halt = (error: Error): void => { this.#halt(error) }
    const runner = this.#runner = new CoreRunner(environment, chain, { report: effect => { this.#take(effect) }, halt })
    this.#entrance = new Entrance({ environment, chain, detector, broadcaster, fold, nextIncarnation, runner }, this.#options, {
      status: () => this.#status,
      last: () => this.#feed.last,
      isFirst: () => this.#starting !== undefined,
      joining: () => {
        runner.counters.rejoins++
        this.#setStatus('joining')
      },
      halt
    })
  }

  /** This process, as it is or wants to be a member. @throws {MembershipError} MEMBERSHIP_NOT_STARTED */
  get self (): Member {
    return this.#entrance.self ?? this.#notStarted()
  }

  /** The last configuration. @throws {MembershipError} MEMBERSHIP_NOT_STARTED before the first. */
  get configuration (): Configuration {
    return (this.#feed.last ?? this.#notStarted()).configuration
  }

  /** The fold's state of `configuration`. @throws {MembershipError} MEMBERSHIP_NOT_STARTED before the first. */
  get state (): State {
    return (this.#feed.last ?? this.#notStarted()).state
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
    const { transport } = this.#environment
    if (transport.address === undefined) throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', 'A member needs a transport that listens.')
    this.#setStatus('joining')
    const abort = (): void => { this.#stop(signal?.reason) }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      const started = new Promise<void>((resolve, reject) => { this.#starting = { resolve, reject } })
      await Promise.all([started, this.#entrance.open()])
    } catch (error) {
      this.#stop(error)
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** View changes from now on. Ends with `close()`, with the signal, or with the loop that consumes it. */
  changes ({ signal }: { signal?: AbortSignal } = {}): AsyncIterableIterator<ViewChange<State>> {
    const stream = this.#feed.open(signal)
    if (this.#ended) stream.end()
    return stream
  }

  /** Why the configuration of an epoch came about; undefined for one that this process did not see, or long ago. */
  explain (epoch: number): Explanation | undefined {
    return this.#feed.explain(epoch)
  }

  /** What happened at this process so far, and how it stands, in numbers: see metrics.ts. A copy; it costs some microseconds. */
  metrics (): MembershipMetrics {
    const { core, counters, linksOpen } = this.#runner
    const configuration = this.#feed.last?.configuration
    const { observed, failing, faulty } = core?.edges ?? { observed: 0, failing: 0, faulty: 0 }
    return frozenMetrics(counters, {
      epoch: configuration?.epoch ?? 0,
      members: configuration?.members.length ?? 0,
      voters: configuration?.members.filter(isVoter).length ?? 0,
      isMember: this.#isMember && !this.#ended ? 1 : 0,
      isIsolated: this.#status === 'isolated' ? 1 : 0,
      edges: observed, edgesFailing: failing, edgesFaulty: faulty, linksOpen
    })
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
    if (this.#runner.core === undefined || !this.#isMember) this.#notStarted()
    await this.#updates.wait(token => { this.#runner.apply({ kind: 'update', token, change }) }, signal)
  }

  /**
   * Leaves the cluster: resolves once this process is no member and a majority of those that stay knows it. The last member
   * of a cluster just stops, as does a process that still joins; the only voter of one with agents waits until those have left (rule M13).
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
    const cancel = this.#environment.clock.setTimer(deadlineMs, () => {
      this.#leaving?.reject(leaveTimeout(deadlineMs, this.#feed.last?.configuration, this.#entrance.self?.id))
    })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#leaving = { resolve, reject }
        if (this.#status === 'removed' || this.#runner.core === undefined) resolve()
        else this.#runner.apply({ kind: 'leave' })
      })
      this.#stop(new MembershipError('MEMBERSHIP_CLOSED', 'This process left the cluster.'))
      await this.#runner.written()
    } finally {
      this.#leaving = undefined
      cancel()
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Stops at once, without a word to the cluster, which will notice. Waits for writes under way. */
  async close (): Promise<void> {
    this.#stop(new MembershipError('MEMBERSHIP_CLOSED', 'The membership was closed.'))
    await this.#runner.written()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }

  get #ended (): boolean {
    return this.#status === 'closed' || this.#status === 'halted'
  }

  get #isMember (): boolean {
    const [own, last] = [this.#entrance.self, this.#feed.last]
    return own !== undefined && last !== undefined && memberIndex(last.configuration, own.id) >= 0
  }

  #notStarted (): never {
    throw new MembershipError('MEMBERSHIP_NOT_STARTED', 'This process is not a member of any configuration yet: await start() first.')
  }

  #take (effect: ReportedEffect<State>): void {
    switch (effect.kind) {
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
    }
  }

  #viewChanged (change: ViewChange<State>): void {
    this.#feed.enter(change)
    const { configuration: { epoch, members }, joined, removed, updated } = change
    const { self } = this.#entrance
    const own = self === undefined ? undefined : members[memberIndex(change.configuration, self.id)]
    if (own !== undefined) this.#entrance.entered(own)
    const counts = { members: members.length, joined: joined.length, removed: removed.length, updated: updated.length }
    this.#environment.log.info({ epoch, ...counts }, 'view change')
    this.#tell('view-change', change)
    this.#feed.push(change)
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
    const kept = this.#keeps
    this.#environment.log.warn({ kept }, kept
      ? 'a majority is out of reach: nothing is decided until it is back, from its disks where it crashed'
      : 'a majority is out of reach: nothing is decided until it is back; where its processes are gone and kept nothing on disks, this is final')
    this.#tell('isolated', true)
  }

  #tell<Name extends keyof MembershipEvents<State>> (name: Name, ...values: MembershipEvents<State>[Name]): void {
    tellListeners<State, Name>(this, this.#environment.log, name, values)
  }

  #removed (): void {
    this.#runner.drop()
    this.#updates.fail(notHeld('MEMBERSHIP_REMOVED', 'the cluster removed this member'))
    this.#tell('removed')
    this.#leaving?.resolve()
    if (this.#options.rejoin && this.#leaving === undefined) this.#entrance.rejoinLater()
  }

  /** The cluster admitted and removed this process before it knew, or may have: to join again, it must be another one. */
  #spent (error: MembershipError): void {
    if (!this.#options.rejoin) {
      this.#refused(error)
      return
    }
    this.#environment.log.warn({ reason: error.message }, 'joins again under another member id')
    this.#runner.drop()
    this.#entrance.rejoinLater()
  }

  #refused (error: MembershipError): void {
    if (this.#starting === undefined) this.#halt(error)
    else this.#starting.reject(error)
  }

  #halt (error: Error): void {
    if (this.#ended) return
    this.#environment.log.error({ error }, 'membership halts')
    this.#runner.stop()
    this.#setStatus('halted')
    this.#release(error)
    this.#tell('halted', error)
  }

  #stop (reason: unknown): void {
    if (this.#status === 'closed') return
    this.#runner.stop()
    this.#setStatus('closed')
    this.#release(reason)
  }

  /** Lets go of timers and everyone who waits. */
  #release (reason: unknown): void {
    this.#entrance.stop()
    this.#starting?.reject(reason)
    this.#leaving?.reject(reason)
    this.#updates.fail(notHeld('MEMBERSHIP_CLOSED', 'this process stopped', reason))
    this.#starting = undefined
    this.#feed.end()
  }
}
