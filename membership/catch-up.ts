/**
 * Catching up: a member that hears of a later epoch fetches the decisions it missed.
 *
 * Rule M12. It asks the peer that mentioned the later epoch first, then others, with growing pauses; only after several
 * had nothing to offer does it ask for a whole configuration and jump a gap. A member that no observer probed for
 * a while asks around in the same way, which is how one that was removed behind a partition learns of it.
 *
 * Pure: the time is an argument.
 */
import type { Mailbox } from './effects.ts'
import type { Address } from './environment/environment.ts'
import { hash32 } from './hash.ts'
import type { Sender } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

/** Peers that must have answered with nothing, or not at all, before a gap is accepted. */
const FRUITLESS_MAX = 3
/** Pauses between fetches grow to this multiple of the first. */
const PAUSE_FACTOR_MAX = 16

export class CatchUp {
  readonly #tuning: MembershipTuning
  readonly #out: Mailbox
  #view!: View
  /** The highest epoch heard of. */
  #target = 0
  /** Who mentioned it last. */
  #informant: Address | undefined
  /** Others to ask, in an order of this member's own; computed when somebody is to be asked, which is seldom. */
  #others: Address[] | undefined
  #cursor = 0
  #fruitless = 0
  #attempts = 0
  /** When the outstanding fetch is given up, or the next one is sent. */
  #nextFetchMs = Infinity
  #probedAtMs = 0
  #nextQuietMs = Infinity

  constructor (tuning: MembershipTuning, out: Mailbox) {
    this.#tuning = tuning
    this.#out = out
  }

  enter (now: number, view: View): void {
    this.#view = view
    this.#others = undefined
    this.#cursor = 0
    this.#fruitless = 0
    this.#attempts = 0
    this.#probedAtMs = now
    this.#nextQuietMs = view.size > 1 ? now + this.#tuning.quietTimeoutMs : Infinity
    // More may be missing: go on asking at once.
    this.#nextFetchMs = this.#target > view.epoch ? now : Infinity
  }

  /** Somebody is in a later epoch than this member. */
  behind (now: number, sender: Sender, epoch: number): void {
    if (epoch > this.#target) this.#target = epoch
    this.#informant = sender.address
    if (this.#nextFetchMs !== Infinity) return
    this.#out.counters.catchUps++
    this.#fetch(now)
  }

  /** A fetch was answered with nothing that helps. */
  fruitless (now: number): void {
    if (this.#target <= this.#view.epoch) return
    this.#fruitless++
    this.#nextFetchMs = Math.min(this.#nextFetchMs, now + this.#tuning.fetchTimeoutMs / 4)
  }

  /** A member probed this one: it is not forgotten. */
  probed (now: number): void {
    this.#probedAtMs = now
  }

  advance (now: number): void {
    if (now >= this.#nextFetchMs) {
      if (this.#attempts > 0) this.#fruitless++
      this.#fetch(now)
    }
    if (now < this.#nextQuietMs) return
    const quietFromMs = this.#probedAtMs + this.#tuning.quietTimeoutMs
    if (now >= quietFromMs) {
      this.#ask(this.#nextOther(), false)
      this.#nextQuietMs = now + this.#tuning.quietTimeoutMs / 2
    } else {
      this.#nextQuietMs = quietFromMs
    }
  }

  get nextAtMs (): number {
    return Math.min(this.#nextFetchMs, this.#nextQuietMs)
  }

  #fetch (now: number): void {
    if (this.#target <= this.#view.epoch) {
      this.#nextFetchMs = Infinity
      return
    }
    // The informant certainly is ahead; every second question goes to somebody else, in case its log is short.
    const to = this.#attempts % 2 === 0 && this.#informant !== undefined ? this.#informant : this.#nextOther()
    const pause = this.#tuning.fetchTimeoutMs * Math.min(2 ** this.#attempts, PAUSE_FACTOR_MAX)
    this.#attempts++
    this.#nextFetchMs = now + pause
    this.#ask(to, this.#fruitless >= FRUITLESS_MAX)
  }

  #ask (to: Address | undefined, gap: boolean): void {
    if (to === undefined) return
    const { sender, position } = this.#view
    this.#out.send(to, { kind: 'fetch-decisions', sender, position, gap })
  }

  #nextOther (): Address | undefined {
    this.#others ??= this.#orderOthers()
    return this.#others.length === 0 ? this.#informant : this.#others[this.#cursor++ % this.#others.length]
  }

  #orderOthers (): Address[] {
    const { configuration, self } = this.#view
    return configuration.members
      .filter(member => member.id !== self.id)
      .map(member => ({ address: member.address, rank: hash32(`${self.id} ${member.id}`, 2n) }))
      .sort((a, b) => a.rank - b.rank)
      .map(other => other.address)
  }
}
