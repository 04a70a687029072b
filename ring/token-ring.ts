/**
 * The classical ring of virtual nodes, behind the same interface as the fold: to compare with, and for clusters that must not
 * depend on history.
 *
 * Each store has tokens on the hash circle in proportion to its weight; a partition belongs to the first R stores met clockwise
 * from its start, zones kept apart as far as there are enough (Karger et al., STOC '97; DeCandia et al., "Dynamo", SOSP '07,
 * section 6; zones as in Cassandra's NetworkTopologyStrategy). Which stores that are present hold a partition depends on the
 * configuration alone. What does depend on history, as for any placement, is only which departed stores keep a seat for want of
 * another (rule R2), since when seats are held, and former holders. Pure.
 */
import { beginStep, emptyTable, finishStep, type Step } from './carry.ts'
import { mix } from './hash.ts'
import { completeOptions, type PlacementOptions, type PlacementStrategy, type Roster } from './placement.ts'
import { encodeTable, decodeTable } from './table-codec.ts'
import { isActive, type StoreRecord } from './stores.ts'
import { PlacementTable } from './table.ts'

export type TokenRingState = PlacementTable

/** Tokens of the heaviest store. Others have proportionally fewer, but at least one. */
export const TOKENS_PER_STORE = 128

const NAME = 'token-ring'
const VERSION = 1

export const tokenRing: PlacementStrategy<TokenRingState> = Object.freeze({
  name: NAME,
  version: VERSION,
  first (configuration: Roster, options?: PlacementOptions): TokenRingState {
    const { partitions, replicas } = completeOptions(options)
    return advance(beginStep(emptyTable(NAME, VERSION, partitions, replicas), configuration))
  },
  next: (previous: TokenRingState, configuration: Roster): TokenRingState => advance(beginStep(previous.data, configuration)),
  encode: (state: TokenRingState): Uint8Array => encodeTable(state.data),
  decode: (bytes: Uint8Array): TokenRingState => new PlacementTable(decodeTable(bytes, NAME, VERSION))
})

/** Positions on a circle of 2^32, ascending, with their stores' slots. Equal positions are in the order of slots. */
interface Tokens { readonly positions: Uint32Array, readonly slots: Int32Array }

function tokensOf (records: readonly StoreRecord[]): Tokens {
  const heaviest = records.reduce((most, record) => isActive(record) ? Math.max(most, record.weight) : most, 1)
  const packed: number[] = []
  for (const [slot, record] of records.entries()) {
    if (!isActive(record)) continue
    const scaled = TOKENS_PER_STORE * record.weight
    const tokens = Math.max(1, (scaled - scaled % heaviest) / heaviest)
    // Position and slot in one exact integer below 2^53, so that they sort as numbers.
    for (let token = 0; token < tokens; token++) packed.push(mix(record.seed, token) * 2 ** 21 + slot)
  }
  const sorted = Float64Array.from(packed).sort()
  return {
    positions: Uint32Array.from(sorted, value => Math.floor(value / 2 ** 21)),
    slots: Int32Array.from(sorted, value => value % 2 ** 21)
  }
}

function advance (step: Step): TokenRingState {
  const { draft, records } = step
  const { positions, slots } = tokensOf(records)
  const arc = 2 ** 32 / draft.partitions
  let start = 0
  for (let partition = 0; partition < draft.partitions; partition++) {
    while (start < positions.length && positions[start]! < partition * arc) start++
    for (let token = 0; token < positions.length && draft.held[partition]! < draft.shares.replicas; token++) {
      const slot = slots[(start + token) % positions.length]!
      if (draft.admits(partition, slot)) draft.add(partition, slot)
    }
  }
  return finishStep(step, (partition, row) => { row.set(draft.row(partition)) })
}
