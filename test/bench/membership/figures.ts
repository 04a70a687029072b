/**
 * The paper's figures, drawn from our runs.
 *
 * Pure: functions from results to panels.
 */
import type { BroadcastCost } from './broadcasts.ts'
import { type ConflictRate, FAILURES, HIGH_WATERMARKS } from './conflicts.ts'
import type { FaultOutcome } from './faults.ts'
import type { Formation } from './formation.ts'
import type { Panel } from './svg.ts'

/** The paper's processes log their cluster size once per second; ours are looked at more often, since less time passes. */
const SAMPLES = 100
const AXIS_TIME = 'time (s)'
const AXIS_SIZE = 'cluster size'

/** Which cluster sizes the processes see at each of many moments: one dot for each size that anybody sees. */
function sizesOverTime (formation: Pick<Formation, 'driver'>, seenBy: ReadonlySet<number>, fromMs: number, untilMs: number): [number, number][] {
  const sightings = formation.driver.sightings
  const sizes = new Map<number, number>()
  const dots: [number, number][] = []
  let next = 0
  for (let sample = 0; sample <= SAMPLES; sample++) {
    const atMs = fromMs + (untilMs - fromMs) * sample / SAMPLES
    for (; next < sightings.length && sightings[next]!.atMs <= atMs; next++) {
      const { process, size } = sightings[next]!
      if (seenBy.has(process)) sizes.set(process, size)
    }
    for (const size of new Set(sizes.values())) dots.push([(atMs - fromMs) / 1000, size])
  }
  return dots
}

/** Figure 7. */
export function formationPanel (title: string, { driver, processes }: Formation): Panel {
  const everyone = new Set(processes.map(({ index }) => index))
  return {
    title,
    x: { label: `${AXIS_TIME} since the founder started`, from: 0 },
    y: { label: AXIS_SIZE, from: 0 },
    series: [{ name: AXIS_SIZE, style: 'dots', points: sizesOverTime({ driver }, everyone, 0, driver.nowMs + 500) }]
  }
}

/** Figure 6. */
export function latencyPanel (title: string, formations: ReadonlyMap<string, Formation>): Panel {
  return {
    title,
    x: { label: 'bootstrap latency of a process (s)', from: 0 },
    y: { label: 'share of the processes', from: 0, to: 1 },
    series: [...formations].map(([name, { latenciesMs }]) => {
      const sorted = [...latenciesMs].sort((a, b) => a - b)
      return { name, style: 'line', points: sorted.map((ms, index) => [ms / 1000, (index + 1) / sorted.length] as const) }
    })
  }
}

/** Figures 8 to 10: what the healthy members see. */
export function faultPanel (title: string, { driver, healthy, begunMs }: FaultOutcome, nodes: number, faulty: number): Panel {
  const members = new Set(healthy.map(({ index }) => index))
  return {
    title,
    x: { label: `${AXIS_TIME} since the fault began`, from: 0 },
    y: { label: AXIS_SIZE, from: nodes - 2 * faulty, to: nodes + Math.ceil(faulty / 2) },
    series: [{ name: AXIS_SIZE, style: 'dots', points: sizesOverTime({ driver }, members, begunMs, driver.nowMs) }]
  }
}

/** Figure 11. */
export function conflictPanels (rates: readonly ConflictRate[]): Panel[] {
  return HIGH_WATERMARKS.map(high => ({
    title: `H = ${high}`,
    x: { label: 'L' },
    y: { label: 'conflict rate (%)', from: 0 },
    series: FAILURES.map(failures => ({
      name: `F = ${failures}`,
      style: 'line',
      points: rates.filter(rate => rate.high === high && rate.failures === failures).map(({ low, percent }) => [low, percent] as const)
    }))
  }))
}

/** Not in the paper: the growth of what one view change costs. */
export function broadcastPanels (costs: readonly BroadcastCost[]): Panel[] {
  const names = [...new Set(costs.map(({ broadcaster }) => broadcaster))]
  return (['messages', 'bytes'] as const).map(what => ({
    title: `${what} per view change`,
    x: { label: 'members', logarithmic: true },
    y: { label: what, logarithmic: true },
    series: names.map(name => ({
      name, style: 'line', points: costs.filter(({ broadcaster }) => broadcaster === name).map(cost => [cost.nodes, cost[what]] as const)
    }))
  }))
}
