/**
 * Updates of metadata (rule M13): stable by the member's own word, one per member and configuration, never in the way of others,
 * dropped where the member is removed, announced until a configuration holds them.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Alerting } from '../../../membership/alerting.ts'
import type { Broadcaster, BroadcastMessage } from '../../../membership/broadcaster.ts'
import {
  cutDigest, isSameMetadata, nextConfiguration, normalizeCut, type Configuration, type Cut, type MemberId, type Metadata, type Update
} from '../../../membership/configuration.ts'
import { cutError } from '../../../membership/consensus-decision.ts'
import { Counters } from '../../../membership/counters.ts'
import { CutDetector } from '../../../membership/cut-detector.ts'
import { gossip } from '../../../membership/gossip-broadcaster.ts'
import { validateMessage } from '../../../membership/message-validation.ts'
import type { Alerts } from '../../../membership/messages.ts'
import { LAN } from '../../../membership/tuning.ts'
import { Overlay } from '../../../membership/overlay.ts'
import { type Report, ReportBook, reportBy, reportOf } from '../../../membership/reports.ts'
import { decodeSnapshot, encodeSnapshot } from '../../../membership/snapshot.ts'
import { decodeMessage, encodeMessage } from '../../../membership/transport/message-codec.ts'
import { Updating } from '../../../membership/updating.ts'
import { difference } from '../../../membership/view-change.ts'
import { View } from '../../../membership/view.ts'
import { makeConfiguration, makeMember } from './fixtures.ts'

const metadata = (change: Partial<Metadata> = {}): Metadata => ({ zone: 'z', weight: 2, tags: {}, ...change })
const update = (member: MemberId, version = 1, change: Partial<Metadata> = {}): Update => ({ member, version, metadata: metadata(change) })
const ids = ({ members }: Configuration): [MemberId, MemberId, MemberId] => members.slice(0, 3).map(({ id }) => id) as [MemberId, MemberId, MemberId]

describe('cuts with updates', () => {
  const configuration = makeConfiguration(5)
  const [a, b, c] = ids(configuration)

  test('are sorted, hold the newest update of each member, and none of a member that is removed', () => {
    const cut = normalizeCut([], [b], [update(c), update(b), update(a, 2), update(a, 1), update(a, 3)])
    expect(cut).toEqual({ joins: [], removals: [b], updates: [update(a, 3), update(c)] })
    expect(normalizeCut([], [], [update(a, 2, { zone: 'first' }), update(a, 2, { zone: 'second' })]).updates).toEqual([update(a, 2, { zone: 'first' })])
  })

  test('have a digest that tells every field apart, and not the order of tags', () => {
    const variants: Update[] = [
      update(a), update(b), update(a, 2), update(a, 1, { zone: 'y' }), update(a, 1, { weight: 3 }), update(a, 1, { tags: { x: '1' } }),
      update(a, 1, { tags: { x: '2' } }), update(a, 1, { tags: { x: '1', y: '2' } })
    ]
    expect(new Set(variants.map(variant => cutDigest(normalizeCut([], [], [variant])))).size).toBe(variants.length)
    expect(cutDigest(normalizeCut([], [], [update(a, 1, { tags: { y: '2', x: '1' } })]))).toBe(cutDigest(normalizeCut([], [], [variants.at(-1)!])))
    const joiner = makeMember('joiner')
    expect(cutDigest(normalizeCut([joiner], []))).not.toBe(cutDigest(normalizeCut([{ ...joiner, metadataVersion: 1 }], [])))
    expect(isSameMetadata(metadata({ tags: { x: '1', y: '2' } }), metadata({ tags: { y: '2', x: '1' } }))).toBe(true)
    expect(isSameMetadata(metadata({ tags: { x: '1' } }), metadata({ tags: { x: '1', y: '2' } }))).toBe(false)
  })

  test('change the records of their members, and nothing else', () => {
    const cut = normalizeCut([makeMember('joiner')], [c], [update(a, 4)])
    const next = nextConfiguration(configuration, cut)
    expect(next.members.find(({ id }) => id === a)).toEqual({ ...configuration.members[0]!, metadata: metadata(), metadataVersion: 4 })
    for (const member of configuration.members) if (member.id !== a && member.id !== c) expect(next.members).toContain(member)
    expect(next.members).toHaveLength(5)
    expect(next.members.map(({ id }) => id)).toEqual(next.members.map(({ id }) => id).sort())
    expect(next.id).not.toBe(nextConfiguration(configuration, normalizeCut([makeMember('joiner')], [c])).id)
    expect(difference(configuration, next).updated).toEqual([{ ...configuration.members[0]!, metadata: metadata(), metadataVersion: 4 }])
    expect(difference(undefined, next).updated).toEqual([])
    // As a joiner and a disk get it.
    expect(decodeSnapshot(encodeSnapshot(next, undefined, undefined), undefined)).toEqual({ configuration: next, state: undefined })
  })

  test('follow a configuration only if their versions rise, once per member, and their members stay', () => {
    const after = nextConfiguration(configuration, normalizeCut([], [], [update(a, 2)]))
    const raw = (removals: MemberId[], ...updates: Update[]): Cut => ({ joins: [], removals, updates })
    expect(cutError(after, raw([], update(a, 3), update(b)))).toBeUndefined()
    expect(cutError(after, raw([]))).toMatch('changes nothing')
    expect(cutError(after, raw([], update(a, 2)))).toMatch('to version 2')
    expect(cutError(after, raw([], update(b, 0)))).toMatch('to version 0')
    expect(cutError(after, raw([a], update(a, 3)))).toMatch('no member any more')
    expect(cutError(after, raw([], update(makeMember('stranger').id)))).toMatch('no member any more')
    expect(cutError(after, raw([], update(b), update(b, 2)))).toMatch('twice')
  })
})

describe('the cut detector', () => {
  const configuration = makeConfiguration(30)
  const overlay = new Overlay(configuration)
  const [a, b, c] = ids(configuration)
  const detect = (): CutDetector => new CutDetector(configuration, overlay, { batchWindowMs: 100, unstableTimeoutMs: 2000 })
  const remove = (detector: CutDetector, subject: MemberId, count: number): void => {
    for (const observer of overlay.observersOf(subject).slice(0, count)) detector.reportRemoval(observer, subject)
  }

  test('takes an update as stable by itself, the newest of each member, and waits for nothing', () => {
    const detector = detect()
    expect(detector.reportUpdate(update(b, 2))).toBe(true)
    expect(detector.reportUpdate(update(b, 1))).toBe(false)
    expect(detector.reportUpdate(update(b, 2, { zone: 'other' }))).toBe(false)
    expect(detector.reportUpdate(update(a, 1))).toBe(true)
    expect(detector.proposal(0)).toEqual({ joins: [], removals: [], updates: [update(a), update(b, 2)] })
    expect(detector.deadline()).toBeUndefined()
    expect(detector.explain()).toMatchObject([{ subject: a, status: 'update', reporters: [a], high: 1 }, { subject: b, status: 'update' }])
    detector.invariants()
  })

  test('ignores those of non-members, and versions that a member has already', () => {
    const after = nextConfiguration(configuration, normalizeCut([], [], [update(a, 2)]))
    const detector = new CutDetector(after, new Overlay(after))
    expect(detector.reportUpdate(update(a, 2))).toBe(false)
    expect(detector.reportUpdate(update(a, 1))).toBe(false)
    expect(detector.reportUpdate(update(makeMember('stranger').id))).toBe(false)
    expect(detector.proposal(0)).toBeUndefined()
    expect(detector.reportUpdate(update(a, 3))).toBe(true)
  })

  test('removal wins, an update goes along with the removal of others, and lone reports do not hold it back', () => {
    const detector = detect()
    detector.reportUpdate(update(a))
    detector.reportUpdate(update(b))
    remove(detector, c, 2)
    expect(detector.proposal(0)).toEqual(normalizeCut([], [], [update(a), update(b)]))
    remove(detector, a, 9)
    expect(detector.proposal(0)).toEqual({ joins: [], removals: [a], updates: [update(b)] })
    remove(detector, b, 9)
    expect(detector.proposal(0)).toEqual({ joins: [], removals: [a, b].sort(), updates: [] })
  })

  test('does not overtake a removal that is unstable: that one is waited for', () => {
    const detector = detect()
    detector.reportUpdate(update(b))
    remove(detector, a, 5)
    expect(detector.proposal(0)).toBeUndefined()
    remove(detector, a, 9)
    expect(detector.proposal(0)).toEqual({ joins: [], removals: [a], updates: [update(b)] })
  })
})

describe('reports of updates', () => {
  const configuration = makeConfiguration(30)
  const overlay = new Overlay(configuration)
  const [a, b] = ids(configuration)
  const report = (of: Update): Report => ({ status: 'update', attempt: 0, update: of, observers: 1 })

  test('are made by the member itself alone', () => {
    expect(reportBy(a, overlay, { update: update(a) }, 0)).toEqual(report(update(a)))
    expect(reportBy(b, overlay, { update: update(a) }, 0)).toBeUndefined()
  })

  test('are news once per version, in whatever order and however often versions come; what is passed on is the newest', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 20 }), versions => {
      const book = new ReportBook(overlay)
      let newest = 0
      for (const version of versions) {
        const news = book.add(report(update(a, version)))
        expect(news !== undefined).toBe(version > newest)
        if (news !== undefined) expect(reportOf(news.entry, news.fresh, false)).toEqual(report(update(a, version)))
        newest = Math.max(newest, version)
        expect([...book.entries()].map(entry => entry.update)).toEqual([update(a, newest)])
      }
    }))
  })

  test('of two contents of one version the first counts, and the second is known for what it is', () => {
    const book = new ReportBook(overlay)
    expect(book.contradicts(update(a))).toBe(false)
    book.add(report(update(a)))
    expect(book.contradicts(update(a))).toBe(false)
    expect(book.contradicts(update(a, 2, { zone: 'other' }))).toBe(false)
    expect(book.contradicts(update(a, 1, { zone: 'other' }))).toBe(true)
    expect(book.add(report(update(a, 1, { zone: 'other' })))).toBeUndefined()
    expect([...book.entries()].map(entry => entry.update)).toEqual([update(a)])
  })

  test('of who is no member mean nothing', () => {
    expect(new ReportBook(overlay).add(report(update(makeMember('stranger').id)))).toBeUndefined()
  })

  test('are the same after a transport', () => {
    const { sender, position } = new View(configuration, configuration.members[0]!, 10)
    const reports = [report(update(a, 7, { tags: { rack: '7', ünïcode: '' } }))]
    const message: Alerts = { kind: 'alerts', sender, position, reports }
    expect(validateMessage(decodeMessage(encodeMessage(message)))).toEqual(message)
  })
})

describe('alerting', () => {
  const configuration = makeConfiguration(30)
  const [a, b] = ids(configuration)
  const view = new View(configuration, configuration.members[0]!, 10)

  function alert (): { alerting: Alerting, sent: BroadcastMessage[], proposed: Cut[], contradicted: Update[] } {
    const [sent, proposed, contradicted]: [BroadcastMessage[], Cut[], Update[]] = [[], [], []]
    const alerting = new Alerting(LAN, new Counters(), {
      propose: cut => { proposed.push(cut) }, vouch: () => {}, probe: () => {}, rearm: () => {}, contradicted: wrong => { contradicted.push(wrong) }
    })
    const broadcaster: Broadcaster = {
      originate: (_, message) => { sent.push(message) }, relay: () => {}, advance: () => {}, flush: () => {}, nextAtMs: Infinity
    }
    alerting.enter(view, broadcaster)
    return { alerting, sent, proposed, contradicted }
  }

  /** Advances whenever it asks for it. */
  function run (alerting: Alerting, from: number, to: number): void {
    for (let now = from; now <= to; now = Math.max(now + 1, alerting.nextAtMs)) alerting.advance(now)
  }

  test('an update goes out at once, is repeated, and makes a proposal of its own after the quiet windows', () => {
    const { alerting, sent, proposed } = alert()
    alerting.reportUpdate(0, update(a))
    run(alerting, 0, 5)
    expect(sent).toMatchObject([{ kind: 'alerts', reports: [{ status: 'update', update: update(a) }] }])
    run(alerting, 5, 2 * LAN.batchWindowMs - 1)
    expect(proposed).toEqual([])
    run(alerting, 2 * LAN.batchWindowMs, 2 * LAN.batchWindowMs + 5)
    expect(proposed).toEqual([normalizeCut([], [], [update(a)])])
    run(alerting, 2 * LAN.batchWindowMs + 6, LAN.alertRepeatMs + 5)
    expect(sent).toHaveLength(2)
  })

  test('updates that keep coming delay a proposal by four windows at most', () => {
    const { alerting, proposed } = alert()
    let proposedAtMs: number | undefined
    for (let now = 0; now < 2000; now++) {
      const member = configuration.members[now % 29]!
      if (now % 10 === 0) alerting.receive(now, [{ status: 'update', attempt: 0, update: update(member.id, now + 1), observers: 1 }])
      alerting.advance(now)
      if (proposed.length > 0) proposedAtMs ??= now
    }
    expect(proposedAtMs).toBeLessThanOrEqual(4 * LAN.batchWindowMs + LAN.batchWindowMs / 10)
  })

  test('a member that contradicts itself is told of once', () => {
    const { alerting, proposed, contradicted } = alert()
    const told = (zone: string): Report => ({ status: 'update', attempt: 0, update: update(b, 1, { zone }), observers: 1 })
    for (const zone of ['one', 'one', 'two', 'two', 'three']) alerting.receive(0, [told(zone)])
    expect(contradicted).toEqual([update(b, 1, { zone: 'two' })])
    run(alerting, 0, 500)
    expect(proposed).toEqual([normalizeCut([], [], [update(b, 1, { zone: 'one' })])])
  })

  test('gossip passes an update on once, whole, and repeats it with all that its origin knows', () => {
    const sent: Report[] = []
    const broadcaster = gossip(view, LAN, (_, message) => { if (message.kind === 'alerts') sent.push(...message.reports) })
    const alerts = (of: Update): Alerts => {
      return { kind: 'alerts', sender: view.sender, position: view.position, reports: [{ status: 'update', attempt: 0, update: of, observers: 1 }] }
    }
    for (let i = 0; i < 3; i++) broadcaster.relay(0, b, alerts(update(b)))
    broadcaster.flush()
    broadcaster.relay(100, b, alerts(update(b)))
    broadcaster.flush()
    expect(sent.map(report => report.update)).toEqual([update(b)])
    broadcaster.originate(200, alerts(update(a)))
    broadcaster.flush()
    broadcaster.originate(300, alerts(update(a)))
    expect(sent.map(report => report.update)).toEqual([update(b), update(a), update(b), update(a)])
  })
})

