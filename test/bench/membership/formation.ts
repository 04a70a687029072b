/**
 * Bootstrapping (the paper's Figures 5 to 7 and Table 1): one process founds, all others start together and join through it.
 *
 * As in the paper there is one seed. It starts a second before the others, which start within one second. With the gate the founder
 * knows how many to expect and admits all in one cut; without it, it admits whoever has come, as in the paper.
 */
import { Driver, type DriverOptions, type Process, type Step } from './driver.ts'

/** When the joiners begin to start, and within what time they do. */
const JOINERS_FROM_MS = 1000
const JOINERS_WITHIN_MS = 1000
/** Virtual time after which it is an error that not all are members. */
const LIMIT_MS = 300_000

export interface Formation {
  readonly driver: Driver
  readonly processes: readonly Process[]
  /** From the start of the first joiner until the last process was in the configuration of all. */
  readonly ms: number
  /** For each joiner, from its own start until it was in the configuration of all. */
  readonly latenciesMs: readonly number[]
  /** Cluster sizes that any process ever saw, the founder's own included. */
  readonly distinctSizes: readonly number[]
  readonly steps: readonly Step[]
}

/** @throws {Error} when the cluster does not form in time. */
export function form (options: DriverOptions, gated: boolean): Formation {
  const { nodes } = options
  const driver = new Driver(options)
  const startedMs = [0]
  driver.start('found', gated ? nodes : undefined)
  const starts = Array.from({ length: nodes - 1 }, () => JOINERS_FROM_MS + driver.random.next() * JOINERS_WITHIN_MS).sort((a, b) => a - b)
  for (const atMs of starts) {
    driver.at(atMs, () => {
      startedMs.push(driver.nowMs)
      driver.start('join')
    })
  }
  const { processes } = driver
  const formed = driver.run(LIMIT_MS, () => processes.length === nodes && driver.agreed(processes, nodes), 10)
  if (!formed) {
    const members = processes.filter(process => process.configuration?.members.length === nodes).length
    throw new Error(`seed ${options.seed}: after ${LIMIT_MS} ms ${members} of ${nodes} processes are in a configuration of all`)
  }
  const arrivedMs = new Map<number, number>()
  for (const { process, size, atMs } of driver.sightings) if (size === nodes && !arrivedMs.has(process)) arrivedMs.set(process, atMs)
  return {
    driver,
    processes,
    ms: Math.max(...arrivedMs.values()) - starts[0]!,
    latenciesMs: processes.slice(1).map(({ index }) => arrivedMs.get(index)! - startedMs[index]!),
    distinctSizes: [...new Set(driver.sightings.map(({ size }) => size))].sort((a, b) => a - b),
    steps: [...driver.steps.values()]
  }
}
