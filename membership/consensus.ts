/**
 * Agreement on the one cut that follows a configuration: single-decree Fast Paxos over cut proposals.
 *
 * Rapid (Suresh et al., ATC '18), section 4.3, and Lamport, "Fast Paxos" (2006). Every member casts one fast vote; f equal votes
 * decide without a leader. When they cannot come together, members coordinate classic ballots by rank until one decides.
 *
 * Deviations: recovery starts as soon as the fast round cannot succeed and repeats with rising ballots and changing
 * coordinators (rule M2), where the paper leaves this open; the quorums are the smallest safe ones; cuts are named by digest and
 * their bytes sent to who lacks them (M3); acceptors are durable where there is storage (M4).
 *
 * Pure: time is an argument, and what must differ between members is drawn from a hash of their names.
 */
import { FAST_BALLOT, type Ballot } from './ballot.ts'
import { countBits, type Bitmap } from './bitmap.ts'
import { cutDigest, type Cut, type CutDigest, type MemberId } from './configuration.ts'
import { Coordinator } from './consensus-coordinator.ts'
import { checkDecision, type Decision } from './consensus-decision.ts'
import type { ConsensusComponents, ConsensusEffect, ConsensusInput } from './consensus-effects.ts'
import type { ConsensusMessage, VotesMessage } from './consensus-messages.ts'
import { CONSENSUS_DEFAULTS, checkConsensusOptions, type ConsensusOptions } from './consensus-options.ts'
import type { Outgoing } from './consensus-outbox.ts'
import { Participant } from './consensus-participant.ts'
import { ConsensusState } from './consensus-state.ts'
import { PROPOSALS_MAX } from './consensus-validation.ts'
import { hash32 } from './hash.ts'

export { checkDecision, type Decision } from './consensus-decision.ts'
export { type ConsensusComponents, type ConsensusEffect, type ConsensusInput } from './consensus-effects.ts'
export { type ConsensusMessage, type ConsensusRecord } from './consensus-messages.ts'
export { type ConsensusOptions } from './consensus-options.ts'
export { validateConsensusMessage, validateConsensusRecord } from './consensus-validation.ts'

/** Repetitions go to this many voters at a time, others each time; what they say is merged and passed on. */
const REPEAT_FANOUT = 10

export class Consensus {
  readonly #state: ConsensusState
  readonly #coordinator: Coordinator
  readonly #participant: Participant
  #decision: Decision | undefined
  #effects: ConsensusEffect[] = []
  #timerAtMs = Infinity

  /** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS; MEMBERSHIP_CONFLICT for a record of another configuration. */
  constructor (components: ConsensusComponents, options: ConsensusOptions = {}) {
    const settings = { ...CONSENSUS_DEFAULTS, ...options }
    checkConsensusOptions(settings)
    this.#state = new ConsensusState(components, settings)
    this.#coordinator = new Coordinator(this.#state)
    this.#participant = new Participant(this.#state, ballot => { this.#coordinator.yieldTo(ballot) })
  }

