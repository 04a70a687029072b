/**
 * Coming back from a disk (rule M4), step by step: what one process says and does, the test playing all the others.
 *
 * Mutations that were tried and are caught here: ballots begun without a majority, or while the living are one; answers that count for
 * ever, or processes that count before they answered; an older configuration taken over, by a restart or by a joiner; a lower incarnation
 * accepted, and a second process with the same one; two configurations of one epoch that go unnoticed; ballots begun as one that lives would
 * begin them, for what most of those voted for who have answered.
 */
import { describe, expect, test } from 'vitest'
import { cutDigest, nextConfiguration, normalizeCut, type Configuration, type Member, type MemberId } from '../../../membership/configuration.ts'
import type { ConsensusMessage, ConsensusRecord } from '../../../membership/consensus.ts'
import { recordOf } from '../../../membership/decision-log.ts'
import { windowedPing } from '../../../membership/detector/windowed-ping.ts'
import { Outbox, type Kept, type MembershipEffect, type Peer } from '../../../membership/effects.ts'
import type { MembershipError } from '../../../membership/errors.ts'
import { gossip } from '../../../membership/gossip-broadcaster.ts'
import { MembershipCore } from '../../../membership/membership-core.ts'
import { NOWHERE, PROTOCOL_VERSION, positionOf, type DecisionRecord, type MembershipMessage, type Returned } from '../../../membership/messages.ts'
import { resolveOptions } from '../../../membership/options.ts'
import { Restart, type RestartMessage } from '../../../membership/restart.ts'
import { Roster } from '../../../membership/roster.ts'
import { encodeSnapshot } from '../../../membership/snapshot.ts'
import { makeConfiguration, makeMember } from './fixtures.ts'

const options = resolveOptions({ clusterName: 'test', seeds: ['seed:7000'] })

/** The process that comes back on the store of a member. */
const successorOf = (member: Member, run = 2, address = member.address): Member =>
  ({ ...makeMember(`${member.id} ${run}`), address, storeId: member.storeId, incarnation: run })

const peerOf = (address: string): Peer => ({ address, connectionId: 1 })

/** The first member of a configuration comes back; the test answers for the others. */
class Alone {
  readonly configuration: Configuration
  readonly former: Member
  readonly self: Member
  readonly others: readonly Member[]
  readonly restart: Restart<undefined>
  readonly admitted: [configuration: Configuration, origin: DecisionRecord | undefined][] = []
  readonly released: number[] = []
  readonly failures: MembershipError[] = []
  readonly #out = new Outbox<undefined>()
  now = 1000

  constructor (size: number, kept: Partial<Kept<undefined>> = {}) {
    this.configuration = kept.configuration ?? makeConfiguration(size)
    const [former, ...others] = this.configuration.members
    this.former = former!
    this.others = others
    this.self = successorOf(this.former)
    this.restart = new Restart({ self: this.self, options, fold: undefined, out: this.#out }, {
      admitted: (_now, configuration, _state, origin) => { this.admitted.push([configuration, origin]) },
      released: ({ configuration: { epoch } }) => { this.released.push(epoch) },
      failed: error => { this.failures.push(error) }
    })
    this.restart.seeds(['seed:7000'])
    this.restart.resume(this.now, { configuration: this.configuration, state: undefined, origin: undefined, acceptor: undefined, ...kept })
  }

  /** What happened since the last look, after whatever was due. */
  drain (): MembershipEffect<undefined>[] {
    this.restart.advance(this.now)
    return this.#out.drain()
  }

  /** The same, with each record durable at once. */
  durably (): MembershipEffect<undefined>[] {
    const effects = this.drain()
    for (const effect of effects) {
      if (effect.kind !== 'persist') continue
      this.restart.persisted(this.now, effect.token)
      effects.push(...this.drain())
    }
    return effects
  }

  /** Whether it starts a ballot, now or when its turn comes among those that came back. */
  begins (): boolean {
    const endMs = this.now + 2 * options.recoveryRankDelayMs * this.configuration.members.length
    for (; this.now <= endMs; this.now += 10) if (this.drain().some(({ kind }) => kind === 'persist')) return true
    return false
  }

