/**
 * The promises that a candidate collects, whether they are enough to lead with, and whose history they say is the most advanced.
 *
 * Rule S3: with a majority sealed, the most advanced level history among them holds everything that was ever committed. Members that lost their
 * power promise like the others, and their histories do not count for that (doubt.ts).
 *
 * Pure: a part of the leader.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { suffices } from './doubt.ts'
import { comparePositions } from './history.ts'
import type { Leader } from './leader.ts'
import type { GroupMessage } from './messages.ts'

export type Sealed = GroupMessage & { kind: 'sealed' }

export class Seals {
  readonly #leader: Leader
  readonly #sealed = new Map<StoreId, Sealed>()

  constructor (leader: Leader) {
    this.#leader = leader
  }

  /** What each member that has sealed said. */
  get answers (): ReadonlyMap<StoreId, Sealed> { return this.#sealed }

  /** True when the candidate's own promise is durable, before which nobody may hear of its ballot. */
  get begun (): boolean { return this.#sealed.has(this.#leader.replica.self) }

  /** The candidate's own promise is durable. */
  begin (now: number): void {
    const { ballot, replica } = this.#leader
    this.#sealed.set(replica.self, {
      kind: 'sealed',
      generation: replica.group!.generation,
      ballot,
      last: replica.lastPosition,
      level: replica.level,
      commit: replica.copy?.commit ?? 0,
      leases: replica.deposed.left(now, replica.self),
      ...replica.doubted ? { doubted: true } : {}
    })
  }

  add (from: StoreId, message: Sealed): void {
    this.#sealed.set(from, message)
  }

  /** Asks the members that have not answered. */
  ask (): void {
    const { group, self, view } = this.#leader.replica
    for (const member of group!.members) if (member !== self && view!.live.has(member) && !this.#sealed.has(member)) this.askOne(member)
  }

  askOne (member: StoreId): void {
    const { ballot, replica: { group, out } } = this.#leader
    out.send(member, { kind: 'seal', generation: group!.generation, ballot })
  }

  get sufficient (): boolean {
    return suffices(this.#sealed.values(), this.#leader.replica.group!.members.length)
  }

  /** All members that are there have sealed, and too many of them are doubted: who must be there as well. */
  awaited (): StoreId[] | undefined {
    const { group, view } = this.#leader.replica
    if (this.sufficient || group!.members.some(member => view!.live.has(member) && !this.#sealed.has(member))) return undefined
    return group!.members.filter(member => !view!.live.has(member))
  }

  /** Whose history is the most advanced, the candidate's among equals; undefined where none is level. */
  best (): StoreId | undefined {
    let best = this.#leader.replica.self
    let most = this.#sealed.get(best)!
    for (const [member, answer] of this.#sealed) {
      const order = Number(answer.level) - Number(most.level) || comparePositions(answer.last, most.last)
      if (order > 0) { best = member; most = answer }
    }
    return most.level ? best : undefined
  }
}
