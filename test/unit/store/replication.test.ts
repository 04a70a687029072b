/**
 * Replication within a generation: what counts as committed, what reaches the data, what a read may answer, and that each operation
 * happens once (rules S2, S3, S9, and reads as in Ongaro's thesis, section 6.4).
 *
 * Mutations of the core that these tests caught: an answer once a minority has the entry; an acknowledgement before the entries are
 * durable; the same for a repeated append; a read answered without asking a majority; a read from the data that ignores what is
 * committed and not there yet; a retried operation logged again; the base of an operation not compared with the floor, or with the end; every
 * mismatch answered with a window of appends; a floor that follows entries under way; an acknowledgement after a later promise; a window
 * without a limit of bytes, or one that counts the next entry, too; bytes counted for what was undone, or of what was forgotten.
 */
import { describe, expect, test } from 'vitest'
import { Copy } from '../../../store/group/copy.ts'
import { type Entry, entryBytes } from '../../../store/group/history.ts'
import { ballot, id, of, ReplicaNet } from './replica-harness.ts'

function formed (genesis = 'ABC', options = {}): ReplicaNet {
  const net = new ReplicaNet(genesis, options)
  net.view(1, genesis, genesis)
  net.settle()
  return net
}

describe('writes (S2)', () => {
  test('a write is answered once a majority has it durably, its leader counted like the others', () => {
    const net = formed()
    net.store('B').slow = net.store('C').slow = true
    const ticket = net.write('A', 'x', '1')
    net.settle()
    expect(net.answer(ticket), 'durable at one of three').toBe('waits')
    net.sync('B')
    net.settle()
    expect(net.answer(ticket)).toBe('written 2')
  })

  test('the leader\'s own disk may be the slow one', () => {
    const net = formed()
    net.store('A').slow = true
    const ticket = net.write('A', 'x', '1')
    net.settle()
    expect(net.answer(ticket)).toBe('written 2')
  })

  test('what a later promise may have undone is not acknowledged any more, even if it became durable with it', () => {
    const net = formed()
    net.store('B').slow = true
    net.write('A', 'x', '1')
    net.settle()
    // C outranks A, whose entry waits for B's disk, and overwrites it; all of it becomes durable in one go.
    net.lost = of('*', 'A')
    net.input('B', { kind: 'message', from: id('C'), message: { kind: 'seal', generation: 0, ballot: ballot(1, 7, 'C') } })
    const before = net.sent.length
    net.sync('B')
    net.settle()
    expect(net.sent.slice(before).filter(of('appended', 'B', 'A'))).toEqual([])
    expect(net.sent.slice(before).filter(of('sealed', 'B', 'C'))).toHaveLength(1)
  })

  test('data is written at commit; what was not committed leaves no trace in it', () => {
    const net = formed()
    net.lost = of('append', 'A')
    net.write('A', 'x', 'never')
    net.pass(100)
    expect(net.data('A')).toEqual({})
    net.lost = () => false
    net.crash('A')
    net.view(2, 'BC', 'ABC')
    net.settle()
    const ticket = net.write('B', 'x', 'yes')
    net.settle()
    expect(net.answer(ticket)).toBe('written 3')
    net.restart('A')
    net.view(3, 'ABC', 'ABC')
    net.pass(1000)
    for (const name of 'ABC') expect(net.data(name)).toEqual({ x: 'yes' })
    expect(net.log('A').filter(line => line.includes('never')), 'undo is truncation').toEqual([])
  })

  test('an append costs its entries on the disk; the data follows a tick later, each key once, with the record of its position', () => {
    const net = formed()
    net.pass(500)
    net.store('B').slow = true
    for (const value of ['1', '2', '3']) { net.write('A', 'x', value); net.settle() }
    const written = (): string[] => net.store('B').persists.flatMap(({ writes }) => writes.map(({ kind }) => kind))
    expect(written()).toEqual(['entry', 'entry', 'entry'])
    net.pass(600)
    // Once for what the appends told to be committed, once when the last commit point was told.
    expect(written().slice(3)).toEqual(['state', 'item', 'state', 'item'])
    net.sync('B')
    expect([net.data('B'), net.store('B').disk.state!.applied]).toEqual([{ x: '3' }, 4])
  })

  test('what waits for the data does not grow without bound under writes', () => {
    const net = formed('ABC', { batchEntriesMax: 4 })
    net.pass(500)
    let waits = 0
    for (let i = 0; i < 30; i++) {
      net.write('A', `k${i}`, 'v')
      net.settle()
      for (const name of 'ABC') waits = Math.max(waits, net.replica(name).copy!.commit - net.replica(name).copy!.applied)
    }
    expect(waits).toBeLessThanOrEqual(5)
  })

  test('a restart finds the data at its position, and the entries above it in the log', () => {
    const net = formed()
    for (const value of ['1', '2', '3']) { net.write('A', 'x', value); net.settle() }
    net.crash('B')
    net.restart('B')
    const { copy } = net.replica('B')
    expect(copy!.last).toBe(4)
    expect(copy!.commit).toBe(copy!.applied)
    net.view(2, 'ABC', 'ABC')
    net.pass(100)
    expect(net.data('B')).toEqual({ x: '3' })
  })

  test('a repeated append is acknowledged only when what it repeats is durable', () => {
    const net = formed()
    net.store('B').slow = true
    net.write('A', 'x', '1')
    net.turn()
    const appends = net.take(of('append', 'A', 'B'))
    net.deliver(appends)
    net.deliver(appends)
    net.turn()
    expect(net.take(of('appended', 'B'))).toEqual([])
    net.sync('B')
    expect(net.take(of('appended', 'B'))).toHaveLength(2)
  })

  test('lost, doubled and overtaken appends end in equal logs, without a storm', () => {
    const net = formed('ABC', { batchEntriesMax: 2 })
    for (let i = 0; i < 8; i++) { net.write('A', `k${i}`, 'v'); net.turn() }
    const appends = net.take(of('append', 'A', 'B'))
    const before = net.sent.length
    // The first append is lost, the others arrive in the wrong order, twice.
    net.deliver([...appends.slice(1).reverse(), ...appends.slice(1)])
    net.settle()
    net.pass(300)
    expect(net.log('B')).toEqual(net.log('A'))
    expect(net.sent.slice(before).filter(of('append', 'A', 'B')).length, 'one probe, and then each entry about once').toBeLessThan(16)
  })

  test('an old acknowledgement or mismatch takes nothing back', () => {
    const net = formed()
    for (let i = 0; i < 3; i++) net.write('A', `k${i}`, 'v')
    net.settle()
    const held = net.replica('A').leader!.followers.holds('B' as never)
    net.receive('B', 'A', { kind: 'appended', generation: 0, ballot: ballot(1, 0, 'A'), run: 1, seq: 1, commit: 0, settled: 0 })
    net.receive('B', 'A', { kind: 'mismatch', generation: 0, ballot: ballot(1, 0, 'A'), run: 1, prev: 1, commit: 0 })
    expect(net.replica('A').leader!.followers.holds('B' as never)).toBe(held)
    expect(net.take(of('append'))).toEqual([])
  })

  test('no more is under way to a follower than four batches, in entries or in bytes, or one large entry', () => {
    const underWay = (count: number, valueBytes: number): number => {
      const net = formed('ABC', { batchEntriesMax: 4, batchBytesMax: 1000, logEntriesMax: 100, logBytesMax: 100_000 })
      for (let i = 0; i < count; i++) { net.write('A', `k${i}`, 'v'.repeat(valueBytes)); net.turn() }
      const appends = net.take(of('append', 'A', 'B')).map(({ message }) => message as { readonly entries: readonly Entry[] })
      const entries = appends.reduce((sum, message) => sum + message.entries.length, 0)
      // What was acknowledged makes room for the rest.
      net.pass(2000)
      expect(net.log('B')).toEqual(net.log('A'))
      return entries
    }
    expect(underWay(40, 10), 'small ones by their number').toBe(16)
    // With what goes with a value, ten of them have four thousand bytes.
    expect(underWay(40, 300)).toBe(10)
    expect(underWay(3, 5000)).toBe(1)
  })

  test('a copy knows the bytes between two of its entries, whatever was undone or forgotten', () => {
    const copy = new Copy(1, 10, 10, [], { logEntriesMax: 4, logBytesMax: 1_000_000 })
    const entry = (seq: number, valueBytes: number): Entry => {
      const operations = [{ kind: 'put' as const, key: Buffer.from('k'), value: new Uint8Array(valueBytes) }]
      return { seq, ballot: ballot(1, 0, 'A'), body: { kind: 'write', id: { client: 'c', number: seq, base: 0 }, operations } }
    }
    for (let seq = 11; seq <= 20; seq++) copy.append(entry(seq, seq))
    copy.truncate(19)
    copy.append(entry(19, 1000))
    const sum = (from: number, to: number): number => {
      let bytes = 0
      for (let seq = from + 1; seq <= to; seq++) bytes += copy.entry(seq) === undefined ? 0 : entryBytes(copy.entry(seq)!)
      return bytes
    }
    const check = (): void => {
      for (let from = -1; from <= 19; from++) for (let to = from; to <= 19; to++) expect(copy.bytesBetween(from, to)).toBe(sum(from, to))
    }
    check()
    copy.advanceCommit(18)
    copy.takeApplied()
    copy.applyDone(18)
    expect(copy.compact()).toMatchObject([{ kind: 'dropEntries', from: 11, to: 14 }])
    check()
    copy.invariants()
  })

  test('a new leader\'s first entry goes out at once, however long the history is', () => {
    const net = formed('ABC', { batchEntriesMax: 2, logEntriesMax: 100 })
    for (let i = 0; i < 40; i++) { net.write('A', `k${i}`, 'v'); net.settle() }
    net.crash('A')
    net.view(2, 'BC', 'ABC')
    net.settle()
    expect(net.leader, 'without a tick').toBe('B')
  })
})

