/**
 * Reads that any replica answers (rule S10): committed values only, and never from before the position that the reader names.
 *
 * Mutations that these tests caught: a replica that is behind answers all the same; the answer names another position than the present one;
 * what the tail of a transfer brought is read before the disk has it.
 */
import { describe, expect, test } from 'vitest'
import type { Entry, Group } from '../../../store/group/history.ts'
import { ballot, bytes, id, ReplicaNet } from './replica-harness.ts'

/** A leads ABC; x = 1 is committed everywhere, x = 2 at the leader alone, as far as the others know. */
function behind (): ReplicaNet {
  const net = new ReplicaNet('ABC')
  net.view(1, 'ABC', 'ABC')
  net.settle()
  net.write('A', 'x', '1')
  net.pass(2000)
  net.write('A', 'x', '2')
  net.settle()
  expect([net.replica('A').copy!.commit, net.replica('B').copy!.commit]).toEqual([3, 2])
  return net
}

const seqOf = (net: ReplicaNet, ticket: number): number => {
  const answer = net.answers.get(ticket)
  return answer?.kind === 'values' ? answer.seq : -1
}

describe('reads that any replica answers', () => {
  test('a stale read gets what the replica knows to be committed, and how much that is', () => {
    const net = behind()
    const read = net.read('B', 'x', 0)
    net.turn()
    expect(net.answer(read), 'what is logged and not known to be committed is not shown').toBe('value 1')
    expect(seqOf(net, read)).toBe(2)
  })

  test('a replica that is behind the reader sends it on, leader first; one that is not answers', () => {
    const net = behind()
    const early = net.read('B', 'x', 3)
    expect(net.answers.get(early)).toMatchObject({ code: 'NOT_LEADER', definite: true, hints: [{ storeId: 'A' }, { storeId: 'C' }] })
    net.pass(2000)
    const late = net.read('B', 'x', 3)
    net.turn()
    expect(net.answer(late)).toBe('value 2')
  })

  test('an answer counts for all that the disk may have shown: it names the position as of the answer', () => {
    const net = behind()
    net.pass(2000)
    const read = net.read('B', 'y', 0)
    const held = net.store('B').reads.splice(0)
    net.write('A', 'y', '1')
    net.pass(2000)
    net.store('B').reads.push(...held)
    net.turn()
    expect(net.answer(read)).toBe('value 1')
    expect(seqOf(net, read)).toBe(4)
  })

  test('without a leader and without a majority a level member still answers; the linearizable read does not', () => {
    const net = behind()
    for (const name of 'AC') net.crash(name)
    net.view(2, 'B', 'ABC', 'B')
    const stale = net.read('B', 'x', 0)
    const strict = net.read('B', 'x')
    net.turn()
    expect(net.answer(stale)).toBe('value 1')
    expect(net.answer(strict)).toBe('PARTITION_UNAVAILABLE')
  })

  test('a store that is not a level member of the group answers nothing', () => {
    const net = behind()
    net.view(2, 'ABCD', 'ABC')
    expect(net.answer(net.read('D', 'x', 0))).toBe('NOT_OWNER')
  })

  test('a store that the tail has just made level answers once its disk has what came with it', () => {
    const net = behind()
    net.pass(2000)
    const { ballot: before } = net.replica('A').lastPosition
    // C missed the end of a generation, which began with its fifth entry, and is taught what is left of it.
    const group: Group = { generation: 1, members: ['A', 'B', 'C'].map(id), base: 5, previous: { ballot: before, seq: 4 }, epoch: 2 }
    const entries: Entry[] = [
      { seq: 4, ballot: before, body: { kind: 'write', id: net.operation(3), operations: [{ kind: 'put', key: bytes('x'), value: bytes('3') }] } },
      { seq: 5, ballot: before, body: { kind: 'stop', next: group } }
    ]
    const teacher = { generation: 1, ballot: ballot(2, 1, 'B') }
    net.receive('B', 'C', { kind: 'learn', ...teacher, round: 1, group, transfer: 2, placementEpoch: 2, digest: '' })
    net.turn()
    net.store('C').slow = true
    net.receive('B', 'C', { kind: 'tail', ...teacher, from: 3, entries })
    expect([net.replica('C').level, net.replica('C').copy!.commit]).toEqual([true, 5])
    const early = net.read('C', 'x', 5)
    net.turn()
    expect(net.answer(early)).toBe('NOT_LEADER')
    net.sync('C')
    const late = net.read('C', 'x', 5)
    net.turn()
    expect(net.answer(late)).toBe('value 3')
  })
})
