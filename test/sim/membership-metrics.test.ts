/**
 * The metrics of membership tell the truth: lives with a known course, and the numbers that the protocol makes of them.
 *
 * Up to K + 1 members everybody observes everybody and every message goes to everybody, so on a network that loses nothing nearly
 * every number follows from the size: N members, f fast votes, c votes in a classic ballot.
 *
 * Mutations that were tried and are caught here: a message to several peers that counts once; a report that is made again, or comes
 * again, and counts again; an alert of a detector's own verdict, or one made before, that counts as reinforcement; implicit alerts,
 * stale messages, rejoins, connections, or lateness not counted; votes counted after the decision; a ballot begun by who answers one, and won by
 * everybody; a fetched decision that counts as taken; members that were there before counted as joined; leaving counted as a removal, and the
 * end of isolation as one; an answer that comes late or twice counted; every probe counted as missed; a verdict counted at each look; a
 * catch-up at each word of a later epoch; records counted without a disk, or only configurations; counters that begin anew when the process
 * joins again; parts of a copy that go on counting; agents among the voters.
 */
import { describe, expect, test } from 'vitest'
import type { MembershipCounters, MembershipMetrics } from '../../membership/metrics.ts'
import { classicQuorum, fastQuorum } from '../../membership/quorum.ts'
import { LAN } from '../../membership/tuning.ts'
import { addressOf, MembershipCluster, type Process } from './membership-harness.ts'
import { seedsToRun } from './simulation.ts'

type Numbers<Counts> = { [Name in keyof Counts]?: Counts[Name] extends number ? number : Partial<Counts[Name]> }
/** What rose, and by how much. */
type Rise = Numbers<MembershipCounters>

const nonZero = (values: Readonly<Record<string, number>>): Record<string, number> => {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== 0))
}

function without<Whole extends object> (whole: Whole, ...names: readonly (keyof Whole)[]): Partial<Whole> {
  return Object.fromEntries(Object.entries(whole).filter(([name]) => !names.includes(name as keyof Whole))) as Partial<Whole>
}

type Value = number | Readonly<Record<string, number>>

function riseOf (before: MembershipCounters | undefined, after: MembershipCounters): Rise {
  const known = before as Readonly<Record<string, Value>> | undefined
  const rise: Record<string, Value> = {}
  for (const [name, value] of Object.entries(after) as [string, Value][]) {
    const old = known?.[name] ?? 0
    if (typeof value === 'number') {
      if (value !== old) rise[name] = value - (old as number)
    } else {
      const by = Object.entries(value).map(([key, count]) => [key, count - (typeof old === 'number' ? 0 : old[key]!)] as const)
      if (by.some(([, count]) => count !== 0)) rise[name] = nonZero(Object.fromEntries(by))
    }
  }
  return rise
}

/** What happens to each process that lives to see the end, beyond what it has from before. */
async function rises (cluster: MembershipCluster, happen: () => Promise<unknown>): Promise<Map<string, Rise>> {
  const before = new Map(cluster.live.map(({ address, membership }) => [address, membership.metrics().counters]))
  await happen()
  return new Map(cluster.live.map(({ address, membership }) => [address, riseOf(before.get(address), membership.metrics().counters)]))
}

/** Without what depends on the time that something takes: probes, and everything that passes the wire or the connections. */
function untimed (rise: Rise | undefined): Rise {
  return without(rise!, 'probesSent', 'probesAnswered', 'probesMissed', 'messagesSent', 'messagesReceived', 'messagesStale', 'links', 'joinRequests')
}

const metricsOf = (cluster: MembershipCluster, index: number): MembershipMetrics => cluster.processes.get(addressOf(index))!.membership.metrics()

/** Of `size` members, after long enough for all of them to have answered each other's probes. */
async function formed (seed: number, size: number): Promise<MembershipCluster> {
  const cluster = new MembershipCluster({ seed })
  await cluster.form(size)
  await cluster.converge(size)
  await cluster.simulation.runFor(3000)
  return cluster
}

