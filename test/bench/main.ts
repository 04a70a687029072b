/**
 * Benchmarks: `npm run bench -- NAME [--json]`. Each prints one flat object per row, units in the names of the fields.
 *
 * `membership` takes further options, see membership/bench.ts.
 */
import { spawnSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { getHeapStatistics } from 'node:v8'
import { positiveInteger, runProgram, UsageError } from '../program.ts'
import { limitsBench } from './limits/limits.ts'
import { membershipBench } from './membership/bench.ts'
import { namespaceBench } from './namespaces/scenarios.ts'
import { placementBench } from './placement.ts'
import { formationBench } from './processes/formation.ts'
import { failoverBench } from './store/failover.ts'
import { handoverBench } from './store/handover.ts'
import { kvBench } from './store/kv.ts'
import { largeValuesBench } from './store/large-values.ts'
import { rebalanceBench } from './store/rebalance.ts'

const OPTIONS = {
  json: { type: 'boolean', default: false },
  n: { type: 'string' },
  seeds: { type: 'string' },
  runs: { type: 'string' },
  full: { type: 'boolean', default: false },
  only: { type: 'string' },
  detector: { type: 'string' },
  figures: { type: 'string' }
} as const

const progress = (text: string): void => { process.stderr.write(`${text}\n`) }

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS, allowPositionals: true }>>['values']

const BENCHMARKS: Readonly<Record<string, (values: Values) => Promise<readonly object[]>>> = {
  placement: placementBench,
  limits: limitsBench,
  kv: () => kvBench({ progress }),
  failover: ({ only, runs }) => failoverBench({ only, runs: runs === undefined ? undefined : positiveInteger('runs', runs) }),
  rebalance: ({ n }) => rebalanceBench({ keys: n === undefined ? undefined : positiveInteger('n', n) }),
  handover: ({ n }) => handoverBench(n === undefined ? undefined : positiveInteger('n', n)),
  'large-values': ({ n }) => largeValuesBench(n === undefined ? undefined : positiveInteger('n', n)),
  formation: async ({ n }) => formationBench(n === undefined ? 100 : positiveInteger('n', n)),
  namespaces: async ({ n, only, detector }) => namespaceBench(n === undefined ? 50 : positiveInteger('n', n), only, detector),
  membership: async ({ n, seeds, full, only, figures }) => membershipBench({
    full,
    progress,
    ...n === undefined ? {} : { nodes: positiveInteger('n', n) },
    ...seeds === undefined ? {} : { seeds: positiveInteger('seeds', seeds) },
    ...only === undefined ? {} : { only },
    ...figures === undefined ? {} : { figures }
  })
}

/** Thousands of members in one process need more memory than Node.js allows itself. */
const FULL_HEAP_MIB = 8192

async function main (): Promise<number> {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true })
  const [name] = positionals
  const benchmark = name === undefined ? undefined : BENCHMARKS[name]
  if (name === undefined || benchmark === undefined || positionals.length > 1) {
    process.stderr.write(`usage: npm run bench -- NAME [--json], where NAME is one of ${Object.keys(BENCHMARKS).join(', ')}\n`)
    return 2
  }
  if (name === 'membership' && values.full && getHeapStatistics().heap_size_limit < FULL_HEAP_MIB * 2 ** 20) {
    const { status } = spawnSync(process.execPath, [`--max-old-space-size=${FULL_HEAP_MIB}`, ...process.argv.slice(1)], { stdio: 'inherit' })
    return status ?? 1
  }
  const rows = await benchmark(values)
  if (rows.length === 0) throw new UsageError(`--only: no scenario of ${name} has '${values.only ?? ''}' in its name`)
  const machine = { cpus: cpus().length, memoryBytes: totalmem(), node: process.version }
  if (values.json) process.stdout.write(`${JSON.stringify({ name, machine, rows })}\n`)
  else console.table(rows)
  return 0
}

await runProgram(main)
