/**
 * One copy of a partition at one store: a log that ends in uncommitted entries, and data that is the log replayed to `applied`.
 *
 * `floor <= applied <= commit <= last`. Entries in (floor, last] are in memory and on disk. What is committed but not yet in the
 * data is in `overlay`, so that reads need not wait for the disk, data writes can ride on a later synced batch, and of several
 * writes of one key only the last needs to.
 * The operation ids of the log are the memory that makes retries happen once (rule S9).
 *
 * Pure.
 */
import type { OperationId } from '../client-protocol.ts'
import type { StoreWrite } from './effects.ts'
import { isWithin, type KeyRange } from '../scan-range.ts'
import { BARE_BYTES_MAX, type Entry, entryBytes, timeOf, withoutIndex, withoutValues } from './history.ts'
import { OperationMemory } from './operation-memory.ts'

/** A key as a map key: one character per byte. */
export const keyText = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')

export interface CopyOptions {
  /** Entries kept in the log: the reach of retries and of catching up. */
  readonly logEntriesMax: number
  /** Bytes of values kept in the log; older entries keep only their ids and keys. */
  readonly logBytesMax: number
}

/** What a committed entry left behind of a key. */
interface Pending { readonly key: Uint8Array, readonly seq: number, readonly value: Uint8Array | null, readonly expires?: number | undefined }

/** The end of a log, as a snapshot brings it. */
export interface Memory {
  /** Those after the floor, without values. */
  readonly entries: readonly Entry[]
  readonly floor: number
  /** The partition's time at the floor. */
  readonly time: number
}

/** What the keys of a memory have of `BARE_BYTES_MAX`. The rest suffices for 8,192 entries: no log is told to keep more. */
const INDEX_BYTES_MAX = BARE_BYTES_MAX / 4

/** The log may grow to so many times its limits while somebody is being taught from it. */
const HELD_FACTOR = 16

export class Copy {
  readonly number: number
  readonly #options: CopyOptions
  /** Invariant: `#entries[i].seq === floor + 1 + i`. */
  #entries: Entry[] = []
  /** Of each entry, the bytes that were appended with it and before it. */
  #ends: number[] = []
  /** The same of the entry at the floor. */
  #floorEnd = 0
  #floor: number
  /** Entries up to here have lost their values. `floor <= valueFloor <= applied`. */
  #valueFloor: number
  #commit: number
  #applied: number
  #applying: number
  #bytes = 0
  readonly #operations = new OperationMemory()
  readonly #overlay = new Map<string, Pending>()
  /** Where the data was when each scan that is under way began. */
  readonly #holds = new Set<{ readonly applied: number }>()
  /** Batches under way with values that only they have. */
  #incoming = 0
  /** The partition's time as the entries up to the floor told it last; 0 for never. */
  #floorTime: number
  /** What expires up to this time is gone from the data; the index may still name it. */
  #swept = 0

  constructor (number: number, floor: number, applied: number, entries: readonly Entry[], options: CopyOptions, floorTime = 0) {
    this.number = number
    this.#options = options
    this.#floor = floor
    this.#valueFloor = floor
    this.#floorTime = floorTime
    this.#commit = this.#applied = this.#applying = applied
    for (const entry of entries) this.append(entry)
    for (const entry of entries) if (entry.body.kind === 'write' && entry.body.operations === null) this.#valueFloor = entry.seq
    for (const entry of entries) if (entry.seq <= applied) this.#sweep(entry)
    if (this.last < applied) throw new Error(`invariant: the log of copy ${number} ends at ${this.last}, before its data at ${applied}`)
  }

