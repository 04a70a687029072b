/**
 * Sets of members as bits: bit i stands for `configuration.members[i]`, lowest bit of the first byte first.
 *
 * Votes travel and merge in this form (Rapid, ATC '18, section 4.3): a vote is one bit, a merge is an OR.
 *
 * Pure: functions over byte arrays; only `setBit` and `mergeBits` change their first argument.
 */
export type Bitmap = Uint8Array

export function createBitmap (size: number): Bitmap {
  return new Uint8Array(Math.ceil(size / 8))
}

export function hasBit (bitmap: Bitmap, index: number): boolean {
  return ((bitmap[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
}

export function setBit (bitmap: Bitmap, index: number): void {
  bitmap[index >>> 3]! |= 1 << (index & 7)
}

export function countBits (bitmap: Bitmap): number {
  let count = 0
  for (let byte of bitmap) for (; byte !== 0; byte &= byte - 1) count++
  return count
}

/** Adds the bits of `source` to `target`, which has the same length. Returns whether that added any. */
export function mergeBits (target: Bitmap, source: Bitmap): boolean {
  let grew = false
  for (let i = 0; i < target.length; i++) {
    const merged = target[i]! | source[i]!
    if (merged !== target[i]) grew = true
    target[i] = merged
  }
  return grew
}

/** The first index that is set in both, or -1. */
export function commonBit (a: Bitmap, b: Bitmap): number {
  for (let i = 0; i < a.length; i++) {
    const common = a[i]! & b[i]!
    if (common !== 0) return i * 8 + (31 - Math.clz32(common & -common))
  }
  return -1
}

/** The set indices, ascending. */
export function bitIndexes (bitmap: Bitmap): number[] {
  const indexes: number[] = []
  for (let i = 0; i < bitmap.length * 8; i++) if (hasBit(bitmap, i)) indexes.push(i)
  return indexes
}

/** Whether a byte array received from elsewhere is a bitmap over `size` members: the right length, no bit beyond the last. */
export function isBitmapOf (bitmap: Bitmap, size: number): boolean {
  if (bitmap.length !== Math.ceil(size / 8)) return false
  const used = size & 7
  return used === 0 || (bitmap.at(-1)! >>> used) === 0
}
