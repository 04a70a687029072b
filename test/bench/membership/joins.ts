/**
 * Many joiners at once (not in the paper): processes that all start in one moment join a cluster that runs, through any of its members.
 */
import type { Driver, DriverOptions, Step } from './driver.ts'
import { form } from './formation.ts'

/** Virtual time after which it is an error that not all are members. */
const LIMIT_MS = 300_000
/** The cluster has run for so long when they come. */
const CALM_MS = 2000

export interface Joins {
  /** From the start of the joiners until everybody was in the configuration of all. */
  readonly ms: number
  readonly steps: readonly Step[]
  /** Members that were removed, though nothing failed. */
  readonly falseRemovals: number
  readonly driver: Driver
}

/** @param joiners how many come at once @throws {Error} when they are not in, in time. */
export function join (options: DriverOptions, joiners: number): Joins {
  const { driver, processes, steps: formed } = form({ ...options, processes: options.nodes + joiners }, true)
  driver.run(driver.nowMs + CALM_MS)
  const begunMs = driver.nowMs
  for (let count = 0; count < joiners; count++) driver.start('join', undefined, processes[driver.random.below(options.nodes)])
  const all = options.nodes + joiners
  if (!driver.run(begunMs + LIMIT_MS, () => driver.agreed(driver.processes, all), 10)) {
    throw new Error(`seed ${options.seed}: after ${LIMIT_MS} ms not all of ${joiners} joiners are in`)
  }
  const steps = [...driver.steps.values()].slice(formed.length)
  const ms = Math.max(...steps.map(({ lastMs }) => lastMs)) - begunMs
  return { driver, ms, steps, falseRemovals: steps.flatMap(({ removed }) => removed).length }
}
