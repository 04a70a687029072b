/**
 * What a replica has on the disk, and how it gets there: its state record, its log, its data, and copies that are to go.
 *
 * Rule S2: what is sent speaks of what is durable, so whoever answers does it from `then`. The state record goes with each batch that changes
 * it. What is committed goes to the data with batches that are written anyway.
 *
 * Pure: a part of the replica core.
 */
import type { Copy } from './copy.ts'
import type { DurableState, StoreWrite } from './effects.ts'
import { compareBallots, NO_BALLOT } from './history.ts'
import type { Replica } from './replica.ts'
import { type Durability, SyncedLog } from './synced-log.ts'

export class ReplicaDisk {
  readonly syncedLog: SyncedLog
  readonly #replica: Replica
  /** The state record as the disk has it, or will have it when what was persisted is durable. */
  #recorded: DurableState | undefined
  /** Copies to delete once the state record that no longer names them is durable. */
  #doomed: number[] = []
  /** The state record as the disk has it for certain. */
  #durable: DurableState | undefined

  /** @param restored what an earlier run left, which the replica has taken up */
  constructor (replica: Replica, durability: Durability, restored: DurableState | undefined) {
    this.#replica = replica
    this.#recorded = this.#durable = restored
    this.syncedLog = new SyncedLog(durability, replica.copy)
  }

  /** True when the disk has the present promise. */
  get promiseDurable (): boolean {
    return this.#durable?.group === this.#replica.group && compareBallots(this.#durable?.promised ?? NO_BALLOT, this.#replica.promised) === 0
  }

  /** Makes writes durable together with the state record, and brings whatever is committed to the data. */
  persist (writes: readonly StoreWrite[], then: () => void = () => {}): void {
    this.#persist(this.#withData(writes), then, true)
  }

  /** Brings whatever is committed to the data. */
  applyCommitted (): void {
    this.#persist(this.#withData([]), () => {}, false)
  }

  #withData (writes: readonly StoreWrite[]): readonly StoreWrite[] {
    const { copy } = this.#replica
    return copy?.unapplied === true ? [...writes, ...copy.takeApplied()] : writes
  }

  /**
   * Logs entries, as durably as the store's option says. What is committed goes to the data with one of the next persists, a tick later:
   * together, and each key once.
   * A learner waits for the data, and so does whoever has to keep too much of it in memory.
   */
  log (writes: readonly StoreWrite[], then: () => void): void {
    const { copy, leader, options } = this.#replica
    const later = copy !== undefined && copy.commit - copy.applying < options.batchEntriesMax && leader?.handover.teaching !== true
    this.#persist(later ? writes : this.#withData(writes), then, false)
  }

  #persist (writes: readonly StoreWrite[], then: () => void, synced: boolean): void {
    const replica = this.#replica
    const { copy, out } = replica
    const applied = copy?.applying ?? 0
    const compacted = copy?.compact(replica.leader?.needed()) ?? []
    const says = this.#news(applied)
    const state = says === 'nothing' ? this.#recorded! : replica.durableState(applied)
    const sync = synced || says === 'more' || this.syncedLog.mustSync(writes)
    const settled = this.syncedLog.issue(copy, writes)
    this.#recorded = state
    const doomed = this.#doomed
    this.#doomed = []
    const all: StoreWrite[] = says === 'nothing' ? [] : [{ kind: 'state', state }]
    for (const write of writes) all.push(write)
    for (const write of compacted) all.push(write)
    out.persist(all, () => {
      if (sync) settled()
      copy?.applyDone(applied)
      this.#durable = state
      // What removed the values must outlive a loss of power before the index forgets them: else they would stay for ever.
      const swept = sync ? copy?.takeSwept() ?? 0 : 0
      if (swept > 0) out.push({ kind: 'forgetExpired', copy: copy!.number, time: swept })
      for (const number of doomed) out.push({ kind: 'deleteCopy', copy: number })
      then()
    }, sync)
  }

  /** What a state record would say that the last one did not: nothing; only how far log and data have come, which others know as well; or more. */
  #news (applied: number): 'nothing' | 'positions' | 'more' {
    const { group, promised, copy, nextCopy, seat, doubted } = this.#replica
    const last = this.#recorded
    if (last === undefined || last.group !== group || compareBallots(last.promised, promised) !== 0) return 'more'
    if (last.copy !== copy?.number || last.nextCopy !== nextCopy || last.seat !== seat.recorded || (last.doubted === true) !== doubted) return 'more'
    const { floor = 0, floorTime = 0 } = copy ?? {}
    return last.floor === floor && last.time === floorTime && last.applied === applied ? 'nothing' : 'positions'
  }

  /** Has a copy deleted after the next persist, whose state record must not name it (rule S6: by its number, which is never used again). */
  doom (copy: Copy): void {
    this.#doomed.push(copy.number)
  }

  /** True while a copy waits to be deleted. */
  get dooms (): boolean { return this.#doomed.length > 0 }
}
