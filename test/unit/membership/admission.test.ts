/**
 * Admission: what a member does for joiners (Rapid, ATC '18, section 4.1; rules M3, M6, M7 and M11).
 *
 * Mutations caught: vouching for who answered an earlier probe, or for somebody else at its address; remembering that one; considering a
 * founder; a member that asks again and gets no configuration, or what the fold would tell a newcomer; joiners, or their
 * connections, that do not carry over, or do where the fold objects by now; a store let in with the incarnation that runs; all observers
 * sending the configuration, or one sending it to any number; offering it again; a stranger that probes; probing anew at each request;
 * silence to who believes in another configuration; a differing setting counted as another cluster.
 */
import { describe, expect, test } from 'vitest'
import { Admission, PENDING_JOINS_MAX, SERVED_MIN } from '../../../membership/admission.ts'
import { nextConfiguration, normalizeCut, type Configuration, type Member } from '../../../membership/configuration.ts'
import { Counters, type Refusal } from '../../../membership/counters.ts'
import type { Peer } from '../../../membership/effects.ts'
import type { Address } from '../../../membership/environment/environment.ts'
import {
  NOWHERE, PROTOCOL_VERSION, type JoinAsk, type MembershipMessage, type ProbeReply, type Snapshot
} from '../../../membership/messages.ts'
import { LAN } from '../../../membership/tuning.ts'
import { View } from '../../../membership/view.ts'
import { makeConfiguration, makeMember } from './fixtures.ts'

const SNAPSHOT: Snapshot = { kind: 'snapshot', configuration: Uint8Array.of(1), state: Uint8Array.of(2) }
const joiner = makeMember('joiner')
const peer: Peer = { address: joiner.address, connectionId: 7 }

const askOf = (member: Member, change: Partial<JoinAsk> = {}): JoinAsk => ({
  kind: 'join-ask', protocol: PROTOCOL_VERSION, clusterName: 'test', clusterId: '' as never, settings: {}, member, founding: false, ...change
})

/** One member's admission, and what it sent, answered and vouched for. */
class Bench {
  readonly view: View
  readonly admission: Admission
  sent: { readonly to: Address, readonly message: MembershipMessage }[] = []
  replies: { readonly peer: Peer, readonly message: MembershipMessage }[] = []
  readonly vouched: Member[] = []
  readonly counters = new Counters()
  objection: string | undefined
  snapshot = SNAPSHOT

  constructor (configuration: Configuration, self: Member) {
    this.view = new View(configuration, self, LAN.ringCount)
    this.admission = new Admission(LAN, {
      send: (to, message) => { this.sent.push({ to, message }) },
      reply: (to, message) => { this.replies.push({ peer: to, message }) },
      warn: () => {},
      counters: this.counters
    }, {
      reachable: member => { this.vouched.push(member) },
      objection: () => this.objection,
      snapshot: () => this.snapshot
    })
    this.admission.enter(0, this.view)
    this.sent = []
  }

  /** Advances until a time, whenever it asks for that. */
  until (ms: number): void {
    while (this.admission.nextAtMs <= ms) this.admission.advance(this.admission.nextAtMs)
  }

  get kinds (): string[] {
    return this.replies.map(({ message }) => message.kind)
  }

  get probes (): (MembershipMessage & { kind: 'probe' })[] {
    return this.sent.map(({ message }) => message).filter(message => message.kind === 'probe')
  }

  replyTo (member: Member, sequence: number, by = member): void {
    const reply: ProbeReply = {
      kind: 'probe-reply', sender: { id: by.id, address: by.address }, position: NOWHERE, member: by, clusterName: 'test', to: member.id, sequence
    }
    this.admission.replied(reply)
  }
}

/** In a cluster of five everybody observes every joiner. */
const small = makeConfiguration(5)
const bench = (): Bench => new Bench(small, small.members[0]!)

