/**
 * Drives one failure detector as membership does: polls it when it asks for it and every 50 ms while an answer is awaited, hands it the
 * answers, and watches at every step what it promises for the next one.
 *
 * Pure: the time is the drive's own.
 */
import type { Member, MemberId, StoreId } from '../../membership/configuration.ts'
import type { Detector, DetectorFactory, LinkEvidence } from '../../membership/detector/detector.ts'
import type { MembershipTuning } from '../../membership/tuning.ts'

const ATTENTION_MS = 50
/** More polls than that in one drive, and the detector asks to be polled again and again. */
const POLLS_MAX = 100_000

export const SUBJECT: Member = Object.freeze({
  id: '0123456789abcdef0123456789abcdef' as MemberId,
  address: '10.0.0.1:7000',
  storeId: 'store-1' as StoreId,
  incarnation: 1,
  metadata: { zone: 'a', weight: 1, tags: {} },
  metadataVersion: 0
})

export interface SentProbe {
  readonly atMs: number
  readonly sequence: number
  /** Counts from 0. */
  readonly index: number
}

/** When the answers to a probe arrive, counted from when it was sent: none for a lost one, several for duplicates. */
export type Answering = (probe: SentProbe) => readonly number[]

export const silent: Answering = () => []
export const prompt: Answering = () => [1]

export class Drive {
  readonly detector: Detector
  readonly probes: SentProbe[] = []
  now: number
  #answers: { readonly atMs: number, readonly sequence: number }[] = []
  #awaited = false
  #polledMs = -Infinity
  #polls = 0
  /** What happens with a probe besides being answered; a test sets it to refuse connections. */
  onProbe: (probe: SentProbe) => void = () => {}

  constructor (factory: DetectorFactory, tuning: MembershipTuning, startMs = 0, firstProbeAtMs = startMs) {
    this.now = startMs
    this.detector = factory(SUBJECT, firstProbeAtMs, tuning)
    this.#watch()
  }

  /** Goes on until a time, or until the condition holds after a step. Returns whether it does. */
  run (untilMs: number, answering: Answering, until: () => boolean = () => false): boolean {
    for (;;) {
      if (until()) return true
      const nextMs = this.#nextMs()
      if (nextMs > untilMs) {
        this.now = untilMs
        return until()
      }
      this.now = Math.max(this.now, nextMs)
      this.#deliver()
      this.#poll(answering)
    }
  }

  link (evidence: LinkEvidence): void {
    this.detector.link(this.now, evidence)
    this.#watch()
  }

  /** An answer that the drive did not plan. */
  reply (sequence: number): void {
    this.detector.replied(this.now, sequence)
    this.#watch()
  }

  #nextMs (): number {
    let next = Math.min(this.detector.nextAtMs, this.#awaited ? this.#polledMs + ATTENTION_MS : Infinity)
    for (const { atMs } of this.#answers) next = Math.min(next, atMs)
    return next
  }

  #deliver (): void {
    const due = this.#answers.filter(({ atMs }) => atMs <= this.now).sort((a, b) => a.atMs - b.atMs)
    this.#answers = this.#answers.filter(({ atMs }) => atMs > this.now)
    for (const { sequence } of due) {
      this.detector.replied(this.now, sequence)
      if (sequence === this.probes.at(-1)?.sequence) this.#awaited = false
      this.#watch()
    }
  }

  #poll (answering: Answering): void {
    if (++this.#polls > POLLS_MAX) throw new Error(`polled more than ${POLLS_MAX} times by ${this.now} ms`)
    const sequence = this.detector.poll(this.now)
    this.#polledMs = this.now
    this.#watch()
    if (this.detector.nextAtMs <= this.now) throw new Error(`polled at ${this.now} ms, it wants to be polled at ${this.detector.nextAtMs} ms`)
    if (sequence === undefined) return
    const probe = { atMs: this.now, sequence, index: this.probes.length }
    this.probes.push(probe)
    this.#awaited = true
    for (const delayMs of answering(probe)) this.#answers.push({ atMs: this.now + delayMs, sequence })
    this.onProbe(probe)
  }

  /** What holds at any time. */
  #watch (): void {
    if (!Number.isFinite(this.detector.nextAtMs)) throw new Error(`nextAtMs is ${this.detector.nextAtMs}`)
    if (this.detector.faulty && !this.detector.failing) throw new Error('faulty, but not failing')
  }
}
