/**
 * The watch feed at the leader: committed changes alone, in order, each once, and an error where the log has forgotten one.
 *
 * Mutations of the core that these tests caught: entries that are not committed are told; an answer that ends beyond what was looked at;
 * an entry without values counts as one without changes; the floor of the log is not looked at; nobody is told of what was passed over;
 * a poll begins without asking a majority; of several operations on one key the first; a leader that steps down forgets who waits; no
 * answer after the time to wait; polls without a limit.
 */
import { expect, test } from 'vitest'
import { keyText } from '../../../store/group/copy.ts'
import { bytes, id, of, ReplicaNet } from './replica-harness.ts'

function formed (options = {}): ReplicaNet {
  const net = new ReplicaNet('ABC', options)
  net.view(1, 'ABC', 'ABC')
  net.settle()
  return net
}

let tickets = 1_000_000

function poll (net: ReplicaNet, after: number, { prefix = '', bytesMax = 10_000, waitMs = 500, at = 'A' } = {}): number {
  net.input(at, { kind: 'watch', ticket: ++tickets, watch: { prefix: bytes(prefix), after, waitMs, bytesMax } })
  return tickets
}

/** `2 a=1 b= -> 3`: the entries of an answer, and where it ends. */
function told (net: ReplicaNet, ticket: number): string {
  const answer = net.answers.get(ticket)
  if (answer?.kind !== 'changes') return net.answer(ticket)
  const entries = answer.entries.map(({ seq, changes }) =>
    `${seq} ${changes.map(({ key, value }) => `${keyText(key)}=${value === null ? '' : keyText(value)}`).join(' ')}`)
  return [...entries, `-> ${answer.upTo}`].join(' ')
}

test('the present position, then what is committed after it: at once if there is some, else when there is', () => {
  const net = formed()
  net.batch('A', { a: '1' })
  const now = poll(net, -1)
  net.settle()
  expect(told(net, now)).toBe('-> 2')
  net.batch('A', { a: '2', b: null })
  net.settle()
  const past = poll(net, 2)
  const waiting = poll(net, 3)
  net.settle()
  expect([told(net, past), told(net, waiting)]).toEqual(['3 a=2 b= -> 3', 'waits'])
  net.batch('A', { c: '3' })
  net.settle()
  expect(told(net, waiting)).toBe('4 c=3 -> 4')
})

test('only keys with the prefix; of several operations on one key the last', () => {
  const net = formed()
  const operations = ['x1', 'y', 'x2', 'x1'].map((key, index) => ({ kind: 'put' as const, key: bytes(key), value: bytes(String(index)) }))
  net.input('A', { kind: 'write', ticket: ++tickets, id: net.operation(1), operations })
  const watch = poll(net, 1, { prefix: 'x' })
  const nothing = poll(net, 1, { prefix: 'z' })
  net.settle()
  expect(told(net, watch)).toBe('2 x2=2 x1=3 -> 2')
  net.pass(600)
  expect(told(net, nothing), 'after waitMs, how far it is').toBe('-> 2')
})

test('nothing that is not committed', () => {
  const net = formed()
  net.lost = of('append', 'A')
  const watch = poll(net, 1)
  net.settle()
  net.batch('A', { a: '1' })
  net.settle()
  const later = poll(net, 1)
  net.settle()
  expect([told(net, watch), told(net, later)]).toEqual(['waits', 'waits'])
})

test('an answer ends where its bytes end, at an entry, and the next begins there', () => {
  const net = formed()
  for (const key of 'abc') net.batch('A', { [key]: '12345678' })
  net.settle()
  const first = poll(net, 1, { bytesMax: 10 })
  net.settle()
  expect(told(net, first)).toBe('2 a=12345678 3 b=12345678 -> 3')
  const second = poll(net, 3, { bytesMax: 10 })
  net.settle()
  expect(told(net, second)).toBe('4 c=12345678 -> 4')
})

test('where the log has dropped values that were asked for, or the entries, it is WATCH_TOO_OLD; where it dropped others, it is not', () => {
  const net = formed({ logBytesMax: 1000, logEntriesMax: 50 })
  for (let round = 0; round < 10; round++) net.batch('A', { [`x${round}`]: 'v'.repeat(200) })
  net.pass(300)
  net.batch('A', { y: '1' })
  net.settle()
  const { copy } = net.replica('A')
  expect(copy!.floor).toBe(0)
  expect(copy!.valueFloor).toBeGreaterThan(2)
  const polls = [poll(net, 1, { prefix: 'x' }), poll(net, 1), poll(net, 1, { prefix: 'y' }), poll(net, copy!.valueFloor, { prefix: 'x' })]
  net.settle()
  const answers = polls.map(ticket => told(net, ticket))
  expect(answers.slice(0, 3)).toEqual(['WATCH_TOO_OLD', 'WATCH_TOO_OLD', '12 y=1 -> 12'])
  expect(answers[3]).toMatch(/(^| )11 x9=v+ -> 12$/)
  for (let round = 0; round < 100; round++) net.batch('A', { y: '2' })
  net.pass(300)
  for (let round = 0; round < 100; round++) net.batch('A', { y: '2' })
  net.pass(300)
  expect(copy!.floor).toBeGreaterThan(12)
  const forgotten = poll(net, 12, { prefix: 'z' })
  net.settle()
  expect(told(net, forgotten), 'a key of the prefix may have been among the entries that are gone').toBe('WATCH_TOO_OLD')
})

test('a watcher that waits and is passed over by many other changes is told how far it is before the log forgets that', () => {
  const net = formed({ logEntriesMax: 16 })
  const watch = poll(net, 1, { prefix: 'x', waitMs: 60_000 })
  net.settle()
  for (let round = 0; round < 4; round++) net.batch('A', { y: '1' })
  net.settle()
  expect(told(net, watch)).toBe('-> 5')
})

test('a leader that a majority has left keeps nobody, and one that is deposed sends its watchers on', () => {
  const net = formed()
  const waiting = poll(net, 1, { waitMs: 60_000 })
  net.settle()
  net.lost = of('*', 'A')
  const watch = poll(net, 1)
  net.pass(800)
  expect(told(net, watch), 'not confirmed').toBe('waits')
  net.input('A', { kind: 'message', from: id('B'), message: { kind: 'refused', generation: 0, promised: { epoch: 9, attempt: 1, store: id('B') } } })
  expect([told(net, waiting), told(net, watch)]).toEqual(['NOT_LEADER', 'NOT_LEADER'])
})

test('a position beyond the history is refused', () => {
  const net = formed()
  const watch = poll(net, 99)
  net.settle()
  expect(told(net, watch)).toBe('STORE_INVALID_OPTIONS')
})

test('so many polls wait at one partition and no more', () => {
  const net = formed()
  net.batch('A', { a: '1' })
  const waiting = Array.from({ length: 1000 }, () => poll(net, 2))
  const refused = poll(net, 2)
  net.settle()
  expect(net.answers.get(refused)).toMatchObject({ kind: 'error', code: 'STORE_OVERLOADED', definite: true })
  expect(new Set(waiting.map(ticket => told(net, ticket)))).toEqual(new Set(['waits']))
  // Those that wait are answered, and then there is room again.
  net.batch('A', { a: '2' })
  net.settle()
  expect(new Set(waiting.map(ticket => told(net, ticket)))).toEqual(new Set(['3 a=2 -> 3']))
  const next = poll(net, 3)
  net.settle()
  expect(told(net, next)).toBe('waits')
})
