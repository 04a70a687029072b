/**
 * What one view change costs in messages and bytes, by way of spreading: gossip along the overlay, or each to all.
 *
 * Two members crash, their machines silent, so that no reconnection attempts mix in; counted are alerts, votes and fetched decisions of
 * all processes from the crash until all agreed and the last of it has been sent. Every pair is connected beforehand.
 */
import { unicastToAll, type BroadcasterFactory } from '../../../membership/broadcaster.ts'
import { gossip } from '../../../membership/gossip-broadcaster.ts'
import { inflict } from './faults.ts'
import type { MessageKind } from './traffic.ts'

export interface BroadcastCost {
  readonly broadcaster: 'gossip' | 'unicastToAll'
  readonly nodes: number
  readonly messages: number
  readonly bytes: number
  /** From the crash until the last survivor knew. */
  readonly ms: number
}

const CRASHED = 2
const COUNTED: readonly MessageKind[] = ['alerts', 'consensus', 'fetch-decisions', 'decisions']
const FACTORIES: Readonly<Record<BroadcastCost['broadcaster'], BroadcasterFactory>> = { gossip, unicastToAll }

/** @throws {Error} when the crashed are not removed. */
export function broadcastCost (broadcaster: BroadcastCost['broadcaster'], nodes: number, seed: number): BroadcastCost {
  // Where alerts reach everybody in one hop, one quiet window is enough.
  const tuning = broadcaster === 'unicastToAll' ? { unicastMembersMax: nodes } : {}
  const outcome = inflict('powerLoss', { seed, nodes, tuning, broadcaster: FACTORIES[broadcaster], meshed: true, countBytes: true }, CRASHED)
  const { ms, driver } = outcome
  if (ms === undefined) throw new Error(`${broadcaster} among ${nodes}, seed ${seed}: the crashed were not removed`)
  let messages = 0
  let bytes = 0
  for (const kind of COUNTED) {
    const count = driver.traffic.kinds.get(kind)
    messages += count?.messages ?? 0
    bytes += count?.bytes ?? 0
  }
  return { broadcaster, nodes, messages, bytes, ms }
}
