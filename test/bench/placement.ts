/**
 * Benchmark: what the fold buys over the classical ring of virtual nodes.
 *
 * For each strategy and size, one change at a time from the same formed cluster: how full the fullest store is, how many replicas
 * moved beside the fewest possible, and how long `next` takes (the median of a few runs).
 */
import { performance } from 'node:perf_hooks'
import type { StoreId } from '../../membership/configuration.ts'
import { foldPlacement, type Placement, type PlacementStrategy, plan, type RosterEntry, tokenRing } from '../../ring/index.ts'

export interface PlacementRow {
  readonly strategy: string
  readonly nodes: number
  readonly zones: number
  readonly partitions: number
  readonly replicas: number
  readonly change: string
  /** Seats of the fullest store after the change, over the mean. */
  readonly maxOverMean: number
  readonly moved: number
  /** The fewest moves that lead from an even placement to an even one. A strategy that gives up evenness can move fewer. */
  readonly lowerBound: number
  readonly movedOverLowerBound: number
  readonly leaderChanges: number
  readonly ms: number
}

interface Size { readonly zones: number, readonly perZone: number, readonly partitions: number }

const REPLICAS = 3
const RUNS = 5
const SIZES: readonly Size[] = [
  { zones: 10, perZone: 10, partitions: 1024 },
  { zones: 3, perZone: 10, partitions: 1024 },
  { zones: 20, perZone: 50, partitions: 8192 }
]

function racks (zones: number, perZone: number): RosterEntry[] {
  return Array.from({ length: zones * perZone }, (_, index) => {
    const zone = `zone-${Math.floor(index / perZone)}`
    return { storeId: `${zone}-store-${index % perZone}` as StoreId, incarnation: 1, metadata: { zone, weight: 1 } }
  })
}

const changes: readonly { readonly name: string, readonly apply: (size: Size) => RosterEntry[] }[] = [
  { name: 'join 1', apply: ({ zones, perZone }) => racks(zones + 1, perZone).slice(0, zones * perZone + 1) },
  { name: 'leave 1', apply: ({ zones, perZone }) => racks(zones, perZone).slice(1) },
  { name: 'join 2 zones', apply: ({ zones, perZone }) => racks(zones + 2, perZone) },
  { name: 'lose 1 zone', apply: ({ zones, perZone }) => racks(zones, perZone).slice(perZone) }
]

function measure<S extends Placement> (strategy: PlacementStrategy<S>, size: Size): PlacementRow[] {
  const { zones, perZone, partitions } = size
  const members = racks(zones, perZone)
  const founded = strategy.first({ epoch: 1, members: members.slice(0, 1) }, { partitions, replicas: REPLICAS })
  const formed = strategy.next(founded, { epoch: 2, members })
  const boundOf = evenBounds(members, partitions)
  const row = (before: S, change: string, after: RosterEntry[]): PlacementRow => {
    const times: number[] = []
    let state = before
    for (let run = 0; run < RUNS; run++) {
      const start = performance.now()
      state = strategy.next(before, { epoch: before.epoch + 1, members: after })
      times.push(performance.now() - start)
    }
    const { moves, leaderChanges } = plan(before, state)
    const lowerBound = boundOf(before.epoch, after)
    const seats = state.stores.map(store => state.partitionsOf(store).length)
    const mean = seats.reduce((sum, count) => sum + count, 0) / seats.length
    return {
      strategy: strategy.name,
      nodes: zones * perZone,
      zones,
      partitions,
      replicas: REPLICAS,
      change,
      maxOverMean: round(Math.max(...seats) / mean, 3),
      moved: moves.length,
      lowerBound,
      movedOverLowerBound: round(moves.length / Math.max(1, lowerBound), 3),
      leaderChanges,
      ms: round(times.sort((a, b) => a - b)[RUNS >> 1]!, 2)
    }
  }
  return [row(founded, 'form', members), ...changes.map(({ name, apply }) => row(formed, name, apply(size)))]
}

/** The lower bounds of changes of an even placement with the same history, by the epoch they start from. */
function evenBounds (members: RosterEntry[], partitions: number): (epoch: number, after: RosterEntry[]) => number {
  const founded = foldPlacement.first({ epoch: 1, members: members.slice(0, 1) }, { partitions, replicas: REPLICAS })
  const formed = foldPlacement.next(founded, { epoch: 2, members })
  return (epoch, after) => {
    const before = epoch === 1 ? founded : formed
    return plan(before, foldPlacement.next(before, { epoch: epoch + 1, members: after })).lowerBound
  }
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

/** One row per strategy, size and change. Takes a few seconds. */
export async function placementBench (): Promise<PlacementRow[]> {
  const rows: PlacementRow[] = []
  for (const size of SIZES) {
    rows.push(...measure(foldPlacement, size), ...measure(tokenRing, size))
    // Lets the process answer signals between two sizes.
    await new Promise<void>(resolve => { setImmediate(resolve) })
  }
  return rows
}
