/**
 * Edge failure detectors: what membership asks of the object that watches one subject.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1: the detector of an edge is pluggable. Here it is a pure object: membership
 * sends the probes it asks for, feeds it what came back and asks for its verdict. So one ticker drives every edge of a
 * process, and the same detector runs in the simulator. A detector whose evidence fades may take its verdict back; membership
 * alone makes a report irrevocable.
 *
 * Pure: the time is an argument.
 */
import type { Member } from '../configuration.ts'
import type { MembershipTuning } from '../tuning.ts'

/** What was learned about the connection to the subject's address; see LinkEvent. */
export type LinkEvidence = 'opened' | 'closed' | 'refused' | 'unreachable'

export interface Detector {
  /** The time from which `poll` wants to be called again. */
  readonly nextAtMs: number
  /**
   * Judges what is overdue and says whether to probe now. The time is that of LocalClock: a process that is late itself does not
   * blame others.
   * @returns the sequence number of the probe to send, or undefined for none.
   */
  poll (now: number): number | undefined
  /** The subject itself answered the probe of that number. */
  replied (now: number, sequence: number): void
  link (now: number, evidence: LinkEvidence): void
  /** A later process of the subject's own store answered at its address (rule M10): the subject is gone. */
  succeeded (now: number): void
  /** True while the latest evidence speaks against the subject, long before a verdict. */
  readonly failing: boolean
  /** The verdict: the edge is faulty. */
  readonly faulty: boolean
}

/** Makes the detector of one edge. `firstProbeAtMs` spreads the probes of different processes over the interval. */
export type DetectorFactory = (subject: Member, firstProbeAtMs: number, tuning: MembershipTuning) => Detector
