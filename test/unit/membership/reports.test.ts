/**
 * Reports (rules M3 and M11): the alerts about one subject merge as a mask, a joiner's record counts only as a whole, and what is no
 * observer's word counts for nothing.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Member } from '../../../membership/configuration.ts'
import { Overlay } from '../../../membership/overlay.ts'
import { recordDigest } from '../../../membership/record-digest.ts'
import { bitsOf, type Report, ReportBook, reportBy, reportOf } from '../../../membership/reports.ts'
import { makeConfiguration, makeMember } from './fixtures.ts'

const configuration = makeConfiguration(40)
const overlay = new Overlay(configuration, 10)
const subject = configuration.members[7]!
const joiner = makeMember('joiner')

const removal = (observers: number, attempt = 0): Report => ({ status: 'remove', attempt, subject: subject.id, observers })
const join = (observers: number, record: Member = joiner): Report =>
  ({ status: 'join', attempt: 0, record: recordDigest(record), joiner: record, observers })

describe('reports', () => {
  test('bitsOf gives every bit once, the highest included', () => {
    expect(bitsOf(0)).toEqual([])
    expect(bitsOf(2 ** 31 + 5)).toEqual([0, 2, 31])
    expect(bitsOf(2 ** 32 - 1)).toEqual(Array.from({ length: 32 }, (_, bit) => bit))
  })

  test('an observer reports with its own bit; who does not observe the subject has none', () => {
    for (const observer of configuration.members) {
      const observers = overlay.observersOf(subject.id)
      const report = reportBy(observer.id, overlay, { subject: subject.id }, 2)
      if (!observers.includes(observer.id)) expect(report).toBeUndefined()
      else expect(report).toEqual({ status: 'remove', attempt: 2, subject: subject.id, observers: 2 ** observers.indexOf(observer.id) })
    }
  })

  test('only new bits are news, in whatever order and however often masks come', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 20 }), masks => {
      const book = new ReportBook(overlay)
      let known = 0
      for (const mask of masks) {
        const expected = (mask & 0b11_1111_1111 & ~known) >>> 0
        const news = book.add(removal(mask))
        expect(news?.fresh ?? 0).toBe(expected)
        known |= expected
        if (known !== 0) expect([...book.entries()].map(({ mask: all }) => all)).toEqual([known])
      }
    }))
  })

  test('attempts, and removals and joins, are told apart', () => {
    const book = new ReportBook(overlay)
    expect(book.add(removal(1))?.fresh).toBe(1)
    expect(book.add(removal(1, 1))?.fresh).toBe(1)
    expect(book.add(join(1))?.fresh).toBe(1)
    expect([...book.entries()]).toHaveLength(3)
  })

  test('a report about nobody known means nothing', () => {
    const book = new ReportBook(overlay)
    expect(book.add({ status: 'remove', attempt: 0, subject: joiner.id, observers: 3 })).toBeUndefined()
    // Also once the overlay was asked about it as a joiner.
    book.add(join(3))
    expect(book.add({ status: 'remove', attempt: 0, subject: joiner.id, observers: 3 })).toBeUndefined()
  })

  test('a record is told once; by itself its digest names it, and without it a report waits', () => {
    const [sender, receiver, late] = [new ReportBook(overlay), new ReportBook(overlay), new ReportBook(overlay)]
    const first = sender.add(join(0b1))!
    const told = reportOf(first.entry, first.fresh, true)
    const second = sender.add(join(0b10))!
    const brief = reportOf(second.entry, second.fresh, false)
    expect(brief).not.toHaveProperty('joiner')
    expect(receiver.add(told)?.entry.joiner).toEqual(joiner)
    expect(receiver.add(brief)).toMatchObject({ fresh: 0b10, entry: { joiner, mask: 0b11 } })
    expect(late.add(brief)).toBeUndefined()
    expect(late.add(reportOf(second.entry, second.entry.mask, true))?.fresh).toBe(0b11)
  })

  test('a record that is not the one its digest names is refused', () => {
    const book = new ReportBook(overlay)
    expect(book.add({ ...join(1), joiner: { ...joiner, incarnation: joiner.incarnation + 1 } })).toBeUndefined()
    expect([...book.entries()]).toEqual([])
  })

  test('two records of one joiner are two joiners', () => {
    const book = new ReportBook(overlay)
    const other = { ...joiner, incarnation: joiner.incarnation + 1 }
    expect(book.add(join(0b1))?.fresh).toBe(1)
    expect(book.add(join(0b1, other))?.fresh).toBe(1)
    expect([...book.entries()].map(entry => entry.joiner)).toEqual([joiner, other])
  })
})
