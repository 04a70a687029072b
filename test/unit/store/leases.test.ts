/**
 * Leases between stores, and what a leader may do by them (rule S7).
 *
 * Mutations that these tests caught: a lease counted from later than the question; the same number after a revocation; the number
 * not compared; a store that starts takes it that it has granted nothing; the wall clock ignored; no second look after the disk; a new
 * leader that does not wait, or waits by its own clock alone.
 */
import { describe, expect, test } from 'vitest'
import { type LeaseMessage, Leases, validateLeaseMessage } from '../../../store/leases.ts'
import { id, of, ReplicaNet } from './replica-harness.ts'

const OPTIONS = { leaseMs: 1000, leaseDriftPercent: 5, leaseReadsMin: 1 }
const [A, B] = [id('A'), id('B')]

/** A holder that has used B's lease at time 0, and its question. */
function asking (): { holder: Leases, ask: LeaseMessage } {
  const holder = new Leases(0, 5000, OPTIONS)
  holder.use(0, B)
  return { holder, ask: holder.due(0)[0]!.message }
}

describe('a lease between two stores', () => {
  test('the holder counts from when it asked, shortened by the drift; the granter from when it answered', () => {
    const { holder, ask } = asking()
    const granter = new Leases(-5000, 9000, OPTIONS)
    const grant = granter.receive(400, A, ask)!
    holder.receive(900, B, grant)
    expect(holder.holds(949, B)).toBe(granter.numberFor(A))
    expect(holder.holds(950, B)).toBeUndefined()
    expect(granter.revoke(A)).toBe(1400)
  })

  test('an answer to a question of an earlier process, or to an older one than was answered, is ignored', () => {
    const { holder, ask } = asking()
    const granter = new Leases(-5000, 9000, OPTIONS)
    holder.receive(1, B, { kind: 'grant', request: ask.request - 1, lease: 7, ms: 1000 })
    expect(holder.holds(1, B)).toBeUndefined()
    const late = granter.receive(10, A, ask)!
    holder.use(400, B)
    holder.receive(410, B, granter.receive(405, A, holder.due(400)[0]!.message)!)
    holder.receive(420, B, late)
    expect(holder.holds(1300, B), 'it ends as the later answer says').toBe(granter.numberFor(A))
  })

  test('what was revoked ends by itself, and whatever is granted later has another number', () => {
    const { holder, ask } = asking()
    const granter = new Leases(-5000, 9000, OPTIONS)
    const before = granter.numberFor(A)
    holder.receive(1, B, granter.receive(1, A, ask)!)
    expect(granter.revoke(A)).toBe(1001)
    expect(granter.numberFor(A)).not.toBe(before)
    holder.use(400, B)
    holder.receive(400, B, granter.receive(400, A, holder.due(400)[0]!.message)!)
    expect(holder.holds(400, B)).toBe(granter.numberFor(A))
    expect(granter.revoke(A), 'what is revoked next ends with the newer one').toBe(1400)
  })

  test('few reads are not worth a lease: it is asked for, and renewed, when enough of them come within a third of it', () => {
    const holder = new Leases(0, 5000, { ...OPTIONS, leaseMs: 900, leaseReadsMin: 3 })
    const read = (now: number, times: number): number => {
      for (let time = 0; time < times; time++) holder.use(now, B)
      return holder.due(now).length
    }
    expect([read(0, 2), read(299, 0), read(300, 2), read(301, 1)]).toEqual([0, 0, 0, 1])
    expect([read(302, 5), read(600, 0), read(601, 0)], 'renewed after a third').toEqual([0, 0, 1])
    expect([read(602, 2), read(901, 0), read(902, 2), read(1300, 0)], 'and no more where reads are few').toEqual([0, 0, 0, 0])
  })

  test('a store that has just started takes it that it has granted a whole lease to everybody', () => {
    expect(new Leases(300, 1, OPTIONS).revoke(A)).toBe(1300)
  })

  test('a machine that slept while its monotonic clock stood still has no lease; a wall clock that was set back changes nothing', () => {
    const granter = new Leases(-5000, 9000, OPTIONS)
    for (const [jump, valid] of [[2000, false], [-2000, true]] as const) {
      const { holder, ask } = asking()
      holder.receive(1, B, granter.receive(1, A, ask)!)
      holder.tell(10, 10 + jump)
      expect(holder.holds(10, B) !== undefined).toBe(valid)
    }
  })

  test('nobody is asked while nobody reads, and renewals are a third of a lease apart however much is read', () => {
    const { holder } = asking()
    let asked = 0
    for (let now = 0; now < 3000; now += 10) {
      if (now < 2000) holder.use(now, B)
      asked += holder.due(now).length
    }
    expect(asked).toBeGreaterThanOrEqual(6)
    expect(asked).toBeLessThanOrEqual(7)
    expect(holder.due(10_000)).toEqual([])
  })

  test('a store without leases grants none, and a message of a wrong form is refused', () => {
    const { ask } = asking()
    expect(new Leases(0, 1, { ...OPTIONS, leaseMs: 0 }).receive(5, A, ask)).toBeUndefined()
    for (const bad of [null, 7, {}, { kind: 'ask' }, { kind: 'grant', request: 1, lease: 1, ms: 1e9 }, { kind: 'grant', request: -1, lease: 1, ms: 1 }]) {
      expect(() => validateLeaseMessage(bad)).toThrow('not a valid message about leases')
    }
  })
})

