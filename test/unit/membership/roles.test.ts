/**
 * Voters and agents (rule M13; Rapid, USENIX ATC '18, section 5): who counts, what a cut may do to voters, how roles are told, and whom
 * alerts and votes go to.
 *
 * Mutations caught: agents counted in quorums; a cut that may remove the last voter; a cut detector that spares no voter where all are
 * accused; decisions told to no agent; alerts told to voters alone; a role that is not in the digest.
 */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { BroadcastMessage } from '../../../membership/broadcaster.ts'
import { createBitmap, setBit } from '../../../membership/bitmap.ts'
import {
  cutDigest, foundingConfiguration, nextConfiguration, normalizeCut, type ClusterId, type Configuration, type Cut, type Member, type MemberId
} from '../../../membership/configuration.ts'
import { Consensus } from '../../../membership/consensus.ts'
import { checkDecision, cutError, type Decision } from '../../../membership/consensus-decision.ts'
import { CutDetector } from '../../../membership/cut-detector.ts'
import { listenersOf } from '../../../membership/decision-spread.ts'
import { Electorate } from '../../../membership/electorate.ts'
import { gossip } from '../../../membership/gossip-broadcaster.ts'
import type { Alerts } from '../../../membership/messages.ts'
import { resolveOptions } from '../../../membership/options.ts'
import { LAN } from '../../../membership/tuning.ts'
import { Overlay } from '../../../membership/overlay.ts'
import { recordDigest } from '../../../membership/record-digest.ts'
import type { Report } from '../../../membership/reports.ts'
import { View } from '../../../membership/view.ts'
import { configuration as checkConfiguration, member as checkMember } from '../../../membership/wire-checks.ts'
import { makeConfiguration, makeMember } from './fixtures.ts'

/** The first `voters` members vote, the others are agents. */
function withRoles (size: number, voters: number): Configuration {
  const configuration = makeConfiguration(size)
  return { ...configuration, members: configuration.members.map((member, i) => i < voters ? member : { ...member, role: 'agent' }) }
}

const agent = (name: string): Member => makeMember(name, { role: 'agent' })
const idsOf = (members: readonly Member[]): MemberId[] => members.map(({ id }) => id)

describe('the electorate', () => {
  test.each([[1, 1, 1], [2, 2, 2], [3, 2, 3], [4, 3, 3], [5, 3, 4], [7, 4, 6]])('of %i voters and 50 agents: c = %i, f = %i', (voters, c, f) => {
    const electorate = Electorate.of(withRoles(voters + 50, voters))
    expect([electorate.size, electorate.classicQuorum, electorate.fastQuorum, electorate.isPartial]).toEqual([voters, c, f, true])
  })

  test('numbers the voters, and no agent', () => {
    const configuration = withRoles(6, 3)
    const electorate = Electorate.of({ ...configuration, members: [...configuration.members].reverse().sort((a, b) => a.id < b.id ? -1 : 1) })
    expect(configuration.members.map(({ id }) => electorate.indexOf(id))).toEqual([0, 1, 2, -1, -1, -1])
    const mixed = { ...configuration, members: configuration.members.map((member, i) => i % 2 === 0 ? { ...member, role: 'agent' as const } : makeVoter(member)) }
    expect(mixed.members.map(({ id }) => Electorate.of(mixed).indexOf(id))).toEqual([-1, 0, -1, 1, -1, 2])
  })

  test('is everybody where nobody is an agent', () => {
    const configuration = makeConfiguration(9)
    expect(Electorate.of(configuration).voters).toBe(configuration.members)
    expect(Electorate.of(configuration).isPartial).toBe(false)
  })
})

function makeVoter ({ role: _role, ...member }: Member): Member {
  return member
}

