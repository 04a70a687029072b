/**
 * The metrics of membership: what time does to tallies, what is refused, and how the numbers are written.
 *
 * What a whole life makes of them is in test/sim/membership-metrics.test.ts.
 *
 * Mutations that were tried and are caught here: a report of several observers that counts as one alert; promoted and lapsed removals
 * mixed up; voided joins, answers, and what is no message not counted; quotes that are not escaped; times in milliseconds; a closed process that
 * counts as a member.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Agreement } from '../../../membership/agreement.ts'
import { Alerting } from '../../../membership/alerting.ts'
import type { Broadcaster } from '../../../membership/broadcaster.ts'
import { Counters } from '../../../membership/counters.ts'
import { Outbox } from '../../../membership/effects.ts'
import { createMemoryHub, createSystemClock, createSystemRandom, formatMetrics, Membership, silentLog } from '../../../membership/index.ts'
import { frozenMetrics, type MembershipGauges } from '../../../membership/metrics.ts'
import { reportBy, type About, type Report } from '../../../membership/reports.ts'
import { LAN } from '../../../membership/tuning.ts'
import { View } from '../../../membership/view.ts'
import { makeConfiguration, makeMember } from './fixtures.ts'

const GAUGES: MembershipGauges = {
  epoch: 7, members: 5, voters: 4, isMember: 1, isIsolated: 0, edges: 4, edgesFailing: 1, edgesFaulty: 0, linksOpen: 6
}

interface Bench {
  readonly counters: Counters
  readonly reports: readonly Report[]
  /** Advances until a time, whenever alerting asks for that. */
  until (ms: number): void
  /** The reports come again, or others. */
  receive (ms: number, others?: readonly Report[]): void
}

describe('what time does to tallies (rules M6 and M7)', () => {
  const configuration = makeConfiguration(30)
  const view = new View(configuration, configuration.members[0]!, LAN.ringCount)

  /** One member's alerting, that hears of one subject from so many of its observers, and of nothing else. */
  function hears (about: About, observers: number): Bench {
    const counters = new Counters()
    const quiet: Broadcaster = { originate: () => {}, relay: () => {}, advance: () => {}, flush: () => {}, nextAtMs: Infinity }
    const alerting = new Alerting(LAN, counters, { propose: () => {}, vouch: () => {}, probe: () => {}, rearm: () => {}, contradicted: () => {} })
    alerting.enter(view, quiet)
    const all = 'joiner' in about ? view.overlay.observersOfJoiner(about.joiner.id) : view.overlay.observersOf((about as { subject: never }).subject)
    const reports = all.filter(id => id !== view.self.id).slice(0, observers).map(id => reportBy(id, view.overlay, about, 0)!)
    const receive = (ms: number, others = reports): void => { alerting.receive(ms, others) }
    receive(0)
    const until = (ms: number): void => { for (let now = 0; now <= ms; now = Math.max(now + 1, alerting.nextAtMs)) alerting.advance(now) }
    return { counters, reports, until, receive }
  }

  /** Somebody whom this member does not observe, so that it has no word of its own to add. */
  const stranger = { subject: configuration.members.find(({ id }) => id !== view.self.id && !view.subjects.includes(id))!.id }
  /** A process that wants to join, and whom it would not observe. */
  const joiner = { joiner: ['a', 'b', 'c', 'd'].map(name => makeMember(`joiner ${name}`)).find(({ id }) => !view.observesJoiner(id))! }

  test('a removal between L and H is promoted after two timeouts', () => {
    const { counters, until } = hears(stranger, LAN.lowWatermark)
    until(2 * LAN.unstableTimeoutMs - 1)
    expect(counters).toMatchObject({ removalsPromoted: 0, proposals: 0, alertsHeard: { remove: LAN.lowWatermark } })
    until(2 * LAN.unstableTimeoutMs + 1000)
    expect(counters).toMatchObject({ removalsPromoted: 1, removalsLapsed: 0, joinsVoided: 0, proposals: 1 })
  })

  test('a removal below L lapses after ten', () => {
    const { counters, until } = hears(stranger, LAN.lowWatermark - 1)
    until(10 * LAN.unstableTimeoutMs - 1)
    expect(counters).toMatchObject({ removalsLapsed: 0 })
    until(10 * LAN.unstableTimeoutMs + 1000)
    expect(counters).toMatchObject({ removalsPromoted: 0, removalsLapsed: 1, joinsVoided: 0, proposals: 0 })
  })

  test('a join between L and H is voided after two', () => {
    const { counters, until } = hears(joiner, LAN.lowWatermark)
    until(2 * LAN.unstableTimeoutMs - 1)
    expect(counters).toMatchObject({ joinsVoided: 0, alertsHeard: { join: LAN.lowWatermark } })
    until(2 * LAN.unstableTimeoutMs + 1000)
    expect(counters).toMatchObject({ removalsPromoted: 0, removalsLapsed: 0, joinsVoided: 1, proposals: 0 })
  })

  test('a report of several observers is as many alerts (rule M11)', () => {
    const { counters, receive, reports: [report] } = hears(stranger, 1)
    const others = 7 & ~report!.observers
    receive(10, [{ ...report!, observers: report!.observers | others }])
    expect(counters.alertsHeard.remove).toBe(others === 7 ? 4 : 3)
  })

  test('a report that comes again is redundant, and no alert', () => {
    const { counters, receive, reports } = hears(stranger, 2)
    receive(10)
    expect(reports).toHaveLength(2)
    expect(counters).toMatchObject({ alertsHeard: { join: 0, remove: 2, update: 0 }, reportsRedundant: 2 })
    expect(counters.alertsMade).toEqual({ join: 0, remove: 0, update: 0 })
  })
})

