/**
 * Gossip along the overlay (Rapid, ATC '18, section 4.3; rule M11). What every broadcaster has to do is in the conformance kit; here is
 * what gossip does besides: windows, merging, and what travels once.
 *
 * Mutations caught: telling again what was told; records and cuts in every message; reports beyond one message dropped; own votes not
 * repeated; known votes that wake; windows that do not grow, or not anew with the first vote; sending back where it came from;
 * passing on what is said between two, or twice; unicast from another size on; alerts not repeated.
 */
import { describe, expect, test } from 'vitest'
import { bitIndexes, createBitmap, setBit } from '../../../membership/bitmap.ts'
import type { BroadcastMessage } from '../../../membership/broadcaster.ts'
import { cutDigest, normalizeCut, type Cut, type MemberId } from '../../../membership/configuration.ts'
import { gossip, GossipBroadcaster } from '../../../membership/gossip-broadcaster.ts'
import { REPORTS_MAX } from '../../../membership/message-validation.ts'
import type { Alerts } from '../../../membership/messages.ts'
import { LAN } from '../../../membership/tuning.ts'
import { recordDigest } from '../../../membership/record-digest.ts'
import type { Report } from '../../../membership/reports.ts'
import { View } from '../../../membership/view.ts'
import { makeConfiguration, makeMember } from './fixtures.ts'

const WINDOW_MS = 50
const configuration = makeConfiguration(30)
const view = new View(configuration, configuration.members[0]!, LAN.ringCount)
const other = configuration.members[1]!
const joiner = makeMember('joiner')
const cut = normalizeCut([joiner], [])

class Bench {
  readonly sent: { readonly to: readonly MemberId[], readonly message: BroadcastMessage }[] = []
  readonly broadcaster = new GossipBroadcaster(view, WINDOW_MS, (to, message) => { this.sent.push({ to, message }) })

  /** Advances whenever it asks for that. Returns the times at which it sent. */
  until (ms: number): number[] {
    const times: number[] = []
    while (this.broadcaster.nextAtMs <= ms) {
      times.push(this.broadcaster.nextAtMs)
      this.broadcaster.advance(this.broadcaster.nextAtMs)
    }
    return times
  }

  get reports (): Report[][] {
    return this.sent.map(({ message }) => message).filter(message => message.kind === 'alerts').map(({ reports }) => [...reports])
  }

  /** The proposals of each message of votes: who voted, and whether the bytes of the cut came along. */
  get proposals (): [number[], boolean][][] {
    return this.sent.flatMap(({ message }) => message.kind === 'consensus' && message.message.kind === 'votes'
      ? [message.message.proposals.map(({ bitmap, cut: bytes }): [number[], boolean] => [bitIndexes(bitmap), bytes !== undefined])]
      : [])
  }
}

const alerts = (...reports: Report[]): Alerts => ({ kind: 'alerts', sender: view.sender, position: view.position, reports })
const join = (observers: number): Report => ({ status: 'join', attempt: 0, record: recordDigest(joiner), joiner, observers })
const removal = (observers: number, attempt = 0): Report => ({ status: 'remove', attempt, subject: other.id, observers })

function votes (of: Cut, ...voters: number[]): BroadcastMessage {
  const bitmap = createBitmap(view.size)
  for (const voter of voters) setBit(bitmap, voter)
  const { configurationId, epoch } = view.position
  const { sender, position } = view
  return { kind: 'consensus', sender, position, message: { kind: 'votes', configurationId, epoch, proposals: [{ digest: cutDigest(of), cut: of, bitmap }] } }
}

describe('M11: alerts merge as masks', () => {
  test('what comes in one window goes out in one message, to the subjects, without what they were told', () => {
    const bench = new Bench()
    bench.broadcaster.relay(0, other.id, alerts(removal(1)))
    bench.broadcaster.relay(10, other.id, alerts(removal(3)))
    bench.broadcaster.relay(20, other.id, alerts(removal(4)))
    bench.until(WINDOW_MS)
    expect(bench.reports).toEqual([[removal(7)]])
    expect(bench.sent[0]!.to).toEqual(view.subjects)
    bench.broadcaster.relay(60, other.id, alerts(removal(15)))
    bench.until(1000)
    expect(bench.reports).toEqual([[removal(7)], [removal(8)]])
  })

  test('the record of a joiner travels once; after that its digest names it', () => {
    const bench = new Bench()
    bench.broadcaster.relay(0, other.id, alerts(join(1)))
    bench.until(WINDOW_MS)
    bench.broadcaster.relay(60, other.id, alerts(join(2)))
    bench.until(1000)
    expect(bench.reports).toEqual([[join(1)], [{ status: 'join', attempt: 0, record: recordDigest(joiner), observers: 2 }]])
  })

  test('an origin that repeats itself says all it knows by now, with the records, at once', () => {
    const bench = new Bench()
    bench.broadcaster.originate(0, alerts(join(1)))
    bench.until(WINDOW_MS)
    bench.broadcaster.relay(60, other.id, alerts(join(2), removal(4)))
    bench.until(1000)
    bench.sent.length = 0
    bench.broadcaster.originate(2000, alerts(join(1)))
    expect(bench.reports).toEqual([[join(3), removal(4)]])
  })

  test('more reports than one message takes go out in several', () => {
    const bench = new Bench()
    const many = Array.from({ length: REPORTS_MAX + 1 }, (_, attempt) => removal(1, attempt))
    bench.broadcaster.relay(0, other.id, alerts(...many.slice(0, REPORTS_MAX)))
    bench.broadcaster.relay(0, other.id, alerts(...many.slice(REPORTS_MAX)))
    bench.until(WINDOW_MS)
    expect(bench.reports.map(({ length }) => length)).toEqual([REPORTS_MAX, 1])
  })
})

