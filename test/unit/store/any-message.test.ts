/**
 * Whatever a message between replicas says, if it has the form of one: it is obeyed, answered or ignored, and never ends the store. What is
 * written can be written, and the invariants of the replica's own state hold. (Whether it is true is nobody's to check: processes
 * that lie are not survived.)
 *
 * Mutations caught: numbers beyond what the disk can hold let through; a generation that begins before what is committed taken up; a group that
 * does not begin behind the one before it, and entries of falling ballots, or of one above their leader's, let through.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Database } from '../../../membership/environment/environment.ts'
import type { StoreId } from '../../../membership/configuration.ts'
import { BodyBytes } from '../../../store/body-bytes.ts'
import type { Change, Entry, EntryBody, Group } from '../../../store/group/history.ts'
import { validateGroupMessage } from '../../../store/group/message-checks.ts'
import type { GroupMessage } from '../../../store/group/messages.ts'
import { ledgerKey } from '../../../store/storage/layout.ts'
import { StoreWriter } from '../../../store/storage/store-writer.ts'
import { ballot as ballotOf, ReplicaNet } from './replica-harness.ts'

/** The highest number that fits into 6 bytes less a bit. */
const LAST = 2 ** 47 - 1

/** Numbers near those that are in use, and at the ends. */
const extreme = fc.constantFrom(2 ** 31, 2 ** 32, LAST, 2 ** 47, 2 ** 48 - 1, 2 ** 48, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER)
const number = fc.oneof({ weight: 4, arbitrary: fc.nat(9) }, extreme)
const small = fc.nat(9)
const store = fc.constantFrom('', 'A', 'B', 'C', 'D').map(id => id as StoreId)
const ballot = fc.record({
  epoch: fc.oneof({ weight: 5, arbitrary: fc.nat(3) }, number), attempt: fc.oneof({ weight: 5, arbitrary: fc.nat(2) }, fc.constant(2 ** 32)), store
})
const position = fc.record({ ballot, seq: number })
const bytes = fc.constantFrom('', 'x', 'y').map(text => Uint8Array.from(Buffer.from(text)))
const group = fc.record({
  generation: number, members: fc.uniqueArray(store, { minLength: 1 }), base: number, previous: position, epoch: number,
  forced: fc.option(number, { nil: undefined })
})
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('del' as const), key: bytes }),
  fc.record({ kind: fc.constant('put' as const), key: bytes, value: bytes }),
  fc.record({ kind: fc.constant('put' as const), key: bytes, value: bytes, expires: number })
)
const id = fc.record({ client: fc.constantFrom('c', 'd'), number: small, base: small })
const body: fc.Arbitrary<EntryBody> = fc.oneof(
  fc.constant<EntryBody>({ kind: 'noop' }),
  fc.record({ kind: fc.constant('noop' as const), time: number }),
  fc.record({ kind: fc.constant('stop' as const), next: group }) as fc.Arbitrary<EntryBody>,
  fc.record({ kind: fc.constant('write' as const), id, operations: fc.array(change, { maxLength: 2 }) }),
  fc.record({ kind: fc.constant('write' as const), id, operations: fc.array(change, { maxLength: 2 }), time: number, swept: number }),
  fc.record({
    kind: fc.constant('write' as const), id, operations: fc.constant(null), changed: fc.record({ keys: fc.array(bytes, { maxLength: 2 }), bytes: small })
  })
)
/** Entries from some number on, without a gap. */
const entriesFrom = (first: number): fc.Arbitrary<Entry[]> =>
  fc.array(fc.record({ ballot, body }), { maxLength: 4 }).map(entries => entries.map((entry, index) => ({ seq: first + index, ...entry })))
const item = fc.record({ key: bytes, value: bytes, seq: number, expires: fc.option(number, { nil: undefined }) })
const said = { generation: fc.oneof({ weight: 5, arbitrary: fc.nat(2) }, number), ballot }

const kinds: Record<GroupMessage['kind'], fc.Arbitrary<object>> = {
  chain: fc.record({ group }),
  unknown: fc.record({ generation: fc.oneof(number, fc.constant(-1)) }),
  release: fc.record({ generation: said.generation, held: number }),
  refused: fc.record({ generation: said.generation, promised: ballot }),
  nominate: fc.record({ generation: said.generation, seen: ballot, held: number }),
  seal: fc.record(said),
  lagging: fc.record(said),
  leading: fc.record(said),
  sealed: fc.record({
    ...said, last: position, level: fc.boolean(), commit: number, lease: number,
    leases: fc.array(fc.record({ holder: store, ms: fc.nat(60_000) }), { maxLength: 2 })
  }),
  append: position.chain(prev => fc.record({
    ...said, run: small, prev: fc.constant(prev), entries: entriesFrom(prev.seq + 1), commit: number, settled: number
  })),
  appended: fc.record({ ...said, run: small, seq: number, commit: number, settled: number, lease: number }),
  mismatch: fc.record({ ...said, run: small, prev: number, commit: number }),
  confirm: fc.record({ ...said, round: number }),
  confirmed: fc.record({ ...said, round: number, lease: number }),
  learn: group.chain(group => fc.record({
    ...said, generation: fc.constant(group.generation), group: fc.constant(group), round: number, transfer: number, placementEpoch: number,
    digest: fc.constantFrom('', 'placement ABC')
  })),
  learned: fc.record({
    ...said, round: number, position: fc.oneof(number, fc.constant(-1)), whole: fc.boolean(), scanned: fc.boolean(), cursor: fc.option(bytes)
  }),
  chunk: fc.tuple(number, fc.nat(3)).chain(([floor, length]) => fc.record({
    ...said, round: number, after: fc.option(bytes), items: fc.array(item, { maxLength: 2 }), done: fc.boolean(), reach: number,
    start: fc.constant(floor + length), floor: fc.constant(floor), time: number,
    memory: entriesFrom(floor + 1).map(entries => entries.slice(0, length))
  })),
  delta: number.chain(from => fc.record({
    ...said, round: number, from: fc.constant(from), entries: entriesFrom(from + 1), items: fc.array(item, { maxLength: 2 }),
    removed: fc.array(bytes, { maxLength: 2 })
  })),
  tail: number.chain(from => fc.record({ ...said, from: fc.constant(from), entries: entriesFrom(from + 1) }))
}

