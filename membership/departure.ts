/**
 * Departure: how the time of one member in its cluster ends.
 *
 * It asks to leave, and says goodbye once a decision removed it (rule M9, leaving.ts); or it is removed without having asked; or it halts, since
 * what it hears cannot be (rule M12). After that it says nothing any more.
 *
 * Pure: the time is an argument; messages and what the user is told go to the outbox.
 */
import type { Chain } from './chain.ts'
import type { MemberId } from './configuration.ts'
import type { Outbox } from './effects.ts'
import type { MembershipError } from './errors.ts'
import { Leaving } from './leaving.ts'
import type { Position } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

/** A member stays; it is none any more and still tells others so; or it is done. */
export type DepartureStage = 'staying' | 'saying goodbye' | 'gone'

export class Departure<State> {
  readonly #tuning: MembershipTuning
  readonly #out: Outbox<State>
  readonly #chain: Chain<State>
  /** Set once `leave` was called. */
  #leaving: Leaving | undefined
  #stage: DepartureStage = 'staying'

  constructor (tuning: MembershipTuning, out: Outbox<State>, chain: Chain<State>) {
    this.#tuning = tuning
    this.#out = out
    this.#chain = chain
  }

  get stage (): DepartureStage {
    return this.#stage
  }

  /** Whether this member asked to leave. */
  get isAsked (): boolean {
    return this.#leaving !== undefined
  }

  /**
   * Asks the cluster to go on without this member. Alone, there is nobody to ask.
   * @param view undefined while its first configuration is on its way to the disk: it asks once that is in effect
   */
  leave (now: number, view: View | undefined): void {
    if (this.#leaving !== undefined || this.#stage !== 'staying') return
    this.#leaving = new Leaving(this.#tuning, this.#out)
    this.#out.push({ kind: 'status', status: 'leaving' })
    if (view?.size === 1) this.#finish()
    else if (view !== undefined) this.#leaving.ask(now, view)
  }

  /** A configuration takes effect, with this member: it asks there, or again there. */
  enter (now: number, before: View | undefined, view: View): void {
    if (this.#leaving === undefined) return
    if (view.size === 1) this.#finishLast(before, view)
    else this.#leaving.ask(now, view)
  }

  /** A decision left this process out: it asked for that, or the others gave up on it. */
  removed (now: number, after: View): void {
    if (this.#leaving === undefined) {
      this.#out.counters.removals++
      this.#stage = 'gone'
      this.#out.push({ kind: 'status', status: 'removed' })
      this.#out.push({ kind: 'removed' })
      return
    }
    this.#stage = 'saying goodbye'
    this.#leaving.goodbye(now, after)
  }

  /** Going on would be unsafe. */
  halt (error: MembershipError): void {
    this.#stage = 'gone'
    this.#out.push({ kind: 'halt', error })
  }

  /** Another member wants to leave this configuration. */
  companion (id: MemberId): void {
    this.#leaving?.companion(id)
  }

  /** A member of this cluster showed where it is. */
  saw (id: MemberId, position: Position): void {
    this.#leaving?.saw(id, position)
  }

  advance (now: number): void {
    this.#leaving?.advance(now)
    if (this.#leaving?.done === true) this.#finish()
  }

  get nextAtMs (): number {
    return this.#leaving?.nextAtMs ?? Infinity
  }

  /** Those that left with this last member wait for its word that it knows; nobody else could give it. */
  #finishLast (before: View | undefined, { sender }: View): void {
    for (const { id, address } of before?.configuration.members ?? []) {
      if (id === sender.id) continue
      this.#out.send(address, this.#chain.decisions(before!.position))
    }
    this.#finish()
  }

  #finish (): void {
    if (this.#stage === 'gone') return
    this.#stage = 'gone'
    this.#out.push({ kind: 'left' })
  }
}
