/**
 * What opening a data directory finds out (rule S8): any record that changed or is under another key, a log with a gap, and a batch
 * that was lost while later ones stayed.
 *
 * Mutations caught: checksums are not compared; a checksum does not cover the key; the numbers of batches are not compared, or not
 * missed; a restart begins to number batches anew; a huge batch counts in full for the numbers that are kept;
 * a disk that is full, or a directory of another version, is taken for a damaged one.
 */
import { MemoryLevel } from 'memory-level'
import { describe, expect, test } from 'vitest'
import type { Database } from '../../../membership/environment/environment.ts'
import { SeededRandom } from '../../../membership/environment/seeded-random.ts'
import { type Entry, NO_BALLOT } from '../../../store/group/history.ts'
import type { DurableState } from '../../../store/group/effects.ts'
import type { StoreId } from '../../../membership/configuration.ts'
import { BatchChain, lastBatch } from '../../../store/storage/batch-chain.ts'
import { batchKey, BINARY, dataKey, decodeIdentity, decodeValue, encodeValue, encodeRecord, identityKey, logKey, numberOfBatch, ranges, stateKey } from '../../../store/storage/layout.ts'
import { type OpenedStore, openStore } from '../../../store/storage/open.ts'
import { BodyBytes } from '../../../store/body-bytes.ts'
import { StoreWriter } from '../../../store/storage/store-writer.ts'

const PARTITION = 7
const COPY = 1
const bytes = (text: string): Uint8Array => Buffer.from(text)
const group = { generation: 0, members: ['a', 'b', 'c'] as StoreId[], base: 0, previous: { ballot: NO_BALLOT, seq: 0 }, epoch: 1 }
const stateAt = (applied: number): DurableState =>
  ({ group, promised: NO_BALLOT, copy: COPY, nextCopy: 2, floor: 0, time: 0, applied, seat: undefined })

function entryOf (seq: number): Entry {
  const id = { client: 'client', number: seq, base: 0 }
  return { seq, ballot: { epoch: 1, attempt: 1, store: 'a' as StoreId }, body: { kind: 'write', id, operations: [{ kind: 'put', key: bytes(`key ${seq}`), value: bytes('value') }] } }
}

const fresh = (): Database => new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
const opened = (database: Database): Promise<OpenedStore> => openStore(database, 'here', 'test', new SeededRandom(1))

/** One batch per entry, as a store writes them: entry, data and state together. */
async function write (database: Database, from: number, to: number): Promise<void> {
  const { lastBatch } = await opened(database)
  const writer = new StoreWriter({ database, bodies: new BodyBytes(), lastBatch, collect: () => {}, failed: error => { throw error } })
  for (let seq = from; seq <= to; seq++) {
    await new Promise<void>(resolve => {
      writer.persist(PARTITION, [
        { kind: 'entry', copy: COPY, entry: entryOf(seq) },
        { kind: 'item', copy: COPY, key: bytes(`key ${seq % 3}`), value: bytes(`value ${seq}`), seq },
        { kind: 'state', state: stateAt(seq) }
      ], resolve)
      writer.flush()
    })
    // The writer starts the next batch in the turn after.
    await new Promise(resolve => { setImmediate(resolve) })
  }
}

const numbers = async (database: Database): Promise<number[]> =>
  (await database.keys<Uint8Array>({ ...ranges.batches, keyEncoding: 'view' }).all()).map(numberOfBatch)

async function flip (database: Database, key: Uint8Array, position: number): Promise<void> {
  const record = Buffer.from(await database.get(key, BINARY) as Uint8Array)
  const at = position < 0 ? record.length + position : position
  record[at] = record[at]! ^ 1
  await database.put(key, record, BINARY as object)
}

