/**
 * What a partition is told of a configuration, and which partitions a store has to do with: from the agreed state.
 *
 * Pure.
 */
import type { StoreId } from '../membership/configuration.ts'
import type { PartitionIndex, Placement } from '../ring/index.ts'
import type { AgreedState } from './agreed-state.ts'
import { type Group, NO_BALLOT } from './group/history.ts'
import type { PartitionView } from './group/replica-contract.ts'

/** @param common what is the same for all partitions */
export function partitionView (
  state: AgreedState, placement: Placement, partition: PartitionIndex, common: Pick<PartitionView, 'epoch' | 'live' | 'departed'>
): PartitionView {
  const genesis: Group = {
    generation: 0, members: state.genesisMembers(partition), base: 0, previous: { ballot: NO_BALLOT, seq: 0 }, epoch: state.genesisEpoch
  }
  const [seats, seatEpochs] = [placement.seats(partition), placement.seatEpochs(partition)]
  return { ...common, seats, seatEpochs, digest: placement.digest, genesis, forced: state.forced.get(partition) }
}

/** The partitions that give a store a seat, or gave it one in the first placement. */
export function partitionsConcerning (store: StoreId, state: AgreedState, placement: Placement): ReadonlySet<number> {
  const concerned = new Set<number>(placement.partitionsOf(store))
  for (let partition = 0; partition < placement.partitions; partition++) {
    if (state.genesisMembers(partition as PartitionIndex).includes(store)) concerned.add(partition)
  }
  return concerned
}
