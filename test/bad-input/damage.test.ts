/**
 * Damaged data directories (rule S8): a node that is started on one says so, or has what is right, if perhaps
 * too old. It never serves anything else, and never ends without a code; the other replicas carry the cluster meanwhile.
 *
 * Mutation caught: errors of reading, which LevelDB raises after it opened, pass as they come.
 */
import { type FileHandle, open, readdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { type Client, connect } from '../../store/client/client.ts'
import { openStore } from '../../store/storage/open.ts'
import { BINARY, copyOf, decodeValue, ranges, userKeyOf } from '../../store/storage/layout.ts'
import { type KillableNode, levelStorage } from '../../store/start-node.ts'
import { eventually, PATIENCE_MS } from '../../store/verify/eventually.ts'
import { Nodes } from './nodes.ts'

const KEYS = 400
const PARTITIONS = 8
/** Keys, all partitions among them, that are written again after the damage. */
const TOUCHED = 100
const REFUSALS = ['STORE_DIRECTORY_DAMAGED', 'STORE_DIRECTORY_INVALID', 'MEMBERSHIP_STORAGE_FAILED']

const keyOf = (index: number): string => `key-${index}`
const valueOf = (index: number): string => `${index}: ${'v'.repeat(500)}`
const touched = (index: number): string => `${index}: again`
const all = Array.from({ length: KEYS }, (_, index) => index)

let nodes: Nodes
let survivors: readonly KillableNode[]
let victim: KillableNode
let directory: string
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
  const founder = await nodes.found({ expect: 3, partitions: PARTITIONS, replicas: 3 })
  const [other, third] = await Promise.all([nodes.start({ seeds: [founder.address] }), nodes.start({ seeds: [founder.address], directory })])
  survivors = [founder, other]
  victim = third
  client = await connect([founder.address])
  await settled([...survivors, victim])
  for (let first = 0; first < KEYS; first += 100) {
    await client.batch(Array.from({ length: 100 }, (_, index) => ({ type: 'put' as const, key: keyOf(first + index), value: valueOf(first + index) })))
  }
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

const cutInHalf = (path: string): Promise<void> => inside(path, (file, bytes) => file.truncate(Math.floor(bytes / 2)))

/** What the directory of a node that has ended says, by key: its data, and what its log has beyond that. */
async function contents (): Promise<Map<string, string>> {
  const database = levelStorage(directory)
  const { partitions } = await openStore(database, directory, 'coterie', new SeededRandom(1))
  try {
    const found = new Map<string, string>()
    for await (const [key, record] of database.iterator<Uint8Array, Uint8Array>({ ...ranges.data, ...BINARY })) {
      expect(copyOf(key).copy).toBe(partitions.get(copyOf(key).partition)?.state.copy)
      found.set(Buffer.from(userKeyOf(key)).toString(), Buffer.from(decodeValue(key, record).value).toString())
    }
    for (const { state, entries } of partitions.values()) {
      for (const { seq, body } of entries) {
        if (body.kind !== 'write' || seq <= state.applied) continue
        for (const operation of body.operations!) {
          expect(operation.kind).toBe('put')
          if (operation.kind === 'put') found.set(Buffer.from(operation.key).toString(), Buffer.from(operation.value).toString())
        }
      }
    }
    return found
  } finally {
    await database.close()
  }
}

type Outcome = 'refused' | 'right' | 'behind'

/** Starts the victim on its directory. Whatever comes of it, nothing that it holds is wrong; when it is level, nothing is missing either. */
async function restart (): Promise<Outcome> {
  const again = nodes.create({ directory, seeds: survivors.map(({ address }) => address) })
  const failed = new Promise<Error>(resolve => { again.once('failed', resolve) })
  const code = (error: unknown): unknown => (error as { code?: unknown }).code
  try {
    await again.start()
  } catch (error) {
    expect(REFUSALS).toContain(code(error))
    return 'refused'
  }
  await client.batch(all.slice(0, TOUCHED).map(index => ({ type: 'put' as const, key: keyOf(index), value: touched(index) })))
  // Damage may also show only when it is read, and then ends the store loudly.
  const outcome = await Promise.race([
    settled([...survivors, again]).then((): Outcome => 'right', (): Outcome => 'behind'),
    failed.then((): Outcome => 'refused')
  ])
  await again.close()
  if (outcome === 'refused') return outcome
  const found = await contents()
  for (const [key, value] of found) {
    const index = Number(key.slice(keyOf(0).length - 1))
    expect([valueOf(index), touched(index)]).toContain(value)
  }
  if (outcome === 'right') {
    expect(all.filter(index => found.get(keyOf(index)) !== (index < TOUCHED ? touched(index) : valueOf(index)))).toEqual([])
    expect(found.size).toBe(KEYS)
  }
  return outcome
}

const damages: readonly (readonly [string, () => Promise<void>])[] = [
  ['a manifest cut in half', async () => { for (const path of await filesLike(/^MANIFEST/)) await cutInHalf(path) }],
  ['a garbled manifest', async () => { for (const path of await filesLike(/^MANIFEST/)) await garble(path) }],
  ['a pointer to nowhere', async () => { await writeFile(join(directory, 'CURRENT'), 'MANIFEST-999999\n') }],
  ['an empty pointer', async () => { await truncate(join(directory, 'CURRENT')) }],
  ['a garbled table', async () => { await compact(); for (const path of await filesLike(/\.ldb$/)) await garble(path) }],
  ['a table cut in half', async () => { await compact(); for (const path of await filesLike(/\.ldb$/)) await cutInHalf(path) }],
  ['an empty table', async () => { await compact(); for (const path of await filesLike(/\.ldb$/)) await truncate(path) }]
]

const logDamages: typeof damages = [
  ['a log cut in half', async () => { for (const path of await filesLike(/\.log$/)) await cutInHalf(path) }],
  ['a garbled log', async () => { for (const path of await filesLike(/\.log$/)) await garble(path) }]
]

/** The cluster never noticed more than that a node was away. */
async function expectNothingLost (): Promise<void> {
  const values = await client.getMany(all.map(keyOf))
  expect(all.filter(index => ![valueOf(index), touched(index)].includes(values[index]!))).toEqual([])
}

describe('a damaged directory is refused, and nothing of it is served', () => {
  test.each(damages)('%s', async (_name, damage) => {
    await damage()
    expect(await restart()).toBe('refused')
    await expectNothingLost()
  })
})

// LevelDB drops the damaged end of a log without a word, as if it had never been synced: what is left is an older state of the store.
describe('a damaged log leaves an older state at most, never a wrong one', () => {
  test.each(logDamages)('%s', async (_name, damage) => {
    await damage()
    await restart()
    await expectNothingLost()
  })
})

test('an undamaged directory is right', async () => {
  expect(await restart()).toBe('right')
  await expectNothingLost()
})
