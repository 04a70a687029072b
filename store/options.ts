/** The options of a node: what each means, its range, its default. Checked before anything starts. */
import type { MembershipOptions, Role } from '../membership/index.ts'
import { checkAddress, checkListenAddress } from './address-check.ts'
import { StoreError } from './errors.ts'
import { RESERVED_TAGS } from './force/order.ts'
import type { Durability } from './group/synced-log.ts'
import { LEASE_MS_MAX } from './leases.ts'
import type { PartitionHostOptions } from './partition-host.ts'

export interface NodeOptions {
  /** Where to listen: `host:port`. Port 0 takes a free one. @default '127.0.0.1:0' */
  readonly listen?: string
  /** What others connect to, where it differs from `listen`. */
  readonly advertise?: string
  /** The data directory; created when absent. */
  readonly directory: string
  /** Only nodes that name the same cluster meet. @default 'coterie' */
  readonly clusterName?: string
  /** Addresses of any members; several are better. A node that returns knows its former peers besides. */
  readonly seeds?: readonly string[]
  /** Found a new cluster. Exactly one node of a cluster does so, once. @default false */
  readonly found?: boolean
  /** For the founder: how many members make the first placement and are admitted in one view change. @default 1 */
  readonly expect?: number
  /** For the founder: Q, a power of two. @default 1024 */
  readonly partitions?: number
  /** For the founder: R. @default 3 */
  readonly replicas?: number
  /** Failure domain. @default '' */
  readonly zone?: string
  /** Share of the data relative to other nodes; an integer from 0 to 1000. @default 1 */
  readonly weight?: number
  /**
   * A voter takes part in deciding who is in the cluster; an agent leaves that to the voters, and holds data and serves like any other node. A few
   * voters, three or five, make membership cheap for many nodes. The founder votes. Another role takes a restart. @default 'voter'
   */
  readonly role?: Role
  /** The user's own metadata. */
  readonly tags?: Readonly<Record<string, string>>
  /**
   * Runs a second thread with a UDP port of its own, which tells the others that this process is busy and not dead while the main thread is
   * blocked, for up to 15 s; and asks theirs. It takes any free port, or the one given, on the host of `listen`. @default false
   */
  readonly standIn?: boolean | { readonly port: number }
  /**
   * When this store acknowledges a write, to the leader of its partition or as that. `'sync'`: when it is on the disk, so that it survives a
   * loss of power. `'os'`: when the operating system has it, which saves waiting for the disk: it survives the end of the process, however
   * that comes, and a loss of power at fewer than a majority of the partition's stores at a time. Where a majority loses power together, the
   * last writes may be lost although they were acknowledged, and the partition waits until all its stores are back; nothing else is given up.
   * May differ between nodes, and from one start to the next. @default 'sync'
   */
  readonly durability?: Durability
  /** Operations of clients in progress at this node. Beyond it, STORE_OVERLOADED. @default 20000 */
  readonly operationsInFlightMax?: number
  /**
   * Bytes of keys and values in the clients' writes that are in progress at this node, from 1 to 2^40; a larger write is taken alone. Beyond
   * it, STORE_OVERLOADED, and clients try again after a pause. Raising it lets more large values be under way, and takes that much memory,
   * several times over while they are sent to the other replicas and to the disk. @default 67108864
   */
  readonly bytesInFlightMax?: number
  /**
   * Bytes of answers to clients that wait at this node to be sent, from 1 to 2^40; one client may have 56 MiB of them. What has no room is
   * answered with STORE_OVERLOADED, and clients ask again after a pause; an answer for which there is nothing to wait is always taken.
   * @default 268435456
   */
  readonly answerBytesMax?: number
  /** Tuning of the membership. */
  readonly membership?: Partial<Omit<MembershipOptions, 'clusterName' | 'seeds' | 'found' | 'expect' | 'settings' | 'storeId' | 'incarnation' | 'metadata' | 'clusterId' | 'role'>>
  /** Tuning of the replication. */
  readonly replication?: Partial<PartitionHostOptions>
}

export const REPLICATION_DEFAULTS: PartitionHostOptions = Object.freeze({
  tickMs: 100,
  transfersMax: 16,
  transferBytesPerSecondMax: 64 * 1024 * 1024,
  retryMs: 300,
  takeoverMs: 10_000,
  pauseMsMax: 250,
  patienceMs: 5000,
  rereplicateAfterMs: 60_000,
  applyDelayMs: 100,
  batchEntriesMax: 512,
  batchBytesMax: 1024 * 1024,
  chunkBytes: 256 * 1024,
  logEntriesMax: 1024,
  logBytesMax: 1024 * 1024,
  expiryBatchMax: 1000,
  expiryStampMs: 10_000,
  waitingMax: 10_000,
  leaseMs: 750,
  leaseDriftPercent: 5,
  leaseReadsMin: 4
})

/** Where other than from 1 to 2^31. What goes into one message has a million values, however small they are. */
const REPLICATION_RANGES: Partial<Record<keyof PartitionHostOptions, readonly [minimum: number, maximum: number]>> = Object.freeze({
  leaseMs: [0, LEASE_MS_MAX],
  leaseDriftPercent: [0, 50],
  rereplicateAfterMs: [0, 2 ** 31],
  batchEntriesMax: [1, 10_000],
  batchBytesMax: [1, 2 * 1024 * 1024],
  chunkBytes: [1, 1024 * 1024],
  // So many always fit into what a learner is told to remember.
  logEntriesMax: [1, 8192],
  expiryBatchMax: [1, 10_000]
})

