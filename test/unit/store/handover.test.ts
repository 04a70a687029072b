/**
 * From generation to generation: stop signs, learners, the release of old copies (rules S5, S6, S11).
 *
 * Mutations of the core that these tests caught: a stop sign that does not wait for the next group; entries after an adopted one; any
 * history taken for the one that a generation begins from; a snapshot that is live before it is whole, or that replaces a newer copy;
 * an old report, or an answer from before a teacher came, that counts; a release while a member is not level, or by a leader that
 * nobody confirmed; a question for a release that is forgotten by whoever cannot answer it yet, or does not lead any more; questions as
 * often after an answer as without one, or after every refusal; the whole tail kept by a learner, or sent at once; a log that forgets what
 * a learner still needs; a taught leader that goes on leading.
 */
import { describe, expect, test } from 'vitest'
import type { GroupMessage } from '../../../store/group/messages.ts'
import { ballot, of, ReplicaNet } from './replica-harness.ts'

function formed (genesis = 'ABC', options = {}): ReplicaNet {
  const net = new ReplicaNet(genesis, options)
  net.view(1, genesis, genesis)
  net.settle()
  return net
}

function fill (net: ReplicaNet, count: number, name = 'A'): void {
  for (let i = 0; i < count; i++) { net.write(name, `k${i}`, `v${i}`); net.settle() }
  net.pass(100)
}

const generations = (net: ReplicaNet): (number | undefined)[] => [...net.stores.values()].map(({ replica }) => replica.group?.generation)

