/**
 * Opens a data directory: who this store is, and what it promised and holds.
 *
 * Owns nothing afterwards. A store that acknowledges before it syncs, and whose machine was started again meanwhile, is marked as doubted in
 * every partition, durably (see group/doubt.ts).
 * Rule S8: every record must fit its checksum, the log of every copy must be contiguous up to its data's
 * position, and no batch may be missing before a later one; anything else is damage, and is said, since LevelDB skips corrupt log
 * records silently. Rule R3: every start counts the incarnation up, durably, first.
 */
import type { Database, Random } from '../../membership/environment/environment.ts'
import { StoreError } from '../errors.ts'
import type { Durability } from '../group/synced-log.ts'
import { lastBatch } from './batch-chain.ts'
import { damaged } from './checksum.ts'
import { batchKey, BINARY, decodeIdentity, encodeRecord, type Identity, identityKey, type KeyRange, LAYOUT_VERSION, numberOfBatch, ranges, stateKey } from './layout.ts'
import { copiesIn, loadPartitions, type StoredPartition } from './stored-copies.ts'

/** How this run acknowledges, and where. */
export interface Run {
  readonly durability: Durability
  /** Names the time since the machine was started. Undefined where nobody knows: then any start may be one after a loss of power. */
  readonly bootId: string | undefined
}

const SYNCED: Run = Object.freeze({ durability: 'sync', bootId: undefined })

export interface OpenedStore {
  readonly identity: Identity
  readonly partitions: ReadonlyMap<number, StoredPartition>
  /** The number of the last batch written; 0 for none. */
  readonly lastBatch: number
}

/**
 * @throws {StoreError} STORE_DIRECTORY_LOCKED when another process has it open; STORE_DIRECTORY_INVALID when it belongs to
 * another cluster, or cannot be opened; STORE_DIRECTORY_DAMAGED
 */
export async function openStore (
  database: Database, directory: string, clusterName: string, random: Random, run: Run = SYNCED
): Promise<OpenedStore> {
  await openDatabase(database, directory)
  return await reading(directory, async () => {
    const started = await startIdentity(database, directory, clusterName, random)
    const found = await loadPartitions(database)
    const lastBatch = await checkBatches(database, directory, found.size)
    const { identity, partitions } = await beginRun(database, directory, started, found, run)
    await deleteLeftovers(database, directory, partitions)
    return { identity, partitions, lastBatch }
  })
}

const unusable = (directory: string, reason: Error, cause: unknown): StoreError =>
  new StoreError('STORE_DIRECTORY_INVALID', `cannot open ${directory}: ${reason.message}`, { cause })

/**
 * Reads a directory at its opening. LevelDB opens one whose tables are damaged, and says so only when they are read; where a table ends too early as
 * an error of the disk.
 * @throws {StoreError} STORE_DIRECTORY_DAMAGED, and whatever `read` throws as such an error
 */
export async function reading<Result> (directory: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof StoreError) throw error
    throw damaged(`${directory} cannot be read: ${(error as Error).message}`, error)
  }
}

/** What it says about a directory that membership could not read its records there, or write them: from an error of the disk nobody knows which. */
export function unusableFor (directory: string, error: Error): StoreError {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ((cause as { code?: unknown }).code === 'LEVEL_IO_ERROR') return unusable(directory, cause, error)
  }
  return damaged(`${directory} cannot be read: ${error.message}`, error)
}

/** A write that fails because the disk is full says nothing about what is on it: such a directory must not be called damaged, and replaced. */
async function writing (directory: string, write: Promise<void>): Promise<void> {
  try {
    await write
  } catch (error) {
    if ((error as { code?: unknown }).code === 'LEVEL_IO_ERROR') throw unusable(directory, error as Error, error)
    throw error
  }
}

/**
 * Resolves when this process has the directory for itself, which it may have already: no earlier process of this store runs any more.
 * @throws {StoreError} STORE_DIRECTORY_LOCKED, STORE_DIRECTORY_INVALID, STORE_DIRECTORY_DAMAGED
 */
export async function openDatabase (database: Database, directory: string): Promise<void> {
  try {
    await database.open()
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause
    if (cause?.code === 'LEVEL_LOCKED') {
      throw new StoreError('STORE_DIRECTORY_LOCKED', `another process has ${directory} open`, { cause: error })
    }
    if (cause?.code === 'LEVEL_CORRUPTION') throw damaged(`${directory} cannot be opened: ${(cause as unknown as Error).message}`, error)
    throw unusable(directory, cause instanceof Error ? cause : error as Error, error)
  }
}