describe('what the protocol makes of a life without loss', () => {
  test('formation through the gate: the founder decides alone, and everybody else is handed the result', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      const [founder, ...joiners] = [0, 1, 2, 3, 4].map(index => untimed(riseOf(undefined, metricsOf(cluster, index).counters)))
      expect(founder).toEqual({
        viewChanges: { founded: 1, fast: 1 }, membersJoined: 4, alertsMade: { join: 4 }, alertsHeard: { join: 4 },
        proposals: 1, votesCast: 1, votesHeard: 1
      })
      for (const joiner of joiners) expect(joiner).toEqual({ viewChanges: { joined: 1 } })
      for (const { membership } of cluster.live) {
        expect(membership.metrics().gauges).toEqual({
          epoch: 2, members: 5, voters: 5, isMember: 1, isIsolated: 0, edges: 4, edgesFailing: 0, edgesFaulty: 0, linksOpen: 4
        })
        expect(membership.metrics().counters.links).toEqual({ opened: 4, closed: 0, refused: 0, unreachable: 0 })
      }
      cluster.finish()
    }
  })

  test('3 that join 5 at once: everybody vouches for each of them, and f votes decide', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      const rise = await rises(cluster, async () => {
        for (const index of [5, 6, 7]) cluster.start(addressOf(index))
        await cluster.converge(8)
        await cluster.simulation.runFor(1000)
      })
      for (let index = 0; index < 5; index++) {
        expect(untimed(rise.get(addressOf(index)))).toEqual({
          viewChanges: { fast: 1 }, membersJoined: 3, alertsMade: { join: 3 }, alertsHeard: { join: 15 },
          proposals: 1, votesCast: 1, votesHeard: fastQuorum(5)
        })
        // One batch of alerts and one vote, to each of the others; the votes beyond the quorum come too late.
        expect(rise.get(addressOf(index))).toMatchObject({ messagesSent: { alerts: 4, consensus: 4 }, messagesReceived: { alerts: 4, consensus: 4 } })
        expect(rise.get(addressOf(index))!.messagesStale).toBe(5 - fastQuorum(5))
      }
      for (let index = 5; index < 8; index++) expect(untimed(rise.get(addressOf(index)))).toEqual({ viewChanges: { joined: 1 } })
      cluster.finish()
    }
  })

  test('what is sent arrives, kind by kind, and nothing is refused', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      const rise = await rises(cluster, async () => {
        for (const index of [5, 6]) cluster.start(addressOf(index))
        await cluster.converge(7)
        await cluster.simulation.settle(cluster.processes.get(addressOf(1))!.membership.update({ weight: 3 }))
        await cluster.simulation.runFor(2000)
        // In the middle between two rounds of probes nothing is under way.
        await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 2000, until: () => isStill(cluster), everyMs: 5 })
      })
      const totals = { sent: {} as Record<string, number>, received: {} as Record<string, number> }
      for (const { messagesSent = {}, messagesReceived = {}, messagesRefused } of rise.values()) {
        expect(messagesRefused).toBeUndefined()
        for (const [kind, count] of Object.entries(messagesSent)) totals.sent[kind] = (totals.sent[kind] ?? 0) + count
        for (const [kind, count] of Object.entries(messagesReceived)) totals.received[kind] = (totals.received[kind] ?? 0) + count
      }
      const kinds = ['probe', 'probe-reply', 'join-ask', 'join-request', 'snapshot', 'alerts', 'consensus']
      expect(Object.keys(totals.sent)).toEqual(expect.arrayContaining(kinds))
      expect(totals.received).toEqual(totals.sent)
      cluster.finish()
    }
  })

  test('nothing happens for ten seconds: one probe per edge and second, each of them answered', async () => {
    const cluster = await formed(1, 8)
    const rise = await rises(cluster, () => cluster.simulation.runFor(10 * LAN.probeIntervalMs))
    for (const { probesSent, probesAnswered, messagesSent, messagesReceived, ...rest } of rise.values()) {
      expect([probesSent, probesAnswered, messagesSent?.probe, messagesReceived?.['probe-reply']]).toEqual([70, 70, 70, 70])
      expect(rest).toEqual({})
    }
  })

  test('what arrives twice counts once, but as a message', async () => {
    const cluster = new MembershipCluster({ seed: 1, network: { duplicateProbability: 0.5 } })
    await cluster.form(5)
    await cluster.converge(5)
    await cluster.simulation.runFor(3000)
    const rise = await rises(cluster, () => cluster.simulation.runFor(10 * LAN.probeIntervalMs))
    for (const { probesSent, probesAnswered, probesMissed, messagesReceived } of rise.values()) {
      expect([probesSent, probesAnswered, probesMissed]).toEqual([40, 40, undefined])
      expect(messagesReceived!['probe-reply']).toBeGreaterThan(40)
    }
    cluster.crash(addressOf(4))
    await cluster.converge(4)
    for (const { membership } of cluster.live) {
      expect(membership.metrics().counters).toMatchObject({ alertsHeard: { remove: 4 }, membersRemoved: 1, edgesFailed: 1 })
    }
    cluster.finish()
  })

  test('1 of 8 crashes: one verdict and one alert each, and the fast path', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 8)
      const rise = await rises(cluster, async () => {
        cluster.crash(addressOf(7))
        await cluster.converge(7)
        await cluster.simulation.runFor(1000)
      })
      for (const member of rise.values()) {
        expect(untimed(member)).toEqual({
          viewChanges: { fast: 1 }, membersRemoved: 1, alertsMade: { remove: 1 }, alertsHeard: { remove: 7 }, edgesFailed: 1,
          proposals: 1, votesCast: 1, votesHeard: fastQuorum(8)
        })
        expect(member.links).toMatchObject({ closed: 1 })
        expect(member.probesMissed).toBeGreaterThan(0)
      }
      expect(metricsOf(cluster, 0).gauges).toMatchObject({ members: 7, edges: 6, edgesFaulty: 0, linksOpen: 6 })
      cluster.finish()
    }
  })

  test('3 of 7 crash at once: too few for the fast path, one ballot decides, and the dead count as each other\'s accusers', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 7)
      const rise = await rises(cluster, async () => {
        for (const index of [4, 5, 6]) cluster.crash(addressOf(index))
        await cluster.converge(4)
        await cluster.simulation.runFor(1000)
      })
      expect(classicQuorum(7)).toBe(4)
      for (const member of rise.values()) {
        expect(without(untimed(member), 'ballotsBegun', 'ballotsWon', 'votesHeard')).toEqual({
          viewChanges: { recovery: 1 }, membersRemoved: 3, alertsMade: { remove: 3 }, alertsHeard: { remove: 12 }, alertsImplicit: 6,
          edgesFailed: 3, proposals: 1, votesCast: 1
        })
        expect(member.votesHeard).toBeLessThanOrEqual(4)
      }
      // The first by rank begins at once, and is done before it would be the turn of the next one (rule M2).
      const ballots = [...rise.values()].map(({ ballotsBegun = 0, ballotsWon = 0 }) => `${ballotsBegun} begun, ${ballotsWon} won`)
      expect(ballots.sort()).toEqual([...Array.from({ length: 3 }, () => '0 begun, 0 won'), '1 begun, 1 won'])
      cluster.finish()
    }
  })

  test('a member that missed a decision fetches it: no vote, no proposal, one catch-up', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 8)
      const { simulation } = cluster
      const { epoch } = cluster
      const rise = await rises(cluster, async () => {
        simulation.network.faults.setIngress(addressOf(3), { blocked: true })
        void cluster.processes.get(addressOf(1))!.membership.update({ weight: 2 })
        await simulation.run({ untilMs: simulation.nowMs + 5000, until: () => cluster.history.has(epoch + 1), everyMs: 0 })
        await simulation.runFor(300)
        simulation.network.faults.heal()
        await cluster.converge(8)
        await simulation.runFor(1000)
      })
      expect(untimed(rise.get(addressOf(3)))).toEqual({ viewChanges: { fetched: 1 }, membersUpdated: 1, catchUps: 1 })
      expect(rise.get(addressOf(3))).toMatchObject({ messagesSent: { 'fetch-decisions': 1 }, messagesReceived: { decisions: 1 } })
      const voted = { proposals: 1, votesCast: 1, votesHeard: fastQuorum(8) }
      const decided = { viewChanges: { fast: 1 }, membersUpdated: 1, alertsHeard: { update: 1 }, ...voted }
      expect(untimed(rise.get(addressOf(1)))).toEqual({ ...decided, alertsMade: { update: 1 } })
      for (const index of [0, 2, 4, 5, 6, 7]) expect(untimed(rise.get(addressOf(index)))).toEqual(decided)
      cluster.finish()
    }
  })

  test('a member that is cut off is isolated once, is removed, and joins again', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 7)
      const { simulation } = cluster
      const cutOff = addressOf(2)
      const others = cluster.live.map(({ address }) => address).filter(address => address !== cutOff)
      const rise = await rises(cluster, async () => {
        simulation.network.faults.partition([cutOff], others)
        await simulation.runFor(15_000)
        expect(metricsOf(cluster, 2).gauges).toMatchObject({ isMember: 1, isIsolated: 1, edges: 6, edgesFailing: 6, edgesFaulty: 6, epoch: 2 })
        simulation.network.faults.heal()
        await cluster.converge(7)
        await simulation.runFor(1000)
      })
      expect(untimed(rise.get(cutOff))).toMatchObject({
        viewChanges: { fetched: 1, joined: 1 }, membersRemoved: 1, isolations: 1, removals: 1, rejoins: 1, edgesFailed: 6
      })
      // It doubts itself as soon as more than half of its edges look bad, and what it said before that reached nobody (rule M10).
      const { alertsHeard, alertsMade } = rise.get(cutOff)!
      expect(alertsMade?.remove ?? 0).toBeLessThanOrEqual(3)
      expect(alertsHeard).toEqual(alertsMade)
      for (const address of others) {
        expect(untimed(rise.get(address))).toEqual({
          viewChanges: { fast: 2 }, membersJoined: 1, membersRemoved: 1, alertsMade: { join: 1, remove: 1 }, alertsHeard: { join: 6, remove: 6 },
          edgesFailed: 1, proposals: 2, votesCast: 2, votesHeard: fastQuorum(7) + fastQuorum(6)
        })
      }
      expect(metricsOf(cluster, 2).gauges).toMatchObject({ epoch: 4, isMember: 1, isIsolated: 0, edgesFailing: 0 })
      cluster.finish()
    }
  })

  test('who leaves was not removed, and does not come back', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      const leaver = cluster.processes.get(addressOf(3))!
      const rise = await rises(cluster, async () => {
        await cluster.simulation.settle(leaver.membership.leave())
        await cluster.simulation.runFor(5000)
      })
      for (const index of [0, 1, 2, 4]) {
        expect(untimed(rise.get(addressOf(index)))).toMatchObject({ viewChanges: { fast: 1 }, membersRemoved: 1, alertsMade: { remove: 1 } })
      }
      expect(rise.get(addressOf(3))).toMatchObject({ viewChanges: { fast: 1 }, membersRemoved: 1 })
      for (const name of ['removals', 'rejoins', 'alertsMade']) expect(rise.get(addressOf(3))).not.toHaveProperty(name)
      expect(leaver.membership.metrics().gauges).toMatchObject({ isMember: 0, edges: 0 })
    }
  })

  test('one broken link of three (rule M5): two lone accusations, told again and again to the third, who accuses nobody', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 3)
      const rise = await rises(cluster, async () => {
        cluster.simulation.network.faults.partition([addressOf(0)], [addressOf(1)])
        await cluster.simulation.runFor(15_000)
      })
      for (const index of [0, 1]) {
        expect(untimed(rise.get(addressOf(index)))).toEqual({ alertsMade: { remove: 1 }, alertsHeard: { remove: 1 }, edgesFailed: 1 })
      }
      const { messagesReceived, ...third } = rise.get(addressOf(2))!
      expect(messagesReceived!.alerts).toBeGreaterThan(2)
      // Two of these messages were news.
      expect(untimed(third)).toEqual({ alertsHeard: { remove: 2 }, reportsRedundant: messagesReceived!.alerts! - 2 })
      cluster.finish()
    }
  })

  test('reinforcement (section 4.2): whom two of four observers accuse, the other two echo', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      const { simulation } = cluster
      const rise = await rises(cluster, async () => {
        simulation.network.faults.partition([addressOf(4)], [addressOf(0), addressOf(1)])
        await simulation.run({ untilMs: simulation.nowMs + 60_000, until: () => cluster.epoch === 3, everyMs: 0 })
        await simulation.runFor(200)
      })
      const accused = { alertsMade: { remove: 1 }, membersRemoved: 1 }
      for (const index of [0, 1]) {
        expect(rise.get(addressOf(index))).toMatchObject({ ...accused, edgesFailed: 1 })
        expect(rise.get(addressOf(index))).not.toHaveProperty('alertsReinforced')
      }
      for (const index of [2, 3]) {
        expect(rise.get(addressOf(index))).toMatchObject({ ...accused, alertsReinforced: 1 })
        expect(rise.get(addressOf(index))).not.toHaveProperty('edgesFailed')
      }
      cluster.finish()
    }
  })

  test('agents accuse and are told; voters alone vote (rule M13)', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      for (let index = 0; index < 7; index++) cluster.start(addressOf(index), index === 0 ? { found: true, expect: 7 } : index < 3 ? {} : { role: 'agent' })
      await cluster.converge(7)
      await cluster.simulation.runFor(3000)
      const rise = await rises(cluster, async () => {
        cluster.crash(addressOf(6))
        await cluster.converge(6)
        await cluster.simulation.runFor(1000)
      })
      for (const index of [0, 1, 2]) {
        expect(rise.get(addressOf(index))).toMatchObject({
          viewChanges: { fast: 1 }, alertsMade: { remove: 1 }, proposals: 1, votesCast: 1, votesHeard: fastQuorum(3)
        })
      }
      for (const index of [3, 4, 5]) {
        expect(untimed(rise.get(addressOf(index)))).toMatchObject({ viewChanges: { fetched: 1 }, membersRemoved: 1, alertsMade: { remove: 1 } })
        for (const name of ['proposals', 'votesCast', 'votesHeard']) expect(rise.get(addressOf(index))).not.toHaveProperty(name)
      }
      expect(metricsOf(cluster, 4).gauges).toMatchObject({ members: 6, voters: 3 })
      cluster.finish()
    }
  })

  test('records: a founder stores its own configuration, its vote and the next configuration; a joiner just that', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    for (let index = 0; index < 3; index++) cluster.start(addressOf(index), index === 0 ? { found: true, expect: 3 } : {}, true)
    await cluster.converge(3)
    expect([0, 1, 2].map(index => metricsOf(cluster, index).counters.recordsWritten)).toEqual([3, 1, 1])
    cluster.finish()
  })

  test('a process that stood still for two seconds was late by that at most, and says so (rule M10)', async () => {
    const cluster = await formed(1, 3)
    const rise = await rises(cluster, async () => {
      cluster.simulation.host(addressOf(1)).pause()
      await cluster.simulation.runFor(2000)
      cluster.simulation.host(addressOf(1)).resume()
      await cluster.simulation.runFor(1000)
    })
    expect(rise.get(addressOf(1))!.lateMs).toBeGreaterThan(1000)
    expect(rise.get(addressOf(1))!.lateMs).toBeLessThanOrEqual(2000)
    for (const index of [0, 2]) expect(rise.get(addressOf(index))).not.toHaveProperty('lateMs')
  })
})

