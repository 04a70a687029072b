/**
 * Multi-process cut detection: turns the alerts of many observers into one stable membership change.
 *
 * Rapid (Suresh et al., ATC '18), section 4.2: a proposal is made once at least one subject has H reports and none is between
 * L and H. A suspected observer counts as having reported its suspected subjects; what stays unstable is reinforced.
 *
 * Deviations. Watermarks count distinct observers (rule M5). Joins never block removals: an unstable join delays a cut by one
 * batch window at most, and by none once its address has had its delay (rule M6). Accusations by members that are removed themselves
 * neither hold a cut back nor are they echoed. Time ends what reinforcement does not: removals are promoted, joins voided, lone
 * alerts forgotten (rules M6 and M7). A cut keeps at least one voter of its configuration (rules M9 and M13). A member's update of its
 * metadata is stable by its own word alone (rule M13): it joins the next cut, or makes one, and holds nothing back; where its member is
 * removed, the update is dropped.
 *
 * Pure: time is an argument. The same calls in the same order give the same results.
 */
import { Accusations } from './accusations.ts'
import { memberIndex, normalizeCut, type Configuration, type Cut, type Member, type MemberId, type Update } from './configuration.ts'
import { CUT_DETECTOR_DEFAULTS, checkCutDetectorOptions, type CutDetectorOptions } from './cut-detector-options.ts'
import { TallyClock, type CutExpiry, type UnstableSubjects } from './cut-expiry.ts'
import type { Address } from './environment/environment.ts'
import { JoinTallies } from './join-tallies.ts'
import type { Overlay } from './overlay.ts'
import type { AlertStatus } from './reports.ts'
import { bySubject, JoinTally, type Tally } from './tally.ts'

export { type CutDetectorOptions } from './cut-detector-options.ts'

/** The state of one subject, for people. */
export interface TallyExplanation {
  readonly subject: MemberId
  readonly status: AlertStatus
  /** Who alerted, in the order of arrival. */
  readonly reporters: readonly MemberId[]
  /** Observers that count as having alerted because they are themselves suspected (section 4.2). */
  readonly implicit: readonly MemberId[]
  readonly low: number
  readonly high: number
  readonly promoted: boolean
}

/** What a stable cut would hold. One of them at least, or updates. */
export interface CutOutline {
  readonly joins: boolean
  readonly removals: boolean
}

export class CutDetector {
  readonly #configuration: Configuration
  readonly #batchWindowMs: number
  readonly #removals: Accusations
  readonly #joins: JoinTallies
  readonly #clock: TallyClock
  /** The newest update of each member. Invariant: its version is above the one that the member has. */
  readonly #updates = new Map<MemberId, Update>()
  /** Addresses of joiners that have delayed a cut. */
  readonly #delayed: Set<Address>
  /** Until when unstable joins hold the cut of this configuration back; set once, when there is a cut to hold back. */
  #delayUntilMs: number | undefined
  #delayOver = false
  /** The latest time any call has told. */
  #noticedMs = -Infinity

  /** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS unless 1 <= L <= H <= K and the times are positive. */
  constructor (configuration: Configuration, overlay: Overlay, options: CutDetectorOptions = {}) {
    const settings = { ...CUT_DETECTOR_DEFAULTS, ...options }
    checkCutDetectorOptions(settings, overlay.ringCount)
    const watermarks = { high: settings.highWatermark, low: settings.lowWatermark }
    this.#configuration = configuration
    this.#batchWindowMs = settings.batchWindowMs
    this.#removals = new Accusations(configuration, overlay, watermarks)
    this.#joins = new JoinTallies(configuration, overlay, watermarks, this.#removals)
    this.#clock = new TallyClock(this.#removals, this.#joins, settings.unstableTimeoutMs)
    this.#delayed = new Set(settings.delayedAddresses)
  }

  /** True when the tally changed. Reports by non-observers and about non-members are ignored. */
  reportRemoval (observer: MemberId, subject: MemberId): boolean {
    return this.#removals.report(observer, subject)
  }

  /** True when the tally changed. Reports by non-observers, about members, and beyond JOINERS_MAX joiners are ignored. */
  reportJoin (observer: MemberId, joiner: Member): boolean {
    return this.#joins.report(observer, joiner)
  }

  /** True when it is the newest that is known of this member. Those of non-members, and versions that a member has already, are ignored. */
  reportUpdate (update: Update): boolean {
    const record = this.#configuration.members[memberIndex(this.#configuration, update.member)]
    if (record === undefined || update.version <= record.metadataVersion) return false
    const known = this.#updates.get(update.member)
    if (known !== undefined && known.version >= update.version) return false
    this.#updates.set(update.member, update)
    return true
  }