  hear (from: Member, message: RestartMessage): void {
    this.restart.message(this.now, peerOf(from.address), message)
  }

  /** Another process that came back says so; by default as an answer, which shows that it is there. */
  returned (member: Member, change: Partial<Returned> = {}): void {
    const sender = { id: member.id, address: member.address }
    this.hear(member, { kind: 'returned', sender, position: positionOf(this.configuration), member, others: [], answer: true, ...change })
  }

  present (member: Member, configuration = this.configuration): void {
    this.hear(member, { kind: 'present', sender: { id: member.id, address: member.address }, position: positionOf(configuration), others: [] })
  }
}

const messages = (effects: readonly MembershipEffect<undefined>[]): MembershipMessage[] =>
  effects.flatMap(effect => effect.kind === 'send' || effect.kind === 'reply' ? [effect.message] : [])
const kinds = (effects: readonly MembershipEffect<undefined>[]): string[] =>
  messages(effects).map(message => message.kind === 'consensus' ? message.message.kind : message.kind)

describe('finding out who is there', () => {
  test('it tells members and seeds that it is back, and what it has on its disk', () => {
    const alone = new Alone(3)
    const sent = alone.drain()
    expect(sent.map(effect => effect.kind === 'send' ? effect.to : '')).toEqual([...alone.others.map(({ address }) => address), 'seed:7000'])
    expect(messages(sent)[0]).toEqual({
      kind: 'returned', sender: { id: alone.self.id, address: alone.self.address }, position: positionOf(alone.configuration), member: alone.self, others: [], answer: false
    })
  })

  test('while a majority is alive it begins nothing, however long it takes', () => {
    const alone = new Alone(5)
    alone.drain()
    for (let i = 0; i < 60; i++) {
      alone.now += 1000
      for (const member of alone.others.slice(0, 3)) alone.present(member)
      alone.returned(successorOf(alone.others[3]!))
      expect(kinds(alone.durably()).every(kind => kind === 'returned')).toBe(true)
    }
  })

  test('the living and the returned together are enough: all are there, so ballots begin at once', () => {
    const alone = new Alone(3)
    alone.drain()
    alone.present(alone.others[0]!)
    alone.returned(successorOf(alone.others[1]!))
    expect(alone.begins()).toBe(true)
  })

  test('one is missing: ballots begin when the deadline has passed since enough were there, not before', () => {
    const alone = new Alone(3)
    alone.now += 50_000
    alone.drain()
    const beginMs = alone.now
    while (alone.now < beginMs + options.restartDeadlineMs) {
      alone.returned(successorOf(alone.others[0]!))
      expect(alone.drain().some(({ kind }) => kind === 'persist')).toBe(false)
      alone.now += 500
    }
    alone.returned(successorOf(alone.others[0]!))
    expect(alone.begins()).toBe(true)
  })

  test('without a majority it begins nothing, whatever the time', () => {
    const alone = new Alone(5)
    for (let i = 0; i < 60; i++) {
      alone.now += 1000
      alone.present(alone.others[0]!)
      expect(kinds(alone.durably()).every(kind => kind === 'returned')).toBe(true)
    }
  })

  test('who stopped answering is not there any more', () => {
    const alone = new Alone(3)
    alone.returned(successorOf(alone.others[0]!))
    alone.now += 60_000
    alone.present(alone.others[1]!)
    alone.now += 1000
    expect(alone.restart.progress(alone.now)).toContain('1 are alive and 1 came back')
  })

  test('one that was only heard of, or that answers from elsewhere than it says, is asked before it counts', () => {
    const alone = new Alone(3)
    alone.drain()
    const [first, second] = alone.others.map(member => successorOf(member, 2, `new-${member.address}`))
    alone.returned(first!, { answer: false, others: [second!] })
    const asked = alone.drain()
    expect(asked.flatMap(effect => effect.kind === 'send' ? [effect.to] : [])).toEqual([first!.address, second!.address])
    expect(alone.restart.progress(alone.now)).toContain('1 came back')
    alone.returned(first!)
    alone.returned(second!)
    expect(alone.begins()).toBe(true)
  })

  test('rule R3: a copy of a disk, started as often as the original, is refused; a later start takes the place of an earlier one', () => {
    const alone = new Alone(3)
    alone.drain()
    const [first] = alone.others
    alone.returned(successorOf(first!, 3), { answer: false })
    alone.drain()
    alone.returned({ ...successorOf(first!, 3), id: 'a copy' as MemberId }, { answer: false })
    expect(messages(alone.drain())).toMatchObject([{ kind: 'join-refused', retry: false, spent: true }])
    alone.returned(successorOf(first!, 1), { answer: false })
    expect(messages(alone.drain())).toMatchObject([{ kind: 'join-refused' }])
    alone.returned(successorOf(first!, 4), { answer: false })
    expect(messages(alone.drain()).map(({ kind }) => kind)).toEqual(['returned', 'returned'])
  })

  test('another cluster is none of its business; another configuration of the same epoch is the end', () => {
    const alone = new Alone(3)
    alone.drain()
    alone.returned(successorOf(alone.others[0]!), { position: { ...positionOf(alone.configuration), clusterId: 'other' as never }, answer: false })
    expect(alone.drain()).toEqual([])
    alone.returned(successorOf(alone.others[0]!), { position: { ...positionOf(alone.configuration), configurationId: 'fork' as never } })
    expect(alone.failures).toMatchObject([{ code: 'MEMBERSHIP_CONFLICT' }])
  })

  test('joiners are sent on; those of this configuration are told of it; founders learn that the cluster exists', () => {
    const alone = new Alone(3)
    alone.drain()
    const ask = {
      kind: 'join-ask', protocol: PROTOCOL_VERSION, clusterName: 'test', clusterId: NOWHERE.clusterId, settings: {}, member: makeMember('stranger'), founding: false
    } as const
    const answer = (change: object): MembershipMessage | undefined => {
      alone.restart.asked(peerOf('x:1'), { ...ask, ...change })
      return messages(alone.drain())[0]
    }
    expect(answer({})).toMatchObject({ kind: 'join-redirect' })
    expect(answer({ founding: true })).toMatchObject({ kind: 'join-observers', observers: [] })
    // One came back without this configuration on its disk, the other one is a member and does not know.
    expect(answer({ member: successorOf(alone.others[0]!) })).toMatchObject({ kind: 'snapshot' })
    expect(answer({ member: alone.others[0]! })).toMatchObject({ kind: 'snapshot' })
    expect(answer({ member: alone.others[0]!, clusterName: 'other' })).toMatchObject({ kind: 'join-redirect' })
  })
})

