/**
 * Membership in the simulator: formation, joins, crashes, partitions, leaving, restarts, with the invariants checked at every
 * view change of every process.
 *
 * The rules named in the tests are those of membership/README.md. Mutations that were tried and are caught here: a gate that
 * opens before all expected are there; no configuration pushed to members that lack it; alerts although most subjects are lost
 * at once; leave() that does not wait for a majority; a joiner let in with an incarnation that runs already; no
 * verdict when a later process of the same store answers. Not fetching at the word of a later epoch is not caught: decisions also
 * come as the reply to repeated alerts, and by asking around.
 */
import { describe, expect, test } from 'vitest'
import { LAN } from '../../membership/tuning.ts'
import { addressOf, MembershipCluster } from './membership-harness.ts'
import { seedsToRun } from './simulation.ts'

/** Two refused or unanswered probes, an alert, a settling window and a vote: less than the window of probes takes. */
const REPLACED_MS = 1500

describe('formation (rule M8)', () => {
  for (const size of [1, 2, 3, 4, 5, 10, 100]) {
    test(`${size} processes started at once form in exactly two configurations`, async () => {
      for (const seed of seedsToRun(size === 100 ? 1 : 5)) {
        const cluster = new MembershipCluster({ seed })
        // One seed in three without gossip, as clusters of this size run by default.
        await cluster.form(size, seed % 3 === 0 ? { unicastMembersMax: 128 } : {})
        await cluster.converge(size)
        await cluster.simulation.runFor(3000)
        expect(cluster.epoch).toBe(size === 1 ? 1 : 2)
        expect(cluster.converged(size)).toBe(true)
        cluster.finish()
      }
    })
  }

  test('processes that start over ten seconds, with 20 % loss, still form in exactly two configurations', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed, network: { lossProbability: 0.2 } })
      for (let i = 1; i < 12; i++) {
        cluster.simulation.schedule(cluster.simulation.random.below(10_000), undefined, () => { cluster.start(addressOf(i)) })
      }
      cluster.simulation.schedule(4000, undefined, () => { cluster.start(addressOf(0), { found: true, expect: 12 }) })
      await cluster.simulation.run({ untilMs: 30_000, until: () => cluster.processes.size === 12 && cluster.converged(12) })
      expect(cluster.history.get(2)?.configuration.members).toHaveLength(12)
      cluster.simulation.network.faults.heal()
      await cluster.converge(12)
      cluster.finish()
    }
  })

  test('a joiner that dies while the gate is closed is not waited for when the deadline passes', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    cluster.start(addressOf(0), { found: true, expect: 3, expectDeadlineMs: 5000 })
    cluster.start(addressOf(1))
    cluster.start(addressOf(2), { seeds: [addressOf(9)] })
    await cluster.simulation.runFor(1000)
    cluster.crash(addressOf(2))
    await cluster.converge(2)
    expect(cluster.epoch).toBe(2)
    expect(cluster.simulation.nowMs).toBeGreaterThan(5000)
    cluster.finish()
  })

  test('of two processes that found the same cluster at once, one joins the other', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      cluster.start(addressOf(0), { found: true })
      cluster.start(addressOf(1), { found: true })
      await cluster.converge(2)
      cluster.finish()
    }
  })

  test('a second founder of a formed cluster fails loudly', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    await cluster.form(3)
    const late = cluster.start(addressOf(5), { found: true })
    await expect(cluster.simulation.settle(late.started)).rejects.toMatchObject({ code: 'MEMBERSHIP_ALREADY_FOUNDED' })
  })

  test('a founder that dies after telling only some: members push the configuration to those that lack it', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      const { faults } = cluster.simulation.network
      // The founder is the only seed: once it is dead, nobody can be asked.
      const [founder] = cluster.startAll(6, { seeds: [addressOf(0)] })
      founder!.membership.on('proposal', () => { faults.block([addressOf(0)], [addressOf(2), addressOf(4)]) })
      const told = (): number => cluster.live.filter(process => process.changes.some(change => change.configuration.epoch === 2)).length
      await cluster.simulation.run({ untilMs: 5000, until: () => told() >= 4, everyMs: 0 })
      cluster.crash(addressOf(0))
      expect(told()).toBe(3)
      await cluster.converge(5)
      cluster.finish()
    }
  })
})

