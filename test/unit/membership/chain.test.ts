/**
 * The log of decisions and the chain (rule M12): fetched decisions are applied only if they follow and their quorum checks.
 *
 * Mutations that were tried and are caught here: not checking the quorum; not checking that a record follows; answering a gap
 * request with a snapshot although the log reaches.
 */
import { describe, expect, test } from 'vitest'
import { Chain } from '../../../membership/chain.ts'
import {
  cutDigest, foundingConfiguration, nextConfiguration, normalizeCut, type ClusterId, type Configuration, type Member, type MemberId, type StoreId
} from '../../../membership/configuration.ts'
import type { Decision } from '../../../membership/consensus-decision.ts'
import { LOG_LENGTH_MAX, recordOf } from '../../../membership/decision-log.ts'
import { Outbox } from '../../../membership/effects.ts'
import type { DecisionRecord, MembershipMessage } from '../../../membership/messages.ts'
import { View } from '../../../membership/view.ts'

const member = (index: number): Member => ({
  id: `member ${String(index).padStart(4, '0')}` as MemberId, address: `10.0.0.1:${index + 1}`, storeId: `store ${index}` as StoreId, incarnation: 1,
  metadata: { zone: '', weight: 1, tags: {} }, metadataVersion: 0
})
const self = member(0)

function decide (configuration: Configuration, joins: Member[]): { next: Configuration, decision: Decision } {
  const cut = normalizeCut(joins, [])
  const voters = configuration.members.map(({ id }) => id)
  const decision: Decision = { cut, digest: cutDigest(cut), ballot: { round: 0, member: 0 }, voters, fast: true }
  return { next: nextConfiguration(configuration, cut), decision }
}

/** A chain at the end of a history of so many configurations, and the history. */
function history (length: number): { chain: Chain<undefined>, out: Outbox<undefined>, configurations: Configuration[] } {
  const out = new Outbox<undefined>()
  const chain = new Chain<undefined>(undefined, out)
  let configuration = foundingConfiguration('cluster' as ClusterId, 'test', {}, self)
  chain.enter(new View(configuration, self, 10), undefined, undefined)
  const configurations = [configuration]
  for (let i = 1; i < length; i++) {
    const { next, decision } = decide(configuration, [member(i)])
    chain.enter(new View(next, self, 10), undefined, recordOf(configuration, next, decision))
    configurations.push(next)
    configuration = next
  }
  return { chain, out, configurations }
}

const positionOf = ({ clusterId, epoch, id }: Configuration): { clusterId: ClusterId, epoch: number, configurationId: Configuration['id'] } =>
  ({ clusterId, epoch, configurationId: id })

function answer (chain: Chain<undefined>, out: Outbox<undefined>, at: Configuration, gap: boolean): MembershipMessage {
  const sender = { id: 'x' as MemberId, address: '10.0.0.1:9999' }
  chain.answer({ address: undefined, connectionId: 1 }, { kind: 'fetch-decisions', sender, position: positionOf(at), gap })
  const [effect] = out.drain()
  return effect?.kind === 'reply' ? effect.message : expect.unreachable()
}

describe('the chain of configurations (M12)', () => {
  test('a member that is behind gets the decisions it missed and applies them to the same configurations', () => {
    const { chain, out, configurations } = history(20)
    const reply = answer(chain, out, configurations[4]!, false)
    if (reply.kind !== 'decisions') return expect.unreachable()
    const late = history(5)
    late.chain.fetched(reply.decisions)
    for (let i = 5; i < 20; i++) {
      const decision = late.chain.nextMissed()!
      const next = nextConfiguration(configurations[i - 1]!, decision.cut)
      expect(next).toEqual(configurations[i])
      late.chain.enter(new View(next, self, 10), undefined, recordOf(configurations[i - 1]!, next, decision))
    }
    expect(late.chain.nextMissed()).toBeUndefined()
  })

  const forgeries: [string, (record: DecisionRecord) => DecisionRecord][] = [
    ['too few voters', record => ({ ...record, voters: record.voters.slice(1, 3) })],
    ['a voter twice', record => ({ ...record, voters: [...record.voters.slice(1), record.voters[1]!] })],
    ['a voter that is no member', record => ({ ...record, voters: [...record.voters.slice(1), 'stranger' as MemberId] })],
    ['another cut', record => ({ ...record, cut: normalizeCut([member(77)], []) })],
    ['another id', record => ({ ...record, id: 'other' as DecisionRecord['id'] })],
    ['another epoch', record => ({ ...record, epoch: record.epoch + 1 })]
  ]
  for (const [what, forge] of forgeries) {
    test(`a decision with ${what} is refused, and so is what follows it`, () => {
      const { chain, out, configurations } = history(8)
      const reply = answer(chain, out, configurations[4]!, false)
      if (reply.kind !== 'decisions') return expect.unreachable()
      const late = history(5)
      late.chain.fetched([forge(reply.decisions[0]!), ...reply.decisions.slice(1)])
      expect(late.chain.nextMissed()).toBeUndefined()
      expect(late.out.drain()).toMatchObject([{ kind: 'warn' }])
      expect(late.chain.nextMissed()).toBeUndefined()
    })
  }

  test('the log is bounded; who is further behind gets a whole configuration, but only when it asks for one', () => {
    const { chain, out, configurations } = history(LOG_LENGTH_MAX + 10)
    expect(answer(chain, out, configurations[2]!, false)).toMatchObject({ kind: 'decisions', decisions: [] })
    expect(answer(chain, out, configurations[2]!, true)).toMatchObject({ kind: 'snapshot' })
    expect(answer(chain, out, configurations[50]!, true)).toMatchObject({ kind: 'decisions' })
  })

  test('M3: who was removed does not come back under the same id, and is told so as far as the log reaches', () => {
    const { chain, configurations } = history(6)
    const last = configurations.at(-1)!
    const cut = normalizeCut([], [member(3).id])
    const next = nextConfiguration(last, cut)
    const voters = last.members.map(({ id }) => id)
    expect(chain.objection(member(3))).toBeUndefined()
    const decision: Decision = { cut, digest: cutDigest(cut), ballot: { round: 0, member: 0 }, voters, fast: true }
    chain.enter(new View(next, self, 10), undefined, recordOf(last, next, decision))
    expect(chain.objection(member(3))).toContain('was removed')
    expect(chain.objection(member(4))).toBeUndefined()
  })

  test('the ids of epochs are known as far as the log reaches', () => {
    const { chain, configurations } = history(6)
    for (const { epoch, id } of configurations.slice(1)) expect(chain.idOf(epoch)).toBe(id)
    expect(chain.idOf(99)).toBeUndefined()
  })
})
