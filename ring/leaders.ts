/**
 * Chooses who leads each partition among its holders: within one of every store's share, changing as few leaders as possible.
 *
 * Leading moves for free among replicas, so it is settled after the seats. A leader that is still there stays; a partition that
 * lost its leader passes to the store that needs one most, else to the next in its order; what is then above or below its share is
 * evened out along shortest chains of partitions. Bounds that follow from the shares can always be met, as letting each holder lead
 * an equal part of a partition is a flow within them. Rule S4: the store's own order decides who takes over. Pure.
 */
import type { Draft } from './draft.ts'
import { RingError } from './errors.ts'
import { EMPTY } from './table-data.ts'

interface Bounds { readonly low: Int32Array, readonly high: Int32Array }

/** Each store's share of leaders, rounded down and up. */
function leaderBounds ({ shares, counts }: Draft): Bounds {
  const low = new Int32Array(counts.length)
  const high = new Int32Array(counts.length)
  for (let slot = 0; slot < counts.length; slot++) {
    const divisor = shares.denominator[slot]! * Math.max(1, shares.replicas)
    const rest = shares.numerator[slot]! % divisor
    low[slot] = (shares.numerator[slot]! - rest) / divisor
    high[slot] = low[slot]! + (rest > 0 ? 1 : 0)
  }
  return { low, high }
}

/** Per partition, the slot that leads it; EMPTY where no store that is present and has weight holds a seat. */
export function chooseLeaders (draft: Draft): Int32Array {
  const leaders = new Int32Array(draft.partitions).fill(EMPTY)
  const led = new Int32Array(draft.counts.length)
  const bounds = leaderBounds(draft)
  const orphans: number[] = []
  for (let partition = 0; partition < draft.partitions; partition++) {
    if (draft.held[partition] === 0) continue
    const incumbent = draft.firstBefore(partition)
    if (incumbent === EMPTY || !draft.holds(partition, incumbent)) {
      orphans.push(partition)
      continue
    }
    leaders[partition] = incumbent
    led[incumbent]!++
  }
  for (const partition of orphans) {
    const leader = successor(draft, partition, led, bounds)
    leaders[partition] = leader
    led[leader]!++
  }
  even(draft, leaders, led, bounds)
  return leaders
}

/** Who leads a partition that lost its leader: whoever is shortest of leaderships, else the first with room for one more. */
function successor (draft: Draft, partition: number, led: Int32Array, { low, high }: Bounds): number {
  const row = draft.row(partition)
  const stayed = draft.rowBefore(partition).filter(slot => slot !== EMPTY && row.includes(slot))
  const inOrder = [...stayed, ...row.filter(slot => draft.seatEpoch(partition, slot) === 0)]
  let best = inOrder[0]!
  let need = 0
  for (const slot of inOrder) {
    if (low[slot]! - led[slot]! <= need) continue
    best = slot
    need = low[slot]! - led[slot]!
  }
  return need > 0 ? best : inOrder.find(slot => led[slot]! < high[slot]!) ?? best
}

/** Passes leaderships on until every store is within its bounds. */
function even (draft: Draft, leaders: Int32Array, led: Int32Array, { low, high }: Bounds): void {
  for (let slot = 0; slot < led.length; slot++) {
    while (led[slot]! > high[slot]!) {
      pass(slot, node => draft.cellsOf(node).flatMap(cell => {
        const partition = draft.partitionOfCell(cell)
        return leaders[partition] === node ? [...draft.row(partition)].map(next => ({ next, partition })) : []
      }), node => led[node]! < low[node]! ? 2 : led[node]! < high[node]! ? 1 : 0, (from, to, partition) => {
        leaders[partition] = to
        led[from]!--
        led[to]!++
      })
    }
  }
  for (let slot = 0; slot < led.length; slot++) {
    while (led[slot]! < low[slot]!) {
      pass(slot, node => draft.cellsOf(node).map(cell => {
        const partition = draft.partitionOfCell(cell)
        return { next: leaders[partition]!, partition }
      }), node => led[node]! > low[node]! ? 2 : 0, (to, from, partition) => {
        leaders[partition] = to
        led[from]!--
        led[to]!++
      })
    }
  }
}

/**
 * Walks breadth-first from `start` to the nearest store that `fits` (2: best, 1: will do), then carries out each step of the way.
 */
function pass (
  start: number,
  neighbours: (slot: number) => { next: number, partition: number }[],
  fits: (slot: number) => 0 | 1 | 2,
  carryOut: (slot: number, next: number, partition: number) => void
): void {
  const steps = new Map<number, { parent: number, partition: number }>([[start, { parent: start, partition: EMPTY }]])
  let level = [start]
  while (level.length > 0) {
    const nextLevel: number[] = []
    let end = EMPTY
    for (const slot of level) {
      for (const { next, partition } of neighbours(slot)) {
        if (steps.has(next)) continue
        steps.set(next, { parent: slot, partition })
        nextLevel.push(next)
        const fit = fits(next)
        if (fit > (end === EMPTY ? 0 : fits(end))) end = next
      }
    }
    if (end !== EMPTY) {
      for (let node = end; node !== start;) {
        const { parent, partition } = steps.get(node)!
        carryOut(parent, node, partition)
        node = parent
      }
      return
    }
    level = nextLevel
  }
  throw new RingError('RING_INVARIANT', 'no chain of partitions evens out the leaders')
}