describe('joins (section 4.1, rule M6)', () => {
  test('20 processes that join 100 at once enter in one view change', async () => {
    for (const unicastMembersMax of [11, 128]) {
      const cluster = new MembershipCluster({ seed: 1 })
      await cluster.form(100, { unicastMembersMax })
      await cluster.simulation.runFor(1000)
      for (let i = 100; i < 120; i++) cluster.start(addressOf(i), { unicastMembersMax })
      await cluster.converge(120)
      expect(cluster.epoch).toBe(3)
      cluster.finish()
    }
  })

  test('joiners get in one by one into a cluster that was founded without a gate', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      cluster.start(addressOf(0), { found: true })
      for (let size = 2; size <= 6; size++) {
        cluster.start(addressOf(size - 1))
        await cluster.converge(size)
        expect(cluster.epoch).toBe(size)
      }
      cluster.finish()
    }
  })

  test('joiners get in under loss, duplication and reordering, through a seed that crashes meanwhile', async () => {
    for (const seed of seedsToRun(10)) {
      const network = { lossProbability: 0.03, duplicateProbability: 0.1, reorderProbability: 0.1 }
      const cluster = new MembershipCluster({ seed, network })
      await cluster.form(7)
      for (let i = 7; i < 12; i++) cluster.start(addressOf(i), { seeds: [addressOf(0), addressOf(3)] })
      await cluster.simulation.runFor(cluster.simulation.random.below(400))
      cluster.crash(addressOf(0))
      await cluster.simulation.runFor(30_000)
      cluster.simulation.network.faults.heal()
      await cluster.converge(11)
      cluster.finish()
    }
  })

  test('a joiner is refused with a reason: other name, other cluster id, other settings, a store id that runs already', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    await cluster.form(3, { settings: { partitions: 64 } })
    const refusals = [
      { clusterName: 'other' }, { clusterId: 'other' as never }, { settings: { partitions: 128 } },
      { storeId: `store ${addressOf(1)}` as never, incarnation: 1 }
    ]
    for (const [index, options] of refusals.entries()) {
      const joiner = cluster.start(addressOf(10 + index), options)
      await expect(cluster.simulation.settle(joiner.started)).rejects.toMatchObject({ code: 'MEMBERSHIP_JOIN_REFUSED' })
    }
    expect(cluster.epoch).toBe(2)
  })

  test('a joiner that names no settings takes those of the cluster', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    cluster.start(addressOf(0), { found: true, settings: { partitions: 64 } })
    const joiner = cluster.start(addressOf(1))
    await cluster.converge(2)
    expect(joiner.membership.configuration.settings).toEqual({ partitions: 64 })
    cluster.finish()
  })

  test('a joiner that finds nobody gives up at its deadline, and founds nothing', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    const joiner = cluster.start(addressOf(5), { joinTimeoutMs: 3000 })
    await expect(cluster.simulation.settle(joiner.started)).rejects.toMatchObject({ code: 'MEMBERSHIP_JOIN_TIMEOUT' })
    expect(joiner.changes).toEqual([])
  })

  test('rule M6: a container that crashes in a loop while joining blocks no removal', async () => {
    const cluster = new MembershipCluster({ seed: 3 })
    await cluster.form(10)
    await cluster.simulation.runFor(1000)
    const looping = addressOf(20)
    const again = (): void => {
      cluster.start(looping)
      cluster.simulation.schedule(120, undefined, () => {
        cluster.crash(looping)
        cluster.simulation.schedule(30, undefined, again)
      })
    }
    again()
    await cluster.simulation.runFor(500)
    cluster.crash(addressOf(4))
    const dead = addressOf(4)
    const end = await cluster.simulation.run({
      untilMs: cluster.simulation.nowMs + 5000,
      until: () => cluster.live.every(({ address, membership, changes }) => address === looping || changes.length === 0 ||
        membership.configuration.members.every(member => member.address !== dead))
    })
    expect(end).toBe('condition')
  })
})

