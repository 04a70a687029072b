/**
 * Counters: how often what happened at one process, over all the member ids that it has had.
 *
 * The cores count as they send: they add to these numbers and never read them, so that none of what they do depends on them. A count is
 * an increment, on whatever path.
 *
 * Pure.
 */
import type { MembershipMessage } from './messages.ts'

/** How a configuration came to be known here; see `Counters.viewChanges`. */
export const WAYS = Object.freeze(['founded', 'resumed', 'joined', 'fast', 'recovery', 'fetched', 'jumped'] as const)

/** Why a process that asked to join was refused; see `Counters.joinsRefused`. */
export const REFUSALS = Object.freeze(['protocol', 'cluster', 'settings', 'incarnation', 'fold', 'unreachable', 'full'] as const)
export type Refusal = typeof REFUSALS[number]

const KINDS = Object.freeze([
  'probe', 'probe-reply', 'join-ask', 'join-request', 'join-observers', 'join-held', 'join-redirect', 'join-refused', 'admitted', 'snapshot',
  'fetch-decisions', 'decisions', 'alerts', 'leave', 'consensus', 'returned', 'present'
] as const satisfies readonly MembershipMessage['kind'][])

const STATUSES = Object.freeze(['join', 'remove', 'update'] as const)
const LINK_EVENTS = Object.freeze(['opened', 'closed', 'refused', 'unreachable'] as const)

function zeros<Key extends string> (keys: readonly Key[]): Record<Key, number> {
  return Object.fromEntries(keys.map(key => [key, 0])) as Record<Key, number>
}

/** All of them begin at 0 and never fall. */
export class Counters {
  /**
   * Configurations that took effect here, by how this process came to know: it founded the cluster; it resumed the configuration that its
   * disk or the others had; it was handed the one it joined with; it took part in the decision, by fast votes or by recovery; it was told of
   * the decision, as agents always are; it jumped a gap that the logs of its peers no longer cover.
   */
  readonly viewChanges = zeros(WAYS)
  /** Members that joined in these view changes. Those that were there when this process joined are not counted. */
  membersJoined = 0
  /** Members that were removed, left included. */
  membersRemoved = 0
  /** Members that stayed with other metadata. */
  membersUpdated = 0

  /** Alerts that this process made, by what they report, each once however often it is sent. */
  readonly alertsMade = zeros(STATUSES)
  /** Alerts that came to be known here, its own included, each once however often it arrives. */
  readonly alertsHeard = zeros(STATUSES)
  /** Reports that arrived and said nothing new, or nothing that counts in this configuration. */
  reportsRedundant = 0
  /** Of the removals that this process reported, those it echoed because they were unstable for long (section 4.2, "reinforcement"). */
  alertsReinforced = 0
  /** Alerts that nobody made and that counted in a cut: those of observers that were removed themselves (section 4.2). */
  alertsImplicit = 0
  /** Removals that were unstable for so long that they count as stable (rule M7). */
  removalsPromoted = 0
  /** Removals that too few reported for too long, and that were forgotten (rule M7): one link that is broken, not one process. */
  removalsLapsed = 0
  /** Joins whose alerts were voided, to be made anew (rule M6): one that nobody, or not everybody, reaches. */
  joinsVoided = 0

  /** Cuts that this process proposed. */
  proposals = 0
  /** Fast votes that it cast. */
  votesCast = 0
  /** Fast votes that it counted before the decision, its own included, each once however often it arrives. */
  votesHeard = 0
  /** Classic ballots that it began as their coordinator: the fast round could not succeed, or took too long (rule M2). */
  ballotsBegun = 0
  /** Decisions that were made in one of these. */
  ballotsWon = 0

  /** Requests to join that reached this process as a member; a joiner asks several members, and more than once. */
  joinRequests = 0
  /**
   * Answers that refused a joiner: it speaks another protocol; it wants another cluster; a fixed setting differs; its store runs already with
   * that incarnation or a higher one, or came back with another; the fold objects; nobody answers at its address; as many as there is room
   * for are joining.
   */
  readonly joinsRefused = zeros(REFUSALS)

  /** Times that the cluster removed this process, which had not asked for that. */
  removals = 0
  /** Times that this process began to join again. */
  rejoins = 0
  /** Times that a majority got out of reach. */
  isolations = 0

  /** Probes that the detectors of this process's edges sent. */
  probesSent = 0
  /** Those that were answered before the next one to the same subject was sent. */
  probesAnswered = 0
  /** Those that were not. Of the rest the answer is under way, or the edge is no more. */
  probesMissed = 0
  /** Verdicts of detectors: edges that were found faulty. */
  edgesFailed = 0

  /** Times that this process heard of a later epoch than its own and asked for the decisions (rule M12). */
  catchUps = 0
  /** Alerts, votes and requests to leave that were of another configuration, and not taken in. */
  messagesStale = 0
  /** Messages of membership, by kind, one for each peer that they were sent to. */
  readonly messagesSent = zeros(KINDS)
  /** Messages of membership that arrived, by kind. */
  readonly messagesReceived = zeros(KINDS)
  /** Messages that are none, or that nobody in this configuration can have sent. */
  messagesRefused = 0
  /** Events of connections, of whichever channel: one opened, one closed; an attempt that was refused, and one that nobody answered. */
  readonly links = zeros(LINK_EVENTS)

  /** Records that became durable (rule M4). */
  recordsWritten = 0
  /** Milliseconds that this process lost since its timers ran late, most likely for a blocked event loop. They count in no timeout (M10). */
  lateMs = 0
}
