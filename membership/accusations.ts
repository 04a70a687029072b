/**
 * Accusations: the tallies of members that are reported to have failed, and what follows from all of them together.
 *
 * Rapid (Suresh et al., ATC '18), section 4.2. A suspect is at or above L, a condemned member is stable: it is removed by the next cut.
 * Deviations. Where all voters are accused none of them is condemned (rules M9 and M13): such members are cut off from each other, and
 * there is no telling who is alive; a configuration keeps one of its voters at least. Accusations by the condemned alone make nobody
 * unstable.
 *
 * Pure: time is an argument.
 */
import type { Configuration, MemberId } from './configuration.ts'
import { Electorate } from './electorate.ts'
import type { Overlay } from './overlay.ts'
import { bySubject, scaleWatermarks, Tally, type Watermarks } from './tally.ts'

export class Accusations {
  readonly #electorate: Electorate
  readonly #overlay: Overlay
  /** Members of the configuration. */
  readonly #size: number
  readonly #watermarks: Watermarks
  /** By member id. Invariant: every tally has at least one report. */
  readonly #tallies = new Map<MemberId, Tally>()
  readonly #suspects = new Set<MemberId>()
  #condemned: ReadonlySet<MemberId> = new Set()
  /** A tally changed since the condemned were last computed. */
  #stale = false
  #version = 0
  /** Tallies that began since time was last noticed. */
  readonly #fresh = new Set<Tally>()

  /** @param watermarks H and L of K observers. */
  constructor (configuration: Configuration, overlay: Overlay, watermarks: Watermarks) {
    this.#electorate = Electorate.of(configuration)
    this.#overlay = overlay
    this.#size = configuration.members.length
    this.#watermarks = watermarks
  }

  /** True when the tally changed. Reports by non-observers and about non-members are ignored. */
  report (observer: MemberId, subject: MemberId): boolean {
    const tally = this.#tallies.get(subject) ?? this.#newTally(subject)
    const suspected = tally.suspected
    if (!tally.report(observer)) return false
    if (tally.reporters.size === 1) {
      this.#tallies.set(subject, tally)
      this.#fresh.add(tally)
    }
    if (tally.suspected !== suspected) {
      this.#suspects.add(subject)
      this.#version++
    }
    this.#stale = true
    return true
  }

  tallies (): IterableIterator<Tally> {
    return this.#tallies.values()
  }

  get (subject: MemberId): Tally | undefined {
    return this.#tallies.get(subject)
  }

  /** Members whose tally is at or above L: their own reports are taken for granted. */
  get suspects (): ReadonlySet<MemberId> {
    return this.#suspects
  }

  /** The stable removals; no voter where all voters are accused. */
  get condemned (): ReadonlySet<MemberId> {
    this.#refresh()
    return this.#condemned
  }

  /** Rises whenever somebody becomes a suspect or condemned, or ceases to be: what the tallies of joins depend on. */
  get version (): number {
    this.#refresh()
    return this.#version
  }

  /** At or above L by those who are not condemned, and not stable. */
  isUnstable (tally: Tally): boolean {
    return tally.isUnstable(this.#suspects, this.condemned)
  }

  get anyUnstable (): boolean {
    for (const tally of this.#tallies.values()) if (this.isUnstable(tally)) return true
    return false
  }

  /**
   * Those below L whom a majority of the voters accuses, where it accuses more than half of all others: most members died at once, and too few
   * observers are left to raise a tally to L (rule M13). Without agents no such majority lives. Reports are not taken back, and these were
   * made long ago: whom this member hears itself is not dead.
   */
  forsaken (heard: ReadonlySet<MemberId>): Tally[] {
    if (!this.#electorate.isPartial) return []
    const accused = this.filter(({ reporters, subject }) => this.#electorate.isMajority(reporters) && !heard.has(subject))
    return accused.length * 2 > this.#size - 1 ? accused.filter(({ suspected }) => !suspected) : []
  }

  /** When the last of the voters that still are at or above L came to be so. */
  get lastSuspicionMs (): number {
    let last = -Infinity
    for (const { id } of this.#electorate.voters) last = Math.max(last, this.#tallies.get(id)?.unstableSinceMs ?? -Infinity)
    return last
  }

  /** Dates what happened since the last call. */
  notice (now: number): void {
    for (const tally of this.#fresh) tally.firstAtMs ??= now
    this.#fresh.clear()
    // Whether the accusers are condemned may have changed with any tally.
    for (const tally of this.#tallies.values()) {
      if (!tally.suspected) continue
      const counts = tally.isStable(this.#suspects) || this.isUnstable(tally)
      tally.unstableSinceMs = counts ? tally.unstableSinceMs ?? now : undefined
      tally.discreditedSinceMs = counts ? undefined : tally.discreditedSinceMs ?? now
    }
  }

  /** These count as stable from now on (rule M7). */
  promote (tallies: readonly Tally[]): void {
    for (const tally of tallies) {
      tally.promoted = true
      if (this.#suspects.has(tally.subject)) continue
      this.#suspects.add(tally.subject)
      this.#version++
    }
    this.#stale = true
  }

  forget (tallies: readonly Tally[]): void {
    for (const tally of tallies) {
      this.#tallies.delete(tally.subject)
      this.#fresh.delete(tally)
      if (this.#suspects.delete(tally.subject)) this.#version++
      this.#stale = true
    }
  }

  /** Those that `predicate` holds for, sorted by subject. */
  filter (predicate: (tally: Tally) => boolean): Tally[] {
    return [...this.#tallies.values()].filter(predicate).sort(bySubject)
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    for (const tally of this.#tallies.values()) {
      if (tally.suspected !== this.#suspects.has(tally.subject)) {
        throw new Error(`Accusations: ${tally.subject} is not suspected exactly when its tally is at or above L.`)
      }
    }
    for (const suspect of this.#suspects) if (!this.#tallies.has(suspect)) throw new Error(`Accusations: nobody accuses the suspect ${suspect}.`)
    if (!this.#stale && !isSameSet(this.#condemned, this.#stableSubjects())) throw new Error('Accusations: the condemned are others than those stable.')
  }

  #refresh (): void {
    if (!this.#stale) return
    this.#stale = false
    const condemned = this.#stableSubjects()
    if (!isSameSet(condemned, this.#condemned)) this.#version++
    this.#condemned = condemned
  }

  #newTally (subject: MemberId): Tally {
    const observers = this.#overlay.observersOf(subject)
    return new Tally(subject, observers, scaleWatermarks(observers.length, this.#overlay.ringCount, this.#watermarks))
  }

  #stableSubjects (): Set<MemberId> {
    const stable = new Set<MemberId>()
    for (const tally of this.#tallies.values()) if (tally.isStable(this.#suspects)) stable.add(tally.subject)
    const { size, voters } = this.#electorate
    if (stable.size >= size && voters.every(({ id }) => stable.has(id))) for (const { id } of voters) stable.delete(id)
    return stable
  }
}

function isSameSet<T> (a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  if (a.size !== b.size) return false
  for (const element of a) if (!b.has(element)) return false
  return true
}
