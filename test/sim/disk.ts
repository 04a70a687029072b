/**
 * A simulated disk under one LevelDB directory: what is visible, what is durable, and what a crash makes of the difference.
 *
 * Writes go through one queue; all that waits shares one log write, as LevelDB groups them. A batch is never torn. A crash
 * loses a random suffix of the batches since the last sync. LevelDB's rotation of its log can lose more (the new log is synced,
 * the old one is not), and so can this one, when `rotationProbability` is above 0.
 *
 * Owns: the content of one directory. Time and chance are the simulation's.
 */
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { EventOwner } from './event-queue.ts'
import type { Scheduler } from './network.ts'
import { SortedMap } from './sorted-map.ts'

export interface DiskOptions {
  /** Shortest time that a read takes. @default 0.05 */
  readonly readMs: number
  /** Shortest time that a write without sync takes. @default 0.05 */
  readonly writeMs: number
  /** Shortest time that a write with sync takes. @default 0.5 */
  readonly syncMs: number
  /** Each of those takes up to this many times longer, uniformly. @default 2 */
  readonly jitterFactor: number
  /** Probability that a write begins a new log: unsynced batches before it may be lost although later ones are synced. @default 0 */
  readonly rotationProbability: number
  /** Time until the table that a full log is compacted into is durable. @default 100 */
  readonly compactionMs: number
  /** Single values can be read without waiting: databases say that they have `getSync`, which takes no time. @default false */
  readonly readsAtOnce: boolean
}

export const DISK_DEFAULTS: DiskOptions = Object.freeze({
  readMs: 0.05, writeMs: 0.05, syncMs: 0.5, jitterFactor: 2, rotationProbability: 0, compactionMs: 100, readsAtOnce: false
})

export type Operation = { readonly type: 'put', readonly key: Uint8Array, readonly value: Uint8Array } | { readonly type: 'del', readonly key: Uint8Array }

interface Write {
  readonly operations: readonly Operation[]
  readonly sync: boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** A full log that is being compacted; durable once the table is. */
interface OldLog { batches: (readonly Operation[])[] }

/** Beyond this many batches without a sync the oldest are durable, as they are once LevelDB has compacted its memtable. */
const UNSYNCED_BATCHES_MAX = 10_000

const apply = (map: SortedMap, operations: readonly Operation[]): SortedMap =>
  operations.reduce((next, operation) => operation.type === 'put' ? next.put(operation.key, operation.value) : next.delete(operation.key), map)

export class StorageFault extends Error {
  readonly code = 'LEVEL_IO_ERROR'
}

export class Disk {
  readonly name: string
  /** Every operation takes this many times as long. */
  slowness = 1
  /** Writes fail for as long as this is set, as on a full disk. */
  full = false
  /** Reads fail for as long as this is set. */
  unreadable = false
  /** Bytes written, and syncs done. */
  readonly statistics = { writes: 0, syncs: 0, bytes: 0 }
  readonly #options: DiskOptions
  readonly #scheduler: Scheduler
  readonly #random: SeededRandom
  #visible = SortedMap.empty
  /** Invariant: visible = durable + oldLog + log. */
  #durable = SortedMap.empty
  #oldLog: OldLog | undefined
  /** Batches of the current log; the first `#synced` of them survive a crash. */
  #log: (readonly Operation[])[] = []
  #synced = 0
  #waiting: Write[] = []
  #writing: Write[] = []
  #failures = 0
  #readFailures = 0
  #lockedBy: EventOwner | undefined
  #onIdle: (() => void)[] = []

  constructor (name: string, options: DiskOptions, scheduler: Scheduler, random: SeededRandom) {
    this.name = name
    this.#options = options
    this.#scheduler = scheduler
    this.#random = random
  }

  /** What readers see. */
  get content (): SortedMap {
    return this.#visible
  }

  /** What is there after a loss of power at this moment, at the least. */
  get synced (): SortedMap {
    return this.#log.slice(0, this.#synced).reduce(apply, this.#durable)
  }

  /** Makes the next write fail. Later ones succeed, since LevelDB goes on after an error. */
  failNextWrite (): void {
    this.#failures++
  }

  /** Makes the next read fail, of one value or of a part of a range. */
  failNextRead (): void {
    this.#readFailures++
  }

  /** Replaces one value by another without anybody noticing, durably: what a bad sector does. Undefined removes it. */
  corrupt (key: Uint8Array, value: Uint8Array | undefined): void {
    const operation: Operation = value === undefined ? { type: 'del', key } : { type: 'put', key, value }
    this.#settleLogs()
    this.#visible = apply(this.#visible, [operation])
    this.#durable = this.#visible
  }

