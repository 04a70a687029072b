/**
 * The messages between a client and a node (transport channel `client`).
 *
 * Every request carries a number chosen by the client, unique per connection; the node answers each request exactly once on the
 * same connection, in any order. Both directions share frames with whatever else is ready in the same turn.
 *
 * Pure: types and limits; what arrives is checked by client-protocol-checks.ts.
 */
import type { Address } from '../membership/environment/environment.ts'
import type { Metadata, StoreId } from '../membership/configuration.ts'
import type { FailedCondition, StoreErrorCode } from './errors.ts'
import type { ForceOrder } from './force/order.ts'
import type { Page, ScanSpec } from './scan-range.ts'

export const CLIENT_PROTOCOL_VERSION = 1

/** Limits that hold on both sides of the wire, whatever the options say. */
export const WIRE_LIMITS = Object.freeze({
  keyBytesMax: 4096,
  valueBytesMax: 8 * 1024 * 1024,
  operationsPerWriteMax: 100_000,
  keysPerReadMax: 100_000,
  /** Bytes of values after which the answer to a read ends; it has one value at least. Whoever asked asks again for the rest. */
  readBytesMax: 8 * 1024 * 1024,
  /** Items and bytes that one page of a scan may be asked for. */
  scanItemsMax: 10_000,
  scanBytesMax: 4 * 1024 * 1024,
  /** The longest that a watch may have a node wait. */
  watchWaitMsMax: 60_000,
  /** The longest that a value may be given to live: ten years. */
  ttlMsMax: 3650 * 24 * 3600 * 1000,
  /** What an answer may be expected to take: no message is longer. */
  answerBytesMax: 32 * 1024 * 1024,
  textMax: 4096
})

/** On which version of its key an operation depends, if on any; 0 means that the key has no value. */
interface Condition { readonly ifVersion?: number }

/**
 * One change of one key. A write is a list of them, applied atomically: all of them belong to one partition, and none of them
 * happens unless the conditions of all hold, on the state before the write.
 */
export type Operation = Condition & (
  | { readonly kind: 'put', readonly key: Uint8Array, readonly value: Uint8Array, readonly ttlMs?: number }
  | { readonly kind: 'del', readonly key: Uint8Array })

/** Bytes of its key and value. */
export const operationBytes = (operation: Operation): number => operation.key.length + (operation.kind === 'put' ? operation.value.length : 0)

/** Names one write of one client for ever, so that a retry of it happens once (rule S9). */
export interface OperationId {
  /** The client's id, fresh at each connect(). */
  readonly client: string
  /** Counts that client's writes. */
  readonly number: number
  /** The partition's sequence number as the client knew it when it first sent this write. It never changes in a retry. */
  readonly base: number
}

/** What a watch asks a partition for. */
export interface WatchSpec {
  /** Of changes of keys that begin so. */
  readonly prefix: Uint8Array
  /** The position after which changes are wanted; -1 asks for the present position alone. */
  readonly after: number
  /** How long to wait for a change, in milliseconds. */
  readonly waitMs: number
  /** Bytes of keys and values after which the answer ends; it has one entry at least. */
  readonly bytesMax: number
}

/** What one committed write did to the keys that are watched: each once, the last operation on it. A value of null: deleted. */
export interface ChangedEntry {
  readonly seq: number
  /** The time of these keys was over. */
  readonly expired?: true
  readonly changes: readonly { readonly key: Uint8Array, readonly value: Uint8Array | null }[]
}

/** `drained`: everything is moved away before. `now`: to the others it is a crash that was announced. */
export type LeaveMode = 'drained' | 'now'

/** What a node is asked to change about itself, if anything. It answers once that is agreed on; of leaving, once that has begun. */
export interface NodeChange {
  /** True: the node shall drain its store; false: take that back. */
  readonly drain?: boolean
  /** Other metadata of the node: what is not named stays as it is. */
  readonly update?: Partial<Metadata>
  /** Give up on stores that are lost for good. */
  readonly force?: ForceOrder
  /** Leave the cluster, and end; the status tells how that gets on. */
  readonly leave?: LeaveMode
}