const message = fc.oneof(...Object.entries(kinds).map(([kind, rest]) => rest.map(fields => ({ kind, ...fields }))))
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ to: fc.constantFrom('A', 'B', 'C', 'D'), from: store, message }) },
  fc.constantFrom('turn', 'tick')
)

/** What is asked of the disk is what the disk can do. */
function checkWrites (net: ReplicaNet): void {
  const database = { batch: () => ({ put () {}, del () {}, write: () => Promise.resolve() }) } as unknown as Database
  const writer = new StoreWriter({ database, bodies: new BodyBytes(), lastBatch: 0, collect () {}, failed () {} })
  for (const { persists } of net.stores.values()) for (const { writes } of persists) writer.persist(7, writes, () => {})
  for (const epoch of net.counted.splice(0)) ledgerKey(epoch)
}

/** A leads ABC, D is taught for the place of C; everybody has something. */
function cluster (): ReplicaNet {
  const net = new ReplicaNet('ABC', { logBytesMax: 300 })
  net.view(1, 'ABCD', 'ABC')
  net.settle()
  net.write('A', 'x', '1')
  net.write('A', 'y', '1')
  net.settle()
  net.store('D').slow = true
  net.view(2, 'ABCD', 'ABD')
  net.settle()
  net.write('A', 'x', '2')
  net.turn()
  return net
}

describe('a message', () => {
  test('of any content, that has the form of one, ends no store', () => {
    fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), steps => {
      const net = cluster()
      for (const step of steps) {
        checkWrites(net)
        if (step === 'turn') net.turn()
        else if (step === 'tick') net.tick(200)
        else {
          let valid: GroupMessage
          try {
            valid = validateGroupMessage(structuredClone(step.message))
          } catch (error) {
            expect(error).toMatchObject({ code: 'STORE_INVALID_MESSAGE' })
            continue
          }
          net.receive(step.from, step.to, valid)
        }
      }
      checkWrites(net)
    }), { numRuns: 500 })
  }, 60_000)

  const told = { generation: 1, ballot: ballotOf(2, 1, 'A') }
  const entry = (seq: number, ballot = told.ballot): Entry => ({ seq, ballot, body: { kind: 'noop' } })
  const before = ballotOf(1, 1, 'B')
  const append = {
    kind: 'append', ...told, run: 1, prev: { ballot: before, seq: 4 }, entries: [entry(5, before), entry(6)], commit: 4, settled: 0
  }
  const next: Group = { generation: 2, members: ['A' as StoreId], base: 7, previous: { ballot: told.ballot, seq: 6 }, epoch: 3 }

  test('of a generation that begins before what is committed is a fault, and changes nothing', () => {
    const net = cluster()
    const { group, copy } = net.replica('A')
    const base = copy!.commit - 1
    net.receive('C', 'A', { kind: 'chain', group: { ...next, generation: 9, base, previous: { ballot: told.ballot, seq: base - 1 } } })
    expect(net.replica('A').group).toBe(group)
    expect(net.faults).toEqual([`A: generation 9 is said to begin at ${base}, before entry ${base + 1}, which is committed`])
  })

  test.each<[string, object, object]>([
    ['an entry beyond all numbers', append, { prev: { ballot: told.ballot, seq: LAST - 1 }, entries: [entry(LAST), entry(LAST + 1)] }],
    ['a ballot that falls', append, { entries: [entry(5), entry(6, before)] }],
    ['a ballot below that of the entry before', append, { entries: [entry(5, ballotOf(1, 1, 'A'))] }],
    ['a ballot above that of the leader', append, { entries: [entry(5), entry(6, ballotOf(2, 1, 'B'))] }],
    ['a group that begins later than after the one before', { kind: 'chain', group: next }, { group: { ...next, base: 8 } }],
    ['a first group that begins later than at the beginning', { kind: 'chain', group: { ...next, generation: 0, base: 0 } }, {
      group: { ...next, generation: 0 }
    }],
    ['a transfer of an epoch beyond all numbers', {
      kind: 'learn', ...told, generation: 2, round: 1, group: next, transfer: LAST, placementEpoch: 3, digest: ''
    }, { transfer: LAST + 1 }],
    ['a version beyond all numbers', {
      kind: 'delta', ...told, round: 1, from: 0, entries: [], items: [{ key: new Uint8Array(1), value: new Uint8Array(0), seq: LAST }], removed: []
    }, { items: [{ key: new Uint8Array(1), value: new Uint8Array(0), seq: LAST + 1 }] }]
  ])('with %s is refused', (_, valid, change) => {
    expect(validateGroupMessage(valid)).toMatchObject(valid)
    expect(() => validateGroupMessage({ ...valid, ...change })).toThrow(expect.objectContaining({ code: 'STORE_INVALID_MESSAGE' }) as Error)
  })
})
