/**
 * Checks what arrives on the transport channel `client`, at a node and at a client.
 *
 * Pure.
 */
import type { Metadata, StoreId } from '../membership/configuration.ts'
import type { Address } from '../membership/environment/environment.ts'
import { MembershipError } from '../membership/errors.ts'
import { checkMetadata } from '../membership/metadata-checks.ts'
import {
  type ChangedEntry, type ClientRequest, type ClusterView, type NodeChange, type NodeResponse, type Operation, type OperationId, type WatchSpec,
  WIRE_LIMITS
} from './client-protocol.ts'
import { type FailedCondition, StoreError, STORE_ERROR_CODES } from './errors.ts'
import { validateOrder } from './force/order.ts'
import { isBelow, type Page, type ScanSpec } from './scan-range.ts'

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

/** What a request expects of its answer. */
function expecting ({ expects }: Record<string, unknown>): { readonly expects?: number } {
  return expects === undefined ? {} : { expects: natural(expects, 'the bytes of an answer', WIRE_LIMITS.answerBytesMax) }
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
      return { kind: 'read', request, partition: natural(value.partition, 'a partition', 65535), keys, ...after, ...expecting(value) }
    }
    case 'scan': {
      const partition = natural(value.partition, 'a partition', 65535)
      return { kind: 'scan', request, partition, scan: validateScan(value.scan), ...expecting(value) }
    }
    case 'watch': {
      const partition = natural(value.partition, 'a partition', 65535)
      return { kind: 'watch', request, partition, watch: validateWatch(value.watch), ...expecting(value) }
    }
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
        ...(value.bytes === undefined ? {} : { bytes: natural(value.bytes, 'the bytes of an answer', WIRE_LIMITS.answerBytesMax) }),
        ...(value.seq === undefined ? {} : { seq: natural(value.seq, 'a sequence number') }),
        ...(value.waitingFor === undefined ? {} : { waitingFor: list(value.waitingFor, 1000, 'stores', item => text(item, 'a store id') as StoreId) }),
        ...(value.failed === undefined ? {} : { failed: validateFailedCondition(value.failed) })
      }
    }
    default: return fail('the kind of a response')
  }
}
