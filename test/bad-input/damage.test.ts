/**
 * Damaged data directories (rule S8), one kind of damage at a time in the directory of one of three nodes, and what store/README.md
 * promises of each under "Which failures it survives": the store says with which code it stops, and does not start again; or, where LevelDB drops the
 * end of its log without a word, it starts as it was earlier, and is brought up to date. No client ever reads anything wrong. In the end the replica
 * has been repaired: all three disks have the same bytes.
 *
 * Mutations that were tried and are caught: errors of reading, which LevelDB raises after it opened, pass as they come; a directory without an
 * identity gets another one; what LevelDB calls corrupt while the store runs is no damage; nor what membership cannot read at a start;
 * damage that was found is not noted for the next start; the numbers of batches are not compared; checksums are not compared; a leader neither
 * compares the history of a new process anew nor forgets what the former one had acknowledged.
 */
import { cp, type FileHandle, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { Database } from '../../membership/environment/environment.ts'
import { type Client, connect } from '../../store/client/client.ts'
import { BINARY, identityKey, ledgerKey, ranges } from '../../store/storage/layout.ts'
import { type KillableNode, levelStorage, setAside } from '../../store/start-node.ts'
import { eventually, PATIENCE_MS } from '../../store/verify/eventually.ts'
import { compareReplicas } from '../../store/verify/replica-comparison.ts'
import { StoppedDirectory } from '../../store/verify/stopped-directory.ts'
import { Nodes } from './nodes.ts'

const KEYS = 400
const PARTITIONS = 8
/** Keys, all partitions among them, that are written again after the damage. */
const TOUCHED = 100

const keyOf = (index: number): string => `key-${index}`
const valueOf = (index: number): string => `${index}: ${'v'.repeat(500)}`
const touched = (index: number): string => `${index}: again`
const all = Array.from({ length: KEYS }, (_, index) => index)

let nodes: Nodes
let survivors: readonly KillableNode[]
let storeId: string
/** How far the victim's log and data are, by partition. */
let positions: Map<number, { readonly last: number, readonly applied: number }>
let directory: string
/** Of the survivors. */
let directories: string[]
let client: Client

async function settled (members: readonly KillableNode[]): Promise<void> {
  await eventually(PATIENCE_MS, () => {
    const statuses = members.map(node => node.status())
    const done = statuses.reduce((sum, { partitions }) => sum + partitions.settled, 0)
    const behind = [...members[0]!.replicas.keys()].filter(partition => {
      const positions = members.map(node => node.replicas.get(partition)?.copy?.commit)
      return positions.some(position => position !== positions[0])
    })
    if (behind.length > 0) return Promise.resolve(`not at one position: partitions ${behind.join()}`)
    return Promise.resolve(done === PARTITIONS && statuses.every(({ members: count }) => count === members.length)
      ? undefined
      : `${done} of ${PARTITIONS} partitions are settled; members counted: ${statuses.map(({ members: count }) => count).join()}`)
  })
}

beforeEach(async () => {
  nodes = await Nodes.create()
  directory = nodes.directory()
  directories = [nodes.directory(), nodes.directory()]
  const replication = { rereplicateAfterMs: 0 }
  const founder = await nodes.found({ expect: 3, partitions: PARTITIONS, replicas: 3, directory: directories[0]!, replication })
  const start = (name: string): Promise<KillableNode> => nodes.start({ seeds: [founder.address], directory: name, replication })
  const [other, victim] = await Promise.all([start(directories[1]!), start(directory)])
  survivors = [founder, other]
  storeId = victim.storeId
  client = await connect([founder.address])
  await settled([...survivors, victim])
  for (let first = 0; first < KEYS; first += 100) {
    await client.batch(Array.from({ length: 100 }, (_, index) => ({ type: 'put' as const, key: keyOf(first + index), value: valueOf(first + index) })))
  }
  expected = all.map(valueOf)
  await settled([...survivors, victim])
  positions = new Map([...victim.replicas].map(([partition, { copy }]) => [partition, { last: copy!.last, applied: copy!.applied }]))
  await victim.close()
})

afterEach(async () => {
  await client.close()
  await nodes.close()
})

/** Has LevelDB turn its log into tables, as any later start does. */
async function compact (): Promise<void> {
  const database = levelStorage(directory)
  await database.open()
  await database.close()
}

async function filesLike (pattern: RegExp): Promise<string[]> {
  const names = (await readdir(directory)).filter(name => pattern.test(name)).sort()
  expect(names).not.toEqual([])
  return names.map(name => join(directory, name))
}

async function inside (path: string, change: (file: FileHandle, bytes: number) => Promise<void>): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await change(file, (await file.stat()).size)
  } finally {
    await file.close()
  }
}

