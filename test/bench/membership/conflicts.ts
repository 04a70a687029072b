/**
 * Almost-everywhere agreement (the paper's Figure 11): how often does a process propose a cut that lacks some of the failed members?
 *
 * As in the paper: of N processes F fail, the alerts of all their observers reach each process in a uniform random order of its own, and
 * a process conflicts when the first cut it proposes does not hold all F. The cut detector alone is at work, asked after every alert;
 * no time passes. A member proper also waits for a quiet window, and meets fewer conflicts. L = 1 acts as L = 2: see tally.ts.
 */
import { CutDetector } from '../../../membership/cut-detector.ts'
import type { ClusterId, Configuration, ConfigurationId, Member, MemberId, StoreId } from '../../../membership/configuration.ts'
import { SeededRandom } from '../../../membership/environment/seeded-random.ts'
import { Overlay } from '../../../membership/overlay.ts'

export const HIGH_WATERMARKS: readonly number[] = [6, 7, 8, 9]
export const LOW_WATERMARKS: readonly number[] = [1, 2, 3, 4]
export const FAILURES: readonly number[] = [2, 4, 8, 16]

export interface ConflictOptions {
  readonly seed: number
  readonly nodes: number
  /** Of the N processes those that get alerts, per repetition. */
  readonly witnesses: number
  readonly repetitions: number
}

export interface ConflictRate {
  readonly high: number
  readonly low: number
  readonly failures: number
  readonly proposals: number
  readonly conflicts: number
  /** Conflicts of 100 proposals. */
  readonly percent: number
}

function configurationOf (nodes: number, random: SeededRandom): Configuration {
  const members = Array.from({ length: nodes }, (_, index): Member => {
    const id = random.id()
    const address = `10.0.${index >> 8}.${index & 255}:7000`
    return { id: id as MemberId, address, storeId: id as StoreId, incarnation: 1, metadata: { zone: '', weight: 1, tags: {} }, metadataVersion: 0 }
  }).sort((a, b) => a.id < b.id ? -1 : 1)
  return { clusterId: 'c' as ClusterId, clusterName: 'bench', settings: {}, epoch: 2, id: random.id() as ConfigurationId, members }
}

/** Whether the first proposal lacks somebody. */
function isConflict (detector: CutDetector, alerts: readonly (readonly [MemberId, MemberId])[], failures: number): boolean {
  for (const [observer, subject] of alerts) {
    detector.reportRemoval(observer, subject)
    const cut = detector.proposal(0)
    if (cut !== undefined) return cut.removals.length < failures
  }
  throw new Error('All alerts have arrived and nothing is proposed.')
}

/** Every combination of H, L and F. The orders in which alerts arrive are the same for all H and L. */
export function conflictRates ({ seed, nodes, witnesses, repetitions }: ConflictOptions): ConflictRate[] {
  const random = new SeededRandom(seed)
  const counts = new Map<string, number>()
  const keyOf = (high: number, low: number, failures: number): string => `${high} ${low} ${failures}`
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const configuration = configurationOf(nodes, random)
    const overlay = new Overlay(configuration)
    for (const failures of FAILURES) {
      const failed = random.shuffle(configuration.members).slice(0, failures)
      const alerts = failed.flatMap(({ id }) => overlay.observersOf(id).map(observer => [observer, id] as const))
      for (let witness = 0; witness < witnesses; witness++) {
        const order = random.shuffle(alerts)
        for (const highWatermark of HIGH_WATERMARKS) {
          for (const lowWatermark of LOW_WATERMARKS) {
            const detector = new CutDetector(configuration, overlay, { highWatermark, lowWatermark })
            const key = keyOf(highWatermark, lowWatermark, failures)
            counts.set(key, (counts.get(key) ?? 0) + (isConflict(detector, order, failures) ? 1 : 0))
          }
        }
      }
    }
  }
  const proposals = witnesses * repetitions
  return HIGH_WATERMARKS.flatMap(high => LOW_WATERMARKS.flatMap(low => FAILURES.map(failures => {
    const conflicts = counts.get(keyOf(high, low, failures))!
    return { high, low, failures, proposals, conflicts, percent: 100 * conflicts / proposals }
  })))
}
