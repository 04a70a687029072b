/**
 * What the store derives from the sequence of configurations: the genesis of every partition, and the placement.
 *
 * A fold (see membership/fold.ts): the same at every process, handed to joiners with the configuration. Genesis is the first
 * epoch that has as many members as the founder expected; generation 0 of every partition is that epoch's placement, and stays
 * part of the state for ever (rule S1), so that a store of that epoch can tell its empty beginning from a lost one.
 *
 * Pure.
 */
import { Packr } from 'msgpackr'
import type { Configuration, StoreId } from '../membership/configuration.ts'
import type { Fold } from '../membership/fold.ts'
import { foldPlacement, type FoldState, type PartitionIndex, type Placement } from '../ring/index.ts'
import { StoreError } from './errors.ts'
import { ordersOf } from './force/order.ts'
import type { Decree } from './group/forced.ts'

/** The settings of a cluster that the store reads. Fixed when it is founded. */
export interface StoreSettings {
  /** Q: partitions; a power of two. */
  readonly partitions: number
  /** R: replicas of each partition. */
  readonly replicas: number
  /** Members that make the first placement. */
  readonly expect: number
}

export interface AgreedState extends StoreSettings {
  /** Undefined before genesis: nothing is stored yet. */
  readonly placement: Placement | undefined
  /** The epoch of genesis; 0 before it. */
  readonly genesisEpoch: number
  /** The stores of generation 0 of a partition. */
  genesisMembers (partition: PartitionIndex): readonly StoreId[]
  /** Stores that were given up: they never come back (rule S12). Sorted. */
  readonly abandoned: readonly StoreId[]
  /** The last force of each partition that was forced. */
  readonly forced: ReadonlyMap<number, Decree>
}

interface State extends AgreedState {
  readonly placement: FoldState | undefined
  readonly genesis: FoldState | undefined
}

const VERSION = 2
/** Stores that can ever be given up. */
const ABANDONED_MAX = 4096
const packr = new Packr({ useRecords: false })

type Given = Pick<State, 'abandoned' | 'forced'>

const NOTHING_GIVEN: Given = Object.freeze({ abandoned: Object.freeze([]), forced: new Map() })

function stateOf (
  settings: StoreSettings, genesis: FoldState | undefined, placement: FoldState | undefined, { abandoned, forced }: Given = NOTHING_GIVEN
): State {
  return {
    abandoned,
    forced,
    partitions: settings.partitions,
    replicas: settings.replicas,
    expect: settings.expect,
    genesis,
    placement,
    genesisEpoch: genesis?.epoch ?? 0,
    genesisMembers: partition => genesis?.seats(partition) ?? []
  }
}

function settingsOf (configuration: Configuration): StoreSettings {
  const { partitions, replicas, expect } = configuration.settings
  const natural = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value > 0
  if (!natural(partitions) || !natural(replicas) || !natural(expect)) {
    throw new StoreError('STORE_INVALID_OPTIONS', `the cluster ${configuration.clusterName} was not founded by a store: it lacks partitions, replicas or expect`)
  }
  return { partitions, replicas, expect }
}

/**
 * What was given up, this configuration included. An order counts in the configuration that follows the one it was planned on, if no
 * store came in with it: of those that were there all were asked. Of several the first counts, so that each saw what it changes.
 */
function givenUp ({ abandoned, forced, placement, partitions }: State & { readonly placement: FoldState }, configuration: Configuration): Given {
  const { epoch, members } = configuration
  const before = new Set(placement.stores)
  if (members.some(({ storeId }) => !before.has(storeId))) return { abandoned, forced }
  const present = new Set(members.map(({ storeId }) => storeId))
  const order = ordersOf(configuration).find(order => order.epoch === epoch - 1 && !order.abandoned.some(store => present.has(store)) &&
    order.survivors.every(({ partition, store }) => partition < partitions && present.has(store)))
  if (order === undefined) return { abandoned, forced }
  const all = [...new Set([...abandoned, ...order.abandoned])].sort()
  if (all.length > ABANDONED_MAX) return { abandoned, forced }
  const next = new Map(forced)
  for (const { partition, store, empty } of order.survivors) next.set(partition, { epoch, era: (forced.get(partition)?.era ?? 0) + 1, store, empty })
  return { abandoned: all, forced: next }
}

function genesis (settings: StoreSettings, configuration: Configuration): State {
  if (configuration.members.length < settings.expect) return stateOf(settings, undefined, undefined)
  const first = foldPlacement.first(configuration, { partitions: settings.partitions, replicas: settings.replicas })
  return stateOf(settings, first, first)
}