/** Flips bits all over a file. */
async function garble (path: string): Promise<void> {
  const random = new SeededRandom(1)
  await inside(path, async (file, bytes) => {
    for (let count = 0; count < 20; count++) {
      const position = Math.floor(random.next() * bytes)
      const byte = Buffer.alloc(1)
      await file.read(byte, 0, 1, position)
      byte[0] = byte[0]! ^ 0x55
      await file.write(byte, 0, 1, position)
    }
  })
}

/** Overwrites some bytes from a place on, as a part of the file. */
const overwrite = (path: string, place: number): Promise<void> =>
  inside(path, async (file, bytes) => { await file.write(Buffer.alloc(40, 0x55), 0, 40, Math.min(bytes - 40, Math.floor(bytes * place))) })

const cutInHalf = (path: string): Promise<void> => inside(path, (file, bytes) => file.truncate(Math.floor(bytes / 2)))

/** What every read must say. */
let expected: string[]

async function writeAgain (): Promise<void> {
  await client.batch(all.slice(0, TOUCHED).map(index => ({ type: 'put' as const, key: keyOf(index), value: touched(index) })))
  for (let index = 0; index < TOUCHED; index++) expected[index] = touched(index)
}

/** Whoever answers, says what is right: the leader, and, to a client that has seen it, each replica. Replicas take turns. */
async function expectRightAnswers (): Promise<void> {
  expect(await client.getMany(all.map(keyOf))).toEqual(expected)
  for (let turn = 0; turn < 3; turn++) expect(await client.getMany(all.map(keyOf), { consistency: 'session' })).toEqual(expected)
}

/** Not once, and not again: nothing that a first attempt does makes the directory look sound. */
async function expectRefusal (code: string): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const again = nodes.create({ directory, seeds: survivors.map(({ address }) => address) })
    await expect(again.start()).rejects.toMatchObject({ code })
    expect(again.status().state).toBe('closed')
    await expectRightAnswers()
  }
}

/** All replicas have the same, byte by byte, and every value is the one that was written. */
async function expectEqualDisks (third: KillableNode, thirdDirectory: string): Promise<void> {
  const members = [...survivors, third]
  await settled(members)
  await expectRightAnswers()
  await eventually(PATIENCE_MS, () => {
    const busy = members.reduce((sum, node) => sum + node.status().partitions.busy, 0)
    return Promise.resolve(busy === 0 ? undefined : `${busy} partitions are busy`)
  })
  // At one moment, so that none sees another one gone.
  await Promise.all(members.map(node => node.kill()))
  const opened = await Promise.all([...directories, thirdDirectory].map(async (name, index) => ({ name: `node ${index}`, directory: await StoppedDirectory.open(name) })))
  try {
    expect(await compareReplicas(opened, PARTITIONS)).toMatchObject({ problems: [], copies: 3 * PARTITIONS, values: 3 * KEYS })
  } finally {
    for (const { directory } of opened) await directory.close()
  }
}

/** As `coterie start --repair` does, and as an operator does who starts on an empty directory: a new store takes the place of the old one. */
async function expectRepair (): Promise<void> {
  setAside(directory)
  const replaced = await nodes.start({ directory, seeds: survivors.map(({ address }) => address), replication: { rereplicateAfterMs: 0 } })
  expect(replaced.storeId).not.toBe(storeId)
  await writeAgain()
  await expectEqualDisks(replaced, directory)
}

