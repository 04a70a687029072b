/**
 * The grace before copying after a crash: a store that is gone is usually back soon, with all that it had.
 *
 * The placement gives its seats away at once, in the configuration without it, and the lead moves at once; but the copying for these
 * seats begins only when the store has been gone for `rereplicateAfterMs`. If it returns before, the placement gives it its seats
 * back (rule R2), and what it missed comes from the log. The placement knows no time: each leader waits by its own clock, so nothing
 * has to be agreed on, and stores with different times differ only in when they start.
 *
 * It counts from the first store of the group that went, so that further ones, and further configurations, do not prolong it. There
 * is none where more than one is gone and the next loss would stop the partition: that is no ordinary restart.
 *
 * Pure.
 */
import { type Group, majorityOf } from './history.ts'
import type { PartitionView } from './replica-contract.ts'

export interface Grace {
  /** When it ends. */
  readonly until: number
  /** Seats given in this epoch or later wait. Those given before are not due to the loss. */
  readonly epoch: number
}

export function graceOf (now: number, { members }: Group, { live, departed }: PartitionView, rereplicateAfterMs: number): Grace | undefined {
  const missing = members.filter(member => !live.has(member))
  if (missing.length === 0) return undefined
  if (missing.length > 1 && members.length - missing.length <= majorityOf(members.length)) return undefined
  let since = Infinity
  let epoch = Infinity
  for (const member of missing) {
    const absence = departed.get(member)
    // Gone for longer than anybody remembers.
    if (absence === undefined) return undefined
    since = Math.min(since, absence.since)
    epoch = Math.min(epoch, absence.epoch)
  }
  const until = since + rereplicateAfterMs
  return now < until ? { until, epoch } : undefined
}
