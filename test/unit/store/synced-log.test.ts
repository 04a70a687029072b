/**
 * Durability 'os' in the core (synced-log.ts): what is synced all the same, and what an acknowledgement says.
 *
 * Mutation caught: the index of what expires forgets what a batch that is not synced has removed.
 */
import { describe, expect, test } from 'vitest'
import type { Durability } from '../../../store/group/synced-log.ts'
import { brief, of, ReplicaNet } from './replica-harness.ts'

function formed (durability: Durability): ReplicaNet {
  const net = new ReplicaNet('ABC', {}, undefined, durability)
  net.view(1, 'ABC', 'ABC')
  net.settle()
  net.pass(500)
  return net
}

/** What a store has given to its disk and not heard back of: whether it must be synced. */
const waiting = (net: ReplicaNet, name: string): boolean[] => net.store(name).persists.map(({ synced }) => synced)

describe('what a store gives to its disk', () => {
  for (const durability of ['sync', 'os'] as const) {
    test(`a write is synced under 'sync' alone; a promise, with whatever comes with it, always: ${durability}`, () => {
      const net = formed(durability)
      net.write('A', 'x', '1')
      net.input('A', { kind: 'flush' })
      expect(waiting(net, 'A')).toEqual([durability === 'sync'])
      net.deliver(net.take(of('append', 'A', 'B')))
      expect(waiting(net, 'B')).toEqual([durability === 'sync'])
      net.settle()
      expect(net.sent.map(({ message }) => message).filter(({ kind }) => kind === 'appended').at(-1)).toEqual(
        expect.objectContaining(durability === 'sync' ? { seq: 2 } : { seq: 2, unsynced: true }))
      net.store('B').slow = true
      net.receive('C', 'B', { kind: 'seal', generation: 0, ballot: { epoch: 5, attempt: 1, store: net.replica('C').self } })
      expect(waiting(net, 'B').at(-1)).toBe(true)
    })
  }

  test('an entry that is no write is synced, and everything before it', () => {
    const net = formed('os')
    net.write('A', 'x', '1')
    net.settle()
    const { disk: { syncedLog }, copy } = net.replica('B')
    expect([copy!.last, syncedLog.covers(1), syncedLog.covers(2)]).toEqual([2, true, false])
    net.crash('A')
    net.view(2, 'BC', 'ABC')
    net.pass(500)
    expect(net.log('C')).toEqual(['1 noop', '2 x=1', '3 noop'])
    expect(net.replica('C').disk.syncedLog.covers(3)).toBe(true)
  })
})

describe('a stop sign', () => {
  for (const durability of ['sync', 'os'] as const) {
    test(`is proposed only once a majority of the next group would have everything after a loss of power: ${durability}`, () => {
      const net = formed(durability)
      net.lost = of('*', undefined, 'D')
      // Nothing of the next group is there but two members of this one.
      net.view(2, 'ABCD', 'BCD')
      for (let i = 0; i < 120; i++) {
        net.write('A', 'x', String(i))
        net.settle()
        const { group, copy, leader } = net.replica('A')
        if (group!.generation > 0 || leader?.phase === 'stopping') break
        if (copy!.entry(copy!.last)?.body.kind === 'stop') break
        net.now += 100
        for (const name of net.stores.keys()) net.input(name, { kind: 'tick' })
        for (let step = 0; step < 200; step++) {
          net.turn()
          const stop = net.wire.find(({ message }) => message.kind === 'append' && message.entries.at(-1)?.body.kind === 'stop')
          if (stop?.message.kind === 'append') {
            const last = stop.message.entries.at(-1)!.seq - 1
            expect(['B', 'C'].map(name => net.replica(name).disk.syncedLog.covers(last)), brief(stop)).toEqual([true, true])
            return
          }
          if (net.wire.length === 0) break
          net.deliver(net.wire.splice(0, 1))
        }
      }
      throw new Error('no stop sign was proposed')
    })
  }

  test('the index of what expires forgets nothing before the removal of the values is synced', () => {
    const net = new ReplicaNet('A', {}, undefined, 'os')
    net.view(1, 'A', 'A')
    net.settle()
    net.writeFor('A', 'x', '1', 100)
    net.pass(3000)
    const index = (): number => net.store('A').disk.expiries.get(1)?.length ?? 0
    expect([net.data('A'), index()]).toEqual([{}, 1])
    net.restart('A')
    net.settle()
    expect(index()).toBe(0)
  })
})
