/**
 * Requests that no client of ours would send: limits hold on both sides of the wire, and whatever arrives on any channel is
 * validated before it touches a core.
 *
 * Mutations caught: the node does not check that keys belong to the partition named; it takes any number of keys.
 */
import { afterEach, beforeEach, expect, test } from 'vitest'
import fc from 'fast-check'
import { partitionOf } from '../../ring/index.ts'
import { type Client, connect } from '../../store/client/client.ts'
import { WIRE_LIMITS } from '../../store/client-protocol.ts'
import type { KillableNode } from '../../store/start-node.ts'
import { PATIENCE_MS } from '../../store/verify/eventually.ts'
import { failure, Nodes } from './nodes.ts'
import { frame, HELLO, Stranger } from './stranger.ts'

const PARTITIONS = 8
const MEMBERSHIP = 0
const CLIENT = 1
const STORE = 2
const BULK = 3

let nodes: Nodes
let node: KillableNode
let client: Client
let stranger: Stranger

beforeEach(async () => {
  nodes = await Nodes.create()
  node = await nodes.found({ partitions: PARTITIONS })
  client = await connect([node.address], { deadlineMs: PATIENCE_MS })
  stranger = await Stranger.connect(node.address)
})

afterEach(async () => {
  stranger.close()
  await client.close()
  await nodes.close()
})

/** The node still does what it is for, for everybody. */
async function expectServing (): Promise<void> {
  await client.put('still', 'here')
  expect(await client.get('still')).toBe('here')
  expect(node.status()).toMatchObject({ state: 'ready', membership: 'member', members: 1 })
}

test('keys and values over the limit are refused by the client, at the limit they are kept', async () => {
  const key = 'k'.repeat(WIRE_LIMITS.keyBytesMax)
  const value = 'v'.repeat(WIRE_LIMITS.valueBytesMax)
  expect(await failure(client.put(key + 'k', 'v'))).toMatchObject({ code: 'STORE_INVALID_KEY' })
  expect(await failure(client.put('k', value + 'v'))).toMatchObject({ code: 'STORE_INVALID_VALUE' })
  expect(await failure(client.get(key + 'k'))).toMatchObject({ code: 'STORE_INVALID_KEY' })
  expect(await failure(client.keys({ gt: key + 'k' }).next())).toMatchObject({ code: 'STORE_INVALID_KEY' })
  await client.put(key, value)
  expect(await client.get(key)).toBe(value)
})

test('large values that one client asks for all at once come one after another, and none is lost on its way', async () => {
  const large = new Uint8Array(WIRE_LIMITS.valueBytesMax).fill(7)
  const view = { keyEncoding: 'view', valueEncoding: 'view' } as const
  const reader = await connect<Uint8Array, Uint8Array>([node.address], { deadlineMs: PATIENCE_MS, attemptTimeoutMs: PATIENCE_MS, ...view })
  try {
    await reader.put(key, large)
    // More than twice as much as is queued for a connection.
    const found = await Promise.all(Array.from({ length: 20 }, () => reader.get(key)))
    expect(found.every(value => value?.length === large.length && value[0] === 7 && value.at(-1) === 7)).toBe(true)
    expect(nodes.warnings).toEqual([])
  } finally {
    await reader.close()
  }
})

const key = Buffer.from('a')
const partition = partitionOf(key, PARTITIONS)
const id = { client: 'stranger', number: 1, base: 0 }
const scan = { from: key, to: null, reverse: false, limit: 10, bytesMax: 1000, values: true }
const put = { kind: 'put', key, value: Buffer.from('v') }

