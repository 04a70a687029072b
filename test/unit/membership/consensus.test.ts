/**
 * Consensus, rule by rule (Rapid, ATC '18, section 4.3; rules M1 to M4).
 *
 * Mutations caught: the lowest classic ballot taken for the highest; a coordinator's promise stored after its prepare; messages
 * sent before what they tell of is durable; the dead still hoped for; two votes of one member accepted.
 */
import { describe, expect, it } from 'vitest'
import { FAST_BALLOT } from '../../../membership/ballot.ts'
import { createBitmap, setBit, type Bitmap } from '../../../membership/bitmap.ts'
import { cutDigest, normalizeCut, type Configuration, type Cut, type CutDigest, type MemberId } from '../../../membership/configuration.ts'
import {
  checkDecision, Consensus, validateConsensusMessage, validateConsensusRecord,
  type ConsensusEffect, type ConsensusInput, type ConsensusMessage, type ConsensusOptions, type ConsensusRecord, type Decision
} from '../../../membership/consensus.ts'
import { Recovery } from '../../../membership/consensus-recovery.ts'
import { ConsensusSchedule } from '../../../membership/consensus-schedule.ts'
import { CONSENSUS_DEFAULTS } from '../../../membership/consensus-options.ts'
import { Network } from './consensus-network.ts'
import { makeConfiguration, makeMember, makeRandom } from './fixtures.ts'

const cutOf = (...names: string[]): Cut => normalizeCut(names.map(name => makeMember(name)), [])
const X = cutOf('x')
const Y = cutOf('y')
const LARGE = cutOf(...Array.from({ length: 40 }, (_, i) => `joiner-${i}`))
const invalid = expect.objectContaining({ code: 'MEMBERSHIP_INVALID_MESSAGE' }) as Error
const conflict = expect.objectContaining({ code: 'MEMBERSHIP_CONFLICT' }) as Error

function bitmapOf (size: number, ...members: number[]): Bitmap {
  const bitmap = createBitmap(size)
  for (const member of members) setBit(bitmap, member)
  return bitmap
}

/** One member, of which the test plays the others. */
class Alone {
  readonly configuration: Configuration
  readonly core: Consensus
  readonly header: { configurationId: Configuration['id'], epoch: number }
  now = 0

  constructor (size: number, self: number, durable?: ConsensusRecord, options?: ConsensusOptions, isFormer = false) {
    this.configuration = makeConfiguration(size)
    this.header = { configurationId: this.configuration.id, epoch: this.configuration.epoch }
    const { configuration } = this
    this.core = new Consensus({ configuration, self: this.id(self), isFormer, ...(durable === undefined ? {} : { durable }) }, options)
  }

  id (index: number): MemberId { return this.configuration.members[index]!.id }

  apply (input: ConsensusInput): ConsensusEffect[] { return this.core.apply(this.now, input) }

  /** Applies an input, and reports every record durable at once. */
  durably (input: ConsensusInput): ConsensusEffect[] {
    const effects = this.apply(input)
    for (const effect of effects) if (effect.kind === 'persist') effects.push(...this.apply({ kind: 'persisted', token: effect.token }))
    return effects
  }

  hear (from: number, message: ConsensusMessage): ConsensusEffect[] {
    return this.durably({ kind: 'message', from: this.id(from), message })
  }

  votes (digest: CutDigest, voters: readonly number[], cut?: Cut): ConsensusMessage {
    const bitmap = bitmapOf(this.configuration.members.length, ...voters)
    return { kind: 'votes', ...this.header, proposals: [{ digest, bitmap, ...(cut === undefined ? {} : { cut }) }] }
  }
}

const sent = (effects: readonly ConsensusEffect[]): ConsensusMessage[] => (
  effects.flatMap(effect => effect.kind === 'send' || effect.kind === 'broadcast' ? effect.message : [])
)
const kindsOf = (effects: readonly ConsensusEffect[]): string[] => sent(effects).map(({ kind }) => kind)
const decisionOf = (effects: readonly ConsensusEffect[]): Decision | undefined => effects.find(effect => effect.kind === 'decide')?.decision

