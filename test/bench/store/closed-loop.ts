/**
 * A closed loop: so many workers, each of which starts its next operation when the one before is done. What is measured falls into
 * windows, so that a value is the median of windows of one run and its noise can be seen.
 */
import { median, quantile } from '../samples.ts'

export interface LoopResult {
  /** The median over the windows. */
  readonly opsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  /** All operations of all windows. */
  readonly operations: number
}

export interface LoopOptions {
  readonly concurrency: number
  readonly warmUpMs: number
  readonly windowMs: number
  readonly windows: number
  /** Called when the first window begins, and when the last one has ended. */
  readonly edge?: () => void
}

/** @throws whatever an operation throws, once the other workers have ended */
export async function closedLoop (operation: () => Promise<unknown>, options: LoopOptions): Promise<LoopResult> {
  const { concurrency, warmUpMs, windowMs, windows, edge } = options
  const tookMs: number[][] = Array.from({ length: windows }, () => [])
  const beganMs = performance.now() + warmUpMs
  const endsMs = beganMs + windowMs * windows
  let failed: unknown
  const worker = async (): Promise<void> => {
    for (;;) {
      const before = performance.now()
      if (before >= endsMs || failed !== undefined) return
      try {
        await operation()
      } catch (error) {
        failed = error
        return
      }
      const after = performance.now()
      if (after >= beganMs && after < endsMs) tookMs[Math.floor((after - beganMs) / windowMs)]!.push(after - before)
    }
  }
  const workers = Promise.all(Array.from({ length: concurrency }, worker))
  await new Promise<void>(resolve => { setTimeout(resolve, warmUpMs) })
  edge?.()
  await workers
  edge?.()
  if (failed !== undefined) throw failed
  const sorted = tookMs.map(times => times.sort((a, b) => a - b))
  const over = (value: (times: number[]) => number): number => median(sorted.map(value))
  return {
    opsPerSecond: over(times => times.length / windowMs * 1000),
    p50Ms: over(times => quantile(times, 0.5)),
    p99Ms: over(times => quantile(times, 0.99)),
    p999Ms: over(times => quantile(times, 0.999)),
    operations: sorted.reduce((sum, { length }) => sum + length, 0)
  }
}
