/**
 * The scans of a client: an iterator's range as pages that are asked of its partitions, until the client closes.
 *
 * Owns: listeners on the signals that end a scan, while it waits for pages. Calls are the runner's.
 */
import { setMaxListeners } from 'node:events'
import { StoreError } from '../errors.ts'
import { JointSignal } from '../joint-signal.ts'
import type { Page, ScanSpec } from '../scan-range.ts'
import type { SuccessResponse } from './call.ts'
import { type IteratorOptions, rangeOf } from './iterator.ts'
import { MergedScan } from './merged-scan.ts'
import { callDeadlineMs, callSignal, refuseSnapshot } from './options.ts'
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
  const signal = callSignal(options)
  const ending = new JointSignal(signal === undefined ? [closing] : [closing, signal])
  // As many pages as there are partitions may be under way at once.
  setMaxListeners(0, ending.signal)
  callDeadlineMs(options, deadlineMs)
  const fetch = async (partition: number, scan: ScanSpec): Promise<Page> => {
    const bytes = scan.from.length + (scan.to?.length ?? 0)
    const call = (signal: AbortSignal): Promise<SuccessResponse> =>
      runner.perform({ kind: 'scan', scan }, partition, bytes, { deadlineMs: options.deadlineMs, signal })
    const response = await ending.during(call).catch((cause: unknown) => {
      throw closing.aborted ? new StoreError('STORE_CLOSED', 'the client was closed before the page was read', { cause }) : cause
    })
    if (response.kind !== 'page') throw new Error(`a scan was settled by '${response.kind}'`)
    return response.page
  }
  const limit = options.limit >= 0 ? options.limit : Infinity
  const { reverse, values } = options
  return new MergedScan({ partitions: () => runner.router.partitionsOf(range), fetch }, { ...range, reverse, values, limit })
}
