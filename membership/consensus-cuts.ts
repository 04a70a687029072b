/**
 * The bytes of cuts: what a digest stands for, and whom to ask where that is not known.
 *
 * Rule M3: nobody votes for, accepts or decides a digest without its bytes.
 *
 * Pure.
 */
import { bitIndexes, mergeBits, type Bitmap } from './bitmap.ts'
import { cutDigest, type Configuration, type Cut, type CutDigest } from './configuration.ts'
import { cutError } from './consensus-decision.ts'
import { MembershipError } from './errors.ts'

export class CutBytes {
  readonly #configuration: Configuration
  /** Invariant: each is named by its digest and can follow the configuration. */
  readonly #cuts = new Map<CutDigest, Cut>()
  /** What is needed, with the members that have it and how often was asked. Disjoint from `#cuts`. */
  readonly #wanted = new Map<CutDigest, { readonly holders: Bitmap, asked: number }>()

  constructor (configuration: Configuration) {
    this.#configuration = configuration
  }

  has (digest: CutDigest): boolean { return this.#cuts.has(digest) }
  get (digest: CutDigest): Cut | undefined { return this.#cuts.get(digest) }
  isWanted (digest: CutDigest): boolean { return this.#wanted.has(digest) }
  wanted (): CutDigest[] { return [...this.#wanted.keys()] }

  /** True when it was not known. @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE unless it is what `digest` names, and valid. */
  learn (digest: CutDigest, cut: Cut): boolean {
    if (this.#cuts.has(digest)) return false
    const problem = cutDigest(cut) === digest ? cutError(this.#configuration, cut) : 'its digest does not name its cut'
    if (problem !== undefined) {
      throw new MembershipError('MEMBERSHIP_INVALID_MESSAGE', `Not a cut of epoch ${this.#configuration.epoch}: ${problem}.`)
    }
    this.#cuts.set(digest, cut)
    this.#wanted.delete(digest)
    return true
  }

  /** Notes that the bytes are needed and who has them. True when that is news, and someone should be asked. */
  want (digest: CutDigest, holders: Bitmap): boolean {
    const known = this.#wanted.get(digest)
    if (known !== undefined) mergeBits(known.holders, holders)
    else this.#wanted.set(digest, { holders: holders.slice(), asked: 0 })
    return known === undefined
  }

  /** A member to ask for a wanted digest: another one each time, those thought dead last. */
  nextHolder (digest: CutDigest, self: number, suspects: ReadonlySet<number>): number | undefined {
    const wanted = this.#wanted.get(digest)
    if (wanted === undefined) return undefined
    const holders = bitIndexes(wanted.holders).filter(member => member !== self)
    holders.sort((a, b) => Number(suspects.has(a)) - Number(suspects.has(b)) || a - b)
    return holders[wanted.asked++ % holders.length]
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    for (const [digest, cut] of this.#cuts) {
      if (digest !== cutDigest(cut)) throw new Error(`CutBytes: ${digest} names other bytes.`)
      if (this.#wanted.has(digest)) throw new Error(`CutBytes: ${digest} is wanted although it is known.`)
    }
  }
}