const invalid: readonly (readonly [string, Record<string, unknown>])[] = [
  ['an unknown kind', { kind: 'format' }],
  ['no kind', {}],
  ['a key over the limit', { kind: 'read', partition, keys: [Buffer.alloc(WIRE_LIMITS.keyBytesMax + 1)] }],
  ['a key that is a string', { kind: 'read', partition, keys: ['a'] }],
  ['an answer that no message holds', { kind: 'read', partition, keys: [key], expects: WIRE_LIMITS.answerBytesMax + 1 }],
  ['keys that are no list', { kind: 'read', partition, keys: key }],
  ['too many keys', { kind: 'read', partition, keys: Array(WIRE_LIMITS.keysPerReadMax + 1).fill(key) }],
  ['a partition that is not the key\'s', { kind: 'read', partition: (partition + 1) % PARTITIONS, keys: [key] }],
  ['a partition that does not exist', { kind: 'read', partition: PARTITIONS, keys: [key] }],
  ['a negative partition', { kind: 'read', partition: -1, keys: [key] }],
  ['a fractional partition', { kind: 'read', partition: 0.5, keys: [key] }],
  ['a value over the limit', { kind: 'write', partition, id, operations: [{ ...put, value: Buffer.alloc(WIRE_LIMITS.valueBytesMax + 1) }] }],
  ['a value that is null', { kind: 'write', partition, id, operations: [{ ...put, value: null }] }],
  ['an operation of unknown kind', { kind: 'write', partition, id, operations: [{ kind: 'increment', key }] }],
  ['no operations', { kind: 'write', partition, id, operations: [] }],
  ['one key of another partition among good ones', { kind: 'write', partition, id, operations: [put, { ...put, key: Buffer.from('b') }] }],
  ['no operation id', { kind: 'write', partition, operations: [put] }],
  ['an operation id without a base', { kind: 'write', partition, id: { client: 'c', number: 1 }, operations: [put] }],
  ['a base below -1', { kind: 'write', partition, id: { ...id, base: -2 }, operations: [put] }],
  ['a scan without a range', { kind: 'scan', partition }],
  ['a scan of a range that ends before it begins', { kind: 'scan', partition, scan: { ...scan, to: Buffer.from('0') } }],
  ['a scan for no items', { kind: 'scan', partition, scan: { ...scan, limit: 0 } }],
  ['a scan for too many bytes', { kind: 'scan', partition, scan: { ...scan, bytesMax: WIRE_LIMITS.scanBytesMax + 1 } }],
  ['an update that is no metadata', { kind: 'status', update: { weight: -1 } }],
  ['an update that is no object', { kind: 'status', update: 7 }],
  ['a drain and an update at once', { kind: 'status', drain: true, update: {} }],
  ['a way to leave that is none', { kind: 'status', leave: true }],
  ['to leave and to stay at once', { kind: 'status', leave: 'now', drain: false }],
  ['a client id of 5000 characters', { kind: 'write', partition, id: { ...id, client: 'c'.repeat(5000) }, operations: [put] }]
]

test.each(invalid)('the node answers %s with STORE_INVALID_MESSAGE, and does nothing', async (_name, request) => {
  stranger.send(frame(CLIENT, { ...request, request: 7 }))
  expect(await stranger.answer(7)).toMatchObject({ kind: 'error', code: 'STORE_INVALID_MESSAGE', definite: true })
  expect(await client.get('a')).toBeUndefined()
  await expectServing()
  stranger.send(frame(CLIENT, { kind: 'status', request: 8 }))
  expect(await stranger.answer(8)).toMatchObject({ kind: 'status' })
})

test('a base that no node ever gave neither breaks the partition nor is forgotten', async () => {
  stranger.send(frame(CLIENT, { kind: 'write', partition, request: 1, id: { ...id, base: Number.MAX_SAFE_INTEGER }, operations: [put] }))
  expect(['written', 'error']).toContain((await stranger.answer(1)).kind)
  await client.put('a', 'mine')
  expect(await client.get('a')).toBe('mine')
})

test('requests without a usable number get no answer, and the next one does', async () => {
  for (const request of [undefined, null, 'one', -1, 1.5, [1], { a: 1 }]) stranger.send(frame(CLIENT, { kind: 'status', ...(request === undefined ? {} : { request }) }))
  for (const message of [null, 0, 'text', [], true, Buffer.from('bytes')]) stranger.send(frame(CLIENT, message))
  stranger.send(frame(CLIENT, { kind: 'status', request: 3 }))
  expect(await stranger.answer(3)).toMatchObject({ kind: 'status' })
  await expectServing()
})

