/**
 * Reports (rule M11): a subject's record travels once, beside all who reported it, and nothing else changes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Member, type MemberId } from '../../../membership/configuration.ts'
import { type Alert } from '../../../membership/messages.ts'
import { alertsOf, reportsOf } from '../../../membership/reports.ts'

const joiner = (id: string, incarnation = 1): Member =>
  ({ id, address: '10.0.0.1:7000', storeId: id, incarnation, metadata: { zone: '', weight: 1, tags: {} } }) as unknown as Member
const join = (observer: string, record: Member, attempt = 0): Alert => ({ status: 'join', observer: observer as MemberId, attempt, joiner: record })
const remove = (observer: string, subject: string, attempt = 0): Alert =>
  ({ status: 'remove', observer: observer as MemberId, attempt, subject: subject as MemberId })

describe('reports', () => {
  test('alerts about one record share a report', () => {
    const [x, y] = [joiner('x'), joiner('y')]
    expect(reportsOf([join('a', x), join('b', y), join('c', x), remove('a', 'z'), remove('b', 'z')])).toEqual([
      { status: 'join', attempt: 0, joiner: x, observers: ['a', 'c'] },
      { status: 'join', attempt: 0, joiner: y, observers: ['b'] },
      { status: 'remove', attempt: 0, subject: 'z', observers: ['a', 'b'] }
    ])
  })

  test('two records of one joiner, and two attempts, never share one', () => {
    const [first, second] = [joiner('x', 1), joiner('x', 2)]
    expect(reportsOf([join('a', first), join('b', second), join('c', first, 1)]).map(({ observers }) => observers)).toEqual([['a'], ['b'], ['c']])
  })

  test('reports hold exactly the alerts they were made of', () => {
    const records = [joiner('x'), joiner('y'), joiner('x', 2)]
    const alert = fc.oneof(
      fc.record({ observer: fc.constantFrom('a', 'b', 'c'), record: fc.constantFrom(...records), attempt: fc.nat(2) })
        .map(({ observer, record, attempt }) => join(observer, record, attempt)),
      fc.record({ observer: fc.constantFrom('a', 'b', 'c'), subject: fc.constantFrom('y', 'z'), attempt: fc.nat(2) })
        .map(({ observer, subject, attempt }) => remove(observer, subject, attempt))
    )
    const sorted = (alerts: readonly Alert[]): string[] => alerts
      .map(({ status, observer, attempt, subject, joiner: record }) => JSON.stringify([status, observer, attempt, subject, record])).sort()
    fc.assert(fc.property(fc.array(alert, { maxLength: 30 }), alerts => {
      expect(sorted(alertsOf(reportsOf(alerts)))).toEqual(sorted(alerts))
    }))
  })
})
