/**
 * Half of a snapshot goes where nobody goes on with it: a store that had one for ever would never be drained, nor at rest.
 *
 * Mutations seen to fail here: the store does not look again; it looks at nothing but its seat, or at nothing but its live copy.
 */
import { expect, test } from 'vitest'
import { of, ReplicaNet } from './replica-harness.ts'

const write = (net: ReplicaNet, count: number, prefix: string): void => {
  for (let i = 0; i < count; i++) {
    net.write('A', `${prefix}${i}`, 'value')
    net.settle()
    if (i % 5 === 4) net.pass(50)
  }
  net.pass(200)
}

function formed (options = {}): ReplicaNet {
  const net = new ReplicaNet('ABC', options)
  net.view(1, 'ABC', 'ABC')
  net.settle()
  return net
}

/** Lets the first piece for C through, and no other. */
const oneChunk = (): (envelope: Parameters<ReturnType<typeof of>>[0]) => boolean => {
  let pieces = 0
  const toC = of('chunk', undefined, 'C')
  return envelope => toC(envelope) && pieces++ > 0
}

const copiesAt = (net: ReplicaNet, name: string): number[] => [...net.store(name).disk.data.keys()]

test('the first piece was under way when the seat went', () => {
  const net = formed()
  write(net, 30, 'k')
  net.view(2, 'ABCD', 'ABD')
  net.pass(100, of('chunk', undefined, 'D'))
  expect(net.wire.filter(of('chunk')).length).toBeGreaterThan(0)
  net.view(3, 'ABCD', 'ABC')
  net.pass(60_000)
  expect(net.replica('D').learner.active).toBe(false)
  expect(net.replica('D').quiet).toBe(true)
  expect(copiesAt(net, 'D')).toEqual([])
})

test('the generation of a member that was being taught ended without it', () => {
  const net = formed()
  write(net, 10, 'k')
  net.crash('C')
  net.view(2, 'AB', 'ABC')
  write(net, 60, 'm')
  net.restart('C')
  net.view(3, 'ABCD', 'ABC')
  net.pass(1000, oneChunk())
  expect(net.replica('C').learner.active).toBe(true)
  net.view(4, 'ABCD', 'ABD')
  net.pass(60_000, of('chunk', undefined, 'C'))
  expect(net.replica('C').learner.active).toBe(false)
  expect(net.replica('C').quiet).toBe(true)
  expect(copiesAt(net, 'C')).toEqual([])
})

test('the live copy came by it with the appends of a leader that has the longer log', () => {
  const net = formed({ batchEntriesMax: 64 })
  write(net, 5, 'k')
  net.crash('C')
  net.view(2, 'AB', 'ABC')
  // As the slack of compaction does, or somebody that is being taught.
  net.replica('B').copy!.compact = () => []
  write(net, 40, 'm')
  net.restart('C')
  net.view(3, 'ABC', 'ABC')
  net.pass(300, oneChunk())
  expect(net.replica('C').learner.active).toBe(true)
  net.crash('A')
  net.take(of('*', 'A'))
  net.view(4, 'BC', 'BCA')
  net.pass(60_000)
  expect(net.replica('C').copy!.last).toBe(net.replica('B').copy!.last)
  expect(net.replica('C').learner.active).toBe(false)
  expect(copiesAt(net, 'C')).toHaveLength(1)
})
