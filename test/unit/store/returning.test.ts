/**
 * Members and learners whose process is another one than before: what is asked of them anew, what they are told, and that what an
 * earlier process said counts for nothing. And how often a leader says that something is committed.
 */
import { describe, expect, test } from 'vitest'
import type { StoreId } from '../../../membership/configuration.ts'
import { of, OPTIONS, ReplicaNet } from './replica-harness.ts'

function formed (genesis = 'ABC', options = {}): ReplicaNet {
  const net = new ReplicaNet(genesis, options)
  net.view(1, genesis, genesis)
  net.settle()
  net.pass(500)
  return net
}

const holds = (net: ReplicaNet, leader: string, member: string): number => net.replica(leader).leader!.followers.holds(member as StoreId)

describe('a member that returns', () => {
  test('is told at once what is committed, although nothing is written any more', () => {
    const net = formed()
    for (const value of ['1', '2']) { net.write('A', 'x', value); net.settle() }
    net.crash('B')
    net.restart('B')
    expect(net.replica('B').copy!.commit).toBeLessThan(3)
    net.view(2, 'ABC', 'ABC')
    net.settle()
    expect(net.replica('B').copy!.commit).toBe(3)
  })

  test('catches up wherever the leader\'s log begins, also right behind what the member has', () => {
    for (let missed = 1; missed <= 40; missed++) {
      const net = formed()
      for (let i = 0; i < 30; i++) { net.write('A', `k${i % 3}`, String(i)); net.settle() }
      net.pass(500)
      net.crash('B')
      net.view(2, 'AC', 'ABC')
      for (let i = 0; i < missed; i++) { net.write('A', `k${i % 3}`, `later ${i}`); net.settle() }
      net.pass(500)
      net.restart('B')
      net.view(3, 'ABC', 'ABC')
      net.pass(3000)
      expect(net.data('B'), `after ${missed} writes, with a log from ${net.replica('A').copy!.floor}`).toEqual(net.data('A'))
      expect(holds(net, 'A', 'B')).toBe(net.replica('A').copy!.last)
    }
  })

  test('is told although the leader\'s first word to it was lost', () => {
    const net = formed()
    for (const value of ['1', '2']) { net.write('A', 'x', value); net.settle() }
    net.crash('B')
    net.restart('B')
    net.lost = of('append')
    net.view(2, 'ABC', 'ABC')
    net.settle()
    net.lost = () => false
    net.pass(500)
    expect(net.replica('B').copy!.commit).toBe(3)
  })

  test('and has lost what it acknowledged is not counted for it, and gets it again', () => {
    const net = formed()
    const before = net.snapshot('B')
    // B has the entry durably and says so; its answer is on its way. A's own disk is slow, and C hears nothing.
    net.lost = of('append', 'A', 'C')
    net.store('A').slow = true
    const ticket = net.write('A', 'x', '1')
    net.settle(of('appended'))
    const answers = net.take(of('appended', 'B'))
    expect(answers.at(-1)!.message).toMatchObject({ seq: 2 })
    net.crash('B')
    net.rollBack('B', before)
    net.restart('B')
    net.view(2, 'ABC', 'ABC')
    net.deliver(answers)
    expect(holds(net, 'A', 'B')).toBe(-1)
    net.sync('A')
    expect(net.answer(ticket), 'only A has it').toBe('waits')
    net.store('A').slow = false
    net.settle()
    expect(net.log('B')).toEqual(['1 noop', '2 x=1'])
    expect(net.answer(ticket)).toBe('written 2')
  })

  test('and has lost entries that were committed long ago gets them again without a write', () => {
    const net = formed()
    const before = net.snapshot('C')
    for (let i = 0; i < 6; i++) { net.write('A', `k${i}`, 'v'); net.settle() }
    net.pass(500)
    net.crash('C')
    net.rollBack('C', before)
    net.restart('C')
    net.view(2, 'ABC', 'ABC')
    net.pass(100)
    expect(net.log('C')).toEqual(net.log('A'))
    expect(net.data('C')).toEqual(net.data('A'))
  })

  test('is compared anew also when it answers before the leader has heard of its process', () => {
    const net = formed()
    const before = net.snapshot('B')
    net.write('A', 'x', '1')
    net.settle()
    expect(holds(net, 'A', 'B')).toBe(2)
    net.crash('B')
    net.rollBack('B', before)
    net.restart('B')
    net.write('A', 'x', '2')
    net.settle(of('append', 'A', 'B'))
    net.deliver(net.take(of('append', 'A', 'B')))
    net.settle(of('append', 'A', 'B'))
    expect(holds(net, 'A', 'B'), 'that process never acknowledged anything').toBe(-1)
    net.pass(300)
    expect(net.log('B')).toEqual(net.log('A'))
  })

  test('a learner that lost its copy counts for nothing before the stop sign, until it is taught again', () => {
    const net = formed()
    for (let i = 0; i < 6; i++) { net.write('A', `k${i}`, 'v'); net.settle() }
    net.view(2, 'ABCDEF', 'DEF')
    const before = net.snapshot('D')
    net.store('E').slow = net.store('F').slow = true
    net.pass(500)
    expect(net.replica('D').copy!.commit).toBe(7)
    net.crash('D')
    net.rollBack('D', before)
    net.restart('D')
    net.view(3, 'ABCDEF', 'DEF')
    net.lost = of('learned', 'D')
    net.store('E').slow = false
    net.pass(4000)
    expect(net.replica('A').group!.generation, 'E alone has everything').toBe(0)
    net.lost = () => false
    net.pass(4000)
    expect(net.replica('A').group!.generation).toBe(1)
    expect(net.data('D')).toEqual(net.data('E'))
  })
})

describe('the commit point', () => {
  const counted = (net: ReplicaNet, from: number): number => net.sent.slice(from).filter(of('append appended')).length

  test('travels with the next append: writes in a row cost an append and an acknowledgement each per follower', () => {
    const net = formed()
    const from = net.sent.length
    for (let i = 0; i < 20; i++) { net.write('A', 'x', String(i)); net.settle(); net.pass(50) }
    expect(counted(net, from)).toBe(20 * 2 * 2)
  })

  test('is told once when nothing follows, and then nothing is sent any more', () => {
    const net = formed()
    const from = net.sent.length
    net.write('A', 'x', '1')
    net.settle()
    net.pass(50)
    expect([counted(net, from), net.replica('B').copy!.commit]).toEqual([4, 1])
    net.pass(4 * OPTIONS.retryMs)
    expect([counted(net, from), net.replica('B').copy!.commit]).toEqual([8, 2])
    net.pass(10_000)
    expect(counted(net, from)).toBe(8)
    expect(net.sent.slice(from).filter(envelope => !of('append appended')(envelope))).toEqual([])
  })

  test('is told again when the word of it was lost', () => {
    const net = formed()
    net.write('A', 'x', '1')
    net.settle()
    net.lost = of('append', 'A', 'B')
    net.pass(400)
    net.lost = () => false
    net.pass(400)
    expect(net.replica('B').copy!.commit).toBe(2)
  })
})
