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
}

interface State extends AgreedState {
  readonly placement: FoldState | undefined
  readonly genesis: FoldState | undefined
}

const VERSION = 1
const packr = new Packr({ useRecords: false })

function stateOf (settings: StoreSettings, genesis: FoldState | undefined, placement: FoldState | undefined): State {
  return {
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
      return stateOf(before, before.genesis, foldPlacement.next(before.placement, configuration))
    }),
    // Rule R3: a store that was copied, or put back to an older state of its disk, starts with an incarnation that is known already.
    objection: ({ placement }, { storeId, incarnation }) => {
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
  const { partitions, replicas, expect, genesis: first, placement } = state as State
  const encode = (part: FoldState | undefined): Uint8Array | null => part === undefined ? null : foldPlacement.encode(part)
  return packr.pack([VERSION, partitions, replicas, expect, encode(first), encode(placement)])
}

/** @throws {StoreError} STORE_INVALID_MESSAGE when the bytes are not such a state. */
export function decodeAgreedState (bytes: Uint8Array): AgreedState {
  try {
    type Fields = [version: number, partitions: number, replicas: number, expect: number, genesis: Uint8Array | null, placement: Uint8Array | null]
    const [version, partitions, replicas, expect, first, placement] = packr.unpack(bytes) as Fields
    if (version !== VERSION) throw new Error(`version ${version}`)
    const settings = { partitions, replicas, expect }
    if (![partitions, replicas, expect].every(value => Number.isInteger(value) && value > 0)) throw new Error('settings')
    const decode = (part: Uint8Array | null): FoldState | undefined => part === null ? undefined : foldPlacement.decode(part)
    return stateOf(settings, decode(first), decode(placement))
  } catch (cause) {
    throw new StoreError('STORE_INVALID_MESSAGE', 'not an agreed state of a store of this version', { cause })
  }
}
