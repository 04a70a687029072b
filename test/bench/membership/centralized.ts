/**
 * What one view change costs in the logically centralized mode, in which a few voters decide for many agents, beside the mode in which all
 * members vote.
 *
 * Some agents lose power at once; counted are alerts, votes, and decisions that were told or fetched, from then until the last survivor knew
 * and the last of it had been sent. Every pair is connected beforehand.
 */
import { inflict } from './faults.ts'
import type { MessageKind } from './traffic.ts'

export interface ModeCost {
  readonly messages: number
  readonly bytes: number
  /** Received by the busiest of the first processes, the voters where only they vote, in its busiest second. */
  readonly busiestBytesPerSecond: number
  readonly viewChanges: number
  readonly falseRemovals: number
  /** From the loss of power until the last survivor knew. */
  readonly ms: number
}

/** Voters of the centralized mode. */
export const ENSEMBLE = 3
const COUNTED: readonly MessageKind[] = ['alerts', 'consensus', 'fetch-decisions', 'decisions']

/** @throws {Error} when the crashed are not removed. */
export function modeCost (mode: 'centralized' | 'allVote', nodes: number, crashed: number, seed: number): ModeCost {
  const voters = mode === 'centralized' ? { voters: ENSEMBLE } : {}
  const { ms, driver, steps, falseRemovals, begunMs } = inflict('powerLoss', { seed, nodes, meshed: true, countBytes: true, ...voters }, crashed)
  if (ms === undefined) throw new Error(`${mode} among ${nodes}, seed ${seed}: the crashed were not removed`)
  const counts = COUNTED.map(kind => driver.traffic.kinds.get(kind) ?? { messages: 0, bytes: 0 })
  const firsts = driver.processes.slice(0, ENSEMBLE).map(({ index }) => index)
  return {
    messages: counts.reduce((sum, { messages }) => sum + messages, 0),
    bytes: counts.reduce((sum, { bytes }) => sum + bytes, 0),
    busiestBytesPerSecond: driver.traffic.perSecond('received', begunMs, driver.nowMs, firsts).at(-1) ?? 0,
    viewChanges: steps.length,
    falseRemovals,
    ms
  }
}
