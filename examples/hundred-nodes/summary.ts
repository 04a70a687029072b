/**
 * The end of the main job: what was measured, whether everything held that must hold, and where to go from here.
 *
 * Pure.
 */
import type { Cluster } from './cluster.ts'
import type { Change, Formation, Loaded } from './phases.ts'

export interface Summary {
  /** True when everything held that must hold; `problems` says what did not. */
  readonly ok: boolean
  readonly problems: readonly string[]
  /** Nodes that formed the cluster. */
  readonly nodes: number
  readonly formation: Formation
  readonly load: Loaded
  readonly join: Change
  readonly crash: Change
  /** Whether no two nodes ever had different configurations of one epoch. */
  readonly sameConfigurationsEverywhere: boolean
  readonly totalMs: number
}

/** A cut that some nodes hear of late may fall into two; more would mean that changes do not travel together. */
const VIEW_CHANGES_MAX = 2

/**
 * Whether no two nodes, the dead included, ever saw different configurations of one epoch, none went back, and all that live have
 * the same in the end. (A member that was removed and came back skips the epochs in between, in which it was none.)
 */
export function sameConfigurations (cluster: Cluster): boolean {
  const ids = new Map<number, string>()
  for (const { history: { configurations } } of cluster.nodes) {
    for (const [index, { epoch, id }] of configurations.entries()) {
      if (index > 0 && epoch <= configurations[index - 1]!.epoch) return false
      if ((ids.get(epoch) ?? id) !== id) return false
      ids.set(epoch, id)
    }
  }
  return new Set(cluster.live.map(node => node.history.last?.id)).size === 1
}

function problemsOf (name: string, change: Change): string[] {
  const { nodes, viewChanges, distinctSizes, plan, lost, unreadable, violations, unavailablePartitions } = change
  const problems: [boolean, string][] = [
    [viewChanges > VIEW_CHANGES_MAX, `${viewChanges} view changes, of sizes ${distinctSizes.join(' ')}`],
    [nodes > 0 && viewChanges === 0, 'no view change'],
    [plan.rebalances !== viewChanges, `${plan.rebalances} rebalances for ${viewChanges} view changes`],
    [plan.duplicates > 0, `${plan.duplicates} moves done twice`],
    [plan.moves !== plan.done + plan.superseded, `of ${plan.moves} moves ${plan.done} were done and ${plan.superseded} superseded`],
    [lost > 0, `${lost} keys lost`],
    [unreadable > 0, `${unreadable} keys unreadable`],
    [violations > 0, `${violations} wrong reads`],
    [unavailablePartitions > 0, `${unavailablePartitions} partitions unavailable`]
  ]
  return problems.filter(([isProblem]) => isProblem).map(([, text]) => `${name}: ${text}`)
}

export function summarize (measured: Omit<Summary, 'ok' | 'problems'>): Summary {
  const { formation, load, join, crash, sameConfigurationsEverywhere } = measured
  const problems = [
    ...(formation.configurations > 1 ? [`formation: ${formation.configurations} configurations instead of one`] : []),
    ...(load.failed > 0 ? [`load: ${load.failed} keys could not be written`] : []),
    ...(load.verified < load.keys ? [`load: only ${load.verified} of ${load.keys} keys were right`] : []),
    ...problemsOf('join', join),
    ...problemsOf('crash', crash),
    ...(sameConfigurationsEverywhere ? [] : ['nodes disagree about configurations'])
  ]
  return { ok: problems.length === 0, problems, ...measured }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`
const count = (value: number): string => value.toLocaleString('en-US')

/** The summary as a table, for people. */
export function formatSummary (summary: Summary, crashedSize: number): string {
  const { nodes, formation, load, join, crash, sameConfigurationsEverywhere, ok, problems, totalMs } = summary
  const row = (label: string, ...cells: string[]): string => `  ${label.padEnd(34)}${cells.map(cell => cell.padStart(18)).join('')}`
  const both = (label: string, cell: (change: Change) => string): string => row(label, cell(join), cell(crash))
  const rate = (keys: number, ms: number): string => `${count(Math.round(keys / Math.max(ms, 1) * 1000))} keys/s`
  return [
    '',
    row(`${nodes} nodes`, 'formation', 'load'),
    row('time', seconds(formation.ms), `${seconds(load.writeMs)} + ${seconds(load.readMs)}`),
    row('configurations, sizes', `${formation.configurations}, ${formation.distinctSizes.join(' ')}`, ''),
    row('keys written, verified', '', `${count(load.keys)}, ${count(load.verified)}`),
    row('written, read back', '', `${rate(load.keys, load.writeMs)}`, `${rate(load.verified, load.readMs)}`),
    '',
    row('', `${join.nodes} join`, `${crash.nodes} crash`),
    both('all nodes agree after', change => seconds(change.convergedMs)),
    both('view changes, sizes', change => `${change.viewChanges}, ${change.distinctSizes.join(' ') || '-'}`),
    both('balanced after', change => seconds(change.balancedMs)),
    both('moves planned, lower bound', ({ plan }) => `${count(plan.moves)}, ${count(plan.lowerBound)}`),
    both('moves done, superseded, twice', ({ plan }) => `${count(plan.done)}, ${count(plan.superseded)}, ${count(plan.duplicates)}`),
    both('bytes moved', ({ plan }) => count(plan.bytes)),
    both('operations under way: writes, reads', change => `${count(change.writes)}, ${count(change.reads)}`),
    both('failed: definitely, perhaps', change => `${change.failedDefinite}, ${change.failedIndefinite}`),
    both('longest gap: affected, others', change => `${change.longestGapMs} ms, ${change.longestGapElsewhereMs} ms`),
    both('wrong reads', change => count(change.violations)),
    both('keys verified, lost', change => `${count(change.verified)}, ${count(change.lost)}`),
    both('partitions unavailable', change => count(change.unavailablePartitions)),
    '',
    `  ${sameConfigurationsEverywhere ? 'Every node saw the same configurations' : 'NODES SAW DIFFERENT CONFIGURATIONS'}; ${crashedSize} nodes were alive in the end. ${seconds(totalMs)} in all.`,
    ...(ok ? ['  Everything held.'] : ['', '  It did NOT hold:', ...problems.map(problem => `    ${problem}`)]),
    ''
  ].join('\n')
}

export const WHERE_NEXT = `Where to go next
  README.md                 what this is, and a three-node cluster of your own in five minutes
  membership/README.md      who is in the cluster: Rapid, rule by rule
  ring/README.md            where every key lives, and what has to move
  store/README.md           how the data is replicated, moved and never lost
  examples/README.md        smaller programs, one for each use
  npm start -- --help       the same with more nodes, more keys, or a process for each node
`
