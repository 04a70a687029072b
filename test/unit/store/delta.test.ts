/**
 * Deltas (rules S2 and S6): a copy that was away gets what changed meanwhile, and nothing else, also where the log has dropped the
 * values; it goes from one point of the history to a later one in one batch.
 *
 * Mutations caught: what was read decides over what the log has after it; a key that is gone is not removed; a write too large for the
 * index counts as one that changed nothing; the delta's batch lacks what was committed and not in the data yet; entries that
 * were never committed stay; the size of a delta is not limited; a delta is taken by a copy that has moved on, or is read before the disk
 * has it.
 */
import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../../membership/environment/seeded-random.ts'
import type { Operation } from '../../../store/client-protocol.ts'
import { Copy, keyText } from '../../../store/group/copy.ts'
import { composeDelta, planDelta } from '../../../store/group/delta.ts'
import type { Entry } from '../../../store/group/history.ts'
import type { GroupMessage, Item } from '../../../store/group/messages.ts'
import { ballot, brief, bytes, of, put, ReplicaNet } from './replica-harness.ts'

type Data = Map<string, { value: Uint8Array, seq: number }>

const text = (data: Data): string => JSON.stringify([...data].map(([key, { value, seq }]) => [key, Buffer.from(value).toString(), seq]).sort())

function replay (data: Data, entry: Entry): void {
  if (entry.body.kind !== 'write') return
  for (const operation of entry.body.operations!) {
    const key = keyText(operation.key)
    if (operation.kind === 'put') data.set(key, { value: operation.value, seq: entry.seq })
    else data.delete(key)
  }
}

