/**
 * Runs the replica cores of one store: carries out their effects on the transport and the disk, once per turn.
 *
 * What arrives in one turn of the event loop is handled first; then every touched replica flushes, all reads go to the disk as a few
 * questions (key-reader.ts) and all writes as one synced batch. The transport does the same with messages.
 *
 * Owns the store's replicas, its writer, and its channel to the other stores.
 */
import type { StoreId } from '../membership/configuration.ts'
import type { Address, CancelTimer, Database, Environment } from '../membership/environment/environment.ts'
import { BodyBytes } from './body-bytes.ts'
import { DiskWork } from './disk-work.ts'
import { StoreError } from './errors.ts'
import type { Effect, Ticket, Answer } from './group/effects.ts'
import type { GroupMessage } from './group/messages.ts'
import type { PartitionView, ReplicaInput, ReplicaOptions, Transfers } from './group/replica-contract.ts'
import { Replica } from './group/replica.ts'
import type { Durability } from './group/synced-log.ts'
import { type LeaseMessage, type LeaseOptions, Leases } from './leases.ts'
import type { Ledger } from './ledger.ts'
import { Pace } from './pace.ts'
import { PeerChannel } from './peer-channel.ts'
import { isCorruption } from './storage/checksum.ts'
import { Copies } from './storage/copies.ts'
import { ledgerKey } from './storage/layout.ts'
import type { StoredPartition } from './storage/stored-copies.ts'
import { StoreWriter } from './storage/store-writer.ts'
import { TransferSchedule, type TransferScheduleOptions } from './transfer-schedule.ts'

export interface PartitionHostComponents {
  readonly environment: Pick<Environment, 'clock' | 'transport' | 'log' | 'random'>
  readonly database: Database
  readonly self: StoreId
  readonly partitions: ReadonlyMap<number, StoredPartition>
  /** Since when no earlier process of this store runs, by the monotonic clock: leases that one has granted began before. */
  readonly aloneSince: number
  /** The number of the last batch that an earlier run wrote; 0 for none. */
  readonly lastBatch: number
  readonly durability: Durability
  /** See store-writer.ts. */
  readonly syncEarlier?: (() => Promise<void>) | undefined
  readonly ledger: Ledger
  /** Carries an answer to whoever asked. */
  readonly answer: (ticket: Ticket, partition: number, answer: Answer) => void
  /** Called once when this store can serve no more, after it has stopped. */
  readonly failed: (error: Error) => void
}

export interface PartitionHostOptions extends ReplicaOptions, LeaseOptions, TransferScheduleOptions {
  /** Milliseconds between two looks at what is late. */
  readonly tickMs: number
}

/** A replica that has nothing to wait for, or had nothing to do for so many ticks, is at rest: it gets only each so many-th of them. */
const BUSY_TICKS = 10
const REST_TICKS = 10

export class PartitionHost {
  /** Which copies this store sends, and how fast. */
  readonly schedule: TransferSchedule
  readonly #components: PartitionHostComponents
  readonly #options: PartitionHostOptions
  readonly #replicas = new Map<number, Replica>()
  readonly #writer: StoreWriter
  readonly #leases: Leases
  readonly #pace: Pace
  readonly #diskWork: DiskWork
  #viewOf: ((partition: number) => PartitionView) | undefined
  #touched = new Set<number>()
  #ticks = 0
  /** The tick at which each replica last had something to do. */
  readonly #busySinceTick = new Map<number, number>()
  readonly #peers: PeerChannel
  readonly #bodies = new BodyBytes()
  #scheduled = false
  #passing = false
  #cancelTick: CancelTimer = () => {}
  /** Ticks out of turn that are to come. Each lasts as long as a lease or a pause, at most, and a partition asks for few of them. */
  readonly #wakes = new Set<CancelTimer>()
  #stopped = false

