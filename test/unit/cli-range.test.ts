/** `coterie scan` and `coterie watch` against a node: what they print, as lines and as JSON, and keys that are no text. */
import { MemoryLevel } from 'memory-level'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../../membership/environment/environment.ts'
import { silentLog } from '../../membership/environment/system.ts'
import { Arguments, type Command, type Terminal, UsageError } from '../../store/cli/command.ts'
import { scanCommand, watchCommand } from '../../store/cli/range-commands.ts'
import { type Client, connect, type KillableNode, startNode } from '../../store/index.ts'

let node: KillableNode
let db: Client<Buffer, Buffer>

beforeAll(async () => {
  const storage = (): Database => new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
  node = await startNode({ directory: 'a', found: true, partitions: 8 }, { storage, log: silentLog })
  db = await connect<Buffer, Buffer>([node.address], { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  await db.batch(['a1', 'a2', 'b1'].map(key => ({ type: 'put', key: Buffer.from(key), value: Buffer.from(`value of ${key}`) })))
  await db.put(Buffer.from([0xff]), Buffer.from([0xfe]))
})

afterAll(async () => {
  await db.close()
  await node.close()
})

interface Run { readonly lines: string[], readonly errors: string[], readonly code: Promise<number>, readonly interrupt: () => void }

function run (command: Command, args: readonly string[]): Run {
  const lines: string[] = []
  const errors: string[] = []
  const controller = new AbortController()
  const terminal: Terminal = {
    out: line => { lines.push(line) },
    write: () => {},
    error: line => { errors.push(line) },
    input: () => Promise.resolve(new Uint8Array()),
    interruption: () => controller.signal
  }
  const code = command.run(new Arguments(command, [...args, '--node', node.address, '--deadline-ms', '50000']), terminal)
  return { lines, errors, code, interrupt: () => { controller.abort() } }
}

async function lines (args: readonly string[]): Promise<string[]> {
  const { lines, code } = run(scanCommand, args)
  expect(await code).toBe(0)
  return lines
}

test('scan', async () => {
  expect(await lines(['--prefix', 'a'])).toEqual(['a1\tvalue of a1', 'a2\tvalue of a2'])
  expect(await lines(['--gt', 'a1', '--lt', 'b2', '--reverse', '--keys-only'])).toEqual(['b1', 'a2'])
  expect(await lines(['--limit', '1', '--keys-only', '--json'])).toEqual(['{"key":"a1"}', '{"count":1}'])
  expect(await lines(['--gte', 'c', '--json'])).toEqual(['{"key":"/w==","keyEncoding":"base64","value":"/g==","valueEncoding":"base64"}', '{"count":1}'])
  await expect(run(scanCommand, ['--prefix', 'a', '--gt', 'b']).code).rejects.toThrow(UsageError)
  await expect(run(scanCommand, ['--limit=-1']).code).rejects.toThrow(UsageError)
})

test('watch, and watch on from a cursor', async () => {
  const first = run(watchCommand, ['w', '--count', '2', '--json'])
  // It says nothing when it begins with --json, so it is written to until it has seen enough.
  let ended = false
  void first.code.finally(() => { ended = true })
  for (let round = 0; !ended; round++) await db.put(Buffer.from('w1'), Buffer.from(String(round)))
  expect(await first.code).toBe(0)
  const [one, two, last] = first.lines.map(line => JSON.parse(line) as Record<string, unknown>)
  expect(one).toMatchObject({ type: 'put', key: 'w1' })
  expect(Number(two!.value)).toBe(Number(one!.value) + 1)
  expect(last).toEqual({ count: 2, cursor: two!.cursor })
  const second = run(watchCommand, ['w', '--count', '1', '--since', one!.cursor as string])
  expect(await second.code).toBe(0)
  expect(second.lines).toEqual([`put\tw1\t${String(two!.value)}`])
  expect(second.errors).toEqual(['watching'])
  const third = run(watchCommand, ['quiet', '--json'])
  third.interrupt()
  expect(await third.code).toBe(0)
  expect(third.lines).toHaveLength(1)
})
