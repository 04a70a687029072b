/**
 * What every `Broadcaster` has to do, as one suite: run it on an implementation to find out whether it is good enough.
 *
 * Rapid (ATC '18), section 4.3, lets alerts and votes be gossiped or sent to each member; rule M11 bounds what that may cost. How a
 * message spreads is the broadcaster's own affair, within the number of messages that its expectations name.
 */
import { describe, expect, test } from 'vitest'
import { createBitmap, setBit } from '../../membership/bitmap.ts'
import type { BroadcasterFactory, BroadcastMessage } from '../../membership/broadcaster.ts'
import { cutDigest, normalizeCut, type Cut, type CutDigest } from '../../membership/configuration.ts'
import type { ConsensusMessage } from '../../membership/consensus-messages.ts'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { type Report, reportBy } from '../../membership/reports.ts'
import type { View } from '../../membership/view.ts'
import { makeMember } from '../unit/membership/fixtures.ts'
import { BroadcastNetwork, factsOf, type Link } from './broadcaster-network.ts'
import { heapBytes } from './heap.ts'

export interface BroadcasterExpectations {
  /** Frames that go over the network, at most, until all know one message from each of so many origins that speak at once. */
  readonly framesMax: (members: number, origins: number, ringCount: number) => number
}

interface Setting extends BroadcasterExpectations {
  readonly factory: BroadcasterFactory
}

export interface BroadcasterCheck {
  readonly name: string
  /** Throws when the broadcaster does not hold it. */
  readonly run: (setting: Setting) => void
}

const SIZES = [2, 3, 11, 12, 30, 50]
const SMALL_SIZES = SIZES.filter(size => size <= 30)
const SEEDS = 3
const LOSS = 0.3
/** So often may an origin have to repeat itself where three messages in ten are lost. */
const REPETITIONS_MAX = 20
/** Messages of each kind, in each half of a flood. More than anybody should remember. */
const FLOOD = 70_000
const FLOOD_GROWTH_BYTES_MAX = 4_000_000
/** Bytes of cuts may be asked for by whoever lacks them; all else must arrive by itself. */
const CUTS = /^cut /

const joiners = Array.from({ length: 4 }, (_, index) => makeMember(`joiner-${index}`))

type Headless<Message> = Message extends ConsensusMessage ? Omit<Message, 'configurationId' | 'epoch'> : never

function consensus ({ sender, position }: View, message: Headless<ConsensusMessage>): BroadcastMessage {
  const { configurationId, epoch } = position
  return { kind: 'consensus', sender, position, message: { ...message, configurationId, epoch } as ConsensusMessage }
}

function bit (view: View, index: number): Uint8Array {
  const bitmap = createBitmap(view.size)
  setBit(bitmap, index)
  return bitmap
}

const cutOf = (index: number): Cut => normalizeCut([makeMember(`of-cut-${index}`)], [])

function vote (view: View, index: number, cut: Cut): BroadcastMessage {
  return consensus(view, { kind: 'votes', proposals: [{ digest: cutDigest(cut), cut, bitmap: bit(view, index) }] })
}

function accepted (view: View, index: number, round: number): BroadcastMessage {
  return consensus(view, { kind: 'accepted', ballot: { round, member: 0 }, digest: cutDigest(cutOf(0)), bitmap: bit(view, index) })
}

function prepare (view: View, index: number): BroadcastMessage {
  return consensus(view, { kind: 'prepare', ballot: { round: 1, member: index } })
}

/** The alerts that a member may make: about one it observes, and about joiners. */
function alerts (view: View): BroadcastMessage[] {
  const about = [...view.subjects.slice(0, 1).map(subject => ({ subject })), ...joiners.map(joiner => ({ joiner }))]
  const reports = about.map(subject => reportBy(view.self.id, view.overlay, subject, 0)).filter((report): report is Report => report !== undefined)
  return reports.length === 0 ? [] : [{ kind: 'alerts', sender: view.sender, position: view.position, reports }]
}

/** What a member says while the cluster agrees on something. */
function everythingOf (view: View, index: number): BroadcastMessage[] {
  return [...alerts(view), vote(view, index, cutOf(index % 2)), accepted(view, index, 1)]
}

function tell (network: BroadcastNetwork, origins: Iterable<number>, what = everythingOf): void {
  for (const origin of origins) for (const message of what(network.views[origin]!, origin)) network.originate(origin, message)
}

function expectAllKnown (network: BroadcastNetwork, ignored?: RegExp): void {
  for (const index of network.views.keys()) expect(network.missing(index, ignored), `unknown to member ${index} of ${network.size}`).toEqual([])
  expect(network.inventions, 'what nobody said').toEqual([])
}

/** Repeats, as the origins of alerts and votes do, until everybody knows everything. */
function repeatUntilKnown (network: BroadcastNetwork, origins: readonly number[]): void {
  for (let repetition = 0; repetition < REPETITIONS_MAX; repetition++) {
    tell(network, origins)
    network.run()
    if (network.known.every((_, index) => network.missing(index, CUTS).length === 0)) break
  }
  expectAllKnown(network, CUTS)
}

