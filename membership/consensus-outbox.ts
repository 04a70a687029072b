/**
 * Holds messages back until what they may tell of is durable (rule M4).
 *
 * Every message is held behind the newest record that is not yet stored, whether or not it tells of that record: simpler than
 * telling them apart, and a member whose disk is slow is slow anyway.
 *
 * Pure. Owns the tokens that name the records.
 */
import type { ConsensusMessage } from './consensus-messages.ts'

/** A message on its way out. `to` is an index in the electorate, or 'all', the sender included. */
export interface Outgoing {
  readonly to: number | 'all'
  readonly message: ConsensusMessage
}

export class Outbox {
  readonly #self: number
  /** What may be sent once a token is persisted. Invariant: tokens ascend, none is above `#token`. */
  readonly #held: { readonly token: number, readonly outgoing: Outgoing[] }[] = []
  /**
   * Messages to one other member that a slow disk may hold back. Further ones are lost, as any message may be, and repeated
   * later. Broadcasts and messages to this member itself are never lost; there are at most a few per ballot.
   */
  readonly #heldMax: number
  #fresh: Outgoing[] = []
  #token = 0

  constructor (self: number, heldMax: number) {
    this.#self = self
    this.#heldMax = heldMax
  }

  get isEmpty (): boolean { return this.#fresh.length === 0 }
  /** Whether a record is being stored. */
  get isHolding (): boolean { return this.#held.length > 0 }

  say (to: number | 'all', message: ConsensusMessage): void {
    this.#fresh.push({ to, message })
  }

  /** Holds all that was said since the last call behind a new record. Returns its token. */
  hold (): number {
    this.#token++
    this.#held.push({ token: this.#token, outgoing: this.#fresh.splice(0) })
    return this.#token
  }

  /** Takes out what was said since the last call, or holds it behind the record that is being stored. */
  take (): readonly Outgoing[] {
    const fresh = this.#fresh.splice(0)
    const last = this.#held.at(-1)?.outgoing
    if (last === undefined) return fresh
    for (const item of fresh) if (item.to === 'all' || item.to === this.#self || last.length < this.#heldMax) last.push(item)
    return []
  }

  /** Takes out what waited for this record and those before. A token may be reported twice. */
  release (token: number): readonly Outgoing[] {
    if (token > this.#token) throw new Error(`Consensus: no record with token ${token} was asked to be stored.`)
    const released: Outgoing[] = []
    while (this.#held[0] !== undefined && this.#held[0].token <= token) released.push(...this.#held.shift()!.outgoing)
    return released
  }
}
