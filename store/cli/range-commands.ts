/**
 * The commands that are about many keys: `scan` and `watch`.
 *
 * Owns nothing.
 */
import type { Client } from '../client/client.ts'
import type { WatchEvent } from '../client/watcher.ts'
import { StoreError } from '../errors.ts'
import { prefixEnd } from '../scan-range.ts'
import { type Arguments, CLIENT_OPTIONS, type Command, EXIT, type Terminal, UsageError } from './command.ts'
import { reach, withBytesClient } from './connection.ts'
import { jsonValue } from './data-commands.ts'

const BOUNDS = ['gt', 'gte', 'lt', 'lte'] as const
/** Entries that `scan` takes from the client at a time. */
const ENTRIES_AT_ONCE = 1000

/** Bytes for JSON, as text where they are text. */
function jsonField (name: string, bytes: Buffer): Record<string, string> {
  const { value, encoding } = jsonValue(bytes)
  return { [name]: value, ...(encoding === 'utf8' ? {} : { [`${name}Encoding`]: encoding }) }
}

function rangeOf (given: Arguments): Partial<Record<typeof BOUNDS[number], Buffer>> {
  const prefix = given.text('prefix')
  const bounds = BOUNDS.flatMap(name => {
    const bound = given.text(name)
    return bound === undefined ? [] : [[name, Buffer.from(bound)] as const]
  })
  if (prefix === undefined) return Object.fromEntries(bounds)
  if (bounds.length > 0) throw new UsageError('give either --prefix or bounds')
  const from = Buffer.from(prefix)
  const end = prefixEnd(from)
  return { gte: from, ...(end === null ? {} : { lt: Buffer.from(end) }) }
}

export const scanCommand: Command = {
  name: 'scan',
  usage: '',
  summary: 'list keys and values in the order of the keys, read page by page; no snapshot',
  positionals: [0, 0],
  options: {
    ...CLIENT_OPTIONS,
    json: { type: 'boolean', help: 'one JSON object per line; the last one has the count' },
    prefix: { type: 'string', value: 'text', help: 'keys that begin with it' },
    gt: { type: 'string', value: 'key', help: 'keys above' },
    gte: { type: 'string', value: 'key', help: 'keys from' },
    lt: { type: 'string', value: 'key', help: 'keys below' },
    lte: { type: 'string', value: 'key', help: 'keys to' },
    limit: { type: 'string', value: 'n', help: 'at most n keys' },
    reverse: { type: 'boolean', help: 'from the last key to the first' },
    'keys-only': { type: 'boolean', help: 'without the values' }
  },
  async run (given, terminal) {
    const limit = given.integer('limit')
    if (limit !== undefined && limit < 0) throw new UsageError('--limit must not be negative')
    const options = { ...rangeOf(given), reverse: given.flag('reverse'), limit: limit ?? -1, values: !given.flag('keys-only') }
    const target = reach(given)
    let count = 0
    await withBytesClient(target, async client => {
      const iterator = client.iterator(options)
      for (;;) {
        const entries = await iterator.nextv(ENTRIES_AT_ONCE)
        if (entries.length === 0) break
        count += entries.length
        for (const [key, value] of entries) print(given, terminal, key, value as Buffer | undefined)
      }
      await iterator.close()
    })
    if (given.flag('json')) terminal.out(JSON.stringify({ count }))
    return EXIT.ok
  }
}

function print (given: Arguments, terminal: Terminal, key: Buffer, value: Buffer | undefined): void {
  if (given.flag('json')) terminal.out(JSON.stringify({ ...jsonField('key', key), ...(value === undefined ? {} : jsonField('value', value)) }))
  else terminal.out(value === undefined ? key.toString() : `${key.toString()}\t${value.toString()}`)
}

export const watchCommand: Command = {
  name: 'watch',
  usage: '<prefix>',
  summary: 'follow the changes of all keys that begin with the prefix, until interrupted',
  positionals: [1, 1],
  options: {
    ...CLIENT_OPTIONS,
    json: { type: 'boolean', help: 'one JSON object per line, with the cursor of each change; the last one has the count and the cursor' },
    since: { type: 'string', value: 'cursor', help: 'go on after this cursor of an earlier watch (default: from now on)' },
    count: { type: 'string', value: 'n', help: 'end after n changes' }
  },
  async run (given, terminal) {
    const count = given.integer('count') ?? Infinity
    if (count < 1) throw new UsageError('--count must be at least 1')
    const target = reach(given)
    const signal = terminal.interruption()
    const cursor = await withBytesClient(target, client => follow(client, given, terminal, count, signal))
    if (given.flag('json')) terminal.out(JSON.stringify(cursor))
    return EXIT.ok
  }
}

async function follow (
  client: Client<Buffer, Buffer>, given: Arguments, terminal: Terminal, countMax: number, signal: AbortSignal
): Promise<{ count: number, cursor: string }> {
  const since = given.text('since')
  const watch = client.watch(Buffer.from(given.positionals[0]!), { signal, ...(since === undefined ? {} : { since }) })
  let count = 0
  try {
    await watch.ready()
    if (!given.flag('json')) terminal.error('watching')
    while (count < countMax) {
      const next = await watch.next()
      if (next.done === true) break
      count++
      printEvent(given, terminal, next.value)
    }
  } catch (error) {
    // To be interrupted is how a watch ends.
    if (!(error instanceof StoreError) || error.code !== 'STORE_ABORTED') throw error
  }
  const cursor = watch.cursor ?? ''
  await watch.return()
  return { count, cursor }
}

function printEvent (given: Arguments, terminal: Terminal, { type, key, value, reason, version, cursor }: WatchEvent<Buffer, Buffer>): void {
  if (given.flag('json')) terminal.out(JSON.stringify({ type, ...jsonField('key', key), ...(value === undefined ? { reason } : jsonField('value', value)), version, cursor }))
  else terminal.out(value === undefined ? `${reason === 'expired' ? 'expired' : 'del'}\t${key.toString()}` : `put\t${key.toString()}\t${value.toString()}`)
}
