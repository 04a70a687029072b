/**
 * Clusters that lose a majority of their processes, or all of them, at once, and come back from their disks (rule M4).
 *
 * Besides what processes see, every disk is checked after every event, and every message of consensus against its sender's disk: see
 * membership-disks.ts. Mutations that were tried and are caught here: an acceptor's record that is not synced; one that is told before it is
 * durable; a restart that forgets its promise, or the whole record; a returned id that casts a fast vote; a configuration told, or
 * answered in, before it is durable; a later configuration that is not taken over; joiners that crashed before they stored
 * their first configuration and are not told of it, by those that came back or by a survivor; no deadline, and no waiting for it;
 * survivors that answer a former id at its old address; a restart that lets another cluster of its name be founded; a joiner that was
 * removed before it knew and gives up; a used member id admitted again; the decision that led to a configuration not stored with it.
 */
import { describe, expect, test } from 'vitest'
import { ChainStorage } from '../../membership/chain-storage.ts'
import type { Kept } from '../../membership/effects.ts'
import { LAN } from '../../membership/tuning.ts'
import { addressOf, MembershipCluster } from './membership-harness.ts'
import { seedsToRun } from './simulation.ts'

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

async function formed (seed: number, size: number): Promise<MembershipCluster> {
  const cluster = new MembershipCluster({ seed })
  cluster.watchDisks()
  for (const index of range(size)) cluster.start(addressOf(index), index === 0 ? { found: true, expect: size } : {}, true)
  await cluster.converge(size)
  await cluster.simulation.runFor(2000)
  return cluster
}

describe('all processes lose power', () => {
  for (const size of [1, 2, 3, 5, 10]) {
    test(`${size} that start again, in any order, are back in one view change`, async () => {
      for (const seed of seedsToRun(5)) {
        const cluster = await formed(seed, size)
        const { epoch } = cluster
        const { clusterId } = cluster.live[0]!.membership.configuration
        for (const index of range(size)) cluster.crash(addressOf(index), true)
        await cluster.simulation.runFor(1000)
        for (const index of range(size)) {
          cluster.simulation.schedule(cluster.simulation.random.below(1000), undefined, () => {
            cluster.start(addressOf(index), index === 0 ? { found: true } : {}, true)
          })
        }
        await cluster.simulation.runFor(1000)
        expect(await cluster.converge(size)).toBeLessThan(2000)
        expect(cluster.epoch).toBe(epoch + 1)
        expect(cluster.live[0]!.membership.configuration.clusterId).toBe(clusterId)
        cluster.finish()
      }
    })
  }
})

/** So many that not everybody is everybody's neighbour: what is said to all is passed on. */
const MANY = 16

test('too few are left for a fast decision, and every promise for the one by recovery is on the disk of whoever gave it', async () => {
  for (const seed of seedsToRun(3)) {
    const cluster = await formed(seed, MANY)
    const lost = 6
    for (const index of range(lost)) cluster.crash(addressOf(MANY - 1 - index), true)
    await cluster.converge(MANY - lost)
    expect(cluster.live.some(({ membership }) => membership.metrics().counters.viewChanges.recovery > 0), 'decided by recovery').toBe(true)
    cluster.finish()
  }
})

/** Crashes them, and starts them again within a second, in an order of the seed. */
async function restart (cluster: MembershipCluster, indexes: readonly number[], back: readonly number[] = indexes): Promise<void> {
  for (const index of indexes) cluster.crash(addressOf(index), true)
  await cluster.simulation.runFor(5000)
  for (const index of back) {
    cluster.simulation.schedule(cluster.simulation.random.below(1000), undefined, () => { cluster.start(addressOf(index), {}, true) })
  }
  await cluster.simulation.runFor(1000)
}

