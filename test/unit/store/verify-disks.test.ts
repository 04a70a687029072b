/**
 * The comparison of disks that ends `coterie verify`: three members of a group whose data is at different positions, of which one has lost
 * old values of its log and another the beginning of it, and a node that has left, are equal; each way in which one of them can differ is
 * found.
 *
 * Mutations that were tried and are caught: data, logs, the index, times to live, or a log and its own data are not compared; older data is
 * not brought forward; strays, or copies of stores outside of the group, are not looked for.
 */
import { MemoryLevel } from 'memory-level'
import { describe, expect, test } from 'vitest'
import type { StoreId } from '../../../membership/configuration.ts'
import type { Database } from '../../../membership/environment/environment.ts'
import { encodeBody } from '../../../store/group/body-codec.ts'
import type { DurableState } from '../../../store/group/effects.ts'
import { type Change, type Entry, type Group, NO_BALLOT, withoutValues } from '../../../store/group/history.ts'
import {
  BINARY, dataKey, encodeEntry, encodeExpiring, encodeRecord, encodeValue, expiryKey, identityKey, LAYOUT_VERSION, logKey, stateKey
} from '../../../store/storage/layout.ts'
import { compareReplicas, type ReplicaComparison } from '../../../store/verify/replica-comparison.ts'
import { StoppedDirectory } from '../../../store/verify/stopped-directory.ts'

const COPY = 3
const bytes = (text: string): Uint8Array => Buffer.from(text)
const group: Group = { generation: 2, members: ['a', 'b', 'c'] as StoreId[], base: 1, previous: { ballot: NO_BALLOT, seq: 0 }, epoch: 5 }

const write = (seq: number, ...operations: Change[]): Entry =>
  ({ seq, ballot: { epoch: 5, attempt: 0, store: 'a' as StoreId }, body: { kind: 'write', id: { client: 'x', number: seq, base: 0 }, operations, time: 100 } })
const put = (key: string, value: string, expires?: number): Change => ({ kind: 'put', key: bytes(key), value: bytes(value), ...expires === undefined ? {} : { expires } })
const del = (key: string): Change => ({ kind: 'del', key: bytes(key) })

/** Numbers 11 to 15; what was before is in the data alone. */
const LOG: readonly Entry[] = [
  write(11, put('kept', 'k'), put('gone', 'g')),
  write(12, put('timed', 't', 900)),
  write(13, del('gone')),
  write(14, put('kept', 'again')),
  write(15, put('last', 'l'), del('none'))
]
const OLD = 'from before'

/** A store as its disk says. */
interface Stored {
  readonly store: string
  group: Group | undefined
  copy: number | undefined
  floor: number
  applied: number
  log: Entry[]
  /** By key. */
  data: Map<string, { seq: number, value: string, expires?: number }>
  /** Whether the index names what expires. */
  indexed: boolean
  /** Anything else. */
  readonly more: [key: Uint8Array, record: Uint8Array][]
}

/** A copy that is the history up to `applied`, and has the log from `floor` on. */
function member (store: string, floor: number, applied: number): Stored {
  const data: Stored['data'] = new Map([[OLD, { seq: 4, value: 'old' }]])
  for (const { seq, body } of LOG) {
    if (seq > applied || body.kind !== 'write') continue
    for (const change of body.operations!) {
      const key = Buffer.from(change.key).toString()
      if (change.kind === 'del') data.delete(key)
      else data.set(key, { seq, value: Buffer.from(change.value).toString(), ...change.expires === undefined ? {} : { expires: change.expires } })
    }
  }
  return { store, group, copy: COPY, floor, applied, log: LOG.filter(({ seq }) => seq > floor), data, indexed: true, more: [] }
}