describe('reads', () => {
  test('a read waits for a majority to confirm the ballot after the read came', () => {
    const net = formed()
    const ticket = net.read('A', 'x')
    net.settle(of('confirmed'))
    expect(net.answer(ticket)).toBe('waits')
    net.settle()
    expect(net.answer(ticket)).toBe('none')
  })

  test('a leader that was deposed without knowing answers no read', () => {
    const net = formed()
    net.write('A', 'x', 'old')
    net.settle()
    net.lost = of('*', undefined, 'A')
    net.view(2, 'BC', 'ABC', 'BC')
    net.settle()
    net.write('B', 'x', 'new')
    net.settle()
    const ticket = net.read('A', 'x')
    net.pass(300)
    expect(net.answer(ticket)).toBe('waits')
    net.lost = () => false
    net.pass(300)
    expect(net.answer(ticket)).toBe('NOT_LEADER')
  })

  test('a read sees what is committed, whether or not the disk has it', () => {
    const net = formed()
    net.write('A', 'x', '1')
    net.settle()
    net.store('A').slow = true
    net.write('A', 'x', '2')
    net.settle()
    const ticket = net.read('A', 'x')
    net.settle()
    expect(net.data('A').x).not.toBe('2')
    expect(net.answer(ticket)).toBe('value 2')
  })

  test('reads are bounded like writes', () => {
    const net = formed('ABC', { waitingMax: 3 })
    const tickets = [1, 2, 3, 4].map(() => net.read('A', 'x'))
    expect(tickets.map(ticket => net.answer(ticket))).toEqual(['waits', 'waits', 'waits', 'STORE_OVERLOADED'])
    net.settle()
    const later = net.read('A', 'x')
    net.settle()
    expect(net.answer(later), 'and give their place back').toBe('none')
  })
})

