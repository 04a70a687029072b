/**
 * Who leads, and what a leader takes over (rules S1, S3, S4), with Raft's figure 8 (USENIX ATC '14, section 5.4.2).
 *
 * Mutations of the core that these tests caught: a promise sent before it is durable, or forgotten at a restart; a ballot sealed before its own
 * promise is durable; appends below the promise accepted; the commit point advanced by entries of older ballots alone; an old nomination
 * obeyed; the longest history adopted instead of the one with the highest ballot; the candidate's own history adopted; appends
 * that need not fit; teaching only while serving; a generation 0 whose first store asks for promises; a promise that tells of what was undone.
 */
import { describe, expect, test } from 'vitest'
import { compareBallots, NO_BALLOT, type Entry } from '../../../store/group/history.ts'
import { ballot, of, put, ReplicaNet } from './replica-harness.ts'

const noop = (seq: number, by: ReturnType<typeof ballot>): Entry => ({ seq, ballot: by, body: { kind: 'noop' } })
const write = (seq: number, by: ReturnType<typeof ballot>, key: string, value: string): Entry =>
  ({ seq, ballot: by, body: { kind: 'write', id: { client: 'old', number: seq, base: 0 }, operations: [put(key, value)] } })

function formed (genesis = 'ABC', options = {}): ReplicaNet {
  const net = new ReplicaNet(genesis, options)
  net.view(1, genesis, genesis)
  net.settle()
  return net
}

describe('who leads (S4)', () => {
  test('the first store in the order of the group leads from the beginning, without asking for promises, and commits an entry of its own', () => {
    const net = formed()
    expect(net.leader).toBe('A')
    expect(net.log('A')).toEqual(['1 noop'])
    expect(net.replica('A').copy!.commit).toBe(1)
    expect(net.sent.filter(of('seal'))).toEqual([])
  })

  test('where that store is gone before it began, the next one leads, after it sealed a majority and committed an entry of its own', () => {
    const net = new ReplicaNet('ABC')
    net.view(2, 'BC', 'ABC', 'BC')
    net.settle()
    expect(net.leader).toBe('B')
    expect(net.log('B')).toEqual(['1 noop'])
    expect(net.sent.filter(of('seal')).map(({ from }) => from)).toEqual(['B'])
  })

  test('when the incumbent is gone from the configuration, the next in the order takes over; a returning store does not', () => {
    const net = formed()
    net.crash('A')
    net.view(2, 'BC', 'ABC')
    net.settle()
    expect(net.leader).toBe('B')
    net.restart('A')
    net.view(3, 'ABC', 'ABC')
    net.settle(of('append', 'B', 'A'))
    expect(net.leader, 'the live incumbent stays while A is not level').toBe('B')
  })

  test('the incumbent hands over to the first of the order once that one is level, and writes wait instead of failing', () => {
    const net = formed()
    net.crash('A')
    net.view(2, 'BC', 'ABC')
    net.settle()
    const before = net.write('B', 'x', '1')
    net.settle()
    net.restart('A')
    net.view(3, 'ABC', 'ABC')
    net.pass(1000)
    expect(net.answer(before)).toBe('written 3')
    expect(net.leader).toBe('A')
    expect(net.log('A')).toEqual(net.log('B'))
  })

  test('an incumbent that is in the configuration and stays silent is passed over after takeoverMs', () => {
    const net = formed()
    net.crash('A')
    const ticket = net.write('B', 'x', '1')
    expect(net.answer(ticket), 'the client made B ask').toBe('NOT_LEADER')
    net.pass(900)
    expect(net.leader).toBeUndefined()
    net.pass(500)
    expect(net.leader).toBe('B')
  })

  test('a nomination by a store that knows less is answered with the highest ballot, and deposes nobody', () => {
    const net = formed()
    net.receive('C', 'B', { kind: 'nominate', generation: 0, seen: NO_BALLOT, held: 0 })
    net.settle()
    expect(net.leader).toBe('A')
    expect(net.sent.at(-1)).toMatchObject({ from: 'B', to: 'C', message: { kind: 'refused', promised: ballot(1, 0, 'A') } })
  })

  test('without a majority of the group in the configuration a request names the stores that are missing, also at a leader that served', () => {
    const net = formed()
    const waiting = net.read('A', 'x')
    net.view(2, 'A', 'ABC')
    expect(net.answer(waiting), 'an unconfirmed read waits no longer').toBe('PARTITION_UNAVAILABLE')
    const ticket = net.write('A', 'x', '1')
    expect(net.answers.get(ticket)).toMatchObject({ code: 'PARTITION_UNAVAILABLE', definite: true, waitingFor: ['B', 'C'] })
  })
})

