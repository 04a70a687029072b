/**
 * What the disks of stores hold, whether or not the stores run: what their state records promise, which entries they have, what would
 * be left after a loss of power, and the data of a copy.
 *
 * Owns: what was on the disks of stores before they lost their power.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { DurableState } from '../../store/group/effects.ts'
import { type Ballot, compareBallots, type Entry } from '../../store/group/history.ts'
import { copyOf, copyRange, decodeEntry, decodeExpiring, decodeState, decodeValue, expiryKey, logKey, ranges, stateKey, userKeyOf } from '../../store/storage/layout.ts'
import { contentOf, contentOfValue, hex } from './committed-history.ts'
import type { SortedMap } from './sorted-map.ts'

export interface DiskContents {
  /** What is on the disk of a store; undefined for one that was never heard of. */
  readonly disk: (store: StoreId) => SortedMap | undefined
  /** What of that would be there after a loss of power. */
  readonly synced: (store: StoreId) => SortedMap | undefined
}

export class StoreDisks {
  readonly #contents: DiskContents
  readonly #former = new Map<StoreId, SortedMap>()

  constructor (contents: DiskContents) {
    this.#contents = contents
  }

  /** A store loses its power now. */
  losesPower (store: StoreId, content: SortedMap): void {
    this.#former.set(store, content)
  }

  #state (partition: number, disk: SortedMap | undefined): DurableState | undefined {
    const key = stateKey(partition)
    const record = disk?.get(key)
    return record === undefined ? undefined : decodeState(key, record)
  }

  state (partition: number, store: StoreId): DurableState | undefined {
    return this.#state(partition, this.#contents.disk(store))
  }

  #holds (partition: number, seq: number, content: string | undefined, disk: SortedMap | undefined): boolean {
    const state = this.#state(partition, disk)
    if (state?.copy === undefined) return false
    if (seq <= state.applied) return true
    const key = logKey(partition, state.copy, seq)
    const entry = disk!.get(key)
    return entry !== undefined && (content === undefined || contentOf(decodeEntry(key, entry)) === content)
  }

  /** True when a store has a number: in its data, or as an entry of its log (with `content`, this one). */
  holds (partition: number, store: StoreId, seq: number, content?: string): boolean {
    return this.#holds(partition, seq, content, this.#contents.disk(store))
  }

  /** True when it has it, or had it before it lost its power. */
  held (partition: number, store: StoreId, seq: number, content: string): boolean {
    return this.holds(partition, store, seq, content) || this.#holds(partition, seq, content, this.#former.get(store))
  }

  /** True when a store has a number, and keeps it when it loses its power. */
  keeps (partition: number, store: StoreId, seq: number): boolean {
    return this.#holds(partition, seq, undefined, this.#contents.synced(store))
  }

  /** Whether the disk of a store obeys nothing below a ballot. One that has stepped to a later generation keeps no promise of this one. */
  hasPromised (partition: number, store: StoreId, generation: number, ballot: Ballot): boolean {
    const state = this.#state(partition, this.#contents.synced(store))
    if (state?.group === undefined || state.group.generation < generation) return false
    return state.group.generation > generation || compareBallots(state.promised, ballot) >= 0
  }

  /** The entries of a copy's log from a number on, as far as they follow one another. */
  * entriesFrom (partition: number, store: StoreId, from: number): Generator<Entry, void> {
    const copy = this.state(partition, store)?.copy
    for (let seq = from; copy !== undefined; seq++) {
      const key = logKey(partition, copy, seq)
      const record = this.#contents.disk(store)!.get(key)
      if (record === undefined) return
      yield decodeEntry(key, record)
    }
  }

  /** The data of a store's copy, by key in hexadecimal. @throws when a value that expires is not in the index (invariant 19) */
  data (partition: number, store: StoreId, copy: number): Map<string, string> {
    const disk = this.#contents.disk(store)!
    const range = copyRange('data', partition, copy)
    const found = new Map<string, string>()
    for (const [key, record] of disk.entries(range.gte, false)) {
      if (Buffer.compare(key, range.lt) >= 0) break
      const { value, seq, expires } = decodeValue(key, record)
      found.set(hex(userKeyOf(key)), contentOfValue(seq, value, expires))
      if (expires === undefined) continue
      const index = expiryKey(partition, copy, expires, userKeyOf(key))
      const indexed = disk.get(index)
      if (indexed === undefined || decodeExpiring(index, indexed).seq !== seq) {
        throw new Error(`invariant 19: partition ${partition} at ${store} has a value of ${seq} that expires at ${expires}, which its index does not name`)
      }
    }
    return found
  }

  /** Names the first entry, value or record of the index on a store's disk that is in no live copy; undefined where none is. */
  strayOn (store: StoreId): string | undefined {
    const disk = this.#contents.disk(store)
    if (disk === undefined) return undefined
    const live = new Map<number, number | undefined>()
    for (const kind of ['logs', 'data', 'expiries'] as const) {
      const { gte, lt } = ranges[kind]
      for (const [key] of disk.entries(gte, false)) {
        if (Buffer.compare(key, lt) >= 0) break
        const { partition, copy } = copyOf(key)
        if (!live.has(partition)) live.set(partition, this.#state(partition, disk)?.copy)
        if (live.get(partition) !== copy) return `${kind} of copy ${copy} of partition ${partition}, whose live copy is ${live.get(partition)}`
      }
    }
    return undefined
  }
}
