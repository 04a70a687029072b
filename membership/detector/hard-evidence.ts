/**
 * Hard evidence of a crash: an established connection closed, and new ones are refused again and again.
 *
 * Rule M10. A reset alone is ordinary (a proxy restarted, a laptop slept), and a refusal alone can come from a firewall rule or
 * from a process that does not listen yet; only the two together, repeated over a span, count. All observers of processes
 * that died at once see their connections close at once, so their verdicts fall close together too, which is what lets
 * one cut hold all the dead.
 *
 * Pure: the time is an argument.
 */
import type { LinkEvidence } from './detector.ts'

export class HardEvidence {
  readonly #spanMs: number
  #established = false
  /** Set once an established connection closed, until another opens. */
  #closedAtMs: number | undefined
  /** Invariant: firstRefusal <= lastRefusal, and both are set only after `#closedAtMs`. */
  #firstRefusalMs: number | undefined
  #lastRefusalMs = 0

  constructor (spanMs: number) {
    this.#spanMs = spanMs
  }

  link (now: number, evidence: LinkEvidence): void {
    switch (evidence) {
      case 'opened':
        this.confirmed()
        break
      case 'closed':
        if (this.#established) this.#closedAtMs ??= now
        break
      case 'refused':
        if (this.#closedAtMs === undefined) break
        this.#firstRefusalMs ??= now
        this.#lastRefusalMs = now
        break
      case 'unreachable':
        // Nobody answered: that is silence, not a refusal. The span begins anew.
        this.#firstRefusalMs = undefined
        break
    }
  }

  /** The subject answered, or a connection opened: it lives, and a later close counts again. */
  confirmed (): void {
    this.#established = true
    this.#closedAtMs = undefined
    this.#firstRefusalMs = undefined
  }

  /** Whether the subject was ever reached. */
  get established (): boolean {
    return this.#established
  }

  /** True while refusals are being gathered: probe more often. Not any more once they are enough. */
  get gathering (): boolean {
    return this.#closedAtMs !== undefined && !this.conclusive
  }

  /** When to probe again while refusals are gathered: after a pause, the last time right when the span ends. */
  nextProbeMs (now: number, pauseMs: number): number {
    const endMs = (this.#firstRefusalMs ?? Infinity) + this.#spanMs
    return now < endMs && now + pauseMs > endMs - pauseMs / 2 ? endMs : now + pauseMs
  }

  get refused (): boolean {
    return this.#firstRefusalMs !== undefined
  }

  get conclusive (): boolean {
    return this.#firstRefusalMs !== undefined && this.#lastRefusalMs - this.#firstRefusalMs >= this.#spanMs
  }
}