describe('once (S9)', () => {
  test('a retried operation is logged once, at its leader, at the next leader, and after the next generation', () => {
    const net = formed('ABC')
    const operation = net.operation(1)
    net.write('A', 'x', '1', operation)
    const retried = net.write('A', 'x', '1', operation)
    net.settle()
    expect(net.answer(retried)).toBe('written 2')
    net.crash('A')
    net.view(2, 'BCD', 'BCD')
    net.pass(1000)
    expect(net.replica('D').group!.generation).toBe(1)
    const leader = net.leader!
    const again = net.write(leader, 'x', '1', operation)
    net.settle()
    expect(net.answer(again)).toBe('written 2')
    expect(net.log(leader).filter(line => line.includes('x=1') || line.includes('forgotten'))).toHaveLength(1)
  })

  test('an operation is remembered after its values were dropped, and after a restart of everybody', () => {
    const net = formed('ABC', { logBytesMax: 200, logEntriesMax: 100 })
    const operation = net.operation(1)
    net.write('A', 'x', '1', operation)
    for (let i = 0; i < 10; i++) { net.write('A', 'y', `${i}`); net.settle(); net.pass(50) }
    expect(net.log('A')[1]).toBe('2 forgotten')
    for (const name of 'ABC') net.crash(name)
    for (const name of 'ABC') net.restart(name)
    net.pass(500)
    const retried = net.write('A', 'x', '1', operation)
    net.settle()
    expect(net.answer(retried)).toBe('written 2')
  })

  test('an operation whose entry was undone is logged again, and answered for the new entry alone', () => {
    const net = formed()
    const operation = net.operation(1)
    net.lost = of('append', 'A')
    const first = net.write('A', 'x', '1', operation)
    net.settle()
    net.view(2, 'BC', 'ABC', 'BC')
    net.settle()
    net.lost = () => false
    const other = net.write('B', 'y', '1')
    net.settle()
    net.view(3, 'ABC', 'ABC')
    net.pass(500)
    expect(net.answer(first), 'what became of it is not known').toBe('NOT_LEADER')
    const leader = net.leader!
    const retried = net.write(leader, 'x', '1', operation)
    net.settle()
    const line = net.log(leader).filter(text => text.includes('x=1'))
    expect(line).toHaveLength(1)
    expect([net.answer(other), `${net.answer(retried)} x=1`]).toEqual(['written 3', `written ${line[0]}`])
    for (const name of 'ABC') expect(net.log(name)).toEqual(net.log(leader))
  })

  test('what may have been forgotten is refused as such, and what was never sent needs a base', () => {
    const net = formed('ABC', { logEntriesMax: 4 })
    const old = net.operation(1)
    net.write('A', 'x', '1', old)
    for (let i = 0; i < 20; i++) { net.write('A', 'y', `${i}`); net.settle(); net.pass(50) }
    expect(net.replica('A').copy!.floor).toBeGreaterThan(2)
    expect(net.answer(net.write('A', 'x', '1', old))).toBe('OPERATION_EXPIRED')
    const ticket = net.write('A', 'x', '1', net.operation(-1))
    expect(net.answers.get(ticket)).toMatchObject({ code: 'BASE_REQUIRED', definite: true, seq: net.replica('A').copy!.commit })
  })

  test('a write that names a base beyond the history is not logged: it would be forgotten before its base is, and happen twice', () => {
    const net = formed('ABC', { logEntriesMax: 4 })
    const misled = net.operation(14)
    const first = net.write('A', 'x', '1', misled)
    net.settle()
    while (net.replica('A').copy!.floor < 8) { net.write('A', 'y', ''); net.settle(); net.pass(50) }
    const second = net.write('A', 'x', '1', misled)
    net.settle()
    expect([net.answer(first), net.answer(second)].filter(answer => answer.startsWith('written')).length).toBeLessThanOrEqual(1)
    expect(net.answers.get(first)).toMatchObject({ code: 'OPERATION_EXPIRED', definite: false, seq: 1 })
  })

  test('the reach of retries does not shrink under a burst', () => {
    const net = formed('ABC', { logEntriesMax: 8, batchEntriesMax: 50, waitingMax: 1000 })
    const operation = net.operation(net.replica('A').copy!.commit)
    net.write('A', 'x', '1', operation)
    net.settle()
    net.pass(100)
    for (let i = 0; i < 40; i++) net.write('A', `k${i}`, 'v')
    net.settle(of('appended'))
    net.pass(100, of('appended'))
    expect(net.answer(net.write('A', 'x', '1', operation))).toBe('written 2')
  })
})
