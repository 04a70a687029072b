/**
 * What processes say to each other on the membership channel.
 *
 * Rapid (USENIX ATC '18), section 4: joins in two phases, probes, alerts, consensus. Ours besides: probes and alerts carry the
 * sender's epoch, decisions are fetched by whoever is behind (rule M12), members say goodbye (M9), founders hold joiners (M8).
 *
 * Pure. `message-validation.ts` checks what arrives.
 */
import type { ClusterId, Configuration, ConfigurationId, Cut, Member, MemberId, Settings } from './configuration.ts'
import type { Ballot } from './ballot.ts'
import type { ConsensusMessage } from './consensus-messages.ts'
import type { Address } from './environment/environment.ts'
import type { Report } from './reports.ts'

/** Raised when processes of two versions could not understand each other. A joiner of another version is refused. */
export const PROTOCOL_VERSION = 3

/** Which configuration the sender of a message lives in. A process that is no member of any has epoch 0 and empty ids. */
export interface Position {
  readonly clusterId: ClusterId
  readonly epoch: number
  readonly configurationId: ConfigurationId
}

/** Who sent a message, and how to reach it without the connection the message came by. */
export interface Sender {
  readonly id: MemberId
  readonly address: Address
}

interface FromMember {
  readonly sender: Sender
  readonly position: Position
}

/** Are you there, and are you `to`? */
export interface Probe extends FromMember {
  readonly kind: 'probe'
  readonly to: MemberId
  readonly sequence: number
}

export interface ProbeReply extends FromMember {
  readonly kind: 'probe-reply'
  /** Who answers, which need not be who was asked. */
  readonly member: Member
  readonly clusterName: string
  /** Who was asked, and by which probe. */
  readonly to: MemberId
  readonly sequence: number
}

/** Phase 1 of a join, to any process. From a founder it asks instead whether the cluster exists already. */
export interface JoinAsk {
  readonly kind: 'join-ask'
  readonly protocol: number
  readonly clusterName: string
  /** Of the cluster to return to, or that the founder is about to found; else empty. */
  readonly clusterId: ClusterId
  readonly settings: Settings
  readonly member: Member
  readonly founding: boolean
}

/** The answer of a member: ask these, who will observe you. */
export interface JoinObservers {
  readonly kind: 'join-observers'
  readonly position: Position
  readonly observers: readonly Address[]
}

/** Phase 2 of a join, to each of the observers. */
export interface JoinRequest {
  readonly kind: 'join-request'
  readonly ask: JoinAsk
  readonly position: Position
}

/** The founder's answer while the formation gate is closed. `expected` is 0 when any number will do. */
export interface JoinHeld {
  readonly kind: 'join-held'
  readonly clusterId: ClusterId
  readonly held: number
  readonly expected: number
}

/** The answer of a process that is not a member itself: try these. */
export interface JoinRedirect {
  readonly kind: 'join-redirect'
  readonly addresses: readonly Address[]
}

export interface JoinRefused {
  readonly kind: 'join-refused'
  readonly reason: string
  /** False when asking again cannot help. */
  readonly retry: boolean
  /**
   * The joiner's id or incarnation is one that the cluster has seen before: a process that may have been admitted under them,
   * and removed again before it knew, tries again under the next ones (rule R3).
   */
  readonly spent: boolean
}

/**
 * The decision that admits a joiner is taken. Somebody else sends it the configuration, or, where `offer` is set, the sender has it and
 * may be asked for it.
 */
export interface Admitted {
  readonly kind: 'admitted'
  readonly position: Position
  readonly member: MemberId
  readonly offer: boolean
}

/** A whole configuration, to a joiner or to a member that is further behind than the log of decisions reaches. */
export interface Snapshot {
  readonly kind: 'snapshot'
  /** A configuration as UTF-8 JSON: encoded once, however many receive it. */
  readonly configuration: Uint8Array
  /** The encoded state of the fold, or empty. */
  readonly state: Uint8Array
}

/** Asks for the decisions after the sender's position. */
export interface FetchDecisions extends FromMember {
  readonly kind: 'fetch-decisions'
  /** Set once nobody's log reaches back far enough: a whole configuration will do. */
  readonly gap: boolean
}

/** One link of the chain: what `previousId` decided. */
export interface DecisionRecord {
  readonly previousId: ConfigurationId
  /** Of the configuration that follows. */
  readonly epoch: number
  readonly id: ConfigurationId
  readonly cut: Cut
  readonly ballot: Ballot
  readonly voters: readonly MemberId[]
}

/** The answer to a fetch: consecutive, oldest first; empty when there is nothing newer or the log does not reach. */
export interface Decisions extends FromMember {
  readonly kind: 'decisions'
  readonly decisions: readonly DecisionRecord[]
}

export interface Alerts extends FromMember {
  readonly kind: 'alerts'
  readonly reports: readonly Report[]
}

/** A member asks its observers to report it, since it wants to leave. */
export interface Leave extends FromMember {
  readonly kind: 'leave'
}

export interface ConsensusEnvelope extends FromMember {
  readonly kind: 'consensus'
  readonly message: ConsensusMessage
}

/**
 * A process that came back from its disk, to all that may belong to its cluster (rule M4). Its position is the last
 * configuration that it has durably; who is in a later one answers with that, as a snapshot.
 */
export interface Returned extends FromMember {
  readonly kind: 'returned'
  /** What it wants to be from now on: the store of one member of that configuration, started later. */
  readonly member: Member
  /** Others that came back, as far as it knows them. */
  readonly others: readonly Member[]
  /** Said in reply to another process that came back. */
  readonly answer: boolean
}

/** The reply of a member that is alive in the same configuration. */
export interface Present extends FromMember {
  readonly kind: 'present'
  /** Processes that came back and told it so. */
  readonly others: readonly Member[]
}

/** What a JoinAsk or a JoinRequest is answered with. */
export type JoinAnswer = JoinObservers | JoinHeld | JoinRedirect | JoinRefused | Admitted | Snapshot

export type MembershipMessage =
  | Probe | ProbeReply | JoinAsk | JoinRequest | JoinAnswer | FetchDecisions | Decisions | Alerts | Leave | ConsensusEnvelope
  | Returned | Present

export const NOWHERE: Position = Object.freeze({ clusterId: '' as ClusterId, epoch: 0, configurationId: '' as ConfigurationId })

export function positionOf (configuration: Configuration): Position {
  return { clusterId: configuration.clusterId, epoch: configuration.epoch, configurationId: configuration.id }
}
