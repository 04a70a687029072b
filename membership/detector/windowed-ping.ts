/**
 * The windowed ping detector: an edge is faulty when 40 % of its last ten probes failed.
 *
 * Suresh et al. (USENIX ATC '18), section 6. Deviations: hard evidence (rule M10) gives a verdict without waiting for a window; the
 * first answer may take longer than the others. The lateness of the local process does not count: see local-clock.ts.
 *
 * Pure: the time is an argument.
 */
import type { Member } from '../configuration.ts'
import type { MembershipTuning } from '../tuning.ts'
import type { Detector, DetectorFactory, LinkEvidence } from './detector.ts'
import { UNANSWERED_FACTOR, UNCONNECTED_FACTOR } from './first-contact.ts'
import { HardEvidence } from './hard-evidence.ts'

/** A subject that answers nothing for long is owed no more than so many answers at a time. */
const OUTSTANDING_MAX = 64

export class WindowedPing implements Detector {
  readonly #tuning: MembershipTuning
  readonly #evidence: HardEvidence
  /** Outcomes of the last probes, oldest first; true is a failure. Invariant: length <= probeWindow. */
  readonly #outcomes: boolean[] = []
  /** When each unanswered probe was sent, oldest first. Invariant: size <= OUTSTANDING_MAX. */
  readonly #sentAtMs = new Map<number, number>()
  #sequence = 0
  #nextProbeMs: number
  /** Set once the subject answered a probe. */
  #answered = false
  #replaced = false

  constructor (firstProbeAtMs: number, tuning: MembershipTuning) {
    this.#tuning = tuning
    this.#nextProbeMs = firstProbeAtMs
    this.#evidence = new HardEvidence(tuning.refusalSpanMs)
  }

  get nextAtMs (): number {
    return this.#nextProbeMs
  }

  poll (now: number): number | undefined {
    const connected = this.#evidence.established
    const patience = this.#answered ? 1 : connected ? UNANSWERED_FACTOR : UNCONNECTED_FACTOR
    for (const [sequence, sentAtMs] of this.#sentAtMs) {
      if (now - sentAtMs < this.#tuning.probeTimeoutMs * patience) break
      this.#sentAtMs.delete(sequence)
      this.#record(true)
    }
    if (now < this.#nextProbeMs) return undefined
    if (!connected && this.#sentAtMs.size > 0) {
      // The probe that opens the connection is still on its way.
      this.#nextProbeMs = this.#following(now)
      return undefined
    }
    if (this.#sentAtMs.size >= OUTSTANDING_MAX) {
      this.#sentAtMs.delete(this.#sentAtMs.keys().next().value!)
      this.#record(true)
    }
    this.#nextProbeMs = this.#following(now)
    this.#sentAtMs.set(++this.#sequence, now)
    return this.#sequence
  }

  replied (_now: number, sequence: number): void {
    if (!this.#sentAtMs.delete(sequence)) return
    // What else was sent before the first contact came about says nothing.
    if (!this.#answered) this.#sentAtMs.clear()
    this.#answered = true
    this.#record(false)
    this.#evidence.confirmed()
  }

  link (now: number, evidence: LinkEvidence): void {
    const gathered = this.#evidence.gathering
    this.#evidence.link(now, evidence)
    // Ask at once whether the subject is still there, instead of at the next interval.
    if (this.#evidence.gathering && !gathered) this.#nextProbeMs = now
    if (evidence === 'closed' || evidence === 'refused') this.#failOutstanding(evidence)
    else if (evidence === 'unreachable' && !this.#evidence.established && this.#sentAtMs.size > 0) {
      this.#sentAtMs.clear()
      this.#record(true)
    }
  }

  succeeded (): void {
    this.#replaced = true
  }

  get failing (): boolean {
    return this.faulty || this.#evidence.refused || (this.#outcomes.at(-1) === true && this.#outcomes.at(-2) === true)
  }

  get faulty (): boolean {
    if (this.#replaced || this.#evidence.conclusive) return true
    let failures = 0
    for (const failed of this.#outcomes) if (failed) failures++
    return failures >= this.#tuning.probeFailures
  }

  /** Probes keep to a grid of intervals from the first one, so that one tick serves all edges of a process. */
  #following (now: number): number {
    if (this.#evidence.gathering) return this.#evidence.nextProbeMs(now, this.#tuning.refusalProbeMs)
    const interval = this.#tuning.probeIntervalMs
    const next = this.#nextProbeMs + interval * (Math.floor((now - this.#nextProbeMs) / interval) + 1)
    return next > now ? next : next + interval
  }

  /** A lost connection takes the probes on it along. While refusals are gathered they are judged by their span, not counted. */
  #failOutstanding (evidence: LinkEvidence): void {
    if (evidence === 'refused' && !this.#evidence.gathering && this.#sentAtMs.size > 0) this.#record(true)
    this.#sentAtMs.clear()
  }

  #record (failed: boolean): void {
    this.#outcomes.push(failed)
    if (this.#outcomes.length > this.#tuning.probeWindow) this.#outcomes.shift()
  }
}

/** The detector of the paper, for `MembershipComponents.detector`. */
export const windowedPing: DetectorFactory = (_subject: Member, firstProbeAtMs, tuning) => new WindowedPing(firstProbeAtMs, tuning)
