/**
 * Leaving: a member asks its observers to report it, and stays until the cluster can do without it.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1, lets a leaver be reported by its observers at once. Rule M9: the leaver votes like anyone and
 * asks again in each configuration; once it is cut it makes sure that a majority of the next configuration knows of the
 * decision, since with few members its own vote may be one that the decision needs.
 *
 * Pure: the time is an argument.
 */
import { type MemberId } from './configuration.ts'
import { type Mailbox } from './effects.ts'
import { type Position } from './messages.ts'
import { type MembershipTuning } from './options.ts'
import { type View } from './view.ts'

/** Repetitions slow down to this multiple of the first pause. */
const PAUSE_FACTOR_MAX = 8
/** Goodbyes carry a sequence number that no detector waits for. */
const GOODBYE_SEQUENCE = 0

export class Leaving {
  readonly #tuning: MembershipTuning
  readonly #out: Mailbox
  #view!: View
  /** Set once a decision removed this member: the configuration that must know. */
  #after: View | undefined
  #acknowledged = new Set<MemberId>()
  #pauseMs = 0
  #nextMs = Infinity

  constructor (tuning: MembershipTuning, out: Mailbox) {
    this.#tuning = tuning
    this.#out = out
  }

  /** Asks the observers of this configuration. */
  ask (now: number, view: View): void {
    this.#view = view
    this.#pauseMs = this.#tuning.batchWindowMs
    this.#nextMs = now
    this.advance(now)
  }

  /** The decision to remove this member is taken: it leads to `after`. */
  goodbye (now: number, after: View): void {
    this.#after = after
    this.#pauseMs = this.#tuning.batchWindowMs
    this.#nextMs = now
    this.advance(now)
  }

  /** True once a majority of the next configuration has acknowledged the decision. */
  get done (): boolean {
    return this.#after !== undefined && this.#acknowledged.size >= this.#after.majority
  }

  /** A member of the next configuration showed where it is. */
  acknowledged (id: MemberId, position: Position): void {
    const after = this.#after
    if (after?.member(id) === undefined || position.clusterId !== after.position.clusterId) return
    if (position.epoch >= after.epoch) this.#acknowledged.add(id)
  }

  advance (now: number): void {
    if (now < this.#nextMs) return
    this.#nextMs = now + this.#pauseMs
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#tuning.batchWindowMs * PAUSE_FACTOR_MAX)
    if (this.#after === undefined) this.#askObservers()
    else this.#sayGoodbye(this.#after)
  }

  get nextAtMs (): number {
    return this.#nextMs
  }

  #askObservers (): void {
    const { sender, position, overlay, self } = this.#view
    for (const id of overlay.observersOf(self.id)) this.#out.send(this.#view.member(id)!.address, { kind: 'leave', sender, position })
  }

  /** A probe that carries the new epoch: whoever is behind fetches the decision, and the reply shows who is not. */
  #sayGoodbye (after: View): void {
    const { sender } = this.#view
    for (const { id, address } of after.configuration.members) {
      if (this.#acknowledged.has(id)) continue
      this.#out.send(address, { kind: 'probe', sender, position: after.position, to: id, sequence: GOODBYE_SEQUENCE })
    }
  }
}
