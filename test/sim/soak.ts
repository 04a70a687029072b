/**
 * Runs many seeds of the store's scenario, on all cores, and prints what happened: `npm run soak -- --seeds 1000`.
 *
 *     --seeds N       how many seeds (100)
 *     --first S       the first one (1)
 *     --seed S        one seed alone, with the whole story when it fails
 *     --duration MS   virtual time under faults, per seed (20000)
 *     --workers W     processes (one per core)
 *     --durability D  sync, or os: acknowledges before it syncs, and loses power (sync)
 *     --json          the result as one JSON line
 */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createSystemClock } from '../../membership/environment/system.ts'
import type { Durability } from '../../store/group/synced-log.ts'
import { positiveInteger, runProgram, UsageError } from '../program.ts'
import { runStoreScenario, type ScenarioResult } from './store-scenario.ts'

const SUMMED = ['operations', 'failedDefinite', 'failedIndefinite', 'generations', 'leasedReads', 'localReads', 'longMessages', 'watched', 'expired', 'viewChanges', 'virtualMs', 'events'] as const

/** `durability` is 'sync' where it is not given, as by the mutants. */
interface Order { readonly seed: number, readonly durationMs: number, readonly durability?: Durability | undefined }

type Report = { seed: number, result: ScenarioResult } | { seed: number, error: string }

async function runOne ({ seed, durationMs, durability }: Order): Promise<Report> {
  try {
    return { seed, result: await runStoreScenario(seed, durationMs, durability) }
  } catch (error) {
    return { seed, error: (error as Error).stack ?? String(error) }
  }
}

/** A worker: takes seeds from its parent, one at a time. */
function work (): void {
  process.on('message', (order: Order) => {
    void runOne(order).then(report => process.send!(report))
  })
  process.on('disconnect', () => process.exit())
}

async function runAll (seeds: readonly number[], rest: Omit<Order, 'seed'>, workers: number, onReport: (report: Report) => void): Promise<void> {
  const queue = [...seeds]
  await Promise.all(Array.from({ length: Math.min(workers, seeds.length) }, () => new Promise<void>((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), ['--worker'])
    let current: number | undefined
    const next = (): void => {
      current = queue.shift()
      if (current === undefined) child.disconnect()
      else child.send({ seed: current, ...rest } satisfies Order)
    }
    child.on('message', (report: Report) => { onReport(report); next() })
    child.on('exit', code => {
      if (current === undefined) resolve()
      else reject(new Error(`the worker of seed ${current} ended with code ${code}`))
    })
    next()
  })))
}

async function main (): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '100' },
      first: { type: 'string', default: '1' },
      seed: { type: 'string' },
      duration: { type: 'string', default: '20000' },
      workers: { type: 'string', default: String(availableParallelism()) },
      durability: { type: 'string', default: 'sync' },
      json: { type: 'boolean', default: false }
    }
  })
  const { durability } = values
  if (durability !== 'sync' && durability !== 'os') throw new UsageError(`--durability must be sync or os, not '${durability}'`)
  const one = values.seed === undefined ? undefined : positiveInteger('seed', values.seed)
  const first = positiveInteger('first', values.first)
  const seeds = one === undefined ? Array.from({ length: positiveInteger('seeds', values.seeds) }, (_, index) => first + index) : [one]
  const durationMs = positiveInteger('duration', values.duration)
  const workers = positiveInteger('workers', values.workers)
  const clock = createSystemClock()
  const started = clock.now()
  const sums = {
    operations: 0, failedDefinite: 0, failedIndefinite: 0, generations: 0, leasedReads: 0, localReads: 0, longMessages: 0, watched: 0, expired: 0,
    viewChanges: 0, virtualMs: 0, events: 0
  }
  const totals = { seeds: 0, failed: 0, ...sums }
  const faults: Record<string, number> = {}
  const moves: Record<string, number> = {}
  await runAll(seeds, { durationMs, durability }, workers, report => {
    totals.seeds++
    if ('error' in report) {
      totals.failed++
      process.stderr.write(`seed ${report.seed} FAILED: ${one === undefined ? report.error.slice(0, 2000) : report.error}\n`)
      return
    }
    const { result } = report
    for (const name of SUMMED) totals[name] += result[name]
    for (const [name, count] of Object.entries(result.faults)) faults[name] = (faults[name] ?? 0) + count
    for (const [name, count] of Object.entries(result.moves)) moves[name] = (moves[name] ?? 0) + count
    if (!values.json && totals.seeds % 10 === 0) process.stdout.write(`${totals.seeds} of ${seeds.length} seeds, ${totals.failed} failed\n`)
  })
  const summary = { ...totals, faults, moves, wallMs: Math.round(clock.now() - started) }
  if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`)
  else process.stdout.write(`${JSON.stringify(summary, null, 2)}\n${totals.seeds - totals.failed} passed, ${totals.failed} failed\n`)
  return totals.failed === 0 ? 0 : 1
}

if (process.argv.includes('--worker')) work()
else await runProgram(main)
