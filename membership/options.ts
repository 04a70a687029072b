/**
 * The options of a membership: what each means, its range, its default, and three presets.
 *
 * Values named by Suresh et al. (USENIX ATC '18) are kept: K = 10, H = 9, L = 3, and probes judged over a window of ten with
 * four failures, and one probe per second (sections 4 and 6).
 *
 * Pure.
 */
import type { ClusterId, Metadata, Role, Settings, StoreId } from './configuration.ts'
import type { Address } from './environment/environment.ts'
import { MembershipError } from './errors.ts'

/** How a membership is tuned. Every field has a default; times are in milliseconds. */
export interface MembershipTuning {
  /** K: monitoring rings, hence at most so many observers per member. 3 to 32. @default 10 */
  readonly ringCount: number
  /** H: distinct observers of ten that make a subject stable. Scaled down where there are fewer. @default 9 */
  readonly highWatermark: number
  /** L: distinct observers of ten below which reports are noise. @default 3 */
  readonly lowWatermark: number
  /** Time between two probes of one subject. Raising it saves traffic and slows the detection of silent failures. @default 1000 */
  readonly probeIntervalMs: number
  /** Time after which an unanswered probe counts as failed, before stretching for a slow local process. @default 500 */
  readonly probeTimeoutMs: number
  /** Probes that are judged together. @default 10 */
  readonly probeWindow: number
  /** Failures within the window that make an edge faulty: 40 % of it in the paper. @default 4 */
  readonly probeFailures: number
  /** How long refusals must repeat after a connection closed before they count as a crash (rule M10). @default 500 */
  readonly refusalSpanMs: number
  /** Time between two connection attempts while refusals are being confirmed; the last one comes when the span is over. @default 250 */
  readonly refusalProbeMs: number
  /** Alerts within one window travel together; a proposal waits for one quiet window. Raising it merges more. @default 100 */
  readonly batchWindowMs: number
  /** What a member learns within one window it passes on in one frame per neighbour; windows grow to four times this. @default 50 */
  readonly gossipWindowMs: number
  /**
   * Up to so many members alerts and votes go straight to everybody, which costs a connection per pair and the fewest messages;
   * beyond, they are gossiped along the overlay. The same at every member. @default 11
   */
  readonly unicastMembersMax: number
  /** How long a tally may stay between L and H before its observers are asked to echo (rule M7). @default 2000 */
  readonly unstableTimeoutMs: number
  /** First repetition of an undecided alert; doubles up to eight times this. @default 1000 */
  readonly alertRepeatMs: number
  /** T of rule M2: after the first vote seen, a decision that does not come is recovered after this long. @default 1000 */
  readonly recoveryTimeoutMs: number
  /** d of rule M2: each next coordinator starts this much later than the one before it. @default 100 */
  readonly recoveryRankDelayMs: number
  /** First repetition of an unanswered request to join; doubles up to `joinRetryMaxMs`, with jitter. @default 50 */
  readonly joinRetryMs: number
  /** @default 1000 */
  readonly joinRetryMaxMs: number
  /** After this long without becoming a member `start()` rejects. @default 60000 */
  readonly joinTimeoutMs: number
  /** How long a founder listens for another cluster of its name among its seeds before it founds one. @default 1000 */
  readonly foundingCheckMs: number
  /** After this long the formation gate opens with those who are present. @default 30000 */
  readonly expectDeadlineMs: number
  /**
   * Once enough processes of a cluster that lost its majority are there again, this long is waited for the others, so that all
   * return in one view change (rule M4). Those that come later are members that do not answer. @default 10000
   */
  readonly restartDeadlineMs: number
  /** How long an answer to a fetch of decisions may take before another peer is asked. @default 300 */
  readonly fetchTimeoutMs: number
  /** A member that no observer probed for this long asks around whether it was removed (rule M12). @default 5000 */
  readonly quietTimeoutMs: number
  /** How long a majority must be out of reach before this process says that it is isolated. @default 1000 */
  readonly isolationTimeoutMs: number
  /**
   * The pause before a removed process joins again; doubles with each removal of the last `rejoinForgetMs`, up to
   * `rejoinDelayMaxMs`, with jitter. @default 500
   */
  readonly rejoinDelayMs: number
  /** @default 30000 */
  readonly rejoinDelayMaxMs: number
  /** How long a removal makes later pauses longer. Raising it keeps a process that flaps slowly away for longer. @default 600000 */
  readonly rejoinForgetMs: number
}

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

