/**
 * Turns keys and values into the requests that carry them: checks sizes, and groups by partition.
 *
 * Pure.
 */
import { WIRE_LIMITS, type Operation, operationBytes } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import { CLIENT_LIMITS, type Consistency } from './options.ts'
import type { CallPayload } from './call.ts'

/** One call to make. */
export interface PartitionRequest<Payload extends CallPayload = CallPayload> {
  readonly partition: number
  readonly bytes: number
  readonly payload: Payload
}

/** Keys or operations of one request, with their places in the caller's list. */
export interface PlacedRequest<Payload extends CallPayload> extends PartitionRequest<Payload> {
  readonly places: readonly number[]
}

export type ReadRequest = PlacedRequest<Extract<CallPayload, { kind: 'read' }>>
export type WriteRequest = PlacedRequest<Extract<CallPayload, { kind: 'write' }>>

/** @throws {StoreError} STORE_INVALID_KEY */
export function checkKey (key: Uint8Array): void {
  if (key.length <= WIRE_LIMITS.keyBytesMax) return
  throw new StoreError('STORE_INVALID_KEY', `a key has at most ${WIRE_LIMITS.keyBytesMax} bytes, this one ${key.length}`)
}

/** @throws {StoreError} STORE_INVALID_VALUE */
export function checkValue (value: Uint8Array): void {
  if (value.length <= WIRE_LIMITS.valueBytesMax) return
  throw new StoreError('STORE_INVALID_VALUE', `a value has at most ${WIRE_LIMITS.valueBytesMax} bytes, this one ${value.length}`)
}

/** @throws {StoreError} STORE_INVALID_KEY, STORE_INVALID_VALUE */
export function checkOperation (operation: Operation): void {
  checkKey(operation.key)
  if (operation.kind === 'put') checkValue(operation.value)
}

/**
 * One write per partition, in the order in which the partitions first appear; within each, operations keep their order.
 * @throws {StoreError} STORE_INVALID_KEY; STORE_INVALID_VALUE, also for too much in one partition; STORE_INVALID_OPTIONS for conditions
 * in several partitions
 */
export function groupWrites (operations: readonly Operation[], partitionOf: (key: Uint8Array) => number): WriteRequest[] {
  const groups = new Map<number, { operations: Operation[], places: number[], bytes: number }>()
  for (const [place, operation] of operations.entries()) {
    checkOperation(operation)
    const partition = partitionOf(operation.key)
    let group = groups.get(partition)
    if (group === undefined) groups.set(partition, group = { operations: [], places: [], bytes: 0 })
    group.operations.push(operation)
    group.places.push(place)
    group.bytes += operationBytes(operation)
    if (group.operations.length > WIRE_LIMITS.operationsPerWriteMax) {
      throw new StoreError('STORE_INVALID_VALUE', `a batch has at most ${WIRE_LIMITS.operationsPerWriteMax} operations for one partition`)
    }
    if (group.bytes > CLIENT_LIMITS.writeBytesMax) {
      throw new StoreError('STORE_INVALID_VALUE', `a batch has at most ${CLIENT_LIMITS.writeBytesMax} bytes for one partition`)
    }
  }
  if (groups.size > 1 && operations.some(({ ifVersion }) => ifVersion !== undefined)) {
    throw new StoreError('STORE_INVALID_OPTIONS', 'a batch with conditions is all or nothing, so its keys must share a partition: give them the same {tag}')
  }
  return [...groups].map(([partition, { operations, places, bytes }]) => ({ partition, bytes, places, payload: { kind: 'write', operations } }))
}

/**
 * One read per partition, or several where it has more keys than one request takes.
 * @throws {StoreError} STORE_INVALID_KEY
 */
export function groupReads (keys: readonly Uint8Array[], partitionOf: (key: Uint8Array) => number, consistency: Consistency = 'linearizable'): ReadRequest[] {
  type Group = { partition: number, keys: Uint8Array[], places: number[], bytes: number }
  const open = new Map<number, Group>()
  const groups: Group[] = []
  keys.forEach((key, place) => {
    checkKey(key)
    const partition = partitionOf(key)
    let group = open.get(partition)
    if (group === undefined || group.keys.length >= CLIENT_LIMITS.keysPerRequestMax) {
      group = { partition, keys: [], places: [], bytes: 0 }
      groups.push(group)
      open.set(partition, group)
    }
    group.keys.push(key)
    group.places.push(place)
    group.bytes += key.length
  })
  return groups.map(({ partition, bytes, places, keys }) => ({ partition, bytes, places, payload: { kind: 'read', keys, consistency } }))
}