describe('crashes (rules M1, M5, M10)', () => {
  for (const [size, dead] of [[3, 1], [4, 1], [5, 2], [10, 3], [100, 10]] as const) {
    test(`${dead} of ${size} crash at once and are cut in one view change, in about a second`, async () => {
      for (const seed of seedsToRun(size === 100 ? 1 : 5)) {
        const cluster = new MembershipCluster({ seed })
        await cluster.form(size)
        await cluster.simulation.runFor(2000)
        for (let i = 0; i < dead; i++) cluster.crash(addressOf(i * 3 % size))
        const tookMs = await cluster.converge(size - dead)
        expect(cluster.epoch).toBe(3)
        expect(tookMs).toBeLessThan(1500)
        cluster.finish()
      }
    })
  }

  for (const [size, dead] of [[3, 1], [5, 1], [10, 2], [30, 5]] as const) {
    test(`${dead} of ${size} lose power silently and are cut`, async () => {
      for (const seed of seedsToRun(3)) {
        const cluster = new MembershipCluster({ seed })
        await cluster.form(size)
        await cluster.simulation.runFor(2000)
        for (let i = 0; i < dead; i++) cluster.crash(addressOf(i * 3 % size), true)
        const tookMs = await cluster.converge(size - dead)
        // Nobody refuses anything: four probes have to be lost, one a second, and then the alerts have to settle.
        expect(tookMs).toBeLessThan(4 * LAN.probeIntervalMs + LAN.probeTimeoutMs + 3000)
        cluster.finish()
      }
    })
  }

  test('M7: who loses power right after a view change is cut, however different the observers\' patience', async () => {
    for (const seed of seedsToRun(12)) {
      const cluster = new MembershipCluster({ seed })
      await cluster.form(3)
      // Some have had their first answers and others not: their verdicts come seconds apart.
      await cluster.simulation.runFor(seed * 60)
      cluster.crash(addressOf(seed % 3), true)
      expect(await cluster.converge(2, 120_000)).toBeLessThan(12_000)
      cluster.finish()
    }
  })

  test('one of two crashes: the other says that it is isolated and decides nothing', async () => {
    for (const silent of [false, true]) {
      const cluster = new MembershipCluster({ seed: 1 })
      await cluster.form(2)
      await cluster.simulation.runFor(1000)
      const survivor = cluster.processes.get(addressOf(0))!
      cluster.crash(addressOf(1), silent)
      const end = await cluster.simulation.run({ untilMs: 10_000, until: () => survivor.membership.status === 'isolated' })
      expect(end).toBe('condition')
      await cluster.simulation.runFor(20_000)
      expect(cluster.epoch).toBe(2)
      cluster.finish()
    }
  })

  test('a process that restarts at once, with its store id and address, replaces its former self', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      await cluster.form(5)
      await cluster.simulation.runFor(2000)
      cluster.crash(addressOf(2))
      await cluster.simulation.runFor(cluster.simulation.random.below(300))
      cluster.start(addressOf(2))
      // Its former self is given up as soon as the new process answers (rule M10), not when a window of probes has failed.
      expect(await cluster.converge(5)).toBeLessThan(REPLACED_MS)
      expect(cluster.epoch).toBeLessThanOrEqual(4)
      cluster.finish()
    }
  })
})

