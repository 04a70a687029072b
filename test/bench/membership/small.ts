/**
 * The smallest cluster that survives a crash (not in the paper): three members, which are each other's only observers (rule M5).
 *
 * With the defaults of a membership, the detector included. A crash leaves two who must both notice, and then a classic ballot, since the
 * fast quorum of three is three. Under loss two members are enough to remove the third, so a detector that errs at both ends of a
 * bad minute is a false removal.
 */
import { phiAccrual } from '../../../membership/detector/phi-accrual.ts'
import { type FaultName, inflict } from './faults.ts'
import { form } from './formation.ts'

export const SMALL_NODES = 3
const HOUR_MS = 3_600_000

/** From the fault of one of three until the two others agree without it. @throws {Error} when they do not, or when they remove each other. */
export function detectionMs (fault: FaultName, seed: number): number {
  const { ms, falseRemovals } = inflict(fault, { seed, nodes: SMALL_NODES, detector: phiAccrual() }, 1)
  if (ms === undefined || falseRemovals > 0) throw new Error(`${fault} of one of three, seed ${seed}: ${falseRemovals} healthy members were removed`)
  return ms
}

/** Members that are removed in an hour in which each message is lost with this probability. */
export function removalsInAnHour (lossProbability: number, seed: number): number {
  const { driver, processes, steps: formed } = form({ seed, nodes: SMALL_NODES, detector: phiAccrual() }, true)
  for (const process of processes) process.ingressLoss = lossProbability
  driver.run(driver.nowMs + HOUR_MS)
  return [...driver.steps.values()].slice(formed.length).flatMap(({ removed }) => removed).length
}
