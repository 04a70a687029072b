/**
 * What the paper does to a formed cluster: crashes (Figure 8), one-way losses that come and go (Figure 9), heavy loss (Figures 1 and 10).
 *
 * Every scenario forms a cluster through the gate, lets it rest, and then makes some members faulty. Healthy members that are removed
 * are false removals. The faulty ones are of no further interest: what a removed member sees is not judged.
 */
import { LAN } from '../../../membership/tuning.ts'
import { Overlay } from '../../../membership/overlay.ts'
import type { DriverOptions, Driver, Process, Step } from './driver.ts'
import { form } from './formation.ts'

/** How long the formed cluster rests, so that every edge has a history. */
const REST_MS = 12_000
const FLIP_MS = 20_000

export type FaultName = 'crash' | 'powerLoss' | 'flipFlop' | 'egressLoss' | 'ingressLoss'

export interface Fault {
  readonly name: FaultName
  /** How long the cluster is watched after the fault began. */
  readonly watchMs: number
  /** Begins the fault. */
  begin (driver: Driver, faulty: readonly Process[]): void
}

const FAULTS: Readonly<Record<FaultName, Fault>> = {
  crash: {
    name: 'crash',
    watchMs: 12_000,
    begin: (driver, faulty) => { for (const process of faulty) driver.crash(process) }
  },
  powerLoss: {
    name: 'powerLoss',
    watchMs: 15_000,
    begin: (driver, faulty) => { for (const process of faulty) driver.crash(process, true) }
  },
  flipFlop: {
    name: 'flipFlop',
    watchMs: 3.5 * FLIP_MS,
    begin: (driver, faulty) => {
      const flip = (loss: number): void => {
        for (const process of faulty) process.ingressLoss = loss
        driver.at(driver.nowMs + FLIP_MS, () => { flip(1 - loss) })
      }
      flip(1)
    }
  },
  egressLoss: {
    name: 'egressLoss',
    watchMs: 40_000,
    begin: (_driver, faulty) => { for (const process of faulty) process.egressLoss = 0.8 }
  },
  ingressLoss: {
    name: 'ingressLoss',
    watchMs: 40_000,
    begin: (_driver, faulty) => { for (const process of faulty) process.ingressLoss = 0.8 }
  }
}

export interface FaultOutcome {
  readonly driver: Driver
  readonly faulty: readonly Process[]
  readonly healthy: readonly Process[]
  /** When the fault began, in virtual time. */
  readonly begunMs: number
  /** View changes after that. */
  readonly steps: readonly Step[]
  /** Distinct cluster sizes that healthy members saw after that, the one before included. */
  readonly distinctSizes: number
  /** From the fault until the last healthy member was without any faulty one; undefined when that did not happen. */
  readonly ms: number | undefined
  readonly falseRemovals: number
  /** Faulty members that are still in at the end. */
  readonly remaining: number
  /**
   * Healthy members of which L or more observers are faulty. The paper promises nothing for them (section 4.2): faulty observers that
   * report them bring their tallies to L, after which the healthy observers echo. With fewer than L faulty members there are none.
   */
  readonly exposed: number
}

/** @param faultyCount members that become faulty; never the founder, who is as good as any other, and only agents where there are some. */
export function inflict (name: FaultName, options: DriverOptions, faultyCount: number): FaultOutcome {
  const { driver, processes } = form(options, true)
  const { watchMs, begin } = FAULTS[name]
  const faulty = driver.random.shuffle(processes.slice(options.voters ?? 1)).slice(0, faultyCount).sort((a, b) => a.index - b.index)
  const healthy = processes.filter(process => !faulty.includes(process))
  driver.run(driver.nowMs + REST_MS)
  const { configuration } = healthy[0]!
  const epoch = configuration!.epoch
  const begunMs = driver.nowMs
  driver.traffic.resetKinds()
  begin(driver, faulty)
  driver.run(begunMs + watchMs)
  const steps = [...driver.steps.values()].filter(step => step.epoch > epoch)
  const faultyIds = new Set(faulty.map(({ self }) => self.id))
  const isHealthy = new Set(healthy.map(({ index }) => index))
  const seen = driver.sightings.filter(sighting => isHealthy.has(sighting.process) && sighting.epoch > epoch)
  const overlay = Overlay.of(configuration!, LAN.ringCount)
  const clean = steps.find(({ configuration }) => configuration.members.every(member => !faultyIds.has(member.id)))
  const arrivals = seen.filter(sighting => sighting.epoch === clean?.epoch)
  return {
    driver, faulty, healthy, begunMs, steps,
    distinctSizes: new Set([options.nodes, ...seen.map(({ size }) => size)]).size,
    ms: clean !== undefined && arrivals.length === healthy.length ? Math.max(...arrivals.map(({ atMs }) => atMs)) - begunMs : undefined,
    falseRemovals: steps.reduce((sum, { removed }) => sum + removed.filter(member => !faultyIds.has(member.id)).length, 0),
    remaining: faulty.filter(({ self }) => healthy[0]!.configuration!.members.some(member => member.id === self.id)).length,
    exposed: healthy.filter(({ self }) => overlay.observersOf(self.id).filter(id => faultyIds.has(id)).length >= LAN.lowWatermark).length
  }
}
