/**
 * What stores say to each other in one turn goes through a packet and comes out as it was; nothing else comes out of one.
 *
 * Mutations that were tried and are caught here: entries numbered from the position before them; the ballot of the position told as
 * that of the leader; a write without its values let through; the bytes of a refused packet kept; a long message that overtakes what its
 * partition said before it, or is overtaken by what it says later.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CHANNELS } from '../../../membership/environment/environment.ts'
import { decodeMessage, encodeMessage } from '../../../membership/transport/message-codec.ts'
import type { StoreId } from '../../../membership/configuration.ts'
import { BodyBytes } from '../../../store/body-bytes.ts'
import { encodeBody } from '../../../store/group/body-codec.ts'
import { type Ballot, compareBallots, type Entry, type EntryBody } from '../../../store/group/history.ts'
import type { GroupMessage } from '../../../store/group/messages.ts'
import { type Addressed, PacketBuilder, unpack } from '../../../store/peer-messages.ts'
import { PeerOutbox } from '../../../store/peer-outbox.ts'

const number = fc.integer({ min: 0, max: 1_000_000 })
const bytes = (minLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength, maxLength: 20 })
const ballot: fc.Arbitrary<Ballot> = fc.record({ epoch: fc.integer({ min: 1, max: 3 }), attempt: number, store: fc.constantFrom('a', 'b').map(id => id as StoreId) })
const body: fc.Arbitrary<EntryBody> = fc.oneof(
  fc.constant<EntryBody>({ kind: 'noop' }),
  fc.record({
    kind: fc.constant('write' as const),
    id: fc.record({ client: fc.string({ maxLength: 8 }), number, base: fc.integer({ min: -1, max: 5 }) }),
    operations: fc.array(fc.oneof(
      fc.record({ kind: fc.constant('put' as const), key: bytes(1), value: bytes(0) }),
      fc.record({ kind: fc.constant('del' as const), key: bytes(1) })
    ), { maxLength: 4 })
  }),
  ballot.map((previous): EntryBody => ({
    kind: 'stop', next: { generation: 1, members: ['a' as StoreId], base: 7, previous: { ballot: previous, seq: 6 }, epoch: 2 }
  }))
)
const append: fc.Arbitrary<GroupMessage> = fc.record({
  generation: number,
  ballot,
  run: number,
  prev: fc.record({ ballot, seq: number }),
  bodies: fc.array(fc.tuple(ballot, body), { maxLength: 4 }),
  commit: number,
  settled: number
}).map(({ bodies, prev, ballot, ...rest }) => {
  // Along a history they do not fall, and its leader's is the last.
  const [before, ...ballots] = [prev.ballot, ballot, ...bodies.map(([own]) => own)].sort(compareBallots)
  const entries = bodies.map(([, body], index): Entry => ({ seq: prev.seq + 1 + index, ballot: ballots[index]!, body }))
  return { kind: 'append', prev: { ...prev, ballot: before! }, ballot: ballots.at(-1)!, ...rest, entries }
})
const appended: fc.Arbitrary<GroupMessage> = fc.oneof(
  fc.record({ kind: fc.constant('appended' as const), generation: number, ballot, run: number, seq: number, commit: number, settled: number }),
  fc.record({ kind: fc.constant('appended' as const), generation: number, ballot, run: number, seq: number, commit: number, settled: number, lease: number }),
  fc.record({ kind: fc.constant('appended' as const), generation: number, ballot, run: number, seq: number, commit: number, settled: number, unsynced: fc.constant(true as const) })
)
const other: fc.Arbitrary<GroupMessage> = fc.oneof(
  fc.record({ kind: fc.constant('seal' as const), generation: number, ballot }),
  fc.record({ kind: fc.constant('release' as const), generation: number, held: fc.integer({ min: 1, max: 9 }) })
)
const addressed = fc.record({ partition: fc.integer({ min: 0, max: 65_535 }), message: fc.oneof(append, appended, other) })

/** Over the wire and back. */
const carried = (value: unknown): unknown => decodeMessage(encodeMessage(value))

function packed (messages: readonly Addressed[]): unknown {
  const builder = new PacketBuilder(new BodyBytes())
  for (const { partition, message } of messages) builder.add(partition, message)
  return carried(builder.build())
}