describe('section 4.3: the fast round', () => {
  it('f equal votes decide, without a leader and in one message delay', () => {
    for (const [size, fast] of [[1, 1], [2, 2], [3, 3], [4, 3], [5, 4], [10, 8]] as const) {
      const network = new Network(makeConfiguration(size), makeRandom(1))
      for (let i = 0; i < fast; i++) network.propose(i, X)
      network.run(1.5)
      for (let i = 0; i < size; i++) expect(network.decisionOf(i)).toMatchObject({ digest: cutDigest(X), fast: true, ballot: FAST_BALLOT })
      expect(network.decisionOf(0)!.voters.length).toBeGreaterThanOrEqual(fast)
      expect([...network.delivered.keys()]).toEqual(size === 1 ? [] : ['votes'])
    }
  })

  it('f - 1 votes decide nothing', () => {
    const alone = new Alone(10, 0)
    expect(decisionOf(alone.hear(1, alone.votes(cutDigest(X), [1, 2, 3, 4, 5, 6, 7], X)))).toBeUndefined()
    expect(decisionOf(alone.hear(2, alone.votes(cutDigest(X), [8])))).toMatchObject({ voters: [1, 2, 3, 4, 5, 6, 7, 8].map(i => alone.id(i)) })
  })

  it('bitmaps merge: a vote counts once, by whatever route and however often it comes', () => {
    const alone = new Alone(4, 0)
    for (let i = 0; i < 5; i++) expect(decisionOf(alone.hear(1, alone.votes(cutDigest(X), [1, 2], X)))).toBeUndefined()
    expect(decisionOf(alone.durably({ kind: 'propose', cut: X }))).toMatchObject({ fast: true })
  })

  it('nothing follows a decision', () => {
    const alone = new Alone(1, 0)
    const effects = alone.durably({ kind: 'propose', cut: X })
    expect(effects.at(-1)!.kind).toBe('decide')
    expect(alone.apply({ kind: 'timer' })).toEqual([])
    expect(alone.core.decision).toEqual(decisionOf(effects))
  })
})

describe('M1: recovery', () => {
  type Promised = readonly [vote: CutDigest | null, accepted: [number, CutDigest] | null]
  const recoveryOf = (size: number, promises: readonly Promised[]): Recovery => {
    const recovery = new Recovery({ round: 9, member: 0 }, size)
    promises.forEach(([vote, accepted], member) => {
      recovery.addPromise(member, { vote, accepted: accepted === null ? null : { ballot: { round: accepted[0], member: 1 }, digest: accepted[1] } })
    })
    return recovery
  }
  const [a, b, c] = ['a', 'b', 'c'] as CutDigest[]

  it('takes the value of the highest classic ballot, whatever was voted', () => {
    expect(recoveryOf(5, [[a!, [1, b!]], [a!, [3, c!]], [a!, [2, a!]]]).possiblyChosen()).toBe(c)
  })

  it('else the value that may have had f fast votes', () => {
    expect(recoveryOf(5, [[a!, null], [b!, null], [b!, null]]).possiblyChosen()).toBe(b)
    expect(recoveryOf(7, [[a!, null], [b!, null], [b!, null], [b!, null]]).possiblyChosen()).toBe(b)
    expect(recoveryOf(1, [[a!, null]]).possiblyChosen()).toBe(a)
  })

  it('one vote fewer than that, or one promise more without it, and it cannot have been chosen', () => {
    expect(recoveryOf(5, [[b!, null], [null, null], [null, null]]).possiblyChosen()).toBeUndefined()
    expect(recoveryOf(5, [[b!, null], [b!, null], [null, null], [null, null]]).possiblyChosen()).toBeUndefined()
    expect(recoveryOf(7, [[b!, null], [b!, null], [null, null], [null, null]]).possiblyChosen()).toBeUndefined()
    expect(recoveryOf(3, [[b!, null], [null, null]]).possiblyChosen()).toBeUndefined()
  })

  it('else the most voted, ties by digest; else any', () => {
    const split = recoveryOf(9, [[c!, null], [b!, null], [b!, null], [a!, null], [a!, null]])
    expect([split.possiblyChosen(), split.mostVoted()]).toEqual([undefined, a])
    expect(recoveryOf(5, [[null, null], [null, null], [null, null]]).mostVoted()).toBeUndefined()
  })

  it('a promise closes the fast round: a proposal that comes later is not voted for', () => {
    const alone = new Alone(5, 0)
    expect(sent(alone.hear(1, { kind: 'prepare', ...alone.header, ballot: { round: 1, member: 1 } }))).toMatchObject([{ kind: 'promise', vote: null, accepted: null }])
    expect(kindsOf(alone.durably({ kind: 'propose', cut: X }))).not.toContain('votes')
    expect(alone.core.hasVoted).toBe(false)
  })

  it('promises never fall: what comes below them is refused with the higher ballot', () => {
    const alone = new Alone(5, 0)
    alone.hear(2, { kind: 'prepare', ...alone.header, ballot: { round: 2, member: 2 } })
    const low = { round: 2, member: 1 }
    const refusal = [{ kind: 'reject', ballot: low, promised: { round: 2, member: 2 } }]
    expect(sent(alone.hear(1, { kind: 'prepare', ...alone.header, ballot: low }))).toMatchObject(refusal)
    expect(sent(alone.hear(1, { kind: 'accept', ...alone.header, ballot: low, digest: cutDigest(X), cut: X }))).toMatchObject(refusal)
  })

  it('a split vote is recovered to one of the proposals, and everybody decides it', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const network = new Network(makeConfiguration(5), makeRandom(seed))
      for (let i = 0; i < 5; i++) network.propose(i, i % 2 === 0 ? X : Y)
      network.run(1000)
      for (let i = 0; i < 5; i++) expect(network.decisionOf(i)).toMatchObject({ digest: cutDigest(X), fast: false })
    }
  })
})

