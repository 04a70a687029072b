/**
 * Group commit (rule S8): one batch at a time, synced if anything in it must be, in which everything travels that waits for it; and nothing
 * after an error.
 */
import { describe, expect, test } from 'vitest'
import type { Database } from '../../../membership/environment/environment.ts'
import { nextTurn } from '../../../membership/environment/system.ts'
import type { StoreWrite } from '../../../store/group/effects.ts'
import { BodyBytes } from '../../../store/body-bytes.ts'
import { StoreWriter } from '../../../store/storage/store-writer.ts'

/** Begins the key under which a batch has its number; opening.test.ts looks at those. */
const BATCH_TAG = 0x62

interface Batch { readonly keys: readonly string[], readonly sync: boolean, readonly end: (error?: Error) => void }

/** A writer on a database whose batches end when the test says so. `pages` ride with the next batch. */
function writing (syncEarlier?: () => Promise<void>): { writer: StoreWriter, batches: Batch[], pages: string[], failures: unknown[] } {
  const batches: Batch[] = []
  const pages: string[] = []
  const failures: unknown[] = []
  const database = {
    batch: () => {
      const all: Uint8Array[] = []
      const add = (key: Uint8Array): void => { all.push(key) }
      return {
        put: add,
        del: add,
        write: ({ sync }: { sync: boolean }) => new Promise<void>((resolve, reject) => {
          const keys = all.filter(key => key[0] !== BATCH_TAG).map(key => Buffer.from(key).toString())
          batches.push({ keys, sync, end: error => { if (error === undefined) resolve(); else reject(error) } })
        })
      }
    }
  } as unknown as Database
  const collect = (): void => { for (const page of pages.splice(0)) writer.put(Buffer.from(page), 1) }
  const components = { database, bodies: new BodyBytes(), lastBatch: 0, syncEarlier, collect, failed: (error: unknown) => { failures.push(error) } }
  const writer: StoreWriter = new StoreWriter(components)
  return { writer, batches, pages, failures }
}

const item = (key: string): StoreWrite[] => [{ kind: 'item', copy: 1, key: Buffer.from(key), value: Buffer.from('v'), seq: 1 }]
const turn = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })

describe('StoreWriter', () => {
  test('what comes while a batch is under way is the next batch, synced, with one answer to each, in order', async () => {
    const { writer, batches } = writing()
    const done: string[] = []
    for (const name of 'ab') writer.persist(0, item(name), () => { done.push(name) })
    writer.flush()
    for (const name of 'cd') writer.persist(0, item(name), () => { done.push(name) })
    writer.flush()
    expect(batches.map(({ keys, sync }) => [keys.length, sync])).toEqual([[2, true]])
    expect(done).toEqual([])
    batches[0]!.end()
    await turn()
    expect(done).toEqual(['a', 'b'])
    expect(batches.map(({ keys, sync }) => [keys.length, sync])).toEqual([[2, true], [2, true]])
    batches[1]!.end()
    await turn()
    expect(done).toEqual(['a', 'b', 'c', 'd'])
  })

  test('a page is in the batch of what was persisted with it, whoever starts that batch (S11)', async () => {
    const { writer, batches, pages } = writing()
    writer.persist(0, item('a'), () => {})
    writer.flush()
    writer.persist(0, item('b'), () => {})
    pages.push('page')
    // The end of the batch before starts the next one: nobody had the time to call flush.
    batches[0]!.end()
    await turn()
    expect(batches[1]!.keys.at(-1)).toBe('page')
  })

  test('an empty persist waits for what came before it, and costs no write', async () => {
    const { writer, batches } = writing()
    const done: string[] = []
    writer.persist(0, item('a'), () => { done.push('a') })
    writer.flush()
    writer.persist(0, [], () => { done.push('empty') })
    writer.flush()
    await turn()
    expect(done).toEqual([])
    batches[0]!.end()
    await turn()
    expect([done, batches.length]).toEqual([['a', 'empty'], 1])
  })

  test('where it need not be, a batch is not synced; one that must be is, after all that its sync might pass over', async () => {
    const events: string[] = []
    const { writer, batches } = writing(async () => { events.push(`earlier after ${batches.length}`) })
    const written = async (names: string, synced: readonly boolean[]): Promise<void> => {
      for (const [index, name] of [...names].entries()) writer.persist(0, name === '-' ? [] : item(name), () => { events.push(name) }, synced[index])
      writer.flush()
      await turn()
      batches.at(-1)!.end()
      await turn()
    }
    await written('a', [false])
    await written('bc', [false, true])
    await written('d', [false])
    // It has nothing to write, and what is before it must be synced.
    await written('-', [true])
    await written('-', [true])
    await written('e', [true])
    expect(batches.map(({ keys, sync }) => [keys.length, sync])).toEqual([[1, false], [2, true], [1, false], [0, true], [1, true]])
    expect(events).toEqual(['a', 'earlier after 1', 'b', 'c', 'd', 'earlier after 3', '-', '-', 'e'])
  })

  test('after an error nothing is acknowledged and nothing is written any more, and it is said once', async () => {
    const { writer, batches, failures } = writing()
    const done: string[] = []
    writer.persist(0, item('a'), () => { done.push('a') })
    writer.flush()
    writer.persist(0, item('b'), () => { done.push('b') })
    batches[0]!.end(new Error('no space left'))
    await turn()
    writer.persist(0, item('c'), () => { done.push('c') })
    writer.flush()
    await turn()
    expect([done, batches.length, failures.length]).toEqual([[], 1, 1])
  })
})

test('says how much waits for the disk, the batch under way included', async () => {
  const { writer, batches } = writing()
  const item = (bytes: number): StoreWrite => ({ kind: 'item', copy: 1, key: Buffer.alloc(10), value: Buffer.alloc(bytes), seq: 1 })
  expect(writer.unwrittenBytes).toBe(0)
  writer.persist(1, [item(1000)], () => {})
  expect(writer.unwrittenBytes).toBeGreaterThan(1000)
  writer.flush()
  await nextTurn()
  writer.persist(1, [item(5000), item(5000)], () => {})
  expect(writer.unwrittenBytes).toBeGreaterThan(11_000)
  expect(writer.unwrittenBytes).toBeLessThan(11_500)
  batches[0]!.end()
  await nextTurn()
  expect(writer.unwrittenBytes).toBeLessThan(10_500)
  batches[1]!.end()
  await nextTurn()
  expect(writer.unwrittenBytes).toBe(0)
})