describe('partitions and pauses (rules M7, M10, M12)', () => {
  test('a minority that is cut off is isolated, is removed, learns of it once, and comes back', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      const processes = await cluster.form(7)
      await cluster.simulation.runFor(2000)
      const addresses = processes.map(process => process.address)
      const minority = addresses.slice(0, 2)
      cluster.simulation.network.faults.partition(minority, addresses.slice(2))
      await cluster.simulation.runFor(15_000)
      for (const address of minority) expect(cluster.processes.get(address)!.membership.status).toBe('isolated')
      expect(cluster.processes.get(addresses[3]!)!.membership.configuration.members).toHaveLength(5)
      cluster.simulation.network.faults.heal()
      await cluster.converge(7)
      for (const address of minority) expect(cluster.processes.get(address)!.removals).toBe(1)
      cluster.finish()
    }
  })

  test('two halves of four decide nothing, say so, and go on unharmed when they meet again', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      await cluster.form(4)
      await cluster.simulation.runFor(2000)
      cluster.simulation.network.faults.partition([addressOf(0), addressOf(1)], [addressOf(2), addressOf(3)])
      await cluster.simulation.runFor(20_000)
      expect(cluster.live.map(process => process.membership.status)).toEqual(['isolated', 'isolated', 'isolated', 'isolated'])
      cluster.simulation.network.faults.heal()
      await cluster.converge(4)
      expect(cluster.epoch).toBe(2)
      cluster.finish()
    }
  })

  test('a member whose incoming messages vanish is removed and does not flap', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      await cluster.form(8)
      await cluster.simulation.runFor(2000)
      const deaf = addressOf(3)
      cluster.simulation.network.faults.setIngress(deaf, { blocked: true })
      await cluster.simulation.runFor(30_000)
      const others = cluster.live.filter(process => process.address !== deaf)
      for (const { membership } of others) expect(membership.configuration.members.map(member => member.address)).not.toContain(deaf)
      expect(cluster.epoch).toBe(3)
      cluster.simulation.network.faults.heal()
      await cluster.converge(8)
      cluster.finish()
    }
  })

  test('M5: one broken link among three removes nobody', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      await cluster.form(3)
      await cluster.simulation.runFor(2000)
      cluster.simulation.network.faults.partition([addressOf(0)], [addressOf(1)])
      await cluster.simulation.runFor(60_000)
      expect(cluster.epoch).toBe(2)
      cluster.simulation.network.faults.heal()
      await cluster.converge(3)
      cluster.finish()
    }
  })

  test('M12: a member that missed a decision has it within one probe', async () => {
    const learned = new Set<string>()
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      await cluster.form(6)
      await cluster.simulation.runFor(2000)
      cluster.crash(addressOf(5))
      await cluster.simulation.runFor(400)
      const deaf = addressOf(2)
      cluster.simulation.network.faults.setIngress(deaf, { blocked: true })
      await cluster.simulation.run({ untilMs: 10_000, until: () => cluster.history.has(3), everyMs: 0 })
      await cluster.simulation.runFor(300)
      expect(cluster.processes.get(deaf)!.membership.configuration.epoch).toBe(2)
      cluster.simulation.network.faults.heal()
      expect(await cluster.converge(5)).toBeLessThan(2000)
      const change = cluster.processes.get(deaf)!.changes.at(-1)!
      expect(change.gap).toBe(false)
      learned.add(change.reason.learned)
      cluster.finish()
    }
    // Repeated votes may come first; the decision itself is fetched otherwise.
    expect(learned).toContain('fetched')
  })

  test('a process that stood still for a minute learns that it was removed, and comes back', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      await cluster.form(6)
      await cluster.simulation.runFor(2000)
      cluster.simulation.host(addressOf(1)).pause()
      await cluster.simulation.runFor(60_000)
      cluster.simulation.host(addressOf(1)).resume()
      await cluster.converge(6)
      expect(cluster.processes.get(addressOf(1))!.removals).toBe(1)
      cluster.finish()
    }
  })
})

describe('leaving (rule M9)', () => {
  for (const size of [2, 3, 5, 10]) {
    test(`one of ${size} leaves: a majority of the others knows when leave() resolves`, async () => {
      for (const seed of seedsToRun(5)) {
        const cluster = new MembershipCluster({ seed, network: { lossProbability: 0.05 } })
        await cluster.form(size)
        await cluster.simulation.runFor(1000)
        const leaver = cluster.processes.get(addressOf(1))!
        const { epoch } = cluster
        await cluster.simulation.settle(leaver.membership.leave({ deadlineMs: 60_000 }))
        const others = cluster.live.filter(process => process !== leaver)
        const knowing = others.filter(({ changes }) => changes.some(change => change.configuration.epoch > epoch))
        expect(knowing.length).toBeGreaterThanOrEqual(Math.floor((size - 1) / 2) + 1)
        expect(leaver.membership.status).toBe('closed')
        expect(leaver.removals).toBe(0)
        cluster.crash(addressOf(1))
        await cluster.converge(size - 1)
        cluster.finish()
      }
    })
  }

  test('all of four leave at once: the last one stays until it is alone, and stops', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      const processes = await cluster.form(4)
      await cluster.simulation.runFor(1000)
      await cluster.simulation.settle(Promise.all(processes.map(({ membership }) => membership.leave({ deadlineMs: 30_000 }))))
      for (const { membership } of processes) expect(membership.status).toBe('closed')
      expect(cluster.history.get(cluster.epoch)!.configuration.members).toHaveLength(1)
      cluster.finish()
    }
  })
})

