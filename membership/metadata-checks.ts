/**
 * Metadata as a user gives it: a part of the fields, which must be known and within their ranges.
 *
 * Pure.
 */
import type { Metadata } from './configuration.ts'
import { MembershipError } from './errors.ts'

function check (condition: boolean, message: string): void {
  if (!condition) throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', message)
}

/**
 * Checks the fields of metadata that are given.
 * @returns a fresh value of just these.
 * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS naming the first one that is unknown or out of its range.
 */
export function checkMetadata (metadata: Partial<Metadata>): Partial<Metadata> {
  check(typeof metadata === 'object' && (metadata as unknown) !== null, 'metadata must be an object')
  const { zone, weight, tags, ...rest } = metadata
  const [unknown] = Object.keys(rest)
  check(unknown === undefined, `unknown metadata ${unknown}: put your own values into tags`)
  check(zone === undefined || (typeof zone === 'string' && zone.length <= 128), 'metadata.zone must be a string of at most 128 characters')
  check(weight === undefined || (Number.isInteger(weight) && weight >= 0 && weight <= 1000), 'metadata.weight must be an integer from 0 to 1000')
  check(tags === undefined || (typeof tags === 'object' && (tags as unknown) !== null), 'metadata.tags must be an object')
  const entries = Object.entries(tags ?? {})
  check(entries.length <= 64, 'metadata.tags may hold at most 64 entries')
  for (const [name, value] of entries) {
    check(name.length <= 128 && typeof value === 'string' && value.length <= 512, `metadata.tags.${name} must be a string of at most 512 characters`)
  }
  return { ...zone === undefined ? {} : { zone }, ...weight === undefined ? {} : { weight }, ...tags === undefined ? {} : { tags: { ...tags } } }
}