describe('M2: who coordinates, and when', () => {
  it('where too many are dead for the fast round, recovery starts at once: one of 3 and two of 5 cost a few message delays', () => {
    for (const [size, dead] of [[3, [2]], [5, [3, 4]], [9, [5, 6, 7, 8]]] as const) {
      const network = new Network(makeConfiguration(size), makeRandom(1))
      for (const i of dead) network.crash(i)
      for (let i = 0; i < size - dead.length; i++) network.suspect(i, dead)
      for (let i = 0; i < size - dead.length; i++) network.propose(i, X)
      network.run(6)
      for (let i = 0; i < size - dead.length; i++) expect(network.decisionOf(i)).toMatchObject({ fast: false, digest: cutDigest(X) })
    }
  })

  it('where nobody is thought dead, recovery waits for T', () => {
    const alone = new Alone(3, 0)
    const times: number[] = []
    for (let effects = alone.durably({ kind: 'propose', cut: X }); times.length < 20;) {
      const timer = effects.findLast(effect => effect.kind === 'timer')
      if (kindsOf(effects).includes('prepare')) break
      expect(timer).toBeDefined()
      times.push(alone.now = timer!.atMs)
      effects = alone.durably({ kind: 'timer' })
    }
    expect(alone.now).toBeGreaterThanOrEqual(CONSENSUS_DEFAULTS.recoveryTimeoutMs)
    expect(alone.now).toBeLessThanOrEqual(CONSENSUS_DEFAULTS.recoveryTimeoutMs + 2 * CONSENSUS_DEFAULTS.rankDelayMs)
  })

  it('ranks are a permutation, different in each configuration, with the dead last', () => {
    for (const size of [1, 2, 5, 20]) {
      const configuration = makeConfiguration(size)
      const dead = new Set(size > 2 ? [0, 1] : [])
      const starts = configuration.members.map((_, self) => {
        const schedule = new ConsensusSchedule(configuration, self, { ...CONSENSUS_DEFAULTS, rankDelayMs: 1, recoveryTimeoutMs: 1 })
        schedule.rank(dead)
        schedule.activate(0)
        schedule.update(0, false)
        return Array.from({ length: size }, (_, now) => now).find(now => schedule.mayStart(now))!
      })
      expect([...starts].sort((x, y) => x - y)).toEqual(Array.from({ length: size }, (_, i) => i))
      for (const member of dead) expect(starts[member]).toBeGreaterThanOrEqual(size - dead.size)
    }
  })

  it('a dead coordinator hangs nobody, even one that died between its two phases', () => {
    for (let victim = 0; victim < 5; victim++) {
      for (let atMs = 0; atMs < 8; atMs += 0.5) {
        const network = new Network(makeConfiguration(5), makeRandom(victim), { loss: 0, duplication: 0, delayMaxMs: 2, diskMaxMs: 1 })
        for (let i = 0; i < 5; i++) network.propose(i, i % 2 === 0 ? X : Y)
        network.at(atMs, () => network.crash(victim))
        network.run(3000)
        for (let i = 0; i < 5; i++) if (i !== victim) expect(network.decisionOf(i)).toBeDefined()
      }
    }
  })

  it('until decided, members repeat themselves ever more slowly, to ten others at most', () => {
    const alone = new Alone(100, 0)
    alone.durably({ kind: 'propose', cut: X })
    const repeats: number[] = []
    for (let timers = 0; timers < 40; timers++) {
      const effects = alone.durably({ kind: 'timer' })
      const votes = effects.filter(effect => effect.kind === 'send' && effect.message.kind === 'votes')
      if (votes.length > 0) repeats.push(alone.now)
      expect(votes.length).toBeLessThanOrEqual(10)
      alone.now += 100
    }
    expect(repeats.length).toBeGreaterThan(2)
    expect(repeats.length).toBeLessThan(8)
  })
})

