/**
 * What a data directory holds of each partition: its state record with the log of the live copy, and which copies there are at all.
 *
 * Changes nothing. Rule S8: a record that does not fit its checksum, or a log that is not contiguous up to its data's position, is damage, and
 * is said.
 *
 * Owns the iterators that it opens, which are closed before it answers.
 */
import type { Database } from '../../membership/environment/environment.ts'
import type { DurableState } from '../group/effects.ts'
import type { Entry } from '../group/history.ts'
import { damaged } from './checksum.ts'
import { BINARY, copyOf, copyRange, decodeEntry, decodeState, type KeyRange, partitionOfState, ranges } from './layout.ts'

export interface StoredPartition {
  readonly state: DurableState
  readonly entries: readonly Entry[]
}

/** @throws {StoreError} STORE_DIRECTORY_DAMAGED */
export async function loadPartitions (database: Database): Promise<Map<number, StoredPartition>> {
  const states = new Map<number, DurableState>()
  for await (const [key, value] of database.iterator<Uint8Array, Uint8Array>({ ...ranges.states, ...BINARY })) {
    const partition = partitionOfState(key)
    states.set(partition, decodeState(key, value))
  }
  const entries = new Map<number, Entry[]>()
  for await (const [key, value] of database.iterator<Uint8Array, Uint8Array>({ ...ranges.logs, ...BINARY })) {
    const { partition, copy } = copyOf(key)
    if (states.get(partition)?.copy !== copy) continue
    const list = entries.get(partition)
    if (list === undefined) entries.set(partition, [decodeEntry(key, value)])
    else list.push(decodeEntry(key, value))
  }
  const partitions = new Map<number, StoredPartition>()
  for (const [partition, state] of states) {
    const log = entries.get(partition) ?? []
    log.forEach((entry, index) => {
      if (entry.seq !== state.floor + 1 + index) throw damaged(`the log of partition ${partition} has ${entry.seq} where ${state.floor + 1 + index} belongs`)
    })
    const last = state.floor + log.length
    if (last < state.applied) throw damaged(`the log of partition ${partition} ends at ${last}, its data at ${state.applied}`)
    partitions.set(partition, { state, entries: log })
  }
  return partitions
}

/** The log, the data or the index of one copy. */
export interface StoredCopy {
  readonly kind: 'log' | 'data' | 'expiry'
  readonly partition: number
  readonly copy: number
  readonly range: KeyRange
}

const KINDS = Object.freeze({ log: ranges.logs, data: ranges.data, expiry: ranges.expiries })

/** Every log, data and index of which there is a record, live or not. What the caller deletes meanwhile is not looked for again. */
export async function* copiesIn (database: Database): AsyncGenerator<StoredCopy> {
  for (const kind of ['log', 'data', 'expiry'] as const) {
    const { gte, lt } = KINDS[kind]
    for (let from = gte; ;) {
      const [key] = await database.keys<Uint8Array>({ gte: from, lt, limit: 1, keyEncoding: 'view' }).all()
      if (key === undefined) break
      const { partition, copy } = copyOf(key)
      const range = copyRange(kind, partition, copy)
      yield { kind, partition, copy, range }
      from = range.lt
    }
  }
}