const large = makeConfiguration(40)
const observersOf = (configuration: Configuration, member: Member): Member[] => {
  const { overlay } = new View(configuration, configuration.members[0]!, LAN.ringCount)
  return overlay.observersOfJoiner(member.id).map(id => configuration.members.find(other => other.id === id)!)
}
const strangerTo = (configuration: Configuration, member: Member): Member => {
  return configuration.members.find(other => !observersOf(configuration, member).includes(other))!
}

describe('section 4.1: two phases', () => {
  test('the first is answered with the observers, by any member', () => {
    const any = new Bench(large, strangerTo(large, joiner))
    any.admission.answer(0, peer, askOf(joiner))
    const observers = observersOf(large, joiner).map(({ address }) => address)
    expect(any.replies).toEqual([{ peer, message: { kind: 'join-observers', position: any.view.position, observers } }])
    any.until(60_000)
    expect(any.sent).toEqual([])
  })

  test('a request to the right observers is answered by the decision; one that believes in another configuration is put right', () => {
    const member = bench()
    member.admission.answer(0, peer, askOf(joiner), member.view.position)
    expect(member.replies).toEqual([])
    member.admission.answer(0, peer, askOf(joiner), { ...member.view.position, configurationId: 'before' as never })
    expect(member.kinds).toEqual(['join-observers'])
  })

  test('a lost answer is given again: who is a member already gets the configuration, however often it asks', () => {
    const member = bench()
    for (let time = 0; time < 3; time++) member.admission.answer(0, peer, askOf(small.members[2]!))
    expect(member.replies).toEqual(Array(3).fill({ peer, message: SNAPSHOT }))
  })

  test('a founder that asks whether this cluster exists is told so, and not considered', () => {
    const member = bench()
    member.admission.answer(0, peer, askOf(joiner, { founding: true }))
    member.until(60_000)
    expect(member.kinds).toEqual(['join-observers'])
    expect(member.sent).toEqual([])
  })

  test('there is an end to the joiners that one member works on; those beyond it may ask again', () => {
    const member = bench()
    for (let index = 0; index < PENDING_JOINS_MAX; index++) member.admission.note({ ...joiner, id: `id ${index}` as never })
    member.admission.answer(0, peer, askOf(joiner))
    expect(member.replies.at(-1)!.message).toMatchObject({ kind: 'join-refused', retry: true, spent: false })
    expect(member.counters.joinsRefused.full).toBe(1)
  })
})

describe('M6: an observer vouches for who answered at its advertised address', () => {
  test('the probe goes there, and the answer with its id is what counts', () => {
    const member = bench()
    member.admission.answer(0, { address: 'behind-a-proxy:1', connectionId: 1 }, askOf(joiner))
    member.until(0)
    expect(member.sent.map(({ to }) => to)).toEqual([joiner.address])
    expect(member.vouched).toEqual([])
    member.replyTo(joiner, member.probes[0]!.sequence)
    expect(member.vouched).toEqual([joiner])
    expect(member.admission.nextAtMs).toBe(Infinity)
  })

  test('an answer to a probe that was not the last does not count', () => {
    const member = bench()
    member.admission.answer(0, peer, askOf(joiner))
    member.until(LAN.probeTimeoutMs)
    const sequences = member.probes.map(({ sequence }) => sequence)
    expect(sequences.length).toBeGreaterThan(1)
    member.replyTo(joiner, sequences[0]!)
    expect(member.vouched).toEqual([])
  })

  test('somebody else at that address: the joiner is gone, in the next configuration too', () => {
    const member = bench()
    member.admission.answer(0, peer, askOf(joiner))
    member.until(0)
    member.replyTo(joiner, member.probes[0]!.sequence, makeMember('somebody else'))
    expect(member.vouched).toEqual([])
    member.sent = []
    member.admission.enter(10, new View(nextConfiguration(small, normalizeCut([makeMember('x')], [])), member.view.self, LAN.ringCount))
    member.until(60_000)
    expect(member.sent).toEqual([])
  })

  test('who does not answer five probes is told so, may ask again, and nobody vouches for it', () => {
    const member = bench()
    member.admission.answer(0, peer, askOf(joiner), member.view.position)
    member.until(60_000)
    expect(member.probes).toHaveLength(5)
    expect(member.replies).toEqual([{ peer, message: expect.objectContaining({ kind: 'join-refused', retry: true, spent: false }) }])
    expect(JSON.stringify(member.replies)).toContain(joiner.address)
    expect(member.counters.joinsRefused).toEqual({ ...new Counters().joinsRefused, unreachable: 1 })
    expect(member.vouched).toEqual([])
  })

  test('one that asks again while it is probed is probed no faster', () => {
    const member = bench()
    for (let ms = 0; ms < 100; ms += 10) {
      member.admission.answer(ms, peer, askOf(joiner))
      member.admission.advance(ms)
    }
    expect(member.probes).toHaveLength(1)
  })
})

