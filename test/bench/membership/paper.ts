/**
 * What the paper reports: Suresh et al., "Stable and Consistent Membership at Scale with Rapid" (USENIX ATC '18), section 7.
 *
 * Numbers where its text or a table gives them, its words where only a figure does. Its experiments ran on 100 virtual machines, ours in
 * virtual time: times compare in kind, not in milliseconds.
 */
import type { FaultName } from './faults.ts'

/** Table 1: unique cluster sizes that Rapid's processes report while bootstrapping. */
const TABLE_1: Readonly<Record<number, number>> = { 1000: 4, 1500: 8, 2000: 4 }

export function distinctSizesInPaper (nodes: number): string {
  const sizes = TABLE_1[nodes]
  return sizes === undefined ? '4 at 1000 and 2000, 8 at 1500 (Table 1)' : `${sizes} (Table 1)`
}

export const FORMATION_TIME = 'at 2000, 2 to 2.32 times faster than Memberlist, whose mean is 95 s (Figure 5, section 7)'

export const FAULTS_IN_PAPER: Readonly<Record<FaultName, string>> = {
  crash: 'all ten in one step (Figure 8)',
  powerLoss: 'all ten in one step (Figure 8)',
  flipFlop: 'the faulty are detected and removed (Figure 9)',
  egressLoss: 'only the faulty are removed (Figure 10, as its text has it)',
  ingressLoss: 'only the faulty are removed (Figure 10, as its caption has it)'
}

/** Table 2, KB/s per process: Rapid with N = 1000, during the crash experiment. */
export const TABLE_2 = Object.freeze({
  received: { mean: 0.71, p99: 3.66, max: 9.56 },
  sent: { mean: 0.71, p99: 3.72, max: 11.37 }
})

/** Figure 11, as its text reads it. Undefined where it says nothing, and for L = 1, which is not what it says here. */
export function conflictRateInPaper (high: number, low: number, failures: number): string | undefined {
  if (failures !== 2 || low === 1) return undefined
  if (high === 6 && low === 4) return 'the highest of all (Figure 11)'
  if (high - low === 5) return '2 (Figure 11, H - L = 5)'
  if (high - low === 6) return 'a quarter of that at H - L = 5 (Figure 11)'
  return undefined
}
