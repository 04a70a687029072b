/**
 * Which partition a key belongs to: the top log2(Q) bits of xxh64 of the key's routing part.
 *
 * A partition is one of Q equal arcs of the hash circle (Karger et al., "Consistent Hashing and Random Trees", STOC '97, with
 * arcs of equal length in place of random ones, as in Dynamo, SOSP '07, section 6.2, strategy 3). Keys that share a `{tag}`
 * share a partition, as in Redis Cluster. Pure.
 */
import { RingError } from './errors.ts'
import { hash16 } from './hash.ts'

declare const brand: unique symbol
/** 0 <= index < Q. */
export type PartitionIndex = number & { readonly [brand]: 'PartitionIndex' }

export const PARTITIONS_MAX = 65_536

const OPEN = 0x7b
const CLOSE = 0x7d

/** True for a power of two from 1 to 65,536. */
export function isPartitionCount (partitions: number): boolean {
  return Number.isInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS_MAX && (partitions & (partitions - 1)) === 0
}

/**
 * The part of a key that decides where it lives: the text between the first `{` and the next `}` when there is any text
 * between them, otherwise the whole key. A string and its UTF-8 bytes route alike.
 */
export function routingKey<Key extends Uint8Array | string> (key: Key): Key
export function routingKey (key: Uint8Array | string): Uint8Array | string {
  const isText = typeof key === 'string'
  const open = isText ? key.indexOf('{') : key.indexOf(OPEN)
  if (open === -1) return key
  const close = isText ? key.indexOf('}', open + 1) : key.indexOf(CLOSE, open + 1)
  if (close <= open + 1) return key
  return isText ? key.slice(open + 1, close) : key.subarray(open + 1, close)
}

/**
 * The partition of a key among `partitions` (Q).
 * @throws {RingError} RING_INVALID_OPTIONS unless Q is a power of two from 1 to 65,536.
 */
export function partitionOf (key: Uint8Array | string, partitions: number): PartitionIndex {
  if (!isPartitionCount(partitions)) throw new RingError('RING_INVALID_OPTIONS', `partitions must be a power of two from 1 to ${PARTITIONS_MAX}, not ${partitions}`)
  const bits = 31 - Math.clz32(partitions)
  return (hash16(routingKey(key)) >>> (16 - bits)) as PartitionIndex
}
