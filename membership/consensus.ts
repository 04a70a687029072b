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
import { ballotAbove, compareBallots, type Ballot } from './ballot.ts'
import { bitIndexes, countBits, createBitmap, hasBit, isBitmapOf, mergeBits, setBit, type Bitmap } from './bitmap.ts'
import { cutDigest, memberIndex, type Configuration, type Cut, type CutDigest, type MemberId } from './configuration.ts'
import { Acceptor } from './consensus-acceptor.ts'
import { CutBytes } from './consensus-cuts.ts'
import { checkDecision, type Decision } from './consensus-decision.ts'
import type {
  AcceptedMessage, AcceptMessage, ConsensusMessage, ConsensusRecord, PrepareMessage, ProposalVotes, VotesMessage
} from './consensus-messages.ts'
import { CONSENSUS_DEFAULTS, checkConsensusOptions, type ConsensusOptions } from './consensus-options.ts'
import { Outbox, type Outgoing } from './consensus-outbox.ts'
import { Recovery } from './consensus-recovery.ts'
import { ConsensusSchedule } from './consensus-schedule.ts'
import { Acceptances, FastVotes } from './consensus-tallies.ts'
import { PROPOSALS_MAX } from './consensus-validation.ts'
import { MembershipError } from './errors.ts'
import { hash32 } from './hash.ts'
import { classicQuorum, fastQuorum } from './quorum.ts'

export { checkDecision, type Decision } from './consensus-decision.ts'
export { type ConsensusMessage, type ConsensusRecord } from './consensus-messages.ts'
export { type ConsensusOptions } from './consensus-options.ts'
export { validateConsensusMessage, validateConsensusRecord } from './consensus-validation.ts'

export type ConsensusInput =
  /** This member's own proposal, for which it casts its one fast vote. Later ones are ignored. */
  | { readonly kind: 'propose', readonly cut: Cut }
  /** A validated message. Those of other configurations are ignored. */
  | { readonly kind: 'message', readonly from: MemberId, readonly message: ConsensusMessage }
  /**
   * A cut to choose where nobody voted for anything: casts no vote and starts nothing. Replaces the one before. An offer that
   * cannot follow this configuration is refused like a message.
   */
  | { readonly kind: 'offer', readonly cut: Cut }
  /** Begin classic ballots without waiting for the fast round: so many members cannot vote any more that it cannot succeed (rule M4). */
  | { readonly kind: 'recover' }
  /** The members that are now thought dead; replaces the set before. */
  | { readonly kind: 'suspects', readonly members: ReadonlySet<MemberId> }
  /** The record of that persist effect, and of all before it, is durable. */
  | { readonly kind: 'persisted', readonly token: number }
  /** The time of the last timer effect has come. Also the first input of an instance that resumes from a record. */
  | { readonly kind: 'timer' }

/** Carry them out in order. What depends on a persist effect is held back until it is reported `persisted`. */
export type ConsensusEffect =
  /** Make the record durable, then report `persisted`. Writes must become durable in the order asked for. */
  | { readonly kind: 'persist', readonly record: ConsensusRecord, readonly token: number }
  | { readonly kind: 'send', readonly to: MemberId, readonly message: ConsensusMessage }
  /** To every other member. */
  | { readonly kind: 'broadcast', readonly message: ConsensusMessage }
  /** Emitted once; nothing follows it. Store it durably before telling anyone (rule M4). */
  | { readonly kind: 'decide', readonly decision: Decision }
  /** Replaces the timer before. */
  | { readonly kind: 'timer', readonly atMs: number }

export interface ConsensusComponents {
  readonly configuration: Configuration
  readonly self: MemberId
  /**
   * What this member's former process left behind. Apply a `timer` input first, to take up where it stopped; without it the
   * instance answers others and begins nothing until it hears that something is under way.
   */
  readonly durable?: ConsensusRecord
}

/** Repetitions go to this many members at a time, others each time; what they say is merged and passed on. */
const REPEAT_FANOUT = 10
/** The bytes of a cut of up to this many joins, removals and updates travel with the votes for it; of larger ones who lacks them asks. */
const INLINE_CHANGES_MAX = 8
/** Messages that a slow disk may hold back, per member. */
const HELD_PER_MEMBER_MAX = 8
const NOBODY: readonly MemberId[] = Object.freeze([])

