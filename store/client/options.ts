/**
 * How a client is tuned: options, their defaults and their ranges.
 *
 * Pure.
 */
import type { Address } from '../../membership/environment/environment.ts'
import { checkAddress } from '../address-check.ts'
import { WIRE_LIMITS } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'

/** What may be given with every single operation. */
export interface CallOptions {
  /** Milliseconds after which the operation fails if nothing settled it. From 1 to 2^31-1. @default the client's `deadlineMs` */
  readonly deadlineMs?: number | undefined
  /** Aborts the operation; a write that was sent by then may still happen. Null is like none. */
  readonly signal?: AbortSignal | null | undefined
}

/**
 * What a read promises.
 *
 * - `linearizable`: the latest value, as if there were one copy.
 * - `session`: of any replica that has everything this client was told of in that partition, by whatever answer: what it read, and its own
 *   acknowledged writes. It never goes back, and may be old.
 * - `stale`: of any replica, committed at some time; it may be older than what this client has seen.
 */
export type Consistency = 'linearizable' | 'session' | 'stale'

/** What may be given with a read. */
export interface ReadOptions extends CallOptions {
  /** @default 'linearizable' */
  readonly consistency?: Consistency | undefined
}

/** What a deletion may depend on. */
export interface DelConditions {
  /** Does nothing, and fails with CONDITION_FAILED, unless the key has this version, as `getEntry` or `putEntry` told it. */
  readonly ifVersion?: number | undefined
}

/** What a put may depend on; one of them at most. */
export interface PutConditions extends DelConditions {
  /** Does nothing, and fails with CONDITION_FAILED, if the key has a value. @default false */
  readonly ifAbsent?: boolean | undefined
}

/** What may be given with a put. */
export interface PutOptions extends PutConditions {
  /**
   * Milliseconds after which the key is deleted, unless it was written again: not earlier, counted from when the leader got the write, and
   * later by a 32nd of it and about a second; after changes of the leader, and when there was none, by more. From 1 to ten
   * years. @default never
   */
  readonly ttlMs?: number | undefined
}

export interface SessionOptions {
  /** Addresses of nodes to ask first, in any order; one that answers is enough. At least one, at most 1000. */
  readonly seeds: readonly Address[]
  /** Milliseconds until an operation fails if nothing settled it, retries included. From 1 to 2^31-1. @default 10000 */
  readonly deadlineMs?: number | undefined
  /**
   * Milliseconds until one attempt at one node is given up in favour of the next node, and one more for each 4 KiB of a write. Raising
   * it is gentler on slow nodes, lowering it finds a hung node sooner. From 1 to 2^31-1. @default 1000
   */
  readonly attemptTimeoutMs?: number | undefined
  /** The first pause before an operation is tried again, doubled (with jitter) each time. From 1 to 60000. @default 10 */
  readonly backoffStartMs?: number | undefined
  /** The longest pause before an operation is tried again. From 1 to 60000, not below `backoffStartMs`. @default 250 */
  readonly backoffMaxMs?: number | undefined
  /** Requests that are under way at once; further ones wait their turn. From 1 to 1000000. @default 10000 */
  readonly operationsInFlightMax?: number | undefined
  /** Bytes of keys and values that are under way at once; further requests wait their turn. From 1 to 2^31-1. @default 33554432 */
  readonly bytesInFlightMax?: number | undefined
  /** Requests that may wait their turn; beyond it they fail with STORE_OVERLOADED. From 0 to 10000000. @default 1000000 */
  readonly operationsWaitingMax?: number | undefined
}

export type FilledSessionOptions = { readonly [Name in keyof Required<SessionOptions>]: NonNullable<SessionOptions[Name]> }

export const CLIENT_DEFAULTS = Object.freeze({
  deadlineMs: 10_000,
  attemptTimeoutMs: 1000,
  backoffStartMs: 10,
  backoffMaxMs: 250,
  operationsInFlightMax: 10_000,
  bytesInFlightMax: 32 * 1024 * 1024,
  operationsWaitingMax: 1_000_000
})

/** Limits that no option moves. */
export const CLIENT_LIMITS = Object.freeze({
  seedsMax: 1000,
  /** Milliseconds of the longest deadline: what a timer can hold. */
  deadlineMaxMs: 2 ** 31 - 1,
  /** Bytes of keys and values in one write; a batch for one partition travels in one message. */
  writeBytesMax: 16 * 1024 * 1024,
  /** Keys in one read request; more are asked for in several. Bounds the size of one answer. */
  keysPerRequestMax: 1024
})

const fail = (message: string): never => { throw new StoreError('STORE_INVALID_OPTIONS', message) }

function integer (value: unknown, name: string, minimum: number, maximum: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum && value <= maximum) return value
  return fail(`${name} must be an integer from ${minimum} to ${maximum}, not ${String(value)}`)
}

/** @throws {StoreError} STORE_INVALID_OPTIONS */
export function fillSessionOptions (options: SessionOptions): FilledSessionOptions {
  const { seeds } = options
  if (!Array.isArray(seeds) || seeds.length === 0 || seeds.length > CLIENT_LIMITS.seedsMax) {
    return fail(`seeds must be a list of 1 to ${CLIENT_LIMITS.seedsMax} addresses`)
  }
  for (const seed of seeds as readonly unknown[]) checkAddress('a seed', seed)
  const given = (name: keyof typeof CLIENT_DEFAULTS, minimum: number, maximum: number): number =>
    integer(options[name] ?? CLIENT_DEFAULTS[name], name, minimum, maximum)
  const filled = {
    seeds: [...new Set(seeds as readonly Address[])],
    deadlineMs: given('deadlineMs', 1, CLIENT_LIMITS.deadlineMaxMs),
    attemptTimeoutMs: given('attemptTimeoutMs', 1, CLIENT_LIMITS.deadlineMaxMs),
    backoffStartMs: given('backoffStartMs', 1, 60_000),
    backoffMaxMs: given('backoffMaxMs', 1, 60_000),
    operationsInFlightMax: given('operationsInFlightMax', 1, 1_000_000),
    bytesInFlightMax: given('bytesInFlightMax', 1, 2 ** 31 - 1),
    operationsWaitingMax: given('operationsWaitingMax', 0, 10_000_000)
  }
  if (filled.backoffMaxMs < filled.backoffStartMs) return fail('backoffMaxMs must not be below backoffStartMs')
  return filled
}