describe('answering for the former id', () => {
  const size = 3
  const configuration = makeConfiguration(size)
  const cut = normalizeCut([makeMember('joiner')], [])
  const acceptor: ConsensusRecord = {
    configurationId: configuration.id, epoch: configuration.epoch, promised: { round: 4, member: 2 }, vote: null,
    accepted: { ballot: { round: 3, member: 1 }, cut }
  }
  const prepare = (alone: Alone, round: number): void => {
    const from = alone.others[0]!
    alone.hear(from, {
      kind: 'consensus', sender: { id: from.id, address: from.address }, position: positionOf(configuration),
      message: { kind: 'prepare', configurationId: configuration.id, epoch: configuration.epoch, ballot: { round, member: 1 } }
    })
  }

  test('what was promised and accepted before the crash is kept and told', () => {
    const alone = new Alone(size, { configuration, acceptor })
    alone.durably()
    prepare(alone, 4)
    expect(messages(alone.durably())).toMatchObject([{ kind: 'consensus', sender: { id: alone.former.id }, message: { kind: 'reject', promised: { round: 4 } } }])
    prepare(alone, 5)
    expect(messages(alone.durably())).toMatchObject([{ message: { kind: 'promise', accepted: { ballot: { round: 3 }, digest: cutDigest(cut) } } }])
  })

  test('a promise is durable before it is told', () => {
    const alone = new Alone(size, { configuration })
    alone.durably()
    prepare(alone, 1)
    const [persist, ...rest] = alone.drain()
    expect(persist).toMatchObject({ kind: 'persist' })
    expect(rest).toEqual([])
    alone.restart.persisted(alone.now, persist?.kind === 'persist' ? persist.token : 0)
    expect(kinds(alone.drain())).toEqual(['promise'])
  })

  test('a value that was accepted before the crash is chosen again, and the restart goes on in the configuration it leads to', () => {
    const single = makeConfiguration(1, 'single')
    const voted = new Alone(1, {
      configuration: single,
      acceptor: { configurationId: single.id, epoch: single.epoch, promised: { round: 0, member: 0 }, vote: cut, accepted: null }
    })
    const effects = voted.durably()
    const next = nextConfiguration(single, cut)
    const stored = effects.flatMap(effect => effect.kind === 'persist' && effect.record.kind === 'configuration' ? [effect.record.configuration.id] : [])
    // Two are in there now, so that this process alone is no majority.
    expect(stored).toEqual([next.id])
    expect(voted.admitted).toEqual([])
    expect(voted.restart.progress(voted.now)).toContain(`of the 2 members of epoch ${next.epoch}`)
  })

  test('a vote that too few cast to have been chosen gives way to the cut that brings back those who are there', () => {
    const voted = { configurationId: configuration.id, epoch: configuration.epoch, promised: { round: 0, member: 0 }, vote: cut, accepted: null }
    const alone = new Alone(size, { configuration, acceptor: voted })
    const [first, second] = alone.others as [Member, Member]
    alone.durably()
    alone.returned(successorOf(first))
    alone.returned(successorOf(second))
    const told: ConsensusMessage[] = []
    const take = (): void => {
      for (const message of messages(alone.durably())) if (message.kind === 'consensus') told.push(message.message)
    }
    for (const endMs = alone.now + 10 * options.recoveryRankDelayMs; alone.now < endMs; alone.now += 10) take()
    const prepare = told.findLast(({ kind }) => kind === 'prepare') as ConsensusMessage & { kind: 'prepare' }
    alone.hear(first, {
      kind: 'consensus', sender: { id: first.id, address: first.address }, position: positionOf(configuration),
      message: { kind: 'promise', configurationId: configuration.id, epoch: configuration.epoch, ballot: prepare.ballot, vote: null, accepted: null }
    })
    take()
    const back = [alone.self, successorOf(first), successorOf(second)]
    const replacement = normalizeCut(back, configuration.members.map(({ id }) => id))
    expect(told).toContainEqual(expect.objectContaining({ kind: 'accept', digest: cutDigest(replacement) }))
    expect(told).not.toContainEqual(expect.objectContaining({ kind: 'accept', digest: cutDigest(cut) }))
  })

  test('alone in its configuration it takes its own place, without a word to anybody and without a fast vote', () => {
    const alone = new Alone(1)
    const effects = alone.durably()
    expect(kinds(effects).filter(kind => kind !== 'returned')).toEqual([])
    for (const effect of effects) if (effect.kind === 'persist' && effect.record.kind === 'acceptor') expect(effect.record.record.vote).toBeNull()
    const expected = nextConfiguration(alone.configuration, normalizeCut([alone.self], [alone.former.id]))
    expect(alone.admitted).toMatchObject([[{ id: expected.id, epoch: alone.configuration.epoch + 1 }, { ballot: { round: 1 } }]])
  })
})