describe('a joiner that does not fit is refused with the reason before it counts', () => {
  const [holder] = small.members as [Member]
  const rows: [string, JoinAsk, RegExp, boolean, Refusal][] = [
    ['another protocol', askOf(joiner, { protocol: PROTOCOL_VERSION + 1 }), /speaks protocol/, false, 'protocol'],
    ['another name', askOf(joiner, { clusterName: 'other' }), /is named test, not other/, false, 'cluster'],
    ['another cluster id', askOf(joiner, { clusterId: 'other' as never }), /belongs to other/, false, 'cluster'],
    ['another setting', askOf(joiner, { settings: { partitions: 8 } }), /partitions is fixed to undefined, the joiner has 8/, false, 'settings'],
    ['a store that runs already (M3)', askOf({ ...joiner, storeId: holder.storeId, incarnation: holder.incarnation }), /is a member already/, true, 'incarnation'],
    ['an older run of a store that runs', askOf({ ...joiner, storeId: holder.storeId, incarnation: 0 }), /the joiner has 0/, true, 'incarnation']
  ]
  test.each(rows)('%s', (_what, ask, reason, spent, why) => {
    const member = bench()
    const refusal = member.admission.refusal(ask)
    expect(member.counters.joinsRefused).toEqual({ ...new Counters().joinsRefused, [why]: 1 })
    expect(refusal).toMatchObject({ kind: 'join-refused', retry: false, spent })
    expect(refusal!.reason).toMatch(reason)
  })

  test('what the fold objects to', () => {
    const member = bench()
    member.objection = 'too late for that'
    expect(member.admission.refusal(askOf(joiner))).toMatchObject({ reason: 'too late for that', spent: true })
    expect(member.counters.joinsRefused).toEqual({ ...new Counters().joinsRefused, fold: 1 })
    // One that is a member already lost the answer: it gets that, whatever the fold would say of a newcomer.
    expect(member.admission.refusal(askOf(holder))).toBeUndefined()
  })

  test('not refused: a later run of a store, the same process again, the right cluster id, a founder of another one', () => {
    const { admission } = bench()
    expect(admission.refusal(askOf({ ...joiner, storeId: holder.storeId, incarnation: holder.incarnation + 1 }))).toBeUndefined()
    expect(admission.refusal(askOf(holder))).toBeUndefined()
    expect(admission.refusal(askOf(joiner, { clusterId: small.clusterId }))).toBeUndefined()
    expect(admission.refusal(askOf(joiner, { founding: true, clusterId: 'its own' as never }))).toBeUndefined()
  })
})

