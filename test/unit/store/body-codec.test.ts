/**
 * The bytes of an entry: what goes in comes out, nothing else is accepted, and the same bytes serve the wire and the disk.
 *
 * Mutations that were tried and are caught here: lengths that point beyond the bytes let through; what follows the last change passed over;
 * a deletion read like a put; the upper half of a number dropped; a write of no changes, or of values that expire, packed like any other;
 * MessagePack unpacked without a look at it before; the keys that compaction leaves of a received entry taken as they are, views of its bytes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { StoreId } from '../../../membership/configuration.ts'
import { BodyBytes } from '../../../store/body-bytes.ts'
import { decodeBody, encodeBody } from '../../../store/group/body-codec.ts'
import { Copy } from '../../../store/group/copy.ts'
import type { Ballot, Change, EntryBody } from '../../../store/group/history.ts'
import { decodeEntry, encodeEntry, logKey } from '../../../store/storage/layout.ts'

/** What names something. */
const number = fc.oneof(fc.nat(9), fc.maxSafeNat())
/** What is counted. */
const count = fc.oneof(fc.nat(9), fc.integer({ min: 0, max: 2 ** 47 - 1 }))
const key = fc.uint8Array({ minLength: 1, maxLength: 300 })
const value = fc.uint8Array({ maxLength: 70_000 })
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, value }),
  fc.record({ kind: fc.constant('del' as const), key })
)
const expiring: fc.Arbitrary<Change> = fc.record({ kind: fc.constant('put' as const), key, value, expires: count })
const id = fc.record({ client: fc.oneof(fc.string({ maxLength: 40 }), fc.string({ unit: 'binary', maxLength: 9 })), number, base: number })
const kind = fc.constant('write' as const)
const body: fc.Arbitrary<EntryBody> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind, id, operations: fc.array(change, { maxLength: 4 }) }) },
  fc.record({ kind, id, operations: fc.array(fc.oneof(change, expiring), { minLength: 1, maxLength: 3 }), time: count }),
  fc.record({ kind, id, operations: fc.constant([]), failed: fc.record({ operation: fc.nat(9), version: number }) }),
  fc.record({ kind, id, operations: fc.constant(null), changed: fc.record({ keys: fc.array(key, { maxLength: 2 }), bytes: count }) }),
  fc.record({ kind: fc.constant('noop' as const), time: count })
)

const plain = encodeBody({ kind: 'write', id: { client: 'c', number: 7, base: 3 }, operations: [{ kind: 'put', key: Buffer.from('k'), value: Buffer.from('v') }] })
/** Where the parts of `plain` are. */
const AT = { clientLength: 1, number: 4, count: 20, kind: 24, keyLength: 25, valueLength: 28 }
/** A short string as MessagePack. */
const text = (value: string): Buffer => Buffer.concat([Buffer.of(0xa0 | value.length), Buffer.from(value)])
const refused = expect.objectContaining({ code: 'STORE_INVALID_MESSAGE' }) as Error

describe('the body of an entry', () => {
  test('comes out of its bytes as it went in', () => {
    fc.assert(fc.property(body, before => { expect(decodeBody(encodeBody(before))).toEqual(before) }), { numRuns: 500 })
  })

  test('takes 27 bytes besides its client, key and value as a put', () => {
    expect(plain.length).toBe(23 + 1 + 3 + 1 + 4 + 1)
  })

  test('from bytes that were changed or cut off is refused, or is a valid one', () => {
    fc.assert(fc.property(body, fc.nat(), fc.nat(255), fc.boolean(), (before, where, junk, cut) => {
      const bytes = Buffer.from(encodeBody(before))
      bytes[where % bytes.length] = junk
      const changed = cut ? bytes.subarray(0, where % bytes.length) : bytes
      let after: EntryBody
      try {
        after = decodeBody(changed)
      } catch (error) {
        expect(error).toEqual(refused)
        return
      }
      expect(decodeBody(encodeBody(after))).toEqual(after)
    }), { numRuns: 2000 })
  })

  test.each<[string, (bytes: Buffer) => unknown]>([
    ['no bytes', () => Buffer.alloc(0)],
    ['an unknown kind', bytes => bytes.fill(2, 0, 1)],
    ['no MessagePack', () => Buffer.of(0, 0xc1)],
    ['an extension of MessagePack where a body has a number', () => Buffer.concat([Buffer.of(0, 0x82), text('kind'), text('noop'), text('time'), Buffer.of(0xd6, 0xff, 0, 0, 0, 1)])],
    ['a definition of a structure', () => Buffer.concat([Buffer.of(0, 0xd4, 0x72, 0x40, 0x91), text('kind'), text('noop')])],
    ['arrays within arrays', () => Buffer.concat([Buffer.of(0), Buffer.alloc(100_000, 0x91), Buffer.of(0xc0)])],
    ['MessagePack that is no body', () => Buffer.of(0, 7)],
    ['a client beyond the end', bytes => bytes.writeUInt16BE(60_000, AT.clientLength)],
    ['a number that is not safe', bytes => bytes.writeUInt32BE(0x20_0000, AT.number)],
    ['no changes', bytes => bytes.writeUInt32BE(0, AT.count)],
    ['more changes than there are', bytes => bytes.writeUInt32BE(2, AT.count)],
    ['more changes than a write may have', bytes => bytes.writeUInt32BE(100_001, AT.count)],
    ['an unknown kind of change', bytes => bytes.fill(3, AT.kind, AT.kind + 1)],
    ['a key beyond the end', bytes => bytes.writeUInt16BE(4000, AT.keyLength)],
    ['a value beyond the end', bytes => bytes.writeUInt32BE(2, AT.valueLength)],
    ['a deletion with a value', bytes => bytes.fill(2, AT.kind, AT.kind + 1)]
  ])('%s: refused', (_, damage) => {
    const bytes = Buffer.from(plain)
    const other = damage(bytes)
    expect(() => decodeBody(other instanceof Buffer ? other : bytes)).toThrow(refused)
  })

  test('with a key or a value that is too long is refused', () => {
    const write = (keyBytes: number, valueBytes: number): Uint8Array => encodeBody({
      kind: 'write', id: { client: 'c', number: 1, base: 0 }, operations: [{ kind: 'put', key: Buffer.alloc(keyBytes), value: Buffer.alloc(valueBytes) }]
    })
    expect(() => decodeBody(write(4096, 8 * 1024 * 1024))).not.toThrow()
    expect(() => decodeBody(write(4097, 0))).toThrow(refused)
    expect(() => decodeBody(write(1, 8 * 1024 * 1024 + 1))).toThrow(refused)
  })
})