  get floor (): number { return this.#floor }
  get valueFloor (): number { return this.#valueFloor }
  get commit (): number { return this.#commit }
  get applied (): number { return this.#applied }
  /** The data has, or is on its way to have, everything up to here. */
  get applying (): number { return this.#applying }
  get last (): number { return this.#floor + this.#entries.length }
  get floorTime (): number { return this.#floorTime }

  /** The partition's time as the history told it last, what is not committed included; 0 for never. */
  get time (): number { return this.#timeAt(this.last) }

  /** The partition's time as the entries up to `seq` tell it. */
  #timeAt (seq: number): number {
    for (let index = seq - this.#floor - 1; index >= 0; index--) {
      const time = timeOf(this.#entries[index]!)
      if (time !== undefined) return time
    }
    return this.#floorTime
  }

  #sweep ({ body }: Entry): void {
    if (body.kind === 'write') this.#swept = Math.max(this.#swept, body.swept ?? 0)
  }

  /** The time up to which the index of what expires is of no use any more; 0 when there is nothing new to say. */
  takeSwept (): number {
    const swept = this.#swept
    this.#swept = 0
    return swept
  }

  entry (seq: number): Entry | undefined {
    return this.#entries[seq - this.#floor - 1]
  }

  /** Entries from `from` on, up to `entriesMax` of them and about `bytesMax`; at least one if there is one. */
  slice (from: number, entriesMax: number, bytesMax: number, to = this.last): Entry[] {
    const entries: Entry[] = []
    let bytes = 0
    for (let seq = from; seq <= to && entries.length < entriesMax; seq++) {
      const entry = this.entry(seq)!
      bytes += entryBytes(entry)
      if (entries.length > 0 && bytes > bytesMax) break
      entries.push(entry)
    }
    return entries
  }

  /** Bytes of the entries after `from`, up to `to`, as they were appended; those up to the floor count for nothing. */
  bytesBetween (from: number, to: number): number {
    const end = (seq: number): number => this.#ends[seq - this.#floor - 1] ?? this.#floorEnd
    return end(to) - end(from)
  }

  append (entry: Entry): void {
    if (entry.seq !== this.last + 1) throw new Error(`invariant: entry ${entry.seq} appended after ${this.last}`)
    const bytes = entryBytes(entry)
    this.#ends.push((this.#ends.at(-1) ?? this.#floorEnd) + bytes)
    this.#entries.push(entry)
    this.#bytes += bytes
    this.#operations.add(entry)
  }

  /** Appends committed entries without values, whose changes the caller writes to the data itself, in the same batch. */
  skip (entries: readonly Entry[]): void {
    if (this.last > this.#commit) throw new Error(`invariant: entries of copy ${this.number} skipped after ${this.last}, which is not committed`)
    for (const entry of entries) this.append(entry)
    this.installed(this.last)
    this.#valueFloor = this.last
  }

  /** Undoes the entries from `seq` on; none of them may be committed. */
  truncate (seq: number): void {
    if (seq <= this.#commit) throw new Error(`invariant: entry ${seq} truncated below the commit point ${this.#commit}`)
    this.#ends.length = seq - this.#floor - 1
    for (const entry of this.#entries.splice(seq - this.#floor - 1)) {
      this.#bytes -= entryBytes(entry)
      this.#operations.remove(entry)
    }
  }

  /** The number of the entry that carries an operation, if the log remembers it. */
  operation (id: OperationId): number | undefined {
    return this.#operations.find(id, this.#entries)
  }

  advanceCommit (seq: number): void {
    if (seq > this.last) throw new Error(`invariant: commit ${seq} beyond the end ${this.last}`)
    for (let next = this.#commit + 1; next <= seq; next++) {
      const { body } = this.entry(next)!
      if (body.kind !== 'write') continue
      if (body.operations === null) throw new Error(`invariant: entry ${next} was committed without its values`)
      for (const operation of body.operations) {
        this.#overlay.set(keyText(operation.key), operation.kind === 'put'
          ? { key: operation.key, seq: next, value: operation.value, expires: operation.expires }
          : { key: operation.key, seq: next, value: null, expires: undefined })
      }
    }
    if (seq > this.#commit) this.#commit = seq
  }

  /** A committed value that is not in the data yet; undefined when the data decides. */
  pending (key: Uint8Array): Pending | undefined {
    return this.#overlay.get(keyText(key))
  }

  /** True when committed entries wait to be written to the data. */
  get unapplied (): boolean {
    return this.#applying < this.#commit
  }

  /** The data writes of everything committed and not yet on its way. Call `applyDone` with `applying` once they are durable. */
  takeApplied (): StoreWrite[] {
    const writes: StoreWrite[] = []
    const from = this.#applying
    for (const { key, seq, value, expires } of this.#overlay.values()) {
      if (seq > from) writes.push({ kind: 'item', copy: this.number, key, value, seq, ...expires === undefined ? {} : { expires } })
    }
    this.#applying = this.#commit
    return writes
  }

  /** The data is durable up to `seq`. */
  applyDone (seq: number): void {
    if (seq <= this.#applied) return
    for (let next = this.#applied + 1; next <= seq; next++) this.#sweep(this.entry(next)!)
    this.#applied = seq
    this.#dropOverlay()
  }

  #dropOverlay (): void {
    let to = this.#applied
    for (const { applied } of this.#holds) to = Math.min(to, applied)
    for (const [key, pending] of this.#overlay) if (pending.seq <= to) this.#overlay.delete(key)
  }

  /**
   * Keeps everything in memory that is not in the data now, until the hold is let go. So whoever reads the data meanwhile, at
   * whatever moment, and then lays `changesWithin` over it, has exactly what is committed by then.
   * @returns lets it go
   */
  hold (): () => void {
    const held = { applied: this.#applied }
    this.#holds.add(held)
    return () => { if (this.#holds.delete(held)) this.#dropOverlay() }
  }

  /** What is committed and held in memory of a range, in the order of the keys. A value of null removes the key. */
  changesWithin (range: KeyRange): { readonly key: Uint8Array, readonly value: Uint8Array | null, readonly seq: number }[] {
    const changes = []
    for (const { key, value, seq } of this.#overlay.values()) {
      if (isWithin(key, range)) changes.push({ key, value, seq })
    }
    return changes.sort((a, b) => Buffer.compare(a.key, b.key))
  }

  /**
   * Values come with a batch that is on its way to the disk, and are nowhere else: until it is there the data is behind the commit point.
   * @returns to be called once it is there
   */
  incoming (): () => void {
    this.#incoming++
    return () => { this.#incoming-- }
  }

  /** True when every committed value is in memory or in the data. */
  get readable (): boolean { return this.#incoming === 0 }

  /** Marks everything up to `seq` as already in the data (a learner writes data itself). Nothing committed may wait for the data. */
  installed (seq: number): void {
    if (this.unapplied) throw new Error(`invariant: entries ${this.#applying + 1} to ${this.#commit} of copy ${this.number} would never reach the data`)
    for (let next = this.#applied + 1; next <= seq; next++) this.#sweep(this.entry(next)!)
    this.#commit = this.#applied = this.#applying = seq
    this.#overlay.clear()
  }

  /**
   * Forgets old entries beyond the limits: first their values, then the entries. Only what is durably in the data goes.
   * The caller writes the new floor in the same batch.
   *
   * What is not in the data yet does not count for the number of entries: at least `logEntriesMax` of those in the data stay.
   * So the reach of retries is the same under load, and the last entry of a copy, whose ballot elects, is never forgotten.
   *
   * @param needed somebody is being taught from the entries after this number: their values stay while they fit `HELD_FACTOR` limits
   */
  compact (needed = Infinity): StoreWrite[] {
    const writes: StoreWrite[] = []
    const { logEntriesMax, logBytesMax } = this.#options
    const kept = (limit: number, size: number): boolean => size <= limit * HELD_FACTOR
    const excess = this.#applied - this.#floor - logEntriesMax
    // An eighth of slack, so that compaction runs in batches instead of with every entry.
    if (excess > logEntriesMax / 8) {
      const count = kept(logEntriesMax, this.#applied - this.#floor) ? Math.min(excess, Math.max(0, needed - this.#floor)) : excess
      if (count > 0) {
        writes.push({ kind: 'dropEntries', copy: this.number, from: this.#floor + 1, to: this.#floor + count })
        this.#floorEnd = this.#ends.splice(0, count).at(-1)!
        for (const entry of this.#entries.splice(0, count)) {
          this.#bytes -= entryBytes(entry)
          this.#floorTime = timeOf(entry) ?? this.#floorTime
          this.#operations.remove(entry)
        }
        this.#floor += count
        this.#valueFloor = Math.max(this.#valueFloor, this.#floor)
      }
    }
    if (this.#bytes > logBytesMax * 1.125) {
      const to = kept(logBytesMax, this.#bytes) ? Math.min(this.#applied, needed) : this.#applied
      for (let seq = this.#valueFloor + 1; seq <= to && this.#bytes > logBytesMax; seq++) {
        const entry = this.entry(seq)!
        this.#valueFloor = seq
        if (entry.body.kind !== 'write') continue
        const bare = withoutValues(entry)
        this.#bytes += entryBytes(bare) - entryBytes(entry)
        this.#entries[seq - this.#floor - 1] = bare
        writes.push({ kind: 'entry', copy: this.number, entry: bare })
      }
    }
    return writes
  }

  /**
   * The log up to `seq`, without values: what a learner needs to remember (rule S9). It has to fit into a message: where there is much, older
   * entries do not say which keys they changed, and of a log that is held for somebody the beginning is left out.
   */
  memory (seq: number): Memory {
    const entries: Entry[] = []
    let [bytes, indexBytes] = [0, 0]
    let floor = seq
    for (; floor > this.#floor; floor--) {
      const entry = withoutValues(this.entry(floor)!)
      const bare = withoutIndex(entry)
      const bareBytes = entryBytes(bare)
      bytes += bareBytes
      indexBytes += entryBytes(entry) - bareBytes
      if (bytes > BARE_BYTES_MAX - INDEX_BYTES_MAX) break
      entries.push(indexBytes <= INDEX_BYTES_MAX ? entry : bare)
    }
    return { entries: entries.reverse(), floor, time: this.#timeAt(floor) }
  }

  /** Cheap checks of the fields' invariants, called after each step in tests and simulations. */
  invariants (): void {
    if (this.#ends.length !== this.#entries.length) throw new Error(`invariant: ${this.#ends.length} ends of ${this.#entries.length} entries`)
    const ordered = this.#floor <= this.#valueFloor && this.#valueFloor <= this.#applied && this.#applied <= this.#applying &&
      this.#applying <= this.#commit && this.#commit <= this.last
    if (!ordered) throw new Error(`invariant: floor ${this.#floor} <= ${this.#valueFloor} <= applied ${this.#applied} <= commit ${this.#commit} <= last ${this.last}`)
  }
}