describe('stop signs (S5)', () => {
  test('a store that the placement wants is taught, then the group ends with a stop sign and the next one serves', () => {
    const net = formed()
    fill(net, 30)
    net.view(2, 'ABCD', 'ABD')
    net.pass(1000)
    expect(generations(net)).toEqual([1, 1, 1, 1])
    expect(net.replica('A').group!.members.join('')).toBe('ABD')
    expect(net.data('D')).toEqual(net.data('A'))
    expect(net.stores.get('C')!.replica.copy, 'the old copy is released').toBeUndefined()
    expect(net.ledger.filter(line => / done | superseded | duplicates /.test(line))).toEqual(['D done 1'])
    expect(net.faults).toEqual([])
  })

  test('it is proposed only once a majority of the next group holds everything before it durably', () => {
    const net = formed()
    fill(net, 10)
    net.view(2, 'ABCDEF', 'DEF')
    net.store('E').slow = net.store('F').slow = true
    net.pass(5000)
    expect(net.replica('A').group!.generation, 'D alone holds it').toBe(0)
    net.store('E').slow = false
    net.pass(5000)
    expect(net.replica('A').group!.generation, 'D and E are a majority; patience for F has an end').toBe(1)
  })

  test('being near is not enough: what a majority of the next group is not known to hold is waited for', () => {
    const net = formed()
    fill(net, 5)
    net.view(2, 'ABCDEF', 'DEF')
    net.store('F').slow = true
    net.pass(500)
    expect(net.replica('D').copy!.commit).toBe(6)
    // D and E are taught two more entries, and nobody hears of it; F has everything.
    net.lost = ({ from, message }) => message.kind === 'learned' && from !== 'F'
    for (const value of ['1', '2']) { net.write('A', 'x', value); net.settle() }
    net.store('F').slow = false
    net.pass(600)
    expect(net.replica('A').group!.generation).toBe(0)
    net.lost = () => false
    net.pass(3000)
    expect(net.replica('D').group!.generation).toBe(1)
  })

  test('a store whose history has another entry before the stop sign is not level, and keeps only what is committed', () => {
    const net = formed()
    net.lost = of('appended')
    net.write('A', 'x', '1')
    net.settle()
    expect([net.log('C').at(-1), net.replica('C').copy!.commit]).toEqual(['2 x=1', 1])
    // Another leader had another entry at 2, and the stop sign after it.
    const group = { ...net.replica('C').group!, generation: 1, base: 3, previous: { ballot: ballot(2, 1, 'B'), seq: 2 }, epoch: 2 }
    net.receive('B', 'C', { kind: 'chain', group })
    expect(net.replica('C').level).toBe(false)
    expect(net.log('C')).toEqual(['1 noop'])
  })

  test('writes go on while stores are taught, wait while the stop sign is on its way, and none is lost', () => {
    const net = formed()
    fill(net, 30)
    net.view(2, 'ABCD', 'BCD')
    const tickets: number[] = []
    for (let i = 0; i < 40; i++) {
      const leader = net.leader
      if (leader !== undefined) tickets.push(net.write(leader, `n${i}`, 'v'))
      net.pass(50)
    }
    net.pass(1000)
    const written = tickets.filter(ticket => net.answer(ticket).startsWith('written'))
    expect(written.length).toBeGreaterThan(30)
    const data = net.data(net.leader!)
    expect(Object.keys(data).filter(key => key.startsWith('n')).length).toBeGreaterThanOrEqual(written.length)
    for (const name of 'BCD') expect(net.data(name)).toEqual(data)
  })

  test('nothing follows a stop sign: the next leader of the old group proposes an adopted one again, at its own number', () => {
    const net = formed()
    fill(net, 3)
    // The stop sign reaches B's log; nobody hears that it is committed, and the leader dies.
    net.view(2, 'ABCD', 'ABD')
    net.pass(1000, ({ message }) => message.kind === 'appended' && message.seq >= 5)
    expect(net.log('B').at(-1)).toBe('5 stop 1 ABD')
    net.crash('A')
    net.take(of('*'))
    net.view(3, 'BCD', 'ABD')
    net.settle()
    net.pass(500)
    expect(net.log('B').slice(4, 6)).toEqual(['5 stop 1 ABD', '6 noop'])
    const next = net.sent.flatMap(({ message }) => message.kind === 'chain' && message.group.generation === 1 ? [message.group.base] : [])
    expect(new Set(next), 'the noop at 6 is of the next generation').toEqual(new Set([5]))
    expect(net.replica('B').group!.generation).toBeGreaterThanOrEqual(1)
    expect(net.replica('D').group!.members.join('')).toBe('ABD')
  })

  test('a member that has the entry before the stop sign is level even if the stop sign never reached it', () => {
    const net = formed()
    fill(net, 3)
    net.lost = of('append', undefined, 'C')
    net.write('A', 'x', '1')
    net.settle()
    expect(net.log('C').at(-1)).toBe('4 k2=v2')
    net.lost = () => false
    net.pass(300)
    net.lost = ({ to, message }) => to === 'C' && message.kind === 'append' && message.entries.some(({ body }) => body.kind === 'stop')
    net.view(2, 'ABCD', 'ACD')
    net.pass(1000)
    expect(net.replica('C').group!.generation).toBe(1)
    expect(net.log('C').slice(4, 6)).toEqual(['5 x=1', '6 stop 1 ACD'])
    expect(net.sent.filter(of('learn', undefined, 'C'))).toEqual([])
  })

  test('a holder of the stop sign answers older seals and appends with it', () => {
    const net = formed()
    fill(net, 3)
    net.view(2, 'ABCD', 'ABD')
    net.pass(1000)
    for (const message of [
      { kind: 'seal', generation: 0, ballot: ballot(9, 9, 'C') },
      { kind: 'append', generation: 0, ballot: ballot(9, 9, 'C'), run: 1, prev: { ballot: ballot(1, 0, 'A'), seq: 1 }, entries: [], commit: 0, settled: 0 }
    ] satisfies GroupMessage[]) {
      net.receive('C', 'A', message)
      expect(net.take(of('*', 'A', 'C')).map(envelope => envelope.message)).toMatchObject([{ kind: 'chain', group: { generation: 1 } }])
    }
  })

  test('a newer placement before the stop sign takes the place of the older one; a learner still wanted keeps what it has', () => {
    const net = formed('ABC')
    fill(net, 20)
    net.view(2, 'ABCDE', 'ADE')
    net.store('E').slow = true
    net.pass(500)
    expect(net.replica('D').copy?.commit).toBe(21)
    net.view(3, 'ABCDE', 'ABD')
    net.store('E').slow = false
    net.pass(1000)
    expect(net.replica('A').group!.members.join('')).toBe('ABD')
    expect(net.sent.filter(({ to, message }) => to === 'D' && message.kind === 'chunk' && message.after === null)).toHaveLength(1)
    expect(net.replica('E').copy, 'what E has of it goes').toBeUndefined()
  })

  test('a group that lost a majority right after its stop sign serves again with one level member and one that is taught', () => {
    const net = formed()
    fill(net, 10)
    net.view(2, 'ABCDEF', 'DEF')
    net.store('F').slow = true
    net.pass(3000)
    expect(net.replica('D').group!.generation).toBe(1)
    net.crash('E')
    net.crash('D')
    net.restart('D')
    net.store('F').slow = false
    net.view(3, 'ABCDF', 'DEF')
    net.pass(2000)
    expect(net.leader).toBe('D')
    expect(net.data('F')).toEqual(net.data('D'))
  })
})

