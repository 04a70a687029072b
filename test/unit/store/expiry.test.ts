/**
 * Values that expire (store/group/expiry.ts): never early, whoever leads; gone for everybody by an entry of the log; nothing else with them.
 *
 * Mutations of the core that these tests caught: what has expired is removed, whatever was written since; more is said to be swept than was;
 * a new leader, or the first one of a generation, counts by its own clock; entries that were cut off have told the time; it is told
 * with values alone; it is forgotten with the entries that told it, at a restart, in a snapshot; a delta
 * does not tell when values expire.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { expiryOf } from '../../../store/group/expiry.ts'
import { of, ReplicaNet } from './replica-harness.ts'

function formed (stores = 'ABC', options = {}): ReplicaNet {
  const net = new ReplicaNet(stores, options)
  net.view(1, stores, stores)
  net.settle()
  return net
}

const expiries = (net: ReplicaNet, store = 'A'): string[] => net.log(store).filter(line => line.includes('expired')).map(line => line.replace(/^\d+ expired /, ''))

function read (net: ReplicaNet, store: string, key: string): string {
  const ticket = net.read(store, key)
  net.settle()
  return net.answer(ticket)
}

test('a value is there for its time, and then gone everywhere by one entry', () => {
  const net = formed()
  net.writeFor('A', 'x', '1', 500)
  net.write('A', 'y', '1')
  net.pass(450)
  expect(read(net, 'A', 'x')).toBe('value 1')
  net.pass(1000)
  expect(read(net, 'A', 'x')).toBe('none')
  for (const store of 'ABC') expect(net.data(store)).toEqual({ y: '1' })
  expect(expiries(net)).toEqual(['x='])
  for (const store of 'ABC') expect(net.store(store).disk.expiries.get(1)).toEqual([])
})

test('a value that was written again, or deleted, is let be; its next time counts', () => {
  const net = formed()
  for (const key of 'abc') net.writeFor('A', key, '1', 300)
  net.pass(100)
  net.write('A', 'a', '2')
  net.writeFor('A', 'b', '2', 800)
  net.batch('A', { c: null })
  net.pass(600)
  expect(net.data('C')).toEqual({ a: '2', b: '2' })
  net.pass(800)
  expect(net.data('C')).toEqual({ a: '2' })
})

test('a write that comes while the index is read is let be', () => {
  const net = formed()
  net.writeFor('A', 'x', '1', 300)
  net.pass(250)
  // The look begins, and the disk does not answer before the next write is logged.
  const { reads } = net.store('A')
  for (let round = 0; round < 20 && !reads.some(({ kind }) => kind === 'expiring'); round++) { net.now += 50; net.input('A', { kind: 'tick' }) }
  expect(reads.map(({ kind }) => kind)).toEqual(['expiring'])
  net.write('A', 'x', '2')
  net.pass(1000)
  expect(net.data('B')).toEqual({ x: '2' })
  expect(expiries(net)).toEqual([''])
})

test('a new leader goes on from the time that the history told last: what passed since does not count', () => {
  const net = formed('ABC', { expiryStampMs: 400 })
  net.writeFor('A', 'x', '1', 1000)
  // Told at 400 and at 800.
  net.pass(900)
  net.crash('A')
  net.pass(5000)
  net.view(2, 'BC', 'ABC')
  net.settle()
  expect(net.leader).toBe('B')
  net.pass(100)
  expect(read(net, 'B', 'x')).toBe('value 1')
  net.pass(400)
  expect(read(net, 'B', 'x')).toBe('none')
})

test('what an old leader told in entries that were never committed does not count', () => {
  const net = formed('ABC', { expiryStampMs: 700 })
  net.writeFor('A', 'x', '1', 10_000)
  net.pass(100)
  net.lost = of('*', 'A')
  net.pass(3000)
  expect(net.replica('A').copy!.time, 'as A counts').toBeGreaterThan(700)
  expect(net.log('A'), 'told once, since that is not committed').toEqual(['1 noop', '2 x=1', '3 noop'])
  net.view(2, 'BC', 'ABC', 'BC')
  net.settle()
  net.lost = () => false
  net.view(3, 'ABC', 'ABC')
  net.pass(100)
  expect(net.leader).toBeDefined()
  expect(net.replica(net.leader!).copy!.time).toBeLessThan(400)
})

test('a restart, a snapshot and a delta keep the times', () => {
  const net = formed('ABC', { expiryStampMs: 100, logEntriesMax: 4, logBytesMax: 400 })
  net.writeFor('A', 'x', '1', 20_000)
  for (let round = 0; round < 30; round++) { net.write('A', 'y', String(round)); net.pass(100) }
  net.view(2, 'ABCD', 'DBC')
  net.pass(2000)
  expect(net.data('D')).toEqual({ x: '1', y: '29' })
  expect(net.leader).toBe('D')
  for (const store of 'DBC') net.crash(store)
  for (const store of 'DBC') net.restart(store)
  net.view(3, 'DBC', 'DBC')
  net.pass(1000)
  const time = net.replica('D').copy!.time
  expect(time).toBeGreaterThan(3000)
  net.pass(22_000 - time)
  for (const store of 'DBC') expect(net.data(store)).toEqual({ y: '29' })
})

test('a delta tells when values expire', () => {
  const net = formed('ABC', { logBytesMax: 400, logEntriesMax: 200, expiryStampMs: 1_000_000 })
  net.crash('C')
  net.view(2, 'AB', 'ABC')
  net.writeFor('A', 'x', '1', 60_000)
  for (let round = 0; round < 20; round++) { net.write('A', 'y', 'v'.repeat(50)); net.pass(300) }
  net.restart('C')
  net.view(3, 'ABC', 'ABC')
  net.pass(1000)
  expect(net.sent.filter(({ message }) => message.kind === 'delta')).toHaveLength(1)
  const expires = (store: string): number | undefined => net.store(store).disk.data.get(1)!.get('x')!.expires
  expect(expires('B')).toBeGreaterThan(60_000)
  expect(expires('C')).toBe(expires('B'))
})

/** A value that is to expire, so many writes later that the log has forgotten it. */
function forgotten (): ReplicaNet {
  const net = formed('ABC', { expiryStampMs: 1_000_000 })
  net.writeFor('A', 'x', '1', 5000)
  for (let round = 0; round < 40; round++) { net.write('A', 'y', String(round)); net.pass(50) }
  expect(net.replica('B').copy!.floor).toBeGreaterThan(2)
  return net
}