  /** What was decided; nothing is answered any more once this is set. */
  get decision (): Decision | undefined { return this.#decision }

  /** Whether this member has cast its fast vote. */
  get hasVoted (): boolean { return this.#state.acceptor.vote !== undefined }

  /** How many fast votes are known, this member's included. */
  get votesKnown (): number { return this.#state.fastVotes.count }

  /** Fast votes as far as they are known: most voted first. */
  votes (): { digest: CutDigest, voters: MemberId[] }[] {
    const { electorate, fastVotes } = this.#state
    return fastVotes.proposals().map(({ digest, bitmap }) => ({ digest, voters: electorate.idsOf(bitmap) }))
  }

  /**
   * @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE for a message that no voter of this configuration can have sent:
   * drop it. MEMBERSHIP_CONFLICT when members have broken the protocol: stop.
   */
  apply (now: number, input: ConsensusInput): ConsensusEffect[] {
    if (this.#decision !== undefined) return []
    switch (input.kind) {
      case 'propose': this.#propose(now, input.cut); break
      case 'message': this.#message(now, input.from, input.message); break
      case 'offer': this.#offer(now, input.cut); break
      case 'recover': this.#state.schedule.expedite(now); break
      case 'suspects': this.#state.suspect(input.members); break
      case 'persisted': this.#deliver(now, this.#state.outbox.release(input.token)); break
      case 'timer': this.#timer(now); break
    }
    while (!this.#decide()) {
      this.#coordinator.advance(now)
      if (!this.#state.isUnsaved && this.#state.outbox.isEmpty) break
      this.#flush(now)
    }
    if (this.#decision === undefined) this.#setTimer()
    return this.#effects.splice(0)
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    const { acceptor, configuration, cuts, fastVotes } = this.#state
    acceptor.invariants()
    if (this.#decision !== undefined) checkDecision(configuration, this.#decision)
    cuts.invariants()
    fastVotes.invariants()
    this.#coordinator.invariants()
  }

  // Inputs.

  #propose (now: number, cut: Cut): void {
    if (this.#coordinator.hasProposed) return
    const digest = cutDigest(cut)
    this.#participant.learn(now, digest, cut)
    this.#coordinator.propose(digest)
    this.#state.schedule.activate(now)
    // Once a ballot is promised the proposal is only kept, for this member to choose when nobody voted for anything.
    this.#participant.vote(digest, cut)
  }

  #offer (now: number, cut: Cut): void {
    const digest = cutDigest(cut)
    this.#participant.learn(now, digest, cut)
    this.#coordinator.offer(digest)
  }

  #timer (now: number): void {
    const { acceptor, highest, schedule } = this.#state
    this.#timerAtMs = Infinity
    // The former process of a resumed instance took part: this one carries on.
    if (acceptor.vote !== undefined || highest.round > 0) schedule.activate(now)
    if (schedule.takeRepeat(now)) this.#repeat()
  }

  #message (now: number, from: MemberId, message: ConsensusMessage): void {
    if (message.configurationId !== this.#state.configuration.id) return
    const sender = this.#state.electorate.indexOf(from)
    if (sender < 0) this.#state.refuse(`${from} is no voter`)
    if (sender !== this.#state.self) this.#receive(now, sender, message)
  }

  // Messages, this member's own included.

  #receive (now: number, from: number, message: ConsensusMessage): void {
    const state = this.#state
    switch (message.kind) {
      case 'votes': return this.#onVotes(now, message)
      case 'prepare': return this.#participant.prepare(now, from, message)
      case 'promise': {
        if (message.accepted !== null) state.checkBallot(message.accepted.ballot)
        // What a promise tells of votes and acceptances counts towards learning, like any other word of them.
        if (message.vote !== null) state.fastVotes.merge(message.vote, state.bit(from))
        if (message.accepted !== null) state.acceptances.merge(message.accepted.ballot, message.accepted.digest, state.bit(from))
        return this.#coordinator.promised(from, message)
      }
      case 'accept': return this.#participant.accept(now, from, message)
      case 'accepted':
        state.checkBallot(message.ballot)
        state.checkBitmap(message.bitmap)
        state.hear(now, message.ballot)
        state.acceptances.merge(message.ballot, message.digest, message.bitmap)
        return
      case 'reject':
        state.checkBallot(message.promised)
        state.hear(now, message.promised)
        return this.#coordinator.rejected(now, message)
      case 'fetch': {
        const cut = state.cuts.get(message.digest)
        if (cut !== undefined) state.say(from, { kind: 'value', ...state.header, digest: message.digest, cut })
        return
      }
      case 'value':
        if (state.cuts.isWanted(message.digest)) this.#participant.learn(now, message.digest, message.cut)
    }
  }

  #onVotes (now: number, { proposals }: VotesMessage): void {
    const { fastVotes, schedule } = this.#state
    for (const { bitmap } of proposals) this.#state.checkBitmap(bitmap)
    for (const { digest, cut } of proposals) if (cut !== undefined) this.#participant.learn(now, digest, cut)
    schedule.activate(now)
    for (const { digest, bitmap } of proposals) fastVotes.merge(digest, bitmap)
  }

  // Learning.

  /** Whether a quorum is known for a cut whose bytes are here. */
  #decide (): boolean {
    const { acceptances, electorate, fastVotes } = this.#state
    const leading = fastVotes.proposals()[0]
    if (leading !== undefined && leading.votes >= electorate.fastQuorum) {
      return this.#conclude(leading.digest, FAST_BALLOT, leading.bitmap)
    }
    for (const { ballot, digest, bitmap } of acceptances.ballots()) {
      if (countBits(bitmap) >= electorate.classicQuorum) return this.#conclude(digest, ballot, bitmap)
    }
    return false
  }

  #conclude (digest: CutDigest, ballot: Ballot, quorum: Bitmap): boolean {
    const cut = this.#state.cuts.get(digest)
    if (cut === undefined) {
      this.#state.want(digest, quorum)
      return false
    }
    this.#decision = { cut, digest, ballot, voters: this.#state.electorate.idsOf(quorum), fast: ballot.round === 0 }
    this.#effects.push({ kind: 'decide', decision: this.#decision })
    return true
  }

  // Output.

  /** Sends what is due, or holds it back until what it may tell of is durable (rule M4). */
  #flush (now: number): void {
    const state = this.#state
    if (state.isUnsaved) {
      state.isUnsaved = false
      this.#effects.push({ kind: 'persist', record: state.acceptor.record(), token: state.outbox.hold() })
    } else {
      this.#deliver(now, state.outbox.take())
    }
  }

  #deliver (now: number, outgoing: readonly Outgoing[]): void {
    const { electorate, self } = this.#state
    for (const { to, message } of outgoing) {
      if (to === 'all') this.#effects.push({ kind: 'broadcast', message })
      else if (to !== self) this.#effects.push({ kind: 'send', to: electorate.voters[to]!.id, message })
      if (to === 'all' || to === self) this.#receive(now, self, message)
    }
  }