describe('whoever missed the end of a generation', () => {
  test('hears of it from the stores that the placement names, when all others of its group are gone', () => {
    const net = formed()
    fill(net, 5)
    net.lost = of('*', undefined, 'C')
    net.view(2, 'ABCDEF', 'DEF')
    net.pass(1000)
    expect([net.replica('C').group!.generation, net.replica('D').group!.generation]).toEqual([0, 1])
    net.crash('A')
    net.crash('B')
    net.lost = () => false
    net.view(3, 'CDEF', 'DEF')
    expect(net.answers.get(net.read('C', 'k0'))).toMatchObject({ code: 'PARTITION_UNAVAILABLE' })
    net.pass(1000)
    expect(net.answers.get(net.read('C', 'k0'))).toMatchObject({ code: 'NOT_OWNER', hints: [{ storeId: 'D' }, { storeId: 'E' }, { storeId: 'F' }] })
    net.pass(1000)
    expect(net.replica('C').copy, 'and its copy goes').toBeUndefined()
  })

  test('asks them without end, but rarely, when they know no more than it does', () => {
    const net = formed()
    net.crash('B')
    net.crash('C')
    net.view(2, 'ADE', 'ADE')
    net.pass(1000)
    const from = net.sent.length
    net.pass(10_000)
    expect(net.sent.length - from).toBeLessThan(250)
  })
})