describe('updating', () => {
  const configuration = makeConfiguration(5)
  const [a, b] = ids(configuration)
  const self = configuration.members[0]!
  const viewOf = (of: Configuration): View => new View(of, self, 10)
  const after = (before: Configuration, updates: Update[]): Configuration => nextConfiguration(before, normalizeCut([], [], updates))

  /** A time, later than the first batch window of any configuration here. */
  const NOW = 1000
  const enter = (updating: Updating, view: View): void => {
    updating.enter(0, view)
    updating.advance(NOW)
  }

  function begin (): { updating: Updating, announced: Update[], held: number[] } {
    const [announced, held]: [Update[], number[]] = [[], []]
    const updating = new Updating({ batchWindowMs: 100 }, {
      announce: update => { announced.push(update) }, held: tokens => { held.push(...tokens) }
    })
    enter(updating, viewOf(configuration))
    return { updating, announced, held }
  }

  test('announces the whole metadata, with the fields that were not given as they are', () => {
    const { updating, announced, held } = begin()
    updating.ask(NOW, 1, { weight: 9 })
    expect(announced).toEqual([{ member: a, version: 1, metadata: { ...self.metadata, weight: 9 } }])
    expect(held).toEqual([])
    enter(updating, viewOf(after(configuration, announced)))
    expect(held).toEqual([1])
    expect(announced).toHaveLength(1)
  })

  test('what changes nothing is held already', () => {
    const { updating, announced, held } = begin()
    updating.ask(NOW, 1, {})
    updating.ask(NOW, 2, self.metadata)
    expect(held).toEqual([1, 2])
    expect(announced).toEqual([])
  })

  test('what is asked for meanwhile waits for the next configuration, merged', () => {
    const { updating, announced, held } = begin()
    updating.ask(NOW, 1, { weight: 9 })
    updating.ask(NOW, 2, { weight: 8 })
    updating.ask(NOW, 3, { zone: 'east' })
    expect(announced).toHaveLength(1)
    const second = after(configuration, announced.splice(0))
    enter(updating, viewOf(second))
    expect(held).toEqual([1])
    expect(announced).toEqual([{ member: a, version: 2, metadata: { ...self.metadata, weight: 8, zone: 'east' } }])
    enter(updating, viewOf(after(second, announced)))
    expect(held).toEqual([1, 2, 3])
  })

  test('what a configuration does not hold is announced in the next one, under a higher version, with what came meanwhile', () => {
    const { updating, announced, held } = begin()
    updating.ask(NOW, 1, { weight: 9, zone: 'east' })
    updating.ask(NOW, 2, { weight: 8 })
    enter(updating, viewOf(after(configuration, [update(b)])))
    expect(held).toEqual([])
    expect(announced.map(({ version, metadata: { weight, zone } }) => ({ version, weight, zone }))).toEqual([
      { version: 1, weight: 9, zone: 'east' }, { version: 2, weight: 8, zone: 'east' }
    ])
    enter(updating, viewOf(after(configuration, [announced[1]!])))
    expect(held).toEqual([1, 2])
  })

  test('nothing is announced in the first batch window of a configuration, and at its end what was asked for until then', () => {
    const { updating, announced } = begin()
    updating.enter(NOW, viewOf(configuration))
    expect(updating.nextAtMs).toBe(Infinity)
    updating.ask(NOW, 1, { weight: 9 })
    updating.ask(NOW + 50, 2, { weight: 8 })
    expect(updating.nextAtMs).toBe(NOW + 100)
    updating.advance(NOW + 99)
    expect(announced).toEqual([])
    updating.advance(NOW + 100)
    expect(announced.map(({ metadata: { weight } }) => weight)).toEqual([8])
    expect(updating.nextAtMs).toBe(Infinity)
  })
})
