/**
 * What became of the moves of a change: the plans, which are the same at every node, beside the ledgers, which each node keeps of
 * the moves that gave it a seat.
 */
import type { Cluster } from './cluster.ts'
import type { SeenPlan } from './node-handle.ts'

export interface PlanTotals {
  /** Moves planned, by all rebalances of the change. */
  readonly moves: number
  /** The fewest that any placement could do with. */
  readonly lowerBound: number
  readonly done: number
  /** Overtaken by a later plan, or meant for a node that died first. */
  readonly superseded: number
  /** Begun anew because what had been copied could not be used any more. */
  readonly restarted: number
  /** Carried out twice. */
  readonly duplicates: number
  readonly bytes: number
  /** How many rebalances there were. */
  readonly rebalances: number
}

/** @throws {Error} when two nodes derived different plans for one configuration. */
function agreedPlans (cluster: Cluster, epoch: number): SeenPlan[] {
  const plans = new Map<number, SeenPlan>()
  for (const { history, spec } of cluster.nodes) {
    for (const plan of history.plans) {
      if (plan.epoch <= epoch) continue
      const known = plans.get(plan.epoch)
      if (known === undefined) plans.set(plan.epoch, plan)
      else if (known.moves !== plan.moves || known.lowerBound !== plan.lowerBound) {
        throw new Error(`${spec.name} has another plan for epoch ${plan.epoch}: ${plan.moves} moves, where others have ${known.moves}`)
      }
    }
  }
  return [...plans.values()].sort((a, b) => a.epoch - b.epoch)
}

/** Adds up everything after `epoch`. */
export async function planTotals (cluster: Cluster, epoch: number): Promise<PlanTotals> {
  const plans = agreedPlans(cluster, epoch)
  const statuses = await cluster.statuses()
  const pages = statuses.flatMap(status => status.rebalances.filter(rebalance => rebalance.epoch > epoch))
  const sum = (field: 'done' | 'superseded' | 'restarted' | 'duplicates' | 'bytes'): number => pages.reduce((total, page) => total + page[field], 0)
  const live = new Set(statuses.map(({ storeId }) => storeId))
  // The ledger of a dead node is out of reach, and the moves that it did not complete never will be.
  const forTheDead = plans.flatMap(plan => Object.entries(plan.targets)).filter(([store]) => !live.has(store))
    .reduce((total, [, moves]) => total + moves, 0)
  return {
    moves: plans.reduce((total, plan) => total + plan.moves, 0),
    lowerBound: plans.reduce((total, plan) => total + plan.lowerBound, 0),
    done: sum('done'),
    superseded: sum('superseded') + forTheDead,
    restarted: sum('restarted'),
    duplicates: sum('duplicates'),
    bytes: sum('bytes'),
    rebalances: plans.length
  }
}