describe('M3: votes and values', () => {
  it('nobody decides a digest without its bytes: it asks one of the voters, and then another', () => {
    const alone = new Alone(4, 0)
    const effects = alone.hear(1, alone.votes(cutDigest(LARGE), [1, 2, 3]))
    expect(decisionOf(effects)).toBeUndefined()
    expect(effects.filter(effect => effect.kind === 'send')).toMatchObject([{ to: alone.id(1), message: { kind: 'fetch', digest: cutDigest(LARGE) } }])
    alone.now = 300
    expect(alone.durably({ kind: 'timer' })).toContainEqual(expect.objectContaining({ to: alone.id(2), message: expect.objectContaining({ kind: 'fetch' }) }))
    expect(decisionOf(alone.hear(2, { kind: 'value', ...alone.header, digest: cutDigest(LARGE), cut: LARGE }))).toMatchObject({ cut: LARGE })
  })

  it('nobody accepts a digest without its bytes', () => {
    const alone = new Alone(3, 0)
    const ballot = { round: 1, member: 1 }
    expect(kindsOf(alone.hear(1, { kind: 'accept', ...alone.header, ballot, digest: cutDigest(LARGE) }))).toEqual(['fetch'])
    const effects = alone.hear(1, { kind: 'value', ...alone.header, digest: cutDigest(LARGE), cut: LARGE })
    expect(sent(effects)).toMatchObject([{ kind: 'accepted', ballot, digest: cutDigest(LARGE) }])
  })

  it('the bytes of a large cut travel only to who asks', () => {
    const network = new Network(makeConfiguration(8), makeRandom(1))
    for (let i = 0; i < 7; i++) network.propose(i, LARGE)
    network.run(100)
    expect(network.decisionOf(7)).toMatchObject({ cut: LARGE })
    expect(network.delivered.get('fetch')).toBe(1)
  })

  it('one vote, never withdrawn: a second proposal is ignored', () => {
    const alone = new Alone(5, 0)
    alone.durably({ kind: 'propose', cut: X })
    expect(alone.durably({ kind: 'propose', cut: Y })).toEqual([])
    expect(alone.core.votes()).toEqual([{ digest: cutDigest(X), voters: [alone.id(0)] }])
  })

  it('a bit in two proposals is a fault, and so are two values in one ballot', () => {
    const alone = new Alone(5, 0)
    alone.hear(1, alone.votes(cutDigest(X), [1, 2], X))
    expect(() => alone.hear(3, alone.votes(cutDigest(Y), [2, 3], Y))).toThrow(conflict)
    const other = new Alone(5, 0)
    const accepted = { kind: 'accepted', ...other.header, ballot: { round: 1, member: 1 }, bitmap: bitmapOf(5, 1) } as const
    other.hear(1, { ...accepted, digest: cutDigest(X) })
    expect(() => other.hear(1, { ...accepted, digest: cutDigest(Y) })).toThrow(conflict)
  })
})

