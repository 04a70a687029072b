/**
 * Writes many keys, and reads all keys back: the two ends between which nothing may get lost.
 */
import { type Client, StoreError } from 'coterie'
import type { Journal } from './journal.ts'

/** Keys in one call. The client sends every partition its part as one request, so large calls make for few requests. */
const BATCH_KEYS = 10_000
/** Calls that are under way at once. */
const BATCHES_IN_FLIGHT = 1

export interface Verification {
  /** Keys whose value was right. */
  verified: number
  /** Keys whose acknowledged value is gone, or that hold a value which nobody wrote. */
  lost: number
  /** Keys that could not be read. */
  failed: number
}

/** Runs `work` on consecutive slices of `all`, several at a time. */
async function inBatches<T> (all: readonly T[], signal: AbortSignal, work: (slice: readonly T[]) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < all.length) {
      signal.throwIfAborted()
      const slice = all.slice(next, next + BATCH_KEYS)
      next += slice.length
      await work(slice)
    }
  }
  await Promise.all(Array.from({ length: BATCHES_IN_FLIGHT }, worker))
}

export interface LoadComponents {
  readonly client: Client
  readonly journal: Journal
  readonly signal: AbortSignal
}

/** @returns how many keys could not be written. */
export async function writeAll (components: LoadComponents, keys: readonly string[], progress: (written: number) => void): Promise<number> {
  const { client, journal, signal } = components
  let written = 0
  let failed = 0
  await inBatches(keys, signal, async slice => {
    const writes = slice.map(key => journal.write(key))
    try {
      await client.batch(slice.map((key, index) => ({ type: 'put', key, value: writes[index]!.value })))
      for (const write of writes) write.acknowledged()
      written += slice.length
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      for (const write of writes) write.failed(error.definite)
      failed += slice.length
    }
    progress(written)
  })
  return failed
}

/** Reads every key that was ever written, and judges its value. */
export async function verifyAll ({ client, journal, signal }: LoadComponents, progress: (read: number) => void): Promise<Verification> {
  const verification = { verified: 0, lost: 0, failed: 0 }
  await inBatches(journal.keys, signal, async slice => {
    const judges = slice.map(key => journal.read(key))
    try {
      const values = await client.getMany([...slice])
      for (const [index, judge] of judges.entries()) {
        if (judge(values[index]) === 'right') verification.verified++
        else verification.lost++
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      verification.failed += slice.length
    }
    progress(verification.verified)
  })
  return verification
}
