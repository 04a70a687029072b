/**
 * How a rebalance gets on at one store, as the leader of its partitions: what is left, how fast, for how long, and, when it stands still, why.
 *
 * Looked at about once a second. The rate is that of the last ten looks; it begins anew when there is more to do than before. What waits for
 * a store that may come back (grace.ts) is not counted as left, since it may never have to be done. A partition counts when it is handed over,
 * however large it is, so the time left is a guess that assumes partitions of like size, and there is none before the first is done.
 *
 * Pure: time is an argument.
 */
import type { StoreId } from '../membership/configuration.ts'
import type { HandoverState } from './group/handover.ts'
import type { PendingHandovers } from './pending-handovers.ts'

/** Milliseconds between two looks that count. */
export const LOOK_MS = 1000
/** Looks that the rate is taken over. */
const LOOKS_MAX = 10
/** Nothing was handed over and no byte sent for so long: it stands still. In milliseconds. */
const STILL_MS = 5000

export interface ProgressStatus {
  /** Partitions led here that are to be handed over, without those that wait for the return of a store. */
  readonly handoversLeft: number
  readonly handoversPerSecond: number
  /** How long the rest will take at that rate, in milliseconds; absent where nothing is left, or the rate is not known or 0. */
  readonly leftMs?: number
  /** Present when nothing gets on: what most of the partitions wait for, the stores that it is about where there are any, and for how long. */
  readonly standsStill?: { readonly state: HandoverState, readonly stores: readonly StoreId[], readonly forMs: number }
}

interface Look { readonly at: number, readonly left: number }

export class Progress {
  /** Oldest first. Invariant: at most LOOKS_MAX, and `left` does not rise. */
  #looks: Look[] = []
  #sentBytes = 0
  /** When something last got on, or there was nothing to do. */
  #movedAt = -Infinity

  /** @param sentBytes all bytes of copies that this store has sent so far */
  look (now: number, { pending, stores }: PendingHandovers, sentBytes: number): ProgressStatus {
    const left = Object.values(pending).reduce((sum, count) => sum + count, 0) - pending.grace
    const last = this.#looks.at(-1)
    if (left === 0 || last === undefined || left !== last.left || sentBytes !== this.#sentBytes) this.#movedAt = now
    this.#sentBytes = sentBytes
    if (left === 0 || (last !== undefined && left > last.left)) this.#looks = []
    if (this.#looks.length === 0 || now - this.#looks.at(-1)!.at >= LOOK_MS) this.#looks.push({ at: now, left })
    if (this.#looks.length > LOOKS_MAX) this.#looks.shift()
    const first = this.#looks[0]!
    const perMs = now > first.at ? (first.left - left) / (now - first.at) : 0
    const forMs = now - this.#movedAt
    return {
      handoversLeft: left,
      handoversPerSecond: Math.round(perMs * 1_000_000) / 1000,
      ...(left > 0 && perMs > 0 ? { leftMs: Math.round(left / perMs) } : {}),
      ...(left > 0 && forMs >= STILL_MS ? { standsStill: { state: mostOf(pending), stores, forMs: Math.round(forMs) } } : {})
    }
  }
}

function mostOf (pending: PendingHandovers['pending']): HandoverState {
  let [state, most]: [HandoverState, number] = ['ending', 0]
  for (const [other, count] of Object.entries(pending) as [HandoverState, number][]) if (other !== 'grace' && count > most) [state, most] = [other, count]
  return state
}