describe('M4: durability', () => {
  it('a vote, a promise and an acceptance are told only once they are durable', () => {
    const alone = new Alone(3, 0)
    const ballot = { round: 1, member: 1 }
    const steps: ConsensusInput[] = [
      { kind: 'propose', cut: X },
      { kind: 'message', from: alone.id(1), message: { kind: 'prepare', ...alone.header, ballot } },
      { kind: 'message', from: alone.id(1), message: { kind: 'accept', ...alone.header, ballot, digest: cutDigest(Y), cut: Y } }
    ]
    const held = steps.map(step => {
      const effects = alone.apply(step)
      expect(sent(effects)).toEqual([])
      return effects.find(effect => effect.kind === 'persist')!
    })
    expect(held.map(({ record }) => [record.vote !== null, record.promised.round, record.accepted !== null])).toEqual([
      [true, 0, false], [true, 1, false], [true, 1, true]
    ])
    expect(held.map(({ token }) => kindsOf(alone.apply({ kind: 'persisted', token })))).toEqual([['votes'], ['promise'], ['accepted']])
  })

  it('a coordinator stores its own promise before anyone hears of the ballot, and after a restart takes a higher one', () => {
    const suspects: ConsensusInput = { kind: 'suspects', members: new Set([makeConfiguration(3).members[1]!.id, makeConfiguration(3).members[2]!.id]) }
    const alone = new Alone(3, 0)
    alone.apply(suspects)
    const effects = alone.apply({ kind: 'propose', cut: X })
    expect(sent(effects)).toEqual([])
    const { record } = effects.find(effect => effect.kind === 'persist')!
    expect(record.promised).toEqual({ round: 1, member: 0 })
    const restarted = new Alone(3, 0, record)
    restarted.durably(suspects)
    expect(sent(restarted.durably({ kind: 'timer' }))).toContainEqual(expect.objectContaining({ kind: 'prepare', ballot: { round: 2, member: 0 } }))
  })

  it('a returning process answers from its record: same vote, same promise, same acceptance', () => {
    const record: ConsensusRecord = {
      ...new Alone(5, 0).header, promised: { round: 3, member: 2 }, vote: X, accepted: { ballot: { round: 2, member: 1 }, cut: Y }
    }
    const alone = new Alone(5, 0, validateConsensusRecord(structuredClone(record)))
    expect(kindsOf(alone.durably({ kind: 'propose', cut: Y }))).toEqual([])
    const prepare = (round: number): ConsensusMessage[] => sent(alone.hear(3, { kind: 'prepare', ...alone.header, ballot: { round, member: 3 } }))
    expect(prepare(2)).toMatchObject([{ kind: 'reject', promised: { round: 3, member: 2 } }])
    expect(prepare(4)).toMatchObject([{ kind: 'promise', vote: cutDigest(X), accepted: { ballot: { round: 2, member: 1 }, digest: cutDigest(Y) } }])
    expect(() => new Alone(4, 0, record)).toThrow(conflict)
  })
})

