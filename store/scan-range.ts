/**
 * Ranges of keys, and how a page of a range is cut and continued; shared by client and store.
 *
 * Keys are byte strings, so every bound can be written as the start of a half-open range `[from, to)`: `gt k` and `lte k` are
 * bounds at the successor of k, which is k with a zero byte after it. What is left of a range after a page is a range again.
 *
 * Pure.
 */

/** The keys k with `from <= k < to`. An empty `from` begins at the first key; a `to` of null has no end. */
export interface KeyRange {
  readonly from: Uint8Array
  readonly to: Uint8Array | null
}

/** What is wanted of a range, in one page. */
export interface ScanSpec extends KeyRange {
  readonly reverse: boolean
  /** Items of the page, at most. */
  readonly limit: number
  /** Bytes of keys and values after which the page ends; it has one item at least. */
  readonly bytesMax: number
  /** False when the keys are enough. */
  readonly values: boolean
}

export interface Page {
  readonly keys: readonly Uint8Array[]
  /** As many as keys, or none when only keys were wanted. */
  readonly values: readonly Uint8Array[]
  /** Where the rest begins: the new `from`, or the new `to` in reverse. Null when there is no more. */
  readonly next: Uint8Array | null
}

export const EVERYTHING: KeyRange = Object.freeze({ from: new Uint8Array(0), to: null })

/** The smallest key above `key`. */
export function successor (key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}

/** The smallest key above all that begin with `prefix`, or null when there is none. */
export function prefixEnd (prefix: Uint8Array): Uint8Array | null {
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return null
  const end = Uint8Array.prototype.slice.call(prefix, 0, length)
  end[length - 1]!++
  return end
}

export const prefixRange = (prefix: Uint8Array): KeyRange => ({ from: prefix, to: prefixEnd(prefix) })

export const isBelow = (key: Uint8Array, to: Uint8Array | null): boolean => to === null || Buffer.compare(key, to) < 0

export const isWithin = (key: Uint8Array, { from, to }: KeyRange): boolean => Buffer.compare(key, from) >= 0 && isBelow(key, to)

export const isEmpty = ({ from, to }: KeyRange): boolean => to !== null && Buffer.compare(from, to) >= 0

/** What is left of a range. @param next as in a page */
export const rest = ({ from, to }: KeyRange, reverse: boolean, next: Uint8Array): KeyRange => reverse ? { from, to: next } : { from: next, to }

/** Where a page that ended with `key` goes on. */
export const after = (key: Uint8Array, reverse: boolean): Uint8Array => reverse ? key : successor(key)

/** True when `next` leaves less of the range than there was, so that whoever follows it comes to an end. */
export const advances = ({ from, to }: KeyRange, reverse: boolean, next: Uint8Array): boolean =>
  reverse ? isBelow(next, to) : Buffer.compare(next, from) > 0

/** Whether a page can be the answer to a scan: keys of the range in its order, values with them, and an end in sight. */
export function isPageOf ({ keys, values, next }: Page, scan: ScanSpec): boolean {
  if (values.length !== (scan.values ? keys.length : 0)) return false
  if (next !== null && !advances(scan, scan.reverse, next)) return false
  const told = next === null ? scan : scan.reverse ? { from: next, to: scan.to } : { from: scan.from, to: next }
  return keys.every((key, index) => isWithin(key, told) &&
    (index === 0 || (Buffer.compare(keys[index - 1]!, key) < 0) !== scan.reverse))
}

/** The longest prefix that all keys of a range have in common, as far as its bounds tell. */
export function commonPrefix ({ from, to }: KeyRange): Uint8Array {
  if (to === null || to.length === 0) return new Uint8Array(0)
  let length = 0
  while (length < from.length && length < to.length && from[length] === to[length]) length++
  // A range of all keys that begin with P ends right above them: its bounds differ by one, in P's last byte.
  const last = to.length - 1
  const touches = length === last && from.length > last && from[last] === to[last]! - 1
  return from.subarray(0, touches ? length + 1 : length)
}
