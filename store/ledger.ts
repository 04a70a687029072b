/**
 * The ledger of transfers at one store: per epoch, what became of the moves that gave this store a seat (rule S11).
 *
 * A transfer's id is (epoch, partition, target store); a partition's state record remembers whether the id of its present seat
 * is complete, in the same batch that completes it, so an id is never carried out twice. This page adds the ids up.
 *
 * Pure.
 */
import type { LedgerField } from './group/effects.ts'

export type LedgerPage = Readonly<Record<LedgerField, number>>

const EMPTY: LedgerPage = Object.freeze({
  planned: 0, done: 0, superseded: 0, snapshots: 0, restarted: 0, repaired: 0, duplicates: 0, bytes: 0, delta: 0
})

export class Ledger {
  readonly #pages = new Map<number, Record<LedgerField, number>>()
  readonly #changed = new Set<number>()

  /** Takes over a page that an earlier run wrote. */
  restore (epoch: number, page: Readonly<Record<string, number>>): void {
    const known = Object.keys(EMPTY).map(field => [field, page[field] ?? 0])
    this.#pages.set(epoch, Object.fromEntries(known) as Record<LedgerField, number>)
  }

  add (epoch: number, field: LedgerField, amount: number): void {
    let page = this.#pages.get(epoch)
    if (page === undefined) this.#pages.set(epoch, page = { ...EMPTY })
    page[field] += amount
    this.#changed.add(epoch)
  }

  page (epoch: number): LedgerPage {
    return this.#pages.get(epoch) ?? EMPTY
  }

  epochs (): number[] {
    return [...this.#pages.keys()].sort((a, b) => a - b)
  }

  /** The pages that changed since the last call: they go into the next batch. */
  takeChanged (): [epoch: number, page: LedgerPage][] {
    const changed = [...this.#changed].map((epoch): [number, LedgerPage] => [epoch, { ...this.page(epoch) }])
    this.#changed.clear()
    return changed
  }
}