/** Changes records as a program would that knows nothing of checksums. */
async function inDatabase (change: (database: Database) => Promise<void>): Promise<void> {
  const database = levelStorage(directory)
  await database.open()
  await change(database)
  await database.close()
}

const garbleRecord = (range: { gte: Uint8Array, lt: Uint8Array }): Promise<void> => inDatabase(async database => {
  const [found] = await database.iterator<Uint8Array, Uint8Array>({ ...range, ...BINARY, limit: 1 }).all()
  const record = Buffer.from(found![1])
  record[0] = record[0]! ^ 0x55
  await database.put(found![0], record, BINARY as object)
})

const DAMAGED = 'STORE_DIRECTORY_DAMAGED'
type FileChange = (path: string) => Promise<void>
const eachLike = (pattern: RegExp, change: FileChange) => async (): Promise<void> => {
  for (const path of await filesLike(pattern)) await change(path)
}
const eachTable = async (change: FileChange): Promise<void> => {
  await compact()
  await eachLike(/\.ldb$/, change)()
}
/** The keys of membership's sublevel. */
const MEMBERSHIP = { gte: Buffer.from('!membership!'), lt: Buffer.from('!membership"') }

const refused: readonly (readonly [string, string, () => Promise<void>])[] = [
  ['a manifest cut in half', DAMAGED, eachLike(/^MANIFEST/, cutInHalf)],
  ['a garbled manifest', DAMAGED, eachLike(/^MANIFEST/, garble)],
  // LevelDB finds no directory that it could open.
  ['a pointer to nowhere', 'STORE_DIRECTORY_INVALID', async () => { await writeFile(join(directory, 'CURRENT'), 'MANIFEST-999999\n') }],
  ['an empty pointer', DAMAGED, async () => { await truncate(join(directory, 'CURRENT')) }],
  ['a garbled table', DAMAGED, () => eachTable(garble)],
  ['a table cut in half', DAMAGED, () => eachTable(cutInHalf)],
  ['an empty table', DAMAGED, () => eachTable(truncate)],
  ['a missing table', DAMAGED, () => eachTable(rm)],
  // Batches in its middle are lost, and later ones are there.
  ['a log garbled in its middle', DAMAGED, eachLike(/\.log$/, path => overwrite(path, 0.4))],
  // The store's name with them.
  ['a log garbled at its beginning', DAMAGED, eachLike(/\.log$/, path => overwrite(path, 0))],
  ['a garbled state record', DAMAGED, () => garbleRecord(ranges.states)],
  ['a garbled entry of the log', DAMAGED, () => garbleRecord(ranges.logs)],
  ['a garbled ledger', DAMAGED, () => inDatabase(database => database.put(ledgerKey(1), Buffer.from('a ledger'), BINARY as object))],
  ['a garbled record of membership', DAMAGED, () => garbleRecord(MEMBERSHIP)],
  ['no identity', DAMAGED, () => inDatabase(database => database.del(identityKey, BINARY as object))]
]

describe('a damaged directory is refused, nothing of it is served, and a new store takes its place', () => {
  test.each(refused)('%s: %s', async (_name, code, damage) => {
    await damage()
    await expectRefusal(code)
    await expectRepair()
  })
})

/** The directory opens, and the data does not read. */
async function onlyDataIsDamaged (): Promise<boolean> {
  const opened = await StoppedDirectory.open(directory).catch(() => undefined)
  if (opened === undefined) return false
  let unreadable = false
  for (const [partition, { state }] of opened.partitions) await opened.data(partition, state.copy!).catch(() => { unreadable = true })
  await opened.close()
  return unreadable
}

const unnoticed: typeof refused = [
  ['a value that does not fit its checksum', DAMAGED, () => garbleRecord(ranges.data)],
  ['a table of which a part with values is garbled', DAMAGED, async () => {
    await compact()
    const [path] = await filesLike(/\.ldb$/)
    for (let part = 1; part < 20; part++) {
      const before = await readFile(path!)
      await inside(path!, async (file, bytes) => { await file.write(Buffer.alloc(40, 0x55), 0, 40, Math.floor(bytes * part / 20)) })
      if (await onlyDataIsDamaged()) return
      await writeFile(path!, before)
    }
    throw new Error('no part of the table has values alone')
  }]
]