describe('the highest configuration wins', () => {
  const later = (alone: Alone, joins: readonly Member[], removals: readonly Member[]): Configuration =>
    nextConfiguration(alone.configuration, normalizeCut(joins, removals.map(({ id }) => id)))

  test('who is behind gets the configuration; who is ahead is asked for it', () => {
    const alone = new Alone(3)
    alone.drain()
    const other = successorOf(alone.others[0]!)
    alone.returned(other, { position: { ...positionOf(alone.configuration), epoch: 3, configurationId: 'older' as never }, answer: false })
    expect(kinds(alone.drain())).toEqual(['snapshot'])
    alone.returned(other, { position: { ...positionOf(alone.configuration), epoch: 99, configurationId: 'newer' as never } })
    expect(alone.drain()).toMatchObject([{ kind: 'send', to: other.address, message: { kind: 'returned' } }])
  })

  test('a later configuration is stored before anything is said in it', () => {
    const alone = new Alone(3)
    alone.drain()
    const next = later(alone, [], [alone.others[1]!])
    alone.restart.adopt(alone.now, next, undefined)
    const [persist, ...rest] = alone.drain()
    expect(persist).toMatchObject({ kind: 'persist', record: { kind: 'configuration', configuration: { id: next.id } } })
    expect(rest).toEqual([])
    alone.restart.persisted(alone.now, persist?.kind === 'persist' ? persist.token : 0)
    expect(messages(alone.drain())).toMatchObject([{ kind: 'returned', position: { epoch: next.epoch } }, { kind: 'returned' }])
  })

  test('an earlier one, or the same again, changes nothing: what was promised there is forgotten', () => {
    const alone = new Alone(3)
    alone.durably()
    alone.restart.adopt(alone.now, alone.configuration, undefined)
    alone.restart.adopt(alone.now, { ...later(alone, [], [alone.others[1]!]), epoch: 2 }, undefined)
    expect(alone.drain()).toEqual([])
  })

  test('one that holds this process ends the restart; one without its store leaves it to join; a later run of its store is the end', () => {
    const admitted = new Alone(3)
    admitted.restart.adopt(admitted.now, later(admitted, [admitted.self], [admitted.former]), undefined)
    expect(admitted.admitted).toHaveLength(1)
    const released = new Alone(3)
    released.restart.adopt(released.now, later(released, [], [released.former]), undefined)
    // It is durable before this process tells it to those that missed it.
    expect(released.released).toEqual([])
    released.durably()
    expect(released.released).toEqual([released.configuration.epoch + 1])
    const outrun = new Alone(3)
    outrun.restart.adopt(outrun.now, later(outrun, [successorOf(outrun.former, 9)], [outrun.former]), undefined)
    expect(outrun.failures).toMatchObject([{ code: 'MEMBERSHIP_JOIN_REFUSED' }])
  })

  test('a decision that is told is applied if its quorum checks; the one on the disk is told to who lacks it', () => {
    const alone = new Alone(3)
    alone.drain()
    const next = later(alone, [alone.self], [alone.former])
    const cut = normalizeCut([alone.self], [alone.former.id])
    const voters = alone.configuration.members.map(({ id }) => id)
    const decide = (count: number): DecisionRecord => recordOf(alone.configuration, next, {
      cut, digest: cutDigest(cut), ballot: { round: 1, member: 0 }, voters: voters.slice(0, count), fast: false
    })
    const from = alone.others[0]!
    const tell = (record: DecisionRecord): void => {
      alone.hear(from, { kind: 'decisions', sender: { id: from.id, address: from.address }, position: positionOf(next), decisions: [record] })
    }
    tell(decide(1))
    expect(alone.admitted).toEqual([])
    tell(decide(2))
    expect(alone.admitted).toEqual([[next, decide(2)]])

    const origin = recordOf(makeConfiguration(4), alone.configuration, {
      cut, digest: cutDigest(cut), ballot: { round: 0, member: 0 }, voters, fast: true
    })
    const teller = new Alone(3, { configuration: alone.configuration, origin })
    teller.drain()
    const behind = { clusterId: alone.configuration.clusterId, epoch: alone.configuration.epoch - 1, configurationId: origin.previousId }
    teller.hear(from, { kind: 'fetch-decisions', sender: { id: from.id, address: from.address }, position: behind, gap: false })
    expect(messages(teller.drain())).toMatchObject([{ kind: 'decisions', decisions: [origin] }])
    teller.hear(from, { kind: 'fetch-decisions', sender: { id: from.id, address: from.address }, position: { ...behind, epoch: 1 }, gap: true })
    expect(messages(teller.drain())).toMatchObject([{ kind: 'decisions' }])
    const gap = new Alone(3)
    gap.drain()
    gap.hear(from, { kind: 'fetch-decisions', sender: { id: from.id, address: from.address }, position: behind, gap: true })
    expect(messages(gap.drain())).toEqual([encodeSnapshot(gap.configuration, undefined, undefined)])
  })
})