export class Consensus {
  readonly #configuration: Configuration
  readonly #memberCount: number
  readonly #self: number
  readonly #header: { readonly configurationId: Configuration['id'], readonly epoch: number }
  readonly #acceptor: Acceptor
  readonly #schedule: ConsensusSchedule
  readonly #fastVotes: FastVotes
  readonly #acceptances: Acceptances
  readonly #cuts: CutBytes
  readonly #outbox: Outbox
  /** What this member proposed, whether or not it could vote for it. */
  #candidate: CutDigest | undefined
  /** What this member would choose where nobody, itself included, proposed anything. */
  #offer: CutDigest | undefined
  /** The ballot this member coordinates. */
  #recovery: Recovery | undefined
  /** An accept whose bytes are still to come. */
  #pendingAccept: { readonly from: number, readonly message: AcceptMessage } | undefined
  #suspects: ReadonlySet<number> = new Set()
  /** What the rank was computed from. */
  #rankedFor: { readonly suspects: ReadonlySet<number>, readonly removals: readonly MemberId[] } | undefined
  /** The highest ballot heard of. */
  #highest: Ballot
  #decision: Decision | undefined

  /** The acceptor has changed since the last persist effect. */
  #dirty = false
  #effects: ConsensusEffect[] = []
  #timerAtMs = Infinity

