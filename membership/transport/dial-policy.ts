/**
 * Whom to dial next, and whom not to dial yet.
 *
 * A few attempts at a time: a process that means to reach a whole cluster in one turn would else have thousands of handshakes under
 * way, all of them late. Addresses above the own one go first, because the attempt of the lower address is the one that stays when
 * two processes dial each other (see link-table.ts): while they are dialled, most of the others have dialled this process.
 *
 * After a failed attempt there is a pause, which doubles with each further failure, as for all who knock at a closed door. Urgent
 * messages wait for no turn and for the first pause only: a failure detector has to find out within its own time.
 *
 * Pure: the time is an argument.
 */
import type { Address } from '../environment/environment.ts'

/** The longest pause, as a multiple of the first. */
const PAUSE_FACTOR_MAX = 16
/** At most this many failed addresses are remembered. */
const FAILED_MAX = 10_000

interface Failure {
  readonly atMs: number
  /** How long ordinary messages wait. */
  readonly pauseMs: number
}

export class DialPolicy {
  readonly #dialsMax: number
  readonly #redialDelayMs: number
  readonly #above: Address[] = []
  readonly #below: Address[] = []
  readonly #failures = new Map<Address, Failure>()
  /** Attempts under way. */
  #dials = 0

  constructor (dialsMax: number, redialDelayMs: number) {
    this.#dialsMax = dialsMax
    this.#redialDelayMs = redialDelayMs
  }

  /** True while messages to an address are lost, because the last attempt failed a moment ago. */
  isPausing (now: number, to: Address, urgent: boolean): boolean {
    const failure = this.#failures.get(to)
    return failure !== undefined && now < failure.atMs + (urgent ? this.#redialDelayMs : failure.pauseMs)
  }

  /** True when another attempt may begin at once. */
  get hasTurn (): boolean {
    return this.#dials < this.#dialsMax
  }

  enqueue (to: Address, own: Address | undefined): void {
    if (own === undefined || to > own) this.#above.push(to)
    else this.#below.push(to)
  }

  /** The next address whose turn it is, if there is a turn. */
  next (): Address | undefined {
    return this.hasTurn ? this.#above.shift() ?? this.#below.shift() : undefined
  }

  began (): void {
    this.#dials++
  }

  ended (): void {
    this.#dials--
  }

  failed (now: number, to: Address): void {
    const pauseMs = (this.#failures.get(to)?.pauseMs ?? this.#redialDelayMs / 2) * 2
    if (this.#failures.size >= FAILED_MAX) this.#failures.clear()
    this.#failures.set(to, { atMs: now, pauseMs: Math.min(pauseMs, this.#redialDelayMs * PAUSE_FACTOR_MAX) })
  }

  reached (to: Address): void {
    this.#failures.delete(to)
  }
}
