/**
 * `npm run bench -- membership`: the paper's evaluation in virtual time, beside the paper's values.
 *
 *     --n N          processes of the fault and formation scenarios (1000)
 *     --seeds S      runs of each scenario, with seeds 1 to S (2); COTERIE_SEED=N in the environment runs that one alone
 *     --only TEXT    scenarios whose name contains this: formation, joins, crash, powerLoss, flipFlop, egressLoss, ingressLoss,
 *                    conflict, broadcast, centralized, small
 *     --full         larger clusters too, and all processes of Figure 11: see the sizes below; takes up to 8 GiB, and writes the figures
 *     --figures DIR  writes one SVG per figure into this directory (dist/figures with --full)
 *
 * Owns: the directory of the figures. Progress, and each row as it comes, goes to the error output.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { seedsToRun } from '../../sim/simulation.ts'
import { type BroadcastCost, broadcastCost } from './broadcasts.ts'
import { ENSEMBLE, modeCost } from './centralized.ts'
import { conflictRates } from './conflicts.ts'
import { type FaultName, type FaultOutcome, inflict } from './faults.ts'
import { broadcastPanels, conflictPanels, faultPanel, formationPanel, latencyPanel } from './figures.ts'
import { form, type Formation } from './formation.ts'
import { join as joinAtOnce } from './joins.ts'
import { conflictRateInPaper, distinctSizesInPaper, FAULTS_IN_PAPER, FORMATION_TIME, TABLE_2 } from './paper.ts'
import { mean, quantile, rounded } from '../samples.ts'
import { orderedRow, type Row, summary } from './rows.ts'
import { detectionMs, removalsInAnHour, SMALL_NODES } from './small.ts'
import { chart, type Panel } from './svg.ts'
import type { Direction } from './traffic.ts'

export interface MembershipBenchOptions {
  readonly nodes?: number
  readonly seeds?: number
  readonly full?: boolean
  readonly only?: string
  readonly figures?: string
  /** Is told what runs, and each row as it comes. @default nobody */
  readonly progress?: (text: string) => void
}

const NODES = 1000
const SEEDS = 2
/** Without the gate a wave of joiners costs each member time that grows with N: larger clusters form once. */
const UNGATED_ONCE_ABOVE = 500
const FULL_GATED: readonly number[] = [2000, 5000]
const FULL_UNGATED: readonly number[] = [2000]
/** Members of the cluster that a wave of joiners meets. */
const JOINED = 100
const CONFLICT_REPETITIONS = 20
/** Of the thousand processes of the paper's experiment those that are looked at, per repetition; all of them in full. */
const WITNESSES = 100
const BROADCAST_NODES: readonly number[] = [100, 500]
const FULL_BROADCAST_NODES: readonly number[] = [2000]
/** The centralized mode is looked at in a small cluster too. */
const CENTRALIZED_SMALL = 100
const CENTRALIZED_CRASHED = 10
/** Idle traffic is measured for so long before the crash. */
const IDLE_MS = 10_000
/** Crashes in a cluster of three, and hours of loss. */
const SMALL_RUNS = 100
const SMALL_HOURS = 5
const SMALL_LOSS = 0.05

const SCENARIO_OF: Readonly<Record<FaultName, Row['scenario']>> = {
  crash: 'crash', powerLoss: 'crash', flipFlop: 'flipFlop', egressLoss: 'packetLoss', ingressLoss: 'packetLoss'
}
const FIGURE_OF: Readonly<Record<FaultName, string>> = {
  crash: 'figure-8-crash', powerLoss: 'figure-8-power-loss', flipFlop: 'figure-9-flip-flop', egressLoss: 'figure-10-egress-loss',
  ingressLoss: 'figure-10-ingress-loss'
}

interface Timed<Result> {
  readonly results: readonly Result[]
  readonly wallMs: number
}

/** Where the figures of the whole evaluation go, unless told otherwise. */
const FULL_FIGURES = 'dist/figures'

class MembershipBench {
  readonly #options: MembershipBenchOptions
  readonly #figures: string | undefined
  readonly #nodes: number
  readonly #seeds: number
  readonly #rows: Row[] = []

