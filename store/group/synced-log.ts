/**
 * What must be synced although the store acknowledges what only its operating system has (durability `'os'`), and how much of the log is.
 *
 * A loss of power then takes the last batches away, and nothing before them: the store is as it was a little earlier. Others must be able to
 * make that good, so it may lose only what it was told by a leader that counts it anew: ordinary writes, and how far log and data have
 * come. Synced are promises, generations, copy numbers and seats (whatever the state record says besides positions), what a learner reports,
 * and the entries that are no writes: a stop sign, and the first entry of a ballot. A sync covers everything before it.
 *
 * Pure: a part of the replica core.
 */
import type { Copy } from './copy.ts'
import type { StoreWrite } from './effects.ts'

/**
 * When a store has a write: once its disk has it (`'sync'`), or once its operating system has it (`'os'`), which survives the end of the
 * process and not the loss of power.
 */
export type Durability = 'sync' | 'os'

const NOTHING = (): void => {}

export class SyncedLog {
  readonly #always: boolean
  #copy: number | undefined
  /** The last entry of the live copy that was given to the disk. */
  #issued = 0
  /** Invariant: at most `#issued`. */
  #synced = 0
  /** Counts what was undone: a sync that began before says nothing of what was logged since. */
  #cuts = 0

  constructor (durability: Durability, copy: Copy | undefined) {
    this.#always = durability === 'sync'
    // What is there when a database opens, it has made durable.
    this.#copy = copy?.number
    this.#issued = this.#synced = copy?.last ?? 0
  }

  /** Whether these writes must be synced, whatever the state record says. */
  mustSync (writes: readonly StoreWrite[]): boolean {
    return this.#always || writes.some(write => write.kind === 'entry' && write.entry.body.kind !== 'write')
  }

  /** Takes note of what is given to the disk. Returns what to call once all of it is synced. */
  issue (copy: Copy | undefined, writes: readonly StoreWrite[]): () => void {
    if (this.#always || copy === undefined) return NOTHING
    if (copy.number !== this.#copy) {
      this.#cuts++
      this.#copy = copy.number
      this.#issued = copy.last
      this.#synced = 0
    }
    for (const write of writes) if (write.kind === 'entry' && write.copy === copy.number) this.#issued = Math.max(this.#issued, write.entry.seq)
    const [issued, cuts] = [this.#issued, this.#cuts]
    return () => { if (cuts === this.#cuts) this.#synced = Math.max(this.#synced, issued) }
  }

  /** The entries from this number on are undone. */
  cut (from: number): void {
    this.#cuts++
    this.#issued = Math.min(this.#issued, from - 1)
    this.#synced = Math.min(this.#synced, from - 1)
  }

  /** True when everything up to this number survives the loss of power. */
  covers (seq: number): boolean {
    return this.#always || seq <= this.#synced
  }
}
