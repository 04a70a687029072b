/**
 * Writes with conditions: decided in the order of the log, answered when that is committed, and once however often they are sent
 * (rules S9 and S10).
 */
import { describe, expect, test } from 'vitest'
import type { Operation, OperationId } from '../../../store/client-protocol.ts'
import { bytes, of, put, ReplicaNet } from './replica-harness.ts'

function formed (options = {}): ReplicaNet {
  const net = new ReplicaNet('ABC', options)
  net.view(1, 'ABC', 'ABC')
  net.settle()
  return net
}

const onlyIf = (ifVersion: number, key: string, value: string): Operation => ({ ...put(key, value), ifVersion })

let tickets = 1000

/** Writes operations at a store, and returns the ticket. */
function write (net: ReplicaNet, name: string, operations: readonly Operation[], id?: OperationId): number {
  const ticket = ++tickets
  net.input(name, { kind: 'write', ticket, id: id ?? net.operation(net.replica(name).copy!.commit), operations })
  return ticket
}

/** What a write was told: `written n`, an error's code, or which condition met which version. */
function told (net: ReplicaNet, ticket: number): string {
  const answer = net.answers.get(ticket)
  return answer?.kind === 'error' && answer.failed !== undefined ? `operation ${answer.failed.operation} met ${answer.failed.version}` : net.answer(ticket)
}

describe('what a condition is compared with', () => {
  test('the version of a key is the number of the entry that wrote it; 0 stands for no value', () => {
    const net = formed()
    const first = write(net, 'A', [onlyIf(0, 'x', '1')])
    net.pass(500)
    const [again, wrong, right] = [write(net, 'A', [onlyIf(0, 'x', '2')]), write(net, 'A', [onlyIf(7, 'x', '3')]), write(net, 'A', [onlyIf(2, 'x', '4')])]
    net.settle()
    expect([first, again, wrong, right].map(ticket => told(net, ticket))).toEqual(['written 2', 'operation 0 met 2', 'operation 0 met 2', 'written 5'])
    const removed = write(net, 'A', [{ kind: 'del', key: bytes('x'), ifVersion: 5 }])
    const absent = write(net, 'A', [onlyIf(0, 'x', '5')])
    net.pass(500)
    expect([removed, absent].map(ticket => told(net, ticket))).toEqual(['written 6', 'written 7'])
    expect(net.data('A')).toEqual({ x: '5' })
  })

  test('a batch happens wholly or not at all, by what was there before it', () => {
    const net = formed()
    const failing = write(net, 'A', [put('x', '1'), onlyIf(0, 'x', '2'), onlyIf(4, 'y', '3')])
    net.pass(500)
    expect(told(net, failing)).toBe('operation 2 met 0')
    expect(net.data('A')).toEqual({})
    const holding = write(net, 'A', [onlyIf(0, 'x', '1'), onlyIf(0, 'x', '2'), put('y', '3')])
    net.pass(500)
    expect(told(net, holding)).toBe('written 3')
    expect(net.data('A')).toEqual({ x: '2', y: '3' })
  })

  test('S10: a write that is not committed yet counts, and whoever depends on it is answered after it', () => {
    const net = formed()
    net.store('B').slow = net.store('C').slow = true
    const first = write(net, 'A', [onlyIf(0, 'x', '1')])
    net.settle()
    const [lost, next] = [write(net, 'A', [onlyIf(0, 'x', '2')]), write(net, 'A', [onlyIf(2, 'x', '3')])]
    net.settle()
    expect([first, lost, next].map(ticket => told(net, ticket))).toEqual(['waits', 'waits', 'waits'])
    net.sync('B')
    net.settle()
    net.sync('B')
    net.settle()
    expect([first, lost, next].map(ticket => told(net, ticket))).toEqual(['written 2', 'operation 0 met 2', 'written 4'])
  })

  test('S10: what rests on a write that is never committed is never answered as if it were', () => {
    const net = formed()
    net.lost = of('append', 'A')
    const first = write(net, 'A', [put('x', '1')])
    net.settle()
    const second = write(net, 'A', [onlyIf(0, 'x', '2')])
    net.pass(100)
    net.lost = of('*', 'A')
    net.view(2, 'BC', 'ABC', 'BC')
    net.settle()
    net.view(2, 'BC', 'ABC', 'A')
    net.lost = () => false
    net.receive('B', 'A', { kind: 'seal', generation: 0, ballot: net.replica('B').leader!.ballot })
    net.settle()
    expect([first, second].map(ticket => told(net, ticket))).toEqual(['NOT_LEADER', 'NOT_LEADER'])
    const third = write(net, 'B', [onlyIf(0, 'x', '3')])
    net.settle()
    expect(told(net, third)).toBe('written 3')
  })

  test('writes of the key go on while the disk is asked for its version, and count', () => {
    const net = formed()
    write(net, 'A', [put('x', '1')])
    net.pass(500)
    // The disk is asked in this turn and answers with what it had then.
    const conditional = write(net, 'A', [onlyIf(2, 'x', '2')])
    const [fetch] = net.store('A').reads.splice(0)
    expect(fetch).toMatchObject({ kind: 'fetch', keys: [bytes('x')] })
    const other = write(net, 'A', [put('x', '3')])
    // It is even in the data, and nowhere else, when the answer comes.
    net.pass(500)
    expect(net.data('A')).toEqual({ x: '3' })
    net.input('A', { kind: 'fetched', token: fetch!.token, values: [{ value: bytes('1'), seq: 2 }] })
    net.settle()
    expect([conditional, other].map(ticket => told(net, ticket))).toEqual(['operation 0 met 3', 'written 3'])
  })

  test('a leader that is deposed while the disk is asked writes nothing and says so', () => {
    const net = formed()
    write(net, 'A', [put('x', '1')])
    net.pass(500)
    const conditional = write(net, 'A', [onlyIf(2, 'x', '2')])
    const [fetch] = net.store('A').reads.splice(0)
    net.receive('B', 'A', { kind: 'seal', generation: 0, ballot: { ...net.replica('A').leader!.ballot, attempt: 9 } })
    net.input('A', { kind: 'fetched', token: fetch!.token, values: [{ value: bytes('1'), seq: 2 }] })
    expect(net.answers.get(conditional)).toMatchObject({ kind: 'error', definite: true })
    expect(net.log('A').at(-1)).toBe('2 x=1')
  })
})

