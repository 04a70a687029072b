/** What the simulator's oracle remembers of one partition. */
import type { StoreId } from '../../membership/configuration.ts'
import type { Ballot, Group } from '../../store/group/history.ts'
import type { Leader } from '../../store/group/leader.ts'
import { CommittedHistory } from './committed-history.ts'

export const ballotText = ({ epoch, attempt, store }: Ballot): string => `${epoch}.${attempt}.${store}`

export class PartitionMemory {
  readonly history = new CommittedHistory()
  /** The epoch of the last force. */
  forced = 0
  /** By generation. */
  readonly chain: Group[] = []
  /** Groups that were compared already: a replica shows the same object event after event. */
  readonly comparedGroups = new WeakSet<Group>()
  /** The highest promise sent, by store and generation. */
  readonly promised = new Map<StoreId, Map<number, Ballot>>()
  /** Who started a ballot, by generation and ballot. */
  readonly ballots = new Map<string, Leader>()
  readonly leaders = new WeakSet<Leader>()
  /** Copies whose data was compared when they were first said to be whole, by store and copy number. */
  readonly taught = new Set<string>()
  /** The highest ballot that has committed an entry of its own, in the newest generation in which one has. */
  served: { readonly generation: number, readonly ballot: Ballot } | undefined
  /** Answers that each leader gave under a lease, as of the last look. */
  readonly leased = new WeakMap<Leader, number>()
  /** How far the commits of a copy have been compared. */
  readonly compared = new WeakMap<object, number>()
}