async function directoryOf ({ store, group, copy, floor, applied, log, data, indexed, more }: Stored): Promise<StoppedDirectory> {
  const database = new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
  await database.open()
  const records: [Uint8Array, Uint8Array][] = []
  const state: DurableState = { group, promised: NO_BALLOT, copy, nextCopy: COPY + 1, floor, time: 0, applied, seat: undefined }
  const identity = { version: LAYOUT_VERSION, storeId: store, clusterName: 'coterie', clusterId: 'c', incarnation: 1, addresses: [] }
  records.push([identityKey, encodeRecord(identityKey, identity)], [stateKey(0), encodeRecord(stateKey(0), state)])
  for (const { seq, ballot, body } of log) records.push([logKey(0, COPY, seq), encodeEntry(logKey(0, COPY, seq), ballot, encodeBody(body))])
  for (const [key, { seq, value, expires }] of data) {
    const full = dataKey(0, COPY, bytes(key))
    records.push([full, encodeValue(full, seq, bytes(value), expires)])
    if (expires === undefined || !indexed) continue
    const index = expiryKey(0, COPY, expires, bytes(key))
    records.push([index, encodeExpiring(index, seq)])
  }
  for (const [key, record] of [...records, ...more]) await database.put(key, record, BINARY as object)
  await database.close()
  return await StoppedDirectory.open(store, () => database)
}

interface Disks { readonly a: Stored, readonly b: Stored, readonly c: Stored, readonly left: Stored }

async function compare (change: (disks: Disks) => void = () => {}, nodes = ['a', 'b', 'c', 'left'], partitions = 1): Promise<ReplicaComparison> {
  const disks: Disks = {
    a: member('a', 10, 15),
    b: member('b', 10, 12),
    c: member('c', 12, 14),
    left: { ...member('left', 0, 0), copy: undefined, log: [], data: new Map(), group: { ...group, generation: 1, members: ['left'] as never } }
  }
  // One has lost the values of what is in its data.
  disks.a.log = disks.a.log.map(entry => entry.seq < 14 ? withoutValues(entry) : entry)
  change(disks)
  const compared = [disks.a, disks.b, disks.c, disks.left].filter(({ store }) => nodes.includes(store))
  const opened = await Promise.all(compared.map(async stored => ({ name: `node ${stored.store}`, directory: await directoryOf(stored) })))
  try {
    return await compareReplicas(opened, partitions)
  } finally {
    for (const { directory } of opened) await directory.close()
  }
}

const changed = (stored: Stored, key: string, value: Partial<{ seq: number, value: string, expires: number }>): void => {
  stored.data.set(key, { ...stored.data.get(key)!, ...value })
}

test('copies of one history are equal, whatever positions their data has and their logs reach to', async () => {
  // What is left in the data of each: at 15, 12 and 14.
  expect(await compare()).toEqual({ problems: [], copies: 3, values: 12, entries: 13 })
})