describe('a part of the processes loses power', () => {
  for (const [size, lost] of [[2, 1], [3, 2], [4, 2], [5, 3], [10, 6]] as const) {
    test(`${lost} of ${size}, all of which come back: one view change replaces them, together with those that lived on`, async () => {
      for (const seed of seedsToRun(5)) {
        const cluster = await formed(seed, size)
        const survivor = cluster.processes.get(addressOf(0))!.membership.self.id
        await restart(cluster, range(size).slice(size - lost))
        expect(await cluster.converge(size)).toBeLessThan(2000)
        expect(cluster.epoch).toBe(3)
        expect(cluster.processes.get(addressOf(0))!.membership.self.id).toBe(survivor)
        cluster.finish()
      }
    })
  }

  test('a minority that comes back is cut and joins, as without a disk, while the majority lives', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      const survivors = [2, 3, 4].map(index => cluster.processes.get(addressOf(index))!)
      await restart(cluster, [0, 1])
      await cluster.converge(5)
      for (const { changes, removals } of survivors) {
        expect(removals).toBe(0)
        expect(changes.flatMap(change => change.reason.learned)).not.toContain('resumed')
      }
      cluster.finish()
    }
  })

  test('N = 2: one restarts at once, both are healthy, and they go on in two seconds', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = await formed(seed, 2)
      cluster.crash(addressOf(seed % 2))
      cluster.start(addressOf(seed % 2), {}, true)
      expect(await cluster.converge(2)).toBeLessThan(2000)
      expect(cluster.epoch).toBe(3)
      cluster.finish()
    }
  })

  test('when some stay away the others wait until the deadline, go on without them, and cut them', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      await restart(cluster, [0, 1, 2, 3, 4], [1, 3, 4])
      await cluster.simulation.runFor(LAN.restartDeadlineMs - 3000)
      expect(cluster.epoch).toBe(2)
      await cluster.converge(3)
      const sizes = [...cluster.history.values()].map(({ configuration }) => configuration.members.length)
      expect(sizes.slice(0, 4)).toEqual([1, 5, 5, 3])
      cluster.finish()
    }
  })

  test('fewer than a majority decide nothing, and say whom they wait for', async () => {
    const cluster = await formed(1, 5)
    for (const index of range(5)) cluster.crash(addressOf(index), true)
    const returned = [0, 1].map(index => cluster.start(addressOf(index), { joinTimeoutMs: 20_000 }, true))
    for (const { started } of returned) {
      await expect(cluster.simulation.settle(started)).rejects.toMatchObject({
        code: 'MEMBERSHIP_JOIN_TIMEOUT', message: expect.stringContaining('of the 5 members of epoch 2, 0 are alive and 2 came back') as string
      })
    }
    expect(cluster.epoch).toBe(2)
  })

  test('without storage a lost majority is final', async () => {
    const cluster = new MembershipCluster({ seed: 1, traceLines: Infinity })
    await cluster.form(3)
    await cluster.simulation.runFor(2000)
    for (const index of [1, 2]) cluster.crash(addressOf(index))
    for (const index of [1, 2]) cluster.start(addressOf(index))
    await cluster.simulation.runFor(30_000)
    expect(cluster.epoch).toBe(2)
    expect(cluster.processes.get(addressOf(0))!.membership.status).toBe('isolated')
    expect(cluster.simulation.log.join()).toContain('this is final')
  })
})