describe('an entry of the log', () => {
  const store = fc.string({ maxLength: 128 }).map(text => text as StoreId)
  const ballot: fc.Arbitrary<Ballot> = fc.record({ epoch: count, attempt: count, store })

  test('comes off the disk as it was', () => {
    fc.assert(fc.property(ballot, body, fc.integer({ min: 1, max: 2 ** 47 }), (before, bodyBefore, seq) => {
      const at = logKey(9, 2, seq)
      expect(decodeEntry(at, encodeEntry(at, before, encodeBody(bodyBefore)))).toEqual({ seq, ballot: before, body: bodyBefore })
    }), { numRuns: 300 })
  })

  test('that was changed or cut off is damage', () => {
    const at = logKey(9, 2, 5)
    const record = encodeEntry(at, { epoch: 1, attempt: 0, store: 'a' as StoreId }, plain)
    for (let length = 0; length < record.length; length++) {
      expect(() => decodeEntry(at, record.subarray(0, length))).toThrow(expect.objectContaining({ code: 'STORE_DIRECTORY_DAMAGED' }) as Error)
    }
    expect(() => decodeEntry(logKey(9, 2, 6), record)).toThrow(expect.objectContaining({ code: 'STORE_DIRECTORY_DAMAGED' }) as Error)
  })
})

test('the bytes of a turn are made once, those that were received are kept, and none outlives the turn', () => {
  const bodies = new BodyBytes()
  const noop: EntryBody = { kind: 'noop' }
  const received: EntryBody = { kind: 'noop' }
  const bytes = bodies.of(noop)
  bodies.received(received, plain)
  expect(bodies.of(noop)).toBe(bytes)
  expect(bodies.of(received)).toBe(plain)
  bodies.clear()
  expect(bodies.of(received)).not.toBe(plain)
})

test('a log of received entries does not keep the values in memory that it has dropped', () => {
  const valueBytes = 10_000
  const copy = new Copy(1, 0, 0, [], { logEntriesMax: 64, logBytesMax: 2 * valueBytes })
  const ballot: Ballot = { epoch: 1, attempt: 1, store: 'a' as StoreId }
  for (let seq = 1; seq <= 50; seq++) {
    const body = encodeBody({ kind: 'write', id: { client: 'c', number: seq, base: 0 }, operations: [{ kind: 'put', key: Buffer.from(`k${seq}`), value: new Uint8Array(valueBytes) }] })
    copy.append({ seq, ballot, body: decodeBody(body) })
  }
  copy.advanceCommit(50)
  copy.takeApplied()
  copy.applyDone(50)
  copy.compact()
  const held = new Set<ArrayBufferLike>()
  for (const entry of copy.slice(1, Infinity, Infinity)) {
    if (entry.body.kind !== 'write') continue
    for (const { buffer } of entry.body.operations?.map(({ key }) => key) ?? entry.body.changed!.keys) held.add(buffer)
  }
  expect(copy.valueFloor).toBe(49)
  expect([...held].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(3 * valueBytes)
})
