/**
 * Reads of many keys whose values are large: an answer has the first ones, one at least and no more than fit, and no more than those are taken
 * from the disk, but for one part of the list.
 *
 * Mutations caught here: an answer without a limit; one without any value where the first is too large; a value that was not read told as
 * missing; a list that is read whole; a list without a limit that is read in part; any number of questions at a time.
 */
import { MemoryLevel } from 'memory-level'
import { describe, expect, test } from 'vitest'
import type { Database } from '../../../membership/environment/environment.ts'
import { nextTurn } from '../../../membership/environment/system.ts'
import { WIRE_LIMITS } from '../../../store/client-protocol.ts'
import { Copy } from '../../../store/group/copy.ts'
import { Outbox } from '../../../store/group/effects.ts'
import { Lookup } from '../../../store/group/lookup.ts'
import { isLongRead, KeyReader, KEYS_AT_ONCE_MAX, QUESTIONS_AT_ONCE_MAX, questionsOf } from '../../../store/storage/key-reader.ts'
import { dataKey, encodeValue } from '../../../store/storage/layout.ts'

const LIMIT = WIRE_LIMITS.readBytesMax
const keys = (count: number): Uint8Array[] => Array.from({ length: count }, (_, index) => Buffer.from(`key ${index}`))

describe('an answer to a read of many keys', () => {
  /** Key 0 is in memory, with so many bytes; the disk has the others. */
  function lookup (count: number, bytesInMemory: number): { lookup: Lookup, fetched: (...lengths: (number | null)[]) => (number | null)[] } {
    const copy = new Copy(1, 0, 0, [], { logEntriesMax: 100, logBytesMax: 2 ** 30 })
    const [first] = keys(1)
    const operations = [{ kind: 'put' as const, key: first!, value: new Uint8Array(bytesInMemory) }]
    copy.append({ seq: 1, ballot: { epoch: 1, attempt: 1, store: 'a' as never }, body: { kind: 'write', id: { client: 'c', number: 1, base: 0 }, operations } })
    copy.advanceCommit(1)
    const made = new Lookup({ kind: 'read', ticket: 1, keys: keys(count) }, copy)
    const out = new Outbox()
    made.fetch(out)
    expect(out.take()).toMatchObject([{ kind: 'fetch', keys: keys(count).slice(1), bytesMax: LIMIT }])
    return {
      lookup: made,
      fetched: (...lengths) => {
        made.fetched(lengths.map((length, index) => length === null ? null : { value: new Uint8Array(length), seq: index }))
        const answer = made.answer()
        if (answer.kind !== 'values') throw new Error('no values')
        expect(answer.versions).toHaveLength(answer.values.length)
        return answer.values.map(value => value?.length ?? null)
      }
    }
  }

  test('has all values while they fit, absences included', () => {
    expect(lookup(4, 10).fetched(20, null, 30)).toEqual([10, 20, null, 30])
  })

  test('ends with the value that fills it', () => {
    expect(lookup(4, 10).fetched(LIMIT - 11, 1, 30)).toEqual([10, LIMIT - 11, 1])
    expect(lookup(4, 10).fetched(LIMIT - 11, 0, 30)).toEqual([10, LIMIT - 11, 0, 30])
    expect(lookup(3, LIMIT).fetched(1, 1), 'one at least').toEqual([LIMIT])
  })

  test('ends where the disk was read no further', () => {
    expect(lookup(4, 10).fetched(20)).toEqual([10, 20])
  })
})

describe('reading from the disk', () => {
  const COUNT = 4 * KEYS_AT_ONCE_MAX
  /** What was asked for, in its parts. */
  async function reader (valueBytes: number): Promise<{ reader: KeyReader, asked: number[] }> {
    const database = new MemoryLevel<Uint8Array, Uint8Array>({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' })
    await database.open()
    for (const key of keys(COUNT)) {
      const name = dataKey(3, 1, key)
      await database.put(name, encodeValue(name, 7, new Uint8Array(valueBytes)))
    }
    const asked: number[] = []
    const counting = new Proxy(database, {
      get (target, name) {
        if (name === 'getMany') return (wanted: Uint8Array[], options: object) => { asked.push(wanted.length); return target.getMany(wanted, options) }
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) as unknown : value
      }
    })
    return { reader: new KeyReader(counting as unknown as Database), asked }
  }

  test('takes a long list in parts, and stops with the one that has its bytes', async () => {
    const { reader: disk, asked } = await reader(1000)
    const wanted = { partition: 3, copy: 1, keys: [...keys(COUNT), Buffer.from('absent')], bytesMax: 1000 * KEYS_AT_ONCE_MAX + 1 }
    expect(isLongRead(wanted)).toBe(true)
    const found = await disk.readInParts(wanted)
    expect(found).toHaveLength(2 * KEYS_AT_ONCE_MAX)
    expect(found.every(item => item!.value.length === 1000 && item!.seq === 7)).toBe(true)
    expect(asked).toEqual([KEYS_AT_ONCE_MAX, KEYS_AT_ONCE_MAX])
    const all = await disk.readInParts({ ...wanted, bytesMax: LIMIT })
    expect([all.length, all.at(-1)]).toEqual([COUNT + 1, null])
  })

  test('a list that is short, or has to be read whole, is one question with the others of its turn', async () => {
    const { reader: disk, asked } = await reader(10)
    const lists = [{ partition: 3, copy: 1, keys: keys(KEYS_AT_ONCE_MAX), bytesMax: 1 }, { partition: 3, copy: 1, keys: keys(COUNT) }]
    expect(lists.map(isLongRead)).toEqual([false, false])
    expect(await disk.read(lists)).toHaveLength(KEYS_AT_ONCE_MAX + COUNT)
    expect(asked).toEqual([KEYS_AT_ONCE_MAX + COUNT])
  })
})

describe('many reads of few keys', () => {
  test('share questions of so many keys, each list whole and in its order', () => {
    const lists = [3, KEYS_AT_ONCE_MAX - 3, 1, KEYS_AT_ONCE_MAX, 2 * KEYS_AT_ONCE_MAX, 2, 2]
      .map((count, partition) => ({ partition, copy: 1, keys: keys(count) }))
    expect(questionsOf(lists).map(question => question.map(({ partition }) => partition))).toEqual([[0, 1], [2], [3], [4], [5, 6]])
    expect(questionsOf([])).toEqual([])
  })

  test('a few questions are asked at a time, all of them in the end, and none after the store has stopped', async () => {
    const ends: (() => void)[] = []
    let asked = 0
    const database = {
      getMany: async (wanted: readonly Uint8Array[]) => {
        asked++
        await new Promise<void>(resolve => { ends.push(resolve) })
        return wanted.map(() => undefined)
      }
    }
    const disk = new KeyReader(database as unknown as Database)
    const reads = Array.from({ length: QUESTIONS_AT_ONCE_MAX + 2 }, () => disk.read([{ partition: 3, copy: 1, keys: keys(1) }]))
    const results = Promise.allSettled(reads)
    expect(asked).toBe(QUESTIONS_AT_ONCE_MAX)
    ends.shift()!()
    expect(await reads[0]).toEqual([null])
    await nextTurn()
    expect(asked).toBe(QUESTIONS_AT_ONCE_MAX + 1)
    disk.stop()
    for (const end of ends.splice(0)) end()
    expect((await results).map(({ status }) => status)).toEqual([...reads.slice(1).map(() => 'fulfilled'), 'rejected'])
    expect(asked).toBe(QUESTIONS_AT_ONCE_MAX + 1)
  })
})
