/**
 * The acceptor's side of consensus: what this member answers to proposals, prepares and accepts.
 *
 * Lamport, "Fast Paxos" (2006), section 3; Rapid (ATC '18), section 4.3; rules M1 and M3.
 *
 * Pure: time is an argument.
 */
import type { Ballot } from './ballot.ts'
import type { Cut, CutDigest } from './configuration.ts'
import type { AcceptedMessage, AcceptMessage, PrepareMessage } from './consensus-messages.ts'
import type { ConsensusState } from './consensus-state.ts'

export class Participant {
  readonly #state: ConsensusState
  /** The acceptor moved to a ballot: let its owner try. */
  readonly #moved: (ballot: Ballot) => void
  /** An accept whose bytes are still to come. */
  #pendingAccept: { readonly from: number, readonly message: AcceptMessage } | undefined

  constructor (state: ConsensusState, moved: (ballot: Ballot) => void) {
    this.#state = state
    this.#moved = moved
  }

  /** Casts the one fast vote, for a cut that is known, unless a ballot is promised already. */
  vote (digest: CutDigest, cut: Cut): void {
    const state = this.#state
    if (!state.acceptor.castVote({ digest, cut })) return
    state.isUnsaved = true
    state.say('all', { kind: 'votes', ...state.header, proposals: [state.proposalVotes(digest, state.ownBit())] })
  }

  prepare (now: number, from: number, { ballot }: PrepareMessage): void {
    const state = this.#state
    state.checkBallot(ballot, from)
    state.hear(now, ballot)
    const answer = state.acceptor.promise(ballot)
    if (answer === 'refused') return this.#reject(from, ballot)
    if (answer === 'changed') this.#follow(now, ballot)
    const { accepted, vote } = state.acceptor
    state.say(from, {
      kind: 'promise',
      ...state.header,
      ballot,
      vote: vote?.digest ?? null,
      accepted: accepted === undefined ? null : { ballot: accepted.ballot, digest: accepted.digest }
    })
  }

  accept (now: number, from: number, message: AcceptMessage): void {
    const state = this.#state
    const { ballot, digest } = message
    state.checkBallot(ballot, from)
    if (message.cut !== undefined) this.learn(now, digest, message.cut)
    state.hear(now, ballot)
    const cut = state.cuts.get(digest)
    if (cut === undefined) {
      this.#pendingAccept = { from, message }
      return state.want(digest, state.bit(from))
    }
    const answer = state.acceptor.accept(ballot, { digest, cut })
    if (answer === 'refused') return this.#reject(from, ballot)
    if (answer === 'changed') this.#follow(now, ballot)
    const accepted: AcceptedMessage = { kind: 'accepted', ...state.header, ballot, digest, bitmap: state.ownBit() }
    state.say(answer === 'changed' ? 'all' : from, accepted)
  }

  /** The bytes of a cut arrived: an accept may have waited for them. */
  learn (now: number, digest: CutDigest, cut: Cut): void {
    if (!this.#state.cuts.learn(digest, cut)) return
    const pending = this.#pendingAccept
    if (pending?.message.digest !== digest) return
    this.#pendingAccept = undefined
    this.accept(now, pending.from, pending.message)
  }

  #reject (to: number, ballot: Ballot): void {
    const { acceptor, header } = this.#state
    this.#state.say(to, { kind: 'reject', ...header, ballot, promised: acceptor.promised })
  }

  #follow (now: number, ballot: Ballot): void {
    this.#state.isUnsaved = true
    this.#state.schedule.waitOut(now, ballot.round)
    this.#moved(ballot)
  }
}