describe('decisions', () => {
  const configuration = withRoles(10, 3)
  const ids = idsOf(configuration.members)
  const cut = normalizeCut([], [ids[9]!])
  const decision = (voters: readonly MemberId[], fast: boolean): Decision =>
    ({ cut, digest: cutDigest(cut), ballot: fast ? { round: 0, member: 0 } : { round: 1, member: 0 }, voters, fast })

  test('take a quorum of the voters, and of nobody else', () => {
    expect(() => { checkDecision(configuration, decision(ids.slice(0, 3), true)) }).not.toThrow()
    expect(() => { checkDecision(configuration, decision(ids.slice(0, 2), false)) }).not.toThrow()
    expect(() => { checkDecision(configuration, decision(ids.slice(0, 2), true)) }).toThrow(/fewer than the quorum of 3/)
    expect(() => { checkDecision(configuration, decision(ids.slice(0, 1), false)) }).toThrow(/fewer than the quorum of 2/)
    expect(() => { checkDecision(configuration, decision(ids, true)) }).toThrow(/has no vote/)
    expect(() => { checkDecision(configuration, decision([ids[0]!, ids[5]!], false)) }).toThrow(/has no vote/)
    expect(() => { checkDecision(configuration, { ...decision(ids.slice(0, 2), false), ballot: { round: 1, member: 3 } }) }).toThrow(/owns its ballot/)
  })

  test('the voters of the configuration before count, not those that a cut lets in', () => {
    const wide = normalizeCut(['a', 'b', 'c', 'd'].map(name => makeMember(name)), [])
    expect(() => { checkDecision(configuration, { ...decision(ids.slice(0, 3), true), cut: wide, digest: cutDigest(wide) }) }).not.toThrow()
    expect(Electorate.of(nextConfiguration(configuration, wide)).size).toBe(7)
  })

  test('an agent takes no part in consensus, and its word is refused', () => {
    expect(() => new Consensus({ configuration, self: ids[5]! })).toThrow(/no voter/)
    const voter = new Consensus({ configuration, self: ids[0]! })
    const bitmap = createBitmap(3)
    setBit(bitmap, 1)
    const message = { kind: 'votes', configurationId: configuration.id, epoch: configuration.epoch, proposals: [{ digest: cutDigest(cut), cut, bitmap }] } as const
    expect(() => voter.apply(0, { kind: 'message', from: ids[5]!, message })).toThrow(/no voter/)
    const wide = { ...message, proposals: [{ ...message.proposals[0], bitmap: createBitmap(10) }] }
    expect(() => voter.apply(0, { kind: 'message', from: ids[1]!, message: wide })).toThrow(/bitmap/)
    expect(voter.apply(0, { kind: 'message', from: ids[1]!, message }).some(({ kind }) => kind === 'decide')).toBe(false)
  })
})

describe('cuts', () => {
  const configuration = withRoles(12, 2)
  const [first, second, ...agents] = idsOf(configuration.members)

  test('leave at least one voter, an old or a new one', () => {
    const error = (cut: Cut): string | undefined => cutError(configuration, cut)
    expect(error(normalizeCut([], agents))).toBeUndefined()
    expect(error(normalizeCut([], [first!]))).toBeUndefined()
    expect(error(normalizeCut([], [first!, second!]))).toBe('it leaves no voter')
    expect(error(normalizeCut([agent('new')], [first!, second!]))).toBe('it leaves no voter')
    expect(error(normalizeCut([makeMember('new')], [first!, second!]))).toBeUndefined()
  })

  test('where all voters are accused none of them is removed, the agents that are, are; the accusations end', () => {
    const overlay = new Overlay(configuration, LAN.ringCount)
    const detector = new CutDetector(configuration, overlay, LAN)
    for (const subject of [first!, second!, agents[0]!]) {
      for (const observer of overlay.observersOf(subject)) detector.reportRemoval(observer, subject)
    }
    expect(detector.proposal(0)?.removals).toEqual([agents[0]])
    expect(detector.expire(LAN.unstableTimeoutMs * 2).lapsed.map(({ subject }) => subject).sort()).toEqual([first, second].sort())
    for (const observer of overlay.observersOf(first!)) detector.reportRemoval(observer, first!)
    expect(detector.proposal(LAN.unstableTimeoutMs * 2)?.removals).toEqual([first, agents[0]].sort())
  })
})

describe('roles are told', () => {
  test('in the ids of configurations and cuts; a cluster of voters has the ids that it had without roles', () => {
    const founding = (member: Member): string => foundingConfiguration('cluster' as ClusterId, 'test', {}, member).id
    expect(cutDigest(normalizeCut([makeMember('x')], []))).not.toBe(cutDigest(normalizeCut([agent('x')], [])))
    const { id, address, storeId } = makeMember('x')
    const encoded = JSON.stringify(['cluster', 'test', [], [id, address, storeId, 1, ['', 1, []], 0]])
    expect(founding(makeMember('x'))).toBe(createHash('sha256').update(encoded).digest('hex').slice(0, 32))
  })

  test('on the wire: an agent is one, any other word is refused, and so is a configuration without voters', () => {
    expect(checkMember(agent('x'), 'member')).toEqual(agent('x'))
    expect(checkMember(makeMember('x'), 'member')).toEqual(makeMember('x'))
    expect(() => checkMember({ ...makeMember('x'), role: 'king' }, 'member')).toThrow(/role/)
    expect(() => checkConfiguration(withRoles(3, 0), 'configuration')).toThrow(/no voters/)
    expect(checkConfiguration(withRoles(3, 1), 'configuration')).toEqual(withRoles(3, 1))
  })

  test('as an option: a voter unless it says otherwise; an agent founds nothing', () => {
    expect(resolveOptions({ clusterName: 'x', found: true }).role).toBe('voter')
    expect(resolveOptions({ clusterName: 'x', seeds: ['a:1'], role: 'agent' }).role).toBe('agent')
    expect(() => resolveOptions({ clusterName: 'x', seeds: ['a:1'], role: 'king' as never })).toThrow(/role must be/)
    expect(() => resolveOptions({ clusterName: 'x', found: true, role: 'agent' })).toThrow(/founds no cluster/)
  })
})