const differences: Record<string, { readonly change: (disks: Disks) => void, readonly says: RegExp }> = {
  'a value that no log has any more': { change: ({ b }) => { changed(b, OLD, { value: 'older' }) }, says: /at "from before" node a has .* and node b has/ },
  'a value of another number': { change: ({ c }) => { changed(c, OLD, { seq: 3 }) }, says: /at "from before" node a has .* of 4, and node c has .* of 3/ },
  'a value with another time to live': { change: ({ c }) => { changed(c, 'timed', { expires: 901 }) }, says: /at "timed" node a has .* until 900, and node c/ },
  'a missing value': { change: ({ c }) => { c.data.delete(OLD) }, says: /node c has nothing/ },
  'a value too many': { change: ({ b }) => { b.data.set('more', { seq: 2, value: 'm' }) }, says: /at "more" node a has nothing/ },
  'a value that its own log contradicts': { change: ({ b }) => { changed(b, 'kept', { value: 'wrong' }) }, says: /node b has .* at "kept", where entry 11 of its log left 6b of 11/ },
  'a deleted value that came back': { change: ({ c }) => { c.data.set('gone', { seq: 11, value: 'g' }) }, says: /node c has .* at "gone", where entry 13 of its log left nothing/ },
  'a number that its own log contradicts, without the value': {
    change: ({ a }) => { changed(a, 'timed', { seq: 11 }) }, says: /node a has .* at "timed", where entry 12 of its log left that number or nothing/
  },
  'another entry in a log, not in the data yet': { change: ({ b }) => { b.log[3] = write(14, put('kept', 'other')) }, says: /at "kept" node a has .* node b has/ },
  'another entry in a log, with the same effect': {
    change: ({ b }) => { b.log[4] = { ...b.log[4]!, body: { ...b.log[4]!.body, id: { client: 'y', number: 1, base: 0 } } as Entry['body'] } },
    says: /entry 15 is another one in the log of node a than in that of node b/
  },
  'entries that a member lacks': { change: ({ b }) => { b.log.length = 4 }, says: /node b lacks the entries from 15 to 15/ },
  'an index that does not name a value': { change: ({ c }) => { c.indexed = false }, says: /node c has "timed" of 12, which expires at 900, and its index does not name it/ },
  'a record that does not fit its checksum': {
    change: ({ c }) => { c.more.push([dataKey(0, COPY, bytes('bad')), Buffer.from('bad record')]) }, says: /node c cannot be read: STORE_DIRECTORY_DAMAGED/
  },
  'data of a copy that is none any more': {
    change: ({ a }) => { a.more.push([dataKey(0, COPY - 1, bytes('x')), encodeValue(dataKey(0, COPY - 1, bytes('x')), 1, bytes('x'))]) },
    says: /node a still has the data of copy 2 of partition 0/
  },
  'a log of such a copy, at a node that has left': {
    change: ({ left }) => { left.more.push([logKey(0, 1, 1), encodeEntry(logKey(0, 1, 1), NO_BALLOT, encodeBody({ kind: 'noop' }))]) },
    says: /node left still has the log of copy 1/
  },
  'an index of such a copy': {
    change: ({ b }) => { b.more.push([expiryKey(0, 1, 5, bytes('x')), encodeExpiring(expiryKey(0, 1, 5, bytes('x')), 1)]) }, says: /node b still has the expiry of copy 1/
  },
  'a copy at a store that is not in the group': { change: ({ left }) => { left.copy = COPY }, says: /node left keeps copy 3 of it, and is not in its group/ },
  'a member without a copy': { change: ({ b }) => { Object.assign(b, { copy: undefined, floor: 0, applied: 0, log: [], data: new Map() }) }, says: /node b has no copy of it/ },
  'a member in another generation': { change: ({ c }) => { c.group = { ...group, generation: 1 } }, says: /node c is in generation 1 of a,b,c from 1 on, and not in generation 2/ },
  'a group with other members, of the same generation': { change: ({ c }) => { c.group = { ...group, base: 9, previous: { ballot: NO_BALLOT, seq: 8 } } }, says: /node c is in generation 2 of a,b,c from 9 on, and not in generation 2 of a,b,c from 1 on/ }
}

describe('what differs is found', () => {
  test.each(Object.entries(differences))('%s', async (_name, { change, says }) => {
    const { problems } = await compare(change)
    expect(problems.filter(problem => says.test(problem)), problems.join('\n')).toHaveLength(1)
    for (const problem of problems) expect(problem).toMatch(/partition 0/)
  })

  test('a member that is no node, and a partition that nobody has', async () => {
    expect((await compare(() => {}, ['a', 'c', 'left'])).problems).toEqual(['partition 0: its group names b, which is no node'])
    expect((await compare(() => {}, undefined, 2)).problems).toEqual(['partition 1: no node has a group of it'])
  })

  test('a directory that is none, is damaged, or is in use', async () => {
    const database = new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
    await expect(StoppedDirectory.open('empty', () => database)).rejects.toMatchObject({ code: 'STORE_DIRECTORY_DAMAGED' })
    expect(database.status).toBe('closed')
  })
})
