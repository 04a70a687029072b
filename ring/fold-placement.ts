/**
 * The placement as a fold over the agreed configurations: as even as integers allow, and moving as little as possible.
 *
 * Needs every process to see the same sequence of configurations, which is what membership gives; in return it has what no
 * stateless hash has: every store within one seat of its share and the fewest moves, both at once (rules R1 and R2). Pure.
 */
import { beginStep, emptyTable, finishStep, type Step } from './carry.ts'
import { encodeTable, decodeTable } from './table-codec.ts'
import { fill, partZones, seatsToReturn } from './fill.ts'
import { mix } from './hash.ts'
import { chooseLeaders } from './leaders.ts'
import { completeOptions, type PlacementOptions, type PlacementStrategy, type Roster } from './placement.ts'
import { chooseTargets } from './shares.ts'
import { isActive } from './stores.ts'
import { EMPTY } from './table-data.ts'
import { PlacementTable } from './table.ts'

export type FoldState = PlacementTable

const NAME = 'fold'
/** Rises with every change of the algorithm that gives another placement for the same input. */
const VERSION = 1

export const foldPlacement: PlacementStrategy<FoldState> = Object.freeze({
  name: NAME,
  version: VERSION,
  first (configuration: Roster, options?: PlacementOptions): FoldState {
    const { partitions, replicas } = completeOptions(options)
    return advance(beginStep(emptyTable(NAME, VERSION, partitions, replicas), configuration))
  },
  next: (previous: FoldState, configuration: Roster): FoldState => advance(beginStep(previous.data, configuration)),
  encode: (state: FoldState): Uint8Array => encodeTable(state.data),
  decode: (bytes: Uint8Array): FoldState => new PlacementTable(decodeTable(bytes, NAME, VERSION))
})

function advance (step: Step): FoldState {
  const { draft, records, before, former, epoch } = step
  const active = records.map(isActive)
  for (let seat = 0; seat < before.length; seat++) {
    const slot = before[seat]!
    if (slot !== EMPTY && active[slot]!) draft.add(draft.partitionOfCell(seat), slot)
  }
  const targets = chooseTargets(draft.shares, draft.counts, seatsToReturn(draft, former), draft.zones, draft.seeds, epoch)
  partZones(draft, targets)
  fill(draft, targets, former)
  const leaders = chooseLeaders(draft)
  // Stores that were there keep their order, as their copies are complete; newcomers follow, and hashes vary who is second.
  const ranks = new Float64Array(draft.replicas)
  return finishStep(step, (partition, row) => {
    const start = partition * draft.replicas
    for (let index = 0; index < draft.held[partition]!; index++) {
      const slot = draft.cells[start + index]!
      const seat = draft.seatBefore(partition, slot)
      const rank = slot === leaders[partition] ? -1 : seat === EMPTY ? before.length + mix(draft.seeds[slot]!, partition) : seat
      // Rows are short: insertion beats any sort that has to be called.
      let place = index
      while (place > 0 && (ranks[place - 1]! > rank || (ranks[place - 1] === rank && row[place - 1]! > slot))) {
        ranks[place] = ranks[place - 1]!
        row[place] = row[place - 1]!
        place--
      }
      ranks[place] = rank
      row[place] = slot
    }
  })
}
