/**
 * The options of a membership: who this process is, which cluster it founds or joins, and how that is tuned (tuning.ts).
 *
 * Pure.
 */
import type { ClusterId, Metadata, Role, Settings, StoreId } from './configuration.ts'
import type { Address } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import { checkMetadata } from './metadata-checks.ts'
import { PRESETS, type MembershipTuning } from './tuning.ts'

export interface MembershipOptions extends Partial<MembershipTuning> {
  /** Two clusters of different names never mix. 1 to 128 characters. */
  readonly clusterName: string
  /** Processes to ask for admission: any members, or others that are joining too. @default [] */
  readonly seeds?: readonly Address[] | (() => Promise<readonly Address[]>)
  /** True at exactly one process of a new cluster: it founds the cluster. @default false */
  readonly found?: boolean
  /** The cluster that this process belonged to before: it joins no other. */
  readonly clusterId?: ClusterId
  /** Fixed for ever by the founder; a joiner that names a key with another value is refused. @default {} */
  readonly settings?: Settings
  /** The founder holds joiners until so many processes, itself included, are present, and admits them in one cut. */
  readonly expect?: number
  /** The durable identity of this process's data. @default the member id */
  readonly storeId?: StoreId
  /** How many times that store was started (rule R3). @default 1 */
  readonly incarnation?: number
  /** What this process joins with; it can be changed with `update` later. @default { zone: '', weight: 1, tags: {} } */
  readonly metadata?: Partial<Metadata>
  /** Whether a process that was removed joins again under a new member id. @default true */
  readonly rejoin?: boolean
  /**
   * A voter decides on the next configuration; an agent leaves that to the voters, and is a member like any other else (rule M13). Without agents all
   * members decide; with a few voters and many agents the cluster is logically centralized. A founder votes. @default 'voter'
   */
  readonly role?: Role
  /** The set of defaults that the other options override. @default 'lan' */
  readonly preset?: 'lan' | 'wan' | 'test'
}

/** The options with every default filled in. */
export interface ResolvedOptions extends MembershipTuning {
  readonly clusterName: string
  readonly seeds: readonly Address[] | (() => Promise<readonly Address[]>)
  readonly found: boolean
  readonly clusterId: ClusterId | undefined
  readonly settings: Settings
  readonly expect: number | undefined
  readonly storeId: StoreId | undefined
  readonly incarnation: number
  readonly metadata: Metadata
  readonly rejoin: boolean
  readonly role: Role
}

const IDENTITY_KEYS: readonly string[] = [
  'clusterName', 'seeds', 'found', 'clusterId', 'settings', 'expect', 'storeId', 'incarnation', 'metadata', 'rejoin', 'role', 'preset'
]

/** Bounds of the counts; all other tuning values are times from 1 ms to one day. */
const COUNT_BOUNDS: Readonly<Record<string, readonly [number, number]>> = Object.freeze({
  ringCount: [3, 32], highWatermark: [1, 32], lowWatermark: [1, 32], probeWindow: [1, 1000], probeFailures: [1, 1000]
})
const DAY_MS = 86_400_000

function refuse (message: string): never {
  throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', message)
}

function check (condition: boolean, message: string): void {
  if (!condition) refuse(message)
}

function resolveTuning (options: MembershipOptions): MembershipTuning {
  const preset = PRESETS[options.preset ?? 'lan'] as MembershipTuning | undefined
  if (preset === undefined) return refuse(`preset must be one of ${Object.keys(PRESETS).join(', ')}`)
  const tuning: Record<string, number> = { ...preset }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || IDENTITY_KEYS.includes(name)) continue
    if (!Object.hasOwn(preset, name)) refuse(`unknown option ${name}`)
    const bounds = COUNT_BOUNDS[name]
    const [low, high] = bounds ?? [1, DAY_MS]
    const fits = typeof value === 'number' && value >= low && value <= high && (bounds === undefined || Number.isInteger(value))
    check(fits, `${name} must be ${bounds === undefined ? 'a number' : 'an integer'} from ${low} to ${high}`)
    tuning[name] = value as number
  }
  const resolved = tuning as unknown as MembershipTuning
  check(resolved.lowWatermark <= resolved.highWatermark, 'lowWatermark must not exceed highWatermark')
  check(resolved.highWatermark <= resolved.ringCount, 'highWatermark must not exceed ringCount')
  check(resolved.probeFailures <= resolved.probeWindow, 'probeFailures must not exceed probeWindow')
  return resolved
}

/**
 * Fills the defaults, then validates.
 * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS naming the first option that is unknown or out of its range.
 */
export function resolveOptions (options: MembershipOptions): ResolvedOptions {
  check(typeof options === 'object' && options !== null, 'options must be an object')
  const { clusterName, seeds = [], found = false, clusterId, settings = {}, expect, storeId, incarnation = 1, rejoin = true, role = 'voter' } = options
  check(typeof clusterName === 'string' && clusterName.length >= 1 && clusterName.length <= 128, 'clusterName must have 1 to 128 characters')
  check(typeof seeds === 'function' || (Array.isArray(seeds) && seeds.length <= 1024), 'seeds must be a list of addresses or a function that gives one')
  if (typeof seeds !== 'function') {
    for (const seed of seeds) check(typeof seed === 'string' && /^.+:\d{1,5}$/.test(seed) && seed.length <= 255, `seed ${String(seed)} is not host:port`)
  }
  check(typeof found === 'boolean', 'found must be true or false')
  check(found || typeof seeds === 'function' || seeds.length > 0, 'a process that does not found the cluster needs seeds')
  check(clusterId === undefined || (typeof clusterId === 'string' && clusterId.length >= 1 && clusterId.length <= 64), 'clusterId must be a short string')
  const entries = Object.entries(settings)
  check(entries.length <= 64, 'settings may hold at most 64 entries')
  for (const [name, value] of entries) {
    const scalar = (typeof value === 'string' && value.length <= 512) || Number.isFinite(value)
    check(name.length <= 128 && scalar, `settings.${name} must be a short string or a finite number`)
  }
  check(expect === undefined || (Number.isInteger(expect) && expect >= 1 && expect <= 100_000), 'expect must be an integer from 1 to 100000')
  check(expect === undefined || found, 'expect is for the founder alone')
  check(storeId === undefined || (typeof storeId === 'string' && storeId.length >= 1 && storeId.length <= 64), 'storeId must be a short string')
  check(Number.isInteger(incarnation) && incarnation >= 0, 'incarnation must be an integer of at least 0')
  check(typeof rejoin === 'boolean', 'rejoin must be true or false')
  check(['voter', 'agent'].includes(role), 'role must be voter or agent')
  check(!found || role === 'voter', 'an agent founds no cluster: nobody would vote in it')
  return {
    ...resolveTuning(options), clusterName, seeds, found, clusterId, settings: { ...settings }, expect, storeId, incarnation, rejoin, role,
    metadata: { zone: '', weight: 1, tags: {}, ...checkMetadata(options.metadata ?? {}) }
  }
}