describe('what is refused', () => {
  test('a message of consensus that nobody in this configuration can have sent', () => {
    const configuration = makeConfiguration(5)
    const [self, other] = configuration.members
    const out = new Outbox<undefined>()
    const agreement = new Agreement({ configuration, self: self!.id, tuning: LAN, out }, { send: () => {}, broadcast: () => {}, decided: () => {} })
    const header = { configurationId: configuration.id, epoch: configuration.epoch }
    agreement.hear(0, other!.id, { kind: 'prepare', ...header, ballot: { round: 1, member: 4 } })
    expect(out.counters.messagesRefused).toBe(1)
    agreement.hear(0, other!.id, { kind: 'prepare', ...header, ballot: { round: 1, member: 1 } })
    expect(out.counters.messagesRefused).toBe(1)
  })

  test('what is no message, and a joiner that wants another cluster', async () => {
    const [hub, clock, random] = [createMemoryHub(), createSystemClock(), createSystemRandom()]
    const transports = ['a:1', 'b:1'].map(address => hub.transport(address))
    const environment = { clock, random, log: silentLog }
    for (const transport of transports) await transport.start()
    const [founder, joiner] = transports.map((transport, index) => new Membership({ environment: { ...environment, transport } }, {
      clusterName: index === 0 ? 'here' : 'there', preset: 'test', ...index === 0 ? { found: true } : { seeds: ['a:1'] }
    })) as [Membership, Membership]
    await founder.start()
    transports[1]!.send('a:1', 0, { kind: 'rubbish' })
    await expect(joiner.start()).rejects.toMatchObject({ code: 'MEMBERSHIP_JOIN_REFUSED' })
    const { counters, gauges } = founder.metrics()
    // The joiner asks again until the answer is there.
    const { joinRequests } = counters
    expect(joinRequests).toBeGreaterThan(0)
    expect(counters).toMatchObject({ messagesRefused: 1, joinsRefused: { cluster: joinRequests, protocol: 0 } })
    expect(counters.messagesSent['join-refused']).toBe(joinRequests)
    expect(gauges).toMatchObject({ epoch: 1, members: 1, isMember: 1, edges: 0, linksOpen: 1 })
    await Promise.all([founder.close(), joiner.close()])
    expect(founder.metrics().gauges).toMatchObject({ isMember: 0, epoch: 1 })
    for (const transport of transports) await transport.close()
  })
})