describe('a process that learns of its former id from others', () => {
  const configuration = makeConfiguration(3)
  const self = successorOf(configuration.members[0]!)

  /** What it asks to be stored when others hand it the configuration while it joins. */
  function stores (storedEpoch: number | undefined, joiner = self): Configuration[] {
    const core = new MembershipCore<undefined>({ self: joiner, options, fold: undefined, detector: windowedPing, broadcaster: gossip, storedEpoch })
    core.apply(0, { kind: 'join', clusterId: undefined, seeds: [], timeoutMs: 60_000 })
    const effects = core.apply(1, { kind: 'message', peer: peerOf('x:1'), message: encodeSnapshot(configuration, undefined, undefined) })
    return effects.flatMap(effect => effect.kind === 'persist' && effect.record.kind === 'configuration' ? [effect.record.configuration] : [])
  }

  test('stores it and answers there, since it cannot have taken part without storing it', () => {
    expect(stores(0)).toEqual([configuration])
    expect(stores(configuration.epoch - 1)).toEqual([configuration])
  })

  test('does no such thing for a configuration that its disk went beyond, without a disk, or with the incarnation of the member', () => {
    expect(stores(configuration.epoch)).toEqual([])
    expect(stores(configuration.epoch + 3)).toEqual([])
    expect(stores(undefined)).toEqual([])
    expect(stores(0, { ...self, incarnation: 1 })).toEqual([])
  })
})

