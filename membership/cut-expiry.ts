/**
 * What time does to tallies: whom it has echoed, and what it ends where reinforcement did not.
 *
 * Rapid (Suresh et al., ATC '18), section 4.2, "reinforcement". Rules M6 and M7: removals between L and H are promoted, joins that
 * enter no cut voided, reports below L forgotten. Where all voters are accused, all accusations end together.
 *
 * Removals are few, and looked at one by one. Of joins there may be thousands: they are looked at only when the earliest time at
 * which one of them could be due has come.
 *
 * Pure: time is an argument.
 */
import type { Accusations } from './accusations.ts'
import type { Member, MemberId } from './configuration.ts'
import type { JoinTallies } from './join-tallies.ts'
import { bySubject, type JoinTally, type Tally } from './tally.ts'

/** Those whose tally is in [L, H), for reinforcement. Sorted by member id. */
export interface UnstableSubjects { readonly removals: MemberId[], readonly joins: Member[] }

/** What the passing of time did to the tallies. */
export interface CutExpiry {
  /** Removals at or above L for two timeouts: they count as stable from now on. */
  readonly promoted: MemberId[]
  /** Joiners whose tally was emptied: observers that still vouch for them report them again. */
  readonly voided: Member[]
  /** Removal reports that were forgotten: the detectors of these observers re-arm. */
  readonly lapsed: { readonly subject: MemberId, readonly observers: MemberId[] }[]
}

/** How many unstable timeouts a removal at or above L, or a join that enters no cut, is kept waiting (rules M6 and M7). */
const SETTLE_TIMEOUTS = 2
/** How many unstable timeouts a report below L is remembered (rule M7). */
const LAPSE_TIMEOUTS = 10

export class TallyClock {
  readonly #accusations: Accusations
  readonly #joins: JoinTallies
  readonly #unstableTimeoutMs: number
  /** No join is due before this. Exact after all of them were looked at; a join that became ready since leaves it too early. */
  #joinsDueMs = Infinity
  /** The version of the accusations that this was computed for. */
  #version: number

  constructor (accusations: Accusations, joins: JoinTallies, unstableTimeoutMs: number) {
    this.#accusations = accusations
    this.#joins = joins
    this.#unstableTimeoutMs = unstableTimeoutMs
    this.#version = accusations.version
  }

  /** Dates what happened since the last call. */
  notice (now: number): void {
    this.#accusations.notice(now)
    this.#consider(this.#joins.notice(now))
  }

