/**
 * The checks that turn something from the wire into a value of a known shape, or refuse it.
 *
 * Whatever arrives on a socket is hostile until it went through these: every string and list has a bound.
 *
 * Pure.
 */
import {
  type ClusterId, type Configuration, type ConfigurationId, type Cut, type Member, type MemberId, type Metadata, type Settings,
  type Update, compareMembers, compareUpdates, isVoter
} from './configuration.ts'
import { MembershipError } from './errors.ts'

/** More members than a configuration is ever meant to have. */
export const MEMBERS_MAX = 100_000
const ID_LENGTH_MAX = 64
const ENTRIES_MAX = 64

export type Fields = Readonly<Record<string, unknown>>

/** @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE, always. */
export function invalid (what: string): never {
  throw new MembershipError('MEMBERSHIP_INVALID_MESSAGE', `not a message of this protocol: ${what}`)
}

export function fields (value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return invalid(`${what} is not an object`)
  return value as Fields
}

export function text (value: unknown, what: string, lengthMax: number): string {
  if (typeof value !== 'string' || value.length > lengthMax) return invalid(`${what} is not a string of at most ${lengthMax} characters`)
  return value
}

export function flag (value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') return invalid(`${what} is not a boolean`)
  return value
}

export function natural (value: unknown, what: string, max = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) return invalid(`${what} is not an integer from 0 to ${max}`)
  return value as number
}

export function bytes (value: unknown, what: string, lengthMax: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > lengthMax) return invalid(`${what} is not a byte array of at most ${lengthMax} bytes`)
  return value
}

export function list<T> (value: unknown, what: string, lengthMax: number, item: (value: unknown, what: string) => T): T[] {
  if (!Array.isArray(value) || value.length > lengthMax) return invalid(`${what} is not a list of at most ${lengthMax}`)
  return value.map((element: unknown) => item(element, what))
}

/** An id of 1 to 64 characters. */
export function id<T extends string> (value: unknown, what: string): T {
  const checked = text(value, what, ID_LENGTH_MAX)
  return (checked.length > 0 ? checked : invalid(`${what} is empty`)) as T
}

export function address (value: unknown, what: string): string {
  const checked = text(value, what, 255)
  return /^.+:\d{1,5}$/.test(checked) ? checked : invalid(`${what} is not host:port`)
}

function metadata (value: unknown): Metadata {
  const { zone, weight, tags } = fields(value, 'metadata')
  const entries = Object.entries(fields(tags, 'the tags of metadata'))
  if (entries.length > ENTRIES_MAX) return invalid('the tags of metadata have too many entries')
  return {
    zone: text(zone, 'the zone of metadata', 128),
    weight: natural(weight, 'the weight of metadata', 1000),
    tags: entries.length === 0 ? {} : Object.fromEntries(entries.map(([name, tag]) => [text(name, 'the name of a tag', 128), text(tag, 'a tag', 512)]))
  }
}

/** A process checks thousands of these for each view change: what is wrong with one is said without composing a name for each field. */
export function member (value: unknown, what: string): Member {
  const raw = fields(value, what)
  const checked: Member = {
    id: id(raw['id'], 'the id of a member'),
    address: address(raw['address'], 'the address of a member'),
    storeId: id(raw['storeId'], 'the store id of a member'),
    incarnation: natural(raw['incarnation'], 'the incarnation of a member'),
    metadata: metadata(raw['metadata']),
    metadataVersion: natural(raw['metadataVersion'], 'the version of metadata')
  }
  if (raw['role'] === undefined) return checked
  return raw['role'] === 'agent' ? { ...checked, role: raw['role'] } : invalid('the role of a member is none')
}

export function update (value: unknown, what: string): Update {
  const raw = fields(value, what)
  const version = natural(raw['version'], `${what}.version`)
  if (version === 0) invalid(`${what}.version is 0, which is a joiner's`)
  return { member: id(raw['member'], `${what}.member`), version, metadata: metadata(raw['metadata']) }
}

export function settings (value: unknown, what: string): Settings {
  const entries = Object.entries(fields(value, what))
  if (entries.length > ENTRIES_MAX) return invalid(`${what} has too many entries`)
  return Object.fromEntries(entries.map(([name, scalar]) => {
    const valid = Number.isFinite(scalar) || (typeof scalar === 'string' && scalar.length <= 512)
    return valid && name.length <= 128 ? [name, scalar as string | number] : invalid(`${what} holds something else than short scalars`)
  }))
}

function ascending<T> (items: readonly T[], compare: (a: T, b: T) => number, what: string): void {
  for (let i = 1; i < items.length; i++) if (compare(items[i - 1]!, items[i]!) >= 0) invalid(`${what} is not sorted or has duplicates`)
}

const compareIds = (a: MemberId, b: MemberId): number => a < b ? -1 : a > b ? 1 : 0

export function memberIds (value: unknown, what: string, lengthMax = MEMBERS_MAX): MemberId[] {
  return list(value, what, lengthMax, (element, name) => id<MemberId>(element, name))
}

/** A cut as `normalizeCut` leaves it. */
export function cut (value: unknown, what: string): Cut {
  const raw = fields(value, what)
  const joins = list(raw['joins'], `${what}.joins`, MEMBERS_MAX, member)
  const removals = memberIds(raw['removals'], `${what}.removals`)
  ascending(joins, compareMembers, `${what}.joins`)
  const updates = list(raw['updates'], `${what}.updates`, MEMBERS_MAX, update)
  ascending(removals, compareIds, `${what}.removals`)
  ascending(updates, compareUpdates, `${what}.updates`)
  if (joins.length + removals.length + updates.length === 0) invalid(`${what} is empty`)
  return { joins, removals, updates }
}

export function configuration (value: unknown, what: string): Configuration {
  const raw = fields(value, what)
  const members = list(raw['members'], `${what}.members`, MEMBERS_MAX, member)
  ascending(members, compareMembers, `${what}.members`)
  if (!members.some(isVoter)) invalid(`${what} has no voters`)
  const epoch = natural(raw['epoch'], `${what}.epoch`)
  if (epoch === 0) invalid(`${what}.epoch is 0`)
  return {
    clusterId: id<ClusterId>(raw['clusterId'], `${what}.clusterId`),
    clusterName: text(raw['clusterName'], `${what}.clusterName`, 128),
    settings: settings(raw['settings'], `${what}.settings`),
    epoch,
    id: id<ConfigurationId>(raw['id'], `${what}.id`),
    members
  }
}