/** Configurations whose states a fold remembers: those of a few epochs, for processes that share one fold. */
const REMEMBERED = 4

/**
 * The fold of the store. It remembers the last few states by configuration id, and the last one decoded, which changes nothing
 * in the result: nodes that share a process may share one fold, and compute each placement once.
 */
export function createAgreedStateFold (): Fold<AgreedState> {
  const remembered = new Map<string, State>()
  const encoded = new WeakMap<AgreedState, Uint8Array>()
  let decoded: { readonly bytes: Uint8Array, readonly state: AgreedState } | undefined
  const remember = (configuration: Configuration, compute: () => State): State => {
    const known = remembered.get(configuration.id)
    if (known !== undefined) return known
    const state = compute()
    remembered.set(configuration.id, state)
    for (const id of remembered.keys()) {
      if (remembered.size <= REMEMBERED) break
      remembered.delete(id)
    }
    return state
  }
  return {
    initial: configuration => remember(configuration, () => genesis(settingsOf(configuration), configuration)),
    next: (state, configuration) => remember(configuration, () => {
      const before = state as State
      if (before.placement === undefined) return genesis(before, configuration)
      const { placement } = before
      return stateOf(before, before.genesis, foldPlacement.next(placement, configuration), givenUp({ ...before, placement }, configuration))
    }),
    // Rule R3: a store that was copied, or put back to an older state of its disk, starts with an incarnation that is known already.
    objection: ({ placement, abandoned }, { storeId, incarnation }) => {
      // Rule S12: what it has was replaced by what others had.
      if (abandoned.includes(storeId)) return `store ${storeId} was given up for lost; its directory must not be used any more: start with an empty one`
      const known = placement?.incarnationOf(storeId)
      return known === undefined || incarnation > known
        ? undefined
        : `store ${storeId} was seen with incarnation ${known}; this one has ${incarnation}: its directory is a copy, or was restored from an older one`
    },
    encode: state => {
      let bytes = encoded.get(state)
      if (bytes === undefined) encoded.set(state, bytes = encodeAgreedState(state))
      return bytes
    },
    decode: bytes => {
      const known = decoded
      if (known !== undefined && Buffer.compare(known.bytes, bytes) === 0) return known.state
      const state = decodeAgreedState(bytes)
      decoded = { bytes: Uint8Array.from(bytes), state }
      return state
    }
  }
}

export function encodeAgreedState (state: AgreedState): Uint8Array {
  const { partitions, replicas, expect, genesis: first, placement, abandoned, forced } = state as State
  const encode = (part: FoldState | undefined): Uint8Array | null => part === undefined ? null : foldPlacement.encode(part)
  const decrees = [...forced].sort(([a], [b]) => a - b).map(([partition, { epoch, era, store, empty }]) => [partition, epoch, era, store, empty])
  return packr.pack([VERSION, partitions, replicas, expect, encode(first), encode(placement), abandoned, decrees])
}

function decodeGiven (abandoned: unknown, decrees: unknown): Given {
  const natural = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
  if (!Array.isArray(abandoned) || !abandoned.every(store => typeof store === 'string') || !Array.isArray(decrees)) throw new Error('what was given up')
  const forced = decrees.map((decree): [number, Decree] => {
    const [partition, epoch, era, store, empty] = decree as unknown[]
    if (!natural(partition) || !natural(epoch) || !natural(era) || typeof store !== 'string' || typeof empty !== 'boolean') throw new Error('a force')
    return [partition, { epoch, era, store: store as StoreId, empty }]
  })
  return { abandoned: abandoned as StoreId[], forced: new Map(forced) }
}

/** @throws {StoreError} STORE_INVALID_MESSAGE when the bytes are not such a state. */
export function decodeAgreedState (bytes: Uint8Array): AgreedState {
  try {
    type Fields = [
      version: number, partitions: number, replicas: number, expect: number, genesis: Uint8Array | null, placement: Uint8Array | null,
      abandoned: unknown, decrees: unknown
    ]
    const [version, partitions, replicas, expect, first, placement, abandoned, decrees] = packr.unpack(bytes) as Fields
    if (version !== VERSION) throw new Error(`version ${version}`)
    const settings = { partitions, replicas, expect }
    if (![partitions, replicas, expect].every(value => Number.isInteger(value) && value > 0)) throw new Error('settings')
    const decode = (part: Uint8Array | null): FoldState | undefined => part === null ? undefined : foldPlacement.decode(part)
    return stateOf(settings, decode(first), decode(placement), decodeGiven(abandoned, decrees))
  } catch (cause) {
    throw new StoreError('STORE_INVALID_MESSAGE', 'not an agreed state of a store of this version', { cause })
  }
}
