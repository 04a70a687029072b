/**
 * The phi accrual detector: how unlikely the present silence is, judged by the intervals at which this subject's answers came.
 *
 * Hayashibara, Défago, Yared, Katayama, "The φ Accrual Failure Detector" (SRDS 2004), section 4: the intervals between arrivals in
 * a sliding window are taken as normally distributed; phi is -log10 of the probability that one takes longer than the silence has
 * lasted. At phi = 8 one silence in a hundred million would be a false alarm, if the intervals were just that.
 *
 * They are not, which is what the deviations are for. A subject that pauses (garbage collection, a lost answer) is granted
 * `acceptablePauseMs`; so regular a link that a millisecond would be suspicious is taken to vary by `minStandardDeviationMs`; however
 * irregular it is, silence is a verdict after `silenceMaxMs`; and the silence before a verdict is no sample, or each failure
 * would make the detector more patient with the next. Here the subject does not send by itself but answers probes, so intervals
 * between answers to the hurried probes of rule M10 are no samples either. Hard evidence (M10) gives a verdict at once, and the
 * lateness of the local process does not count: see local-clock.ts.
 *
 * It takes a verdict back when the subject answers after all, except that of a successor.
 *
 * Pure: the time is an argument.
 */
import type { Member } from '../configuration.ts'
import type { MembershipTuning } from '../tuning.ts'
import type { Detector, DetectorFactory, LinkEvidence } from './detector.ts'
import { UNANSWERED_FACTOR, UNCONNECTED_FACTOR } from './first-contact.ts'
import { HardEvidence } from './hard-evidence.ts'
import { surprise } from './normal-tail.ts'
import { checkPhiAccrualOptions, fillPhiAccrualOptions, thresholdOf, type PhiAccrualOptions } from './phi-accrual-options.ts'

/** A subject that answers nothing for long is owed no more than so many answers at a time. */
const OUTSTANDING_MAX = 64

export class PhiAccrual implements Detector {
  readonly #tuning: MembershipTuning
  readonly #options: Required<PhiAccrualOptions>
  /** Standard deviations at which phi reaches the threshold. */
  readonly #deviationsMax: number
  readonly #evidence: HardEvidence
  /** Intervals between answers, oldest first. Invariant: 2 <= length <= sampleWindow, once the first two are there. */
  readonly #intervals: number[]
  #meanMs = 0
  #deviationMs = 0
  /** When each unanswered probe was sent, oldest first, and whether it was hurried. Invariant: size <= OUTSTANDING_MAX. */
  readonly #outstanding = new Map<number, { readonly sentAtMs: number, readonly hurried: boolean }>()
  #sequence = 0
  #nextProbeMs: number
  /** Silence counts from here: the last answer, before the first one the first probe or the first connection. */
  #silentSinceMs: number | undefined
  /** What a first answer may take beyond the ordinary. */
  #graceMs: number
  /** Set once the subject answered a probe. */
  #answered = false
  /** When the last answer came, so long as the next one makes a sample with it. */
  #sampledAtMs: number | undefined
  #suspected = false
  #silent = false
  #replaced = false

  /**
   * @param deviationsMax thresholdOf(options), which takes a while: detectors of a factory share it
   * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS naming the option that is out of its range.
   */
  constructor (firstProbeAtMs: number, tuning: MembershipTuning, options: PhiAccrualOptions = {}, deviationsMax = thresholdOf(options)) {
    this.#tuning = tuning
    checkPhiAccrualOptions(options)
    this.#options = fillPhiAccrualOptions(options, tuning)
    const { firstIntervalMs } = this.#options
    this.#deviationsMax = deviationsMax
    this.#nextProbeMs = firstProbeAtMs
    this.#graceMs = tuning.probeTimeoutMs * UNCONNECTED_FACTOR
    this.#evidence = new HardEvidence(tuning.refusalSpanMs)
    // Two samples that have just the first estimate's mean and deviation; real ones push them out.
    this.#intervals = [firstIntervalMs * 0.75, firstIntervalMs * 1.25]
    this.#estimate()
  }

  get nextAtMs (): number {
    return this.#suspected ? this.#nextProbeMs : Math.min(this.#nextProbeMs, this.#verdictAtMs)
  }

