/**
 * One classic ballot from its coordinator's side: it collects promises, then picks the one value it asks everyone to accept.
 *
 * Lamport, "Fast Paxos" (2006), section 3.2, with the choice of value of rule M1; Rapid, ATC '18, section 4.3, takes the fast
 * round's votes over into recovery in this way.
 *
 * Pure.
 */
import { compareBallots, type Ballot } from './ballot.ts'
import { createBitmap, setBit, type Bitmap } from './bitmap.ts'
import type { CutDigest } from './configuration.ts'
import type { PromiseMessage } from './consensus-messages.ts'
import { classicQuorum, fastQuorum } from './quorum.ts'

export class Recovery {
  readonly ballot: Ballot
  readonly #voterCount: number
  /** By index in the electorate. */
  readonly #promises = new Map<number, Pick<PromiseMessage, 'vote' | 'accepted'>>()
  /** The values that promisers voted for, the most voted first; undefined when a promise came since it was last asked for. */
  #ranked: readonly (readonly [CutDigest, number])[] | undefined
  /** Set once, when the first accept is sent (invariant 6). */
  #value: CutDigest | undefined

  constructor (ballot: Ballot, voterCount: number) {
    this.ballot = ballot
    this.#voterCount = voterCount
  }

  get value (): CutDigest | undefined { return this.#value }

  addPromise (member: number, promise: Pick<PromiseMessage, 'vote' | 'accepted'>): void {
    this.#promises.set(member, promise)
    this.#ranked = undefined
  }

  hasPromised (member: number): boolean {
    return this.#promises.has(member)
  }

  get hasQuorum (): boolean {
    return this.#promises.size >= classicQuorum(this.#voterCount)
  }

  /**
   * The value that may have been chosen already; undefined where none can have been, nor can be in the fast round any more, so that any
   * value is as safe as another. Needs a quorum of promises.
   *
   * Only what promisers said counts: a vote that is known from elsewhere may still be joined by others, theirs may not. Some
   * value may have f votes only if at least f - (N - |Q|) promisers voted for it. At most one can have so many.
   */
  possiblyChosen (): CutDigest | undefined {
    let highest: PromiseMessage['accepted'] = null
    for (const { accepted } of this.#promises.values()) {
      if (accepted !== null && (highest === null || compareBallots(accepted.ballot, highest.ballot) > 0)) highest = accepted
    }
    if (highest !== null) return highest.digest
    const needed = fastQuorum(this.#voterCount) - (this.#voterCount - this.#promises.size)
    const [first, second] = this.#ranking
    if (second !== undefined && second[1] >= needed) throw new Error('Recovery: two proposals may have been chosen; the quorums do not intersect.')
    return first !== undefined && first[1] >= needed ? first[0] : undefined
  }

  /** The value that the most promisers voted for, ties by digest; undefined when none of them voted. */
  mostVoted (): CutDigest | undefined {
    return this.#ranking[0]?.[0]
  }

  get #ranking (): readonly (readonly [CutDigest, number])[] {
    if (this.#ranked !== undefined) return this.#ranked
    const votes = new Map<CutDigest, number>()
    for (const { vote } of this.#promises.values()) if (vote !== null) votes.set(vote, (votes.get(vote) ?? 0) + 1)
    return this.#ranked = [...votes].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
  }

  /** The promisers that voted for or accepted `digest`, and hence have its bytes. */
  holdersOf (digest: CutDigest): Bitmap {
    const holders = createBitmap(this.#voterCount)
    for (const [member, { accepted, vote }] of this.#promises) {
      if (vote === digest || accepted?.digest === digest) setBit(holders, member)
    }
    return holders
  }

  /** Settles the one value of this ballot. */
  settle (digest: CutDigest): void {
    if (this.#value !== undefined && this.#value !== digest) throw new Error('Recovery: a ballot has one value.')
    this.#value = digest
  }
}