describe('hostile input', () => {
  const { header } = new Alone(5, 0)
  const member = makeMember('x')

  it.each<[string, (alone: Alone) => ConsensusMessage]>([
    ['a bitmap of the wrong length', alone => ({ kind: 'votes', ...alone.header, proposals: [{ digest: cutDigest(X), bitmap: bitmapOf(9, 1) }] })],
    ['a bit beyond the last member', alone => ({ kind: 'votes', ...alone.header, proposals: [{ digest: cutDigest(X), bitmap: bitmapOf(8, 7) }] })],
    ['bytes of another digest', alone => alone.votes(cutDigest(X), [1], Y)],
    ['a cut that removes strangers', alone => {
      const cut = normalizeCut([], [member.id])
      return alone.votes(cutDigest(cut), [1], cut)
    }],
    ['a ballot of another member', alone => ({ kind: 'prepare', ...alone.header, ballot: { round: 1, member: 2 } })],
    ['a ballot of nobody', alone => ({ kind: 'accepted', ...alone.header, ballot: { round: 1, member: 5 }, digest: cutDigest(X), bitmap: bitmapOf(5, 1) })]
  ])('%s is refused', (_, messageOf) => {
    const alone = new Alone(5, 0)
    expect(() => alone.hear(1, messageOf(alone))).toThrow(invalid)
  })

  it('a message of a stranger is refused, one of another configuration ignored', () => {
    const alone = new Alone(5, 0)
    expect(() => alone.apply({ kind: 'message', from: member.id, message: alone.votes(cutDigest(X), [1]) })).toThrow(invalid)
    expect(alone.apply({ kind: 'message', from: alone.id(1), message: new Alone(4, 0).votes(cutDigest(X), [1]) })).toEqual([])
  })

  it.each([
    null, 7, [], {}, { kind: 'votes' }, { kind: 'votes', ...header, proposals: [{ digest: 'd', bitmap: new Uint8Array(1) }] },
    { kind: 'votes', ...header, proposals: Array.from({ length: 65 }, () => ({ digest: 'd', bitmap: Uint8Array.of(1) })) },
    { kind: 'votes', ...header, proposals: [{ digest: 'd'.repeat(65), bitmap: Uint8Array.of(1) }] },
    { kind: 'prepare', ...header, ballot: { round: 0, member: 0 } }, { kind: 'prepare', ...header, ballot: { round: 1.5, member: 0 } },
    { kind: 'prepare', ...header, ballot: { round: 2 ** 40, member: 0 } }, { kind: 'promise', ...header, ballot: { round: 1, member: 0 } },
    { kind: 'value', ...header, digest: 'd', cut: { joins: [], removals: ['b', 'a'], updates: [] } }, { kind: 'value', ...header, digest: 'd', cut: { joins: [], removals: [], updates: [] } },
    { kind: 'accept', ...header, ballot: { round: 1, member: 0 }, digest: '' }, { kind: 'unknown', ...header }
  ])('%j is no message', value => {
    expect(() => validateConsensusMessage(value)).toThrow(invalid)
  })

  it('what members send passes validation unchanged', () => {
    const alone = new Alone(5, 0)
    const messages = sent([
      ...alone.durably({ kind: 'suspects', members: new Set([alone.id(1), alone.id(2)]) }),
      ...alone.durably({ kind: 'propose', cut: X }),
      ...alone.hear(3, { kind: 'prepare', ...alone.header, ballot: { round: 5, member: 3 } }),
      ...alone.hear(3, { kind: 'accept', ...alone.header, ballot: { round: 5, member: 3 }, digest: cutDigest(X) }),
      ...alone.hear(4, { kind: 'prepare', ...alone.header, ballot: { round: 1, member: 4 } }),
      ...alone.hear(4, { kind: 'fetch', ...alone.header, digest: cutDigest(X) })
    ])
    expect(new Set(messages.map(({ kind }) => kind))).toEqual(new Set(['votes', 'promise', 'accepted', 'reject', 'value', 'prepare']))
    for (const message of messages) expect(validateConsensusMessage(structuredClone(message))).toEqual(message)
  })
})

