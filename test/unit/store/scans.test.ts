/**
 * Scans at the leader: a page is the state of a partition at one commit point, confirmed like a read, whatever is written while the
 * disk is being read; and pages follow one another without a gap, a repetition or an end that does not come.
 *
 * Mutations of the core that these tests caught: memory that ends at the data while the disk is read; a hold that is never let go; a
 * page begun without asking a majority; a leader that forgets the scans it had begun; changes laid over keys beyond the last one that
 * the disk gave; a page that begins with the key that ended the one before.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keyText } from '../../../store/group/copy.ts'
import { mergePage } from '../../../store/group/scans.ts'
import { commonPrefix, isPageOf, isWithin, prefixEnd, prefixRange, rest, type KeyRange, type ScanSpec } from '../../../store/scan-range.ts'
import { bytes, id, of, ReplicaNet } from './replica-harness.ts'

function formed (genesis = 'ABC', options = {}): ReplicaNet {
  const net = new ReplicaNet(genesis, options)
  net.view(1, genesis, genesis)
  net.settle()
  return net
}

describe('a page', () => {
  test('has what is committed and not in the data yet, absences included', () => {
    const net = formed()
    net.batch('A', { a: '1', b: '1', c: '1' })
    net.pass(200)
    expect(net.data('A')).toEqual({ a: '1', b: '1', c: '1' })
    net.batch('A', { a: '2', b: null, d: '2' })
    net.settle()
    expect(net.data('A'), 'not applied yet').toEqual({ a: '1', b: '1', c: '1' })
    const all = net.scan('A')
    const reverse = net.scan('A', { reverse: true })
    net.settle()
    expect([net.answer(all), net.answer(reverse)]).toEqual(['a=2 c=1 d=2', 'd=2 c=1 a=2'])
  })

  test('has nothing that is not committed', () => {
    const net = formed()
    net.lost = of('append', 'A')
    net.batch('A', { a: 'never' })
    const scan = net.scan('A')
    net.settle()
    expect(net.answer(scan)).toBe('')
  })

  test('is not answered by a leader that a majority has left', () => {
    const net = formed()
    net.batch('A', { a: '1' })
    net.settle()
    net.lost = of('*', 'A')
    const scan = net.scan('A')
    net.pass(300)
    expect(net.answer(scan)).toBe('waits')
    net.lost = () => false
    net.pass(300)
    expect(net.answer(scan)).toBe('a=1')
  })

  test('shows a batch whole or not at all, though it was committed and applied after the disk was read', () => {
    const net = formed()
    net.batch('A', { a: '1', b: '1' })
    net.pass(200)
    net.rangesRead = []
    const scan = net.scan('A')
    net.settle()
    expect(net.rangesRead).toHaveLength(1)
    // Two steps: with memory that ends at the data, the first would be gone from it, and the second still there.
    net.batch('A', { a: null, c: '2' })
    net.pass(200)
    expect(net.data('A')).toEqual({ b: '1', c: '2' })
    net.batch('A', { b: '3', d: '3' })
    net.settle()
    net.rangesRead[0]!()
    expect(net.answer(scan)).toBe('b=3 c=2 d=3')
  })

  test('and the memory that it needed is given back', () => {
    const net = formed()
    net.rangesRead = []
    const scan = net.scan('A')
    net.settle()
    net.batch('A', { a: '1' })
    net.pass(200)
    const { copy } = net.replica('A')
    expect(copy!.changesWithin({ from: bytes(''), to: null })).toHaveLength(1)
    net.rangesRead[0]!()
    expect(net.answer(scan)).toBe('a=1')
    expect(copy!.changesWithin({ from: bytes(''), to: null })).toHaveLength(0)
  })

  test('that a leader did not finish is asked for elsewhere', () => {
    const net = formed()
    net.rangesRead = []
    const scan = net.scan('A')
    net.settle()
    net.input('A', { kind: 'message', from: id('B'), message: { kind: 'refused', generation: 0, promised: { epoch: 9, attempt: 1, store: id('B') } } })
    expect(net.answer(scan)).toBe('NOT_LEADER')
    net.rangesRead[0]!()
    expect(net.answer(scan)).toBe('NOT_LEADER')
  })
})

test('a page ends where the disk was read to, though a change beyond it is known', () => {
  const item = (key: string) => ({ key: bytes(key), value: bytes('1'), seq: 1 })
  const changes = [{ key: bytes('a'), value: null, seq: 2 }, { key: bytes('z'), value: bytes('2'), seq: 3 }]
  const copy = { changesWithin: (range: KeyRange) => changes.filter(({ key }) => isWithin(key, range)) }
  const page = mergePage({ from: bytes(''), to: null, reverse: false, limit: 2, bytesMax: 1000, values: true }, [item('a'), item('b')], false, copy)
  expect(page.keys.map(keyText)).toEqual(['b'])
  expect(keyText(page.next!)).toBe('b\0')
})

const shortKey = fc.string({ unit: fc.constantFrom('a', 'b', '\0', '\xff'), maxLength: 2 }).map(text => Uint8Array.from(Buffer.from(text, 'latin1')))
const value = fc.constantFrom('1', '22').map(bytes)

test('pages together are the range, in order, whatever the limits, the data and the changes over it', () => {
  fc.assert(fc.property(
    fc.array(fc.tuple(shortKey, value), { minLength: 3 }), fc.array(fc.tuple(shortKey, fc.option(value, { freq: 2 }))), shortKey, fc.option(shortKey),
    fc.boolean(), fc.integer({ min: 1, max: 4 }), fc.constantFrom(0, 3, 1000),
    (stored, written, from, to, reverse, limit, bytesMax) => {
      fc.pre(to === null || Buffer.compare(from, to) < 0)
      const data = new Map(stored.map(([key, value]) => [keyText(key), { key, value, seq: 1 }]))
      const changes = new Map(written.map(([key, value]) => [keyText(key), { key, value, seq: 2 }]))
      const order = (a: { key: Uint8Array }, b: { key: Uint8Array }): number => Buffer.compare(a.key, b.key) * (reverse ? -1 : 1)
      const changed = [...changes.values()].sort((a, b) => Buffer.compare(a.key, b.key))
      const copy = { changesWithin: (range: KeyRange) => changed.filter(({ key }) => isWithin(key, range)) }
      const found: string[] = []
      let range: KeyRange | undefined = { from, to }
      while (range !== undefined) {
        const scan: ScanSpec = { ...range, reverse, limit, bytesMax, values: true }
        const inRange: KeyRange = range
        const all = [...data.values()].filter(({ key }) => isWithin(key, inRange)).sort(order)
        const page = mergePage(scan, all.slice(0, limit), all.length <= limit, copy)
        expect(isPageOf(page, scan)).toBe(true)
        expect(page.keys.length).toBeLessThanOrEqual(limit)
        page.keys.forEach((key, index) => found.push(`${keyText(key)}=${keyText(page.values[index]!)}`))
        range = page.next === null ? undefined : rest(range, reverse, page.next)
      }
      const both = [...new Map<string, { key: Uint8Array, value: Uint8Array | null }>([...data, ...changes]).values()]
      const expected = both.filter(({ key, value }) => value !== null && isWithin(key, { from, to })).sort(order)
      expect(found).toEqual(expected.map(({ key, value }) => `${keyText(key)}=${keyText(value!)}`))
    }), { numRuns: 300 })
})

describe('ranges', () => {
  test('the range of a prefix has exactly the keys that begin with it', () => {
    fc.assert(fc.property(shortKey, shortKey, (prefix, key) => {
      expect(isWithin(key, prefixRange(prefix))).toBe(keyText(key).startsWith(keyText(prefix)))
    }), { numRuns: 1000 })
    expect(prefixEnd(Uint8Array.of(0xff, 0xff))).toBeNull()
  })

  test('every key of a range begins with its common prefix, and a prefix is the common prefix of its range', () => {
    fc.assert(fc.property(shortKey, fc.option(shortKey), shortKey, (from, to, key) => {
      fc.pre(isWithin(key, { from, to }))
      expect(keyText(key).startsWith(keyText(commonPrefix({ from, to })))).toBe(true)
    }), { numRuns: 1000 })
    fc.assert(fc.property(shortKey, prefix => {
      fc.pre(prefix.length > 0 && prefix.at(-1) !== 0xff)
      expect(keyText(commonPrefix(prefixRange(prefix)))).toBe(keyText(prefix))
    }))
  })
})