describe('the spread', () => {
  class Teller {
    readonly view: View
    readonly sent: { readonly to: readonly MemberId[], readonly message: BroadcastMessage }[] = []
    readonly broadcaster

    constructor (configuration: Configuration, self: number) {
      this.view = new View(configuration, configuration.members[self]!, LAN.ringCount)
      this.broadcaster = gossip(this.view, LAN, (to, message) => { this.sent.push({ to, message }) })
    }

    tell (...reports: Report[]): MemberId[] {
      this.sent.length = 0
      const alerts: Alerts = { kind: 'alerts', sender: this.view.sender, position: this.view.position, reports }
      this.broadcaster.originate(0, alerts)
      return this.sent.flatMap(({ to }) => to).sort()
    }
  }

  const configuration = withRoles(100, 3)
  const voters = idsOf(configuration.members.slice(0, 3))

  test('of removals: to the voters and to who observes the same member; of joins to these once they are repeated', () => {
    const teller = new Teller(configuration, 50)
    const subject = teller.view.subjects[0]!
    const observers = teller.view.overlay.observersOf(subject)
    const everybody = [...new Set([...voters, ...observers])].filter(id => id !== teller.view.self.id).sort()
    const removal: Report = { status: 'remove', attempt: 0, subject, observers: 2 ** observers.indexOf(teller.view.self.id) }
    expect(teller.tell(removal)).toEqual(everybody)
    const joiner = makeMember('joiner')
    const join: Report = { status: 'join', attempt: 0, record: recordDigest(joiner), joiner, observers: 1 }
    expect(teller.tell(join)).toEqual([...voters].sort())
    const again = [...new Set([...voters, ...teller.view.overlay.observersOfJoiner(joiner.id)])].filter(id => id !== teller.view.self.id).sort()
    expect(teller.tell(join)).toEqual(again)
  })

  test('of votes: to the other voters', () => {
    const teller = new Teller(configuration, 1)
    const message = { kind: 'prepare', configurationId: configuration.id, epoch: configuration.epoch, ballot: { round: 1, member: 1 } } as const
    teller.broadcaster.originate(0, { kind: 'consensus', sender: teller.view.sender, position: teller.view.position, message })
    expect(teller.sent.flatMap(({ to }) => to).sort()).toEqual([voters[0], voters[2]].sort())
  })

  test('of an agent where the voters are many: to K of them, others each time', () => {
    const many = withRoles(100, 40)
    const teller = new Teller(many, 60)
    const update: Report = { status: 'update', attempt: 0, observers: 1, update: { member: teller.view.self.id, version: 1, metadata: { zone: 'b', weight: 1, tags: {} } } }
    const [one, two] = [teller.tell(update), teller.tell(update)]
    expect([one.length, two.length]).toEqual([10, 10])
    expect(one.some(id => two.includes(id))).toBe(false)
    expect([...one, ...two].every(id => Electorate.of(many).indexOf(id) >= 0)).toBe(true)
  })

  test('of a decision: by everybody to four of the agents it observes, which reaches nearly all; with no agents to nobody', () => {
    const before = withRoles(500, 3)
    const after = nextConfiguration(before, normalizeCut([], [before.members[400]!.id]))
    const told = new Set<MemberId>()
    const news = idsOf(before.members.slice(0, 3))
    for (let id = news.pop(); id !== undefined; id = news.pop()) {
      const self = after.members.find(member => member.id === id)!
      const listeners = listenersOf(new View(before, self, LAN.ringCount), new View(after, self, LAN.ringCount))
      expect(listeners.length).toBeLessThanOrEqual(4)
      for (const listener of listeners) if (!told.has(listener)) news.push(listener)
      for (const listener of listeners) told.add(listener)
    }
    expect(told.size).toBeGreaterThan(0.95 * 496)
    const plain = makeConfiguration(20)
    expect(listenersOf(new View(plain, plain.members[0]!, 10), new View(plain, plain.members[0]!, 10))).toEqual([])
  })
})