describe('a copy of the numbers', () => {
  test('stays as it is, and cannot be changed', () => {
    const counters = new Counters()
    const metrics = frozenMetrics(counters, GAUGES)
    counters.proposals++
    counters.links.opened++
    expect(metrics.counters).toMatchObject({ proposals: 0, links: { opened: 0 } })
    const parts = [metrics, metrics.counters, metrics.gauges, metrics.counters.links, metrics.counters.viewChanges]
    for (const part of parts) expect(Object.isFrozen(part)).toBe(true)
  })

  test('is all zeros before the start', () => {
    const transport = createMemoryHub().transport('a:1')
    const environment = { clock: createSystemClock(), random: createSystemRandom(), log: silentLog, transport }
    const membership = new Membership({ environment }, { clusterName: 'x', found: true })
    const { counters, gauges } = membership.metrics()
    expect(counters).toEqual(new Counters())
    expect(new Set(Object.values(gauges))).toEqual(new Set([0]))
  })
})

describe('the text format of Prometheus', () => {
  const counters = new Counters()
  counters.viewChanges.fast = 3
  counters.lateMs = 1500
  const metrics = frozenMetrics(counters, GAUGES)
  const lines = (text: string): string[] => text.split('\n')

  test('a counter has its total, a counter of several the label that tells them apart, a gauge its name; times are seconds', () => {
    const text = lines(formatMetrics(metrics))
    expect(text).toEqual(expect.arrayContaining([
      '# TYPE coterie_membership_view_changes_total counter',
      'coterie_membership_view_changes_total{way="fast"} 3',
      'coterie_membership_view_changes_total{way="recovery"} 0',
      'coterie_membership_alerts_made_total{status="remove"} 0',
      'coterie_membership_messages_sent_total{kind="probe-reply"} 0',
      '# TYPE coterie_membership_late_seconds_total counter',
      'coterie_membership_late_seconds_total 1.5',
      '# TYPE coterie_membership_edges_failing gauge',
      'coterie_membership_edges_failing 1'
    ]))
  })

  test('every line is a type or a sample, each name has one type before its samples, and the text ends with a line', () => {
    const text = formatMetrics(metrics, { labels: { process: 'a "b" \\ c\nd' } })
    expect(text.endsWith('\n')).toBe(true)
    const typed = new Set<string>()
    for (const line of lines(text.slice(0, -1))) {
      const type = /^# TYPE ([a-z_]+) (counter|gauge)$/.exec(line)?.[1]
      if (type !== undefined) {
        expect(typed.has(type)).toBe(false)
        typed.add(type)
      } else {
        const [, name, labels] = /^([a-z_]+)\{(process="a \\"b\\" \\\\ c\\nd"(?:,[a-z]+="[a-z-]+")?)\} [0-9.]+$/.exec(line) ?? []
        expect([name, labels]).not.toContain(undefined)
        expect([...typed].at(-1)).toBe(name)
      }
    }
  })

  test('the traffic of a transport, where it is given', () => {
    const traffic = { sent: { messages: 9, frames: 4, bytes: 700 }, received: { messages: 8, frames: 3, bytes: 600 } }
    expect(lines(formatMetrics(metrics, { traffic }))).toEqual(expect.arrayContaining([
      'coterie_transport_messages_total{direction="sent"} 9', 'coterie_transport_frames_total{direction="received"} 3',
      'coterie_transport_bytes_total{direction="sent"} 700'
    ]))
    expect(formatMetrics(metrics)).not.toContain('coterie_transport')
  })

  test.each(['', 'a-b', '1a', 'a b'])('no label is named %j', name => {
    expect(() => formatMetrics(metrics, { labels: { [name]: 'x' } })).toThrow(expect.objectContaining({ code: 'MEMBERSHIP_INVALID_OPTIONS' }))
  })

  test('the document lists every number, and no other', () => {
    const readme = readFileSync(new URL('../../../membership/README.md', import.meta.url), 'utf8')
    const [section] = readme.split('\n## Metrics\n')[1]!.split('\n## ')
    const documented = [...section!.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name!)
    expect(documented).toEqual([...Object.keys(metrics.counters), ...Object.keys(metrics.gauges)])
  })
})