  /**
   * What the stable cut holds; undefined while nothing is stable, while a removal is unstable, or while an unstable join has its delay.
   * Tallies age from the first call that sees them, so call it, or `proposal`, after each batch of reports.
   */
  outline (now: number): CutOutline | undefined {
    this.#notice(now)
    if (this.#removals.anyUnstable) return undefined
    const outline = { joins: this.#joins.ready.size > 0, removals: this.#removals.condemned.size > 0 }
    if (!outline.joins && !outline.removals && this.#updates.size === 0) return undefined
    return this.#isDelayed(now) ? undefined : outline
  }

  /** The stable cut, where there is one: see `outline`. */
  proposal (now: number): Cut | undefined {
    if (this.outline(now) === undefined) return undefined
    return normalizeCut(this.#joins.admissible(), this.#removals.condemned, this.#updates.values())
  }

  /** Those in [L, H). */
  unstable (): UnstableSubjects {
    return {
      removals: this.#removals.filter(tally => this.#removals.isUnstable(tally)).map(({ subject }) => subject),
      joins: [...this.#joins.unstable].sort(bySubject).map(({ joiner }) => joiner)
    }
  }

  /**
   * Those in [L, H) for one unstable timeout, each once. Observers of a removal that have not reported it echo it
   * (section 4.2, "reinforcement"); observers of a joiner probe it again, and echo or keep silent (rule M6).
   */
  overdue (now: number): UnstableSubjects {
    this.#noticedMs = now
    return this.#clock.overdue(now)
  }

  /**
   * Ends what has waited long enough: promotes removals, voids joins, forgets lone reports. May make a proposal possible.
   * @param heard subjects of this member with which it finds nothing wrong itself
   */
  expire (now: number, heard: ReadonlySet<MemberId> = new Set()): CutExpiry {
    this.#noticedMs = now
    return this.#clock.expire(now, heard)
  }

  /**
   * When `proposal`, `overdue` or `expire` next has something to do although no report comes; undefined for never. It may be too early,
   * never too late: where a join became stable there may be nothing left to do.
   */
  deadline (): number | undefined {
    // Once its end was noticed, the delay has nothing more to do, even where an unstable removal kept the cut back after all.
    const delayMs = this.#delayUntilMs !== undefined && this.#delayUntilMs > this.#noticedMs ? this.#delayUntilMs : Infinity
    const earliest = Math.min(delayMs, this.#clock.nextAtMs)
    return earliest === Infinity ? undefined : earliest
  }

  /** Observers that count towards the removal of a member, or the join of another; implicit ones included. */
  tally (subject: MemberId): number {
    let most = this.#removals.get(subject)?.count(this.#removals.suspects) ?? 0
    if (memberIndex(this.#configuration, subject) >= 0) return most
    for (const tally of this.#joins.tallies()) if (tally.subject === subject) most = Math.max(most, tally.count(this.#removals.suspects))
    return most
  }

  /** Members whose tally is half of H at least: most likely gone, whatever comes of it. */
  doubted (): MemberId[] {
    const { suspects } = this.#removals
    return this.#removals.filter(tally => tally.count(suspects) * 2 >= tally.high).map(({ subject }) => subject)
  }

  /** Addresses of joiners that have had their delay; for the detector of the next configuration. */
  delayedAddresses (): readonly Address[] {
    return [...this.#delayed].sort()
  }

  explain (): TallyExplanation[] {
    const tallies = [...this.#removals.tallies(), ...this.#joins.tallies()].sort(bySubject).map((tally): TallyExplanation => ({
      subject: tally.subject,
      status: tally instanceof JoinTally ? 'join' : 'remove',
      reporters: [...tally.reporters],
      implicit: tally.implicitReporters(this.#removals.suspects),
      low: tally.low,
      high: tally.high,
      promoted: tally.promoted
    }))
    const updates = [...this.#updates.keys()].sort().map((member): TallyExplanation => {
      return { subject: member, status: 'update', reporters: [member], implicit: [], low: 1, high: 1, promoted: false }
    })
    return [...tallies, ...updates]
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    for (const [id, { member, version }] of this.#updates) {
      const record = this.#configuration.members[memberIndex(this.#configuration, id)]
      if (id !== member || record === undefined || version <= record.metadataVersion) throw new Error(`CutDetector: the update of ${id} is none.`)
    }
    for (const tally of [...this.#removals.tallies(), ...this.#joins.tallies()]) checkReporters(tally)
    this.#removals.invariants()
    this.#joins.invariants()
  }

  #notice (now: number): void {
    this.#noticedMs = now
    this.#clock.notice(now)
  }

  /** Whether unstable joins hold a cut back at `now`. All of them together do so once per configuration, for one batch window. */
  #isDelayed (now: number): boolean {
    if (this.#delayOver) return false
    const waitedFor = this.#waitedFor()
    if (waitedFor.next().done === true) return false
    this.#delayUntilMs ??= now + this.#batchWindowMs
    if (now < this.#delayUntilMs) return true
    this.#delayOver = true
    for (const address of [...this.#waitedFor()]) this.#delayed.add(address)
    return false
  }

  /** The addresses of unstable joiners that could enter, and have not delayed a cut yet. */
  * #waitedFor (): Generator<Address> {
    for (const { joiner } of this.#joins.unstable) {
      if (!this.#delayed.has(joiner.address) && !this.#joins.isHeld(joiner)) yield joiner.address
    }
  }
}

function checkReporters ({ observers, reporters, subject }: Tally): void {
  const strangers = [...reporters].filter(reporter => !observers.includes(reporter))
  if (strangers.length > 0) throw new Error(`CutDetector: ${strangers.join()} reported ${subject} without observing it.`)
  if (reporters.size === 0) throw new Error(`CutDetector: the tally of ${subject} is empty.`)
}