  /** Says again what may have been lost: votes and acceptances, merged, to a few voters; requests to who has not answered. */
  #repeat (): void {
    const { acceptances, cuts, fastVotes, header } = this.#state
    const proposals = fastVotes.proposals().slice(0, PROPOSALS_MAX).map(({ digest, bitmap }) => this.#state.proposalVotes(digest, bitmap))
    const acceptance = acceptances.ballots()[0]
    for (const voter of this.#repeatTargets()) {
      if (proposals.length > 0) this.#state.say(voter, { kind: 'votes', ...header, proposals })
      if (acceptance === undefined) continue
      const { ballot, bitmap, digest } = acceptance
      this.#state.say(voter, { kind: 'accepted', ...header, ballot, digest, bitmap: bitmap.slice() })
    }
    for (const digest of cuts.wanted()) this.#state.askFor(digest)
    this.#coordinator.repeat()
  }

  /** Up to REPEAT_FANOUT others: a run of the list of voters that starts elsewhere for each of them and each repetition. */
  #repeatTargets (): number[] {
    const { electorate: { size, voters }, schedule, self } = this.#state
    const others = size - 1
    const start = hash32(`${voters[self]!.id}/${schedule.repeats}`, 0n)
    return Array.from({ length: Math.min(others, REPEAT_FANOUT) }, (_, i) => (self + 1 + (start + i) % others) % size)
  }

  #setTimer (): void {
    const atMs = this.#state.schedule.nextAt()
    if (atMs === this.#timerAtMs || atMs === Infinity) return
    this.#timerAtMs = atMs
    this.#effects.push({ kind: 'timer', atMs })
  }
}
