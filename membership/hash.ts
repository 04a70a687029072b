/**
 * xxHash64 of texts: the one non-cryptographic hash of membership (ring positions, ranks, jitter).
 *
 * Equal on every platform and in every version, which everything derived from it relies on: processes never compare hashes on
 * the wire, they all compute the same ones. The WebAssembly module is loaded once, when this file is imported.
 *
 * Pure.
 */
import xxhash from 'xxhash-wasm'

const { h64 } = await xxhash()

/** 64 uniform bits of a text, as an unsigned integer. Different seeds give independent hashes. */
export function hash64 (text: string, seed: bigint): bigint {
  return h64(text, seed)
}

const TWO_TO_32 = 2 ** 32

/** The upper 32 bits of `hash64` as a number: cheaper to sort than a bigint. */
export function hash32 (text: string, seed: bigint): number {
  return Number(h64(text, seed) >> 32n)
}

/** A number in [0, 1) that depends on nothing but the arguments. */
export function hashFraction (text: string, seed: bigint): number {
  return hash32(text, seed) / TWO_TO_32
}