  constructor (options: MembershipBenchOptions) {
    this.#options = options
    this.#nodes = options.nodes ?? NODES
    this.#seeds = options.seeds ?? SEEDS
    this.#figures = options.figures ?? (options.full === true ? FULL_FIGURES : undefined)
    if (this.#figures !== undefined) mkdirSync(this.#figures, { recursive: true })
  }

  run (): Row[] {
    const full = this.#options.full === true
    if (this.#wants('formation')) {
      for (const nodes of [this.#nodes, ...full ? FULL_GATED : []]) this.#formation(nodes, full ? FULL_UNGATED : [])
    }
    if (this.#wants('joins')) this.#joins()
    for (const name of Object.keys(SCENARIO_OF) as FaultName[]) if (this.#wants(name)) this.#fault(name)
    if (this.#wants('conflict')) this.#conflicts(full ? NODES : WITNESSES)
    if (this.#wants('broadcast')) this.#broadcasts(full ? [...BROADCAST_NODES, ...FULL_BROADCAST_NODES] : BROADCAST_NODES)
    if (this.#wants('centralized')) for (const nodes of new Set([CENTRALIZED_SMALL, this.#nodes])) this.#centralized(nodes)
    if (this.#wants('small')) this.#small()
    return this.#rows
  }

  /** Tells each row at once, too: the whole takes long, and what is known by then outlives an end before the last row. */
  #add (row: Row): void {
    const ordered = orderedRow(row)
    this.#rows.push(ordered)
    this.#options.progress?.(JSON.stringify(ordered))
  }

  #wants (name: string): boolean {
    return name.includes(this.#options.only ?? '')
  }

  /** Runs with one seed after the other. */
  #timed<Result> (what: string, runs: number, run: (seed: number) => Result): Timed<Result> {
    const begunMs = performance.now()
    const results: Result[] = []
    for (const seed of seedsToRun(runs)) {
      this.#options.progress?.(`${what}, seed ${seed}`)
      results.push(run(seed))
    }
    return { results, wallMs: Math.round((performance.now() - begunMs) / results.length) }
  }

  #draw (name: string, panels: () => readonly Panel[]): void {
    if (this.#figures !== undefined) writeFileSync(join(this.#figures, `${name}.svg`), chart(panels()))
  }

  #formation (nodes: number, alsoUngated: readonly number[]): void {
    const formations = new Map<string, Formation>()
    for (const variant of ['gate', 'noGate'] as const) {
      const gated = variant === 'gate'
      if (!gated && nodes !== this.#nodes && !alsoUngated.includes(nodes)) continue
      const runs = nodes > NODES || (!gated && nodes > UNGATED_ONCE_ABOVE) ? 1 : this.#seeds
      const { results, wallMs } = this.#timed(`formation of ${nodes}, ${variant}`, runs, seed => form({ seed, nodes }, gated))
      formations.set(variant, results[0]!)
      const times = summary(results.map(({ ms }) => ms))
      const sizes = summary(results.map(({ distinctSizes }) => distinctSizes.length))
      const common = { scenario: 'formation', variant, nodes, distinctSizes: sizes.ours, ms: times.ours, wallMs } as const
      this.#add({ ...common, measure: 'time until all agree', ...times, unit: 'ms', paper: FORMATION_TIME })
      this.#add({ ...common, measure: 'distinct sizes seen', ...sizes, unit: 'sizes', paper: distinctSizesInPaper(nodes) })
      // Of all that ran before in this process, too: sizes rise, so it is that of the largest one so far.
      const peakMiB = process.resourceUsage().maxRSS / 1024
      this.#add({ ...common, measure: 'peak memory of the simulation', ...summary([peakMiB]), unit: 'MiB', paper: '' })
    }
    this.#draw(`figure-6-formation-latency-${nodes}`, () => [latencyPanel(`Bootstrap latency, N = ${nodes}`, formations)])
    this.#draw(`figure-7-formation-${nodes}`, () => [...formations].map(([variant, result]) => formationPanel(`N = ${nodes}, ${variant}`, result)))
  }

  #joins (): void {
    const [nodes, joiners] = [JOINED, this.#nodes]
    const { results, wallMs } = this.#timed(`${joiners} join ${nodes} at once`, this.#seeds, seed => joinAtOnce({ seed, nodes }, joiners))
    const times = summary(results.map(({ ms }) => ms))
    const falseRemovals = results.reduce((sum, outcome) => sum + outcome.falseRemovals, 0)
    const common = { scenario: 'joins', variant: `${joiners} at once`, nodes, paper: '', ms: times.ours, falseRemovals, wallMs } as const
    this.#add({ ...common, measure: 'time until all agree', ...times, unit: 'ms' })
    this.#add({ ...common, measure: 'view changes', ...summary(results.map(({ steps }) => steps.length)), unit: 'steps' })
  }

  #fault (name: FaultName): void {
    const nodes = this.#nodes
    const faulty = Math.max(1, Math.round(nodes / 100))
    const countBytes = name === 'crash'
    const { results, wallMs } = this.#timed(`${name} of ${faulty} among ${nodes}`, this.#seeds, seed => inflict(name, { seed, nodes, countBytes }, faulty))
    const times = summary(results.map(({ ms }) => ms ?? Infinity))
    const falseRemovals = results.reduce((sum, outcome) => sum + outcome.falseRemovals, 0)
    const distinctSizes = Math.max(...results.map(outcome => outcome.distinctSizes))
    const common = {
      scenario: SCENARIO_OF[name], variant: name, nodes, paper: FAULTS_IN_PAPER[name], distinctSizes, ms: times.ours, falseRemovals, wallMs
    } as const
    this.#add({ ...common, measure: 'time until all healthy agree without the faulty', ...times, unit: 'ms' })
    this.#add({ ...common, measure: 'view changes', ...summary(results.map(({ steps }) => steps.length)), unit: 'steps' })
    this.#add({ ...common, measure: 'healthy members removed', ...summary(results.map(outcome => outcome.falseRemovals)), unit: 'members' })
    this.#add({ ...common, measure: 'healthy members with L or more faulty observers', ...summary(results.map(({ exposed }) => exposed)), unit: 'members' })
    this.#add({ ...common, measure: 'faulty members left in', ...summary(results.map(({ remaining }) => remaining)), unit: 'members' })
    if (countBytes) this.#bandwidth(results, wallMs)
    this.#draw(FIGURE_OF[name], () => [faultPanel(`${name}: ${faulty} of ${nodes}`, results[0]!, nodes, faulty)])
  }

  /** Table 2, during the crash and in the seconds before it. */
  #bandwidth (outcomes: readonly FaultOutcome[], wallMs: number): void {
    for (const phase of ['crash', 'idle'] as const) {
      for (const direction of ['received', 'sent'] as Direction[]) {
        const samples = outcomes.map(({ driver, begunMs, healthy }) => {
          const [fromMs, untilMs] = phase === 'idle' ? [begunMs - IDLE_MS, begunMs] : [begunMs, driver.nowMs]
          return driver.traffic.perSecond(direction, fromMs, untilMs, healthy.map(({ index }) => index))
        })
        const measures = { mean, p99: (values: Float64Array) => quantile(values, 0.99), max: (values: Float64Array) => quantile(values, 1) }
        for (const [measure, of] of Object.entries(measures)) {
          const values = summary(samples.map(sample => of(sample) / 1000))
          const paper = phase === 'crash' ? `${TABLE_2[direction][measure as keyof typeof measures]} (Table 2, N = 1000)` : ''
          this.#add({ scenario: 'bandwidth', variant: phase, nodes: this.#nodes, measure: `${direction}, ${measure}`, ...values, unit: 'KB/s', paper, wallMs })
        }
      }
    }
  }

  #conflicts (witnesses: number): void {
    const nodes = NODES
    const { results, wallMs } = this.#timed('conflict', 1, seed => conflictRates({ seed, nodes, witnesses, repetitions: CONFLICT_REPETITIONS }))
    const rates = results[0]!
    for (const { high, low, failures, percent, proposals } of rates) {
      const paper = conflictRateInPaper(high, low, failures)
      // The rest is in the figure.
      if (paper === undefined && (high !== 9 || low !== 3)) continue
      const ours = rounded(percent)
      this.#add({
        scenario: 'conflict', variant: `H=${high} L=${low} F=${failures}`, nodes, measure: 'proposals that lack somebody', ours, worst: ours, unit: '%',
        paper: paper ?? '', runs: proposals, wallMs
      })
    }
    this.#draw('figure-11-conflicts', () => conflictPanels(rates))
  }

  #broadcasts (sizes: readonly number[]): void {
    const costs: BroadcastCost[] = []
    for (const nodes of sizes) {
      for (const variant of ['gossip', 'unicastToAll'] as const) {
        const { results, wallMs } = this.#timed(`broadcast by ${variant} among ${nodes}`, 1, seed => broadcastCost(variant, nodes, seed))
        const cost = results[0]!
        costs.push(cost)
        const common = { scenario: 'broadcast', variant, nodes, paper: '', ms: rounded(cost.ms), wallMs } as const
        this.#add({ ...common, measure: 'messages per view change', ...summary([cost.messages]), unit: 'messages' })
        this.#add({ ...common, measure: 'messages over N K, K = 10', ...summary([cost.messages / (nodes * 10)]), unit: '' })
        this.#add({ ...common, measure: 'messages over N squared', ...summary([cost.messages / nodes ** 2]), unit: '' })
        this.#add({ ...common, measure: 'bytes per view change', ...summary([cost.bytes]), unit: 'bytes' })
      }
    }
    this.#draw('view-change-cost', () => broadcastPanels(costs))
  }

  /** The same crash where a few decide for all, and where all do. */
  #centralized (nodes: number): void {
    for (const mode of ['centralized', 'allVote'] as const) {
      const { results, wallMs } = this.#timed(`crash of ${CENTRALIZED_CRASHED} among ${nodes}, ${mode}`, 1, seed => modeCost(mode, nodes, CENTRALIZED_CRASHED, seed))
      const { messages, bytes, busiestBytesPerSecond, viewChanges, falseRemovals, ms } = results[0]!
      const variant = mode === 'centralized' ? `${ENSEMBLE} voters` : 'all vote'
      const common = { scenario: 'centralized', variant, nodes, paper: '', ms: rounded(ms), falseRemovals, wallMs } as const
      this.#add({ ...common, measure: 'view changes', ...summary([viewChanges]), unit: 'steps' })
      this.#add({ ...common, measure: 'messages per view change and member', ...summary([messages / nodes]), unit: 'messages' })
      this.#add({ ...common, measure: 'bytes per view change and member', ...summary([bytes / nodes]), unit: 'bytes' })
      this.#add({ ...common, measure: 'received by the busiest of the first three', ...summary([busiestBytesPerSecond / 1000]), unit: 'KB/s' })
    }
  }

