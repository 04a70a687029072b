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
import {
  cutDigest, memberIndex, normalizeCut, type Configuration, type Cut, type Member, type MemberId, type Update
} from './configuration.ts'
import { CUT_DETECTOR_DEFAULTS, checkCutDetectorOptions, type CutDetectorOptions } from './cut-detector-options.ts'
import { Electorate } from './electorate.ts'
import type { Address } from './environment/environment.ts'
import type { Overlay } from './overlay.ts'
import { scaleWatermarks, Tally } from './tally.ts'

export { type CutDetectorOptions } from './cut-detector-options.ts'

export type AlertStatus = 'join' | 'remove' | 'update'

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

/** How many unstable timeouts a removal at or above L, or a join that enters no cut, is kept waiting (rules M6 and M7). */
const SETTLE_TIMEOUTS = 2
/** How many unstable timeouts a report below L is remembered (rule M7). */
const LAPSE_TIMEOUTS = 10
/** More joiners than this at once are ignored until others have been admitted. */
export const JOINERS_MAX = 16_384

const NOBODY: ReadonlySet<MemberId> = new Set()

const bySubject = (a: Tally, b: Tally): number => a.subject < b.subject ? -1 : a.subject > b.subject ? 1 : 0

export class CutDetector {
  readonly #configuration: Configuration
  readonly #electorate: Electorate
  readonly #overlay: Overlay
  readonly #options: Required<CutDetectorOptions>
  /** By member id. Invariant: every tally has at least one report. */
  readonly #removals = new Map<MemberId, Tally>()
  /** By the digest of the whole record: two records with one id are two joiners (rule M3). At most JOINERS_MAX. */
  readonly #joins = new Map<string, Tally>()
  /** The newest update of each member. Invariant: its version is above the one that the member has. */
  readonly #updates = new Map<MemberId, Update>()
  /** Members whose removal tally is at or above L: their own reports are taken for granted. */
  readonly #suspects = new Set<MemberId>()
  /** The stable removals; undefined since a tally changed. */
  #condemned: ReadonlySet<MemberId> | undefined
  /** Tallies that grew since time was last noticed. */
  readonly #grown = new Set<Tally>()
  /** Addresses of joiners that have delayed a cut. */
  readonly #delayed: Set<Address>
  /** Until when unstable joins hold the cut of this configuration back; set once, when there is a cut to hold back. */
  #delayUntilMs: number | undefined
  #delayOver = false
  /** The latest time any call has told. */
  #noticedMs = -Infinity
  readonly #recordKeys = new WeakMap<Member, string>()
  #addressHolders: Map<Address, MemberId> | undefined
  #storeHolders: Map<string, MemberId> | undefined