  /** The suspicion level at a time: 0 while nothing is late, then ever faster towards infinity; see surprise() of normal-tail.ts. */
  phi (now: number): number {
    if (this.#silentSinceMs === undefined) return 0
    const lateMs = now - this.#silentSinceMs - this.#graceMs - this.#meanMs - this.#options.acceptablePauseMs
    return surprise(lateMs / this.#deviationMs)
  }

  poll (now: number): number | undefined {
    this.#judge(now)
    if (now < this.#nextProbeMs) return undefined
    const hurried = this.#evidence.gathering
    this.#nextProbeMs = this.#following(now)
    if (this.#connecting(now)) return undefined
    if (this.#outstanding.size >= OUTSTANDING_MAX) this.#outstanding.delete(this.#outstanding.keys().next().value!)
    this.#outstanding.set(++this.#sequence, { sentAtMs: now, hurried })
    this.#silentSinceMs ??= now
    return this.#sequence
  }

  replied (now: number, sequence: number): void {
    const probe = this.#outstanding.get(sequence)
    if (probe === undefined) return
    // What was asked before is answered with this, or lost.
    for (const earlier of this.#outstanding.keys()) if (earlier <= sequence) this.#outstanding.delete(earlier)
    this.#judge(now)
    if (!probe.hurried && !this.#suspected && this.#sampledAtMs !== undefined) this.#sample(now - this.#sampledAtMs)
    this.#sampledAtMs = probe.hurried ? undefined : now
    this.#answered = true
    this.#silentSinceMs = now
    this.#graceMs = 0
    this.#suspected = false
    this.#silent = false
    this.#evidence.confirmed()
  }

  link (now: number, evidence: LinkEvidence): void {
    const { established, gathering } = this.#evidence
    this.#evidence.link(now, evidence)
    // Ask at once whether the subject is still there, instead of at the next interval.
    if (this.#evidence.gathering && !gathering) this.#nextProbeMs = now
    if (evidence === 'opened') {
      if (established || this.#answered) return
      this.#silentSinceMs = now
      this.#graceMs = this.#tuning.probeTimeoutMs * UNANSWERED_FACTOR
      return
    }
    // A lost connection takes the probes on it along; one that never came about has had none.
    if (evidence !== 'unreachable' || !established) this.#outstanding.clear()
    if (evidence !== 'closed' && !this.#answered) this.#graceMs = 0
  }

  succeeded (): void {
    this.#replaced = true
  }

  get failing (): boolean {
    return this.faulty || this.#silent || this.#evidence.refused
  }

  get faulty (): boolean {
    return this.#replaced || this.#suspected || this.#evidence.conclusive
  }

  /** When the silence becomes a verdict: when phi reaches the threshold, or at the most. */
  get #verdictAtMs (): number {
    return this.#dueMs(this.#options.acceptablePauseMs)
  }

  /** Until when a silence with a pause of that length is not beyond the threshold. */
  #dueMs (pauseMs: number): number {
    if (this.#silentSinceMs === undefined) return Infinity
    const silenceMs = this.#meanMs + pauseMs + this.#deviationsMax * this.#deviationMs
    return this.#silentSinceMs + this.#graceMs + Math.min(silenceMs, this.#options.silenceMaxMs)
  }

  /** A subject is failing when the silence would be a verdict if it were granted a pause of one lost answer. */
  #judge (now: number): void {
    this.#suspected ||= now >= this.#verdictAtMs
    this.#silent ||= now >= this.#dueMs(Math.min(this.#options.acceptablePauseMs, this.#tuning.probeIntervalMs))
  }

  /** Whether the probe that opens the connection is still on its way. */
  #connecting (now: number): boolean {
    if (this.#evidence.established || this.#outstanding.size === 0) return false
    const { sentAtMs } = this.#outstanding.values().next().value!
    return now - sentAtMs < this.#tuning.probeTimeoutMs * UNCONNECTED_FACTOR
  }

  /** Probes keep to a grid of intervals from the first one, so that one tick serves all edges of a process. */
  #following (now: number): number {
    if (this.#evidence.gathering) return this.#evidence.nextProbeMs(now, this.#tuning.refusalProbeMs)
    const interval = this.#tuning.probeIntervalMs
    const next = this.#nextProbeMs + interval * (Math.floor((now - this.#nextProbeMs) / interval) + 1)
    return next > now ? next : next + interval
  }

  #sample (intervalMs: number): void {
    this.#intervals.push(intervalMs)
    if (this.#intervals.length > this.#options.sampleWindow) this.#intervals.shift()
    this.#estimate()
  }

  /** Computed anew each time: a running sum would gather rounding errors for as long as the process runs. */
  #estimate (): void {
    const count = this.#intervals.length
    let sum = 0
    for (const interval of this.#intervals) sum += interval
    this.#meanMs = sum / count
    let squares = 0
    for (const interval of this.#intervals) squares += (interval - this.#meanMs) ** 2
    this.#deviationMs = Math.max(this.#options.minStandardDeviationMs, Math.sqrt(squares / count))
  }
}

/**
 * A factory of phi accrual detectors, for `MembershipComponents.detector`.
 * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS naming the option that is unknown or out of its range.
 */
export function phiAccrual (options: PhiAccrualOptions = {}): DetectorFactory {
  checkPhiAccrualOptions(options)
  const deviationsMax = thresholdOf(options)
  return (_subject: Member, firstProbeAtMs, tuning) => new PhiAccrual(firstProbeAtMs, tuning, options, deviationsMax)
}
