/**
 * What a replica core is given and told: its options, its surroundings, its view of the configuration, its inputs.
 *
 * Pure: types.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Absence } from '../absences.ts'
import type { Operation, OperationId, WatchSpec } from '../client-protocol.ts'
import type { ReplicaLeases } from '../leases.ts'
import type { Slowness } from '../pace.ts'
import type { ScanSpec } from '../scan-range.ts'
import type { CopyOptions } from './copy.ts'
import type { DurableState, Expiring, Found, Ticket } from './effects.ts'
import type { Decree } from './forced.ts'
import type { Entry, Group } from './history.ts'
import type { GroupMessage, Item } from './messages.ts'
import type { Durability } from './synced-log.ts'

export interface ReplicaOptions extends CopyOptions {
  /** Silence after which a message is sent again, in milliseconds; longer where answers were seen to take longer. */
  readonly retryMs: number
  /** Silence of a leader that was asked to lead, after which any member takes over, in milliseconds. */
  readonly takeoverMs: number
  /**
   * The longest that writes wait for a handover before they go on and it is tried again, in milliseconds; twice as long each time
   * that it did not suffice, up to sixteen times.
   */
  readonly pauseMsMax: number
  /** How long a handover waits for all live members of the next group; afterwards a majority suffices. In milliseconds. */
  readonly patienceMs: number
  /**
   * How long a store must be gone before its seats are copied to others, in milliseconds, by the clock of whoever leads. The lead moves
   * at once. Raising it saves the copying after longer absences, and leaves partitions with one replica fewer for longer.
   */
  readonly rereplicateAfterMs: number
  /** Delay after which committed entries are written to the data, when nothing else is written, in milliseconds. */
  readonly applyDelayMs: number
  /** Entries and bytes of one append or tail message. */
  readonly batchEntriesMax: number
  readonly batchBytesMax: number
  /** Bytes of one piece of a snapshot. */
  readonly chunkBytes: number
  /** Values that a leader looks at in a turn to see whether they have expired. */
  readonly expiryBatchMax: number
  /**
   * How often a leader logs what time it is while values wait to expire and nothing else that it logs tells it, in milliseconds. A
   * change of the leader delays what expires by that much more at most. Raising it costs fewer entries.
   */
  readonly expiryStampMs: number
  /** Operations that wait at the leader, committed or not. Beyond it, STORE_OVERLOADED. */
  readonly waitingMax: number
}

/** What one partition needs to know of a configuration. */
export interface PartitionView {
  readonly epoch: number
  /** The stores of the configuration's members, each with its incarnation, which rises with every process of the store (rule R3). */
  readonly live: ReadonlyMap<StoreId, number>
  /** Where the placement wants this partition, and since which epochs. */
  readonly seats: readonly StoreId[]
  readonly seatEpochs: readonly number[]
  readonly digest: string
  /** Stores that are gone, as long as that may be a restart. */
  readonly departed: ReadonlyMap<StoreId, Absence>
  /** The group of generation 0. */
  readonly genesis: Group
  /** The last force of this partition, if there was one. */
  readonly forced?: Decree | undefined
}

export type ReplicaInput =
  | { readonly kind: 'view', readonly view: PartitionView }
  | { readonly kind: 'message', readonly from: StoreId, readonly message: GroupMessage }
  | { readonly kind: 'persisted', readonly token: number }
  | { readonly kind: 'fetched', readonly token: number, readonly values: Found }
  | { readonly kind: 'scanned', readonly token: number, readonly items: readonly Item[], readonly done: boolean }
  | { readonly kind: 'write', readonly ticket: Ticket, readonly id: OperationId, readonly operations: readonly Operation[] }
  /** `after`: any replica may answer that has everything up to there; without it, the read is linearizable. */
  | { readonly kind: 'read', readonly ticket: Ticket, readonly keys: readonly Uint8Array[], readonly after?: number }
  | { readonly kind: 'scan', readonly ticket: Ticket, readonly scan: ScanSpec }
  | { readonly kind: 'watch', readonly ticket: Ticket, readonly watch: WatchSpec }
  | { readonly kind: 'ranged', readonly token: number, readonly items: readonly Item[], readonly done: boolean }
  | { readonly kind: 'expiring', readonly token: number, readonly records: readonly Expiring[] }
  /** The end of a turn: whatever was collected goes out as one message per peer and one persist. */
  | { readonly kind: 'flush' }
  | { readonly kind: 'tick' }

/** What the node's transfers share: see ../transfer-schedule.ts. */
export interface Transfers {
  /** Asks for one of the few places, again and again until there is one. */
  acquire (teacher: object, liveReplicas: number): boolean
  /** Gives back the place, or the wish for it. */
  release (teacher: object): void
  /** True when the next piece may be sent. */
  ready (now: number): boolean
  spend (now: number, bytes: number): void
}

export interface ReplicaComponents {
  readonly self: StoreId
  /** What an earlier run left, with the log of the live copy and of a whole learner copy. */
  readonly durable?: { readonly state: DurableState, readonly entries: readonly Entry[] }
  /** A random number of this run, so that its questions are not answered by answers to an earlier run's. At most 2^48. */
  readonly nonce: number
  readonly transfers: Transfers
  /** The store's leases. @default none: every read is confirmed */
  readonly leases?: ReplicaLeases
  /** How slow this process is. @default not at all */
  readonly slowness?: Slowness
  /** What an acknowledgement speaks of. @default 'sync' */
  readonly durability?: Durability
}