  /** Those in [L, H) for one unstable timeout, each once. */
  overdue (now: number): UnstableSubjects {
    this.notice(now)
    const removals = this.#accusations.filter(tally => this.#accusations.isUnstable(tally) && this.#reinforceAtMs(tally) <= now)
    const joins = now < this.#earliestJoinMs() ? [] : [...this.#joins.unstable].filter(tally => this.#reinforceAtMs(tally) <= now).sort(bySubject)
    for (const tally of [...removals, ...joins]) tally.reinforced = true
    if (this.#joinsDueMs <= now) this.#lookAtJoins()
    return { removals: removals.map(({ subject }) => subject), joins: joins.map(({ joiner }) => joiner) }
  }

  /** Ends what has waited long enough. @param heard subjects of this member with which it finds nothing wrong */
  expire (now: number, heard: ReadonlySet<MemberId>): CutExpiry {
    this.notice(now)
    const expiry: CutExpiry = { promoted: [], voided: [], lapsed: [] }
    // What ends takes implicit reports and the credit of accusers with it, so others may end by it. Each turn ends one at least.
    for (let ended = true; ended;) {
      // Promotions come first: they may complete a cut that a joiner waits for, or accuse the last member.
      const settled = this.#accusations.filter(tally => this.#accusations.isUnstable(tally) && this.#removalEndsMs(tally) <= now)
      const forsaken = this.#accusations.forsaken(heard)
      const promoted = forsaken.some(tally => this.#removalEndsMs(tally) <= now) ? [...settled, ...forsaken].sort(bySubject) : settled
      this.#accusations.promote(promoted)
      this.notice(now)
      const lapsed = this.#accusations.filter(tally => this.#removalEndsMs(tally) <= now)
      this.#accusations.forget(lapsed)
      const voided = now < this.#earliestJoinMs() ? [] : this.#joins.filter(tally => this.#joinEndsMs(tally) <= now)
      this.#joins.forget(voided)
      this.notice(now)
      for (const { subject } of promoted) expiry.promoted.push(subject)
      for (const { subject, reporters } of lapsed) expiry.lapsed.push({ subject, observers: [...reporters].sort() })
      for (const { joiner } of voided) expiry.voided.push(joiner)
      ended = promoted.length + lapsed.length + voided.length > 0
    }
    if (this.#joinsDueMs <= now) this.#lookAtJoins()
    return expiry
  }

  /** When `overdue` or `expire` may next have something to do although no report comes; Infinity for never. */
  get nextAtMs (): number {
    let earliest = this.#earliestJoinMs()
    for (const tally of this.#accusations.tallies()) {
      if (this.#accusations.isUnstable(tally)) earliest = Math.min(earliest, this.#reinforceAtMs(tally))
      earliest = Math.min(earliest, this.#removalEndsMs(tally))
    }
    return earliest
  }

  /** The time at which an unstable tally is reinforced; Infinity when it has been, or has not been noticed. */
  #reinforceAtMs ({ reinforced, unstableSinceMs }: Tally): number {
    return reinforced ? Infinity : (unstableSinceMs ?? Infinity) + this.#unstableTimeoutMs
  }

  /** The time at which a removal is promoted or forgotten; Infinity for never. */
  #removalEndsMs (tally: Tally): number {
    if (tally.firstAtMs === undefined) return Infinity
    if (this.#accusations.isUnstable(tally)) return this.#settledMs(tally)
    if (!tally.suspected || !tally.isStable(this.#accusations.suspects)) return this.#lapsesMs(tally)
    // A stable removal ends only where all voters are accused: then all accusations end together, or the last one would win.
    if (this.#accusations.condemned.has(tally.subject)) return Infinity
    return this.#accusations.lastSuspicionMs + SETTLE_TIMEOUTS * this.#unstableTimeoutMs
  }

  /** The time at which a joiner's tally is emptied; Infinity for never. */
  #joinEndsMs (tally: JoinTally): number {
    if (tally.firstAtMs === undefined) return Infinity
    switch (this.#joins.stateOf(tally)) {
      case 'ready': return Infinity
      case 'noise': return this.#lapsesMs(tally)
      default: return this.#settledMs(tally)
    }
  }

  #joinDueMs (tally: JoinTally): number {
    const endsMs = this.#joinEndsMs(tally)
    return this.#joins.unstable.has(tally) ? Math.min(endsMs, this.#reinforceAtMs(tally)) : endsMs
  }

  #earliestJoinMs (): number {
    if (this.#version !== this.#accusations.version) this.#lookAtJoins()
    this.#consider(this.#joins.grown)
    return this.#joinsDueMs
  }

  #consider (joins: Iterable<JoinTally>): void {
    for (const tally of joins) this.#joinsDueMs = Math.min(this.#joinsDueMs, this.#joinDueMs(tally))
  }

  #lookAtJoins (): void {
    this.#version = this.#accusations.version
    this.#joinsDueMs = Infinity
    this.#consider(this.#joins.tallies())
  }

  #settledMs ({ unstableSinceMs }: Tally): number {
    return (unstableSinceMs ?? Infinity) + SETTLE_TIMEOUTS * this.#unstableTimeoutMs
  }

  #lapsesMs ({ discreditedSinceMs, firstAtMs }: Tally): number {
    return (discreditedSinceMs ?? firstAtMs ?? Infinity) + LAPSE_TIMEOUTS * this.#unstableTimeoutMs
  }
}
