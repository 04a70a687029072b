/**
 * What the parts of one consensus share: what this member has heard in its configuration, and what it is about to say.
 *
 * Rapid (ATC '18), section 4.3. Heard are votes, acceptances, ballots and the bytes of cuts; none of it is a promise of this member, which
 * is the acceptor's alone.
 *
 * Pure: time is an argument.
 */
import { compareBallots, type Ballot } from './ballot.ts'
import { createBitmap, isBitmapOf, setBit, type Bitmap } from './bitmap.ts'
import { memberIndex, type Configuration, type CutDigest, type MemberId } from './configuration.ts'
import { Acceptor } from './consensus-acceptor.ts'
import { CutBytes } from './consensus-cuts.ts'
import type { ConsensusComponents } from './consensus-effects.ts'
import type { ConsensusMessage, ProposalVotes } from './consensus-messages.ts'
import type { ConsensusOptions } from './consensus-options.ts'
import { Outbox } from './consensus-outbox.ts'
import { ConsensusSchedule } from './consensus-schedule.ts'
import { Acceptances, FastVotes } from './consensus-tallies.ts'
import { Electorate } from './electorate.ts'
import { MembershipError } from './errors.ts'

/** The bytes of a cut of up to this many joins, removals and updates travel with the votes for it; of larger ones who lacks them asks. */
const INLINE_CHANGES_MAX = 8
/** Messages that a slow disk may hold back, per voter. */
const HELD_PER_VOTER_MAX = 8

export class ConsensusState {
  readonly configuration: Configuration
  readonly electorate: Electorate
  /** The index of this member in the electorate. */
  readonly self: number
  /** This member's process is gone: a later process of its store speaks for it (rule M4). */
  readonly isFormer: boolean
  readonly header: { readonly configurationId: Configuration['id'], readonly epoch: number }
  readonly acceptor: Acceptor
  readonly schedule: ConsensusSchedule
  readonly fastVotes: FastVotes
  readonly acceptances: Acceptances
  readonly cuts: CutBytes
  readonly outbox: Outbox
  /** The acceptor has changed since it was last stored. */
  isUnsaved = false
  #suspects: ReadonlySet<number> = new Set()
  /** The highest ballot heard of. */
  #highest: Ballot

  /** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS; MEMBERSHIP_CONFLICT for a record of another configuration. */
  constructor ({ configuration, self, isFormer = false, durable }: ConsensusComponents, settings: Required<ConsensusOptions>) {
    this.configuration = configuration
    this.isFormer = isFormer
    this.electorate = Electorate.of(configuration)
    this.self = this.electorate.indexOf(self)
    if (this.self < 0) {
      const what = memberIndex(configuration, self) < 0 ? 'no member' : 'no voter'
      throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', `${self} is ${what} of epoch ${configuration.epoch}.`)
    }
    const { size } = this.electorate
    this.header = { configurationId: configuration.id, epoch: configuration.epoch }
    this.acceptor = new Acceptor(configuration, durable)
    this.schedule = new ConsensusSchedule(configuration, this.self, isFormer ? { ...settings, recoveryTimeoutMs: Infinity } : settings)
    this.fastVotes = new FastVotes(size)
    this.acceptances = new Acceptances(size)
    this.cuts = new CutBytes(configuration)
    this.outbox = new Outbox(this.self, HELD_PER_VOTER_MAX * size)
    this.#highest = this.acceptor.promised
    this.#resume()
  }

  /** What the former process of this member told of itself holds still. */
  #resume (): void {
    const { accepted, vote } = this.acceptor
    if (vote !== undefined) this.cuts.learn(vote.digest, vote.cut)
    if (vote !== undefined) this.fastVotes.merge(vote.digest, this.ownBit())
    if (accepted !== undefined) this.cuts.learn(accepted.digest, accepted.cut)
    if (accepted !== undefined) this.acceptances.merge(accepted.ballot, accepted.digest, this.ownBit())
  }

  /** The voters that are thought dead, ascending. */
  get suspects (): ReadonlySet<number> {
    return this.#suspects
  }

  suspect (members: ReadonlySet<MemberId>): void {
    const indexes = [...members].map(id => this.electorate.indexOf(id)).filter(index => index >= 0)
    this.#suspects = new Set(indexes.sort((a, b) => a - b))
  }

  get highest (): Ballot {
    return this.#highest
  }

  /** A sign of a ballot: something is under way. */
  hear (now: number, ballot: Ballot): void {
    this.schedule.activate(now)
    if (compareBallots(ballot, this.#highest) > 0) this.#highest = ballot
  }

  say (to: number | 'all', message: ConsensusMessage): void {
    this.outbox.say(to, message)
  }

  /** The bytes of a cut are needed; `holders` have them. */
  want (digest: CutDigest, holders: Bitmap): void {
    if (this.cuts.want(digest, holders)) this.askFor(digest)
  }

  askFor (digest: CutDigest): void {
    const holder = this.cuts.nextHolder(digest, this.self, this.#suspects)
    if (holder !== undefined) this.say(holder, { kind: 'fetch', ...this.header, digest })
  }

  proposalVotes (digest: CutDigest, bitmap: Bitmap): ProposalVotes {
    const cut = this.cuts.get(digest)
    const inline = cut !== undefined && cut.joins.length + cut.removals.length + cut.updates.length <= INLINE_CHANGES_MAX
    return { digest, ...(inline ? { cut } : {}), bitmap: bitmap.slice() }
  }

  bit (voter: number): Bitmap {
    const bitmap = createBitmap(this.electorate.size)
    setBit(bitmap, voter)
    return bitmap
  }

  ownBit (): Bitmap {
    return this.bit(this.self)
  }

  /** @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE */
  checkBitmap (bitmap: Bitmap): void {
    if (!isBitmapOf(bitmap, this.electorate.size)) this.refuse('a bitmap is not one of its voters')
  }

  /** @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE */
  checkBallot (ballot: Ballot, owner?: number): void {
    if (ballot.member >= this.electorate.size) this.refuse('nobody owns its ballot')
    if (owner !== undefined && ballot.member !== owner) this.refuse('its sender does not own its ballot')
  }

  refuse (why: string): never {
    throw new MembershipError('MEMBERSHIP_INVALID_MESSAGE', `Not a message of epoch ${this.configuration.epoch}: ${why}.`)
  }
}
