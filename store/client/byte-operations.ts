/**
 * A client's reads and writes once keys and values are bytes: what is asked of which partition, and how the answers are put together.
 *
 * Owns nothing: calls are the runner's.
 */
import { type Operation, operationBytes } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import type { SuccessResponse } from './call.ts'
import { asBuffer } from './iterator.ts'
import { callConsistency, type CallOptions, conditionOf, type PutOptions, type ReadOptions, refuseMisspelt, refuseSnapshot, ttlOf } from './options.ts'
import { checkKey, checkOperation, groupReads, groupWrites } from './requests.ts'
import type { Runner } from './runner.ts'
import { type Versioned, VERSIONS } from './versions.ts'

export type Bytes = Buffer | Uint8Array
export type BatchEntry = PutOptions & ({ readonly type: 'put', readonly key: Bytes, readonly value: Bytes } | { readonly type: 'del', readonly key: Bytes })

export type ByteReadOptions = ReadOptions & Versioned & { readonly snapshot?: unknown }
export type ByteWriteOptions = PutOptions & CallOptions & Versioned

/** What a read or a write was answered with; the session let nothing else through. */
function answerOf<Kind extends 'values' | 'written'> (response: SuccessResponse, kind: Kind): SuccessResponse & { kind: Kind } {
  if (response.kind !== kind) throw new Error(`a call that expects '${kind}' was settled by '${response.kind}'`)
  return response as SuccessResponse & { kind: Kind }
}

/** @throws {StoreError} STORE_INVALID_OPTIONS for conditions and times to live that are none */
export function putOf (key: Bytes, value: Bytes, options?: PutOptions): Operation {
  refuseMisspelt(options)
  return { kind: 'put', key, value, ...conditionOf('put', options), ...ttlOf('put', options) }
}

/** @throws as `putOf` */
export function delOf (key: Bytes, options?: PutOptions): Operation {
  refuseMisspelt(options)
  return { kind: 'del', key, ...conditionOf('del', options), ...ttlOf('del', options) }
}

export async function readOne (runner: Runner, key: Bytes, options?: ByteReadOptions): Promise<Buffer | undefined> {
  refuseSnapshot(options)
  checkKey(key)
  const payload = { kind: 'read', keys: [key], consistency: callConsistency(options) } as const
  const answer = await runner.perform(payload, runner.router.partitionOf(key), key.length, options)
  const { values: [value], versions: [version] } = answerOf(answer, 'values')
  options?.[VERSIONS]?.push(version!)
  return value == null ? undefined : asBuffer(value)
}

export async function readMany (runner: Runner, keys: readonly Bytes[], options?: ByteReadOptions): Promise<(Buffer | undefined)[]> {
  refuseSnapshot(options)
  const values = new Array<Buffer | undefined>(keys.length).fill(undefined)
  const versions = options?.[VERSIONS]
  const requests = groupReads(keys, key => runner.router.partitionOf(key), callConsistency(options))
  const left = runner.countdown(options)
  await Promise.all(requests.map(async ({ payload, partition, bytes, places }) => {
    // An answer has as many values as fit, and one at least.
    for (let from = 0; from < places.length;) {
      const rest = from === 0 ? payload : { ...payload, keys: payload.keys.slice(from) }
      const answer = answerOf(await runner.perform(rest, partition, bytes, from === 0 ? options : { ...options, deadlineMs: left() }), 'values')
      for (const [index, value] of answer.values.entries()) {
        const place = places[from + index]!
        if (value !== null) values[place] = asBuffer(value)
        if (versions !== undefined) versions[place] = answer.versions[index]!
      }
      from += answer.values.length
    }
  }))
  return values
}

export async function writeOne (runner: Runner, operation: Operation, options?: CallOptions & Versioned): Promise<void> {
  checkOperation(operation)
  const partition = runner.router.partitionOf(operation.key)
  const answer = await runner.perform({ kind: 'write', operations: [operation] }, partition, operationBytes(operation), options)
  options?.[VERSIONS]?.push(answerOf(answer, 'written').seq)
}

/** Atomic within each partition. @throws one error for all parts, definite only if none of them has happened */
export async function writeBatch (runner: Runner, entries: readonly BatchEntry[], options?: ByteWriteOptions): Promise<void> {
  refuseMisspelt(options)
  // abstract-level has put the options of a batch into each of its operations, but not those with which a chained batch is written.
  const { ifVersion, ifAbsent, ttlMs } = options ?? {}
  const shared = ifVersion ?? ifAbsent ?? ttlMs
  const operations = entries.map(given => {
    const entry = shared === undefined ? given : { ifVersion, ifAbsent, ttlMs, ...given }
    return entry.type === 'put' ? putOf(entry.key, entry.value, entry) : delOf(entry.key, entry)
  })
  const requests = groupWrites(operations, key => runner.router.partitionOf(key))
  if (requests.length === 0) return
  // Every part is waited for, so that the caller is told of an end and not of a stage.
  const versions = options?.[VERSIONS]
  const results = await Promise.allSettled(requests.map(async ({ payload, partition, bytes, places }) => {
    const { seq } = answerOf(await runner.perform(payload, partition, bytes, options), 'written')
    if (versions !== undefined) for (const place of places) versions[place] = seq
  }))
  const failures = results.filter(result => result.status === 'rejected').map(result => result.reason as unknown)
  if (failures.length === 0) return
  const first = failures[0]
  if (requests.length === 1 || !(first instanceof StoreError)) throw first
  const definite = failures.length === requests.length && failures.every(failure => failure instanceof StoreError && failure.definite)
  throw new StoreError(first.code, `${failures.length} of the batch's ${requests.length} partitions failed; the first: ${first.message}`,
    { definite, waitingFor: first.waitingFor, cause: failures.length === 1 ? first : new AggregateError(failures) })
}