  /** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS unless 1 <= L <= H <= K and the times are positive. */
  constructor (configuration: Configuration, overlay: Overlay, options: CutDetectorOptions = {}) {
    this.#options = { ...CUT_DETECTOR_DEFAULTS, ...options }
    checkCutDetectorOptions(this.#options, overlay.ringCount)
    this.#configuration = configuration
    this.#electorate = Electorate.of(configuration)
    this.#overlay = overlay
    this.#delayed = new Set(this.#options.delayedAddresses)
  }

  /** True when the tally changed. Reports by non-observers and about non-members are ignored. */
  reportRemoval (observer: MemberId, subject: MemberId): boolean {
    const existing = this.#removals.get(subject)
    const tally = existing ?? this.#newTally(subject, undefined, this.#overlay.observersOf(subject))
    if (!this.#record(tally, observer)) return false
    if (existing === undefined) this.#removals.set(subject, tally)
    if (tally.suspected) this.#suspects.add(subject)
    return true
  }

  /** True when the tally changed. Reports by non-observers, about members, and beyond JOINERS_MAX joiners are ignored. */
  reportJoin (observer: MemberId, joiner: Member): boolean {
    if (memberIndex(this.#configuration, joiner.id) >= 0) return false
    const key = this.#recordKey(joiner)
    const existing = this.#joins.get(key)
    if (existing === undefined && this.#joins.size >= JOINERS_MAX) return false
    const tally = existing ?? this.#newTally(joiner.id, joiner, this.#overlay.observersOfJoiner(joiner.id))
    if (!this.#record(tally, observer)) return false
    if (existing === undefined) this.#joins.set(key, tally)
    return true
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
   * The stable cut; undefined while nothing is stable, while a removal is unstable, or while an unstable join has its delay.
   * Tallies age from the first call that sees them, so call it after each batch of reports.
   */
  proposal (now: number): Cut | undefined {
    this.#notice(now)
    for (const tally of this.#removals.values()) if (this.#isUnstable(tally)) return undefined
    const removals = this.#stableRemovals()
    const joins = this.#admissibleJoins(removals)
    if (removals.length + joins.length + this.#updates.size === 0) return undefined
    if (this.#isDelayed(now, removals)) return undefined
    return normalizeCut(joins, removals, this.#updates.values())
  }

  /** Those in [L, H). */
  unstable (): UnstableSubjects {
    return this.#subjects(tally => this.#isUnstable(tally))
  }

  /**
   * Those in [L, H) for one unstable timeout, each once. Observers of a removal that have not reported it echo it
   * (section 4.2, "reinforcement"); observers of a joiner probe it again, and echo or keep silent (rule M6).
   */
  overdue (now: number): UnstableSubjects {
    this.#notice(now)
    const isOverdue = (tally: Tally): boolean => this.#isUnstable(tally) && this.#reinforceAt(tally) <= now
    const subjects = this.#subjects(isOverdue)
    for (const tally of this.#tallies()) if (isOverdue(tally)) tally.reinforced = true
    return subjects
  }

  /** Ends what has waited long enough: promotes removals, voids joins, forgets lone reports. May make a proposal possible. */
  expire (now: number): CutExpiry {
    this.#notice(now)
    const expiry: CutExpiry = { promoted: [], voided: [], lapsed: [] }
    // What ends takes implicit reports and the credit of accusers with it, so others may end by it. Each turn ends one at least.
    for (let ended = true; ended;) {
      const promoted = this.#promote(now)
      // Promotions come first: they may complete a cut that a joiner waits for, or accuse the last member.
      const lapsed = this.#due(this.#removals.values(), now)
      for (const tally of lapsed) this.#forget(tally)
      const voided = this.#due(this.#joins.values(), now)
      for (const tally of voided) this.#forget(tally)
      this.#notice(now)
      for (const { subject } of promoted) expiry.promoted.push(subject)
      for (const { subject, reporters } of lapsed) expiry.lapsed.push({ subject, observers: [...reporters].sort() })
      for (const { joiner } of voided) expiry.voided.push(joiner!)
      ended = promoted.length + lapsed.length + voided.length > 0
    }
    return expiry
  }

  /** When `proposal`, `overdue` or `expire` next has something to do although no report comes; undefined for never. */
  deadline (): number | undefined {
    // Once its end was noticed, the delay has nothing more to do, even where an unstable removal kept the cut back after all.
    let earliest = this.#delayUntilMs !== undefined && this.#delayUntilMs > this.#noticedMs ? this.#delayUntilMs : Infinity
    const removed = new Set(this.#stableRemovals())
    for (const tally of this.#tallies()) {
      if (this.#isUnstable(tally)) earliest = Math.min(earliest, this.#reinforceAt(tally))
      earliest = Math.min(earliest, this.#endsAt(tally, removed))
    }
    return earliest === Infinity ? undefined : earliest
  }

  /** Observers that count towards the removal of a member, or the join of another; implicit ones included. */
  tally (subject: MemberId): number {
    let most = 0
    for (const tally of this.#tallies()) if (tally.subject === subject) most = Math.max(most, tally.count(this.#suspects))
    return most
  }

  /** The records of all joiners that anyone reported, sorted: undecided ones carry over to the next configuration (rule M7). */
  joiners (): Member[] {
    return this.#subjects(() => true).joins
  }

  /** Addresses of joiners that have had their delay; for the detector of the next configuration. */
  delayedAddresses (): readonly Address[] {
    return [...this.#delayed].sort()
  }

  explain (): TallyExplanation[] {
    const tallies = [...this.#tallies()].sort(bySubject).map((tally): TallyExplanation => ({
      subject: tally.subject,
      status: tally.joiner === undefined ? 'remove' : 'join',
      reporters: [...tally.reporters],
      implicit: tally.implicitReporters(this.#suspects),
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
    for (const tally of this.#tallies()) {
      const observers = new Set(tally.observers)
      const strangers = [...tally.reporters].filter(reporter => !observers.has(reporter))
      if (strangers.length > 0) throw new Error(`CutDetector: ${strangers.join()} reported ${tally.subject} without observing it.`)
      if (tally.reporters.size === 0) throw new Error(`CutDetector: the tally of ${tally.subject} is empty.`)
      if (tally.joiner === undefined && tally.suspected !== this.#suspects.has(tally.subject)) {
        throw new Error(`CutDetector: ${tally.subject} is not suspected exactly when its tally is at or above L.`)
      }
    }
  }

  * #tallies (): Generator<Tally> {
    yield* this.#removals.values()
    yield* this.#joins.values()
  }

  #subjects (predicate: (tally: Tally) => boolean): UnstableSubjects {
    const chosen = [...this.#tallies()].filter(predicate).sort(bySubject)
    return {
      removals: chosen.filter(tally => tally.joiner === undefined).map(tally => tally.subject),
      joins: chosen.flatMap(tally => tally.joiner ?? [])
    }
  }

  #newTally (subject: MemberId, joiner: Member | undefined, observers: readonly MemberId[]): Tally {
    const { highWatermark: high, lowWatermark: low } = this.#options
    return new Tally(subject, joiner, observers, scaleWatermarks(observers.length, this.#overlay.ringCount, { high, low }))
  }

  #record (tally: Tally, observer: MemberId): boolean {
    if (tally.reporters.has(observer) || !tally.observers.includes(observer)) return false
    tally.reporters.add(observer)
    this.#condemned = undefined
    this.#grown.add(tally)
    return true
  }

  /** Dates what happened since the last call. */
  #notice (now: number): void {
    this.#noticedMs = now
    for (const tally of this.#grown) {
      tally.firstAtMs ??= now
      if (tally.suspected && tally.joiner !== undefined) tally.unstableSinceMs ??= now
    }
    this.#grown.clear()
    // Whether the accusers are condemned may have changed with any tally.
    for (const tally of this.#removals.values()) {
      if (!tally.suspected) continue
      const counts = tally.isStable(this.#suspects) || this.#isUnstable(tally)
      tally.unstableSinceMs = counts ? tally.unstableSinceMs ?? now : undefined
      tally.discreditedSinceMs = counts ? undefined : tally.discreditedSinceMs ?? now
    }
  }

  /** The time at which an unstable tally is reinforced; Infinity when it has been, or has not been noticed. */
  #reinforceAt (tally: Tally): number {
    if (tally.reinforced || tally.unstableSinceMs === undefined) return Infinity
    return tally.unstableSinceMs + this.#options.unstableTimeoutMs
  }

  /** The time at which a tally is promoted, voided or forgotten, where the cut removes `removed`; Infinity for never. */
  #endsAt (tally: Tally, removed: ReadonlySet<MemberId>): number {
    const { firstAtMs, unstableSinceMs } = tally
    if (firstAtMs === undefined) return Infinity
    const settleMs = SETTLE_TIMEOUTS * this.#options.unstableTimeoutMs
    const settleAt = (unstableSinceMs ?? Infinity) + settleMs
    if (this.#isUnstable(tally)) return settleAt
    if (!tally.suspected || !tally.isStable(this.#suspects)) {
      return (tally.discreditedSinceMs ?? firstAtMs) + LAPSE_TIMEOUTS * this.#options.unstableTimeoutMs
    }
    if (tally.joiner !== undefined) return this.#isHeld(tally.joiner, removed) ? settleAt : Infinity
    // A stable removal ends only where all voters are accused: then all accusations end together, or the last one would win.
    return removed.has(tally.subject) ? Infinity : this.#lastSuspicionMs() + settleMs
  }

  #promote (now: number): Tally[] {
    const promoted = [...this.#removals.values()].filter(tally => this.#isUnstable(tally) && this.#endsAt(tally, NOBODY) <= now)
    for (const tally of promoted) tally.promoted = true
    this.#condemned = undefined
    this.#notice(now)
    return promoted.sort(bySubject)
  }

  #due (tallies: Iterable<Tally>, now: number): Tally[] {
    const removed = new Set(this.#stableRemovals())
    return [...tallies].filter(tally => this.#endsAt(tally, removed) <= now).sort(bySubject)
  }

  #isUnstable (tally: Tally): boolean {
    return tally.isUnstable(this.#suspects, this.#condemned ??= new Set(this.#stableRemovals()))
  }

  #lastSuspicionMs (): number {
    let last = -Infinity
    for (const { id } of this.#electorate.voters) last = Math.max(last, this.#removals.get(id)?.unstableSinceMs ?? -Infinity)
    return last
  }

  #removesAllVoters (): boolean {
    const { size, voters } = this.#electorate
    if (this.#suspects.size < size) return false
    return voters.every(({ id }) => this.#removals.get(id)?.isStable(this.#suspects) === true)
  }

  /**
   * No voter, where all voters are accused: such members are cut off from each other, and there is no telling who is alive. A
   * configuration keeps one of its voters at least.
   */
  #stableRemovals (): MemberId[] {
    const sparesVoters = this.#removesAllVoters()
    if (sparesVoters && !this.#electorate.isPartial) return []
    const stable: MemberId[] = []
    for (const tally of this.#removals.values()) {
      const spared = sparesVoters && this.#electorate.indexOf(tally.subject) >= 0
      if (!spared && tally.isStable(this.#suspects)) stable.push(tally.subject)
    }
    return stable
  }

  /**
   * The stable joiners that can enter together with these removals: none whose address or store id is held by a member that
   * stays (rule M3), and of rivals for one id, address or store id the highest incarnation, ties by the digest of the record.
   */
  #admissibleJoins (removals: readonly MemberId[]): Member[] {
    const removed = new Set(removals)
    const stable: { key: string, joiner: Member }[] = []
    for (const [key, tally] of this.#joins) {
      const { joiner } = tally
      if (joiner !== undefined && tally.isStable(this.#suspects) && !this.#isHeld(joiner, removed)) stable.push({ key, joiner })
    }
    stable.sort((a, b) => b.joiner.incarnation - a.joiner.incarnation || (a.key < b.key ? -1 : 1))
    const taken = new Set<string>()
    return stable.flatMap(({ joiner }) => {
      const claims = [`id ${joiner.id}`, `address ${joiner.address}`, `store ${joiner.storeId}`]
      if (claims.some(claim => taken.has(claim))) return []
      for (const claim of claims) taken.add(claim)
      return joiner
    })
  }

  /** Whether a member other than the removed ones holds the joiner's address or store id. */
  #isHeld (joiner: Member, removed: ReadonlySet<MemberId>): boolean {
    this.#addressHolders ??= new Map(this.#configuration.members.map(member => [member.address, member.id]))
    this.#storeHolders ??= new Map(this.#configuration.members.map(member => [member.storeId, member.id]))
    const holders = [this.#addressHolders.get(joiner.address), this.#storeHolders.get(joiner.storeId)]
    return holders.some(holder => holder !== undefined && !removed.has(holder))
  }

  /** Whether unstable joins hold a cut back at `now`. All of them together do so once per configuration, for one batch window. */
  #isDelayed (now: number, removals: readonly MemberId[]): boolean {
    if (this.#delayOver) return false
    const removed = new Set(removals)
    const waitedFor: Address[] = []
    for (const tally of this.#joins.values()) {
      const { joiner } = tally
      if (joiner === undefined || !this.#isUnstable(tally) || this.#delayed.has(joiner.address)) continue
      if (!this.#isHeld(joiner, removed)) waitedFor.push(joiner.address)
    }
    if (waitedFor.length === 0) return false
    this.#delayUntilMs ??= now + this.#options.batchWindowMs
    if (now < this.#delayUntilMs) return true
    this.#delayOver = true
    for (const address of waitedFor) this.#delayed.add(address)
    return false
  }

  #forget (tally: Tally): void {
    this.#condemned = undefined
    if (tally.joiner === undefined) {
      this.#removals.delete(tally.subject)
      this.#suspects.delete(tally.subject)
    } else {
      this.#joins.delete(this.#recordKey(tally.joiner))
    }
    this.#grown.delete(tally)
  }

  #recordKey (joiner: Member): string {
    let key = this.#recordKeys.get(joiner)
    if (key === undefined) {
      key = cutDigest({ joins: [joiner], removals: [], updates: [] })
      this.#recordKeys.set(joiner, key)
    }
    return key
  }
}