/** @throws {StoreError} STORE_INVALID_OPTIONS */
export function callConsistency (options: ReadOptions | undefined): Consistency {
  const { consistency = 'linearizable' } = options ?? {}
  if (consistency === 'linearizable' || consistency === 'session' || consistency === 'stale') return consistency
  return fail(`consistency must be 'linearizable', 'session' or 'stale', not ${String(consistency)}`)
}

/** What is given to a client and is not its own: options for those who hook into abstract-level's opening. */
export function foreignOptions (options: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => name !== 'seeds' && !(name in CLIENT_DEFAULTS)))
}

/** What `connect` takes besides a client's own options: abstract-level's, and what is not the client's to know. */
const CONNECT_NAMES = new Set([...Object.keys(CLIENT_DEFAULTS), 'log', 'tls', 'keyEncoding', 'valueEncoding', 'createIfMissing', 'errorIfExists', 'passive'])

/** A misspelt option would be passed over silently. @throws {StoreError} STORE_INVALID_OPTIONS naming it */
export function refuseUnknownOptions (options: object): void {
  if (typeof options !== 'object' || (options as unknown) === null) fail('options must be an object')
  const unknown = Object.keys(options).find(name => !CONNECT_NAMES.has(name))
  if (unknown !== undefined) fail(`unknown option '${unknown}'; the options are ${[...CONNECT_NAMES].join(', ')}`)
}

const WRITE_NAMES = new Set(['ifVersion', 'ifAbsent', 'ttlMs'])

/**
 * Refuses options of a write that can only be meant for a condition or a time to live, and are none: passed over silently, the write would
 * overwrite, or stay for ever. Other names are abstract-level's, or those of its users, whose hooks get them.
 * @throws {StoreError} STORE_INVALID_OPTIONS naming it
 */
export function refuseMisspelt (options: object | undefined): void {
  for (const name in options) {
    if (!WRITE_NAMES.has(name) && /^(?:if|ttl)/i.test(name)) fail(`unknown option '${name}': a write has ifVersion, ifAbsent, and ttlMs, which is in milliseconds`)
  }
}

/** What an operation depends on, as it travels. @throws {StoreError} STORE_INVALID_OPTIONS */
export function conditionOf (kind: 'put' | 'del', { ifVersion, ifAbsent }: PutConditions = {}): { ifVersion?: number } {
  if (ifAbsent !== undefined && typeof ifAbsent !== 'boolean') return fail(`ifAbsent must be true or false, not ${String(ifAbsent)}`)
  if (ifAbsent === true && kind === 'del') return fail('ifAbsent is for puts: there is nothing to delete where a key has no value')
  if (ifAbsent === true && ifVersion !== undefined) return fail('give either ifVersion or ifAbsent: a key that has a version is not absent')
  if (ifAbsent === true) return { ifVersion: 0 }
  return ifVersion === undefined ? {} : { ifVersion: integer(ifVersion, 'ifVersion', 1, Number.MAX_SAFE_INTEGER) }
}

/** How long a value lives, as it travels. @throws {StoreError} STORE_INVALID_OPTIONS */
export function ttlOf (kind: 'put' | 'del', options: PutOptions = {}): { ttlMs?: number } {
  if (options.ttlMs === undefined) return {}
  if (kind === 'del') return fail('ttlMs is for puts: there is nothing to expire where a key has no value')
  return { ttlMs: integer(options.ttlMs, 'ttlMs', 1, WIRE_LIMITS.ttlMsMax) }
}

/** The deadline of one call in milliseconds from now. @throws {StoreError} STORE_INVALID_OPTIONS */
export function callDeadlineMs (options: CallOptions | undefined, defaultMs: number): number {
  const given = options?.deadlineMs
  return given === undefined ? defaultMs : integer(given, 'deadlineMs', 1, CLIENT_LIMITS.deadlineMaxMs)
}

/**
 * What may abort a call: anything that has an AbortSignal's interface, since not all of them are of Node's own class. Null is like none.
 * @throws {StoreError} STORE_INVALID_OPTIONS
 */
export function callSignal (options: { readonly signal?: unknown } | undefined): AbortSignal | undefined {
  const signal = options?.signal
  if (signal == null) return undefined
  const { aborted, addEventListener, removeEventListener } = signal as Partial<AbortSignal>
  if (typeof aborted === 'boolean' && typeof addEventListener === 'function' && typeof removeEventListener === 'function') return signal as AbortSignal
  return fail(`signal must be an AbortSignal, not ${typeof signal === 'string' ? `'${signal}'` : typeof signal}`)
}

export const notSupported = (what: string): never => { throw new StoreError('STORE_NOT_SUPPORTED', `this client does not offer ${what}`) }

/** @throws {StoreError} STORE_NOT_SUPPORTED */
export function refuseSnapshot (options: { readonly snapshot?: unknown } | undefined): void {
  if (options?.snapshot !== undefined) notSupported('reading from snapshots')
}
