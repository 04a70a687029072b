/**
 * The leaders that this store obeyed earlier in this generation, and until when they may still count on it (rule S7).
 *
 * When the promise goes from one store's ballot to another's, the former keeps the lease that it was given until that ends. Whoever
 * seals is told what is left of such leases; for the length of a lease after a start, the leases that were forgotten are among them.
 *
 * Pure: a part of the replica core.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { ReplicaLeases } from '../leases.ts'
import { type Ballot, compareBallots, NO_BALLOT } from './history.ts'

/** What is left of a lease, in milliseconds, at a granter. */
export interface LeaseLeft { readonly holder: StoreId, readonly ms: number }

/** Stands for whoever a store may have given leases to before it started. */
export const FORGOTTEN = '' as StoreId

export class Deposed {
  readonly #self: StoreId
  readonly #leases: ReplicaLeases
  /** By the clock of this store. Invariant: the keys are members of the group, or FORGOTTEN. */
  readonly #until = new Map<StoreId, number>()

  /** @param promised what an earlier run of this store has promised */
  constructor (self: StoreId, leases: ReplicaLeases, promised: Ballot) {
    this.#self = self
    this.#leases = leases
    if (compareBallots(promised, NO_BALLOT) > 0) this.#until.set(FORGOTTEN, leases.forgottenUntil)
  }

  /** The promise is raised. */
  promised (before: Ballot, after: Ballot): void {
    // A store's own later ballot ends its earlier ones, and this store does not lead any more when it promises another's.
    if (before.store === '' || before.store === after.store || before.store === this.#self) return
    this.#until.set(before.store, Math.max(this.#until.get(before.store) ?? -Infinity, this.#leases.revoke(before.store)))
  }

  /** What a store that seals must wait for before it commits anything. */
  left (now: number, sealer: StoreId): LeaseLeft[] {
    const left: LeaseLeft[] = []
    for (const [holder, until] of this.#until) {
      if (until <= now) this.#until.delete(holder)
      else if (holder !== sealer) left.push({ holder, ms: until - now })
    }
    return left
  }

  /** A generation has ended. Its stop sign was committed after all leases in it had ended or were given up. */
  clear (): void {
    this.#until.clear()
  }
}
