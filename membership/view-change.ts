/**
 * View changes: the step from one configuration to the next, as users see it, with the reasons for it.
 *
 * Suresh et al. (USENIX ATC '18), section 3: every process sees the same sequence of them. The reasons are local: two
 * processes agree on the cut, and each may have counted other alerts.
 *
 * Pure.
 */
import type { Ballot } from './ballot.ts'
import type { Configuration, Cut, Member, MemberId } from './configuration.ts'
import type { TallyExplanation } from './cut-detector.ts'

/** Why a configuration is what it is, from the view of this process. Times are those of its own Clock. */
export interface Explanation {
  readonly epoch: number
  /**
   * How this process came to know: it founded the cluster, resumed the one it was alone in, was handed the configuration
   * it joined with, took part in the decision, fetched the decision later, or jumped a gap that the logs of its peers no longer cover.
   */
  readonly learned: 'founded' | 'resumed' | 'joined' | 'decided' | 'fetched' | 'jumped'
  /** Who reported each member that joined, was removed or updated its metadata, as far as this process heard. */
  readonly alerts: readonly TallyExplanation[]
  readonly voters: readonly MemberId[]
  /** Decided by fast votes; false after a recovery, undefined where this process knows no decision. */
  readonly fast: boolean | undefined
  readonly ballot: Ballot | undefined
  readonly firstAlertAtMs: number | undefined
  readonly proposedAtMs: number | undefined
  readonly decidedAtMs: number
}

export interface ViewChange<State> {
  readonly configuration: Configuration
  /** Undefined for the first configuration that this process sees. */
  readonly previous: Configuration | undefined
  /** Undefined for the first, and when a gap was jumped. */
  readonly cut: Cut | undefined
  /** All members, for the first configuration that this process sees. */
  readonly joined: readonly Member[]
  readonly removed: readonly Member[]
  /** Members of both configurations whose metadata is another now (rule M13), as they are in `configuration`. */
  readonly updated: readonly Member[]
  /** The fold's state of `configuration`. */
  readonly state: State
  /** Set when decisions between `previous` and `configuration` were missed and could not be fetched. */
  readonly gap: boolean
  readonly reason: Explanation
}

/** Who is in `after` and not in `before`, the other way round, and in both with other metadata; each sorted by member id. */
export function difference (
  before: Configuration | undefined, after: Configuration
): { joined: Member[], removed: Member[], updated: Member[] } {
  const old = new Map(before?.members.map(member => [member.id, member]))
  const now = new Set(after.members.map(member => member.id))
  return {
    joined: after.members.filter(member => !old.has(member.id)),
    removed: (before?.members ?? []).filter(member => !now.has(member.id)),
    updated: after.members.filter(({ id, metadataVersion }) => (old.get(id)?.metadataVersion ?? metadataVersion) !== metadataVersion)
  }
}

/** Those of the alerts that led to a cut. */
export function alertsFor ({ joins, removals, updates }: Cut, alerts: readonly TallyExplanation[]): TallyExplanation[] {
  const changes = new Set<string>([
    ...joins.map(({ id }) => `join ${id}`), ...removals.map(id => `remove ${id}`), ...updates.map(({ member }) => `update ${member}`)
  ])
  return alerts.filter(({ status, subject }) => changes.has(`${status} ${subject}`))
}

/** An explanation as lines of text, for people. */
export function formatExplanation (explanation: Explanation): string {
  const { epoch, learned, alerts, voters, fast, ballot, firstAlertAtMs, proposedAtMs, decidedAtMs } = explanation
  const lines = [`epoch ${epoch}: ${learned} at ${decidedAtMs.toFixed(1)} ms`]
  if (fast !== undefined && ballot !== undefined) {
    const path = fast ? 'the fast path' : `recovery, ballot ${ballot.round} of member ${ballot.member}`
    lines.push(`  ${voters.length} votes, by ${path}`)
  }
  if (firstAlertAtMs !== undefined) lines.push(`  first alert ${(decidedAtMs - firstAlertAtMs).toFixed(1)} ms before`)
  if (proposedAtMs !== undefined) lines.push(`  proposed ${(decidedAtMs - proposedAtMs).toFixed(1)} ms before`)
  for (const { subject, status, reporters, implicit, high } of alerts) {
    lines.push(`  ${status} ${subject}: ${reporters.length} alerts and ${implicit.length} implicit ones of ${high} needed, from ${reporters.join(', ')}`)
  }
  return lines.join('\n')
}
