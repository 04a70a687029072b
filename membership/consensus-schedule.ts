/**
 * When a member of one configuration starts recovery, and when it repeats itself (rule M2).
 *
 * Replaces the single randomized timer of Rapid (ATC '18, section 4.3): recovery is due as soon as the fast round cannot succeed,
 * members take turns by rank, and each ballot is given twice the time of the one before. What must differ between members, or
 * between attempts, is drawn from a hash of their names, so that the core needs no randomness.
 *
 * Pure: time is an argument.
 */
import type { Configuration } from './configuration.ts'
import type { ConsensusOptions } from './consensus-options.ts'
import { Electorate } from './electorate.ts'
import { hash64, hashFraction } from './hash.ts'

/** Seeds that keep the three uses of the hash apart. */
const RANK_SEED = 1n
const BALLOT_SEED = 2n
const REPEAT_SEED = 3n

export class ConsensusSchedule {
  readonly #configuration: Configuration
  readonly #electorate: Electorate
  readonly #self: number
  readonly #options: Required<ConsensusOptions>
  /** When the first sign of a vote was seen. */
  #activeSinceMs: number | undefined
  /** When recovery became due. */
  #dueAtMs: number | undefined
  /** Until when the last ballot heard of is given a chance. */
  #waitUntilMs = -Infinity
  #repeatAtMs = Infinity
  #repeats = 0
  #rank = 0
  /** By index in the electorate; computed when a rank is first needed. */
  #rankHashes: readonly bigint[] | undefined

  constructor (configuration: Configuration, self: number, options: Required<ConsensusOptions>) {
    this.#configuration = configuration
    this.#electorate = Electorate.of(configuration)
    this.#self = self
    this.#options = options
  }

  get isActive (): boolean { return this.#activeSinceMs !== undefined }
  get isDue (): boolean { return this.#dueAtMs !== undefined }
  /** How often this member has repeated itself since it last made a new start. */
  get repeats (): number { return this.#repeats }

  /** A sign of a vote was seen: the clocks start. */
  activate (now: number): void {
    if (this.#activeSinceMs !== undefined) return
    this.#activeSinceMs = now
    this.#scheduleRepeat(now)
  }

  /** Recovery is due at `now` when the fast round cannot succeed, or T after the first sign of a vote. It stays due. */
  update (now: number, fastRoundIsOpen: boolean): void {
    if (this.#activeSinceMs === undefined || this.#dueAtMs !== undefined) return
    if (!fastRoundIsOpen || now >= this.#activeSinceMs + this.#options.recoveryTimeoutMs) this.#dueAtMs = now
  }

  /** Recovery is due now, whatever the fast round looks like. */
  expedite (now: number): void {
    this.activate(now)
    this.#dueAtMs ??= now
  }

  /** Takes this member's place in the order of coordinators: by hash, those in `last` after all others. */
  rank (last: ReadonlySet<number>): void {
    const { id } = this.#configuration
    this.#rankHashes ??= this.#electorate.voters.map(member => hash64(`${id}/${member.id}`, RANK_SEED))
    const own = this.#rankHashes[this.#self]!
    const ownIsLast = last.has(this.#self)
    let before = 0
    this.#rankHashes.forEach((hash, index) => {
      if (index === this.#self) return
      const isLast = last.has(index)
      if (isLast !== ownIsLast ? ownIsLast : hash !== own ? hash < own : index < this.#self) before++
    })
    this.#rank = before
  }

  /** Whether it is this member's turn to start a ballot. */
  mayStart (now: number): boolean {
    return now >= this.#startAt()
  }

  /** A ballot of `round` was started, promised or refused at `now`: it is given its time before another is started. */
  waitOut (now: number, round: number): void {
    const { ballotTimeoutMs, ballotTimeoutMaxMs } = this.#options
    const pauseMs = Math.min(ballotTimeoutMaxMs, ballotTimeoutMs * 2 ** Math.min(round - 1, 30))
    this.#waitUntilMs = Math.max(this.#waitUntilMs, now + pauseMs * (1 + this.#fraction(round, BALLOT_SEED) / 2))
  }

  /** This member said something new: it repeats that soon. */
  restartRepeats (now: number): void {
    this.#repeats = 0
    this.#scheduleRepeat(now)
  }

  /** True, once per repetition, when it is time to repeat. */
  takeRepeat (now: number): boolean {
    if (now < this.#repeatAtMs) return false
    this.#repeats++
    this.#scheduleRepeat(now)
    return true
  }

  /** When something is to be done although nothing arrives; Infinity for never. */
  nextAt (): number {
    const dueAt = this.#activeSinceMs === undefined || this.isDue ? Infinity : this.#activeSinceMs + this.#options.recoveryTimeoutMs
    return Math.min(dueAt, this.#startAt(), this.#repeatAtMs)
  }

  #startAt (): number {
    if (this.#dueAtMs === undefined) return Infinity
    return Math.max(this.#dueAtMs, this.#waitUntilMs) + this.#rank * this.#options.rankDelayMs
  }

  #scheduleRepeat (now: number): void {
    const { retransmitMs, retransmitMaxMs } = this.#options
    const pauseMs = Math.min(retransmitMaxMs, retransmitMs * 2 ** Math.min(this.#repeats, 30))
    this.#repeatAtMs = now + pauseMs * (0.75 + this.#fraction(this.#repeats, REPEAT_SEED) / 2)
  }

  /** In [0, 1), different for each member and attempt. */
  #fraction (attempt: number, seed: bigint): number {
    return hashFraction(`${this.#configuration.id}/${this.#electorate.voters[this.#self]!.id}/${attempt}`, seed)
  }
}
