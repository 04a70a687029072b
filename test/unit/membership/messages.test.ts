/**
 * What arrives on the membership channel is hostile until it was validated.
 *
 * Mutations that were tried and are caught here: passing unknown kinds on; not bounding lists; accepting unsorted cuts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembershipError } from '../../../membership/errors.ts'
import { validateMessage } from '../../../membership/message-validation.ts'
import { PROTOCOL_VERSION } from '../../../membership/messages.ts'

const sender = { id: 'a', address: '10.0.0.1:7000' }
const position = { clusterId: 'c', epoch: 3, configurationId: 'x' }
const member = { id: 'j', address: '10.0.0.9:7000', storeId: 's', incarnation: 1, metadata: { zone: 'z', weight: 1, tags: { rack: '7' } }, metadataVersion: 2 }
const update = { member: 'u', version: 1, metadata: member.metadata }
const ask = { kind: 'join-ask', protocol: PROTOCOL_VERSION, clusterName: 'test', clusterId: '', settings: { q: 64 }, member, founding: false }

const valid: Record<string, unknown>[] = [
  { kind: 'probe', sender, position, to: 'b', sequence: 4 },
  { kind: 'probe-reply', sender, position, member, clusterName: 'test', to: 'b', sequence: 4 },
  ask,
  { kind: 'join-request', ask, position },
  { kind: 'join-observers', position, observers: ['10.0.0.2:7000'] },
  { kind: 'join-held', clusterId: 'c', held: 3, expected: 9 },
  { kind: 'join-redirect', addresses: ['10.0.0.2:7000'] },
  { kind: 'join-refused', reason: 'no', retry: false, spent: false },
  { kind: 'admitted', position, member: 'j', offer: true },
  { kind: 'snapshot', configuration: Uint8Array.of(1), state: new Uint8Array(0) },
  { kind: 'fetch-decisions', sender, position, gap: false },
  {
    kind: 'decisions', sender, position,
    decisions: [{ previousId: 'x', epoch: 4, id: 'y', cut: { joins: [member], removals: ['a', 'b'], updates: [update] }, ballot: { round: 0, member: 0 }, voters: ['a'] }]
  },
  { kind: 'alerts', sender, position, reports: [{ status: 'remove', attempt: 0, subject: 'b', observers: 0b101 }] },
  { kind: 'alerts', sender, position, reports: [{ status: 'join', attempt: 1, record: 'd', joiner: member, observers: 2 ** 31 }] },
  { kind: 'alerts', sender, position, reports: [{ status: 'join', attempt: 0, record: 'd', observers: 1 }] },
  { kind: 'alerts', sender, position, reports: [{ status: 'update', attempt: 0, update, observers: 1 }] },
  { kind: 'leave', sender, position },
  { kind: 'returned', sender, position, member, others: [member], answer: true },
  { kind: 'present', sender, position, others: [member] }
]

describe('validation of messages', () => {
  test('every kind of message passes, as an equal and fresh value', () => {
    for (const message of valid) {
      const validated = validateMessage(message)
      expect(validated).toEqual(message)
      expect(validated).not.toBe(message)
    }
  })

  test('a message that lacks any one field, or has another type there, is refused', () => {
    for (const message of valid) {
      for (const field of Object.keys(message)) {
        const { [field]: _, ...rest } = message
        expect(() => validateMessage(rest), `${String(message['kind'])} without ${field}`).toThrow(MembershipError)
        for (const wrong of [null, Symbol.iterator, { a: {} }, Number.NaN]) {
          expect(() => validateMessage({ ...message, [field]: wrong }), `${String(message['kind'])}.${field}`).toThrow(MembershipError)
        }
      }
    }
  })

  test('lists and strings have bounds, cuts are sorted, addresses have ports', () => {
    const report = (observers: number): unknown => ({ status: 'remove', attempt: 0, subject: 'b', observers })
    const decision = (cut: unknown): unknown => ({
      kind: 'decisions', sender, position, decisions: [{ previousId: 'x', epoch: 4, id: 'y', cut, ballot: { round: 0, member: 0 }, voters: ['a'] }]
    })
    const bad = [
      { kind: 'alerts', sender, position, reports: Array.from({ length: 5000 }, () => report(1)) },
      { kind: 'alerts', sender, position, reports: [report(2 ** 32)] },
      { kind: 'alerts', sender, position, reports: [report(-1)] },
      { kind: 'alerts', sender, position, reports: [{ status: 'join', attempt: 0, joiner: member, observers: 1 }] },
      { kind: 'leave', sender: { ...sender, id: 'i'.repeat(65) }, position },
      { kind: 'leave', sender: { ...sender, address: 'nowhere' }, position },
      decision({ joins: [], removals: ['b', 'a'], updates: [] }),
      decision({ joins: [], removals: ['a', 'a'], updates: [] }),
      decision({ joins: [], removals: [], updates: [] }),
      decision({ joins: [], removals: ['a'] }),
      decision({ joins: [], removals: [], updates: [{ ...update, member: 'v' }, update] }),
      decision({ joins: [], removals: [], updates: [update, { ...update, version: 2 }] }),
      decision({ joins: [{ ...member, metadataVersion: -1 }], removals: [], updates: [] }),
      ...[
        { ...update, version: 0 }, { ...update, version: 0.5 }, { ...update, version: undefined }, { ...update, member: '' }, { ...update, metadata: {} },
        { ...update, metadata: { zone: 'z'.repeat(129), weight: 1, tags: {} } }, { ...update, metadata: { zone: '', weight: 1001, tags: {} } },
        { ...update, metadata: { zone: '', weight: 1, tags: { name: 'v'.repeat(513) } } },
        { ...update, metadata: { zone: '', weight: 1, tags: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [i, 'v'])) } }
      ].flatMap(wrong => [
        decision({ joins: [], removals: [], updates: [wrong] }),
        { kind: 'alerts', sender, position, reports: [{ status: 'update', attempt: 0, update: wrong, observers: 1 }] }
      ]),
      { kind: 'alerts', sender, position, reports: [{ status: 'update', attempt: 0, update, observers: 3 }] },
      { kind: 'alerts', sender, position, reports: [{ status: 'update', attempt: 0, update, observers: 0 }] },
      { kind: 'alerts', sender, position, reports: [{ status: 'update', attempt: 0, observers: 1 }] }
    ]
    for (const message of bad) expect(() => validateMessage(message)).toThrow(MembershipError)
  })

  test('arbitrary values never pass, and never fail in another way', () => {
    fc.assert(fc.property(fc.anything(), value => {
      expect(() => validateMessage(value)).toThrow(MembershipError)
    }), { numRuns: 500 })
  })
})