test('the time outlives the entries that told it: a new leader, a restart, a snapshot', () => {
  const led = forgotten()
  led.crash('A')
  led.view(2, 'BC', 'ABC')
  const restarted = forgotten()
  for (const store of 'ABC') restarted.crash(store)
  for (const store of 'ABC') restarted.restart(store)
  restarted.view(2, 'ABC', 'ABC')
  const taught = forgotten()
  taught.view(2, 'ABCD', 'DBC')
  for (const net of [led, restarted, taught]) net.pass(1000)
  expect([led, restarted, taught].map(net => [net.leader, net.data('B').x])).toEqual([['B', '1'], ['A', '1'], ['D', '1']])
  for (const net of [led, restarted, taught]) {
    net.pass(6000)
    expect(net.data('B')).toEqual({ y: '39' })
  }
})

test('the first leader of a generation goes on from there, too', () => {
  const net = formed('ABC', { expiryStampMs: 1_000_000 })
  net.writeFor('A', 'x', '1', 5000)
  net.pass(4000)
  net.crash('A')
  net.pass(3000)
  net.view(2, 'BC', 'ABC')
  net.pass(200)
  net.view(3, 'BCD', 'DBC')
  net.pass(1500)
  expect([net.leader, net.data('D').x]).toEqual(['D', '1'])
  net.pass(5000)
  expect(net.data('D')).toEqual({})
})

test('so many at a time, also where all are due at once', () => {
  const net = formed('ABC', { logEntriesMax: 100 })
  for (let key = 0; key < 10; key++) net.writeFor('A', `k${key}`, '1', 300)
  net.pass(3000)
  expect(net.data('B')).toEqual({})
  expect(expiries(net)).toEqual(['k0= k1= k2=', 'k3= k4= k5=', 'k6= k7= k8=', 'k9='])
})

test('where nothing expires nobody looks and nothing is logged', () => {
  const net = formed()
  net.write('A', 'x', '1')
  net.pass(20_000)
  expect(net.replica('A').copy!.last).toBe(2)
})

test('the rounded time is never below, and above by a 32nd at most', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 45 }), fc.integer({ min: 1, max: 3e11 }), (time, ttlMs) => {
    const late = expiryOf(time, ttlMs) - time - ttlMs
    expect(late).toBeGreaterThanOrEqual(0)
    expect(late).toBeLessThanOrEqual(ttlMs / 32)
  }))
})