  constructor (components: PartitionHostComponents, options: PartitionHostOptions) {
    this.#components = components
    this.#options = options
    this.schedule = new TransferSchedule(options)
    const { clock, random } = components.environment
    this.#pace = new Pace(clock.now(), options.tickMs)
    this.#leases = new Leases(components.aloneSince, Math.floor(random.next() * 2 ** 48), options)
    const { environment, self } = components
    this.#peers = new PeerChannel({
      environment,
      self,
      bodies: this.#bodies,
      heard: (partition, from, message) => { this.#receive(partition, from, message) },
      heardOfLease: (from, message) => { this.#receiveLease(from, message) }
    })
    this.#writer = new StoreWriter({
      database: components.database,
      bodies: this.#bodies,
      lastBatch: components.lastBatch,
      syncEarlier: components.syncEarlier,
      // A page of the ledger goes in one batch with the state record that it speaks of (rule S11).
      collect: () => { for (const [epoch, page] of components.ledger.takeChanged()) this.#writer.put(ledgerKey(epoch), page) },
      failed: error => { this.#fail('a write to the disk failed', error) }
    })
    this.#diskWork = new DiskWork(new Copies(components.database), clock, {
      found: (partition, input) => { this.apply(partition, input) },
      failed: error => { this.#fail('the disk failed', error) }
    })
    for (const [partition, stored] of components.partitions) this.#create(partition, stored)
  }

  start (): void {
    this.#peers.start()
    this.#tick()
  }

  /** Copies that are being deleted. */
  get deletions (): number { return this.#diskWork.deletions }

  /** Bytes that wait for the disk, about. */
  get unwrittenBytes (): number { return this.#writer.unwrittenBytes }

  get replicas (): ReadonlyMap<number, Replica> { return this.#replicas }

  replica (partition: number): Replica | undefined { return this.#replicas.get(partition) }

  /** The configuration changed. `concerned` are the partitions that give, or gave, this store a seat, of so many. */
  changeView (
    clusterId: string, addresses: ReadonlyMap<StoreId, Address>, partitions: number, concerned: Iterable<number>,
    viewOf: (partition: number) => PartitionView
  ): void {
    this.#peers.changeView(clusterId, addresses, partitions)
    this.#viewOf = viewOf
    this.#leases.changeView(this.#components.environment.clock.now(), new Set(addresses.keys()))
    for (const partition of concerned) if (!this.#replicas.has(partition)) this.#create(partition)
    for (const partition of this.#replicas.keys()) this.apply(partition, { kind: 'view', view: viewOf(partition) })
  }

  /** Hands an input to the replica of a partition, which must exist. */
  apply (partition: number, input: ReplicaInput): void {
    const replica = this.#replicas.get(partition)
    if (replica === undefined || this.#stopped) return
    let effects: readonly Effect[]
    try {
      effects = replica.apply(this.#now(), input)
    } catch (error) {
      this.#fail(`partition ${partition} broke an invariant`, error)
      return
    }
    for (const effect of effects) this.#perform(partition, effect)
    if (input.kind === 'flush') return
    if (input.kind === 'tick' && effects.length === 0) {
      // Most ticks find nothing to do; they must not cost a turn of their own.
      if (replica.idle) this.#busySinceTick.delete(partition)
      return
    }
    this.#touched.add(partition)
    this.#schedule()
  }

  /** The monotonic clock; the leases hear what both clocks say whenever anything happens. */
  #now (): number {
    const { clock } = this.#components.environment
    const now = clock.now()
    this.#leases.tell(now, clock.wallNow())
    return now
  }

  #create (partition: number, durable?: StoredPartition): Replica {
    const { schedule } = this
    const transfers: Transfers = {
      acquire: (teacher, liveReplicas) => schedule.acquire(teacher, partition, liveReplicas),
      release: teacher => {
        schedule.release(teacher)
        this.#passPlaceOn()
      },
      ready: now => schedule.ready(now),
      spend: (now, bytes) => { schedule.spend(now, bytes) }
    }
    const nonce = Math.floor(this.#components.environment.random.next() * 2 ** 48)
    const { self, durability } = this.#components
    const components = { self, transfers, nonce, leases: this.#leases, slowness: this.#pace, durability }
    const replica = new Replica(durable === undefined ? components : { ...components, durable }, this.#options)
    this.#replicas.set(partition, replica)
    return replica
  }

  /** A place for a transfer is free: whoever is most urgent gets it now, instead of at a tick. */
  #passPlaceOn (): void {
    if (this.#passing) return
    this.#passing = true
    queueMicrotask(() => {
      this.#passing = false
      const next = this.schedule.next()
      if (next !== undefined) this.apply(next, { kind: 'tick' })
    })
  }

  #receive (partition: number, from: StoreId, message: GroupMessage): void {
    if (this.#stopped || this.#viewOf === undefined) return
    if (!this.#replicas.has(partition)) {
      this.#create(partition)
      this.apply(partition, { kind: 'view', view: this.#viewOf(partition) })
    }
    this.apply(partition, { kind: 'message', from, message })
  }

  #receiveLease (from: StoreId, message: LeaseMessage): void {
    if (this.#stopped) return
    const answer = this.#leases.receive(this.#now(), from, message)
    if (answer !== undefined) this.#peers.sendLease(from, answer)
  }

  /** Asks for the leases that reads would do with. In a turn that sends something to the same store anyway they share a frame. */
  #renewLeases (): void {
    for (const { to, message } of this.#leases.due(this.#now())) this.#peers.sendLease(to, message)
  }

  #perform (partition: number, effect: Effect): void {
    const { log } = this.#components.environment
    switch (effect.kind) {
      case 'send': this.#peers.send(effect.to, partition, effect.message); return
      case 'persist':
        this.#writer.persist(partition, effect.writes, () => { this.apply(partition, { kind: 'persisted', token: effect.token }) }, effect.synced)
        return
      case 'respond': this.#components.answer(effect.ticket, partition, this.#withAddresses(effect.answer)); return
      case 'fetch': case 'scan': case 'range': case 'expiring': case 'forgetExpired': case 'deleteCopy':
        this.#diskWork.perform(partition, effect)
        return
      case 'wake': this.#wake(partition, effect.inMs); return
      case 'ledger': this.#components.ledger.add(effect.epoch, effect.field, effect.amount); return
      case 'fault': log.error({ partition, store: this.#components.self }, effect.message)
    }
  }

  /** The core names stores; a client needs addresses. */
  #withAddresses (answer: Answer): Answer {
    if (answer.kind !== 'error' || answer.hints === undefined) return answer
    const hints = answer.hints.flatMap(({ storeId }) => {
      const address = this.#peers.addressOf(storeId)
      return address === undefined ? [] : [{ storeId, address }]
    })
    return { ...answer, hints }
  }

  #schedule (): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => { this.#flush() })
  }

  /** The end of a turn. */
  #flush (): void {
    if (this.#stopped) return
    // What is read at once is answered in this turn.
    this.#diskWork.flush()
    const touched = this.#touched
    this.#touched = new Set()
    for (const partition of touched) {
      this.#busySinceTick.set(partition, this.#ticks)
      if (this.#replicas.get(partition)?.leader !== undefined) this.apply(partition, { kind: 'flush' })
    }
    this.#scheduled = false
    this.#renewLeases()
    this.#peers.flush()
    this.#bodies.clear()
    this.#diskWork.flush()
    this.#writer.flush()
  }

  #tick (): void {
    this.#cancelTick = this.#components.environment.clock.setTimer(this.#options.tickMs, () => {
      this.#tick()
      this.#ticks++
      this.#pace.tick(this.#components.environment.clock.now())
      this.#renewLeases()
      for (const partition of this.#replicas.keys()) {
        const atRest = this.#ticks - (this.#busySinceTick.get(partition) ?? -Infinity) > BUSY_TICKS
        if (!atRest || (this.#ticks + partition) % REST_TICKS === 0) this.apply(partition, { kind: 'tick' })
      }
    })
  }

  /** A tick for one partition, when something is due there. */
  #wake (partition: number, inMs: number): void {
    const cancel = this.#components.environment.clock.setTimer(inMs, () => {
      this.#wakes.delete(cancel)
      this.apply(partition, { kind: 'tick' })
    })
    this.#wakes.add(cancel)
  }

  #fail (what: string, cause: unknown): void {
    if (this.#stopped) return
    void this.stop()
    const code = cause instanceof StoreError ? cause.code : isCorruption(cause) ? 'STORE_DIRECTORY_DAMAGED' : 'STORE_FAILED'
    const reason = cause instanceof Error ? cause.message : String(cause)
    this.#components.failed(new StoreError(code, `${what}: ${reason}`, { cause }))
  }

  /** Stops serving at once; resolves when nothing uses the disk any more. */
  async stop (): Promise<void> {
    this.#stopped = true
    this.#cancelTick()
    for (const cancel of this.#wakes) cancel()
    const work = this.#diskWork.stop()
    await this.#writer.stop()
    await work
  }
}
