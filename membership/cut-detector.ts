/**
 * Multi-process cut detection: turns the alerts of many observers into one stable membership change. (Bodies follow.)
 */
import { type Configuration, type Cut, type Member, type MemberId } from './configuration.ts'
import { type Address } from './environment/environment.ts'
import { type Overlay } from './overlay.ts'

export type AlertStatus = 'join' | 'remove'

export interface CutDetectorOptions {
  /** K: what the watermarks are given out of. @default 10 */
  readonly ringCount?: number
  /** H. @default 9 */
  readonly highWatermark?: number
  /** L. @default 3 */
  readonly lowWatermark?: number
  /** How long an unstable join may delay a cut, in milliseconds. @default 100 */
  readonly batchWindowMs?: number
  /** How long a tally may stay between L and H before its observers are asked again, in milliseconds. @default 2000 */
  readonly unstableTimeoutMs?: number
  /** Addresses that have delayed a cut of an earlier configuration already (`delayedAddresses()` of its detector). @default none */
  readonly delayedAddresses?: Iterable<Address>
}

/** Those whose tally is in [L, H), for reinforcement. */
export interface UnstableSubjects { readonly removals: MemberId[], readonly joins: Member[] }

/** What the passing of time did to the tallies. */
export interface CutExpiry {
  /** Removals at or above L for two timeouts: they count as stable from now on. */
  readonly promoted: MemberId[]
  /** Joiners whose tally was emptied: observers that still vouch for them report them again. */
  readonly voided: Member[]
  /** Reports that were forgotten: the observers' detectors re-arm. */
  readonly lapsed: { readonly subject: MemberId, readonly observers: MemberId[] }[]
}

/** The state of one subject, for people. */
export interface TallyExplanation {
  readonly subject: MemberId
  readonly status: AlertStatus
  /** Who alerted. */
  readonly reporters: readonly MemberId[]
  /** Observers that count as having alerted because they are themselves suspected (section 4.2). */
  readonly implicit: readonly MemberId[]
  readonly low: number
  readonly high: number
  readonly promoted: boolean
}

export class CutDetector {
  constructor (_configuration: Configuration, _overlay: Overlay, _options: CutDetectorOptions = {}) {}

  /** True when the tally changed. Reports by non-observers and about non-members are ignored. */
  reportRemoval (_observer: MemberId, _subject: MemberId): boolean { throw new Error('bodies follow') }

  /** True when the tally changed. A joiner is named by the hash of its whole record. */
  reportJoin (_observer: MemberId, _joiner: Member): boolean { throw new Error('bodies follow') }

  /** The stable cut, or undefined while there is none. Time enters here: call it after each batch of reports. */
  proposal (_now: number): Cut | undefined { throw new Error('bodies follow') }

  /** Those in [L, H). */
  unstable (): UnstableSubjects { throw new Error('bodies follow') }

  /** Those in [L, H) for one timeout or longer whose reinforcement is due; each is returned once. */
  overdue (_now: number): UnstableSubjects { throw new Error('bodies follow') }

  /** Promotes, voids and lets lapse what is due at `now`. */
  expire (_now: number): CutExpiry { throw new Error('bodies follow') }

  /** When `proposal`, `overdue` or `expire` next has something to do without a report, or undefined. */
  deadline (): number | undefined { throw new Error('bodies follow') }

  /** Observers that count towards the removal, or else the join, of `subject`; implicit ones included. */
  tally (_subject: MemberId): number { throw new Error('bodies follow') }

  /** Addresses of joiners that have had their delay. */
  delayedAddresses (): readonly Address[] { throw new Error('bodies follow') }

  explain (): TallyExplanation[] { throw new Error('bodies follow') }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {}
}