/** Whether every message that was sent between live processes has arrived. */
function isStill (cluster: MembershipCluster): boolean {
  let open = 0
  for (const { membership } of cluster.live) {
    const { messagesSent, messagesReceived } = membership.metrics().counters
    open += messagesSent.probe + messagesSent['probe-reply'] - messagesReceived.probe - messagesReceived['probe-reply']
  }
  return open === 0
}

describe('under faults', () => {
  /** What a process emitted, counted from outside. */
  interface Seen { proposals: number, isolations: number }

  function watch (process: Process): Seen {
    const seen = { proposals: 0, isolations: 0 }
    process.membership.on('proposal', () => { seen.proposals++ })
    process.membership.on('isolated', isolated => { if (isolated) seen.isolations++ })
    return seen
  }

  test('counters agree with the events of the same process, never fall, and never count what cannot have been', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed, network: { lossProbability: 0.02 } })
      const { simulation } = cluster
      await cluster.form(8)
      const seen = new Map(cluster.live.map(process => [process, watch(process)]))
      const first = new Map(cluster.live.map(process => [process, process.membership.metrics().counters]))
      for (let step = 0; step < 8; step++) {
        const index = simulation.random.below(8)
        const choice = simulation.random.next()
        const down = 8 - cluster.live.filter(({ membership }) => membership.status === 'member').length
        if (!cluster.processes.has(addressOf(index))) {
          const process = cluster.start(addressOf(index), { seeds: [0, 1, 2, 3, 4].map(addressOf), joinTimeoutMs: 600_000 })
          seen.set(process, watch(process))
        } else if (choice < 0.4 && down < 2) cluster.crash(addressOf(index), choice < 0.2)
        else if (choice < 0.7 && down < 2) {
          simulation.network.faults.partition([addressOf(index)], [0, 1, 2, 3, 4, 5, 6, 7].filter(other => other !== index).map(addressOf))
        } else simulation.network.faults.heal()
        await simulation.runFor(simulation.random.below(8000))
      }
      simulation.network.faults.heal()
      await cluster.converge(cluster.processes.size, 120_000)
      for (const process of cluster.live) {
        const { changes, membership, removals } = process
        const { counters } = membership.metrics()
        const begin = first.get(process) ?? undefined
        const ways: Record<string, number> = {}
        for (const { reason: { learned, fast } } of changes) {
          const way = learned !== 'decided' ? learned : fast === true ? 'fast' : 'recovery'
          ways[way] = (ways[way] ?? 0) + 1
        }
        expect(nonZero(counters.viewChanges)).toEqual(ways)
        const later = changes.filter(({ previous }) => previous !== undefined)
        expect(counters.membersJoined).toBe(sum(later.map(({ joined }) => joined.length)))
        expect(counters.membersRemoved).toBe(sum(later.map(({ removed }) => removed.length)))
        expect(counters.proposals - (begin?.proposals ?? 0)).toBe(seen.get(process)!.proposals)
        expect(counters.isolations - (begin?.isolations ?? 0)).toBe(seen.get(process)!.isolations)
        expect(counters.removals).toBe(removals)
        expect(counters.rejoins).toBeGreaterThanOrEqual(removals)
        expect(counters.votesCast).toBeLessThanOrEqual(counters.proposals)
        expect(counters.ballotsWon).toBeLessThanOrEqual(Math.min(counters.ballotsBegun, counters.viewChanges.recovery))
        expect(counters.probesAnswered + counters.probesMissed).toBeLessThanOrEqual(counters.probesSent)
        for (const status of ['join', 'remove'] as const) expect(counters.alertsMade[status]).toBeLessThanOrEqual(counters.alertsHeard[status])
        const rises = Object.values(riseOf(begin, counters)).flatMap(value => typeof value === 'number' ? [value] : Object.values(value))
        expect(Math.min(...rises)).toBeGreaterThan(0)
      }
      cluster.finish()
    }
  })
})

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