describe('M7: undecided joiners carry over to the next configuration', () => {
  test('its new observers probe it anew, and answer the connection by which it asked', () => {
    const member = bench()
    member.admission.answer(0, peer, askOf(joiner), member.view.position)
    member.until(0)
    const after = new View(nextConfiguration(small, normalizeCut([makeMember('x')], [])), member.view.self, LAN.ringCount)
    member.admission.enter(50, after)
    member.sent = []
    member.until(50)
    expect(member.probes).toMatchObject([{ to: joiner.id, position: after.position }])
    member.until(60_000)
    expect(member.replies.map(({ peer: to }) => to)).toEqual([peer])
  })

  test('so do those who only heard of it in an alert; one that was admitted is done with', () => {
    const member = bench()
    const admitted = makeMember('admitted')
    member.admission.note(joiner)
    member.admission.note(admitted)
    member.until(0)
    expect(member.sent).toEqual([])
    member.admission.enter(50, new View(nextConfiguration(small, normalizeCut([admitted], [])), member.view.self, LAN.ringCount))
    member.until(50)
    expect(member.probes.map(({ to }) => to)).toEqual([joiner.id])
  })
})

describe('an undecided joiner that the fold objects to by now', () => {
  test('does not carry over', () => {
    const member = bench()
    member.admission.answer(0, peer, askOf(joiner), member.view.position)
    member.until(0)
    member.objection = 'given up meanwhile'
    member.admission.enter(50, new View(nextConfiguration(small, normalizeCut([makeMember('x')], [])), member.view.self, LAN.ringCount))
    member.sent = []
    member.until(60_000)
    expect([member.sent, member.vouched]).toEqual([[], []])
  })
})

describe('M11: the configuration travels to a joiner once', () => {
  const joiners = Array.from({ length: 100 }, (_, index) => makeMember(`many-${index}`))

  const welcomes = (configuration: Configuration, admitted: readonly Member[], snapshot = SNAPSHOT): Map<Address, string[]> => {
    const after = nextConfiguration(configuration, normalizeCut(admitted, []))
    const received = new Map<Address, string[]>(admitted.map(({ address }) => [address, []]))
    for (const self of configuration.members) {
      const member = new Bench(configuration, self)
      member.snapshot = snapshot
      member.admission.welcome(member.view, new View(after, self, LAN.ringCount), normalizeCut(admitted, []))
      for (const { to, message } of member.sent) received.get(to)!.push(message.kind)
    }
    return received
  }

  test('one observer sends it, the others its id', () => {
    for (const kinds of welcomes(large, joiners.slice(0, 5)).values()) {
      expect(kinds.sort()).toEqual([...Array(LAN.ringCount - 1).fill('admitted'), 'snapshot'])
    }
  })

  test('where few admit many, each sends it to a few of them if it is large, to all if it is small', () => {
    for (const [bytes, least, most] of [[4 * 2 ** 20, 1, SERVED_MIN * small.members.length], [1000, joiners.length, joiners.length]] as const) {
      const received = [...welcomes(small, joiners, { ...SNAPSHOT, configuration: new Uint8Array(bytes) }).values()]
      const snapshots = received.flat().filter(kind => kind === 'snapshot')
      expect(snapshots.length).toBeGreaterThanOrEqual(least)
      expect(snapshots.length).toBeLessThanOrEqual(most)
      for (const kinds of received) expect(kinds).toHaveLength(small.members.length)
    }
  })

  test('whoever has its first configuration offers it to those it observes, once', () => {
    const member = bench()
    const offers: Address[] = []
    const other = new Admission(LAN, { send: (to, message) => { if (message.kind === 'admitted' && message.offer) offers.push(to) }, reply: () => {}, warn: () => {}, counters: new Counters() }, {
      reachable: () => {}, objection: () => undefined, snapshot: () => SNAPSHOT
    })
    other.enter(0, member.view)
    expect(offers).toEqual(member.view.subjects.map(id => member.view.member(id)!.address))
    other.enter(1, new View(nextConfiguration(small, normalizeCut([joiner], [])), member.view.self, LAN.ringCount))
    expect(offers).toHaveLength(member.view.subjects.length)
  })
})