describe('learners (S6)', () => {
  test('what a learner says it has survives its restart and a generation that it missed', () => {
    const net = formed()
    fill(net, 3)
    // C follows in generation 0 and knows the last entries to be committed, but its data does not have them yet.
    net.write('A', 'x', '1')
    net.settle()
    net.write('A', 'y', '1')
    net.settle()
    const { copy } = net.replica('C')
    expect([copy!.applied < copy!.commit, copy!.commit, copy!.last]).toEqual([true, 5, 6])
    // Generations 1 and 2 are without C, which hears nothing of them; the leader of generation 2 teaches C for generation 3.
    net.lost = of('*', undefined, 'C')
    net.view(2, 'ABCDE', 'ABD', 'ABDE')
    net.pass(1000)
    net.view(3, 'ABCDE', 'ABE', 'ABDE')
    net.pass(1000)
    expect(net.replica('A').group!.generation).toBe(2)
    net.lost = of('chain', undefined, 'C')
    net.view(4, 'ABCDE', 'ABC')
    net.pass(60)
    const reports = net.sent.filter(of('learned', 'C')).map(({ message }) => message.kind === 'learned' && message.whole ? message.position : -1)
    const told = Math.max(-1, ...reports)
    net.crash('C')
    net.restart('C')
    expect(net.replica('C').copy!.commit).toBeGreaterThanOrEqual(told)
    net.lost = () => false
    net.pass(2000)
    expect(told).toBeGreaterThanOrEqual(5)
    expect(net.data('C')).toEqual(net.data('A'))
  })

  test('an answer to an earlier question counts for nothing: the copy may have been released since', () => {
    const net = formed()
    fill(net, 3)
    net.view(2, 'ABCD', 'ABD')
    net.settle(of('chunk tail'))
    net.pass(50, of('chunk tail append'))
    const first = net.sent.find(of('learn', 'A', 'D'))!
    expect(first.message).toMatchObject({ kind: 'learn', transfer: 2 })
    const round = first.message.kind === 'learn' ? first.message.round : 0
    net.view(3, 'ABCD', 'ABC')
    net.take(of('*'))
    net.lost = of('learn', 'A', 'D')
    net.view(4, 'ABCD', 'ABD')
    net.pass(100)
    net.receive('D', 'A', { kind: 'learned', generation: 0, ballot: ballot(1, 0, 'A'), round, position: net.replica('A').copy!.commit, whole: true, scanned: false, cursor: null })
    net.pass(1000)
    expect(net.replica('A').group!.generation, 'D was never asked again, so it counts for nothing').toBe(0)
  })

  test('a snapshot never replaces a copy that has its last entry and more', () => {
    const net = formed('ABC', { logEntriesMax: 4, logBytesMax: 150 })
    fill(net, 6)
    net.crash('C')
    net.view(2, 'AB', 'ABC')
    fill(net, 24)
    net.restart('C')
    net.view(3, 'ABC', 'ABC')
    net.pass(400, of('chunk tail'))
    const [first] = net.take(of('chunk', 'A', 'C'))
    net.deliver([first!])
    const chunk = first!.message as GroupMessage & { kind: 'chunk' }
    const { copy } = net.replica('C')
    expect([chunk.after, chunk.done, copy!.last < chunk.start]).toEqual([null, false, true])
    for (const value of ['1', '2', '3']) { net.write('A', 'x', value); net.settle(of('chunk tail')) }
    // Meanwhile a new leader, whose log goes back further, takes the live copy beyond the snapshot by appends, which C acknowledges.
    const entries = new Map(net.sent.flatMap(({ message }) => message.kind === 'append' ? message.entries : []).map(entry => [entry.seq, entry]))
    const missing = Array.from({ length: chunk.start + 2 - copy!.last }, (_, index) => entries.get(copy!.last + 1 + index)!)
    const leader = ballot(9, 1, 'B')
    const prev = { ballot: ballot(1, 0, 'A'), seq: copy!.last }
    net.receive('B', 'C', { kind: 'append', generation: 0, ballot: leader, run: 1, prev, entries: missing, commit: copy!.commit, settled: 0 })
    net.turn()
    expect(net.take(of('appended', 'C')).at(-1)?.message).toMatchObject({ seq: chunk.start + 2 })
    // And now the rest of the snapshot.
    const after = chunk.items.at(-1)!.key
    net.receive('B', 'C', { kind: 'chunk', generation: 0, ballot: leader, round: 7, after, items: [], done: true, reach: chunk.start, start: 0, floor: 0, time: 0, memory: [] })
    expect(net.replica('C').copy!.last, 'what was acknowledged stays').toBe(chunk.start + 2)
    expect(net.replica('C').copy!.commit).toBe(chunk.start)
  })

  test('a snapshot whose later pieces tell of later entries counts only with those entries: a copy is a prefix at every moment (S2)', () => {
    const net = formed()
    fill(net, 5)
    net.view(2, 'ABCD', 'ABD')
    net.settle(of('chunk'))
    const [first] = net.take(of('chunk'))
    net.deliver([first!])
    net.write('A', 'k4', 'later')
    net.settle(of('chunk tail'))
    net.pass(100, of('tail'))
    expect(net.sent.filter(({ message }) => message.kind === 'chunk' && message.done)).toHaveLength(1)
    expect(net.replica('D').copy, 'it has k4 of the later entry, and not the entry').toBeUndefined()
    net.pass(300)
    expect(net.replica('D').copy!.entry(7)).toBeDefined()
    expect(net.data('D')).toEqual(net.data('A'))
  })

  test('a leader that is taught by somebody else leads no more', () => {
    const net = formed()
    fill(net, 3)
    const group = net.replica('A').group!
    net.receive('B', 'A', { kind: 'learn', generation: 0, ballot: ballot(2, 1, 'B'), round: 1, group, transfer: 1, placementEpoch: 1, digest: 'placement ABC' })
    expect(net.replica('A').leader).toBeUndefined()
  })

  test('a lost piece of the tail is noticed even while later ones are answered', () => {
    const net = formed('ABC', { batchEntriesMax: 1 })
    fill(net, 5)
    net.view(2, 'ABCD', 'ABD')
    net.settle(({ message }) => message.kind === 'chain')
    let lost = 0
    net.lost = ({ to, message }) => to === 'D' && message.kind === 'tail' && lost++ === 0
    for (let i = 0; i < 30; i++) { if (net.leader !== undefined) net.write(net.leader, `n${i}`, 'v'); net.pass(50) }
    net.pass(1000)
    expect(net.replica('D').isMember).toBe(true)
    expect(net.data('D')).toEqual(net.data(net.leader!))
  })

  test('a slow snapshot under load is not begun again: the log waits for the learner', () => {
    const net = formed('ABC', { logEntriesMax: 8, logBytesMax: 400, chunkBytes: 1 })
    fill(net, 40)
    net.view(2, 'ABCD', 'ABD')
    for (let i = 0; i < 30; i++) {
      if (net.leader !== undefined) net.write(net.leader, `n${i % 7}`, `${i}`)
      // One piece of the snapshot per step, and the tail only afterwards, while writes go on.
      net.pass(50, of('chunk tail'))
      net.deliver(net.take(of('chunk')).slice(0, 1))
    }
    net.pass(3000)
    expect(net.ledger.filter(line => line.startsWith('D restarted'))).toEqual([])
    expect(net.replica('D').isMember).toBe(true)
    expect(net.data('D')).toEqual(net.data(net.leader!))
  })

  test('what a learner keeps of the tail does not grow with the time that the snapshot takes', () => {
    const net = formed('ABC', { logEntriesMax: 8, logBytesMax: 400, chunkBytes: 1, patienceMs: 1_000_000 })
    fill(net, 60)
    net.view(2, 'ABCD', 'ABD')
    let log = 0
    for (let i = 0; i < 120; i++) {
      if (net.leader !== undefined) net.write(net.leader, `n${i}`, `${i}`)
      // A piece of the snapshot once in a while, and the tail all the time.
      net.pass(50, of('chunk'))
      for (const entries of net.store('D').disk.logs.values()) log = Math.max(log, entries.size)
      if (i % 8 === 0) net.deliver(net.take(of('chunk')).slice(0, 1))
    }
    expect(net.replica('D').isMember, 'it is still being taught').toBe(false)
    expect(log, 'entries, with an eighth of slack').toBeLessThanOrEqual(16)
    net.pass(3000)
    expect(net.ledger.filter(line => line.startsWith('D restarted'))).toEqual([])
    expect(net.replica('D').isMember).toBe(true)
    expect(net.data('D')).toEqual(net.data(net.leader!))
  })

  test('no more than a few messages of the tail are under way to a learner, however large their entries are', () => {
    const net = formed('ABC', { logBytesMax: 1_000_000, batchBytesMax: 10 })
    fill(net, 10)
    net.view(2, 'ABCD', 'ABD')
    // The second piece of the snapshot does not come yet.
    net.pass(100, of('chunk tail'))
    net.deliver(net.take(of('chunk')).slice(0, 1))
    for (let i = 0; i < 30; i++) {
      net.write('A', 'n', `${i}`)
      net.settle(of('chunk tail'))
    }
    expect(net.wire.filter(of('tail'))).toHaveLength(4)
    net.pass(3000)
    expect(net.data('D')).toEqual(net.data(net.leader!))
  })

  test('the placement of one epoch is the same everywhere, or nobody is taught', () => {
    const net = formed()
    const group = net.replica('A').group!
    net.view(2, 'ABCD', 'ABD', 'D')
    net.receive('A', 'D', { kind: 'learn', generation: 0, ballot: ballot(1, 0, 'A'), round: 1, group, transfer: 2, placementEpoch: 2, digest: 'another' })
    expect(net.faults).toHaveLength(1)
    expect(net.take(of('learned', 'D'))).toEqual([])
  })
})