describe('promises (S3, S4)', () => {
  test('a promise is durable before it is sent, and no ballot below it is obeyed, restarts included', () => {
    const net = formed()
    net.store('B').slow = true
    net.receive('C', 'B', { kind: 'seal', generation: 0, ballot: ballot(5, 1, 'C') })
    net.turn()
    expect(net.take(of('sealed', 'B')), 'not before it is durable').toEqual([])
    net.sync('B')
    expect(net.take(of('sealed', 'B'))).toHaveLength(1)
    net.crash('B')
    net.store('B').slow = false
    net.restart('B')
    net.take(of('*'))
    net.receive('A', 'B', { kind: 'append', generation: 0, ballot: ballot(1, 0, 'A'), run: 1, prev: { ballot: ballot(1, 0, 'A'), seq: 1 }, entries: [write(2, ballot(1, 0, 'A'), 'x', '1')], commit: 1, settled: 0 })
    expect(net.take(of('*', 'B')).at(-1)?.message).toEqual({ kind: 'refused', generation: 0, promised: ballot(5, 1, 'C') })
    expect(net.log('B')).toEqual(['1 noop'])
  })

  test('a promise does not tell of an end that an append has undone before the promise was durable', () => {
    const net = formed()
    const [first, second] = [ballot(1, 0, 'A'), ballot(2, 1, 'C')]
    const append = (by: typeof first, entries: Entry[]): void => {
      net.receive(by.store, 'B', {
        kind: 'append', generation: 0, ballot: by, run: 1, prev: { ballot: first, seq: 1 }, entries, commit: 1, settled: 0
      })
    }
    append(first, [write(2, first, 'x', '1'), write(3, first, 'x', '2')])
    net.turn()
    net.store('B').slow = true
    net.take(of('*'))
    net.receive('C', 'B', { kind: 'seal', generation: 0, ballot: second })
    append(second, [noop(2, second)])
    net.turn()
    net.sync('B')
    expect(net.take(of('sealed appended', 'B')).map(({ message }) => message)).toMatchObject([{ kind: 'appended', ballot: second, seq: 2 }])
  })

  test('a ballot is started at most once: after a restart in the same epoch the attempt rises', () => {
    const net = formed()
    net.crash('A')
    net.restart('A')
    net.settle()
    const attempts = (kind: string): Set<number> => new Set(net.sent.filter(of(kind, 'A')).map(({ message }) => 'ballot' in message ? message.ballot.attempt : -1))
    expect(attempts('append')).toEqual(new Set([0, 1]))
    expect(attempts('seal')).toEqual(new Set([1]))
    expect(net.leader).toBe('A')
  })

  test('nothing is sealed with a ballot that is not durable', () => {
    const net = new ReplicaNet('ABC')
    net.view(1, 'ABC', 'ABC', 'BC')
    net.settle()
    net.store('B').slow = true
    net.view(2, 'BC', 'ABC', 'BC')
    net.pass(500)
    expect(net.sent.filter(of('seal'))).toEqual([])
    net.store('B').slow = false
    net.settle()
    expect(net.leader).toBe('B')
  })
})