describe('disks and addresses', () => {
  test('all come back at other addresses, which they learn through the seeds', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      for (const index of range(5)) cluster.crash(addressOf(index), true)
      for (const index of range(5)) cluster.move(addressOf(index), addressOf(10 + index))
      await cluster.simulation.runFor(1000)
      for (const index of range(5)) cluster.start(addressOf(10 + index), { seeds: [addressOf(12)] }, true)
      expect(await cluster.converge(5)).toBeLessThan(10_000)
      expect(cluster.epoch).toBe(3)
      cluster.finish()
    }
  })

  for (const [size, lost] of [[2, 1], [3, 2], [5, 3]] as const) {
    test(`${lost} of ${size} come back at other addresses: those that lived on answer them there`, async () => {
      for (const seed of seedsToRun(5)) {
        const cluster = await formed(seed, size)
        for (const index of range(lost)) cluster.crash(addressOf(index), true)
        await cluster.simulation.runFor(5000)
        for (const index of range(lost)) {
          cluster.move(addressOf(index), addressOf(10 + index))
          cluster.start(addressOf(10 + index), { seeds: [addressOf(size - 1)] }, true)
        }
        expect(await cluster.converge(size)).toBeLessThan(2000)
        expect(cluster.epoch).toBe(3)
        cluster.finish()
      }
    })
  }

  test('a store that moves while the majority lives is replaced without waiting for probes to its old address', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 5)
      cluster.crash(addressOf(1), true)
      cluster.move(addressOf(1), addressOf(11))
      cluster.start(addressOf(11), {}, true)
      expect(await cluster.converge(5)).toBeLessThan(2000)
      cluster.finish()
    }
  })

  test('N = 2: a joiner that crashed before it stored that it was admitted is told by the one that is left', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      cluster.watchDisks()
      const founder = cluster.start(addressOf(0), { found: true, expect: 2 }, true)
      cluster.start(addressOf(1), {}, true)
      founder.membership.on('proposal', () => { cluster.simulation.network.faults.setEgress(addressOf(0), { blocked: true }) })
      await cluster.simulation.run({ untilMs: 10_000, until: () => founder.changes.length === 2, everyMs: 0 })
      cluster.crash(addressOf(1))
      cluster.simulation.network.faults.heal()
      cluster.start(addressOf(1), {}, true)
      expect(await cluster.converge(2)).toBeLessThan(10_000)
      cluster.finish()
    }
  })

  test('stores that changed places: an address belongs to whoever answers there now', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(seed, 3)
      for (const index of range(3)) cluster.crash(addressOf(index), true)
      // The store of the first goes where the third was, who stays away for good.
      cluster.move(addressOf(2), addressOf(20))
      cluster.move(addressOf(0), addressOf(2))
      for (const index of [1, 2]) cluster.start(addressOf(index), { seeds: [addressOf(1), addressOf(2)] }, true)
      await cluster.converge(2)
      cluster.finish()
    }
  })

  test('a founder that crashed right after its second configuration was durable decides no other one', async () => {
    for (const seed of seedsToRun(20)) {
      const cluster = new MembershipCluster({ seed })
      cluster.watchDisks()
      const size = 2 + seed % 3
      for (const index of range(size)) cluster.start(addressOf(index), index === 0 ? { found: true, expect: size } : {}, true)
      const founder = cluster.processes.get(addressOf(0))!
      // Half of the seeds: nobody else ever hears of it before the founder is back.
      founder.membership.on('proposal', () => {
        if (seed % 2 === 0) cluster.simulation.network.faults.setEgress(addressOf(0), { blocked: true })
      })
      await cluster.simulation.run({ untilMs: 10_000, until: () => founder.changes.length === 2, everyMs: 0 })
      const second = founder.membership.configuration.id
      const everybody = seed % 4 < 2
      for (const index of range(everybody ? size : 1)) cluster.crash(addressOf(index))
      cluster.simulation.network.faults.heal()
      await cluster.simulation.runFor(cluster.simulation.random.below(500))
      // New joiners are there, too: none of them may get into another second configuration.
      cluster.start(addressOf(9), {}, true)
      for (const index of range(everybody ? size : 1)) cluster.start(addressOf(index), index === 0 ? { found: true, expect: size } : {}, true)
      await cluster.converge(size + 1)
      expect(cluster.history.get(2)!.configuration.id).toBe(second)
      cluster.finish()
    }
  })

  test('a disk holds the last configuration, the decision that led there, and what its member did in it', async () => {
    const cluster = await formed(1, 3)
    const { configuration } = cluster.live[0]!.membership
    const founding = cluster.history.get(1)!.configuration
    const kept = async (index: number): Promise<Kept<undefined> | undefined> => {
      cluster.crash(addressOf(index))
      const storage = cluster.simulation.host(addressOf(index)).restart().storage('membership')
      return cluster.simulation.settle(new ChainStorage<undefined>(storage, undefined).load())
    }
    const founder = await kept(0)
    expect(founder).toMatchObject({
      configuration: { id: configuration.id }, origin: { previousId: founding.id, id: configuration.id }, acceptor: undefined
    })
    // Handed over as a whole, so that there is no decision to tell; and it voted when the founder was gone.
    const [, second] = cluster.live
    let proposed = false
    second!.membership.on('proposal', () => { proposed = true })
    await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 5000, until: () => proposed, everyMs: 0 })
    cluster.simulation.network.faults.setIngress(second!.address, { blocked: true })
    await cluster.simulation.runFor(100)
    const removed = configuration.members.find(({ address }) => address === addressOf(0))!.id
    expect(await kept(2)).toMatchObject({ configuration: { id: configuration.id }, origin: undefined, acceptor: { vote: { removals: [removed] } } })
  })

  test('rule R3: an older copy of a disk takes no part and is refused', async () => {
    const cluster = await formed(1, 3)
    await restart(cluster, [0, 1, 2])
    await cluster.converge(3)
    // The copy was taken while the first processes ran: it starts as the second run of its store, which was there already.
    const copy = cluster.start(addressOf(7), { storeId: `store ${addressOf(1)}` as never, incarnation: 2 }, true)
    await expect(cluster.simulation.settle(copy.started)).rejects.toMatchObject({ code: 'MEMBERSHIP_JOIN_REFUSED' })
    expect(cluster.epoch).toBe(3)
  })

  test('a new founder of the same name does not found a second cluster while the first one is coming back', async () => {
    const cluster = await formed(1, 3)
    for (const index of range(3)) cluster.crash(addressOf(index))
    cluster.start(addressOf(0), {}, true)
    const late = cluster.start(addressOf(5), { found: true }, true)
    await expect(cluster.simulation.settle(late.started)).rejects.toMatchObject({ code: 'MEMBERSHIP_ALREADY_FOUNDED' })
  })

  test('a process that was admitted and removed before it knew joins under the next id and incarnation', async () => {
    for (const durable of [false, true]) {
      const cluster = durable ? await formed(1, 5) : new MembershipCluster({ seed: 1 })
      if (!durable) await cluster.form(5)
      await cluster.simulation.runFor(1000)
      const joiner = cluster.start(addressOf(8), {}, durable)
      // Its observers hear it, and it hears nothing from the moment they propose it.
      let deaf = false
      for (const { membership } of cluster.live) {
        membership.on('proposal', () => {
          if (!deaf) cluster.simulation.network.faults.setIngress(addressOf(8), { blocked: true })
          deaf = true
        })
      }
      await cluster.simulation.run({ untilMs: 60_000, until: () => cluster.epoch >= 4, everyMs: 0 })
      expect(joiner.changes).toEqual([])
      const first = joiner.membership.self.id
      cluster.simulation.network.faults.heal()
      await cluster.converge(6)
      expect(joiner.membership.self.id).not.toBe(first)
      expect(joiner.membership.self.incarnation).toBe(2)
      expect(joiner.removals).toBe(0)
      cluster.finish()
    }
  })
})

