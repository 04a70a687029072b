/**
 * What the handovers of the partitions that a store leads wait for, added up.
 *
 * Pure.
 */
import type { StoreId } from '../membership/configuration.ts'
import type { HandoverState } from './group/handover.ts'
import type { Replica } from './group/replica.ts'

export interface PendingHandovers {
  /** Partitions led here whose group is not the placement's yet, by what they wait for. */
  readonly pending: Readonly<Record<HandoverState, number>>
  /** The stores that these wait for, or copy to: at most `STORES_MAX` of them. */
  readonly stores: readonly StoreId[]
  /** Milliseconds until the first grace ends; absent where nothing waits for one. */
  readonly graceLeftMs?: number
}

/** Stores that a status names. */
const STORES_MAX = 16

/** Adds up what the handovers of the partitions that are led here wait for. */
export function pendingHandovers (now: number, replicas: Iterable<Replica>): PendingHandovers {
  const pending: Record<HandoverState, number> = { grace: 0, majority: 0, place: 0, rate: 0, silent: 0, copying: 0, ending: 0 }
  const stores = new Set<StoreId>()
  let graceEnds = Infinity
  for (const { leader } of replicas) {
    const waits = leader?.handover.waitsFor(now)
    if (waits === undefined) continue
    pending[waits.state]++
    for (const store of waits.stores) if (stores.size < STORES_MAX) stores.add(store)
    if (waits.until !== undefined) graceEnds = Math.min(graceEnds, waits.until)
  }
  return { pending, stores: [...stores], ...graceEnds === Infinity ? {} : { graceLeftMs: Math.max(0, Math.round(graceEnds - now)) } }
}
