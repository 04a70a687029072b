/**
 * What members say to each other to agree on the next cut, and the record each keeps of what it must not forget.
 *
 * Rapid, ATC '18, section 4.3: fast votes travel as one bitmap per proposal. The classic ballots of recovery are those of Paxos
 * (Lamport, "Paxos Made Simple"), with the values named by digest so that the bytes of a cut travel only to who lacks them (M3).
 *
 * Pure: types, and validation of what arrived from elsewhere.
 */
import type { Ballot } from './ballot.ts'
import type { Bitmap } from './bitmap.ts'
import type { ConfigurationId, Cut, CutDigest } from './configuration.ts'

interface Header {
  readonly configurationId: ConfigurationId
  /** Of that configuration. Tells a receiver which of the two is behind. */
  readonly epoch: number
}

export interface ProposalVotes {
  readonly digest: CutDigest
  /** Left out where it is long: who lacks it asks. */
  readonly cut?: Cut
  /** Who is known to have voted for it; never empty. */
  readonly bitmap: Bitmap
}

/** Fast votes, the sender's own and those it heard of. */
export interface VotesMessage extends Header { readonly kind: 'votes', readonly proposals: readonly ProposalVotes[] }

/** Phase 1a: the owner of `ballot` asks for promises. */
export interface PrepareMessage extends Header { readonly kind: 'prepare', readonly ballot: Ballot }

/** Phase 1b: the sender takes part in nothing below `ballot` any more, and says what it took part in before. */
export interface PromiseMessage extends Header {
  readonly kind: 'promise'
  readonly ballot: Ballot
  /** The fast vote it cast. */
  readonly vote: CutDigest | null
  /** The highest classic ballot it accepted in. */
  readonly accepted: { readonly ballot: Ballot, readonly digest: CutDigest } | null
}

/** Phase 2a: the owner of `ballot` asks to accept its one value. */
export interface AcceptMessage extends Header {
  readonly kind: 'accept'
  readonly ballot: Ballot
  readonly digest: CutDigest
  /** Left out where the receiver is known to have it. */
  readonly cut?: Cut
}

/** Phase 2b: who is known to have accepted the value of `ballot`; never empty. */
export interface AcceptedMessage extends Header {
  readonly kind: 'accepted'
  readonly ballot: Ballot
  readonly digest: CutDigest
  readonly bitmap: Bitmap
}

/** The answer to a prepare or accept that came too late: the sender has promised a higher ballot. */
export interface RejectMessage extends Header {
  readonly kind: 'reject'
  /** What was refused. */
  readonly ballot: Ballot
  /** What the sender has promised. */
  readonly promised: Ballot
}

/** Asks for the bytes of a cut. */
export interface FetchMessage extends Header { readonly kind: 'fetch', readonly digest: CutDigest }

/** The answer to a fetch. */
export interface ValueMessage extends Header { readonly kind: 'value', readonly digest: CutDigest, readonly cut: Cut }

export type ConsensusMessage =
  | VotesMessage
  | PrepareMessage
  | PromiseMessage
  | AcceptMessage
  | AcceptedMessage
  | RejectMessage
  | FetchMessage
  | ValueMessage

/** What an acceptor must remember across a restart (rule M4). Plain data: serialize it as it is. */
export interface ConsensusRecord {
  readonly configurationId: ConfigurationId
  readonly epoch: number
  /** No ballot below this one is taken part in any more. Invariant: promised >= accepted.ballot. */
  readonly promised: Ballot
  /** The one fast vote. */
  readonly vote: Cut | null
  readonly accepted: { readonly ballot: Ballot, readonly cut: Cut } | null
}
