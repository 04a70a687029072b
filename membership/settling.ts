/**
 * Settling: how long a stable cut is left alone before it is proposed, so that members that crash or join together fall into one view
 * change.
 *
 * Deviation from Suresh et al. (USENIX ATC '18), section 4.2, where a stable cut is proposed at once: here a batch window or two without
 * news come first, within a limit. Split votes cost more than that patience.
 *
 * Pure: the time is an argument.
 */
import type { CutOutline } from './cut-detector.ts'
import type { MembershipTuning } from './tuning.ts'

/** A stable cut is proposed after so many windows even if news keeps coming; nobody waits for the dead. */
const SETTLING_WINDOWS_MAX = 4
/** The same for a cut of joins alone: joiners that start together take a while, and split votes cost more than patience. */
const JOIN_WINDOWS_MAX = 20
/** Quiet windows before a proposal, where alerts reach everybody in one hop, and where they take several. */
const QUIET_WINDOWS = 1
const QUIET_WINDOWS_GOSSIP = 2

export class Settling {
  readonly #windowMs: number
  readonly #quietMs: number
  #changedAtMs: number
  #stableSinceMs: number | undefined
  #windowsMax = SETTLING_WINDOWS_MAX

  /** @param size of those who propose. @param changedAtMs when a tally last changed, also before this configuration. */
  constructor ({ batchWindowMs, unicastMembersMax }: MembershipTuning, size: number, changedAtMs: number) {
    this.#windowMs = batchWindowMs
    this.#quietMs = batchWindowMs * (size > unicastMembersMax ? QUIET_WINDOWS_GOSSIP : QUIET_WINDOWS)
    this.#changedAtMs = changedAtMs
  }

  /** A tally changed. */
  changed (now: number): void {
    this.#changedAtMs = now
  }

  /** Takes in what the cut would hold now, undefined while none is stable. */
  saw (now: number, outline: CutOutline | undefined): void {
    if (outline === undefined) {
      this.#stableSinceMs = undefined
      return
    }
    this.#stableSinceMs ??= now
    this.#windowsMax = outline.joins && !outline.removals ? JOIN_WINDOWS_MAX : SETTLING_WINDOWS_MAX
  }

  /** When the cut is to be proposed, if nothing changes until then; Infinity while none is stable. */
  get settledAtMs (): number {
    if (this.#stableSinceMs === undefined) return Infinity
    return Math.min(this.#changedAtMs + this.#quietMs, this.#stableSinceMs + this.#windowMs * this.#windowsMax)
  }
}
