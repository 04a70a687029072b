/**
 * The messages between a client and a node (transport channel `client`).
 *
 * Every request carries a number chosen by the client, unique per connection; the node answers each request exactly once on the
 * same connection, in any order. Both directions share frames with whatever else is ready in the same turn.
 *
 * Pure: types, and the validation of what arrives.
 */
import type { Address } from '../membership/environment/environment.ts'
import type { Metadata, StoreId } from '../membership/configuration.ts'
import { MembershipError } from '../membership/errors.ts'
import { checkMetadata } from '../membership/metadata-checks.ts'
import { type FailedCondition, StoreError, STORE_ERROR_CODES, type StoreErrorCode } from './errors.ts'
import { type ForceOrder, validateOrder } from './force/order.ts'
import { isBelow, type Page, type ScanSpec } from './scan-range.ts'

export const CLIENT_PROTOCOL_VERSION = 1

/** Limits that hold on both sides of the wire, whatever the options say. */
export const WIRE_LIMITS = Object.freeze({
  keyBytesMax: 4096,
  valueBytesMax: 8 * 1024 * 1024,
  operationsPerWriteMax: 100_000,
  keysPerReadMax: 100_000,
  /** Items and bytes that one page of a scan may be asked for. */
  scanItemsMax: 10_000,
  scanBytesMax: 4 * 1024 * 1024,
  /** The longest that a watch may have a node wait. */
  watchWaitMsMax: 60_000,
  /** The longest that a value may be given to live: ten years. */
  ttlMsMax: 3650 * 24 * 3600 * 1000,
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

export type ClientRequest =
  /** Asks for the cluster as this node knows it; with `after`, as soon as it is in a later epoch than that. */
  | { readonly kind: 'view', readonly request: number, readonly protocol: number, readonly after?: number }
  /**
   * Read of keys of one partition: linearizable, or, with `after`, from any replica that has everything up to that position. An answer
   * then says in `seq` how much it has.
   */
  | { readonly kind: 'read', readonly request: number, readonly partition: number, readonly keys: readonly Uint8Array[], readonly after?: number }
  /** Atomic write of keys of one partition. `id.base` is -1 when the client knows no sequence number of the partition yet. */
  | { readonly kind: 'write', readonly request: number, readonly partition: number, readonly id: OperationId, readonly operations: readonly Operation[] }
  /** Reads one page of a range of keys of one partition, linearizably. */
  | { readonly kind: 'scan', readonly request: number, readonly partition: number, readonly scan: ScanSpec }
  /** Asks for the changes of one partition after a position; answered when there are some, or after `waitMs`. */
  | { readonly kind: 'watch', readonly request: number, readonly partition: number, readonly watch: WatchSpec }
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
  /** One value or null per key asked, with its version (the sequence number of the write, 0 where absent). `seq`: the partition's position. */
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
    /** BASE_REQUIRED: the partition's position. */
    readonly seq?: number
    /** PARTITION_UNAVAILABLE: the missing stores. */
    readonly waitingFor?: readonly StoreId[]
    /** CONDITION_FAILED: which condition, and why. */
    readonly failed?: FailedCondition
  }

const fail = (what: string): never => { throw new StoreError('STORE_INVALID_MESSAGE', `not a valid client message: ${what}`) }

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

const natural = (value: unknown, what: string, maximum = Number.MAX_SAFE_INTEGER): number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= maximum ? value : fail(what)

const text = (value: unknown, what: string): string =>
  typeof value === 'string' && value.length <= WIRE_LIMITS.textMax ? value : fail(what)

function key (value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > WIRE_LIMITS.keyBytesMax) return fail('a key')
  return value
}

function bytes (value: unknown, maximum: number, what: string): Uint8Array {
  return value instanceof Uint8Array && value.length <= maximum ? value : fail(what)
}

function list<T> (value: unknown, maximum: number, what: string, element: (value: unknown) => T): T[] {
  if (!Array.isArray(value) || value.length > maximum) return fail(what)
  return value.map(element)
}

