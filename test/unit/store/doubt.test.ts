/**
 * Stores that lost their power while what they had acknowledged was not synced (doubt.ts): when their history counts, and when it counts again.
 */
import { describe, expect, test } from 'vitest'
import type { StoreId } from '../../../membership/configuration.ts'
import { suffices } from '../../../store/group/doubt.ts'
import { type Ballot, type Entry, inheritedBallot, majorityOf } from '../../../store/group/history.ts'
import { of, ReplicaNet } from './replica-harness.ts'

const sealed = (sure: number, doubted: number): { doubted?: true }[] =>
  [...Array.from({ length: sure }, () => ({})), ...Array.from({ length: doubted }, () => ({ doubted: true as const }))]

describe('promises suffice', () => {
  test('when those that are not doubted meet every majority that may have had an entry, or nobody else is left to ask', () => {
    for (let members = 1; members <= 16; members++) {
      const majority = majorityOf(members)
      for (let sure = 0; sure <= members; sure++) {
        for (let doubted = 0; doubted <= members - sure; doubted++) {
          const meets = sure + majority > members
          expect(suffices(sealed(sure, doubted), members), `${sure} and ${doubted} of ${members}`).toBe(sure + doubted === members || (sure + doubted >= majority && meets))
        }
      }
    }
  })

  test('as a majority does where nobody is doubted', () => {
    for (let members = 1; members <= 16; members++) {
      for (let sure = 0; sure <= members; sure++) expect(suffices(sealed(sure, 0), members)).toBe(sure >= majorityOf(members))
    }
  })
})

/** A group whose member B lost an entry that it had acknowledged, and that only A has besides; B is down. */
function bereft (): ReplicaNet {
  const net = new ReplicaNet('ABC')
  net.view(1, 'ABC', 'ABC')
  net.settle()
  net.pass(500)
  net.write('A', 'x', '1')
  net.settle()
  net.pass(500)
  const before = net.snapshot('B')
  net.lost = of('append', 'A', 'C')
  const ticket = net.write('A', 'x', '2')
  net.settle()
  expect(net.answer(ticket)).toBe('written 3')
  net.lost = () => false
  net.crash('B')
  net.rollBack('B', { ...before, state: { ...before.state!, doubted: true } })
  return net
}

describe('a member that lost its power', () => {
  test('cannot make a leader of one that lacks what both had; the partition says whom it waits for', () => {
    const net = bereft()
    net.crash('A')
    net.restart('B')
    net.view(2, 'BC', 'ABC')
    const first = net.read('B', 'x')
    net.pass(2000)
    expect(net.leader).toBeUndefined()
    const answers = [...net.answers.values()].filter(answer => answer.kind === 'error' && answer.code === 'PARTITION_UNAVAILABLE')
    expect(answers.map(answer => answer.kind === 'error' ? answer.waitingFor : [])).toEqual([[net.replica('A').self]])
    expect(net.answer(first)).toBe('PARTITION_UNAVAILABLE')
    net.restart('A')
    net.view(3, 'ABC', 'ABC')
    net.pass(3000)
    expect(net.leader).toBeDefined()
    const read = net.read(net.leader!, 'x')
    net.settle()
    expect(net.answer(read)).toBe('value 2')
    expect(['A', 'B', 'C'].map(name => net.replica(name).doubted)).toEqual([false, false, false])
    expect(net.store('B').disk.state!.doubted).toBeUndefined()
    expect(net.data('B')).toEqual({ x: '2' })
  })

  test('is brought up to date by the leader that it had, and counts then', () => {
    const net = bereft()
    net.restart('B')
    net.view(2, 'ABC', 'ABC')
    net.pass(500)
    expect(net.replica('B').doubted).toBe(false)
    net.crash('A')
    net.view(3, 'BC', 'ABC')
    net.pass(2000)
    const read = net.read(net.leader!, 'x')
    net.settle()
    expect(net.answer(read)).toBe('value 2')
  })

  test('is doubted until it has an entry of a leader\'s own ballot, from a leader that knows of its new process', () => {
    const net = bereft()
    net.crash('A')
    net.restart('B')
    const before = inheritedBallot(net.replica('B').group!)
    const ballot: Ballot = { epoch: 9, attempt: 1, store: 'A' as StoreId }
    const own: Entry = { seq: 3, ballot, body: { kind: 'noop' } }
    const append = (run: number, entries: readonly Entry[], commit: number): boolean => {
      const { self } = net.replica('A')
      const prev = { ballot: before, seq: 2 }
      net.input('B', { kind: 'message', from: self, message: { kind: 'append', generation: 0, ballot, run, prev, entries, commit, settled: 0 } })
      net.sync('B')
      return net.replica('B').doubted
    }
    // It has all that this leader knows to be committed, which was elected by others and has adopted more.
    expect(append(2, [], 2)).toBe(true)
    expect(append(1, [own], 2)).toBe(true)
    // Something is committed that it does not have.
    expect(append(2, [own], 4)).toBe(true)
    expect(append(2, [own], 3)).toBe(false)
    expect(net.store('B').disk.state!.doubted).toBeUndefined()
  })
})
