/** What encoding and hashing cost, alone: a message of 100 bytes through msgpackr and back, and xxh64 of a key of 16 bytes. */
import { Packr } from 'msgpackr'
import xxhash from 'xxhash-wasm'
import { median } from '../samples.ts'
import type { LimitRow } from './rows.ts'

const PER_LOOK = 1000

function perSecond (run: () => void, durationMs: number): number {
  const began = performance.now()
  let done = 0
  while (performance.now() - began < durationMs) {
    for (let index = 0; index < PER_LOOK; index++) run()
    done += PER_LOOK
  }
  return done / (performance.now() - began) * 1000
}

export async function measureCpu (durationMs: number, runs: number): Promise<LimitRow[]> {
  const packr = new Packr({ useRecords: false })
  const message = { kind: 'get', id: 1234, key: 'a key of 16 byte', value: new Uint8Array(64) }
  const { h64 } = await xxhash()
  let used = 0
  const cases = [
    { limit: 'msgpackr: encode and decode a message of 100 bytes', run: () => { used += (packr.unpack(packr.pack(message)) as typeof message).id } },
    { limit: 'xxhash-wasm: xxh64 of a key of 16 bytes', run: () => { used += Number(h64('a key of 16 byte') & 1n) } }
  ]
  const rows = cases.map(({ limit, run }): LimitRow => {
    const values = Array.from({ length: runs }, () => perSecond(run, durationMs))
    return { limit, unit: '1/s', value: Math.round(median(values)) }
  })
  if (used === 0) throw new Error('the work that was measured has not been done')
  return rows
}