describe('packets', () => {
  test('what goes in comes out', () => {
    fc.assert(fc.property(fc.array(addressed, { maxLength: 8 }), messages => {
      expect(unpack(packed(messages), new BodyBytes())).toEqual(messages)
    }), { numRuns: 500 })
  })

  test('a packet that was changed anywhere is refused, or is a packet of valid messages', () => {
    fc.assert(fc.property(fc.array(addressed, { minLength: 1, maxLength: 4 }), fc.nat(), fc.anything(), (messages, where, junk) => {
      const packet = packed(messages) as { messages: unknown[][] }
      const message = packet.messages[where % packet.messages.length]!
      message[where % message.length] = junk
      let out: Addressed[]
      try {
        out = unpack(packet, new BodyBytes())
      } catch (error) {
        expect((error as { code?: string }).code).toBe('STORE_INVALID_MESSAGE')
        return
      }
      // Whatever got through can be packed again, and is the same then.
      expect(packed(unpack(packed(out), new BodyBytes()))).toEqual(packed(out))
    }), { numRuns: 500 })
  })

  test.each([
    ['nothing', null], ['no lists', {}], ['a message that is none', { ballots: [], messages: [7] }],
    ['a partition beyond the last', { ballots: [], messages: [[65_536, 0, { kind: 'release', generation: 0, held: 1 }]] }],
    ['a ballot that is not in the table', { ballots: [], messages: [[1, 2, 0, 0, 1, 1, 1, 1, null]] }],
    ['an entry without its bytes', {
      ballots: [{ epoch: 1, attempt: 1, store: 'a' }],
      messages: [[1, 1, 0, 0, 0, 4, 4, 0, [0, { kind: 'noop' }]]]
    }],
    ['a ballot without its entry', {
      ballots: [{ epoch: 1, attempt: 1, store: 'a' }],
      messages: [[1, 1, 0, 0, 0, 4, 4, 0, [0]]]
    }],
    ['a write without its values', {
      ballots: [{ epoch: 1, attempt: 1, store: 'a' }],
      messages: [[1, 1, 0, 0, 0, 4, 4, 0, [0, encodeBody({ kind: 'write', id: { client: 'c', number: 1, base: 0 }, operations: null })]]]
    }]
  ])('%s is refused', (_, packet) => {
    expect(() => unpack(packet, new BodyBytes())).toThrow(expect.objectContaining({ code: 'STORE_INVALID_MESSAGE' }) as Error)
  })

  test('of a packet that is refused nothing is kept', () => {
    const bodies = new BodyBytes()
    const body = encodeBody({ kind: 'noop' })
    const message = [1, 1, 0, 0, 0, 4, 4, 0, [0, body], 1]
    const table = [{ epoch: 1, attempt: 1, store: 'a' }]
    unpack({ ballots: table, messages: [message] }, bodies)
    expect(bodies.size).toBe(1)
    expect(() => unpack({ ballots: table, messages: [message, 7] }, bodies)).toThrow(expect.objectContaining({ code: 'STORE_INVALID_MESSAGE' }) as Error)
    expect(bodies.size).toBe(0)
  })
})

describe('the outbox', () => {
  const seal: GroupMessage = { kind: 'seal', generation: 0, ballot: { epoch: 1, attempt: 1, store: 'a' as StoreId } }
  const append = (bytes: number): GroupMessage => ({
    kind: 'append',
    generation: 0,
    ballot: seal.ballot,
    run: 1,
    prev: { ballot: seal.ballot, seq: 0 },
    entries: [{
      seq: 1,
      ballot: seal.ballot,
      body: { kind: 'write', id: { client: 'c', number: 1, base: 0 }, operations: [{ kind: 'put', key: new Uint8Array(1), value: new Uint8Array(bytes) }] }
    }],
    commit: 0,
    settled: 0
  })

  test('sends one packet per peer and turn, more where it is much, and copies by themselves', () => {
    const sent: [string, number, number][] = []
    const outbox = new PeerOutbox(new BodyBytes(), {
      send: (to, channel, { messages }) => { sent.push([to, channel, messages.length]) },
      isBusy: () => false
    })
    outbox.add('x', 1, seal)
    outbox.add('y', 1, seal)
    outbox.add('x', 2, seal)
    outbox.add('x', 3, { kind: 'tail', generation: 0, ballot: seal.ballot, from: 0, entries: [] })
    expect(sent.map(([to, , count]) => [to, count])).toEqual([['x', 1]])
    outbox.flush()
    outbox.flush()
    expect(sent.slice(1).map(([to, , count]) => [to, count])).toEqual([['x', 2], ['y', 1]])
    for (let index = 0; index < 5; index++) outbox.add('x', index, append(30_000))
    outbox.flush()
    expect(sent.slice(3).map(([, , count]) => count)).toEqual([2, 2, 1])
    expect(new Set(sent.map(([, channel]) => channel)).size).toBe(2)
  })

  test('what is long goes alone in a stream of its partition, and only what that partition says stays behind it', () => {
    let sent: string[] = []
    const busy = new Set<string>()
    const outbox = new PeerOutbox(new BodyBytes(), {
      send: (to, channel, { messages }, stream) => {
        if (stream !== 0 && channel === CHANNELS.store) busy.add(`${to} ${stream}`)
        sent.push(`${to} ${stream}: ${messages.map(message => (message as number[])[0]).join(' ')}`)
      },
      isBusy: (to, channel, stream) => channel === CHANNELS.store && busy.has(`${to} ${stream}`)
    })
    const turn = (act: () => void): string[] => {
      sent = []
      act()
      outbox.flush()
      return sent
    }
    // What the partition said before goes before, and what others say in the same turn is not held up.
    expect(turn(() => {
      outbox.add('x', 1, seal)
      outbox.add('x', 1, append(600_000))
      outbox.add('x', 2, seal)
      outbox.add('x', 1, seal)
      outbox.add('y', 1, seal)
    })).toEqual(['x 0: 1', 'x 2: 1', 'x 2: 1', 'x 0: 2', 'y 0: 1'])
    expect(turn(() => {
      outbox.add('x', 1, seal)
      outbox.add('x', 2, seal)
      outbox.add('x', 2, append(600_000))
    })).toEqual(['x 2: 1', 'x 0: 2', 'x 3: 2'])
    busy.delete('x 2')
    expect(turn(() => { for (const partition of [1, 2, 3]) outbox.add('x', partition, seal) })).toEqual(['x 3: 2', 'x 0: 1 3'])
    busy.clear()
    expect(turn(() => { for (const partition of [1, 2, 3]) outbox.add('x', partition, seal) })).toEqual(['x 0: 1 2 3'])
  })
})