describe('the roster', () => {
  const configuration = makeConfiguration(4)
  const [a, b, c, d] = configuration.members as [Member, Member, Member, Member]
  const cutOf = (back: readonly [Member, Member][], gone: readonly Member[] = []): { joins: string[], removals: string[] } | undefined => {
    const returned = new Map(back.map(([former, member]) => [former.id, member]))
    const cut = new Roster(configuration).replacement(returned, id => gone.some(member => member.id === id))
    return cut === undefined ? undefined : { joins: cut.joins.map(({ id }) => id), removals: [...cut.removals] }
  }
  const sorted = (members: readonly Member[]): string[] => members.map(({ id }) => id).sort()

  test('former members are replaced by their successors, at whatever address, also where they changed places', () => {
    const [x, y, z] = [successorOf(a, 2, b.address), successorOf(b, 2, a.address), successorOf(c, 2, 'new:7000')]
    expect(cutOf([[a, x], [b, y], [c, z]])).toEqual({ joins: sorted([x, y, z]), removals: sorted([a, b, c]) })
  })

  test('a member whose address is taken goes with the cut if it is gone; if not, the one that takes it waits', () => {
    const [x, y] = [successorOf(a, 2, d.address), successorOf(b)]
    expect(cutOf([[a, x], [b, y]], [d])).toEqual({ joins: sorted([x, y]), removals: sorted([a, b, d]) })
    expect(cutOf([[a, x], [b, y]])).toEqual({ joins: sorted([y]), removals: sorted([b]) })
  })

  test('nobody to replace, no cut', () => {
    expect(cutOf([])).toBeUndefined()
    expect(cutOf([[a, successorOf(a, 2, d.address)]])).toBeUndefined()
  })

  test('a member that came back under a new id does not live as itself any more', () => {
    const roster = new Roster(configuration)
    roster.alive(10, a.id)
    expect(roster.livingSince(0)).toEqual(new Set([a.id]))
    expect(roster.told(successorOf(a, 1))).toBe('refused')
    expect(roster.told(makeMember('stranger'))).toBe('refused')
    expect(roster.told(successorOf(a))).toBe('new')
    expect(roster.told(successorOf(a))).toBe('known')
    roster.alive(20, a.id)
    expect(roster.livingSince(0)).toEqual(new Set())
    expect(roster.addressOf(a.id)).toBe(successorOf(a).address)
  })
})
