/**
 * The two hashes of the ring: xxh64 for whatever users or the wire can see, and an integer mixer for breaking ties.
 *
 * xxh64 (Y. Collet) comes as WebAssembly, loaded once when this module is imported. Pure.
 */
import loadXxhash from 'xxhash-wasm'

const xxhash = await loadXxhash()

/** The 16 most significant bits of xxh64 of some bytes, or of a text as UTF-8. */
export function hash16 (input: Uint8Array | string): number {
  const hash = typeof input === 'string' ? xxhash.h64(input) : xxhash.h64Raw(input)
  return Number(hash >> 48n)
}

/** 32 bits that stand for a text in `mix`. */
export const seedOf = (text: string): number => Number(xxhash.h64(text) & 0xffff_ffffn)

/**
 * 32 well-spread bits from two integers of 32 bits (the finalizer of MurmurHash3 over their combination). Exact integer
 * arithmetic, so that every process breaks every tie alike.
 */
export function mix (a: number, b: number): number {
  let hash = (a ^ Math.imul(b + 0x7f4a_7c15, 0x9e37_79b1)) | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