  /** @returns false while another handle of a living process has it open. */
  lock (owner: EventOwner): boolean {
    if (this.#lockedBy?.alive === true) return false
    this.#lockedBy = owner
    return true
  }

  unlock (): void {
    this.#lockedBy = undefined
  }

  #takes (ms: number): number {
    return ms === 0 ? 0 : ms * this.slowness * (1 + this.#random.next() * this.#options.jitterFactor)
  }

  get readsAtOnce (): boolean { return this.#options.readsAtOnce }

  /** What `look` says of the content as it is now. @throws {StorageFault} where a read is to fail */
  readNow<Result> (look: () => Result): Result {
    const fails = this.unreadable || this.#readFailures > 0
    if (this.#readFailures > 0) this.#readFailures--
    if (fails) throw new StorageFault(`${this.name}: read failed`)
    return look()
  }

  /** As `readNow`, after the time a read takes. */
  read<Result> (owner: EventOwner, look: () => Result): Promise<Result> {
    const result = new Promise<Result>(resolve => { resolve(this.readNow(look)) })
    // Who waits for it hears of it below.
    result.catch(() => {})
    const takesMs = this.#takes(this.#options.readMs)
    if (takesMs === 0) return result
    return new Promise(resolve => { this.#scheduler.schedule(takesMs, owner, () => { resolve(result) }) })
  }

  write (owner: EventOwner, operations: readonly Operation[], sync: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      // A dead process writes nothing and hears nothing.
      if (!owner.alive) return
      this.#waiting.push({ operations, sync, resolve, reject })
      if (this.#writing.length === 0) this.#writeGroup(owner)
    })
  }

  /** Resolves when no write is under way. */
  idle (): Promise<void> {
    return this.#writing.length === 0 ? Promise.resolve() : new Promise(resolve => { this.#onIdle.push(resolve) })
  }

  #writeGroup (owner: EventOwner): void {
    const group = this.#waiting
    this.#waiting = []
    this.#writing = group
    if (group.length === 0) {
      for (const resolve of this.#onIdle.splice(0)) resolve()
      return
    }
    const sync = group.some(write => write.sync)
    const takesMs = this.#takes(sync ? this.#options.syncMs : this.#options.writeMs)
    if (takesMs === 0) this.#finishGroup(owner, group, sync)
    else this.#scheduler.schedule(takesMs, owner, () => this.#finishGroup(owner, group, sync))
  }

  #finishGroup (owner: EventOwner, group: Write[], sync: boolean): void {
    if (this.full || this.#failures > 0) {
      if (!this.full) this.#failures--
      this.#scheduler.trace(this.name, `fails ${group.length} writes`)
      for (const write of group) write.reject(new StorageFault(`${this.name}: ${this.full ? 'no space left on device' : 'write failed'}`))
    } else {
      if (this.#random.chance(this.#options.rotationProbability)) this.#rotate()
      for (const { operations } of group) {
        this.#visible = apply(this.#visible, operations)
        this.#log.push(operations)
        for (const operation of operations) this.statistics.bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0)
      }
      this.statistics.writes += group.length
      if (sync) {
        this.statistics.syncs++
        this.#sync()
      }
      if (this.#log.length > UNSYNCED_BATCHES_MAX) this.#settleLogs()
      this.#scheduler.trace(this.name, `writes ${group.length}${sync ? ' synced' : ''}`)
      for (const write of group) write.resolve()
    }
    this.#writeGroup(owner)
  }

  #sync (): void {
    if (this.#oldLog === undefined) this.#settleLogs()
    else this.#synced = this.#log.length
  }

  /** Everything visible is durable. */
  #settleLogs (): void {
    this.#durable = this.#visible
    this.#oldLog = undefined
    this.#log = []
    this.#synced = 0
  }

  #rotate (): void {
    // LevelDB waits for the compaction of one log before it fills another.
    if (this.#oldLog !== undefined || this.#log.length === 0) return
    const oldLog: OldLog = { batches: this.#log }
    this.#oldLog = oldLog
    this.#log = []
    this.#synced = 0
    this.#scheduler.schedule(this.#options.compactionMs * this.slowness, undefined, () => {
      if (this.#oldLog !== oldLog) return
      this.#durable = oldLog.batches.reduce(apply, this.#durable)
      this.#oldLog = undefined
      const synced = this.#log.splice(0, this.#synced)
      this.#durable = synced.reduce(apply, this.#durable)
      this.#synced = 0
    })
  }

  /** The process is gone: what it had in flight may or may not have reached the log, and what was not synced may be lost. */
  crash (losesUnsynced: boolean): void {
    const underWay = [...this.#writing, ...this.#waiting].map(write => write.operations)
    this.#log.push(...underWay.slice(0, this.#random.below(underWay.length + 1)))
    if (losesUnsynced) {
      const old = this.#oldLog?.batches ?? []
      const oldKept = this.#random.below(old.length + 1)
      const kept = this.#synced + this.#random.below(this.#log.length - this.#synced + 1)
      this.#scheduler.trace(this.name, `loses ${old.length - oldKept + this.#log.length - kept} batches`)
      this.#visible = [...old.slice(0, oldKept), ...this.#log.slice(0, kept)].reduce(apply, this.#durable)
    } else {
      this.#visible = [...(this.#oldLog?.batches ?? []), ...this.#log].reduce(apply, this.#durable)
    }
    // Recovery writes what it found into a table, which is durable before the database opens.
    this.#settleLogs()
    this.#waiting = []
    this.#writing = []
    this.#onIdle = []
    this.#failures = 0
    this.#readFailures = 0
    this.#lockedBy = undefined
  }
}