/**
 * What the answer takes in bytes, where an earlier attempt was refused since there was no room for it: as long as there is none nothing
 * is read.
 */
interface Expecting { readonly expects?: number }

export type ClientRequest =
  /** Asks for the cluster as this node knows it; with `after`, as soon as it is in a later epoch than that. */
  | { readonly kind: 'view', readonly request: number, readonly protocol: number, readonly after?: number }
  /**
   * Read of keys of one partition: linearizable, or, with `after`, from any replica that has everything up to that position. An answer
   * then says in `seq` how much it has.
   */
  | { readonly kind: 'read', readonly request: number, readonly partition: number, readonly keys: readonly Uint8Array[], readonly after?: number } & Expecting
  /** Atomic write of keys of one partition. `id.base` is -1 when the client knows no sequence number of the partition yet. */
  | { readonly kind: 'write', readonly request: number, readonly partition: number, readonly id: OperationId, readonly operations: readonly Operation[] }
  /** Reads one page of a range of keys of one partition, linearizably. */
  | { readonly kind: 'scan', readonly request: number, readonly partition: number, readonly scan: ScanSpec } & Expecting
  /** Asks for the changes of one partition after a position; answered when there are some, or after `waitMs`. */
  | { readonly kind: 'watch', readonly request: number, readonly partition: number, readonly watch: WatchSpec } & Expecting
  /** Asks for the node's status, for people and tools. */
  | {
    readonly kind: 'status'
    readonly request: number
    /** Why the configuration of this epoch came about, instead of the status. */
    readonly explain?: number
    /** Asks for what the node's store knows of each partition instead: see force/survey.ts. */
    readonly survey?: boolean
  } & NodeChange

/** The cluster as a node knows it: what a client needs in order to route by itself. */
export interface ClusterView {
  readonly clusterId: string
  readonly clusterName: string
  readonly epoch: number
  readonly configurationId: string
  /** By store id: where each member of the configuration listens. */
  readonly addresses: Readonly<Record<string, Address>>
  /** The encoded state of the store's fold (see `agreed-state.ts`): genesis and placement. */
  readonly state: Uint8Array
}

export type NodeResponse =
  | { readonly kind: 'view', readonly request: number, readonly view: ClusterView }
  /**
   * One value or null per key asked, with its version (the sequence number of the write, 0 where absent): of all keys, or of the first ones,
   * one at least, where their values have `readBytesMax`. `seq`: the partition's position.
   */
  | { readonly kind: 'values', readonly request: number, readonly values: readonly (Uint8Array | null)[], readonly versions: readonly number[], readonly seq: number }
  /** The write is committed at `seq`, which is also the version of its keys. */
  | { readonly kind: 'written', readonly request: number, readonly seq: number }
  /** One page of a partition, as it was when all of its history up to `seq` was committed and nothing else. */
  | { readonly kind: 'page', readonly request: number, readonly page: Page, readonly seq: number }
  /** All changes that were asked for, up to a position, in their order. */
  | { readonly kind: 'changes', readonly request: number, readonly entries: readonly ChangedEntry[], readonly upTo: number, readonly seq: number }
  | { readonly kind: 'status', readonly request: number, readonly status: unknown }
  | {
    readonly kind: 'error'
    readonly request: number
    readonly code: StoreErrorCode
    readonly message: string
    readonly definite: boolean
    /** The epoch the node is in: a client with an older view asks for a new one. */
    readonly epoch: number
    /** Who to ask instead, best first, where the node knows better than the placement. */
    readonly hints?: readonly { readonly storeId: StoreId, readonly address: Address }[]
    /** STORE_OVERLOADED for want of room for the answer: what that takes. The next attempt names it. */
    readonly bytes?: number
    /** BASE_REQUIRED: the partition's position. */
    readonly seq?: number
    /** PARTITION_UNAVAILABLE: the missing stores. */
    readonly waitingFor?: readonly StoreId[]
    /** CONDITION_FAILED: which condition, and why. */
    readonly failed?: FailedCondition
  }