describe('release (S5, S6)', () => {
  function left (): ReplicaNet {
    const net = formed()
    fill(net, 5)
    net.lost = of('release')
    net.view(2, 'ABCD', 'ABD')
    net.pass(1000)
    expect(net.replica('C').copy).toBeDefined()
    net.lost = () => false
    net.take(of('*'))
    return net
  }

  test('a copy goes only while every member of the new group is level', () => {
    const net = formed()
    fill(net, 5)
    net.view(2, 'ABCDE', 'ADE')
    net.store('E').slow = true
    net.pass(5000)
    expect(net.replica('A').group!.generation).toBe(1)
    expect(net.replica('C').copy, 'E is not level').toBeDefined()
    net.store('E').slow = false
    net.pass(2000)
    expect(net.replica('C').copy).toBeUndefined()
    expect(net.replica('C').group!.generation, 'the chain outlives the data').toBe(1)
  })

  test('a leader that is not confirmed by a majority releases nothing', () => {
    const net = left()
    net.lost = of('confirmed')
    net.pass(2000)
    expect(net.replica('C').copy).toBeDefined()
    expect(net.sent.filter(of('confirm', 'A', 'B')).length, 'one round for all the repeated questions').toBeLessThan(60)
    net.lost = () => false
    net.pass(1000)
    expect(net.replica('C').copy).toBeUndefined()
  })

  /** A placement that is carried out but for E, which is not level, so that C must keep its copy; C has asked whether it may go. */
  function waiting (): ReplicaNet {
    const net = formed()
    fill(net, 5)
    net.view(2, 'ABCDE', 'ADE')
    net.store('E').slow = true
    net.pass(5000)
    expect(net.sent.filter(of('nominate', 'C', 'A')).some(({ message }) => message.kind === 'nominate' && message.held > 0)).toBe(true)
    net.take(of('*'))
    return net
  }

  test('a question that cannot be answered yet is answered as soon as it can, without being asked again', () => {
    const net = waiting()
    net.lost = of('nominate')
    net.store('E').slow = false
    net.pass(500)
    expect(net.replica('C').copy).toBeUndefined()
  })

  test('whoever waits for an answer of a leader that does not lead any more is sent on, and asks the new one at once', () => {
    const net = waiting()
    const asked = net.sent.length
    net.receive('D', 'A', { kind: 'refused', generation: 1, promised: ballot(9, 1, 'D') })
    net.settle()
    const to = net.sent.slice(asked).filter(of('nominate', 'C')).map(({ to }) => to)
    expect(to[0]).toBe('D')
    expect(to[1], 'which hands the lead back, and sends it on in turn').toBe('A')
  })

  test('a refusal that says nothing new is no reason to ask again before the time', () => {
    const net = waiting()
    const asked = net.sent.length
    const { seen } = net.replica('C')
    for (let times = 0; times < 5; times++) net.receive('A', 'C', { kind: 'refused', generation: 1, promised: seen })
    net.settle()
    expect(net.sent.slice(asked).filter(of('nominate', 'C'))).toEqual([])
  })

  test('a leader that has answered is asked again seldom, however long a placement takes', () => {
    const net = waiting()
    const asked = net.sent.length
    net.pass(10_000)
    const questions = net.sent.slice(asked).filter(of('nominate', 'C', 'A')).length
    expect(questions).toBeGreaterThan(3)
    expect(questions, 'ten times the least delay lies between two').toBeLessThanOrEqual(10)
  })

  test('an answer from before a teacher came does not count', () => {
    const net = left()
    net.pass(200, of('release'))
    const [release] = net.take(of('release'))
    net.receive('A', 'C', { kind: 'learn', generation: 1, ballot: net.replica('A').leader!.ballot, round: 99, group: net.replica('A').group!, transfer: 7, placementEpoch: 2, digest: 'placement ABD' })
    net.deliver([release!])
    expect(net.replica('C').copy).toBeDefined()
  })

  test('a slow answer counts, however often the question was repeated meanwhile', () => {
    const net = left()
    net.pass(1000, of('release'))
    net.deliver(net.take(of('release')).slice(0, 1))
    expect(net.replica('C').copy).toBeUndefined()
  })
})
