/**
 * A detector that also hears the subject's stand-in: a busy main thread is no crash, one that is blocked for long is.
 *
 * Rule M10. It goes around any other detector. With each probe it asks the subject's stand-in, a thread of its own in the subject's
 * process, which answers only while the main thread is blocked (see stand-in-responder.ts). Such an answer counts like the subject's
 * own as long as the main thread has been blocked for no more than `blockedMaxMs`; later, or without an answer, the probe fails as
 * it would have. What it hears never speaks against a subject: stand-ins that cannot be reached change nothing.
 *
 * Pure: the time is an argument; the channel only takes questions and fills in answers.
 */
import type { MembershipTuning } from '../tuning.ts'
import type { Detector, LinkEvidence } from './detector.ts'
import type { StandInAddress } from './stand-in-messages.ts'

/** A question under way. */
export interface StandInInquiry {
  /** How long the subject's main thread had been blocked; undefined until there is an answer, which need not come. */
  readonly blockedMs: number | undefined
}

export interface StandInChannel {
  /** Asks whether the main thread of a process has been blocked for `patienceMs` or will be. Never throws. */
  ask (target: StandInAddress, patienceMs: number): StandInInquiry
}

/** Of the timeout of a probe. Stand-ins answer after twice their patience at the latest: before the probe would fail. */
const PATIENCE = 0.4
/** Older questions are given up. */
const ASKED_MAX = 16

export class StandInDetector implements Detector {
  readonly #inner: Detector
  readonly #channel: StandInChannel
  readonly #target: StandInAddress
  readonly #patienceMs: number
  readonly #blockedMaxMs: number
  /** Questions without an answer, oldest first. Invariant: length <= ASKED_MAX. */
  #asked: { readonly sequence: number, readonly inquiry: StandInInquiry }[] = []

  constructor (inner: Detector, channel: StandInChannel, target: StandInAddress, tuning: MembershipTuning, blockedMaxMs: number) {
    this.#inner = inner
    this.#channel = channel
    this.#target = target
    this.#patienceMs = tuning.probeTimeoutMs * PATIENCE
    this.#blockedMaxMs = blockedMaxMs
  }

  get nextAtMs (): number {
    return this.#inner.nextAtMs
  }

  poll (now: number): number | undefined {
    this.#hear(now)
    const sequence = this.#inner.poll(now)
    if (sequence === undefined) return undefined
    this.#asked.push({ sequence, inquiry: this.#channel.ask(this.#target, this.#patienceMs) })
    if (this.#asked.length > ASKED_MAX) this.#asked.shift()
    return sequence
  }

  replied (now: number, sequence: number): void {
    this.#asked = this.#asked.filter(asked => asked.sequence !== sequence)
    this.#inner.replied(now, sequence)
  }

  link (now: number, evidence: LinkEvidence): void {
    // The process may have died since it was asked: its answers from before are no news.
    if (evidence !== 'opened') this.#asked = []
    this.#inner.link(now, evidence)
  }

  succeeded (now: number): void {
    this.#inner.succeeded(now)
  }

  get failing (): boolean {
    return this.#inner.failing
  }

  get faulty (): boolean {
    return this.#inner.faulty
  }

  #hear (now: number): void {
    if (this.#asked.every(({ inquiry }) => inquiry.blockedMs === undefined)) return
    const heard = this.#asked
    this.#asked = heard.filter(({ inquiry }) => inquiry.blockedMs === undefined)
    for (const { sequence, inquiry: { blockedMs } } of heard) {
      if (blockedMs !== undefined && blockedMs <= this.#blockedMaxMs) this.#inner.replied(now, sequence)
    }
  }
}
