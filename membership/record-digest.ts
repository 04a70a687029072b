/**
 * Names a joiner by its whole record (rule M3): two records with one id are two joiners.
 *
 * Pure: what is remembered is a function of the record alone.
 */
import { cutDigest, type Member } from './configuration.ts'

export type RecordDigest = string & { readonly brand?: 'record' }

/** Of records seen before; a record never changes. */
const digests = new WeakMap<Member, RecordDigest>()

export function recordDigest (joiner: Member): RecordDigest {
  let digest = digests.get(joiner)
  if (digest === undefined) {
    digest = cutDigest({ joins: [joiner], removals: [], updates: [] }) as string
    digests.set(joiner, digest)
  }
  return digest
}