describe('a data directory', () => {
  test('opens as it was written, any number of times', async () => {
    const database = fresh()
    await write(database, 1, 5)
    await write(database, 6, 7)
    const { partitions, lastBatch } = await opened(database)
    expect(lastBatch).toBe(7)
    expect(partitions.get(PARTITION)!.state).toEqual(stateAt(7))
    expect(partitions.get(PARTITION)!.entries.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(await numbers(database)).toEqual([7])
  })

  const records = [['the identity', identityKey], ['a state', stateKey(PARTITION)], ['an entry', logKey(PARTITION, COPY, 3)]] as const
  for (const [name, key] of records) {
    for (const position of [0, 5, -1]) {
      test(`is refused when a bit of ${name} changed, at ${position}`, async () => {
        const database = fresh()
        await write(database, 1, 5)
        await flip(database, key, position)
        await expect(opened(database)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_DAMAGED', message: expect.stringMatching(/does not fit its checksum/) as string })
      })
    }
  }

  test('is refused when a record is under the key of another', async () => {
    const database = fresh()
    await write(database, 1, 5)
    await database.put(logKey(PARTITION, COPY, 3), await database.get(logKey(PARTITION, COPY, 2), BINARY) as Uint8Array, BINARY as object)
    await expect(opened(database)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_DAMAGED', message: expect.stringMatching(/does not fit its checksum/) as string })
  })

  test('a value has its number and its time, however large these are', () => {
    const key = dataKey(0, 1, bytes('k'))
    const numbers = [0, 1, 255, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 2 ** 31 + 7, 2 ** 47 - 1]
    for (const seq of numbers) {
      expect(decodeValue(key, encodeValue(key, seq, bytes('v')))).toEqual({ seq, value: bytes('v') })
      for (const expires of [...numbers, 2 ** 48 - 1]) {
        expect(decodeValue(key, encodeValue(key, seq, bytes('v'), expires))).toEqual({ seq, value: bytes('v'), expires })
      }
    }
  })

  test('gives no value that changed, was cut off, or belongs to another key', async () => {
    const database = fresh()
    await write(database, 1, 5)
    const [one, two] = [dataKey(PARTITION, COPY, bytes('key 1')), dataKey(PARTITION, COPY, bytes('key 2'))]
    const record = Buffer.from(await database.get(one, BINARY) as Uint8Array)
    expect(decodeValue(one, record)).toEqual({ seq: 4, value: bytes('value 4') })
    const refused = { code: 'STORE_DIRECTORY_DAMAGED' }
    const changed = Buffer.from(record)
    for (let bit = 0; bit < record.length * 8; bit++) {
      changed[bit >> 3] = record[bit >> 3]! ^ (1 << (bit & 7))
      expect(() => decodeValue(one, changed)).toThrow(expect.objectContaining(refused))
      changed[bit >> 3] = record[bit >> 3]!
    }
    for (let length = 0; length < record.length; length++) {
      expect(() => decodeValue(one, record.subarray(0, length))).toThrow(expect.objectContaining(refused))
    }
    expect(() => decodeValue(two, record)).toThrow(expect.objectContaining(refused))
  })

  test('is refused when a batch is lost whose entries the log has no need of', async () => {
    const database = fresh()
    await write(database, 1, 5)
    // All that the third batch wrote and no later one wrote again: to the log and the state it is as if everything were there.
    await database.batch([{ type: 'del', key: batchKey(3) }, { type: 'del', key: dataKey(PARTITION, COPY, bytes('key 0')) }], BINARY as object)
    await expect(opened(database)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_DAMAGED', message: expect.stringMatching(/batch 3 is missing/) as string })
  })

  test('is refused when the numbers of its batches are gone', async () => {
    const database = fresh()
    await write(database, 1, 5)
    await database.clear({ ...ranges.batches, keyEncoding: 'view' })
    await expect(opened(database)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_DAMAGED', message: expect.stringMatching(/number of the last batch/) as string })
  })

  for (const operation of ['put', 'clear'] as const) {
    test(`is not called damaged when the disk is too full for ${operation}: with room again it is as it was`, async () => {
      const database = fresh()
      await write(database, 1, 5)
      // As classic-level says it. The identity is put, the numbers of old batches are cleared.
      const full = Object.assign(new Error('IO error: No space left on device'), { code: 'LEVEL_IO_ERROR' })
      const failing = new Proxy(database, {
        get: (target, name) => name === operation
          ? () => Promise.reject(full)
          : (Reflect.get(target, name) as (...args: unknown[]) => unknown).bind(target)
      })
      await expect(opened(failing)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_INVALID', message: expect.stringMatching(/No space left/) as string })
      expect((await opened(database)).lastBatch).toBe(5)
    })
  }

  test.each([1, 3])('laid out in version %i is not damaged, and is left as it is', async version => {
    const database = fresh()
    await opened(database)
    const before = decodeIdentity(await database.get(identityKey, BINARY) as Uint8Array)
    const other = encodeRecord(identityKey, { ...before, version })
    await database.put(identityKey, other, BINARY)
    await expect(opened(database)).rejects.toMatchObject({
      code: 'STORE_DIRECTORY_INVALID', message: expect.stringMatching(`version ${version}, and this program uses version 2: .* empty directory`) as string
    })
    expect(await database.get(identityKey, BINARY)).toEqual(other)
  })

  test('whose version is no number is damaged', async () => {
    const database = fresh()
    await opened(database)
    await database.put(identityKey, encodeRecord(identityKey, { version: 'two' }), BINARY)
    await expect(opened(database)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_DAMAGED' })
  })
})

describe('BatchChain', () => {
  test('keeps the numbers of the batches that may still be in a log: of the last 16 MiB, in which none counts for more than a quarter', () => {
    const chain = new BatchChain(0)
    const kept = new Map<number, number>()
    const random = new SeededRandom(3)
    for (let count = 0; count < 800; count++) {
      const size = Math.floor(random.next() ** 8 * 32 * 1024 * 1024)
      const { number, expired } = chain.append(size)
      expect(number).toBe(count + 1)
      const before = [...kept.values()].reduce((sum, bytes) => sum + bytes, 0)
      for (const old of expired) {
        expect(old).toBe(kept.keys().next().value)
        kept.delete(old)
      }
      const after = [...kept.values()].reduce((sum, bytes) => sum + bytes, 0)
      if (expired.length > 0) expect(after).toBeGreaterThanOrEqual(16 * 1024 * 1024)
      else expect(before).toBeLessThan(20 * 1024 * 1024)
      kept.set(number, Math.min(size, 4 * 1024 * 1024))
      expect(lastBatch([...kept.keys()])).toBe(number)
    }
    expect(kept.size).toBeLessThan(800)
  })

  test('begins after the last batch of the run before', () => {
    expect(new BatchChain(41).append(1)).toEqual({ number: 42, expired: [] })
  })
})

describe('a store that acknowledges before it syncs', () => {
  const os = (bootId: string | undefined): Parameters<typeof openStore>[4] => ({ durability: 'os', bootId })
  const open = (database: Database, run: Parameters<typeof openStore>[4]): Promise<OpenedStore> => openStore(database, 'here', 'test', new SeededRandom(1), run)
  const doubted = ({ partitions }: OpenedStore): (boolean | undefined)[] => [...partitions.values()].map(({ state }) => state.doubted)

  /** With one partition in whose group it is, and one in whose group it is not. */
  async function used (run: Parameters<typeof openStore>[4]): Promise<Database> {
    const database = fresh()
    const { identity, lastBatch } = await open(database, run)
    const writer = new StoreWriter({ database, bodies: new BodyBytes(), lastBatch, collect: () => {}, failed: error => { throw error } })
    const mine = { ...group, members: [...group.members, identity.storeId as StoreId] }
    const states: readonly DurableState[] = [{ ...stateAt(0), group: mine }, stateAt(0)]
    for (const [partition, state] of states.entries()) writer.persist(partition, [{ kind: 'state', state }], () => {})
    await new Promise<void>(resolve => { writer.persist(2, [], resolve); writer.flush() })
    return database
  }

  test('is doubted after another boot of its machine, until each partition says otherwise, and not after the end of its process', async () => {
    const database = await used(os('first'))
    expect(doubted(await open(database, os('first')))).toEqual([undefined, undefined])
    expect(doubted(await open(database, os('second')))).toEqual([true, undefined])
    expect(doubted(await open(database, os('second')))).toEqual([true, undefined])
  })

  test('is doubted after every start where nobody knows the boot, and when it is started as one that syncs', async () => {
    expect(doubted(await open(await used(os(undefined)), os(undefined)))).toEqual([true, undefined])
    const database = await used(os('first'))
    expect(doubted(await open(database, { durability: 'sync', bootId: 'second' }))).toEqual([true, undefined])
    expect((await open(database, { durability: 'sync', bootId: 'third' })).identity.unsynced).toBeUndefined()
  })

  test('one that has always synced never is', async () => {
    expect(doubted(await open(await used({ durability: 'sync', bootId: 'first' }), os('second')))).toEqual([undefined, undefined])
  })
})