describe('once (S9)', () => {
  test('a write whose first try succeeded is told so, although its condition does not hold any more', () => {
    const net = formed()
    const id = net.operation(1)
    const first = write(net, 'A', [onlyIf(0, 'x', '1')], id)
    net.settle()
    const retry = write(net, 'A', [onlyIf(0, 'x', '1')], id)
    net.settle()
    expect([first, retry].map(ticket => told(net, ticket))).toEqual(['written 2', 'written 2'])
  })

  test('a write whose first try failed is told the same, although its condition holds by now, and does nothing', () => {
    const net = formed()
    write(net, 'A', [put('x', '1')])
    const id = net.operation(1)
    const first = write(net, 'A', [onlyIf(0, 'x', '2')], id)
    write(net, 'A', [{ kind: 'del', key: bytes('x') }])
    net.settle()
    const retry = write(net, 'A', [onlyIf(0, 'x', '2')], id)
    net.pass(500)
    expect([first, retry].map(ticket => told(net, ticket))).toEqual(['operation 0 met 2', 'operation 0 met 2'])
    expect(net.data('A')).toEqual({})
  })

  test.each([['another leader, which has it in its log', 'BC', 'ABC', 'B'], ['a handover, by a snapshot', 'ABCD', 'DBC', 'D']])('the same after %s', (_, live, seats, leader) => {
    const net = formed({ logBytesMax: 1 })
    write(net, 'A', [put('x', '1')])
    net.settle()
    const id = net.operation(2)
    const first = write(net, 'A', [onlyIf(0, 'x', '2')], id)
    write(net, 'A', [{ kind: 'del', key: bytes('x') }])
    net.pass(500)
    if (!live.includes('A')) net.crash('A')
    net.view(2, live, seats)
    net.pass(2000)
    expect(net.leader).toBe(leader)
    const retry = write(net, leader, [onlyIf(0, 'x', '2')], id)
    net.settle()
    expect([first, retry].map(ticket => told(net, ticket))).toEqual(['operation 0 met 2', 'operation 0 met 2'])
  })
})
