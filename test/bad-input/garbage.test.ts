/**
 * Garbage on the port of a real process: it goes on serving, in time and in bounded memory, whatever bytes a stranger sends.
 *
 * Mutations caught: no limit on the values of a message; the limit counted per message instead of per frame.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { type Client, connect } from '../../store/client/client.ts'
import { PATIENCE_MS } from '../../store/verify/eventually.ts'
import { type Exit, NodeProcess } from '../../store/verify/node-process.ts'
import { frame, HELLO, pack, piece, Stranger, tcp } from './stranger.ts'

const MIB = 1024 * 1024
/** Bytes of a message in each piece of it but the last. */
const PIECE = 64 * 1024
/** The node has about 80 MiB by itself; the largest frame that it accepts has 32 MiB, and exists a few times on its way. */
const MEMORY_MAX = 700 * MIB
/**
 * More of the processor's time than the node takes for any of it, in milliseconds: below 1000 was seen. The node's own time and not that of a watch,
 * since others may be busy.
 */
const CPU_MS_MAX = 5000
/** Linux counts the time of a process in hundredths of a second. */
const TICK_MS = 10

let root: string
let node: NodeProcess
let pid: number
let address: string
let client: Client

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'coterie-garbage-'))
  node = new NodeProcess(['--found', '--listen', '127.0.0.1:0', '--directory', join(root, 'data'), '--partitions', '8', '--replicas', '1'])
  address = (await node.event('ready')).address
  pid = node.pid
  spentMs = await cpuMs()
  client = await connect([address], { deadlineMs: PATIENCE_MS })
})

afterAll(async () => {
  let exit: Exit
  try {
    await client.close()
    node.signal('SIGTERM')
    exit = await node.exit()
  } finally {
    await node.kill()
    await rm(root, { recursive: true, force: true })
  }
  // After all that was done to it, it ends as it should, too.
  expect(exit).toEqual({ code: 0, signal: null })
})

let puts = 0
let spentMs = 0