export type ResolvedNodeOptions = Required<Omit<NodeOptions, 'advertise' | 'partitions' | 'replicas' | 'expect' | 'replication'>> &
  Pick<NodeOptions, 'advertise' | 'partitions' | 'replicas' | 'expect'> & { readonly replication: PartitionHostOptions }

const NAMES = new Set(['listen', 'advertise', 'directory', 'clusterName', 'seeds', 'found', 'expect', 'partitions', 'replicas', 'zone', 'weight', 'role', 'tags',
  'standIn', 'durability', 'operationsInFlightMax', 'bytesInFlightMax', 'answerBytesMax', 'membership', 'replication'])

const invalid = (message: string): never => { throw new StoreError('STORE_INVALID_OPTIONS', message) }

function integer (name: string, value: unknown, minimum: number, maximum: number): void {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum || value > maximum) {
    invalid(`${name} must be an integer from ${minimum} to ${maximum}, not ${String(value)}`)
  }
}

/** The store tells the cluster some things by tags of its own. @throws {StoreError} STORE_INVALID_OPTIONS */
export function refuseReservedTags (tags: Readonly<Record<string, string>> = {}): void {
  const reserved = Object.keys(tags).find(name => name.startsWith(RESERVED_TAGS))
  if (reserved !== undefined) invalid(`the tag '${reserved}' is reserved: choose a name that does not begin with '${RESERVED_TAGS}'`)
}

/** Fills in defaults, then checks. @throws {StoreError} STORE_INVALID_OPTIONS */
export function resolveNodeOptions (options: NodeOptions): ResolvedNodeOptions {
  for (const name of Object.keys(options)) if (!NAMES.has(name)) invalid(`unknown option '${name}'; the options are ${[...NAMES].join(', ')}`)
  for (const name of Object.keys(options.replication ?? {})) {
    if (!Object.hasOwn(REPLICATION_DEFAULTS, name)) invalid(`unknown option 'replication.${name}'; the options are ${Object.keys(REPLICATION_DEFAULTS).join(', ')}`)
  }
  const resolved: ResolvedNodeOptions = {
    listen: '127.0.0.1:0',
    clusterName: 'coterie',
    seeds: [],
    found: false,
    zone: '',
    weight: 1,
    role: 'voter',
    tags: {},
    standIn: false,
    durability: 'sync',
    operationsInFlightMax: 20_000,
    bytesInFlightMax: 64 * 1024 * 1024,
    answerBytesMax: 256 * 1024 * 1024,
    membership: {},
    ...options,
    replication: { ...REPLICATION_DEFAULTS, ...options.replication }
  }
  if (typeof resolved.directory !== 'string' || resolved.directory === '') invalid('directory is required: where this node keeps its data')
  if (typeof resolved.clusterName !== 'string' || resolved.clusterName === '' || resolved.clusterName.length > 255) invalid('clusterName must be 1 to 255 characters')
  checkListenAddress('listen', resolved.listen)
  if (resolved.advertise !== undefined) checkAddress('advertise', resolved.advertise)
  if (!Array.isArray(resolved.seeds)) invalid('seeds must be a list of addresses')
  for (const seed of resolved.seeds) checkAddress('a seed', seed)
  if (!resolved.found && (options.expect !== undefined)) invalid('expect is for the founder: give it together with found')
  if (options.expect !== undefined) integer('expect', options.expect, 1, 10_000)
  if (options.partitions !== undefined) {
    integer('partitions', options.partitions, 1, 65_536)
    if ((options.partitions & (options.partitions - 1)) !== 0) invalid(`partitions must be a power of two, not ${options.partitions}`)
  }
  if (options.replicas !== undefined) integer('replicas', options.replicas, 1, 16)
  integer('weight', resolved.weight, 0, 1000)
  refuseReservedTags(resolved.tags)
  if (!['voter', 'agent'].includes(resolved.role)) invalid(`role must be 'voter' or 'agent', not ${JSON.stringify(resolved.role)}`)
  if (resolved.found && resolved.role === 'agent') invalid('an agent founds no cluster: nobody would vote in it')
  if (typeof resolved.standIn === 'object' && (resolved.standIn as unknown) !== null) integer('standIn.port', resolved.standIn.port, 1, 65_535)
  else if (typeof resolved.standIn !== 'boolean') invalid('standIn must be true, false, or { port }')
  if (!['sync', 'os'].includes(resolved.durability)) invalid(`durability must be 'sync' or 'os', not ${JSON.stringify(resolved.durability)}`)
  integer('operationsInFlightMax', resolved.operationsInFlightMax, 1, 10_000_000)
  integer('bytesInFlightMax', resolved.bytesInFlightMax, 1, 2 ** 40)
  integer('answerBytesMax', resolved.answerBytesMax, 1, 2 ** 40)
  for (const [name, value] of Object.entries(resolved.replication)) {
    const [minimum, maximum] = REPLICATION_RANGES[name as keyof PartitionHostOptions] ?? [1, 2 ** 31]
    integer(`replication.${name}`, value, minimum, maximum)
  }
  return resolved
}