describe('churn', () => {
  test('random crashes, restarts, joins, partitions and loss: one history, and everybody in it after healing', async () => {
    for (const seed of seedsToRun(20)) {
      const cluster = new MembershipCluster({ seed, network: { lossProbability: 0.01 } })
      const { simulation } = cluster
      const size = 5 + simulation.random.below(8)
      await cluster.form(size)
      const addresses = Array.from({ length: size + 4 }, (_, index) => addressOf(index))
      const seeds = addresses.slice(0, 6)
      const others = (address: string): string[] => addresses.filter(other => other !== address)
      for (let step = 0; step < 12; step++) {
        const address = addresses[simulation.random.below(addresses.length)]!
        const choice = simulation.random.next()
        // At most a third of the members is down or cut off at a time: a lost majority is final without storage (rule M4).
        const down = size - cluster.live.filter(process => process.membership.status === 'member').length
        if (!cluster.processes.has(address)) cluster.start(address, { seeds, joinTimeoutMs: 600_000 })
        else if (choice < 0.5 && down < Math.floor(size / 3)) cluster.crash(address, simulation.random.next() < 0.5)
        else if (choice < 0.7 && down < Math.floor(size / 3)) simulation.network.faults.partition([address], others(address))
        else simulation.network.faults.heal()
        await simulation.runFor(simulation.random.below(6000))
      }
      simulation.network.faults.heal()
      await cluster.converge(cluster.processes.size, 120_000)
      cluster.finish()
    }
  })

  test('the same seed gives the same run, byte for byte', async () => {
    const digests: string[] = []
    for (let run = 0; run < 2; run++) {
      const cluster = new MembershipCluster({ seed: 7, network: { lossProbability: 0.02 } })
      await cluster.form(12)
      await cluster.simulation.runFor(1500)
      cluster.crash(addressOf(3))
      cluster.start(addressOf(12))
      await cluster.converge(12)
      digests.push(cluster.simulation.traceDigest)
    }
    expect(digests[0]).toBe(digests[1])
  })
})

describe('storage (rule M4)', () => {
  test('a directory that belonged to a cluster founds no second one, and returns to its own', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    cluster.start(addressOf(0), { found: true, expect: 3 }, true)
    cluster.start(addressOf(1), {}, true)
    cluster.start(addressOf(2), {}, true)
    await cluster.converge(3)
    const { clusterId } = cluster.live[0]!.membership.configuration
    await cluster.simulation.runFor(2000)
    cluster.crash(addressOf(0))
    const again = cluster.start(addressOf(0), { found: true, expect: 3 }, true)
    await cluster.converge(3)
    expect(again.membership.configuration.clusterId).toBe(clusterId)
    // The members that the disk names are seeds as well.
    cluster.crash(addressOf(0))
    const alone = cluster.start(addressOf(0), { found: true, seeds: [] }, true)
    await cluster.converge(3)
    expect(alone.membership.configuration.clusterId).toBe(clusterId)
    cluster.finish()
  })

  test('a copy of the disk of a founder that was alone founds nothing, and has nobody to ask', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    cluster.start(addressOf(0), { found: true }, true)
    await cluster.converge(1)
    cluster.crash(addressOf(0))
    const copy = cluster.start(addressOf(0), { found: true, seeds: [], incarnation: 1 }, true)
    await expect(cluster.simulation.settle(copy.started)).rejects.toMatchObject({ code: 'MEMBERSHIP_ALREADY_FOUNDED' })
  })

  test('a disk that fails to write halts the process loudly, and the others go on without it', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    for (let i = 0; i < 4; i++) cluster.start(addressOf(i), i === 0 ? { found: true, expect: 4 } : {}, true)
    await cluster.converge(4)
    await cluster.simulation.runFor(2000)
    const broken = cluster.processes.get(addressOf(1))!
    cluster.simulation.disk(addressOf(1), 'membership').failNextWrite()
    cluster.crash(addressOf(3))
    await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 10_000, until: () => broken.halted !== undefined })
    expect(broken.halted).toMatchObject({ code: 'MEMBERSHIP_STORAGE_FAILED' })
    expect(broken.membership.status).toBe('halted')
  })
})