describe('a delta', () => {
  test('from any point that the index reaches is exactly the difference, however the data changes while it is read', () => {
    const random = new SeededRandom(5)
    const outcomes = { planned: 0, composed: 0 }
    for (let round = 0; round < 160; round++) {
      const copy = new Copy(1, 0, 0, [], { logEntriesMax: 8 + random.below(24), logBytesMax: 200 + random.below(2000) })
      const history: Entry[] = []
      const data: Data = new Map()
      /** The data of a learner at each number. */
      const states: Data[] = [new Map()]
      const write = (): void => {
        const seq = copy.last + 1
        const operations = Array.from({ length: random.chance(0.05) ? 40 : 1 + random.below(2) }, (_, index): Operation => {
          const key = bytes(`a key that is not short ${random.below(6)} ${index > 1 ? index : ''}`)
          return random.chance(0.3) ? { kind: 'del', key } : { kind: 'put', key, value: bytes(`${seq}`) }
        })
        const body: Entry['body'] = random.chance(0.1) ? { kind: 'noop' } : { kind: 'write', id: { client: 'c', number: seq, base: 0 }, operations }
        const entry: Entry = { seq, ballot: ballot(1, 0, 'A'), body }
        history.push(entry)
        copy.append(entry)
        const state = new Map(states.at(-1))
        replay(state, entry)
        states.push(state)
      }
      const advance = (): void => {
        if (random.chance(0.6)) write()
        if (random.chance(0.5)) copy.advanceCommit(copy.commit + random.below(copy.last - copy.commit + 1))
        if (!random.chance(0.4)) return
        for (const item of copy.takeApplied()) {
          if (item.kind !== 'item') continue
          if (item.value === null) data.delete(keyText(item.key))
          else data.set(keyText(item.key), { value: item.value, seq: item.seq })
        }
        // What the disk has shows up before the core knows that it has it.
        if (random.chance(0.7)) copy.applyDone(copy.applying)
        copy.compact()
      }
      for (let step = random.below(120); step >= 0; step--) advance()
      const from = Math.min(copy.commit, copy.floor + random.below(copy.commit - copy.floor + 3))
      const plan = planDelta(copy, from, 100_000)
      if (plan === undefined) continue
      outcomes.planned++
      const values = plan.keys.map(key => {
        if (random.chance(0.3)) advance()
        return data.get(keyText(key)) ?? null
      })
      for (let step = random.below(10); step > 0; step--) advance()
      const delta = composeDelta(copy, plan, values, 100_000)
      if (delta === undefined) continue
      outcomes.composed++
      const learner = new Map(states[from])
      for (const key of delta.removed) learner.delete(keyText(key))
      for (const { key, value, seq } of delta.items) learner.set(keyText(key), { value, seq })
      expect(text(learner)).toBe(text(states[from + delta.entries.length]!))
      expect(delta.entries.map(({ seq }) => seq)).toEqual(delta.entries.map((_, index) => from + 1 + index))
    }
    expect(outcomes.planned).toBeGreaterThan(50)
    expect(outcomes.composed).toBeGreaterThan(25)
  })

  const OPTIONS = { logEntriesMax: 200, logBytesMax: 400, chunkBytes: 256 }

  /** Three stores with data; B is away and misses `later`. */
  function missing (later: (net: ReplicaNet) => void, options = {}): ReplicaNet {
    const net = new ReplicaNet('ABC', { ...OPTIONS, ...options })
    net.view(1, 'ABC', 'ABC')
    net.settle()
    net.pass(500)
    for (let i = 0; i < 30; i++) { net.write('A', `key ${i}`, `first ${i}`); net.settle() }
    net.pass(500)
    net.crash('B')
    net.view(2, 'AC', 'ABC')
    later(net)
    net.settle()
    net.pass(500)
    net.sent.length = 0
    return net
  }

  function returned (net: ReplicaNet): void {
    net.restart('B')
    net.view(3, 'ABC', 'ABC')
    net.pass(3000)
    expect(net.data('B')).toEqual(net.data('A'))
    expect(net.faults).toEqual([])
  }

  const writeSome = (net: ReplicaNet): void => { for (let i = 0; i < 60; i++) { net.write('A', `key ${i % 3}`, `later ${i}`); net.settle() } }
  const teaching = (net: ReplicaNet): string[] => net.sent.filter(of('chunk delta', undefined, 'B')).map(brief)

  test('brings a member up to date whose entries have no values any more: with the keys that changed alone', () => {
    const net = missing(net => {
      writeSome(net)
      net.input('A', { kind: 'write', ticket: 999, id: net.operation(5), operations: [{ kind: 'del', key: bytes('key 1') }] })
    })
    expect(net.replica('A').copy!.valueFloor).toBeGreaterThan(60)
    returned(net)
    expect(teaching(net)).toEqual(['A>B delta'])
    const { message } = net.sent.find(of('delta'))!
    expect(message).toMatchObject({ items: [{ key: bytes('key 2'), value: bytes('later 59') }, { key: bytes('key 0'), value: bytes('later 57') }], removed: [bytes('key 1')] })
    expect(net.data('B')).not.toHaveProperty('key 1')
    // The next leader must be able to do all that this one could.
    net.view(4, 'BC', 'BC')
    net.pass(2000)
    const ticket = net.write('B', 'key 1', 'again')
    net.pass(500)
    expect(net.answer(ticket)).toMatch(/^written/)
  })

  test('is not read before the disk has it', () => {
    const net = missing(writeSome)
    net.restart('B')
    net.view(3, 'ABC', 'ABC')
    net.pass(3000, of('delta'))
    const deltas = net.take(of('delta'))
    net.store('B').slow = true
    net.deliver(deltas.slice(0, 1))
    net.turn()
    const { commit } = net.replica('A').copy!
    expect(net.replica('B').copy!.commit).toBe(commit)
    const early = net.read('B', 'key 2', commit)
    net.turn()
    expect(net.answer(early)).toBe('NOT_LEADER')
    net.sync('B')
    const late = net.read('B', 'key 2', commit)
    net.turn()
    expect(net.answer(late)).toBe('value later 59')
  })

  test('that was lost is sent again, and one that comes twice changes nothing', () => {
    const net = missing(writeSome)
    net.lost = of('delta')
    net.restart('B')
    net.view(3, 'ABC', 'ABC')
    net.pass(300)
    const [first] = net.sent.filter(of('delta'))
    net.lost = () => false
    net.pass(3000)
    expect(net.data('B')).toEqual(net.data('A'))
    net.write('A', 'key 0', 'after it')
    net.pass(500)
    net.deliver([first!])
    net.pass(500)
    expect(net.data('B')).toEqual(net.data('A'))
    expect(net.data('B')['key 0']).toBe('after it')
  })

  test('replaces what was logged here alone and never committed', () => {
    const net = new ReplicaNet('BAC', OPTIONS)
    net.view(1, 'ABC', 'BAC')
    net.settle()
    net.pass(500)
    for (let i = 0; i < 10; i++) { net.write('B', `key ${i}`, `first ${i}`); net.settle() }
    net.pass(500)
    net.lost = of('append', 'B')
    for (let i = 0; i < 3; i++) net.write('B', 'key 9', 'never committed')
    net.settle()
    net.crash('B')
    net.lost = () => false
    net.view(2, 'AC', 'BAC')
    net.pass(500)
    writeSome(net)
    net.pass(500)
    net.sent.length = 0
    returned(net)
    expect(teaching(net)).toEqual(['A>B delta'])
    expect(net.data('B')['key 9']).toBe('first 9')
    expect(net.log('B')).toEqual(net.log(net.leader!))
  })

  /** What a leader would send to B from `from` on, of writes that it alone knows of. */
  function forged (net: ReplicaNet, from: number, items: readonly Item[]): GroupMessage {
    const { group, leader } = net.replica('A')
    const entries = Array.from({ length: 5 }, (_, index): Entry => ({
      seq: from + 1 + index, ballot: leader!.ballot, body: { kind: 'write', id: { client: 'c', number: 900 + index, base: 0 }, operations: null }
    }))
    return { kind: 'delta', generation: group!.generation, ballot: leader!.ballot, round: 1000, from, entries, items, removed: [] }
  }

  test('takes along what is committed here and not in the data yet', () => {
    const net = missing(() => {})
    returned(net)
    for (const key of ['one', 'two', 'one']) { net.write('A', key, `of ${net.replica('A').copy!.last}`); net.settle() }
    const { copy } = net.replica('B')
    expect(copy!.unapplied).toBe(true)
    const before = net.data('B')
    net.receive('A', 'B', forged(net, copy!.commit, [{ key: bytes('one'), value: bytes('newer'), seq: copy!.commit + 4 }]))
    net.sync('B')
    expect(net.data('B')).toEqual({ ...before, two: 'of 32', one: 'newer' })
  })

  test('for a copy that ends elsewhere is passed over', () => {
    const net = missing(() => {})
    returned(net)
    const { last } = net.replica('B').copy!
    for (const from of [last - 3, last + 1]) net.receive('A', 'B', forged(net, from, [{ key: bytes('one'), value: bytes('wrong'), seq: from + 1 }]))
    net.sync('B')
    expect(net.replica('B').copy!.last).toBe(last)
    expect(net.data('B')).toEqual(net.data('A'))
  })

  test('that would be too large is a snapshot', () => {
    const net = missing(net => { for (let i = 0; i < 60; i++) { net.write('A', `key ${i % 30}`, 'x'.repeat(300)); net.settle() } })
    expect(net.replica('A').copy!.floor).toBe(0)
    returned(net)
    expect(teaching(net)[0]).toBe('A>B chunk')
    expect(teaching(net)).not.toContain('A>B delta')
  })

  test('is a snapshot where a write changed more keys than the index remembers', () => {
    const net = missing(net => {
      const operations = Array.from({ length: 60 }, (_, index) => put(`a key of some length, ${index}`, 'x'))
      net.input('A', { kind: 'write', ticket: 998, id: net.operation(5), operations })
      net.settle()
      writeSome(net)
    }, { chunkBytes: 4096 })
    returned(net)
    expect(teaching(net)[0]).toBe('A>B chunk')
  })
})