/** A group ABC that A leads, with leases of both others, and x = 1 on all disks. */
function leased (): ReplicaNet {
  const net = new ReplicaNet('ABC', {}, OPTIONS)
  net.view(1, 'ABC', 'ABC')
  net.settle()
  net.write('A', 'x', '1')
  net.pass(1200)
  const read = net.read('A', 'x')
  net.settle()
  net.renewLeases('A', 'BC')
  expect(net.answer(read)).toBe('value 1')
  return net
}

const confirms = (net: ReplicaNet): number => net.sent.filter(of('confirm')).length

describe('reads under leases', () => {
  test('the first read is confirmed; under leases of a majority the next ones cost no message', () => {
    const net = leased()
    const before = confirms(net)
    const read = net.read('A', 'x')
    net.turn()
    expect(net.answer(read)).toBe('value 1')
    expect(confirms(net)).toBe(before)
    net.now += 950
    const later = net.read('A', 'x')
    net.turn()
    expect(net.answer(later), 'the leases are over').toBe('waits')
    net.settle()
    expect(net.answer(later)).toBe('value 1')
    expect(confirms(net)).toBe(before + 2)
  })

  test('a lease that ends while the disk is read: the answer waits for a confirmation', () => {
    const net = leased()
    const read = net.read('A', 'x')
    expect(net.answer(read)).toBe('waits')
    net.now += 950
    net.turn()
    expect(net.answer(read)).toBe('waits')
    net.settle()
    expect(net.answer(read)).toBe('value 1')
  })

  test('a leader that has proposed its stop sign answers nothing', () => {
    const net = leased()
    net.view(2, 'ABCD', 'BCD')
    for (let step = 0; step < 40 && net.replica('A').leader?.phase !== 'stopping'; step++) net.pass(50, of('appended', undefined, 'A'))
    // Everything until the stop sign needs acknowledgements: let them through until it is proposed.
    for (let step = 0; step < 200 && net.replica('A').leader?.phase !== 'stopping'; step++) { net.turn(); net.deliver(net.wire.splice(0, 1)) }
    expect(net.replica('A').leader?.phase).toBe('stopping')
    net.renewLeases('A', 'BC')
    const read = net.read('A', 'x')
    expect(net.answer(read)).toBe('waits')
  })
})

