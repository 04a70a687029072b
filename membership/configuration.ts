/**
 * Configurations: the immutable member lists that the cluster agrees on one after the other, each chained to the one before.
 *
 * Suresh et al., "Stable and Consistent Membership at Scale with Rapid" (USENIX ATC '18), section 3: every process sees the
 * same sequence of configurations. Deviation: besides the paper's identifier a configuration has an `epoch` that counts
 * 1, 2, 3 ..., and its id is a hash chained from the previous id and the decided cut, so that two histories never share an id.
 *
 * Pure.
 */
import { createHash } from 'node:crypto'
import type { Address } from './environment/environment.ts'

declare const brand: unique symbol
export type MemberId = string & { readonly [brand]: 'MemberId' }
export type StoreId = string & { readonly [brand]: 'StoreId' }
export type ClusterId = string & { readonly [brand]: 'ClusterId' }
export type ConfigurationId = string & { readonly [brand]: 'ConfigurationId' }
export type CutDigest = string & { readonly [brand]: 'CutDigest' }

/** What a member says about itself. Agreed on with the member and when the member updates it, the same at every process. */
export interface Metadata {
  /** Failure domain: replicas of one partition are put into different zones. @default '' */
  readonly zone: string
  /** Share of the load relative to others; an integer from 0 to 1000. 0 holds no data. @default 1 */
  readonly weight: number
  /** The user's own: short strings by name. */
  readonly tags: Readonly<Record<string, string>>
}

/**
 * What a member does besides monitoring others and being monitored (rule M13): a voter decides on the next configuration, an agent leaves that
 * to the voters. Fixed for one run of a process: to change it, a process joins again.
 */
export type Role = 'voter' | 'agent'

/** One run of one process. */
export interface Member {
  /** Fresh at every start. */
  readonly id: MemberId
  readonly address: Address
  /** The durable identity of one data directory. Equal to `id` for a member that keeps no data. */
  readonly storeId: StoreId
  /** How many times that store was started; rises with each start (rule R3). */
  readonly incarnation: number
  readonly metadata: Metadata
  /** The version of `metadata`: 0 as the member joined with it, and higher with each update (rule M13). */
  readonly metadataVersion: number
  /** Set for an agent, left out for a voter: see `roleOf`. */
  readonly role?: 'agent'
}

export const roleOf = ({ role }: Member): Role => role ?? 'voter'

export const isVoter = (member: Member): boolean => roleOf(member) === 'voter'

/** The metadata that a member has from the next configuration on (rule M13). */
export interface Update {
  readonly member: MemberId
  /** Above the `metadataVersion` that the member has. */
  readonly version: number
  readonly metadata: Metadata
}

/** Settings fixed when the cluster is founded; carried in every configuration, equal for ever. Scalars only. */
export type Settings = Readonly<Record<string, string | number>>

export interface Configuration {
  readonly clusterId: ClusterId
  readonly clusterName: string
  readonly settings: Settings
  /** 1 for the founder's own, then one more for each decided cut. */
  readonly epoch: number
  readonly id: ConfigurationId
  /** Sorted by member id. At least one of them is a voter. */
  readonly members: readonly Member[]
}

/** The multi-member change that one view change decides. */
export interface Cut {
  /** Full records, sorted by member id. */
  readonly joins: readonly Member[]
  /** Sorted. */
  readonly removals: readonly MemberId[]
  /** Of members that stay, one for each at most. Sorted by member id. */
  readonly updates: readonly Update[]
}

const compareText = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

export const compareMembers = (a: Member, b: Member): number => compareText(a.id, b.id)

export const compareUpdates = (a: Update, b: Update): number => compareText(a.member, b.member)

/** Metadata as an unambiguous text: JSON of an array, with the tags sorted by name. */
function canonicalMetadata ({ zone, weight, tags }: Metadata): unknown {
  return [zone, weight, Object.entries(tags).sort((a, b) => compareText(a[0], b[0]))]
}

