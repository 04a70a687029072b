/**
 * A member's own alerts in one configuration: made once, sent in batches, and repeated with growing pauses while nothing is decided.
 *
 * Suresh et al. (USENIX ATC '18), section 6. Alerts are irrevocable within a configuration; where a tally was emptied (rules M6, M7) the
 * observer may alert again, as another attempt.
 *
 * Pure: the time is an argument.
 */
import type { Broadcaster } from './broadcaster.ts'
import { REPORTS_MAX } from './message-validation.ts'
import type { MembershipTuning } from './tuning.ts'
import { type About, type Report, reportBy } from './reports.ts'
import type { View } from './view.ts'

/** Repetitions of undecided alerts slow down to this multiple of the first pause. */
const REPEAT_FACTOR_MAX = 8

export class OwnAlerts {
  readonly #tuning: MembershipTuning
  readonly #view: View
  readonly #broadcaster: Broadcaster
  /** In the order made. Invariant: at most one per subject and status. */
  readonly #made = new Map<string, Report>()
  /** How often each was reported before, where a tally was emptied. */
  readonly #attempts = new Map<string, number>()
  #batch: Report[] = []
  #batchAtMs = Infinity
  #repeatAtMs = Infinity
  #repeatDelayMs: number

  constructor (tuning: MembershipTuning, view: View, broadcaster: Broadcaster) {
    this.#tuning = tuning
    this.#view = view
    this.#broadcaster = broadcaster
    this.#repeatDelayMs = tuning.alertRepeatMs
  }

  has (key: string): boolean {
    return this.#made.has(key)
  }

  /** Makes an alert, to go out with the next batch. Undefined where there is one under this key, or this member does not observe the subject. */
  make (now: number, key: string, about: About): Report | undefined {
    if (this.#made.has(key)) return undefined
    const attempt = this.#attempts.get(key) ?? 0
    const report = reportBy(this.#view.self.id, this.#view.overlay, about, attempt)
    if (report === undefined) return undefined
    this.#attempts.set(key, attempt + 1)
    this.#made.set(key, report)
    this.#batch.push(report)
    if (this.#batchAtMs === Infinity) this.#batchAtMs = now + this.#tuning.batchWindowMs
    return report
  }

  /** The tally was emptied: this member may alert again. False where it had not. */
  withdraw (key: string): boolean {
    return this.#made.delete(key)
  }

  /**
   * Others began this attempt, since they emptied the tally. True where this member has alerted in earlier ones alone: it may alert again, and then
   * counts in this one.
   */
  follow (key: string, attempt: number): boolean {
    if ((this.#attempts.get(key) ?? 0) > attempt) return false
    this.#attempts.set(key, attempt)
    return this.#made.delete(key)
  }

  /** The batch does not wait for its window to end. */
  hurry (now: number): void {
    if (this.#batch.length > 0) this.#batchAtMs = now
  }

  /** Sends what is due. */
  advance (now: number): void {
    if (now >= this.#batchAtMs) this.#sendBatch(now)
    if (now >= this.#repeatAtMs) this.#repeat(now)
  }

  get nextAtMs (): number {
    return Math.min(this.#batchAtMs, this.#repeatAtMs)
  }

  #sendBatch (now: number): void {
    this.#broadcast(now, this.#batch)
    this.#batch = []
    this.#batchAtMs = Infinity
    if (this.#repeatAtMs === Infinity) this.#repeatAtMs = now + this.#repeatDelayMs
  }

  #repeat (now: number): void {
    if (this.#made.size === 0) {
      this.#repeatAtMs = Infinity
      return
    }
    this.#broadcast(now, [...this.#made.values()])
    this.#repeatDelayMs = Math.min(this.#repeatDelayMs * 2, this.#tuning.alertRepeatMs * REPEAT_FACTOR_MAX)
    this.#repeatAtMs = now + this.#repeatDelayMs
  }

  #broadcast (now: number, reports: readonly Report[]): void {
    const { sender, position } = this.#view
    for (let start = 0; start < reports.length; start += REPORTS_MAX) {
      this.#broadcaster.originate(now, { kind: 'alerts', sender, position, reports: reports.slice(start, start + REPORTS_MAX) })
    }
  }
}
