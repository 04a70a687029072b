/**
 * What a verification has found: its problems, and in numbers what was done to find some.
 *
 * Pure.
 */
import type { NodeStatus } from '../node-status.ts'
import type { ChurnEvent } from './churn.ts'
import type { HistoryOperation } from './history.ts'
import type { ReplicaComparison } from './replica-comparison.ts'
import type { WorkloadResult } from './workload.ts'

export interface VerifyReport {
  readonly ok: boolean
  /** What did not hold, in words. */
  readonly problems: readonly string[]
  readonly seed: number
  readonly events: Readonly<Record<ChurnEvent, number>>
  readonly rounds: number
  readonly operations: number
  readonly succeeded: number
  /** Puts that were acknowledged and gave their value a time to live. */
  readonly expiring: number
  /** Calls with conditions: those whose conditions held, and those whose did not. */
  readonly conditionsHeld: number
  readonly conditionsFailed: number
  /** Scans that went to their end. */
  readonly scans: number
  readonly failedDefinite: number
  readonly failedIndefinite: number
  readonly errors: Readonly<Record<string, number>>
  /** The longest time in which no operation of any worker succeeded, in milliseconds. */
  readonly longestGapMs: number
  readonly epochs: number
  readonly moves: number
  readonly duplicates: number
  /** Copies, and values in them, that were on the disks in the end, and were compared. */
  readonly copies: number
  readonly values: number
}

/** What it was made from. */
export interface Findings {
  readonly seed: number
  readonly events: VerifyReport['events']
  readonly rounds: readonly WorkloadResult[]
  /** Of all nodes, at rest in the end. */
  readonly statuses: readonly NodeStatus[]
  readonly disks: ReplicaComparison
  /** What did not hold so far. */
  readonly problems: readonly string[]
}

const isExpiring = ({ expiresAfter, end }: HistoryOperation): boolean => expiresAfter !== undefined && end !== undefined
const hasHeld = ({ expected, end }: HistoryOperation): boolean => expected !== undefined && end !== undefined
/** What the condition met is the one thing that such a call read. */
const hasFailed = ({ kind, call, end }: HistoryOperation): boolean => kind === 'get' && call?.action.endsWith('If') === true && end !== undefined
const isScan = ({ call, end }: HistoryOperation): boolean => call?.action.startsWith('scan') === true && end !== undefined

/** Calls of which an operation is as it is asked for. */
const calls = (history: readonly HistoryOperation[], matching: (operation: HistoryOperation) => boolean): number =>
  new Set(history.filter(matching).map(({ call }) => call?.number)).size

export function reportOf ({ seed, events, rounds, statuses, disks, problems }: Findings): VerifyReport {
  const count = (of: (round: WorkloadResult) => number): number => rounds.reduce((total, round) => total + of(round), 0)
  const errors: Record<string, number> = {}
  for (const round of rounds) for (const [code, times] of Object.entries(round.errors)) errors[code] = (errors[code] ?? 0) + times
  const succeeded = count(round => round.succeeded)
  const failedDefinite = count(round => round.failedDefinite)
  const failedIndefinite = count(round => round.failedIndefinite)
  const pages = statuses.flatMap(({ rebalances }) => rebalances)
  const duplicates = pages.reduce((sum, page) => sum + page.duplicates, 0)
  const all = [
    ...problems,
    ...duplicates > 0 ? [`${duplicates} transfers were carried out twice`] : [],
    ...new Set(statuses.map(({ placementDigest }) => placementDigest)).size > 1 ? ['the nodes have different placements'] : [],
    ...disks.problems.map(problem => `disks: ${problem}`),
    ...succeeded === 0 ? ['no operation succeeded'] : []
  ]
  return {
    ok: all.length === 0,
    problems: all,
    seed,
    events,
    rounds: rounds.length,
    operations: succeeded + failedDefinite + failedIndefinite,
    succeeded,
    expiring: count(({ history }) => history.filter(isExpiring).length),
    conditionsHeld: count(({ history }) => calls(history, hasHeld)),
    conditionsFailed: count(({ history }) => calls(history, hasFailed)),
    scans: count(({ history }) => calls(history, isScan)),
    failedDefinite,
    failedIndefinite,
    errors,
    longestGapMs: Math.round(Math.max(0, ...rounds.map(({ longestGapMs }) => longestGapMs))),
    epochs: statuses[0]!.epoch,
    moves: pages.reduce((total, page) => total + page.done, 0),
    duplicates,
    copies: disks.copies,
    values: disks.values
  }
}
