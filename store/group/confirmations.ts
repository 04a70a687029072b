/**
 * Rounds in which a majority of the group says that it has promised nobody else: whoever began before a round that was confirmed still leads.
 *
 * The read index of Raft without its clock (Ongaro's thesis, section 6.4): what came in during one turn shares a round, rounds
 * are pipelined, and an answer to a later round confirms the earlier ones.
 *
 * Pure: a part of the leader.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { majorityOf } from './history.ts'
import type { Leader } from './leader.ts'
import type { GroupMessage } from './messages.ts'
import type { RoundTrip } from './round-trip.ts'

export class Confirmations {
  readonly #leader: Leader
  /** When to ask again for what was not answered. */
  readonly #patience: RoundTrip
  #round = 0
  #sentAt = -Infinity
  /** What came in since the last round began. */
  #next: (() => void)[] = []
  /** Rounds under way, oldest first, each with what is to be done once it is confirmed. */
  #rounds: { readonly round: number, readonly then: readonly (() => void)[] }[] = []
  /** The last round that each member answered. */
  readonly #confirmed = new Map<StoreId, number>()

  constructor (leader: Leader, patience: RoundTrip) {
    this.#leader = leader
    this.#patience = patience
  }

  /** Has `then` called once a majority has confirmed the ballot, after this moment. Dropped, silently, with `clear`. */
  ask (then: () => void): void {
    this.#next.push(then)
  }

  /** The end of a turn: one round for everything that came in. */
  flush (now: number): void {
    if (this.#next.length === 0) return
    this.#rounds.push({ round: ++this.#round, then: this.#next })
    this.#next = []
    this.#send(now)
    this.#settle()
  }

  #send (now: number): void {
    const { ballot, replica: { group, out, self, view } } = this.#leader
    this.#sentAt = now
    for (const member of group!.members) {
      if (member === self || !view!.live.has(member) || (this.#confirmed.get(member) ?? 0) >= this.#round) continue
      out.send(member, { kind: 'confirm', generation: group!.generation, ballot, round: this.#round })
    }
  }

  /** A member has heard of this generation only now, and dropped what it was asked before. */
  introduced (member: StoreId): void {
    const { ballot, replica: { group, out } } = this.#leader
    if (this.#rounds.length === 0 || (this.#confirmed.get(member) ?? 0) >= this.#round) return
    out.send(member, { kind: 'confirm', generation: group!.generation, ballot, round: this.#round })
  }

  confirmed (now: number, from: StoreId, { round }: GroupMessage & { kind: 'confirmed' }): void {
    if (round <= (this.#confirmed.get(from) ?? 0) || round > this.#round) return
    this.#confirmed.set(from, round)
    this.#patience.answered(now - this.#sentAt)
    this.#settle()
  }

  #settle (): void {
    const { group, self } = this.#leader.replica
    const held = group!.members.map(member => member === self ? this.#round : this.#confirmed.get(member) ?? 0).sort((a, b) => b - a)
    const confirmed = held[majorityOf(group!.members.length) - 1]!
    while (this.#rounds.length > 0 && this.#rounds[0]!.round <= confirmed) for (const then of this.#rounds.shift()!.then) then()
  }

  get idle (): boolean { return this.#rounds.length === 0 && this.#next.length === 0 }

  /** Asks again where a round was not answered in time. */
  tick (now: number): void {
    if (this.#rounds.length === 0 || now - this.#sentAt < this.#patience.delayMs) return
    this.#patience.missed()
    this.#send(now)
  }

  /** Forgets everything that waits for a confirmation. */
  clear (): void {
    this.#rounds = []
    this.#next = []
  }
}
