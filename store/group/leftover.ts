/**
 * A whole copy that is of no use here any more, and the question whether it may go.
 *
 * Rules S5 and S6: only the leader of the present generation can tell, and answers may be late; so each question has a number that no other one
 * has, and a copy that a teacher builds on meanwhile is asked about anew.
 *
 * Pure: a part of the replica core.
 */
import type { Replica } from './replica.ts'

export class Leftover {
  readonly #replica: Replica
  /** The number of the last question. It begins at random, so that an answer to an earlier run means nothing. */
  #nonce: number
  /** The open question whether the live copy may go, or 0 when no answer to it counts any more. */
  #held = 0

  constructor (replica: Replica, nonce: number) {
    this.#replica = replica
    this.#nonce = nonce
  }

  /** True when a whole copy is here that neither the group nor the placement gives this store, as far as it can know. */
  get present (): boolean {
    const { view, self, isMember, copy, learner } = this.#replica
    return copy !== undefined && !isMember && view !== undefined && !view.seats.includes(self) && view.epoch >= learner.placementEpoch
  }

  /**
   * The number of the open question whether the leftover may go. It stays the same until it is answered, or until a teacher comes,
   * so that a slow answer counts, and an answer from before the copy was needed again does not.
   */
  ask (): number {
    if (this.#held === 0) this.#held = ++this.#nonce
    return this.#held
  }

  /** A teacher or a generation came: no earlier answer may delete the copy. */
  keep (): void {
    this.#held = 0
  }

  /** The copy that this question was about may go. */
  released (held: number): void {
    const replica = this.#replica
    if (held !== this.#held || replica.copy === undefined || !this.present) return
    this.#held = 0
    replica.disk.doom(replica.copy)
    replica.copy = undefined
    replica.disk.persist([])
  }
}
