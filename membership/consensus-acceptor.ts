/**
 * The acceptor of one member: the one fast vote it casts, the ballots it promises, the values it accepts.
 *
 * Lamport, "Fast Paxos" (2006), section 3; Rapid, ATC '18, section 4.3. A promise closes the fast round for this member (M1).
 *
 * Pure. What changes here must be durable before anyone is told (rule M4): the owner stores `record()` after each change.
 */
import { compareBallots, FAST_BALLOT, isFast, type Ballot } from './ballot.ts'
import { cutDigest, type Configuration, type Cut, type CutDigest } from './configuration.ts'
import type { ConsensusRecord } from './consensus-messages.ts'
import { MembershipError } from './errors.ts'

export interface Value {
  readonly digest: CutDigest
  readonly cut: Cut
}

/** `changed`: done, and to be stored. `repeated`: it was done before. `refused`: a higher ballot is promised. */
export type AcceptorAnswer = 'changed' | 'repeated' | 'refused'

export class Acceptor {
  readonly #configuration: Configuration
  /** Never falls (invariant 4). */
  #promised: Ballot = FAST_BALLOT
  /** Cast once, never withdrawn (rule M3). */
  #vote: Value | undefined
  /** Invariant: its ballot is classic and not above `promised`. */
  #accepted: (Value & { readonly ballot: Ballot }) | undefined

  /** @throws {MembershipError} MEMBERSHIP_CONFLICT when the record is one of another configuration. */
  constructor (configuration: Configuration, record?: ConsensusRecord) {
    this.#configuration = configuration
    if (record === undefined) return
    if (record.configurationId !== configuration.id) {
      throw new MembershipError('MEMBERSHIP_CONFLICT', `The record of configuration ${record.configurationId} is not one of ${configuration.id}.`)
    }
    const { accepted, promised, vote } = record
    this.#promised = promised
    if (vote !== null) this.#vote = { digest: cutDigest(vote), cut: vote }
    if (accepted !== null) this.#accepted = { ballot: accepted.ballot, digest: cutDigest(accepted.cut), cut: accepted.cut }
  }

  get promised (): Ballot { return this.#promised }
  get vote (): Value | undefined { return this.#vote }
  get accepted (): (Value & { readonly ballot: Ballot }) | undefined { return this.#accepted }

  /** Casts the fast vote, unless it is cast already or the fast round is closed. */
  castVote (value: Value): boolean {
    if (this.#vote !== undefined || !isFast(this.#promised)) return false
    this.#vote = value
    return true
  }

  /** Promises to take part in nothing below `ballot`. */
  promise (ballot: Ballot): AcceptorAnswer {
    const order = compareBallots(ballot, this.#promised)
    if (order <= 0) return order === 0 ? 'repeated' : 'refused'
    this.#promised = ballot
    return 'changed'
  }

  /** Accepts the one value of `ballot`. @throws {MembershipError} MEMBERSHIP_CONFLICT when that ballot had another one. */
  accept (ballot: Ballot, value: Value): AcceptorAnswer {
    if (compareBallots(ballot, this.#promised) < 0) return 'refused'
    if (this.#accepted !== undefined && compareBallots(ballot, this.#accepted.ballot) === 0) {
      if (this.#accepted.digest === value.digest) return 'repeated'
      throw new MembershipError('MEMBERSHIP_CONFLICT', `Ballot ${ballot.round}.${ballot.member} has two values.`)
    }
    this.#promised = ballot
    this.#accepted = { ballot, ...value }
    return 'changed'
  }

  /** What to remember across a restart. */
  record (): ConsensusRecord {
    return {
      configurationId: this.#configuration.id,
      epoch: this.#configuration.epoch,
      promised: this.#promised,
      vote: this.#vote?.cut ?? null,
      accepted: this.#accepted === undefined ? null : { ballot: this.#accepted.ballot, cut: this.#accepted.cut }
    }
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    if (this.#accepted === undefined) return
    if (isFast(this.#accepted.ballot)) throw new Error('Acceptor: a value was accepted in the fast round.')
    if (compareBallots(this.#accepted.ballot, this.#promised) > 0) throw new Error('Acceptor: a value was accepted above the promise.')
  }
}