describe('section 4.3: votes merge as bitmaps', () => {
  test('the votes of a window go out in one message, with those known before; the bytes of the cut once', () => {
    const bench = new Bench()
    bench.broadcaster.originate(0, votes(cut, 0))
    bench.broadcaster.relay(10, other.id, votes(cut, 3, 5))
    bench.until(WINDOW_MS)
    bench.broadcaster.relay(100, other.id, votes(cut, 5, 9))
    bench.until(1000)
    expect(bench.proposals).toEqual([[[[0, 3, 5], true]], [[[0, 3, 5, 9], false]]])
  })

  test('votes that are known wake nobody; its own, repeated, go out again with all it knows', () => {
    const bench = new Bench()
    bench.broadcaster.relay(0, other.id, votes(cut, 3, 5))
    bench.until(1000)
    bench.broadcaster.relay(2000, other.id, votes(cut, 5))
    expect(bench.broadcaster.nextAtMs).toBe(Infinity)
    bench.broadcaster.originate(2000, votes(cut, 0))
    bench.until(3000)
    bench.broadcaster.originate(4000, votes(cut, 0))
    bench.until(5000)
    expect(bench.proposals.map(([proposal]) => proposal![0])).toEqual([[3, 5], [0, 3, 5], [0, 3, 5]])
  })
})

describe('windows', () => {
  const news = (bench: Bench, now: number, index: number): void => { bench.broadcaster.relay(now, other.id, alerts(removal(1, index))) }

  test('double while news keep coming, up to four times the first', () => {
    const bench = new Bench()
    const times: number[] = []
    for (let index = 0; index < 12; index++) {
      const now = times.at(-1) ?? 0
      news(bench, now, index)
      times.push(...bench.until(1_000_000))
    }
    const windows = times.map((ms, index) => (ms - (times[index - 1] ?? 0)) / WINDOW_MS)
    expect(windows).toEqual([1, 2, ...Array(10).fill(4)])
  })

  test('begin anew with the first vote', () => {
    const bench = new Bench()
    for (let index = 0; index < 5; index++) {
      news(bench, index * 1000, index)
      bench.until(index * 1000 + 999)
    }
    bench.broadcaster.relay(10_000, other.id, votes(cut, 3))
    expect(bench.broadcaster.nextAtMs).toBe(10_000 + WINDOW_MS)
  })
})

describe('what cannot be merged is passed on as it is', () => {
  const { sender, position } = new View(configuration, other, LAN.ringCount)
  const { configurationId, epoch } = position
  const prepare: BroadcastMessage = { kind: 'consensus', sender, position, message: { kind: 'prepare', configurationId, epoch, ballot: { round: 1, member: 1 } } }

  test('once, at once, to the subjects, but not to whom it came from', () => {
    const bench = new Bench()
    const [via] = view.subjects
    bench.broadcaster.relay(0, via, prepare)
    bench.broadcaster.relay(1, undefined, prepare)
    expect(bench.sent).toEqual([{ to: view.subjects.filter(id => id !== via && id !== other.id), message: prepare }])
  })

  test('what is said between two members stays there', () => {
    const bench = new Bench()
    const fetch = { kind: 'fetch', configurationId, epoch, digest: cutDigest(cut) } as const
    bench.broadcaster.relay(0, other.id, { kind: 'consensus', sender, position, message: fetch })
    bench.until(1000)
    expect(bench.sent).toEqual([])
  })
})

test('up to unicastMembersMax members, gossip is unicast', () => {
  for (const [size, hops] of [[LAN.unicastMembersMax, LAN.unicastMembersMax - 1], [LAN.unicastMembersMax + 1, 0]] as const) {
    const members = makeConfiguration(size)
    const self = new View(members, members.members[0]!, LAN.ringCount)
    let frames = 0
    const broadcaster = gossip(self, LAN, to => { frames += to.length })
    broadcaster.originate(0, { kind: 'alerts', sender: self.sender, position: self.position, reports: [{ ...removal(1), subject: self.subjects[0]! }] })
    expect(frames).toBe(hops)
    broadcaster.flush()
    expect(frames).toBeGreaterThan(0)
  }
})
