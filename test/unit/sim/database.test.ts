/** The simulated LevelDB: abstract-level's own suite, then what a crash does to it. */
import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import type { Database } from '../../../membership/environment/environment.ts'
import { type Tape, tape } from '../../conformance/tape.ts'
import { SimulatedLevel } from '../../sim/database.ts'
import { Disk, DISK_DEFAULTS, type DiskOptions } from '../../sim/disk.ts'
import { Simulation } from '../../sim/simulation.ts'

const abstractLevelSuite = createRequire(import.meta.url)('abstract-level/test') as (options: { test: Tape, factory: (options?: object) => unknown }) => void

describe('abstract-level\'s own suite', () => {
  // The suite awaits real time, so this disk takes none.
  const instant: DiskOptions = { ...DISK_DEFAULTS, readMs: 0, writeMs: 0, syncMs: 0, readsAtOnce: true }
  const simulation = new Simulation({ seed: 1 })
  const owner = { alive: true, paused: false, held: [] }
  let directories = 0
  abstractLevelSuite({
    test: tape,
    factory: (options = {}) => new SimulatedLevel(new Disk(`directory ${directories++}`, instant, simulation, simulation.random), owner, options)
  })
})

const key = (text: string): Uint8Array => Buffer.from(text)
const synced = { sync: true } as object

/** A host with an open database, in virtual time. */
function host (seed = 1, disk: Partial<DiskOptions> = {}) {
  const simulation = new Simulation({ seed, disk })
  const open = (): Database => simulation.environment('a:1').storage('data')
  const keys = async (db: Database): Promise<string[]> => (await simulation.settle(db.keys().all())).map(found => Buffer.from(found).toString())
  const restart = (options = {}): Database => {
    simulation.host('a:1').crash(options)
    simulation.host('a:1').restart()
    return open()
  }
  return { simulation, open, keys, restart, disk: simulation.disk('a:1', 'data') }
}

const seeds = Array.from({ length: 30 }, (_, index) => index + 1)

describe('durability', () => {
  test('a crash loses a suffix of what was not synced, never a part of a batch, and never what was synced', async () => {
    const lost = new Set<number>()
    for (const seed of seeds) {
      const { simulation, open, keys, restart } = host(seed)
      const db = open()
      for (let index = 0; index < 5; index++) await simulation.settle(db.put(key(`a${index}`), key('x')))
      await simulation.settle(db.put(key('b'), key('x'), synced))
      for (let index = 0; index < 5; index++) {
        await simulation.settle(db.batch([{ type: 'put', key: key(`c${index}`), value: key('x') }, { type: 'put', key: key(`d${index}`), value: key('x') }]))
      }
      const found = await keys(restart())
      expect(found.slice(0, 6)).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'b'])
      const kept = (found.length - 6) / 2
      expect(found.slice(6)).toEqual(['c', 'd'].flatMap(letter => Array.from({ length: kept }, (_, index) => `${letter}${index}`)))
      lost.add(5 - kept)
    }
    expect([...lost].sort()).toEqual([0, 1, 2, 3, 4, 5])
  })

  test('a killed process on a machine that lives on loses nothing it was told was written', async () => {
    for (const seed of seeds.slice(0, 5)) {
      const { simulation, open, keys, restart } = host(seed)
      const db = open()
      await simulation.settle(db.put(key('a'), key('x')))
      expect(await keys(restart({ losesUnsynced: false }))).toEqual(['a'])
    }
  })

  test('what was under way in a crash was written or not, and its promise never settles', async () => {
    const outcomes = new Set<string>()
    for (const seed of seeds) {
      const { simulation, open, keys, restart } = host(seed)
      const db = open()
      await simulation.settle(db.open())
      let settled = false
      const done = (): void => { settled = true }
      db.batch([{ type: 'put', key: key('a'), value: key('x') }, { type: 'put', key: key('b'), value: key('x') }], synced).then(done, done)
      await simulation.runFor(0.01)
      outcomes.add((await keys(restart())).join())
      await simulation.runFor(1000)
      expect(settled).toBe(false)
    }
    expect([...outcomes].sort()).toEqual(['', 'a,b'])
  })

  test('rotation of the log: an unsynced batch may be lost although a later one was synced, until the old log is compacted', async () => {
    const outcomes = new Set<string>()
    for (const seed of seeds) {
      const { simulation, open, keys, restart } = host(seed, { rotationProbability: 0.5 })
      const db = open()
      await simulation.settle(db.put(key('a'), key('x')))
      await simulation.settle(db.put(key('b'), key('x'), synced))
      outcomes.add((await keys(restart())).join())
    }
    expect([...outcomes].sort()).toEqual(['a,b', 'b'])
    for (const seed of seeds) {
      const { simulation, open, keys, restart } = host(seed, { rotationProbability: 0.5 })
      const db = open()
      await simulation.settle(db.put(key('a'), key('x')))
      await simulation.settle(db.put(key('b'), key('x'), synced))
      await simulation.runFor(101)
      expect(await keys(restart())).toEqual(['a', 'b'])
    }
  })
})

