/**
 * Reads every key of a round of the workload once more, when whatever was written for a time is gone: the end of the round's history.
 *
 * Owns nothing.
 */
import type { Clock } from '../../membership/environment/environment.ts'
import type { Client } from '../client/client.ts'
import { eventually, PATIENCE_MS } from './eventually.ts'
import type { HistoryOperation } from './history.ts'

export interface LastReadsComponents {
  readonly clock: Clock
  readonly client: Pick<Client, 'getEntries'>
  /** Who reads, in the history. */
  readonly process: number
}

export interface LastReads {
  readonly reads: readonly HistoryOperation[]
  /** Values that should have expired, and are there. */
  readonly problem: string | undefined
}

/** @param history of the round, which has `keys` */
export async function readLast (components: LastReadsComponents, keys: readonly string[], history: readonly HistoryOperation[]): Promise<LastReads> {
  const expiring = new Set(history.flatMap(({ input, expiresAfter }) => expiresAfter === undefined ? [] : [input]))
  let reads: HistoryOperation[] = []
  try {
    await eventually(PATIENCE_MS, async () => {
      reads = await readAll(components, keys)
      const left = reads.filter(({ output }) => output !== undefined && expiring.has(output)).map(({ key }) => key)
      return left.length === 0 ? undefined : `values whose time is over are still there: ${left.join()}`
    })
  } catch (error) {
    return { reads, problem: (error as Error).message }
  }
  return { reads, problem: undefined }
}

async function readAll ({ clock, client, process }: LastReadsComponents, keys: readonly string[]): Promise<HistoryOperation[]> {
  const start = clock.now()
  const entries = await client.getEntries([...keys])
  const end = clock.now()
  return keys.map((key, index) => {
    const entry = entries[index]
    return { process, key, kind: 'get', ...entry === undefined ? {} : { output: entry.value, version: entry.version }, start, end }
  })
}