describe('damage that opening does not see is seen when it is read: the store stops, and does not start again', () => {
  test.each(unnoticed)('%s: %s', async (_name, code, damage) => {
    await damage()
    const again = nodes.create({ directory, seeds: survivors.map(({ address }) => address) })
    const failed = new Promise<unknown>(resolve => { again.once('failed', resolve) })
    let error: unknown
    void failed.then(reason => { error = reason })
    await again.start()
    // Replicas take turns, so that it is asked for each key sooner or later.
    await eventually(PATIENCE_MS, async () => {
      await expectRightAnswers()
      return error === undefined ? 'it has not failed' : undefined
    })
    expect(error).toMatchObject({ code })
    expect(again.status().state).toBe('failed')
    await again.close()
    await expectRefusal(code)
    await expectRepair()
  })
})

// LevelDB drops the damaged end of a log without a word, as if it had never been synced: what is left is an older state of the store.
const ends: readonly (readonly [string, (path: string, attempt: number) => Promise<void>])[] = [
  ['cut in half', cutInHalf],
  // The last batch may tell nothing of the partitions: then more than that is damaged.
  ['garbled at its end', (path, attempt) => inside(path, async (file, bytes) => {
    const length = Math.min(bytes, 40 + 200 * attempt)
    await file.write(Buffer.alloc(length, 0x55), 0, length, bytes - length)
  })]
]
const ATTEMPTS_MAX = 20

/** Of each partition, what a stopped directory has, as far as it opens. */
async function reached (): Promise<{ partition: number, applied: number, last: number }[]> {
  const stopped = await StoppedDirectory.open(directory)
  const found = [...stopped.partitions].map(([partition, { state, entries }]) =>
    ({ partition, applied: state.applied, last: state.floor + entries.length }))
  await stopped.close()
  return found
}

describe('a store that has lost the end of its log starts with an older state, and is brought up to date', () => {
  test.each(ends)('%s', async (_name, damage) => {
    const whole = `${directory}-whole`
    await cp(directory, whole, { recursive: true })
    const isBehind = async (): Promise<boolean> => (await reached()).some(({ partition, applied, last }) => {
      const then = positions.get(partition)!
      return last < then.last || applied < then.applied
    })
    for (let attempt = 0; ; attempt++) {
      await eachLike(/\.log$/, path => damage(path, attempt))()
      if (await isBehind()) break
      expect(attempt, JSON.stringify(await reached())).toBeLessThan(ATTEMPTS_MAX)
      // Opening it has made another log of what was left.
      await rm(directory, { recursive: true })
      await cp(whole, directory, { recursive: true })
    }
    await rm(whole, { recursive: true })
    await writeAgain()
    const again = await nodes.start({ directory, seeds: survivors.map(({ address }) => address) })
    expect(again.storeId).toBe(storeId)
    await expectRightAnswers()
    await expectEqualDisks(again, directory)
  })
})

test('a log that is garbled all over is one or the other, as its last part was hit or not', async () => {
  await eachLike(/\.log$/, garble)()
  await writeAgain()
  const again = nodes.create({ directory, seeds: survivors.map(({ address }) => address) })
  const refusal: unknown = await again.start().then(() => undefined, (error: unknown) => error)
  if (refusal === undefined) {
    await expectEqualDisks(again, directory)
  } else {
    expect(refusal).toMatchObject({ code: DAMAGED })
    await expectRefusal(DAMAGED)
    await expectRepair()
  }
})

test('an undamaged directory is right', async () => {
  await writeAgain()
  const again = await nodes.start({ directory, seeds: survivors.map(({ address }) => address) })
  expect(again.storeId).toBe(storeId)
  await expectEqualDisks(again, directory)
})