test('one operation id with two different writes happens once', async () => {
  const write = (value: string, request: number): Buffer => frame(CLIENT, { kind: 'write', partition, request, id, operations: [{ ...put, value: Buffer.from(value) }] })
  stranger.send(write('first', 1))
  expect(await stranger.answer(1)).toMatchObject({ kind: 'written' })
  stranger.send(write('second', 2))
  expect(await stranger.answer(2)).toMatchObject({ kind: 'written' })
  expect(await client.get('a')).toBe('first')
})

/** Kinds of messages that the channels know, so that random fields get past the first check. */
const KINDS: Readonly<Record<number, readonly string[]>> = {
  [MEMBERSHIP]: ['probe', 'probe-reply', 'join-ask', 'join-observers', 'join-refused', 'join-held', 'join-redirect', 'admitted', 'snapshot', 'alerts', 'consensus',
    'join-request', 'fetch-decisions', 'decisions', 'leave', 'returned', 'present'],
  [CLIENT]: ['view', 'read', 'write', 'status'],
  [STORE]: ['chain', 'unknown', 'seal', 'sealed', 'append', 'appended', 'mismatch', 'lagging', 'confirm', 'confirmed', 'refused', 'nominate', 'leading', 'release', 'learn', 'learned'],
  [BULK]: ['chunk', 'tail']
}

const NAMES = ['sender', 'position', 'to', 'sequence', 'member', 'configuration', 'state', 'ballot', 'generation', 'prev', 'entries', 'commit', 'group', 'items', 'after',
  'request', 'partition', 'keys', 'id', 'operations', 'alerts', 'epoch', 'cut', 'joins', 'removals', 'updates', 'p', 'f', 'm', 'round', 'held', 'seen']

const value = fc.letrec(tie => ({
  leaf: fc.oneof(
    fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.string(), fc.boolean(), fc.constant(null), fc.uint8Array({ maxLength: 20 })
  ),
  tree: fc.oneof({ depthSize: 'small', withCrossShrink: true }, tie('leaf'), fc.array(tie('tree'), { maxLength: 4 }), fc.dictionary(fc.constantFrom(...NAMES), tie('tree'), { maxKeys: 5 }))
})).tree

const message = fc.constantFrom(MEMBERSHIP, CLIENT, STORE, BULK).chain(channel => {
  const kinds = KINDS[channel]!
  const body = fc.record({ kind: fc.constantFrom(...kinds), fields: fc.dictionary(fc.constantFrom(...NAMES), value) })
    .map(({ kind, fields }) => ({ ...fields, kind }))
  // For a partition of the store that gets it, so that it passes everything that comes before the look at a message.
  const packet = fc.record({
    ballots: fc.constant([]),
    messages: fc.tuple(fc.oneof(fc.integer({ min: 0, max: PARTITIONS - 1 }), value), fc.constant(0), body).map(packed => [packed])
  })
  const wrapped = channel === STORE || channel === BULK
    ? fc.record({ f: fc.oneof(fc.constant('0'.repeat(32)), value), m: packet })
    : body
  return fc.tuple(fc.constant(channel), fc.oneof({ weight: 4, arbitrary: wrapped }, { weight: 1, arbitrary: value }))
})

test('random messages on every channel are dropped: the node goes on, and its invariants hold', async () => {
  const { clusterId: c, storeId: t } = node.status()
  const listening = await Stranger.connect(node.address, { ...HELLO, address: '127.0.0.1:9' })
  await fc.assert(fc.asyncProperty(fc.array(message, { minLength: 20, maxLength: 60 }), async messages => {
    const extras = [stranger, listening]
    for (const [index, [channel, body]] of messages.entries()) {
      const isPacket = typeof body === 'object' && body !== null && 'm' in body
      extras[index % 2]!.send(frame(channel, isPacket ? { c, t, ...body } : body))
    }
    stranger.send(frame(CLIENT, { kind: 'status', request: 1 }))
    expect(await stranger.answer(1)).toMatchObject({ kind: 'status' })
    expect(node.status()).toMatchObject({ state: 'ready', membership: 'member', members: 1 })
  }), { numRuns: 60, seed: 1 })
  listening.close()
  await expectServing()
})
