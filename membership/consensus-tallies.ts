/**
 * Who voted for what in the fast round, and who accepted what in the classic ballots, as far as one member has heard.
 *
 * Rapid, ATC '18, section 4.3: one bitmap per proposal; bitmaps merge, in any order and any number of times, so that votes can
 * travel by any route.
 *
 * Pure.
 */
import { compareBallots, type Ballot } from './ballot.ts'
import { commonBit, countBits, createBitmap, hasBit, mergeBits, type Bitmap } from './bitmap.ts'
import type { CutDigest } from './configuration.ts'
import { MembershipError } from './errors.ts'

/** Classic ballots whose acceptances are counted at a time; of older ones, only those learned of last are lost. */
const BALLOTS_MAX = 16

export interface Proposal {
  readonly digest: CutDigest
  readonly bitmap: Bitmap
  readonly votes: number
}

export class FastVotes {
  readonly #voterCount: number
  /** Invariant: no member's bit is in two of them, and none is empty; so there are at most N. */
  readonly #bitmaps = new Map<CutDigest, Bitmap>()
  /** The union of them all. */
  readonly #voted: Bitmap
  /** Members in the union. */
  #count = 0
  #leading: Proposal[] | undefined

  constructor (voterCount: number) {
    this.#voterCount = voterCount
    this.#voted = createBitmap(voterCount)
  }

  /** Adds votes; true when some were new. @throws {MembershipError} MEMBERSHIP_CONFLICT when a member has voted for two proposals. */
  merge (digest: CutDigest, bitmap: Bitmap): boolean {
    const known = this.#bitmaps.get(digest)
    const elsewhere = this.#voted.map((byte, i) => byte & ~(known?.[i] ?? 0))
    const twice = commonBit(bitmap, elsewhere)
    if (twice >= 0) throw new MembershipError('MEMBERSHIP_CONFLICT', `Member ${twice} voted for two proposals; one is ${digest}.`)
    const target = known ?? createBitmap(this.#voterCount)
    if (!mergeBits(target, bitmap)) return false
    this.#bitmaps.set(digest, target)
    mergeBits(this.#voted, bitmap)
    this.#count = countBits(this.#voted)
    this.#leading = undefined
    return true
  }

  votersOf (digest: CutDigest): Bitmap {
    return this.#bitmaps.get(digest) ?? createBitmap(this.#voterCount)
  }

  hasVoted (member: number): boolean {
    return hasBit(this.#voted, member)
  }

  /** How many have voted. */
  get count (): number {
    return this.#count
  }

  /** Most voted first, ties by digest. */
  proposals (): readonly Proposal[] {
    this.#leading ??= [...this.#bitmaps]
      .map(([digest, bitmap]) => ({ digest, bitmap, votes: countBits(bitmap) }))
      .sort((a, b) => b.votes - a.votes || (a.digest < b.digest ? -1 : 1))
    return this.#leading
  }

  /** Whether some proposal, known or not, can still collect `quorum` votes if no member of `suspects` votes any more (rule M2). */
  canReach (quorum: number, suspects: ReadonlySet<number>): boolean {
    let open = this.#voterCount - this.#count
    for (const suspect of suspects) if (!this.hasVoted(suspect)) open--
    return (this.proposals()[0]?.votes ?? 0) + open >= quorum
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    const voted = createBitmap(this.#voterCount)
    for (const bitmap of this.#bitmaps.values()) {
      if (commonBit(voted, bitmap) >= 0) throw new Error('Consensus: a member voted twice (invariant 4).')
      mergeBits(voted, bitmap)
    }
  }
}

export interface Acceptance {
  readonly ballot: Ballot
  readonly digest: CutDigest
  readonly bitmap: Bitmap
}

export class Acceptances {
  readonly #voterCount: number
  /** Highest ballot first. Invariant: one digest per ballot (invariant 6), at most BALLOTS_MAX. */
  readonly #ballots: Acceptance[] = []

  constructor (voterCount: number) {
    this.#voterCount = voterCount
  }

  /** Adds acceptances; true when some were new. @throws {MembershipError} MEMBERSHIP_CONFLICT when the ballot has another value. */
  merge (ballot: Ballot, digest: CutDigest, bitmap: Bitmap): boolean {
    const known = this.#ballots.find(acceptance => compareBallots(acceptance.ballot, ballot) === 0)
    if (known !== undefined) {
      if (known.digest === digest) return mergeBits(known.bitmap, bitmap)
      throw new MembershipError('MEMBERSHIP_CONFLICT', `Ballot ${ballot.round}.${ballot.member} has two values.`)
    }
    const fresh: Acceptance = { ballot, digest, bitmap: createBitmap(this.#voterCount) }
    mergeBits(fresh.bitmap, bitmap)
    this.#ballots.push(fresh)
    this.#ballots.sort((a, b) => compareBallots(b.ballot, a.ballot))
    this.#ballots.length = Math.min(this.#ballots.length, BALLOTS_MAX)
    return true
  }

  /** Highest ballot first. */
  ballots (): readonly Acceptance[] {
    return this.#ballots
  }

  of (ballot: Ballot): Acceptance | undefined {
    return this.#ballots.find(acceptance => compareBallots(acceptance.ballot, ballot) === 0)
  }
}