  /** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS; MEMBERSHIP_CONFLICT for a record of another configuration. */
  constructor ({ configuration, self, durable }: ConsensusComponents, options: ConsensusOptions = {}) {
    const settings = { ...CONSENSUS_DEFAULTS, ...options }
    checkConsensusOptions(settings)
    this.#configuration = configuration
    this.#memberCount = configuration.members.length
    this.#self = memberIndex(configuration, self)
    if (this.#self < 0) throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', `${self} is no member of epoch ${configuration.epoch}.`)
    this.#header = { configurationId: configuration.id, epoch: configuration.epoch }
    this.#acceptor = new Acceptor(configuration, durable)
    this.#schedule = new ConsensusSchedule(configuration, this.#self, settings)
    this.#fastVotes = new FastVotes(this.#memberCount)
    this.#acceptances = new Acceptances(this.#memberCount)
    this.#cuts = new CutBytes(configuration)
    this.#outbox = new Outbox(this.#self, HELD_PER_MEMBER_MAX * this.#memberCount)
    this.#highest = this.#acceptor.promised
    const { accepted, vote } = this.#acceptor
    if (vote !== undefined) this.#cuts.learn(vote.digest, vote.cut)
    if (vote !== undefined) this.#fastVotes.merge(vote.digest, this.#ownBit())
    if (accepted !== undefined) this.#cuts.learn(accepted.digest, accepted.cut)
    if (accepted !== undefined) this.#acceptances.merge(accepted.ballot, accepted.digest, this.#ownBit())
  }

  /** What was decided; nothing is answered any more once this is set. */
  get decision (): Decision | undefined { return this.#decision }

  /** Whether this member has cast its fast vote. */
  get hasVoted (): boolean { return this.#acceptor.vote !== undefined }

  /** Fast votes as far as they are known: most voted first. */
  votes (): { digest: CutDigest, voters: MemberId[] }[] {
    return this.#fastVotes.proposals().map(({ digest, bitmap }) => ({ digest, voters: this.#idsOf(bitmap) }))
  }

  /**
   * @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE for a message that no member of this configuration can have sent:
   * drop it. MEMBERSHIP_CONFLICT when members have broken the protocol: stop.
   */
  apply (now: number, input: ConsensusInput): ConsensusEffect[] {
    if (this.#decision !== undefined) return []
    switch (input.kind) {
      case 'propose': this.#propose(now, input.cut); break
      case 'message': this.#message(now, input.from, input.message); break
      case 'offer': this.#takeOffer(now, input.cut); break
      case 'recover': this.#schedule.expedite(now); break
      case 'suspects': this.#suspect(input.members); break
      case 'persisted': this.#persisted(now, input.token); break
      case 'timer': this.#timer(now); break
    }
    while (!this.#decide()) {
      this.#coordinate(now)
      if (!this.#dirty && this.#outbox.isEmpty) break
      this.#flush(now)
    }
    if (this.#decision === undefined) this.#setTimer()
    return this.#effects.splice(0)
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    this.#acceptor.invariants()
    if (this.#decision !== undefined) checkDecision(this.#configuration, this.#decision)
    this.#cuts.invariants()
    const voted = createBitmap(this.#memberCount)
    for (const { bitmap } of this.#fastVotes.proposals()) {
      if (bitIndexes(bitmap).some(member => hasBit(voted, member))) throw new Error('Consensus: a member voted twice (invariant 4).')
      mergeBits(voted, bitmap)
    }
    if (this.#recovery !== undefined && compareBallots(this.#recovery.ballot, this.#acceptor.promised) !== 0) {
      throw new Error('Consensus: a ballot is coordinated that is not the one promised.')
    }
  }

  // Inputs.

  #propose (now: number, cut: Cut): void {
    if (this.#candidate !== undefined) return
    const digest = cutDigest(cut)
    this.#learnCut(now, digest, cut)
    this.#candidate = digest
    this.#schedule.activate(now)
    // Once a ballot is promised the proposal is only kept, for this member to choose when nobody voted for anything.
    if (!this.#acceptor.castVote({ digest, cut })) return
    this.#dirty = true
    this.#say('all', { kind: 'votes', ...this.#header, proposals: [this.#proposalVotes(digest, this.#ownBit())] })
  }

  #takeOffer (now: number, cut: Cut): void {
    const digest = cutDigest(cut)
    this.#learnCut(now, digest, cut)
    this.#offer = digest
  }

  #suspect (members: ReadonlySet<MemberId>): void {
    const indexes = [...members].map(id => memberIndex(this.#configuration, id)).filter(index => index >= 0)
    this.#suspects = new Set(indexes.sort((a, b) => a - b))
  }

  #persisted (now: number, token: number): void {
    this.#deliver(now, this.#outbox.release(token))
  }

  #timer (now: number): void {
    this.#timerAtMs = Infinity
    // The former process of a resumed instance took part: this one carries on.
    if (this.#acceptor.vote !== undefined || this.#highest.round > 0) this.#schedule.activate(now)
    if (this.#schedule.takeRepeat(now)) this.#repeat()
  }

  #message (now: number, from: MemberId, message: ConsensusMessage): void {
    if (message.configurationId !== this.#configuration.id) return
    const sender = memberIndex(this.#configuration, from)
    if (sender < 0) this.#refuse(`${from} is no member`)
    if (sender !== this.#self) this.#receive(now, sender, message)
  }

  // Messages, this member's own included.

  #receive (now: number, from: number, message: ConsensusMessage): void {
    switch (message.kind) {
      case 'votes': return this.#onVotes(now, message)
      case 'prepare': return this.#onPrepare(now, from, message)
      case 'promise': {
        if (message.accepted !== null) this.#checkBallot(message.accepted.ballot)
        // What a promise tells of votes and acceptances counts towards learning, like any other word of them.
        if (message.vote !== null) this.#fastVotes.merge(message.vote, this.#bit(from))
        if (message.accepted !== null) this.#acceptances.merge(message.accepted.ballot, message.accepted.digest, this.#bit(from))
        if (this.#isCurrent(message.ballot)) this.#recovery!.addPromise(from, message)
        return
      }
      case 'accept': return this.#onAccept(now, from, message)
      case 'accepted':
        this.#checkBallot(message.ballot)
        this.#checkBitmap(message.bitmap)
        this.#hear(now, message.ballot)
        this.#acceptances.merge(message.ballot, message.digest, message.bitmap)
        return
      case 'reject':
        this.#checkBallot(message.promised)
        this.#hear(now, message.promised)
        if (!this.#isCurrent(message.ballot) || compareBallots(message.promised, message.ballot) <= 0) return
        this.#recovery = undefined
        this.#schedule.waitOut(now, message.promised.round)
        return
      case 'fetch': {
        const cut = this.#cuts.get(message.digest)
        if (cut !== undefined) this.#say(from, { kind: 'value', ...this.#header, digest: message.digest, cut })
        return
      }
      case 'value':
        if (this.#cuts.isWanted(message.digest)) this.#learnCut(now, message.digest, message.cut)
    }
  }

  #onVotes (now: number, message: VotesMessage): void {
    for (const { bitmap } of message.proposals) this.#checkBitmap(bitmap)
    for (const { digest, cut } of message.proposals) if (cut !== undefined) this.#learnCut(now, digest, cut)
    this.#schedule.activate(now)
    for (const { digest, bitmap } of message.proposals) this.#fastVotes.merge(digest, bitmap)
  }

  #onPrepare (now: number, from: number, { ballot }: PrepareMessage): void {
    this.#checkBallot(ballot, from)
    this.#hear(now, ballot)
    const answer = this.#acceptor.promise(ballot)
    if (answer === 'refused') return this.#say(from, { kind: 'reject', ...this.#header, ballot, promised: this.#acceptor.promised })
    if (answer === 'changed') this.#follow(now, ballot)
    const { accepted, vote } = this.#acceptor
    this.#say(from, {
      kind: 'promise',
      ...this.#header,
      ballot,
      vote: vote?.digest ?? null,
      accepted: accepted === undefined ? null : { ballot: accepted.ballot, digest: accepted.digest }
    })
  }

  #onAccept (now: number, from: number, message: AcceptMessage): void {
    const { ballot, digest } = message
    this.#checkBallot(ballot, from)
    if (message.cut !== undefined) this.#learnCut(now, digest, message.cut)
    this.#hear(now, ballot)
    const cut = this.#cuts.get(digest)
    if (cut === undefined) {
      this.#pendingAccept = { from, message }
      return this.#want(digest, this.#bit(from))
    }
    const answer = this.#acceptor.accept(ballot, { digest, cut })
    if (answer === 'refused') return this.#say(from, { kind: 'reject', ...this.#header, ballot, promised: this.#acceptor.promised })
    if (answer === 'changed') this.#follow(now, ballot)
    const accepted: AcceptedMessage = { kind: 'accepted', ...this.#header, ballot, digest, bitmap: this.#ownBit() }
    this.#say(answer === 'changed' ? 'all' : from, accepted)
  }

  /** The acceptor moved to `ballot`: whatever this member coordinates below it is over, and it lets the new owner try. */
  #follow (now: number, ballot: Ballot): void {
    this.#dirty = true
    this.#schedule.waitOut(now, ballot.round)
    if (this.#recovery !== undefined && !this.#isCurrent(ballot)) this.#recovery = undefined
  }

  #hear (now: number, ballot: Ballot): void {
    this.#schedule.activate(now)
    if (compareBallots(ballot, this.#highest) > 0) this.#highest = ballot
  }

  #isCurrent (ballot: Ballot): boolean {
    return this.#recovery !== undefined && compareBallots(this.#recovery.ballot, ballot) === 0
  }

  // Bytes of cuts.

  #learnCut (now: number, digest: CutDigest, cut: Cut): void {
    if (!this.#cuts.learn(digest, cut)) return
    const pending = this.#pendingAccept
    if (pending?.message.digest !== digest) return
    this.#pendingAccept = undefined
    this.#onAccept(now, pending.from, pending.message)
  }

  #want (digest: CutDigest, holders: Bitmap): void {
    if (this.#cuts.want(digest, holders)) this.#ask(digest)
  }

  #ask (digest: CutDigest): void {
    const holder = this.#cuts.nextHolder(digest, this.#self, this.#suspects)
    if (holder !== undefined) this.#say(holder, { kind: 'fetch', ...this.#header, digest })
  }

  // Learning and coordinating.

  /** Whether a quorum is known for a cut whose bytes are here. */
  #decide (): boolean {
    const leading = this.#fastVotes.proposals()[0]
    if (leading !== undefined && leading.votes >= fastQuorum(this.#memberCount)) {
      return this.#conclude(leading.digest, { round: 0, member: 0 }, leading.bitmap)
    }
    for (const { ballot, digest, bitmap } of this.#acceptances.ballots()) {
      if (countBits(bitmap) >= classicQuorum(this.#memberCount)) return this.#conclude(digest, ballot, bitmap)
    }
    return false
  }

  #conclude (digest: CutDigest, ballot: Ballot, quorum: Bitmap): boolean {
    const cut = this.#cuts.get(digest)
    if (cut === undefined) {
      this.#want(digest, quorum)
      return false
    }
    this.#decision = { cut, digest, ballot, voters: this.#idsOf(quorum), fast: ballot.round === 0 }
    this.#effects.push({ kind: 'decide', decision: this.#decision })
    return true
  }

  #coordinate (now: number): void {
    if (!this.#schedule.isActive) return
    this.#schedule.update(now, this.#fastVotes.canReach(fastQuorum(this.#memberCount), this.#suspects))
    if (!this.#schedule.isDue) return
    this.#takeRank()
    if (this.#schedule.mayStart(now)) this.#startBallot(now)
    this.#proceed()
  }

  /** Those that are thought dead, and those that the leading proposal removes, coordinate after all others. */
  #takeRank (): void {
    const leading = this.#fastVotes.proposals()[0]?.digest ?? this.#candidate
    const removals = (leading === undefined ? undefined : this.#cuts.get(leading)?.removals) ?? NOBODY
    if (this.#rankedFor?.suspects === this.#suspects && this.#rankedFor.removals === removals) return
    this.#rankedFor = { suspects: this.#suspects, removals }
    this.#schedule.rank(new Set([...this.#suspects, ...removals.map(id => memberIndex(this.#configuration, id))]))
  }

  #startBallot (now: number): void {
    const ballot = ballotAbove(this.#highest, this.#self)
    this.#schedule.waitOut(now, ballot.round)
    // While the disk is slow, ballots would only pile up.
    if (this.#outbox.isHolding) return
    this.#highest = ballot
    this.#recovery = new Recovery(ballot, this.#memberCount)
    // The owner's promise is stored before anyone hears of the ballot, so that a restart never owns the same one twice.
    this.#acceptor.promise(ballot)
    this.#dirty = true
    this.#schedule.restartRepeats(now)
    this.#say('all', { kind: 'prepare', ...this.#header, ballot })
  }

  /** Goes from the promises of a quorum to the accepts, once the bytes of the value are here. */
  #proceed (): void {
    const recovery = this.#recovery
    if (recovery === undefined || recovery.value !== undefined || !recovery.hasQuorum) return
    const digest = recovery.choose() ?? this.#freeChoice()
    if (digest === undefined) return
    if (!this.#cuts.has(digest)) {
      this.#want(digest, mergedBits(recovery.holdersOf(digest), this.#fastVotes.votersOf(digest)))
      return
    }
    recovery.settle(digest)
    for (let member = 0; member < this.#memberCount; member++) this.#say(member, this.#acceptFor(member, recovery.ballot, digest))
  }

  /** Where no promiser took part in anything, any proposal will do; best one whose bytes are here. */
  #freeChoice (): CutDigest | undefined {
    const proposals = this.#fastVotes.proposals().map(({ digest }) => digest)
    return proposals.find(digest => this.#cuts.has(digest)) ?? this.#candidate ?? this.#offer ?? proposals[0]
  }

  #acceptFor (member: number, ballot: Ballot, digest: CutDigest): AcceptMessage {
    const hasBytes = member === this.#self || hasBit(this.#fastVotes.votersOf(digest), member)
    return { kind: 'accept', ...this.#header, ballot, digest, ...(hasBytes ? {} : { cut: this.#cuts.get(digest)! }) }
  }

  // Output.

  #say (to: number | 'all', message: ConsensusMessage): void {
    this.#outbox.say(to, message)
  }

  /** Sends what is due, or holds it back until what it may tell of is durable (rule M4). */
  #flush (now: number): void {
    if (this.#dirty) {
      this.#dirty = false
      this.#effects.push({ kind: 'persist', record: this.#acceptor.record(), token: this.#outbox.hold() })
    } else {
      this.#deliver(now, this.#outbox.take())
    }
  }

  #deliver (now: number, outgoing: readonly Outgoing[]): void {
    for (const { to, message } of outgoing) {
      if (to === 'all') this.#effects.push({ kind: 'broadcast', message })
      else if (to !== this.#self) this.#effects.push({ kind: 'send', to: this.#configuration.members[to]!.id, message })
      if (to === 'all' || to === this.#self) this.#receive(now, this.#self, message)
    }
  }

  /** Says again what may have been lost: votes and acceptances, merged, to a few members; requests to who has not answered. */
  #repeat (): void {
    const proposals = this.#fastVotes.proposals().slice(0, PROPOSALS_MAX).map(({ digest, bitmap }) => this.#proposalVotes(digest, bitmap))
    const acceptance = this.#acceptances.ballots()[0]
    for (const member of this.#repeatTargets()) {
      if (proposals.length > 0) this.#say(member, { kind: 'votes', ...this.#header, proposals })
      if (acceptance === undefined) continue
      const { ballot, bitmap, digest } = acceptance
      this.#say(member, { kind: 'accepted', ...this.#header, ballot, digest, bitmap: bitmap.slice() })
    }
    for (const digest of this.#cuts.wanted()) this.#ask(digest)
    const { ballot, value } = this.#recovery ?? {}
    if (ballot === undefined) return
    const accepted = this.#acceptances.of(ballot)?.bitmap ?? createBitmap(this.#memberCount)
    for (let member = 0; member < this.#memberCount; member++) {
      if (member === this.#self) continue
      if (value === undefined && !this.#recovery!.hasPromised(member)) this.#say(member, { kind: 'prepare', ...this.#header, ballot })
      if (value !== undefined && !hasBit(accepted, member)) this.#say(member, this.#acceptFor(member, ballot, value))
    }
  }

  /** Up to REPEAT_FANOUT others: a run of the member list that starts elsewhere for each member and each repetition. */
  #repeatTargets (): number[] {
    const others = this.#memberCount - 1
    const start = hash32(`${this.#configuration.members[this.#self]!.id}/${this.#schedule.repeats}`, 0n)
    return Array.from({ length: Math.min(others, REPEAT_FANOUT) }, (_, i) => (this.#self + 1 + (start + i) % others) % this.#memberCount)
  }

  #setTimer (): void {
    const atMs = this.#schedule.nextAt()
    if (atMs === this.#timerAtMs || atMs === Infinity) return
    this.#timerAtMs = atMs
    this.#effects.push({ kind: 'timer', atMs })
  }

  // Helpers.

  #proposalVotes (digest: CutDigest, bitmap: Bitmap): ProposalVotes {
    const cut = this.#cuts.get(digest)
    const inline = cut !== undefined && cut.joins.length + cut.removals.length + cut.updates.length <= INLINE_CHANGES_MAX
    return { digest, ...(inline ? { cut } : {}), bitmap: bitmap.slice() }
  }

  #bit (member: number): Bitmap {
    const bitmap = createBitmap(this.#memberCount)
    setBit(bitmap, member)
    return bitmap
  }

  #ownBit (): Bitmap {
    return this.#bit(this.#self)
  }

  #idsOf (bitmap: Bitmap): MemberId[] {
    return bitIndexes(bitmap).map(index => this.#configuration.members[index]!.id)
  }

  #checkBitmap (bitmap: Bitmap): void {
    if (!isBitmapOf(bitmap, this.#memberCount)) this.#refuse('a bitmap is not one of its members')
  }

  #checkBallot (ballot: Ballot, owner?: number): void {
    if (ballot.member >= this.#memberCount) this.#refuse('nobody owns its ballot')
    if (owner !== undefined && ballot.member !== owner) this.#refuse('its sender does not own its ballot')
  }

  #refuse (why: string): never {
    throw new MembershipError('MEMBERSHIP_INVALID_MESSAGE', `Not a message of epoch ${this.#configuration.epoch}: ${why}.`)
  }
}

function mergedBits (a: Bitmap, b: Bitmap): Bitmap {
  const merged = a.slice()
  mergeBits(merged, b)
  return merged
}
