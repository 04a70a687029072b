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

/** After a view change a silent leader is asked only when so many retry times have passed. */
const PATIENCE_RETRIES = 3
/** A question that is not answered is repeated after `retryMs`, then twice as long, up to this many times as long. */
const RETRY_FACTOR_MAX = 4
/** One that was answered, so that all is well, is asked again after so many retry times, in case that the news of its end gets lost. */
const POLL_RETRIES = 10

export class Election {
  readonly #replica: Replica
  /** When to ask, if there is a reason to. */
  #askAt = -Infinity
  readonly #patience: RoundTrip
  /** When this store first asked the present incumbent in vain, or undefined. */
  #unansweredSince: number | undefined
  #asked: Ballot = NO_BALLOT

  constructor (replica: Replica) {
    this.#replica = replica
    this.#patience = new RoundTrip(replica.options.retryMs, RETRY_FACTOR_MAX, replica.slowness)
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
  inherit (now: number): void {
    const replica = this.#replica
    const { view, promised: ballot, seen, self, level } = replica
    if (ballot.store !== self || compareBallots(seen, ballot) !== 0 || !level || view?.live.has(self) !== true) return
    if (replica.missingMajority() === undefined) replica.inherit(now, ballot)
  }

  /** There is a new leader, or a new configuration: nobody is waiting for an answer any more. */
  heard (): void {
    if (this.#unansweredSince === undefined) return
    this.#unansweredSince = undefined
    this.#patience.reset()
    this.#askAt = this.#replica.now + this.#patience.delayMs
  }

  /** The leader that this store knows was heard of. Whatever it was asked, it knows of. */
  answered (): void {
    if (this.#unansweredSince === undefined) return
    this.heard()
    this.#askAt = this.#replica.now + POLL_RETRIES * this.#replica.options.retryMs
  }

  /** Whoever was asked does not lead, and said who may. That one is asked at once, by a store that still has a reason to ask. */
  sentOn (now: number): void {
    if (this.#unansweredSince === undefined && this.#hasQuestion) this.nominate(now)
  }

  viewChanged (now: number): void {
    // Whoever has to lead has heard of it, too: nobody is asked before there was time for it.
    this.#patience.reset()
    this.#askAt = now + PATIENCE_RETRIES * this.#replica.options.retryMs
  }

  tick (now: number): void {
    const { leader, options, level } = this.#replica
    if (leader !== undefined) return
    this.lead(now)
    if (this.#replica.leader !== undefined) return
    if (now >= this.#askAt) this.nominate(now)
    if (this.#unansweredSince !== undefined && now - this.#unansweredSince >= options.takeoverMs && level) this.lead(now, true)
  }

  /** Asks whoever should lead to do so, or to say that a copy may go. Repeated by the tick until it is answered. */
  nominate (now: number): void {
    const replica = this.#replica
    const { group, leftover } = replica
    if (!this.#hasQuestion) return
    if (group === undefined || replica.ended) this.#askSeats(now)
    else this.#ask(now, leftover.present ? leftover.ask() : 0)
  }

  /** There is nobody that leads, as far as this store knows, or no placement yet where it belongs, or a copy here that may have to go. */
  get #hasQuestion (): boolean {
    const { group, view, seen, self, leader, leftover, ended } = this.#replica
    if (view === undefined || leader !== undefined || !view.live.has(self)) return false
    if (ended) return true
    // Without a group: a learner whose seat went before it ever heard of one.
    const hasLeftover = leftover.present
    if (hasLeftover || group === undefined) return hasLeftover
    if (this.#unansweredSince !== undefined || !view.live.has(seen.store)) return true
    return view.seats.length > 0 && view.epoch > group.epoch && !sameMembers(group.members, view.seats)
  }

  /** True when no tick has anything to do here before something else happens. */
  get idle (): boolean {
    const { view, self, isMember } = this.#replica
    return view !== undefined && !this.#hasQuestion && !(isMember && this.expected() === self)
  }

  /** Somebody found the leader silent: makes sure that there is one. */
  doubt (now: number): void {
    if (this.#unansweredSince === undefined) this.#ask(now, 0)
  }

  #ask (now: number, held: number): void {
    const { group, seen, self, out } = this.#replica
    const to = this.expected()
    if (to === undefined || to === self || this.#replica.ended) { this.#askSeats(now); return }
    this.#askNext(now)
    if (compareBallots(this.#asked, seen) !== 0 || this.#unansweredSince === undefined) this.#unansweredSince = now
    this.#asked = seen
    out.send(to, { kind: 'nominate', generation: group!.generation, seen, held })
  }

  #askNext (now: number): void {
    this.#askAt = now + this.#patience.delayMs
    this.#patience.missed()
  }

  /**
   * No other store of the group that this one knows is in the configuration: it may have missed the end of that generation. Those who
   * hold the partition by the placement answer with the chain if there is a later one.
   */
  #askSeats (now: number): void {
    const { group, view, self, out } = this.#replica
    this.#askNext(now)
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
      if (held > 0) leader.releases.asked(now, from, held)
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
    this.#replica.sawBallot(now, ballot)
    if (compareBallots(ballot, this.#replica.seen) === 0) this.answered()
  }
}