/** The time of the processor that the node has had so far, its kernel's included. */
async function cpuMs (): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // Fields 14 and 15; the second one, the name of the program, may hold anything but its last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/** A write and a read, what the node has worked since it was last looked at, and the most memory that the process ever had. */
async function expectServing (): Promise<void> {
  const value = `value ${++puts}`
  await client.put('key', value)
  expect(await client.get('key')).toBe(value)
  const peak = Number(/VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
  expect(peak).toBeGreaterThan(0)
  expect(peak).toBeLessThan(MEMORY_MAX)
  const before = spentMs
  spentMs = await cpuMs()
  expect(spentMs - before).toBeLessThan(CPU_MS_MAX)
}

const random = new SeededRandom(1)
const noise = (bytes: number): Buffer => Buffer.from(Array.from({ length: bytes }, () => Math.floor(random.next() * 256)))

test.each([
  ['random bytes', noise(100_000)],
  ['nothing but zeros', Buffer.alloc(100_000)],
  ['half a request', 'GET /transport HTTP/1.1\r\nHost: x\r\nUpgr'],
  ['a header without end', `GET / HTTP/1.1\r\nX: ${'x'.repeat(1_000_000)}`],
  ['many headers', `GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(100_000)}\r\n`],
  ['an unknown method', 'BREW /coffee HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a bad chunk', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n'],
  ['an upgrade to something else', 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'],
  ['an upgrade with a bad key', 'GET /transport HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n']
])('%s', async (_name, bytes) => {
  await tcp(address, bytes, 300)
  await expectServing()
})

test('a plain HTTP request is answered', async () => {
  expect((await fetch(`http://${address}/nothing`)).status).toBe(404)
})

/** A WebSocket header that claims a length, without what it announces. Masked, as a client's must be. */
const wsFrame = (opcode: number, bytes: bigint): Buffer => {
  const header = Buffer.alloc(14)
  header[0] = 0x80 | opcode
  header[1] = 0x80 | 127
  header.writeBigUInt64BE(bytes, 2)
  return header
}
const UPGRADE = 'GET /transport HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

test.each([
  ['a frame of 2^62 bytes', wsFrame(2, 1n << 62n)],
  ['a frame just over the limit', wsFrame(2, BigInt(32 * MIB + 1))],
  ['an unknown opcode', wsFrame(11, 4n)],
  ['an unmasked frame', Buffer.from([0x82, 0x01, 0x00])],
  ['noise after the handshake', noise(5000)]
])('a WebSocket with %s is closed at once', async (_name, bytes) => {
  const { answer, closed } = await tcp(address, Buffer.concat([Buffer.from(UPGRADE), bytes]), PATIENCE_MS)
  expect(answer).toContain('101 Switching Protocols')
  expect(closed, 'the node closed the connection').toBe(true)
  await expectServing()
})

const array = (declared: number, fill: Buffer): Buffer => {
  const head = Buffer.alloc(6)
  head[0] = 1
  head[1] = 0xdd
  head.writeUInt32BE(declared, 2)
  return Buffer.concat([head, fill])
}

test.each([
  ['text instead of a hello', 'hello'],
  ['a hello that is a number', pack(7)],
  ['a hello of another version', pack({ ...HELLO, coterie: 3 })],
  ['a hello with an address that is none', pack({ ...HELLO, address: 'a b c' })],
  ['a hello without a run', pack({ coterie: 2, address: null })],
  ['a hello of 16 MiB', pack({ ...HELLO, run: 'x'.repeat(16 * MIB) })],
  ['an empty first frame', Buffer.alloc(0)]
])('%s closes the connection', async (_name, first) => {
  const stranger = await Stranger.connect(address, null)
  stranger.send(first)
  await stranger.whenClosed()
  await expectServing()
})

test.each([
  ['a text frame', 'text'],
  ['an unknown channel', frame(9, { kind: 'status', request: 1 })],
  ['a channel without a message', Buffer.from([1])],
  ['arrays in arrays, 100,000 deep', Buffer.concat([Buffer.from([1]), Buffer.alloc(100_000, 0x91), Buffer.from([0xc0])])],
  ['an array that claims 2^32-1 elements', array(2 ** 32 - 1, Buffer.alloc(100))],
  ['a map that claims 2^32-1 entries', Buffer.from([1, 0xdf, 0xff, 0xff, 0xff, 0xff])],
  ['a string that claims 2^32-1 bytes', Buffer.from([1, 0xdb, 0xff, 0xff, 0xff, 0xff])],
  ['bytes that claim 2^32-1', Buffer.from([1, 0xc6, 0xff, 0xff, 0xff, 0xff])],
  ['an extension type', Buffer.from([1, 0xd4, 0x72, 0x40])],
  ['a record definition', Buffer.from([1, 0xd5, 0x72, 0x40, 0x91, 0xa1, 0x61])],
  ['31 MiB of empty maps', array(31 * MIB, Buffer.alloc(31 * MIB, 0x80))],
  ['31 MiB of messages that are null', Buffer.alloc(31 * MIB, Buffer.from([1, 0xc0]))],
  ['31 MiB of nulls', array(31 * MIB, Buffer.alloc(31 * MIB, 0xc0))],
  ['a piece without its head', Buffer.from([0x41, 0, 0])],
  ['a piece that is cut off', piece(1, 0, MIB, 0, 100)],
  ['a piece of a message that never began', piece(1, 0, MIB, PIECE, PIECE)],
  ['a piece of a message of another length', Buffer.concat([piece(1, 0, MIB, 0, PIECE), piece(1, 0, 2 * MIB, PIECE, PIECE)])],
  ['a piece that came before', Buffer.concat([piece(1, 0, MIB, 0, PIECE), piece(1, 0, MIB, 0, PIECE)])],
  ['a message of 33 MiB in pieces', piece(1, 0, 33 * MIB, 0, PIECE)],
  ['five messages that begin', Buffer.concat([0, 1, 2, 3, 4].map(place => piece(1, place, MIB, 0, PIECE)))],
  ['two messages that begin, of 31 MiB each', Buffer.concat([0, 1].map(place => piece(1, place, 31 * MIB, 0, PIECE)))],
  ['a message in pieces that is none', Buffer.concat([0, 1, 2].map(index => piece(1, 0, 3 * PIECE, index * PIECE, PIECE)))]
])('%s closes the connection, and costs neither time nor memory', async (_name, bytes) => {
  const stranger = await Stranger.connect(address)
  stranger.send(bytes)
  await stranger.whenClosed()
  await expectServing()
})

test('a hundred strangers who begin the longest message on each channel, and end none', async () => {
  const strangers = await Promise.all(Array.from({ length: 100 }, () => Stranger.connect(address)))
  for (const stranger of strangers) for (const channel of [0, 1, 2, 3]) stranger.send(piece(channel, 0, 31 * MIB, 0, PIECE))
  await expectServing()
  for (const stranger of strangers) {
    expect(stranger.closed, 'they have done nothing wrong').toBe(false)
    stranger.close()
  }
  await expectServing()
})

test('a stranger who never reads is not waited for', async () => {
  const stranger = await Stranger.connect(address)
  stranger.pause()
  for (let request = 1; request <= 20_000; request++) stranger.send(frame(1, { kind: 'view', request, protocol: 1 }))
  await expectServing()
  stranger.close()
  await expectServing()
})

test('a thousand connections that say nothing', async () => {
  const strangers = await Promise.all(Array.from({ length: 1000 }, () => Stranger.connect(address, null)))
  await expectServing()
  for (const stranger of strangers) stranger.close()
  await expectServing()
})