describe('M4: what is offered is chosen where nobody voted for anything, and in a restart where nothing can have been chosen', () => {
  const promise = (alone: Alone, from: number, vote: CutDigest | null, round = 1): ConsensusEffect[] =>
    alone.hear(from, { kind: 'promise', ...alone.header, ballot: { round, member: 0 }, vote, accepted: null })
  const wantedOf = (cut: Cut): object => cut === X ? { kind: 'accept', digest: cutDigest(X) } : { kind: 'fetch', digest: cutDigest(cut) }

  it('an offer casts no vote and starts nothing; told to recover, the member starts a ballot at once', () => {
    const alone = new Alone(3, 0)
    expect(alone.durably({ kind: 'offer', cut: X })).toEqual([])
    alone.now += 60_000
    expect(alone.durably({ kind: 'timer' })).toEqual([])
    const { members } = alone.configuration
    alone.durably({ kind: 'suspects', members: new Set(members.slice(1).map(({ id }) => id)) })
    expect(sent(alone.durably({ kind: 'recover' }))).toContainEqual(expect.objectContaining({ kind: 'prepare' }))
    expect(alone.core.hasVoted).toBe(false)
  })

  it('while members live, the offer is for want of anything else: a vote that a promise tells of goes first', () => {
    for (const vote of [null, cutDigest(Y)]) {
      const alone = new Alone(3, 0)
      alone.durably({ kind: 'offer', cut: X })
      alone.durably({ kind: 'suspects', members: new Set(alone.configuration.members.slice(1).map(({ id }) => id)) })
      alone.hear(2, { kind: 'prepare', ...alone.header, ballot: { round: 1, member: 2 } })
      alone.now += 60_000
      alone.durably({ kind: 'timer' })
      expect(sent(promise(alone, 1, vote, 2))).toContainEqual(expect.objectContaining(wantedOf(vote === null ? X : Y)))
    }
  })

  it('in a restart a vote that cannot have been chosen, since too few cast it, gives way to the offer; one that may have been does not', () => {
    for (const size of [3, 5]) {
      for (const votes of [0, 1, 2]) {
        const former = new Alone(size, 0, undefined, {}, true)
        former.durably({ kind: 'suspects', members: new Set(former.configuration.members.slice(1).map(({ id }) => id)) })
        former.durably({ kind: 'offer', cut: X })
        former.durably({ kind: 'recover' })
        let effects: ConsensusEffect[] = []
        for (let from = 1; from < Math.ceil(size / 2); from++) effects = promise(former, from, from <= votes ? cutDigest(Y) : null)
        const wanted = expect.objectContaining(wantedOf(size === 5 && votes === 2 ? Y : X)) as object
        expect([size, votes, sent(effects)]).toEqual([size, votes, expect.arrayContaining([wanted])])
      }
    }
  })

  it('a former self begins no ballot before it is told to, whatever it hears and however long nothing is decided', () => {
    const former = new Alone(3, 0, undefined, {}, true)
    former.durably({ kind: 'suspects', members: new Set(former.configuration.members.slice(1).map(({ id }) => id)) })
    former.hear(1, former.votes(cutDigest(Y), [1], Y))
    former.hear(2, { kind: 'prepare', ...former.header, ballot: { round: 1, member: 2 } })
    for (let i = 0; i < 10; i++) {
      former.now += 60_000
      const effects = former.durably({ kind: 'timer' })
      expect(kindsOf(effects)).not.toContain('prepare')
      for (const effect of effects) if (effect.kind === 'timer') expect(effect.atMs).toBeGreaterThan(former.now)
    }
    former.durably({ kind: 'offer', cut: X })
    expect(kindsOf(former.durably({ kind: 'recover' }))).toContain('prepare')
    expect(sent(promise(former, 1, cutDigest(Y), 2))).toContainEqual(expect.objectContaining(wantedOf(X)))
  })

  it('a member that proposes something itself prefers it to what was offered', () => {
    const alone = new Alone(3, 0)
    alone.durably({ kind: 'offer', cut: X })
    alone.durably({ kind: 'propose', cut: Y })
    expect(alone.core.votes().map(({ digest }) => digest)).toEqual([cutDigest(Y)])
  })

  it('an offer that cannot follow this configuration is refused', () => {
    const alone = new Alone(3, 0)
    expect(() => alone.apply({ kind: 'offer', cut: normalizeCut([], [makeMember('stranger').id]) })).toThrow(invalid)
  })
})

describe('M12: a decision carries its proof', () => {
  const network = new Network(makeConfiguration(5), makeRandom(1))
  for (let i = 0; i < 5; i++) network.propose(i, X)
  network.run(10)
  const decision = network.decisionOf(0)!
  const [voter] = decision.voters

  it.each<[string, Partial<Decision>]>([
    ['too few voters', { voters: decision.voters.slice(0, 3) }],
    ['a voter twice', { voters: [...decision.voters.slice(0, 3), voter!] }],
    ['a stranger among the voters', { voters: [...decision.voters.slice(0, 3), makeMember('stranger').id] }],
    ['another cut', { cut: Y }],
    ['a kind of ballot that it is not', { fast: false }],
    ['a classic ballot for a fast one', { ballot: { round: 1, member: 0 } }]
  ])('%s is refused', (_, change) => {
    expect(() => checkDecision(network.configuration, decision)).not.toThrow()
    expect(() => checkDecision(network.configuration, { ...decision, ...change })).toThrow(invalid)
  })
})