describe('a new leader', () => {
  /** A is cut off, still believes in its leases, and is not in the second view. */
  function cutOff (): ReplicaNet {
    const net = leased()
    net.lost = ({ from, to }) => from === 'A' || to === 'A'
    net.view(2, 'BC', 'ABC', 'BC')
    net.settle()
    return net
  }

  test('commits nothing, not even its own first entry, before the leases of the old one have ended', () => {
    const net = cutOff()
    const write = net.write('B', 'x', '2')
    for (let step = 0; step < 18; step++) {
      net.pass(50)
      const read = net.read('A', 'x')
      net.turn()
      expect(net.answer(read), `A reads after ${net.now} ms`).toBe('value 1')
      expect(net.replica('B').copy!.commit).toBe(2)
      expect(net.answer(write)).toBe('waits')
    }
    net.pass(50)
    const last = net.read('A', 'x')
    net.pass(150)
    expect(net.answer(last)).toBe('waits')
    expect(net.answer(write)).toMatch(/^written/)
  })

  test('waits longer by what its clock may run ahead of the clock of whoever gave the lease', () => {
    const net = cutOff()
    const { lease, replica: { leases: { options } } } = net.replica('B').leader!
    const ms = 2 * options.leaseMs
    lease.wait(net.now, [{ holder: A, ms }])
    const until = net.now + ms * (1 + options.leaseDriftPercent / 100)
    expect(options.leaseDriftPercent).toBeGreaterThan(0)
    expect([lease.waits(until - 1), lease.waits(until)]).toEqual([true, false])
  })

  test('does not wait for a former leader that has sealed its ballot', () => {
    const net = leased()
    net.receive('C', 'B', { kind: 'nominate', generation: 0, seen: net.replica('B').seen, held: 0 })
    net.settle()
    // B takes the lead, commits, and hands it back to the first of the order, all in no time.
    expect(net.leader).toBe('A')
    expect(net.log('A')).toEqual(['1 noop', '2 x=1', '3 noop', '4 noop'])
    expect(net.replica('A').copy!.commit).toBe(4)
  })

  test('a lease that is renewed after the promise went to another counts for nothing there', () => {
    const net = cutOff()
    net.now += 400
    for (const granter of 'BC') net.leases.get('A')!.use(net.now, id(granter))
    net.renewLeases('A', 'BC')
    for (const granter of 'BC') expect(net.leases.get('A')!.holds(net.now, id(granter))).toBeDefined()
    const read = net.read('A', 'x')
    net.turn()
    expect(net.answer(read)).toBe('waits')
  })

  test('does not wait for what members may have granted before they started once every member has sealed its ballot: only members lead', () => {
    const net = leased()
    for (const name of 'ABC') net.crash(name)
    for (const name of 'ABC') net.restart(name)
    net.view(2, 'ABC', 'ABC')
    net.lost = of('*', 'C', 'A')
    net.settle()
    const { leader } = net.replica('A')
    expect(leader!.phase).toBe('recovering')
    const write = net.write('A', 'x', '2')
    net.pass(300)
    expect(net.answer(write), 'C may have given a lease to itself or to anybody').toBe('waits')
    net.lost = () => false
    net.receive('C', 'A', { kind: 'sealed', generation: 0, ballot: leader!.ballot, last: net.replica('C').lastPosition, level: true, commit: 0, lease: 1 })
    net.settle()
    expect(net.answer(write)).toMatch(/^written/)
  })

  test('waits for what a member that has just started may have granted', () => {
    const net = leased()
    net.lost = ({ from, to }) => from === 'A' || to === 'A'
    for (const name of 'BC') { net.crash(name); net.restart(name) }
    net.view(2, 'BC', 'ABC', 'BC')
    net.settle()
    const write = net.write('B', 'x', '2')
    net.pass(950)
    expect(net.answer(write)).toBe('waits')
    net.pass(200)
    expect(net.answer(write)).toMatch(/^written/)
  })
})
