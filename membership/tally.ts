/**
 * Tallies: who reported one subject, and how many reports make it unstable (L) and stable (H).
 *
 * Rapid, ATC '18, section 4.2. Deviation (rule M5): a tally counts distinct observers, not rings, and both watermarks are
 * scaled to the number D of distinct observers that the subject has. With D = K = 10 they are the paper's 9 and 3.
 *
 * Pure.
 */
import type { Member, MemberId } from './configuration.ts'

export interface Watermarks {
  /** L: at or above it a subject is suspected, below it reports are noise. */
  readonly low: number
  /** H: at or above it a subject is stable. L <= H <= D. */
  readonly high: number
}

/**
 * The watermarks for a subject with `observerCount` observers, from `high` and `low` out of `ringCount`. Two observers are
 * needed to suspect anyone who has two, so that one broken link among three members removes nobody.
 */
export function scaleWatermarks (observerCount: number, ringCount: number, { high, low }: Watermarks): Watermarks {
  const scaledHigh = Math.ceil(high * observerCount / ringCount)
  const scaledLow = Math.max(2, Math.ceil(low * observerCount / ringCount))
  return { high: scaledHigh, low: Math.min(scaledHigh, scaledLow) }
}

export const bySubject = (a: Tally, b: Tally): number => a.subject < b.subject ? -1 : a.subject > b.subject ? 1 : 0

export class Tally {
  readonly subject: MemberId
  /** Invariant: distinct, never empty. */
  readonly observers: readonly MemberId[]
  readonly low: number
  readonly high: number
  /** Who alerted, in the order of arrival. Invariant: a subset of `observers`. */
  readonly reporters = new Set<MemberId>()
  /** When the first report was noticed. */
  firstAtMs: number | undefined
  /** When the tally was first noticed at or above L, by credible members. */
  unstableSinceMs: number | undefined
  /** Since when it is at or above L only by members that are to be removed themselves. */
  discreditedSinceMs: number | undefined
  /** Its observers have been asked to echo. */
  reinforced = false
  /** It counts as stable, whatever the number of reports (rule M7). */
  promoted = false

  constructor (subject: MemberId, observers: readonly MemberId[], { high, low }: Watermarks) {
    this.subject = subject
    this.observers = observers
    this.low = low
    this.high = high
  }

  /** Counts an alert. False for one that was counted before, or that is no observer's. */
  report (observer: MemberId): boolean {
    if (this.reporters.has(observer) || !this.observers.includes(observer)) return false
    this.reporters.add(observer)
    return true
  }

  /** Whether it is at or above L, or counts as if it were. Only real alerts raise a tally that far; implicit ones do not. */
  get suspected (): boolean {
    return this.promoted || this.reporters.size >= this.low
  }

  /** Observers that are themselves suspected of having failed, and have not alerted: they cannot any more. */
  implicitReporters (suspects: ReadonlySet<MemberId>): MemberId[] {
    if (!this.suspected) return []
    return this.observers.filter(observer => suspects.has(observer) && !this.reporters.has(observer))
  }

  /** Alerts, counting each suspected observer of a suspected subject as one (section 4.2, "implicit detection"). */
  count (suspects: ReadonlySet<MemberId>): number {
    return this.reporters.size + (suspects.size === 0 ? 0 : this.implicitReporters(suspects).length)
  }

  isStable (suspects: ReadonlySet<MemberId>): boolean {
    return this.promoted || this.count(suspects) >= this.high
  }

  /**
   * At or above L by those who are not themselves `condemned` (stable removals), and not stable. Members that lose most of what they send
   * or hear accuse their healthy subjects: where several of them observe one subject, it must not share their fate.
   */
  isUnstable (suspects: ReadonlySet<MemberId>, condemned: ReadonlySet<MemberId>): boolean {
    if (!this.suspected || this.isStable(suspects)) return false
    if (condemned.size === 0) return true
    let credible = 0
    for (const reporter of this.reporters) if (!condemned.has(reporter)) credible++
    return credible >= this.low
  }
}

/** The tally of a joiner. */
export class JoinTally extends Tally {
  /** The whole record. */
  readonly joiner: Member

  constructor (joiner: Member, observers: readonly MemberId[], watermarks: Watermarks) {
    super(joiner.id, observers, watermarks)
    this.joiner = joiner
  }
}
