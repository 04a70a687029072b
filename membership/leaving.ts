/**
 * Leaving: a member asks its observers to report it, and stays until the cluster can do without it.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1, lets a leaver be reported by its observers at once. Rule M9: the leaver votes like anyone and
 * asks again in each configuration; once it is cut it makes sure that a majority of the next configuration knows of the
 * decision, since with few members its own vote may be one that the decision needs. Where only some members vote (rule M13) it is their majority
 * that must know; the only voter stays until the agents are gone.
 *
 * Pure: the time is an argument.
 */
import type { Configuration, MemberId } from './configuration.ts'
import type { Mailbox } from './effects.ts'
import { Electorate } from './electorate.ts'
import { MembershipError } from './errors.ts'
import type { Position } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

/** Repetitions slow down to this multiple of the first pause. */
const PAUSE_FACTOR_MAX = 8
/** How long the last member by id listens before it asks to leave. */
const LISTENING_WINDOWS = 2
/** Goodbyes carry a sequence number that no detector waits for. */
const GOODBYE_SEQUENCE = 0

/** Why a member is still one, where it asked to leave and was not removed in time. */
export function leaveTimeout (deadlineMs: number, configuration: Configuration | undefined, self: MemberId | undefined): MembershipError {
  const { isPartial, voters } = configuration === undefined ? { isPartial: false, voters: [] } : Electorate.of(configuration)
  const why = isPartial && voters.length === 1 && voters[0]!.id === self ? ': it is the only voter, and the agents that are left need one' : ''
  return new MembershipError('MEMBERSHIP_LEAVE_TIMEOUT', `Not removed within ${deadlineMs} ms${why}.`, { definite: false })
}

export class Leaving {
  readonly #tuning: MembershipTuning
  readonly #out: Mailbox
  #view!: View
  /** Set once a decision removed this member: the configuration that must know. */
  #after: View | undefined
  /** The latest epoch in which each other member showed itself. */
  readonly #seen = new Map<MemberId, number>()
  /** Others that want to leave the current configuration too. */
  #companions = new Set<MemberId>()
  #pauseMs = 0
  #nextMs = Infinity

  constructor (tuning: MembershipTuning, out: Mailbox) {
    this.#tuning = tuning
    this.#out = out
  }

  /** Asks the observers of this configuration. */
  ask (now: number, view: View): void {
    this.#view = view
    this.#companions = new Set()
    this.#pauseMs = this.#tuning.batchWindowMs
    // The last by id listens first whether all the others leave as well.
    this.#nextMs = this.#isLast() ? now + this.#tuning.batchWindowMs * LISTENING_WINDOWS : now
    this.advance(now)
  }

  /** Another member wants to leave this configuration. */
  companion (id: MemberId): void {
    this.#companions.add(id)
  }

  /** The decision to remove this member is taken: it leads to `after`. */
  goodbye (now: number, after: View): void {
    this.#after = after
    this.#pauseMs = this.#tuning.batchWindowMs
    this.#nextMs = now
    this.advance(now)
  }

  /** True once a majority of the voters of the next configuration has acknowledged the decision. */
  get done (): boolean {
    const after = this.#after
    if (after === undefined) return false
    const knowing = after.electorate.voters.filter(member => this.#knows(member.id, after))
    return knowing.length >= after.majority
  }

  /** A member of this cluster showed where it is. */
  saw (id: MemberId, position: Position): void {
    this.#seen.set(id, position.epoch)
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

  #knows (id: MemberId, after: View): boolean {
    return (this.#seen.get(id) ?? 0) >= after.epoch
  }

  #isLast (): boolean {
    return this.#last === this.#view.self.id
  }

  /** The voter that stays longest where all voters leave. */
  get #last (): MemberId {
    return this.#view.electorate.voters.at(-1)!.id
  }

  /**
   * A cut leaves no configuration without voters: where all of them want to leave, the last by id waits until it is alone. It
   * need not be an observer of this member, so it is asked as well where only some members vote (rule M13).
   */
  #askObservers (): void {
    const { electorate, overlay, position, self, sender } = this.#view
    const companions = [...this.#companions].filter(id => electorate.indexOf(id) >= 0)
    if (this.#isLast() && companions.length === electorate.size - 1) return
    const asked = new Set(overlay.observersOf(self.id))
    if (electorate.isPartial && !this.#isLast()) asked.add(this.#last)
    for (const id of asked) this.#out.send(this.#view.member(id)!.address, { kind: 'leave', sender, position })
  }

  /** A probe that carries the new epoch: whoever is behind fetches the decision, and the reply shows who is not. */
  #sayGoodbye (after: View): void {
    const { sender } = this.#view
    for (const { id, address } of after.electorate.voters) {
      if (this.#knows(id, after)) continue
      this.#out.send(address, { kind: 'probe', sender, position: after.position, to: id, sequence: GOODBYE_SEQUENCE })
    }
  }
}
