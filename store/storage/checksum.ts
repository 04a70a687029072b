/**
 * The checksum at the end of every record of a data directory. LevelDB keeps checksums too, but does not look at them when it reads.
 *
 * It covers the record's key, so that a value that is found under the key of another is noticed like one that changed. The key
 * enters as FNV-1a (Fowler, Noll, Vo), which costs less than a call for keys of this size; the record as xxh32 (Y. Collet).
 *
 * Also tells errors that mean damage from others.
 *
 * Pure.
 */
import loadXxhash from 'xxhash-wasm'
import { StoreError } from '../errors.ts'

const { h32Raw } = await loadXxhash()

export const CHECKSUM_BYTES = 4

export const damaged = (what: string, cause?: unknown): StoreError =>
  new StoreError('STORE_DIRECTORY_DAMAGED', `this data directory is damaged: ${what}`, { cause })

/** True where an error says, or comes from one that says, that LevelDB cannot make sense of one of its files. */
export function isCorruption (error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if ((cause as { code?: unknown }).code === 'LEVEL_CORRUPTION') return true
  return false
}

function sumOf (key: Uint8Array, body: Uint8Array): number {
  let seed = 0x811c_9dc5
  for (const byte of key) seed = Math.imul(seed ^ byte, 0x0100_0193)
  return h32Raw(body, seed >>> 0)
}

/** Fills in the last bytes of a record, which are there for it. */
export function seal (key: Uint8Array, record: Buffer): Uint8Array {
  const end = record.length - CHECKSUM_BYTES
  record.writeUInt32LE(sumOf(key, record.subarray(0, end)), end)
  return record
}

/**
 * The record without its checksum.
 * @throws {StoreError} STORE_DIRECTORY_DAMAGED when it does not fit
 */
export function unseal (key: Uint8Array, record: Uint8Array, what: string): Uint8Array {
  const end = record.length - CHECKSUM_BYTES
  if (end < 0) throw damaged(`${what} is cut off`)
  const body = record.subarray(0, end)
  // By hand: a Buffer for it would cost as much as the checksum.
  const sum = record[end]! | record[end + 1]! << 8 | record[end + 2]! << 16 | record[end + 3]! << 24
  if (sum >>> 0 !== sumOf(key, body)) throw damaged(`${what} does not fit its checksum`)
  return body
}
