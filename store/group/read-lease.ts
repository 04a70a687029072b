/**
 * What a leader may do by leases: answer reads without asking anybody, and nothing at all before its predecessors' have ended (rule S7).
 *
 * Reading: a member counts while this store has a valid lease of it, and it is the one that the member named when it last acknowledged
 * this very ballot. With a majority of such members, itself included, nobody else can have committed anything: another leader
 * needs the promise of one of them, hears from it how long the lease lasts, and waits.
 *
 * Waiting: what the members of the sealed majority say is left of their leases to earlier leaders, by this store's clock and
 * lengthened by the bound on drift. A former leader that answers this ballot has stopped reading, so a planned change waits for nothing. Whom a
 * member gave a lease before it started it does not know; but only members lead, so that this is over once all of them have answered, as after
 * a restart of the whole cluster.
 *
 * Pure: a part of the leader.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { FORGOTTEN, type LeaseLeft } from './deposed.ts'
import { majorityOf } from './history.ts'
import type { Leader } from './leader.ts'

/** Reads say that leases are of use once in this fraction of a lease; each of them would cost more and tell nothing. */
const USE_FRACTION = 1 / 8

export class ReadLease {
  readonly #leader: Leader
  /** The lease that each member named when it last acknowledged this ballot. */
  readonly #named = new Map<StoreId, number>()
  /** Members that lead by no other ballot of this generation below this one any more. */
  readonly #obedient = new Set<StoreId>()
  /** Earlier leaders that may still read, and until when; FORGOTTEN among them. */
  readonly #waits = new Map<StoreId, number>()
  #usedAt = -Infinity

  constructor (leader: Leader) {
    this.#leader = leader
  }

  /** A member has acknowledged this ballot; it leads by no other one any more. */
  acknowledged (from: StoreId, lease: number | undefined): void {
    if (lease !== undefined) this.#named.set(from, lease)
    this.#waits.delete(from)
    this.#obedient.add(from)
    this.#endForgotten()
  }

  /** Whoever has a lease of this generation that its granter does not remember is a member. */
  #endForgotten (): void {
    const { group, self } = this.#leader.replica
    if (group!.members.every(member => member === self || this.#obedient.has(member))) this.#waits.delete(FORGOTTEN)
  }

  /** A member of the sealed majority says which leases may go on. */
  wait (now: number, leases: readonly LeaseLeft[]): void {
    const { replica } = this.#leader
    const factor = 1 + replica.leases.options.leaseDriftPercent / 100
    for (const { holder, ms } of leases) {
      if (holder !== replica.self) this.#waits.set(holder, Math.max(this.#waits.get(holder) ?? -Infinity, now + ms * factor))
    }
    this.#endForgotten()
  }

  /** True while an earlier leader may still answer reads: nothing may be committed. */
  waits (now: number): boolean {
    for (const [holder, until] of this.#waits) if (until <= now) this.#waits.delete(holder)
    return this.#waits.size > 0
  }

  /** How long earlier leaders may still answer reads, unless they are heard of before. */
  waitMs (now: number): number {
    let until = now
    for (const end of this.#waits.values()) until = Math.max(until, end)
    return until - now
  }

  /** True when reads may be answered as things are here. */
  valid (now: number): boolean {
    // From its stop sign on a leader does not know whether the next generation has begun.
    if (!this.#leader.serving) return false
    const { group, leases, self } = this.#leader.replica
    let count = 1
    for (const member of group!.members) {
      const named = member === self ? undefined : this.#named.get(member)
      if (named !== undefined && leases.holds(now, member) === named) count++
    }
    return count >= majorityOf(group!.members.length)
  }

  /** Somebody reads: leases of the members are worth having. */
  use (now: number): void {
    const { group, leases, self, view } = this.#leader.replica
    if (now - this.#usedAt < leases.options.leaseMs * USE_FRACTION) return
    this.#usedAt = now
    for (const member of group!.members) if (member !== self && view!.live.has(member)) leases.use(now, member)
  }
}
