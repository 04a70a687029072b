/**
 * Who leads a group, without elections of its own (rule S4).
 *
 * The agreed configuration elects: a live incumbent stays, else the first live store in the group's own order takes the lead. Stores
 * hear of incumbents at different times, so whoever misses a leader asks the one it expects (`nominate`); being asked by a store
 * that has heard of nothing higher is a reason to lead. An incumbent that is asked and stays silent for `takeoverMs` is passed over.
 *
 * Whoever began the highest ballot of a generation knows it durably, so it leads again by itself after a restart, or, when it is not in the
 * configuration, everybody who has heard of that ballot expects the same store to follow it.
 *
 * Pure: a part of the replica core.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { type Ballot, compareBallots, NO_BALLOT, sameMembers } from './history.ts'
import type { Replica } from './replica.ts'
import { RoundTrip } from './round-trip.ts'

/** After a view change a silent leader is asked only when so many more retry times have passed. */
const PATIENCE_RETRIES = 2
/** A question that is not answered is repeated after `retryMs`, then twice as long, up to this many times as long. */
const RETRY_FACTOR_MAX = 4

export class Election {
  readonly #replica: Replica
  #nominatedAt = -Infinity
  /** When to ask again. */
  #patience: RoundTrip
  /** When this store first asked the present incumbent in vain, or undefined. */
  #unansweredSince: number | undefined
  #asked: Ballot = NO_BALLOT

  constructor (replica: Replica) {
    this.#replica = replica
    this.#patience = new RoundTrip(replica.options.retryMs, RETRY_FACTOR_MAX)
  }

  /** Who leads, as far as this store can know: the live incumbent, else the first live store in the group's order. */
  expected (): StoreId | undefined {
    const { group, view, seen, ended } = this.#replica
    if (group === undefined || view === undefined) return undefined
    if (ended) return view.live.has(view.forced!.store) ? view.forced!.store : undefined
    if (group.members.includes(seen.store) && view.live.has(seen.store)) return seen.store
    return group.members.find(member => view.live.has(member))
  }

  /** Takes the lead when the configuration gives it to this store, or when it is forced. */
  lead (now: number, force = false): void {
    const replica = this.#replica
    const { view, seen, self } = replica
    if (replica.ended || replica.leader !== undefined || !replica.isMember || view === undefined || replica.missingMajority() !== undefined) return
    if (!force && this.expected() !== self) return
    const epoch = Math.max(view.epoch, seen.epoch)
    replica.begin(now, { epoch, attempt: seen.epoch === epoch ? seen.attempt + 1 : 1, store: self })
  }

  /**
   * Takes the lead with the inherited ballot, if it is this store's. Only in the step in which it takes up the generation: so each ballot is
   * begun once, and whoever could not begin it then takes a higher one.
   */
  inherit (now: number, ballot: Ballot): void {
    const replica = this.#replica
    const { view, seen, self, level } = replica
    if (ballot.store !== self || compareBallots(seen, ballot) !== 0 || !level || view?.live.has(self) !== true) return
    if (replica.missingMajority() === undefined) replica.inherit(now, ballot)
  }

  /** The leader was heard of, or there is a new one: nobody is waiting for an answer any more. */
  heard (): void {
    this.#unansweredSince = undefined
    const { retryMs } = this.#replica.options
    if (this.#patience.delayMs > retryMs) this.#patience = new RoundTrip(retryMs, RETRY_FACTOR_MAX)
  }

  viewChanged (now: number): void {
    // Whoever has to lead has heard of it, too: nobody is asked before there was time for it.
    this.#nominatedAt = now + PATIENCE_RETRIES * this.#replica.options.retryMs
  }

  tick (now: number): void {
    const { leader, options, level } = this.#replica
    if (leader !== undefined) return
    this.lead(now)
    if (this.#replica.leader !== undefined) return
    if (now - this.#nominatedAt >= this.#patience.delayMs) {
      this.nominate(now)
      if (this.#nominatedAt === now) this.#patience.missed()
    }
    if (this.#unansweredSince !== undefined && now - this.#unansweredSince >= options.takeoverMs && level) this.lead(now, true)
  }

  /** Asks whoever should lead to do so, or to say that a copy may go. Repeated by the tick until it is answered. */
  nominate (now: number): void {
    const replica = this.#replica
    const { group, view, seen, self, holdsLeftover } = replica
    if (view === undefined || replica.leader !== undefined || !view.live.has(self)) return
    if (replica.ended) { this.#askSeats(now); return }
    if (group === undefined) {
      // A learner whose seat went before it ever heard of a group.
      if (holdsLeftover) this.#askSeats(now)
      return
    }
    const settled = seen.store !== '' && view.live.has(seen.store)
    const unfinished = view.seats.length > 0 && view.epoch > group.epoch && !sameMembers(group.members, view.seats)
    if (settled && !holdsLeftover && !unfinished && this.#unansweredSince === undefined) return
    this.#ask(now, holdsLeftover ? replica.askToRelease() : 0)
  }

  /** Somebody found the leader silent: makes sure that there is one. */
  doubt (now: number): void {
    if (this.#unansweredSince === undefined) this.#ask(now, 0)
  }

  #ask (now: number, held: number): void {
    const { group, seen, self, out } = this.#replica
    const to = this.expected()
    if (to === undefined || to === self || this.#replica.ended) { this.#askSeats(now); return }
    this.#nominatedAt = now
    if (compareBallots(this.#asked, seen) !== 0 || this.#unansweredSince === undefined) this.#unansweredSince = now
    this.#asked = seen
    out.send(to, { kind: 'nominate', generation: group!.generation, seen, held })
  }

  /**
   * No other store of the group that this one knows is in the configuration: it may have missed the end of that generation. Those who
   * hold the partition by the placement answer with the chain if there is a later one.
   */
  #askSeats (now: number): void {
    const { group, view, self, out } = this.#replica
    this.#nominatedAt = now
    for (const store of new Set([...view!.seats, ...view!.forced === undefined ? [] : [view!.forced.store]])) {
      if (store !== self && view!.live.has(store)) out.send(store, { kind: 'nominate', generation: group?.generation ?? 0, seen: NO_BALLOT, held: 0 })
    }
  }

  /** Asked to lead, or to say who does, by a store that has seen nothing above `seen`. */
  nominated (now: number, from: StoreId, seen: Ballot, held: number): void {
    const replica = this.#replica
    const { leader, out, group } = replica
    if (leader !== undefined && compareBallots(seen, leader.ballot) <= 0) {
      if (leader.serving) out.send(from, { kind: 'leading', generation: group!.generation, ballot: leader.ballot })
      if (held > 0) leader.askedToRelease(now, from, held)
      return
    }
    // Whoever knows less than this store cannot know that it should lead; an old message would depose a healthy leader.
    if (compareBallots(seen, replica.seen) < 0) {
      out.send(from, { kind: 'refused', generation: group!.generation, promised: replica.seen })
      return
    }
    replica.sawBallot(now, seen)
    this.lead(now, true)
  }

  /** The sender serves with this ballot. */
  leading (now: number, ballot: Ballot): void {
    if (compareBallots(ballot, this.#replica.seen) >= 0) this.heard()
    this.#replica.sawBallot(now, ballot)
  }
}