/** The role of an agent is told as one element more: a cluster of voters has the ids that it had before there were roles. */
const canonicalMember = ({ id, address, storeId, incarnation, metadata, metadataVersion, role }: Member): unknown =>
  [id, address, storeId, incarnation, canonicalMetadata(metadata), metadataVersion, ...role === undefined ? [] : [role]]

const canonicalUpdate = ({ member, version, metadata }: Update): unknown => [member, version, canonicalMetadata(metadata)]

export function isSameMetadata (a: Metadata, b: Metadata): boolean {
  return JSON.stringify(canonicalMetadata(a)) === JSON.stringify(canonicalMetadata(b))
}

const digest = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32)

/**
 * Sorts what a cut holds, so that equal changes are equal values. Of one member's updates the newest counts, and none of a member
 * that is removed (rule M13).
 */
export function normalizeCut (joins: Iterable<Member>, removals: Iterable<MemberId>, updates: Iterable<Update> = []): Cut {
  const removed = new Set(removals)
  const newest = new Map<MemberId, Update>()
  for (const update of updates) {
    const known = newest.get(update.member)
    if (!removed.has(update.member) && (known === undefined || known.version < update.version)) newest.set(update.member, update)
  }
  return {
    joins: [...joins].sort(compareMembers),
    removals: [...removed].sort(compareText),
    updates: [...newest.values()].sort(compareUpdates)
  }
}

/** Of cuts seen before; a cut never changes. */
const digests = new WeakMap<Cut, CutDigest>()

/** 128 bits that name a normalized cut: the value that consensus decides on (rule M3). */
export function cutDigest (cut: Cut): CutDigest {
  let known = digests.get(cut)
  if (known === undefined) {
    known = digest([cut.joins.map(canonicalMember), cut.removals, cut.updates.map(canonicalUpdate)]) as CutDigest
    digests.set(cut, known)
  }
  return known
}

/** The configuration of a founder alone, epoch 1. */
export function foundingConfiguration (clusterId: ClusterId, clusterName: string, settings: Settings, founder: Member): Configuration {
  const sortedSettings = Object.fromEntries(Object.entries(settings).sort((a, b) => compareText(a[0], b[0])))
  const id = digest([clusterId, clusterName, Object.entries(sortedSettings), canonicalMember(founder)]) as ConfigurationId
  return { clusterId, clusterName, settings: sortedSettings, epoch: 1, id, members: [founder] }
}

/** Steps that were just computed: members that share a process, as in tests and simulations, share their configurations. */
const RECENT_MAX = 4
const recent: { readonly before: Configuration, readonly cut: CutDigest, readonly after: Configuration }[] = []

/** The configuration that follows when `cut` is decided in `configuration`. Expects a cut that is valid there (invariant 7). */
export function nextConfiguration (configuration: Configuration, cut: Cut): Configuration {
  const name = cutDigest(cut)
  const known = recent.find(step => step.before === configuration && step.cut === name)
  if (known !== undefined) return known.after
  const after = follow(configuration, cut)
  recent.unshift({ before: configuration, cut: name, after })
  if (recent.length > RECENT_MAX) recent.pop()
  return after
}

function follow (configuration: Configuration, cut: Cut): Configuration {
  const removed = new Set<MemberId>(cut.removals)
  const updates = new Map(cut.updates.map(update => [update.member, update]))
  const staying = configuration.members.filter(member => !removed.has(member.id)).map(member => {
    const update = updates.get(member.id)
    return update === undefined ? member : { ...member, metadata: update.metadata, metadataVersion: update.version }
  })
  const members = [...staying, ...cut.joins].sort(compareMembers)
  const id = digest([configuration.id, cutDigest(cut)]) as ConfigurationId
  return { ...configuration, epoch: configuration.epoch + 1, id, members }
}

/** The index of a member in `configuration.members`, or -1. */
export function memberIndex ({ members }: Pick<Configuration, 'members'>, id: MemberId): number {
  let low = 0
  let high = members.length - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const order = compareText(members[middle]!.id, id)
    if (order === 0) return middle
    if (order < 0) low = middle + 1
    else high = middle - 1
  }
  return -1
}