/** The defaults: hosts of one network, round trips of a few milliseconds. */
export const LAN: Readonly<MembershipTuning> = Object.freeze({
  ringCount: 10,
  highWatermark: 9,
  lowWatermark: 3,
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  probeWindow: 10,
  probeFailures: 4,
  refusalSpanMs: 500,
  refusalProbeMs: 250,
  batchWindowMs: 100,
  gossipWindowMs: 50,
  unicastMembersMax: 11,
  unstableTimeoutMs: 2000,
  alertRepeatMs: 1000,
  recoveryTimeoutMs: 1000,
  recoveryRankDelayMs: 100,
  joinRetryMs: 50,
  joinRetryMaxMs: 1000,
  joinTimeoutMs: 60_000,
  foundingCheckMs: 1000,
  expectDeadlineMs: 30_000,
  restartDeadlineMs: 10_000,
  fetchTimeoutMs: 300,
  quietTimeoutMs: 5000,
  isolationTimeoutMs: 1000,
  rejoinDelayMs: 500,
  rejoinDelayMaxMs: 30_000,
  rejoinForgetMs: 600_000
})

/** Hosts far apart: round trips of up to some hundred milliseconds, loss in bursts. */
export const WAN: Readonly<MembershipTuning> = Object.freeze({
  ...LAN,
  probeIntervalMs: 1000,
  probeTimeoutMs: 2000,
  refusalSpanMs: 2000,
  refusalProbeMs: 800,
  batchWindowMs: 400,
  gossipWindowMs: 100,
  unstableTimeoutMs: 6000,
  alertRepeatMs: 3000,
  recoveryTimeoutMs: 4000,
  recoveryRankDelayMs: 500,
  fetchTimeoutMs: 1500,
  foundingCheckMs: 3000,
  quietTimeoutMs: 15_000,
  isolationTimeoutMs: 4000
})

/** For tests on one machine, where a second is long. Too nervous for anything else. */
export const TEST: Readonly<MembershipTuning> = Object.freeze({
  ...LAN,
  probeIntervalMs: 100,
  probeTimeoutMs: 200,
  refusalSpanMs: 100,
  refusalProbeMs: 50,
  batchWindowMs: 20,
  gossipWindowMs: 10,
  unstableTimeoutMs: 500,
  alertRepeatMs: 250,
  recoveryTimeoutMs: 300,
  recoveryRankDelayMs: 30,
  joinRetryMs: 20,
  joinRetryMaxMs: 250,
  joinTimeoutMs: 20_000,
  foundingCheckMs: 200,
  restartDeadlineMs: 2000,
  fetchTimeoutMs: 100,
  quietTimeoutMs: 1500,
  isolationTimeoutMs: 400,
  rejoinDelayMs: 100,
  rejoinDelayMaxMs: 2000,
  rejoinForgetMs: 60_000
})

export const PRESETS = Object.freeze({ lan: LAN, wan: WAN, test: TEST })

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
 * Checks the fields of metadata that are given.
 * @returns a fresh value of just these.
 * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS naming the first one that is unknown or out of its range.
 */
export function checkMetadata (metadata: Partial<Metadata>): Partial<Metadata> {
  check(typeof metadata === 'object' && (metadata as unknown) !== null, 'metadata must be an object')
  const { zone, weight, tags, ...rest } = metadata
  for (const name of Object.keys(rest)) refuse(`unknown metadata ${name}: put your own values into tags`)
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