describe('what is taken over (S3)', () => {
  test('the history with the highest ballot at its end wins, not the longest; its holder is asked to lead', () => {
    const net = new ReplicaNet('ABC')
    net.view(1, 'ABC', 'ABC', 'BC')
    // B has a longer history of an old ballot, C a shorter one of a newer.
    net.receive('A', 'B', { kind: 'append', generation: 0, ballot: ballot(1, 0, 'A'), run: 1, prev: { ballot: NO_BALLOT, seq: 0 }, entries: [noop(1, ballot(1, 0, 'A')), write(2, ballot(1, 0, 'A'), 'x', 'old'), write(3, ballot(1, 0, 'A'), 'x', 'older')], commit: 0, settled: 0 })
    net.receive('A', 'C', { kind: 'append', generation: 0, ballot: ballot(1, 2, 'A'), run: 1, prev: { ballot: NO_BALLOT, seq: 0 }, entries: [noop(1, ballot(1, 0, 'A')), write(2, ballot(1, 2, 'A'), 'x', 'new')], commit: 0, settled: 0 })
    net.turn()
    net.take(of('*'))
    net.view(2, 'BC', 'ABC', 'BC')
    net.settle()
    const led = net.sent.filter(of('append')).map(({ from }) => from)
    expect(led[0], 'B seals, finds C more advanced and lets it lead').toBe('C')
    expect(net.log('B').slice(0, 3)).toEqual(['1 noop', '2 x=new', '3 noop'])
    expect(net.log('C')).toEqual(net.log('B'))
    expect(net.leader, 'and leads once it is level').toBe('B')
  })

  test('figure 8: an entry of an older ballot on a majority is not committed before an entry of the leader\'s own is', () => {
    const net = new ReplicaNet('ABCDE')
    net.view(1, 'ABCDE', 'ABCDE', 'BCDE')
    net.receive('A', 'B', { kind: 'append', generation: 0, ballot: ballot(1, 0, 'A'), run: 1, prev: { ballot: NO_BALLOT, seq: 0 }, entries: [noop(1, ballot(1, 0, 'A')), write(2, ballot(1, 0, 'A'), 'x', '1')], commit: 0, settled: 0 })
    net.turn()
    net.take(of('*'))
    net.view(2, 'BCDE', 'ABCDE', 'BCDE')
    // B adopts the entry and replicates it; the followers acknowledge the old entry, but not yet B's own.
    net.settle(of('append', 'B'))
    for (const { to } of net.take(of('append', 'B'))) {
      net.receive(to, 'B', { kind: 'appended', generation: 0, ballot: ballot(2, 1, 'B'), run: 1, seq: 2, commit: 0, settled: 0 })
    }
    expect(net.replica('B').copy!.commit).toBe(0)
    for (const from of 'CD') net.receive(from, 'B', { kind: 'appended', generation: 0, ballot: ballot(2, 1, 'B'), run: 1, seq: 3, commit: 0, settled: 0 })
    net.turn()
    expect(net.replica('B').copy!.commit).toBe(3)
  })

  test('nothing adopted is readable before an entry of the new ballot is committed', () => {
    const net = formed()
    const ticket = net.write('A', 'x', '1')
    net.settle(of('appended'))
    net.crash('A')
    net.take(of('*'))
    net.view(2, 'BC', 'ABC')
    net.settle(of('appended'))
    const read = net.read('B', 'x')
    net.settle(of('appended'))
    expect(net.answer(read)).toBe('waits')
    net.settle()
    expect(net.answer(read)).toBe('value 1')
    expect(net.answer(ticket)).toBe('waits')
  })

  test('appends carry the position before them; where it does not fit, nothing is taken, and an uncommitted end gives way', () => {
    const net = formed()
    const first = ballot(1, 0, 'A')
    net.receive('A', 'B', { kind: 'append', generation: 0, ballot: first, run: 1, prev: { ballot: first, seq: 1 }, entries: [write(2, first, 'x', '1'), write(3, first, 'x', '2')], commit: 1, settled: 0 })
    net.turn()
    const second = ballot(2, 1, 'C')
    net.receive('C', 'B', { kind: 'append', generation: 0, ballot: second, run: 1, prev: { ballot: second, seq: 2 }, entries: [write(3, second, 'x', '3')], commit: 1, settled: 0 })
    expect(net.take(of('mismatch', 'B')).map(({ message }) => message)).toMatchObject([{ prev: 2, commit: 1 }])
    expect(net.log('B')).toEqual(['1 noop', '2 x=1', '3 x=2'])
    net.receive('C', 'B', { kind: 'append', generation: 0, ballot: second, run: 1, prev: { ballot: first, seq: 1 }, entries: [write(2, second, 'x', '4')], commit: 1, settled: 0 })
    expect(net.log('B')).toEqual(['1 noop', '2 x=4'])
  })

  test('a group of which only the leader and a member that must be taught are left goes on', () => {
    // C was away while the log was compacted beyond it; then B, which had everything, goes, and A takes a new ballot.
    const net = formed('ABC', { logEntriesMax: 4, logBytesMax: 200 })
    net.crash('C')
    net.view(2, 'AB', 'ABC')
    for (let i = 0; i < 30; i++) { net.write('A', `k${i}`, 'v'); net.settle() }
    net.pass(200)
    expect(net.replica('A').copy!.floor).toBeGreaterThan(1)
    net.crash('B')
    net.crash('A')
    net.restart('A')
    net.restart('C')
    net.view(3, 'AC', 'ABC')
    net.pass(1000)
    expect(net.leader).toBe('A')
    expect(net.data('C')).toEqual(net.data('A'))
    expect(Object.keys(net.data('C'))).toHaveLength(30)
  })

  test('the end of a history is never compacted away, however many entries are under way: its ballot elects', () => {
    const net = formed('ABC', { logEntriesMax: 4, batchEntriesMax: 50 })
    for (let i = 0; i < 10; i++) net.write('A', `k${i}`, 'v')
    net.settle()
    net.pass(100)
    for (let i = 0; i < 20; i++) net.write('A', `m${i}`, 'v')
    net.settle(of('appended'))
    const { copy } = net.replica('A')
    expect(copy!.applied - copy!.floor).toBeGreaterThanOrEqual(4)
    expect(compareBallots(copy!.entry(copy!.applied)!.ballot, ballot(1, 0, 'A'))).toBe(0)
  })
})

describe('genesis (S1)', () => {
  test('a store of the genesis epoch begins empty; any other holds nothing until it was taught', () => {
    const net = formed()
    net.view(2, 'ABCD', 'ABC')
    expect(net.replica('A').group!.generation).toBe(0)
    expect(net.replica('D').group).toBeUndefined()
    expect(net.replica('D').copy).toBeUndefined()
    const ticket = net.read('D', 'x')
    expect(net.answer(ticket), 'never "not found"').toBe('NOT_OWNER')
    expect(net.replica('D').durableState().promised).toEqual(NO_BALLOT)
  })
})