describe('a database in virtual time', () => {
  test('what waits shares one sync', async () => {
    const { simulation, open, disk } = host()
    const db = open()
    await simulation.settle(db.open())
    await simulation.settle(Promise.all(Array.from({ length: 100 }, (_, index) => db.put(key(`k${index}`), key('x'), synced))))
    expect(disk.statistics.syncs).toBeLessThanOrEqual(2)
    expect(disk.statistics.writes).toBe(100)
  })

  test('a slow disk takes longer', async () => {
    const { simulation, open, disk } = host()
    const db = open()
    await simulation.settle(db.put(key('a'), key('x'), synced))
    const beganMs = simulation.nowMs
    disk.slowness = 1000
    await simulation.settle(db.put(key('b'), key('x'), synced))
    expect(simulation.nowMs - beganMs).toBeGreaterThanOrEqual(500)
  })

  test('a failed write leaves nothing, the next one succeeds; a full disk takes none', async () => {
    const { simulation, open, keys, disk } = host()
    const db = open()
    disk.failNextWrite()
    await expect(simulation.settle(db.put(key('a'), key('x')))).rejects.toMatchObject({ code: 'LEVEL_IO_ERROR' })
    await simulation.settle(db.put(key('b'), key('x')))
    disk.full = true
    await expect(simulation.settle(db.put(key('c'), key('x')))).rejects.toThrow('no space left')
    expect(await keys(db)).toEqual(['b'])
  })

  test('an iterator sees the content as it was when it began', async () => {
    const { simulation, open } = host()
    const db = open()
    await simulation.settle(db.batch(['a', 'b', 'c'].map(name => ({ type: 'put', key: key(name), value: key('1') }))))
    const iterator = db.iterator()
    await simulation.settle(db.batch([{ type: 'del', key: key('b') }, { type: 'put', key: key('a'), value: key('2') }]))
    const entries = await simulation.settle(iterator.all())
    expect(entries.map(entry => entry.map(bytes => Buffer.from(bytes).toString()).join('='))).toEqual(['a=1', 'b=1', 'c=1'])
  })

  test('sublevels have their own keys and encodings', async () => {
    const { simulation, open } = host()
    const db = open()
    const sublevel = db.sublevel<string, { n: number }>('meta', { keyEncoding: 'utf8', valueEncoding: 'json' })
    await simulation.settle(sublevel.put('a', { n: 1 }))
    await simulation.settle(db.put(key('a'), key('x')))
    expect(await simulation.settle(sublevel.get('a'))).toEqual({ n: 1 })
    expect(await simulation.settle(sublevel.keys().all())).toEqual(['a'])
  })

  test('one process has a directory open once; its successor may open it', async () => {
    const { simulation, open, restart } = host()
    await simulation.settle(open().open())
    const second = open()
    await expect(simulation.settle(second.open())).rejects.toMatchObject({ cause: { code: 'LEVEL_LOCKED' } })
    await simulation.settle(restart().open())
  })

  test('a bad sector changes what is read, silently', async () => {
    const { simulation, open, disk, restart } = host()
    await simulation.settle(open().put(key('a'), key('good')))
    disk.corrupt(key('a'), key('bad'))
    expect(Buffer.from((await simulation.settle(restart().get(key('a'))))!).toString()).toBe('bad')
  })
})
