/**
 * The watches of a client: a prefix as polls of its partitions, until the watch, its signal or the client ends it.
 *
 * Owns nothing: calls are the runner's, and the rest is the watcher's.
 */
import { WIRE_LIMITS } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import { asBuffer } from './iterator.ts'
import { callDeadlineMs, callSignal, type CallOptions, CLIENT_LIMITS } from './options.ts'
import { checkKey } from './requests.ts'
import type { Runner } from './runner.ts'
import { WATCH_WAIT_MS, Watcher } from './watcher.ts'

export interface WatchOptions extends CallOptions {
  /** A cursor of an earlier watch of the same prefix, which this one goes on after. @default from now on */
  readonly since?: string | undefined
  /**
   * Milliseconds that a question for changes waits at a partition's leader before it is answered without any, and asked again. Lower
   * finds a leader that hangs sooner, and costs a message to each partition so often. From 1 to 60000. @default 5000
   */
  readonly waitMs?: number | undefined
}

export interface WatchComponents<K, V> {
  readonly runner: Runner
  /** Aborted when the client begins to close. */
  readonly closing: AbortSignal
  /** Where the options say nothing else. */
  readonly deadlineMs: number
  readonly prefix: Uint8Array
  readonly decodeKey: (key: Buffer) => K
  readonly decodeValue: (value: Buffer) => V
}

/** @throws {StoreError} STORE_INVALID_OPTIONS; STORE_INVALID_KEY */
export function watchPrefix<K, V> (components: WatchComponents<K, V>, options: WatchOptions): Watcher<K, V> {
  const { runner, closing, prefix, decodeKey, decodeValue } = components
  const { since } = options
  const signal = callSignal(options)
  const waitMs = options.waitMs ?? WATCH_WAIT_MS
  if (!Number.isInteger(waitMs) || waitMs < 1 || waitMs > WIRE_LIMITS.watchWaitMsMax) {
    throw new StoreError('STORE_INVALID_OPTIONS', `waitMs must be an integer from 1 to ${WIRE_LIMITS.watchWaitMsMax}, not ${String(waitMs)}`)
  }
  const call = { deadlineMs: Math.min(CLIENT_LIMITS.deadlineMaxMs, callDeadlineMs(options, components.deadlineMs) + waitMs) }
  if (since !== undefined && typeof since !== 'string') throw new StoreError('STORE_INVALID_OPTIONS', 'since must be a cursor')
  checkKey(prefix)
  const watcher = new Watcher<K, V>({
    scope: { clusterId: runner.router.view!.clusterId, prefix, partitions: runner.router.partitionsOfPrefix(prefix) },
    waitMs,
    poll: async (partition, watch, ended) => {
      const response = await runner.perform({ kind: 'watch', watch }, partition, 0, { ...call, signal: ended })
      if (response.kind !== 'changes') throw new Error(`a watch was answered by '${response.kind}'`)
      return response
    },
    decodeKey: key => decodeKey(asBuffer(key)),
    decodeValue: value => decodeValue(asBuffer(value))
  }, since)
  const listen = (source: AbortSignal, error: () => StoreError): void => {
    if (source.aborted) watcher.abort(error())
    else source.addEventListener('abort', () => { watcher.abort(error()) }, { once: true, signal: watcher.ended })
  }
  listen(closing, () => new StoreError('STORE_CLOSED', 'the client was closed'))
  if (signal !== undefined) listen(signal, () => new StoreError('STORE_ABORTED', 'the watch was aborted by its signal', { cause: signal.reason }))
  return watcher
}