describe('crashes at random moments', () => {
  test('whatever is lost, when, and in which order it returns: one history, and it goes on once a majority is back', async () => {
    for (const seed of seedsToRun(40)) {
      const network = { lossProbability: seed % 3 * 0.01, duplicateProbability: 0.05, reorderProbability: 0.05 }
      const cluster = new MembershipCluster({ seed, network })
      const { simulation } = cluster
      const { random } = simulation
      cluster.watchDisks()
      const size = 1 + random.below(6)
      const joiners = random.below(3)
      // Where each store is now; machines of the first ones are the seeds.
      const machines = range(size + joiners).map(addressOf)
      let next = machines.length
      const seeds = (): string[] => [...machines]
      const start = (index: number): void => {
        if (cluster.processes.has(machines[index]!)) return
        const founding = index === 0 ? { found: true, expect: size, expectDeadlineMs: 5000 } : {}
        cluster.start(machines[index]!, { ...founding, seeds: seeds(), joinTimeoutMs: 3_600_000, restartDeadlineMs: 3000 }, true)
      }
      for (const index of range(size)) start(index)
      const rounds = 1 + random.below(3)
      for (let round = 0; round < rounds; round++) {
        await simulation.runFor(random.below(4000))
        for (let i = size; i < size + joiners; i++) if (random.chance(0.5)) start(i)
        if (random.chance(0.3)) cluster.crash(machines[random.below(machines.length)]!, random.chance(0.5))
        if (random.chance(0.3)) await simulation.runFor(random.below(1500))
        else {
          // The worst moment: while something is being decided.
          const count = cluster.consensusMessages + 1 + random.below(40)
          await simulation.run({ untilMs: simulation.nowMs + 3000, until: () => cluster.consensusMessages >= count, everyMs: 0 })
        }
        const doomed = random.chance(0.5) ? machines.length : random.below(machines.length + 1)
        const first = random.below(machines.length)
        for (const i of range(doomed)) cluster.crash(machines[(first + i) % machines.length]!, random.chance(0.7))
        await simulation.runFor(random.below(3000))
        for (const index of range(machines.length)) {
          if (cluster.processes.has(machines[index]!)) continue
          if (random.chance(0.2) && index > 0) {
            cluster.move(machines[index]!, addressOf(next))
            machines[index] = addressOf(next++)
          }
          const again = random.chance(0.2)
          simulation.schedule(random.below(1000), undefined, () => {
            start(index)
            if (again) simulation.schedule(random.below(1500), undefined, () => { cluster.crash(machines[index]!, random.chance(0.5)) })
          })
        }
      }
      await simulation.runFor(3000)
      simulation.network.faults.heal()
      // A minority may stay away for good.
      const away = random.chance(0.3) ? random.below(Math.ceil(cluster.processes.size / 2)) : 0
      for (const index of range(machines.length)) if (index === 0 || index >= away + 1) start(index)
      await cluster.converge(cluster.processes.size, 120_000)
      cluster.finish()
    }
  })
})
