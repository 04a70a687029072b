/**
 * The first leader of a generation: it has the lowest ballot, which everybody promises with the generation, and asks nobody (rules S4, S5).
 *
 * Mutations of the core that these tests caught: a store that leads with the inherited ballot though it lacks the state, or a second time
 * after a restart, or before its disk knows of the generation; a confirmation that does not wait for the disk; members that are told of the
 * generation and not sent again what they dropped; a generation that promises nothing.
 */
import { describe, expect, test } from 'vitest'
import { inheritedBallot } from '../../../store/group/history.ts'
import { type Matching, of, ReplicaNet } from './replica-harness.ts'

/** A group ABC whose placement becomes another one; A has committed its stop sign, and nobody was told. */
function stopped (seats: string, live = 'ABCD'): ReplicaNet {
  const net = new ReplicaNet('ABC')
  net.view(1, 'ABC', 'ABC')
  net.settle()
  for (let i = 0; i < 5; i++) { net.write('A', `k${i}`, `v${i}`); net.settle() }
  net.pass(100)
  net.view(2, live, seats)
  // A stop sign may come to a store as an entry, too.
  net.lost = ({ message, from }) => message.kind === 'chain' || (from === 'A' && message.kind === 'append' && message.commit > 6)
  net.pass(500)
  expect(net.replica('A').group).toMatchObject({ generation: 1, base: 7 })
  for (const name of live) if (name !== 'A') expect(net.replica(name).group?.generation ?? 0, name).toBe(0)
  net.lost = () => false
  return net
}

const tell = (net: ReplicaNet, name: string): void => { net.receive('A', name, { kind: 'chain', group: net.replica('A').group! }) }
const seals = (net: ReplicaNet): number => net.sent.filter(({ message }) => message.kind === 'seal' && message.generation === 1).length

describe('the first leader of a generation', () => {
  test('serves as soon as its disk has the generation: it asks for no promise, and its first entries go out at once', () => {
    const net = stopped('DAB')
    net.wire = []
    tell(net, 'D')
    const ticket = net.write('D', 'x', '1', net.operation(6))
    expect(net.wire.filter(of('append')), 'nobody hears of a ballot before the disk knows it').toEqual([])
    net.turn()
    expect(net.replica('D').leader).toMatchObject({ phase: 'serving', ballot: inheritedBallot(net.replica('D').group!) })
    net.turn()
    const first = net.wire.find(of('append', 'D', 'A'))!.message
    expect(first).toMatchObject({ prev: { seq: 7 }, entries: [{ body: { kind: 'noop' } }, { body: { kind: 'write' } }] })
    net.settle()
    expect(net.answer(ticket)).toBe('written 9')
    expect(seals(net)).toBe(0)
  })

  test('a member that hears of the generation by its first entries is told of it, and gets them again, at once', () => {
    const net = stopped('DBC')
    const held: Matching = of('chain', 'A')
    tell(net, 'D')
    const ticket = net.write('D', 'x', '1', net.operation(6))
    net.settle(held)
    expect(net.answer(ticket), 'no time has passed').toBe('written 9')
    expect(net.replica('B').group!.generation).toBe(1)
  })

  test('one that started again does not begin the ballot a second time', () => {
    const net = stopped('DAB')
    tell(net, 'D')
    net.turn()
    net.crash('D')
    net.restart('D')
    net.view(3, 'ABCD', 'DAB')
    net.settle()
    net.pass(1000)
    expect(net.leader).toBe('D')
    expect(net.replica('D').leader!.ballot.attempt).toBeGreaterThan(0)
    expect(seals(net)).toBeGreaterThan(0)
  })

  test('one that lacks the state does not lead with it: a store that has it takes a higher one', () => {
    const net = stopped('DAB')
    // D forgets what it was taught: it hears of the generation as if for the first time.
    net.store('D').disk = { logs: new Map(), data: new Map() } as never
    net.crash('D')
    net.restart('D')
    net.view(3, 'ABCD', 'DAB')
    net.settle()
    net.pass(2000)
    expect(net.replica('D').group!.generation).toBe(1)
    expect(net.leader).toBeDefined()
    expect(net.replica(net.leader!).leader!.ballot.attempt).toBeGreaterThan(0)
  })

  test('a first leader that was never told of its generation hears of it from the others, whatever the placement is by then', () => {
    const net = stopped('BAC', 'ABC')
    tell(net, 'C')
    net.settle(of('nominate'))
    net.take(of('*'))
    // The placement goes back to the group that B knows, so that B itself has no reason to ask.
    net.view(3, 'ABC', 'ABC')
    net.settle()
    net.pass(1500)
    expect(net.leader).toBeDefined()
    expect(net.replica('B').group!.generation).toBeGreaterThan(0)
  })

  test('where it is not in the cluster, the next one leads as usual, after a majority has promised', () => {
    const net = stopped('DAB')
    net.crash('D')
    net.view(3, 'ABC', 'DAB')
    net.settle()
    net.pass(1000)
    expect(net.leader).toBe('A')
    expect(net.replica('A').leader!.ballot).toMatchObject({ epoch: 3, attempt: 1 })
    expect(seals(net)).toBeGreaterThan(0)
  })

  test('a member confirms it only once its disk has the generation: else nobody knew, after a restart, that somebody may hold a lease', () => {
    const net = stopped('DAB')
    tell(net, 'D')
    net.store('B').slow = true
    net.take(of('*'))
    const generation = 1
    tell(net, 'B')
    const confirm = { kind: 'confirm', generation, ballot: inheritedBallot(net.replica('B').group!), round: 1 } as const
    net.receive('D', 'B', confirm)
    expect(net.take(of('confirmed', 'B'))).toEqual([])
    net.sync('B')
    expect(net.take(of('confirmed', 'B'))).toHaveLength(1)
    net.receive('D', 'B', { ...confirm, round: 2 })
    expect(net.take(of('confirmed', 'B')), 'from then on at once').toHaveLength(1)
  })
})
