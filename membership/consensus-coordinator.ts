/**
 * The coordinator's side of consensus: when it is this member's turn to run a classic ballot, and what it asks the others to accept.
 *
 * Rules M1 and M2, where Rapid (ATC '18), section 4.3, leaves recovery open: ballots start as soon as the fast round cannot succeed,
 * repeat, and change coordinators by rank until one decides.
 *
 * Pure: time is an argument.
 */
import { ballotAbove, compareBallots, type Ballot } from './ballot.ts'
import { createBitmap, hasBit, mergeBits, type Bitmap } from './bitmap.ts'
import type { CutDigest, MemberId } from './configuration.ts'
import type { AcceptMessage, PromiseMessage, RejectMessage } from './consensus-messages.ts'
import { Recovery } from './consensus-recovery.ts'
import type { ConsensusState } from './consensus-state.ts'

const NOBODY: readonly MemberId[] = Object.freeze([])

export class Coordinator {
  readonly #state: ConsensusState
  /** What this member proposed, whether or not it could vote for it. */
  #candidate: CutDigest | undefined
  /** What this member would choose where nobody, itself included, proposed anything; for a former self, where nothing can have been chosen. */
  #offer: CutDigest | undefined
  /** The ballot this member coordinates. */
  #recovery: Recovery | undefined
  /** What the rank was computed from. */
  #rankedFor: { readonly suspects: ReadonlySet<number>, readonly removals: readonly MemberId[] } | undefined

  constructor (state: ConsensusState) {
    this.#state = state
  }

  /** False when this member has proposed something before. */
  propose (digest: CutDigest): boolean {
    if (this.#candidate !== undefined) return false
    this.#candidate = digest
    return true
  }

  get hasProposed (): boolean {
    return this.#candidate !== undefined
  }

  offer (digest: CutDigest): void {
    this.#offer = digest
  }

  /** The acceptor moved to `ballot`: whatever this member coordinates below it is over. */
  yieldTo (ballot: Ballot): void {
    if (this.#recovery !== undefined && !this.#isCurrent(ballot)) this.#recovery = undefined
  }

  promised (from: number, message: PromiseMessage): void {
    if (this.#isCurrent(message.ballot)) this.#recovery!.addPromise(from, message)
  }

  rejected (now: number, { ballot, promised }: RejectMessage): void {
    if (!this.#isCurrent(ballot) || compareBallots(promised, ballot) <= 0) return
    this.#recovery = undefined
    this.#state.schedule.waitOut(now, promised.round)
  }

  /** Starts a ballot when it is time, and goes on with the one that is under way. */
  advance (now: number): void {
    const { electorate, fastVotes, isFormer, schedule, suspects } = this.#state
    if (!schedule.isActive) return
    schedule.update(now, isFormer || fastVotes.canReach(electorate.fastQuorum, suspects))
    if (!schedule.isDue) return
    this.#takeRank()
    if (schedule.mayStart(now)) this.#startBallot(now)
    this.#proceed()
  }

  /** Asks again those who have not answered. */
  repeat (): void {
    const { acceptances, electorate, header, self } = this.#state
    const { ballot, value } = this.#recovery ?? {}
    if (ballot === undefined) return
    const accepted = acceptances.of(ballot)?.bitmap ?? createBitmap(electorate.size)
    for (let voter = 0; voter < electorate.size; voter++) {
      if (voter === self) continue
      if (value === undefined && !this.#recovery!.hasPromised(voter)) this.#state.say(voter, { kind: 'prepare', ...header, ballot })
      if (value !== undefined && !hasBit(accepted, voter)) this.#state.say(voter, this.#acceptFor(voter, ballot, value))
    }
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    if (this.#recovery !== undefined && compareBallots(this.#recovery.ballot, this.#state.acceptor.promised) !== 0) {
      throw new Error('Consensus: a ballot is coordinated that is not the one promised.')
    }
  }

  #isCurrent (ballot: Ballot): boolean {
    return this.#recovery !== undefined && compareBallots(this.#recovery.ballot, ballot) === 0
  }

  /** Those that are thought dead, and those that the leading proposal removes, coordinate after all others. */
  #takeRank (): void {
    const { cuts, electorate, fastVotes, schedule, suspects } = this.#state
    const leading = fastVotes.proposals()[0]?.digest ?? this.#candidate
    const removals = (leading === undefined ? undefined : cuts.get(leading)?.removals) ?? NOBODY
    if (this.#rankedFor?.suspects === suspects && this.#rankedFor.removals === removals) return
    this.#rankedFor = { suspects, removals }
    schedule.rank(new Set([...suspects, ...removals.map(id => electorate.indexOf(id))]))
  }

  #startBallot (now: number): void {
    const { acceptor, electorate, header, highest, outbox, schedule, self } = this.#state
    const ballot = ballotAbove(highest, self)
    schedule.waitOut(now, ballot.round)
    // While the disk is slow, ballots would only pile up.
    if (outbox.isHolding) return
    this.#state.hear(now, ballot)
    this.#recovery = new Recovery(ballot, electorate.size)
    // The owner's promise is stored before anyone hears of the ballot, so that a restart never owns the same one twice.
    acceptor.promise(ballot)
    this.#state.isUnsaved = true
    schedule.restartRepeats(now)
    this.#state.say('all', { kind: 'prepare', ...header, ballot })
  }

  /**
   * Goes from the promises of a quorum to the accepts, once the bytes of the value are here. Where any value is safe, the most voted one is the
   * best guess among members that live. To a former self votes are history: a voter that was cut off before the loss of power may have voted,
   * alone, for a cut whose voters never come back, which would be final. It takes what it offers, knowing who is there.
   */
  #proceed (): void {
    const recovery = this.#recovery
    const { cuts, electorate, fastVotes } = this.#state
    if (recovery === undefined || recovery.value !== undefined || !recovery.hasQuorum) return
    const digest = recovery.possiblyChosen() ?? (this.#state.isFormer ? this.#offer : recovery.mostVoted() ?? this.#freeChoice())
    if (digest === undefined) return
    if (!cuts.has(digest)) {
      this.#state.want(digest, mergedBits(recovery.holdersOf(digest), fastVotes.votersOf(digest)))
      return
    }
    recovery.settle(digest)
    for (let voter = 0; voter < electorate.size; voter++) this.#state.say(voter, this.#acceptFor(voter, recovery.ballot, digest))
  }

  /** Where no promiser took part in anything, any proposal will do; best one whose bytes are here. */
  #freeChoice (): CutDigest | undefined {
    const proposals = this.#state.fastVotes.proposals().map(({ digest }) => digest)
    return proposals.find(digest => this.#state.cuts.has(digest)) ?? this.#candidate ?? this.#offer ?? proposals[0]
  }

  #acceptFor (voter: number, ballot: Ballot, digest: CutDigest): AcceptMessage {
    const { cuts, fastVotes, header, self } = this.#state
    const hasBytes = voter === self || hasBit(fastVotes.votersOf(digest), voter)
    return { kind: 'accept', ...header, ballot, digest, ...(hasBytes ? {} : { cut: cuts.get(digest)! }) }
  }
}

function mergedBits (a: Bitmap, b: Bitmap): Bitmap {
  const merged = a.slice()
  mergeBits(merged, b)
  return merged
}
