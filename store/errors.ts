/** The errors of the store: one class, told apart by a stable `code`. They cross the wire as codes. */
import type { StoreId } from '../membership/configuration.ts'

export const STORE_ERROR_CODES = Object.freeze([
  /** An option is missing, unknown, of the wrong type or out of range. */
  'STORE_INVALID_OPTIONS',
  /** A key is not a string or bytes, or larger than `keyBytesMax`. */
  'STORE_INVALID_KEY',
  /** A value is null, undefined, not a string or bytes, or larger than `valueBytesMax`. */
  'STORE_INVALID_VALUE',
  /** Something on the wire was not a message of this protocol. */
  'STORE_INVALID_MESSAGE',
  /** This part of the abstract-level interface is not offered by this client. */
  'STORE_NOT_SUPPORTED',
  /** The call came before the client or node was opened, or after it was closed. */
  'STORE_CLOSED',
  /** The data directory is locked: another process has it open. */
  'STORE_DIRECTORY_LOCKED',
  /** The data directory belongs to another cluster or layout version, or cannot be opened. */
  'STORE_DIRECTORY_INVALID',
  /** What is in the data directory has changed, or is missing in part: it must not be used any more. `coterie start --repair` replaces it. */
  'STORE_DIRECTORY_DAMAGED',
  /** None of the given seeds answered before the deadline. */
  'STORE_NO_SEED',
  /** No answer that settles the operation came before its deadline. */
  'STORE_DEADLINE_EXCEEDED',
  /** The caller's AbortSignal ended the operation. */
  'STORE_ABORTED',
  /** Too many operations in flight at this node: try again. */
  'STORE_OVERLOADED',
  /** Too few other stores are there to take over from this one: it cannot be drained, or leave without stopping partitions. */
  'STORE_TOO_FEW_STORES',
  /** Stores cannot be given up on as was asked: the cluster changed since the plan, or is no cluster that it can be agreed on in. */
  'STORE_FORCE_REFUSED',
  /** This store stopped after a failed write or a corrupt record; it answers nothing any more. */
  'STORE_FAILED',
  /** A majority of the partition's replicas is not in the cluster; `waitingFor` names the missing stores. */
  'PARTITION_UNAVAILABLE',
  /** A retried operation is older than the group's memory: whether it happened is unknown. */
  'OPERATION_EXPIRED',
  /** A write's condition did not hold, so nothing was written; `version` is what the key has, `operation` says which one failed. */
  'CONDITION_FAILED',
  /** Changes that a watch asks for are not all remembered any more: read what is there now, and watch from there. */
  'WATCH_TOO_OLD',
  /** Answered to a client only, never thrown by it: the request went to a store that does not hold the partition. */
  'NOT_OWNER',
  /** Answered to a client only, never thrown by it: this store does not lead the group, or not any more. */
  'NOT_LEADER',
  /** Answered to a client only, never thrown by it: the group is between two leaders; ask again shortly. */
  'NOT_READY',
  /** Answered to a client only, never thrown by it: the first write of a client to a partition lacked its base; `seq` names it. */
  'BASE_REQUIRED'
] as const)

export type StoreErrorCode = typeof STORE_ERROR_CODES[number]

export interface StoreErrorOptions {
  readonly definite?: boolean
  readonly waitingFor?: readonly StoreId[]
  readonly failed?: FailedCondition | undefined
  readonly cause?: unknown
}

/** Why a write with conditions changed nothing: the first operation whose condition did not hold, and the version its key had; 0 for none. */
export interface FailedCondition {
  readonly operation: number
  readonly version: number
}

export class StoreError extends Error {
  readonly code: StoreErrorCode
  /** True when the failed operation certainly had no effect; false when it may have happened, or may still happen. */
  readonly definite: boolean
  /** The stores that PARTITION_UNAVAILABLE waits for. */
  readonly waitingFor: readonly StoreId[]
  /** CONDITION_FAILED: the version that the key had when the condition was decided, or 0 where it had no value. */
  readonly version: number | undefined
  /** CONDITION_FAILED: the place, from 0, of the first operation of the batch whose condition did not hold. */
  readonly operation: number | undefined

  constructor (code: StoreErrorCode, message: string, options: StoreErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'StoreError'
    this.code = code
    this.definite = options.definite ?? true
    this.waitingFor = options.waitingFor ?? []
    this.version = options.failed?.version
    this.operation = options.failed?.operation
  }
}
