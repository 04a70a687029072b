/**
 * The scans of a client: an iterator's range as pages that are asked of its partitions, until the client closes.
 *
 * Owns nothing: calls are the runner's.
 */
import { setMaxListeners } from 'node:events'
import { StoreError } from '../errors.ts'
import type { Page, ScanSpec } from '../scan-range.ts'
import { type IteratorOptions, rangeOf } from './iterator.ts'
import { MergedScan } from './merged-scan.ts'
import { callDeadlineMs, refuseSnapshot } from './options.ts'
import type { Runner } from './runner.ts'

export interface ScanComponents {
  readonly runner: Runner
  /** Aborted when the client begins to close: a scan ends at once, and not when an answer comes that may never come. */
  readonly closing: AbortSignal
  /** Where the options say nothing else. */
  readonly deadlineMs: number
}

/** @throws {StoreError} STORE_INVALID_KEY for a bound, STORE_INVALID_OPTIONS, STORE_NOT_SUPPORTED for a snapshot */
export function scanRange ({ runner, closing, deadlineMs }: ScanComponents, options: Omit<IteratorOptions, 'keys'>): MergedScan {
  refuseSnapshot(options)
  const range = rangeOf(options)
  const signal = AbortSignal.any([closing, ...options.signal == null ? [] : [options.signal]])
  // As many pages as there are partitions may be under way at once.
  setMaxListeners(0, signal)
  const call = { deadlineMs: options.deadlineMs, signal }
  callDeadlineMs(call, deadlineMs)
  const fetch = async (partition: number, scan: ScanSpec): Promise<Page> => {
    const bytes = scan.from.length + (scan.to?.length ?? 0)
    const response = await runner.perform({ kind: 'scan', scan }, partition, bytes, call).catch((cause: unknown) => {
      throw closing.aborted ? new StoreError('STORE_CLOSED', 'the client was closed before the page was read', { cause }) : cause
    })
    if (response.kind !== 'page') throw new Error(`a scan was settled by '${response.kind}'`)
    return response.page
  }
  const limit = options.limit >= 0 ? options.limit : Infinity
  const { reverse, values } = options
  return new MergedScan({ partitions: () => runner.router.partitionsOf(range), fetch }, { ...range, reverse, values, limit })
}