/** One change, checked. @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateOperation (value: unknown): Operation {
  if (!isRecord(value)) return fail('an operation')
  const condition = value.ifVersion === undefined ? {} : { ifVersion: natural(value.ifVersion, 'a version') }
  if (value.kind === 'put') {
    const ttl = value.ttlMs === undefined ? {} : { ttlMs: natural(value.ttlMs, 'a time to live', WIRE_LIMITS.ttlMsMax) }
    if (ttl.ttlMs === 0) return fail('no time to live')
    return { kind: 'put', key: key(value.key), value: bytes(value.value, WIRE_LIMITS.valueBytesMax, 'a value'), ...condition, ...ttl }
  }
  if (value.kind === 'del') return { kind: 'del', key: key(value.key), ...condition }
  return fail('the kind of an operation')
}

/** Which condition of a write did not hold, checked. Shared with the messages between replicas. @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateFailedCondition (value: unknown): FailedCondition {
  if (!isRecord(value)) return fail('a condition')
  const operation = natural(value.operation, 'the place of an operation', WIRE_LIMITS.operationsPerWriteMax - 1)
  return { operation, version: natural(value.version, 'a version') }
}

/** @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateOperationId (value: unknown): OperationId {
  if (!isRecord(value)) return fail('an operation id')
  const base = value.base === -1 ? -1 : natural(value.base, 'a base')
  return { client: text(value.client, 'a client id'), number: natural(value.number, 'an operation number'), base }
}

/** A bound of a range. It may be one byte longer than a key, and empty. */
function bound (value: unknown): Uint8Array {
  return bytes(value, WIRE_LIMITS.keyBytesMax + 1, 'a bound of a range')
}

function validateScan (value: unknown): ScanSpec {
  if (!isRecord(value)) return fail('a scan')
  const from = bound(value.from)
  const to = value.to === null ? null : bound(value.to)
  if (!isBelow(from, to)) return fail('a range without keys')
  const limit = natural(value.limit, 'a limit', WIRE_LIMITS.scanItemsMax)
  const bytesMax = natural(value.bytesMax, 'a limit of bytes', WIRE_LIMITS.scanBytesMax)
  if (limit === 0) return fail('a limit of no items')
  return { from, to, reverse: value.reverse === true, limit, bytesMax, values: value.values === true }
}

function validateWatch (value: unknown): WatchSpec {
  if (!isRecord(value)) return fail('a watch')
  return {
    prefix: key(value.prefix),
    after: value.after === -1 ? -1 : natural(value.after, 'a position'),
    waitMs: natural(value.waitMs, 'a time to wait', WIRE_LIMITS.watchWaitMsMax),
    bytesMax: natural(value.bytesMax, 'a limit of bytes', WIRE_LIMITS.scanBytesMax)
  }
}

function validateChange (value: unknown): ChangedEntry['changes'][number] {
  if (!isRecord(value)) return fail('a change')
  return { key: key(value.key), value: value.value === null ? null : bytes(value.value, WIRE_LIMITS.valueBytesMax, 'a value') }
}

function validateChangedEntry (value: unknown): ChangedEntry {
  if (!isRecord(value)) return fail('an entry')
  const changes = list(value.changes, WIRE_LIMITS.operationsPerWriteMax, 'changes', validateChange)
  if (changes.length === 0) return fail('an entry without changes')
  return { seq: natural(value.seq, 'a sequence number'), ...value.expired === true ? { expired: true } : {}, changes }
}

function validatePage (value: unknown): Page {
  if (!isRecord(value)) return fail('a page')
  const keys = list(value.keys, WIRE_LIMITS.scanItemsMax, 'keys', key)
  const values = list(value.values, WIRE_LIMITS.scanItemsMax, 'values', item => bytes(item, WIRE_LIMITS.valueBytesMax, 'a value'))
  return { keys, values, next: value.next === null ? null : bound(value.next) }
}

function validateNodeChange ({ drain, update, force, leave }: Record<string, unknown>): NodeChange {
  if (drain !== undefined && typeof drain !== 'boolean') return fail('drain')
  if ([drain, update, force, leave].filter(change => change !== undefined).length > 1) return fail('two changes at once')
  if (drain !== undefined) return { drain }
  if (leave !== undefined) return leave === 'drained' || leave === 'now' ? { leave } : fail('leave')
  if (force !== undefined) return { force: validateOrder(force) }
  if (update === undefined) return {}
  try {
    return { update: checkMetadata(update as Partial<Metadata>) }
  } catch (error) {
    if (!(error instanceof MembershipError)) throw error
    return fail(error.message)
  }
}

