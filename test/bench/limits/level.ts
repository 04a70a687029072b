/**
 * What `level` does at most on this machine's disk: entries of 16-byte keys and 100-byte values, one by one, many at once and in
 * batches, synced and not; and reads of a database of 200,000 keys. Beside it, one write of 4 KiB with fsync, without a database.
 */
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { median, rounded } from '../samples.ts'
import type { LimitRow } from './rows.ts'

type Database = Level<string, Uint8Array>

const KEYS = 200_000
const value = new Uint8Array(100).fill(7)
const key = (index: number): string => `key-${String(index).padStart(12, '0')}`
let next = 0
const fresh = (): string => key(next++)
let reading = 0
/** Spreads reads over the database without a pattern that a cache could follow. */
const existing = (): string => key((reading = (reading + 7919 * 13) % KEYS))

interface Case { readonly limit: string, readonly keys: number, readonly run: (db: Database) => Promise<unknown> }

const together = (count: number, one: () => Promise<unknown>): Promise<unknown> => Promise.all(Array.from({ length: count }, one))
const puts = (count: number): { type: 'put', key: string, value: Uint8Array }[] => Array.from({ length: count }, () => ({ type: 'put', key: fresh(), value }))

const CASES: readonly Case[] = [
  ...[false, true].flatMap((sync): Case[] => {
    const how = sync ? ', sync' : ''
    return [
      { limit: `level: put, one by one${how}`, keys: 1, run: db => db.put(fresh(), value, { sync }) },
      { limit: `level: put, 64 at once${how}`, keys: 64, run: db => together(64, () => db.put(fresh(), value, { sync })) },
      { limit: `level: batch of 100${how}`, keys: 100, run: db => db.batch(puts(100), { sync }) }
    ]
  }),
  { limit: 'level: get, one by one', keys: 1, run: db => db.get(existing()) },
  { limit: 'level: get, 64 at once', keys: 64, run: db => together(64, () => db.get(existing())) },
  { limit: 'level: getMany of 100', keys: 100, run: db => db.getMany(Array.from({ length: 100 }, existing)) },
  { limit: 'level: getSync', keys: 1, run: db => Promise.resolve(db.getSync(existing())) }
]

async function keysPerSecond ({ keys, run }: Case, db: Database, durationMs: number): Promise<number> {
  const began = performance.now()
  let done = 0
  while (performance.now() - began < durationMs) {
    await run(db)
    done += keys
  }
  return done / (performance.now() - began) * 1000
}

async function fsyncMs (directory: string, durationMs: number): Promise<number> {
  const file = await open(join(directory, 'fsync'), 'w')
  const block = Buffer.alloc(4096, 1)
  const took: number[] = []
  const began = performance.now()
  while (performance.now() - began < durationMs) {
    const before = performance.now()
    await file.write(block, 0, block.length, 0)
    await file.datasync()
    took.push(performance.now() - before)
  }
  await file.close()
  return median(took)
}

export async function measureLevel (durationMs: number, runs: number): Promise<LimitRow[]> {
  const directory = await mkdtemp(join(tmpdir(), 'coterie-limits-'))
  try {
    const db: Database = new Level(join(directory, 'level'), { valueEncoding: 'view' })
    await db.open()
    while (next < KEYS) await db.batch(puts(1000))
    const rows: LimitRow[] = []
    for (const case_ of CASES) {
      const values = []
      for (let run = 0; run < runs; run++) values.push(await keysPerSecond(case_, db, durationMs))
      rows.push({ limit: case_.limit, unit: 'keys/s', value: Math.round(median(values)) })
    }
    await db.close()
    rows.push({ limit: 'disk: 4 KiB written and synced, p50', unit: 'ms', value: rounded(await fsyncMs(directory, durationMs)) })
    return rows
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