  /** What three members make of a crash, and of an hour of loss. */
  #small (): void {
    for (const variant of ['crash', 'powerLoss'] as const) {
      const { results, wallMs } = this.#timed(`${variant} of one of ${SMALL_NODES}`, SMALL_RUNS, seed => detectionMs(variant, seed))
      const times = summary(results)
      const p99 = rounded(quantile(Float64Array.from(results).sort(), 0.99))
      const common = { scenario: 'small', variant, nodes: SMALL_NODES, unit: 'ms', paper: '', ms: times.ours, falseRemovals: 0, wallMs } as const
      this.#add({ ...common, measure: 'time until both others agree without it', ...times })
      this.#add({ ...common, measure: 'the same, p99', ours: p99, worst: p99, runs: times.runs })
    }
    const { results, wallMs } = this.#timed(`an hour of loss among ${SMALL_NODES}`, SMALL_HOURS, seed => removalsInAnHour(SMALL_LOSS, seed))
    const removals = summary(results)
    this.#add({
      scenario: 'small', variant: `${100 * SMALL_LOSS} % loss`, nodes: SMALL_NODES, measure: 'members removed in an hour', ...removals, unit: 'members',
      paper: '', falseRemovals: results.reduce((sum, count) => sum + count, 0), wallMs
    })
  }
}

/** Runs what is asked for and gives the rows. @throws {Error} when a cluster does not form, or two processes disagree. */
export function membershipBench (options: MembershipBenchOptions): Row[] {
  return new MembershipBench(options).run()
}
