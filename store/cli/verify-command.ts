/**
 * `coterie verify`: proves on this machine that a cluster of real processes keeps its promises, while nodes are killed and stopped.
 *
 * Owns nothing; the verification ends what it started.
 */
import { verify } from '../verify/verify.ts'
import { type Command, EXIT, UsageError } from './command.ts'

const MINUTE_MS = 60_000
const NODES_MIN = 3
const NODES_MAX = 100
const MINUTES_MAX = 24 * 60

export const verifyCommand: Command = {
  name: 'verify',
  usage: '',
  summary: 'run a cluster of processes here under a random workload, and check every answer',
  positionals: [0, 0],
  options: {
    nodes: { type: 'string', value: 'n', help: 'processes, from 3 to 100 (default 5)' },
    minutes: { type: 'string', value: 'n', help: 'how long; fractions are allowed (default 1)' },
    churn: { type: 'boolean', help: 'kill, stop, add, take out and lose nodes meanwhile' },
    seed: { type: 'string', value: 'n', help: 'what workload and churn draw from (default 1)' },
    history: { type: 'string', value: 'file', help: 'write every operation there as one JSON line, for other checkers' },
    json: { type: 'boolean', help: 'end with the report as one JSON object' }
  },
  run: async (given, terminal) => {
    const nodes = given.integer('nodes') ?? 5
    const minutes = Number(given.text('minutes') ?? 1)
    const history = given.text('history')
    if (nodes < NODES_MIN || nodes > NODES_MAX) throw new UsageError(`--nodes must be from ${NODES_MIN} to ${NODES_MAX}`)
    if (!(minutes > 0 && minutes <= MINUTES_MAX)) throw new UsageError(`--minutes must be above 0 and at most ${MINUTES_MAX}`)
    const report = await verify({
      nodes,
      durationMs: minutes * MINUTE_MS,
      churn: given.flag('churn'),
      seed: given.integer('seed') ?? 1,
      signal: terminal.interruption(),
      progress: line => { terminal.error(line) },
      ...history === undefined ? {} : { historyFile: history }
    })
    if (given.flag('json')) {
      terminal.out(JSON.stringify(report))
    } else {
      const { succeeded, failedDefinite, failedIndefinite, conditionsHeld, conditionsFailed, scans } = report
      const { epochs, moves, duplicates, longestGapMs, events, copies, values } = report
      terminal.out(`${succeeded} operations succeeded; ${failedDefinite} failed without effect, ${failedIndefinite} with an unknown outcome`)
      terminal.out(`of these, ${conditionsHeld} on conditions that held, ${conditionsFailed} on others, and ${scans} scans; ${copies} copies with ${values} values were compared`)
      terminal.out(`${epochs} configurations, ${moves} moves, ${duplicates} of them twice; the longest time without a success was ${longestGapMs} ms`)
      terminal.out(`events: ${Object.entries(events).map(([event, count]) => `${event} ${count}`).join(', ')}`)
      for (const problem of report.problems) terminal.out(`PROBLEM: ${problem}`)
      terminal.out(report.ok ? 'Everything held.' : 'NOT everything held.')
    }
    return report.ok ? EXIT.ok : EXIT.failed
  }
}