/** What a node received on the client channel, checked. @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateClientRequest (value: unknown): ClientRequest {
  if (!isRecord(value)) return fail('a request')
  const request = natural(value.request, 'a request number')
  switch (value.kind) {
    case 'view': {
      const protocol = natural(value.protocol, 'a protocol version')
      return { kind: 'view', request, protocol, ...value.after === undefined ? {} : { after: natural(value.after, 'an epoch') } }
    }
    case 'status': {
      const change = validateNodeChange(value)
      if (value.explain === undefined && value.survey !== true) return { kind: 'status', request, ...change }
      if (Object.keys(change).length > 0 || (value.explain !== undefined && value.survey === true)) return fail('a change and a question at once')
      return value.survey === true ? { kind: 'status', request, survey: true } : { kind: 'status', request, explain: natural(value.explain, 'an epoch') }
    }
    case 'read': {
      const after = value.after === undefined ? {} : { after: natural(value.after, 'a position') }
      const keys = list(value.keys, WIRE_LIMITS.keysPerReadMax, 'keys', key)
      return { kind: 'read', request, partition: natural(value.partition, 'a partition', 65535), keys, ...after }
    }
    case 'scan': return { kind: 'scan', request, partition: natural(value.partition, 'a partition', 65535), scan: validateScan(value.scan) }
    case 'watch': return { kind: 'watch', request, partition: natural(value.partition, 'a partition', 65535), watch: validateWatch(value.watch) }
    case 'write': {
      const operations = list(value.operations, WIRE_LIMITS.operationsPerWriteMax, 'operations', validateOperation)
      if (operations.length === 0) return fail('an empty write')
      const id = validateOperationId(value.id)
      if (id.client === '') return fail('an operation id without a client')
      return { kind: 'write', request, partition: natural(value.partition, 'a partition', 65535), id, operations }
    }
    default: return fail('the kind of a request')
  }
}

function validateHint (value: unknown): { storeId: StoreId, address: Address } {
  if (!isRecord(value)) return fail('a hint')
  return { storeId: text(value.storeId, 'a store id') as StoreId, address: text(value.address, 'an address') }
}

function validateView (value: unknown): ClusterView {
  if (!isRecord(value) || !isRecord(value.addresses)) return fail('a view')
  const addresses = Object.fromEntries(Object.entries(value.addresses).map(([id, address]) => [text(id, 'a store id'), text(address, 'an address')]))
  return {
    clusterId: text(value.clusterId, 'a cluster id'),
    clusterName: text(value.clusterName, 'a cluster name'),
    epoch: natural(value.epoch, 'an epoch'),
    configurationId: text(value.configurationId, 'a configuration id'),
    addresses,
    state: bytes(value.state, 1 << 28, 'a state')
  }
}

/** What a client received on the client channel, checked. @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateNodeResponse (value: unknown): NodeResponse {
  if (!isRecord(value)) return fail('a response')
  const request = natural(value.request, 'a request number')
  switch (value.kind) {
    case 'view': return { kind: 'view', request, view: validateView(value.view) }
    case 'status': return { kind: 'status', request, status: value.status }
    case 'written': return { kind: 'written', request, seq: natural(value.seq, 'a sequence number') }
    case 'page': return { kind: 'page', request, page: validatePage(value.page), seq: natural(value.seq, 'a sequence number') }
    case 'changes': {
      const entries = list(value.entries, WIRE_LIMITS.operationsPerWriteMax, 'entries', validateChangedEntry)
      return { kind: 'changes', request, entries, upTo: natural(value.upTo, 'a position'), seq: natural(value.seq, 'a sequence number') }
    }
    case 'values': {
      const values = list(value.values, WIRE_LIMITS.keysPerReadMax, 'values', item => item === null ? null : bytes(item, WIRE_LIMITS.valueBytesMax, 'a value'))
      const versions = list(value.versions, WIRE_LIMITS.keysPerReadMax, 'versions', item => natural(item, 'a version'))
      if (versions.length !== values.length) return fail('values and versions of different lengths')
      return { kind: 'values', request, values, versions, seq: natural(value.seq, 'a sequence number') }
    }
    case 'error': {
      const code = STORE_ERROR_CODES.find(known => known === value.code) ?? fail('an error code')
      return {
        kind: 'error',
        request,
        code,
        message: text(value.message, 'an error message'),
        definite: value.definite === true,
        epoch: natural(value.epoch, 'an epoch'),
        ...(value.hints === undefined ? {} : { hints: list(value.hints, 100, 'hints', validateHint) }),
        ...(value.seq === undefined ? {} : { seq: natural(value.seq, 'a sequence number') }),
        ...(value.waitingFor === undefined ? {} : { waitingFor: list(value.waitingFor, 1000, 'stores', item => text(item, 'a store id') as StoreId) }),
        ...(value.failed === undefined ? {} : { failed: validateFailedCondition(value.failed) })
      }
    }
    default: return fail('the kind of a response')
  }
}
