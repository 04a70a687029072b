/**
 * The grace before copying after a crash: what waits, what does not, and what a store costs that is back in time.
 * Mutations that these tests caught: no grace; a handover that does not wait for it; the latest absence counts instead of the first; a
 * grace where the next loss would stop the partition; a grace for transfers that were under way. Those that absences.test.ts caught:
 * an absence that begins anew with each configuration; one that is forgotten and then waited for again.
 * Whole clusters, with the placement of the ring, are in test/sim/store-grace.test.ts.
 */
import { describe, expect, test } from 'vitest'
import { ReplicaNet } from './replica-harness.ts'

const GRACE_MS = 10_000

function formed (genesis: string, options = {}): ReplicaNet {
  const net = new ReplicaNet(genesis, { rereplicateAfterMs: GRACE_MS, ...options })
  net.view(1, genesis, genesis)
  net.settle()
  for (let i = 0; i < 8; i++) { net.write('A', `k${i}`, String(i)); net.settle() }
  net.pass(500)
  return net
}

const generation = (net: ReplicaNet, store: string): number => net.replica(store).group!.generation
const taught = (net: ReplicaNet): string[] => [...new Set(net.sent.filter(({ message }) => message.kind === 'learn').map(({ to }) => to))]

describe('a member that is gone', () => {
  test('is replaced after the grace, not before; the lead moves at once', () => {
    const net = formed('ABC')
    net.crash('A')
    net.view(2, 'BCD', 'BCD')
    net.settle()
    const ticket = net.write('B', 'x', '1')
    net.settle()
    expect(net.answer(ticket)).toMatch(/^written/)
    net.pass(GRACE_MS - 100)
    expect(taught(net)).toEqual([])
    expect(generation(net, 'B')).toBe(0)
    net.pass(2000)
    expect(generation(net, 'B')).toBe(1)
    expect(net.data('D')).toEqual(net.data('B'))
  })

  test('costs no copy when it is back in time, only what it missed', () => {
    const net = formed('ABC')
    net.crash('C')
    net.view(2, 'ABD', 'ABD')
    net.settle()
    net.write('A', 'x', 'meanwhile')
    net.settle()
    net.pass(GRACE_MS / 2)
    net.restart('C')
    net.view(3, 'ABCD', 'ABC')
    net.pass(3000)
    expect(net.data('C')).toMatchObject({ x: 'meanwhile' })
    expect(net.leader).toBe('A')
    expect(net.ledger.filter(line => /snapshots|bytes/.test(line))).toEqual([])
    expect(net.ledger.filter(line => line.startsWith('C done'))).toEqual(['C done 1'])
    expect(net.ledger.filter(line => line.startsWith('C delta'))).toHaveLength(1)
    expect(net.ledger.filter(line => line.startsWith('D '))).toEqual(['D planned 1', 'D superseded 1'])
  })

  test('is waited for no longer because of further configurations', () => {
    const net = formed('ABC')
    net.crash('C')
    for (let epoch = 2; epoch < 12; epoch++) {
      net.view(epoch, epoch % 2 === 0 ? 'ABDE' : 'ABD', 'ABD', 'ABDE')
      net.pass(GRACE_MS / 5)
    }
    expect(generation(net, 'A')).toBe(1)
    expect(net.data('D')).toEqual(net.data('A'))
  })

  test('is waited for no longer because of a second one, or of a new leader', () => {
    const net = formed('ABCDEFG')
    net.crash('G')
    net.view(2, 'ABCDEFH', 'ABCDEFH')
    net.pass(GRACE_MS / 2)
    net.crash('A')
    // The second one's seat stays with it: nobody else is there.
    net.view(3, 'BCDEFH', 'BCDEFHA')
    net.settle()
    expect(net.leader).toBe('B')
    expect(taught(net)).toEqual([])
    net.pass(GRACE_MS / 2 + 1000)
    expect(taught(net)).toEqual(['H'])
    expect(net.data('H')).toEqual(net.data('B'))
  })

  test('is not waited for when another loss would stop the partition', () => {
    const net = formed('ABCDE')
    net.crash('D')
    net.crash('E')
    net.view(2, 'ABCFG', 'ABCFG')
    net.pass(2000)
    expect(generation(net, 'A')).toBe(1)
    expect(net.data('G')).toEqual(net.data('A'))
  })

  test('does not stop a transfer that was under way', () => {
    const net = formed('ABC')
    net.view(2, 'ABCD', 'ABD')
    net.settle(({ message }) => message.kind === 'chunk')
    net.crash('C')
    net.view(3, 'ABD', 'ABD')
    net.pass(2000)
    expect(generation(net, 'A')).toBe(1)
    expect(net.data('D')).toEqual(net.data('A'))
  })

  test('does not stop a transfer that was under way, although it led', () => {
    const net = formed('ABC')
    net.view(2, 'ABCD', 'ABD')
    net.settle(({ message }) => message.kind === 'chunk')
    net.crash('A')
    net.view(3, 'BCD', 'BDC')
    net.pass(3000)
    expect(net.leader).toBe('B')
    expect(net.data('D')).toEqual(net.data('B'))
  })

  test('long ago is not waited for', () => {
    const net = formed('ABC')
    net.crash('C')
    net.view(2, 'AB', 'ABC')
    net.pass(GRACE_MS)
    net.view(3, 'ABD', 'ABD')
    net.pass(2000)
    expect(net.data('D')).toEqual(net.data('A'))
  })
})

test('a store that is drained is not waited for', () => {
  const net = formed('ABC')
  net.view(2, 'ABCD', 'ABD')
  net.pass(2000)
  expect(generation(net, 'A')).toBe(1)
  expect(net.data('D')).toEqual(net.data('A'))
})