export async function writeIdentity (database: Database, identity: Identity): Promise<void> {
  await database.put(identityKey, encodeRecord(identityKey, identity), { ...BINARY, sync: true } as object)
}

async function startIdentity (database: Database, directory: string, clusterName: string, random: Random): Promise<Identity> {
  const stored = await database.get(identityKey, BINARY) as Uint8Array | undefined
  // It is the first record that is ever written, and nothing deletes it.
  if (stored === undefined && (await hasAny(database, ranges.states) || await hasAny(database, ranges.batches))) throw damaged('its identity is missing')
  const before: Identity = stored === undefined
    ? { version: LAYOUT_VERSION, storeId: random.id(), clusterName, clusterId: undefined, incarnation: 0, addresses: [] }
    : decodeIdentity(stored)
  if (before.clusterName !== clusterName) {
    throw new StoreError('STORE_DIRECTORY_INVALID', `${directory} belongs to cluster '${before.clusterName}', not to '${clusterName}'`)
  }
  if (before.damage !== undefined) throw damaged(`an earlier run found that ${before.damage}`)
  const identity: Identity = { ...before, incarnation: before.incarnation + 1 }
  await writing(directory, writeIdentity(database, identity))
  return identity
}

const hasAny = async (database: Database, range: KeyRange): Promise<boolean> =>
  (await database.keys<Uint8Array>({ ...range, limit: 1, keyEncoding: 'view' }).all()).length > 0

/** What the identity says while a store runs, so that the next start knows whether something may be missing. */
const unsyncedIn = ({ durability, bootId = '' }: Run): Pick<Identity, 'unsynced'> => durability === 'os' ? { unsynced: bootId } : {}

/** In a group that it is not in a store has acknowledged nothing that anybody counts. */
function doubt (stored: StoredPartition, { storeId }: Identity): StoredPartition {
  const member = stored.state.group?.members.some(member => member === storeId) === true
  return member ? { ...stored, state: { ...stored.state, doubted: true } } : stored
}

/** Marks every partition where the last run may have lost what it acknowledged, and notes how this one acknowledges: in one batch. */
async function beginRun (
  database: Database, directory: string, started: Identity, found: ReadonlyMap<number, StoredPartition>, run: Run
): Promise<{ identity: Identity, partitions: ReadonlyMap<number, StoredPartition> }> {
  const { unsynced, ...rest } = started
  const identity: Identity = { ...rest, ...unsyncedIn(run) }
  const doubted = unsynced !== undefined && (run.bootId === undefined || unsynced !== run.bootId)
  if (identity.unsynced === unsynced && !doubted) return { identity, partitions: found }
  const partitions = new Map([...found].map(([partition, stored]) => [partition, doubted ? doubt(stored, identity) : stored]))
  const batch = database.batch()
  batch.put(identityKey, encodeRecord(identityKey, identity), BINARY)
  if (doubted) for (const [partition, { state }] of partitions) batch.put(stateKey(partition), encodeRecord(stateKey(partition), state), BINARY)
  await writing(directory, batch.write({ sync: true } as object))
  return { identity, partitions }
}

/** By now LevelDB has its logs in tables, so of the numbers of earlier batches only the last is needed. */
async function checkBatches (database: Database, directory: string, partitions: number): Promise<number> {
  const numbers = (await database.keys<Uint8Array>({ ...ranges.batches, keyEncoding: 'view' }).all()).map(numberOfBatch)
  const last = lastBatch(numbers)
  if (last === 0 && partitions > 0) throw damaged('the number of the last batch is missing')
  await writing(directory, database.clear({ gte: ranges.batches.gte, lt: batchKey(last), keyEncoding: 'view' }))
  return last
}

/** Copies that no state record names: half-received snapshots, and deletions that a crash cut short. */
async function deleteLeftovers (database: Database, directory: string, partitions: ReadonlyMap<number, StoredPartition>): Promise<void> {
  for await (const { partition, copy, range } of copiesIn(database)) {
    if (partitions.get(partition)?.state.copy !== copy) await writing(directory, database.clear({ ...range, keyEncoding: 'view' }))
  }
}
