/**
 * How long this process has known of each store that is gone: what the grace before copying is counted from (group/grace.ts).
 *
 * In which epoch a store went is agreed on; when that was is not, as clocks are not. So each process counts from when it first was
 * in that configuration or a later one. Neither further configurations nor a change of the leader begin the time anew; a process that
 * starts counts from its start.
 *
 * Pure.
 */
import type { StoreId } from '../membership/configuration.ts'

export interface Absence {
  /** The first epoch without the store. */
  readonly epoch: number
  /** When this process learned of it, on its own clock. */
  readonly since: number
}

/** Configurations whose coming is remembered. Of more within one grace, stores that left before them count as long gone. */
const EPOCHS_MAX = 1024

export class Absences {
  readonly #graceMs: number
  /** Rising in both. */
  #heard: { readonly epoch: number, readonly at: number }[] = []
  /** Stores that were gone by this epoch have been gone for longer than the grace. */
  #expired = 0

  constructor (graceMs: number) {
    this.#graceMs = graceMs
  }

  /**
   * A configuration came.
   * @param departures the first epoch without each store that is gone
   * @returns those that have not been gone for the whole grace yet
   */
  changeView (now: number, epoch: number, departures: ReadonlyMap<StoreId, number>): Map<StoreId, Absence> {
    this.#heard.push({ epoch, at: now })
    while (this.#heard.length > EPOCHS_MAX || now - this.#heard[0]!.at > this.#graceMs) this.#expired = this.#heard.shift()!.epoch
    const absences = new Map<StoreId, Absence>()
    for (const [store, departed] of departures) {
      if (departed <= this.#expired) continue
      const since = this.#heard.find(heard => heard.epoch >= departed)!.at
      absences.set(store, { epoch: departed, since })
    }
    return absences
  }
}