const lossy = (random: SeededRandom): Link => () => random.next() < LOSS ? [] : [1]

export const BROADCASTER_CHECKS: readonly BroadcasterCheck[] = [
  {
    name: 'what any member says reaches everybody, with the bytes of cuts',
    run: ({ factory }) => {
      for (const size of SIZES) {
        for (const origin of new Set([0, 1, Math.floor(size / 2), size - 1])) {
          const network = new BroadcastNetwork(factory, size)
          tell(network, [origin], (view, index) => [...everythingOf(view, index), prepare(view, index)])
          network.run()
          expectAllKnown(network)
        }
      }
    }
  },
  {
    name: 'what all members say at once reaches everybody, with the bytes of cuts',
    run: ({ factory }) => {
      for (const size of SIZES) {
        const network = new BroadcastNetwork(factory, size)
        tell(network, network.views.keys())
        network.run()
        expectAllKnown(network)
      }
    }
  },
  {
    name: 'a different proposal of each of a hundred members reaches everybody, in messages that receivers take',
    run: ({ factory }) => {
      const network = new BroadcastNetwork(factory, 100)
      tell(network, network.views.keys(), (view, index) => [vote(view, index, cutOf(index))])
      network.run()
      expectAllKnown(network)
    }
  },
  {
    name: 'where three messages in ten are lost, repetition at the origins brings everything to everybody',
    run: ({ factory }) => {
      for (let seed = 0; seed < SEEDS; seed++) {
        for (const size of seed === 0 ? SIZES : SMALL_SIZES) {
          for (const origins of [[seed % size], [...Array(size).keys()]]) {
            const network = new BroadcastNetwork(factory, size)
            network.link = lossy(new SeededRandom(seed))
            repeatUntilKnown(network, origins)
          }
        }
      }
    }
  },
  {
    name: 'an origin that repeats itself is heard, though all that it sent first was lost',
    run: ({ factory }) => {
      for (const size of SIZES) {
        const network = new BroadcastNetwork(factory, size)
        network.link = () => []
        tell(network, [0])
        network.run()
        network.link = () => [1]
        repeatUntilKnown(network, [0])
      }
    }
  },
  {
    name: 'a member that heard nothing at first learns everything once all repeat themselves',
    run: ({ factory }) => {
      for (const size of SIZES) {
        const network = new BroadcastNetwork(factory, size)
        network.link = (from, to) => from === 0 || to === 0 ? [] : [1]
        tell(network, network.views.keys())
        network.run()
        expect(network.missing(0)).not.toEqual([])
        network.link = () => [1]
        repeatUntilKnown(network, [...network.views.keys()])
      }
    }
  },
  {
    name: 'messages that arrive twice, and out of order, do no harm',
    run: ({ factory }) => {
      for (let seed = 0; seed < SEEDS; seed++) {
        for (const size of seed === 0 ? SIZES : SMALL_SIZES) {
          const random = new SeededRandom(seed)
          const network = new BroadcastNetwork(factory, size)
          network.link = () => [random.next() * 100, random.next() * 300]
          repeatUntilKnown(network, [...network.views.keys()])
        }
      }
    }
  },
  {
    name: 'what was heard before is not passed on again',
    run: ({ factory }) => {
      const network = new BroadcastNetwork(factory, 30)
      tell(network, network.views.keys(), (view, index) => [...everythingOf(view, index), prepare(view, index)])
      network.run()
      const sent = network.sent.length
      network.repeatDeliveries()
      network.run()
      expect(network.sent.length - sent, 'messages sent for old news').toBe(0)
    }
  },
  {
    name: 'flush sends at once what waits, and only that',
    run: ({ factory }) => {
      for (const size of SIZES) {
        const network = new BroadcastNetwork(factory, size)
        tell(network, [0])
        network.flush(0)
        const sent = new Set(network.sent.flatMap(({ message }) => factsOf(message)))
        expect([...network.told].filter(fact => !sent.has(fact)), 'what still waits').toEqual([])
        expect(network.broadcasters[0]!.nextAtMs).toBe(Infinity)
        const before = network.sent.length
        network.flush(0)
        expect(network.sent.length - before, 'messages of a flush with nothing to send').toBe(0)
        network.run()
        expectAllKnown(network)
      }
    }
  },
  {
    name: 'nextAtMs is the time of the next thing to do: nothing happens before it, and something at it',
    run: ({ factory }) => {
      for (let seed = 0; seed < SEEDS; seed++) {
        const random = new SeededRandom(seed)
        const network = new BroadcastNetwork(factory, 30)
        for (let step = 0; step < 100; step++) {
          const origin = Math.floor(random.next() * network.size)
          const message = everythingOf(network.views[origin]!, origin)[Math.floor(random.next() * 3)]
          if (message !== undefined) network.originate(origin, message)
          network.run(network.now + random.next() * 40)
        }
        network.run()
        for (const { nextAtMs } of network.broadcasters) expect(nextAtMs).toBe(Infinity)
      }
    }
  },
  {
    name: 'nothing is sent to oneself, to strangers, twice in one go, or in a wrong name',
    run: ({ factory }) => {
      // The network refuses all of that; here everything is said that there is to say.
      for (const size of SIZES) {
        const network = new BroadcastNetwork(factory, size)
        tell(network, network.views.keys(), (view, index) => [...everythingOf(view, index), prepare(view, index)])
        network.run()
        expect(network.sent.every(({ from, message }) => message.sender.id === network.views[from]!.self.id || message.kind === 'consensus')).toBe(true)
      }
    }
  },
  {
    name: 'bitmaps of a wrong size, or with bits of nobody, are ignored',
    run: ({ factory }) => {
      for (const size of [12, 30, 100]) {
        const network = new BroadcastNetwork(factory, size)
        const digest = cutDigest(cutOf(0))
        const length = Math.ceil(size / 8)
        const wrong = [new Uint8Array(length - 1).fill(1), new Uint8Array(length + 1).fill(1), new Uint8Array(length).fill(255)]
        for (const bitmap of wrong) {
          for (const message of [
            consensus(network.views[1]!, { kind: 'votes', proposals: [{ digest, bitmap }] }),
            consensus(network.views[1]!, { kind: 'accepted', digest, bitmap, ballot: { round: 1, member: 0 } })
          ]) network.relay(0, network.views[1]!.self.id, message)
        }
        network.run()
        tell(network, [0])
        network.run()
        expectAllKnown(network)
      }
    }
  },
  {
    name: 'messages are not changed after they were sent, nor by who is handed them',
    run: ({ factory }) => {
      for (const size of [3, 30]) {
        const network = new BroadcastNetwork(factory, size)
        network.freeze()
        for (let round = 0; round < 3; round++) {
          tell(network, network.views.keys())
          network.run(network.now + 30)
        }
        network.run()
        network.verifyFrozen()
      }
    }
  },
  {
    name: 'a wave of news costs no more frames than promised, be it from one member or from all',
    run: ({ factory, framesMax }) => {
      for (const size of SIZES) {
        for (const origins of [1, size]) {
          const network = new BroadcastNetwork(factory, size)
          tell(network, Array(origins).keys(), (view, index) => [vote(view, index, cutOf(0))])
          network.run()
          expectAllKnown(network)
          expect(network.frames, `frames, ${origins} origins, ${size} members`).toBeLessThanOrEqual(framesMax(size, origins, network.tuning.ringCount))
        }
      }
    }
  },
  {
    name: 'whatever arrives, memory and messages have a bound',
    run: ({ factory }) => {
      const network = new BroadcastNetwork(factory, 12)
      const [view, other] = [network.views[0]!, network.views[1]!]
      let frames = 0
      const broadcaster = factory(view, network.tuning, () => { frames++ })
      let now = 0
      const flood = (from: number): void => {
        for (let index = from; index < from + FLOOD; index++) {
          const digest = `made up ${index}` as CutDigest
          const ballot = { round: index + 1, member: 1 }
          const reports: Report[] = [{ status: 'remove', attempt: index, subject: view.subjects[0]!, observers: 1 }]
          broadcaster.relay(now, other.self.id, { kind: 'alerts', sender: other.sender, position: other.position, reports })
          const messages: Headless<ConsensusMessage>[] = [
            { kind: 'votes', proposals: [{ digest, bitmap: bit(view, 1) }] },
            { kind: 'accepted', digest, ballot, bitmap: bit(view, 1) },
            { kind: 'prepare', ballot }
          ]
          for (const message of messages) broadcaster.relay(now, other.self.id, consensus(other, message))
          broadcaster.advance(++now)
        }
      }
      flood(0)
      const [before, sent] = [heapBytes(), frames]
      flood(FLOOD)
      expect(heapBytes() - before, 'bytes more after the second half').toBeLessThan(FLOOD_GROWTH_BYTES_MAX)
      expect(frames - sent, 'messages sent for the second half').toBeLessThan(FLOOD)
    }
  }
]

/** Registers the whole suite with vitest. */
export function broadcasterConformance (name: string, factory: BroadcasterFactory, expectations: BroadcasterExpectations): void {
  describe(name, () => {
    for (const check of BROADCASTER_CHECKS) test(check.name, () => { check.run({ factory, ...expectations }) })
  })
}

/** The names of the checks that a broadcaster fails, of all or of some. */
export function failedChecks (factory: BroadcasterFactory, expectations: BroadcasterExpectations, checks = BROADCASTER_CHECKS): string[] {
  return checks.filter(check => {
    try {
      check.run({ factory, ...expectations })
      return false
    } catch {
      return true
    }
  }).map(check => check.name)
}
