/**
 * Joins in the simulator, fault by fault, and the faults that the Java implementation of Rapid is known for.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1; rules M3, M6, M8 and M12. Mutations that were tried and are caught here: a joiner that
 * answers the probes of two founders at once; one that answers no other cluster for ever after; a member that takes an answer
 * from a member of another cluster for that of a joiner; observers that are not asked again at the next attempt; the same seeds asked
 * at each attempt; a function of seeds that is asked once. The configuration reaches a member that lacks it in two ways, when
 * it asks again and when it is probed: without both, eight of these tests fail, and without one of them none does.
 */
import { describe, expect, test } from 'vitest'
import { PROTOCOL_VERSION, type MembershipMessage } from '../../membership/messages.ts'
import type { MembershipOptions } from '../../membership/options.ts'
import { addressOf, MembershipCluster, type Process } from './membership-harness.ts'
import { seedsToRun } from './simulation.ts'
import type { Tampering } from './tampering.ts'

/** Asking, being probed, a batch of alerts, a quiet window, votes: with nothing lost a join takes less than this. */
const JOIN_MS = 1500

/** A cluster that has been at rest for a while. */
async function formed (size: number, seed: number, options: Partial<MembershipOptions> = {}): Promise<MembershipCluster> {
  const cluster = new MembershipCluster({ seed })
  await cluster.form(size, options)
  await cluster.simulation.runFor(1500)
  return cluster
}

const addressesOf = ({ membership }: Process): string[] => membership.configuration.members.map(({ address }) => address).sort()

/** Drops the first message of a kind that arrives. */
function losing (...kinds: MembershipMessage['kind'][]): Tampering & { readonly lost: string[] } {
  const lost: string[] = []
  return {
    lost,
    incoming: message => {
      if (!kinds.includes(message.kind) || lost.includes(message.kind)) return message
      lost.push(message.kind)
      return undefined
    }
  }
}

describe('seeds', () => {
  test('of several seeds one is enough, where the others are down, silent or do not let anything through', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(5, seed)
      const [down, silent, walled] = [addressOf(20), addressOf(21), addressOf(22)]
      cluster.simulation.host(silent).restart()
      cluster.simulation.host(silent).crash({ silent: true })
      cluster.simulation.network.faults.setIngress(walled, { blocked: true })
      const joiner = cluster.start(addressOf(5), { seeds: [down, silent, walled, addressOf(3)] })
      expect(await cluster.converge(6)).toBeLessThan(JOIN_MS)
      expect(joiner.membership.configuration.epoch).toBe(3)
      cluster.finish()
    }
  })

  test('the one seed that is up is the last of thirty', async () => {
    const cluster = await formed(3, 1)
    cluster.start(addressOf(5), { seeds: [...Array.from({ length: 29 }, (_, index) => addressOf(30 + index)), addressOf(1)] })
    expect(await cluster.converge(4)).toBeLessThan(20_000)
    cluster.finish()
  })

  test('a function that names other seeds later leads into the cluster then', async () => {
    const cluster = await formed(3, 1)
    let calls = 0
    const seeds = async (): Promise<string[]> => {
      calls++
      if (calls === 2) throw new Error('no answer from the name server')
      return calls < 3 ? [addressOf(40)] : [addressOf(2)]
    }
    const joiner = cluster.start(addressOf(5), { seeds })
    await cluster.simulation.runFor(8000)
    expect(joiner.membership.status).toBe('joining')
    await cluster.converge(4, 15_000)
    await cluster.simulation.settle(joiner.started)
    expect(calls).toBe(3)
    cluster.finish()
  })
})

describe('lost answers are given again', () => {
  for (const kinds of [['join-observers'], ['snapshot'], ['admitted'], ['snapshot', 'admitted'], ['join-observers', 'probe', 'snapshot']] as const) {
    test(`the first ${kinds.join(', the first ')} is lost on the way to the joiner`, async () => {
      for (const seed of seedsToRun(5)) {
        const cluster = await formed(5, seed)
        const tampering = losing(...kinds)
        const joiner = cluster.start(addressOf(5), {}, false, tampering)
        await cluster.converge(6, 4000)
        expect(tampering.lost.length).toBeGreaterThan(0)
        // One cut, under the id with which it asked first.
        expect(cluster.epoch).toBe(3)
        expect(joiner.removals).toBe(0)
        cluster.finish()
      }
    })
  }

  test('the first answer of a founder that holds joiners is lost', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      cluster.start(addressOf(0), { found: true, expect: 4 })
      const tamperings = [1, 2, 3].map(index => {
        const tampering = losing('join-held', 'snapshot')
        cluster.start(addressOf(index), { seeds: [addressOf(0)] }, false, tampering)
        return tampering
      })
      await cluster.converge(4, 5000)
      expect(tamperings.flatMap(({ lost }) => lost)).toContain('join-held')
      expect(cluster.epoch).toBe(2)
      cluster.finish()
    }
  })

  test('every answer in the first second is lost', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(5, seed)
      const fromMs = cluster.simulation.nowMs + 1000
      cluster.start(addressOf(5), {}, false, { incoming: message => cluster.simulation.nowMs < fromMs ? undefined : message })
      await cluster.converge(6, 6000)
      cluster.finish()
    }
  })
})

describe('joiners that change on the way', () => {
  test('one that is killed and started again at any moment of its join gets in as what it is then', async () => {
    for (const seed of seedsToRun(20)) {
      const cluster = await formed(5, seed)
      const first = cluster.start(addressOf(5))
      await cluster.simulation.runFor(seed * 30)
      cluster.crash(addressOf(5))
      const second = cluster.start(addressOf(5))
      await cluster.converge(6, 10_000)
      const member = second.membership.configuration.members.find(({ address }) => address === addressOf(5))!
      expect(member).toEqual(second.membership.self)
      expect(member.id).not.toBe(first.membership.self.id)
      expect(member.incarnation).toBe(2)
      cluster.finish()
    }
  })

  test('an address that a new process with another store takes over', async () => {
    for (const seed of seedsToRun(10)) {
      for (const silent of [false, true]) {
        const cluster = await formed(5, seed)
        cluster.crash(addressOf(2), silent)
        await cluster.simulation.runFor(seed * 40)
        const heir = cluster.start(addressOf(2), { storeId: 'another store' as never })
        await cluster.converge(5, 15_000)
        const there = cluster.live[0]!.membership.configuration.members.filter(({ address }) => address === addressOf(2))
        expect(there).toEqual([heir.membership.self])
        expect(cluster.epoch).toBeLessThanOrEqual(4)
        cluster.finish()
      }
    }
  })

  test('a store that is started at another address while its former process is still a member', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = await formed(5, seed)
      const { storeId } = cluster.processes.get(addressOf(2))!.membership.self
      cluster.crash(addressOf(2), true)
      const heir = cluster.start(addressOf(9), { storeId, incarnation: 2 })
      await cluster.converge(5, 15_000)
      expect(cluster.live[0]!.membership.configuration.members.filter(member => member.storeId === storeId)).toEqual([heir.membership.self])
      cluster.finish()
    }
  })
})

describe('strangers', () => {
  /** Two clusters of four on one network, and what each is to be founded with. */
  async function two (seed: number, a: Partial<MembershipOptions>, b: Partial<MembershipOptions>): Promise<[MembershipCluster, MembershipCluster]> {
    const first = new MembershipCluster({ seed })
    const second = new MembershipCluster(first.simulation)
    for (let index = 0; index < 4; index++) {
      first.start(addressOf(index), { seeds: [addressOf(0)], ...a, ...index === 0 ? { found: true, expect: 4 } : {} })
      second.start(addressOf(20 + index), { seeds: [addressOf(20)], ...b, ...index === 0 ? { found: true, expect: 4 } : {} })
    }
    await first.converge(4)
    await second.converge(4)
    await first.simulation.runFor(1500)
    return [first, second]
  }

  const undisturbed = (cluster: MembershipCluster, addresses: readonly string[]): void => {
    for (const process of cluster.live) expect(addressesOf(process)).toEqual([...addresses].sort())
    cluster.finish()
  }

  test('two clusters of different names: a member of one takes the address of a dead member of the other', async () => {
    for (const seed of seedsToRun(5)) {
      const [first, second] = await two(seed, { clusterName: 'first' }, { clusterName: 'second' })
      first.crash(addressOf(3))
      second.start(addressOf(3), { clusterName: 'second', seeds: [addressOf(20)] })
      await first.converge(3, 15_000)
      await second.converge(5, 15_000)
      await first.simulation.runFor(10_000)
      undisturbed(first, [0, 1, 2].map(addressOf))
      undisturbed(second, [3, 20, 21, 22, 23].map(addressOf))
    }
  })

  test('a joiner that names another cluster is refused, and hears the name of this one', async () => {
    const [first, second] = await two(1, { clusterName: 'first' }, { clusterName: 'second' })
    const joiner = second.start(addressOf(9), { clusterName: 'second', seeds: [addressOf(1)] })
    await expect(first.simulation.settle(joiner.started)).rejects.toThrow(/named first, not second/)
    second.crash(addressOf(9))
    undisturbed(first, [0, 1, 2, 3].map(addressOf))
    undisturbed(second, [20, 21, 22, 23].map(addressOf))
  })

  test('two founders of one name that do not know each other: two clusters, whose members do not mix', async () => {
    for (const seed of seedsToRun(5)) {
      const [first, second] = await two(seed, {}, {})
      expect(first.live[0]!.membership.configuration.clusterId).not.toBe(second.live[0]!.membership.configuration.clusterId)
      first.crash(addressOf(3))
      second.start(addressOf(3), { seeds: [addressOf(21)] })
      await first.converge(3, 15_000)
      await second.converge(5, 15_000)
      await first.simulation.runFor(10_000)
      undisturbed(first, [0, 1, 2].map(addressOf))
      undisturbed(second, [3, 20, 21, 22, 23].map(addressOf))
    }
  })

  test('a joiner with seeds in two clusters of one name joins one of them, and only that', async () => {
    for (const seed of seedsToRun(10)) {
      const [first, second] = await two(seed, {}, {})
      const joiner = first.start(addressOf(9), { seeds: [addressOf(1), addressOf(21), addressOf(2), addressOf(22)] })
      second.processes.set(addressOf(9), joiner)
      await first.simulation.settle(joiner.started, 10_000)
      await first.simulation.runFor(10_000)
      const sizes = [first, second].map(cluster => cluster.live.find(process => process !== joiner)!.membership.configuration.members.length)
      expect([...sizes].sort()).toEqual([4, 5])
      const [home, other] = sizes[0] === 5 ? [first, second] : [second, first]
      other.processes.delete(addressOf(9))
      expect(home.converged(5)).toBe(true)
      expect(other.converged(4)).toBe(true)
    }
  })

  test('one that two founders of one name hold at their gates is admitted by one of them', async () => {
    for (const seed of seedsToRun(10)) {
      const first = new MembershipCluster({ seed })
      const second = new MembershipCluster(first.simulation)
      const options = { found: true, expect: 2, seeds: [] }
      const founders = [first.start(addressOf(0), options), second.start(addressOf(20), options)]
      await first.simulation.runFor(1500)
      const joiner = first.start(addressOf(9), { seeds: [addressOf(0), addressOf(20)] })
      await first.simulation.settle(joiner.started, 10_000)
      await first.simulation.runFor(10_000)
      const sizes = founders.map(({ membership }) => membership.configuration.members.length)
      expect(sizes.sort()).toEqual([1, 2])
    }
  })

  test('one whose founder dies at the gate is admitted by the next founder of that name', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      cluster.start(addressOf(0), { found: true, expect: 2, seeds: [] })
      let probed = false
      const joiner = cluster.start(addressOf(9), { seeds: [addressOf(0)] }, false, {
        incoming: message => {
          if (message.kind === 'probe') probed = true
          return message
        }
      })
      await cluster.simulation.run({ untilMs: 5000, until: () => probed, everyMs: 0 })
      // Before it has the answer.
      cluster.crash(addressOf(0))
      expect(joiner.changes).toEqual([])
      cluster.history.clear()
      cluster.start(addressOf(0), { found: true, expect: 2, seeds: [] })
      await cluster.converge(2, 15_000)
      cluster.finish()
    }
  })

  test('one that belongs to another cluster of the same name is refused', async () => {
    const [first, second] = await two(1, {}, {})
    const { clusterId } = second.live[0]!.membership.configuration
    const joiner = second.start(addressOf(9), { clusterId, seeds: [addressOf(1)] })
    await expect(first.simulation.settle(joiner.started)).rejects.toMatchObject({ code: 'MEMBERSHIP_JOIN_REFUSED' })
    await expect(joiner.started).rejects.toThrow(new RegExp(`the joiner belongs to ${clusterId}`))
  })

  test('one that speaks another protocol is refused, and hears which one is spoken here', async () => {
    const cluster = await formed(3, 1)
    const outgoing = (message: MembershipMessage): unknown => message.kind === 'join-ask' ? { ...message, protocol: PROTOCOL_VERSION + 1 } : message
    const joiner = cluster.start(addressOf(9), {}, false, { outgoing })
    await expect(cluster.simulation.settle(joiner.started)).rejects.toMatchObject({ code: 'MEMBERSHIP_JOIN_REFUSED' })
    await expect(joiner.started).rejects.toThrow(`speaks protocol ${PROTOCOL_VERSION}, the joiner ${PROTOCOL_VERSION + 1}`)
    cluster.crash(addressOf(9))
    expect(cluster.converged(3)).toBe(true)
    cluster.finish()
  })

  test('one that has another value for a setting is refused, and hears both; so is one at the gate of a founder', async () => {
    const cluster = await formed(3, 1, { settings: { partitions: 64 } })
    const late = cluster.start(addressOf(9), { settings: { partitions: 128 } })
    await expect(cluster.simulation.settle(late.started)).rejects.toThrow(/partitions is fixed to 64, the joiner has 128/)
    const forming = new MembershipCluster({ seed: 1 })
    forming.start(addressOf(0), { found: true, expect: 2, settings: { partitions: 64 } })
    const early = forming.start(addressOf(1), { settings: { partitions: 128 } })
    await expect(forming.simulation.settle(early.started)).rejects.toThrow(/partitions is fixed to 64, the joiner has 128/)
  })
})

describe('many at once', () => {
  test('200 processes join a cluster of 10 in one view change', async () => {
    const cluster = await formed(10, 1)
    for (let index = 10; index < 210; index++) {
      cluster.start(addressOf(index), { seeds: [addressOf(index % 10), addressOf((index + 3) % 10)] })
    }
    const end = await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 30_000, until: () => cluster.converged(210), everyMs: 50 })
    expect(end).toBe('condition')
    expect(cluster.epoch).toBe(3)
    cluster.finish()
  })

  test('200 processes join a cluster of 50 at once, by many seeds, in one view change', async () => {
    const cluster = await formed(50, 1)
    for (let index = 50; index < 250; index++) {
      cluster.start(addressOf(index), { seeds: [addressOf(index % 50), addressOf((index * 7 + 3) % 50)] })
    }
    const end = await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 30_000, until: () => cluster.converged(250), everyMs: 50 })
    expect(end).toBe('condition')
    expect(cluster.epoch).toBe(3)
    expect(cluster.processes.get(addressOf(0))!.changes.at(-1)!.joined).toHaveLength(200)
    cluster.finish()
  })

  test('200 processes join a founder without a gate at once, in two view changes at most', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    cluster.start(addressOf(0), { found: true, seeds: [] })
    await cluster.simulation.runFor(1500)
    for (let index = 1; index <= 200; index++) cluster.start(addressOf(index), { seeds: [addressOf(0)] })
    const end = await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 30_000, until: () => cluster.converged(201), everyMs: 50 })
    expect(end).toBe('condition')
    expect(cluster.epoch).toBeLessThanOrEqual(3)
    cluster.finish()
  })

  test('40 processes join a cluster of 20 at once though three messages in ten are lost: all get in, and nobody is removed', async () => {
    const cluster = await formed(20, 1)
    cluster.simulation.network.faults.setEverywhere({ lossProbability: 0.3 })
    for (let index = 20; index < 60; index++) cluster.start(addressOf(index), { seeds: [addressOf(index % 20), addressOf((index + 7) % 20)] })
    const end = await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 20_000, until: () => cluster.converged(60), everyMs: 50 })
    expect(end).toBe('condition')
    expect(cluster.processes.get(addressOf(0))!.changes.flatMap(({ removed }) => removed)).toEqual([])
    cluster.finish()
  })

  test('M8: 60 processes form in two configurations though three messages in ten are lost', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed, network: { lossProbability: 0.3 } })
      cluster.startAll(60)
      expect(await cluster.converge(60)).toBeLessThan(15_000)
      expect(cluster.epoch).toBe(2)
      cluster.finish()
    }
  })

  test('M8: a founder dies when just one, two or three others have the configuration', async () => {
    for (const seed of seedsToRun(10)) {
      const toldMax = 1 + seed % 3
      const cluster = new MembershipCluster({ seed })
      const [founder] = cluster.startAll(6, { seeds: [addressOf(0)] })
      const cut = [1, 2, 3, 4, 5].map(addressOf).slice(toldMax)
      founder!.membership.on('proposal', () => { cluster.simulation.network.faults.block([addressOf(0)], cut) })
      const told = (): number => cluster.live.filter(({ changes, address }) => address !== addressOf(0) && changes.length > 0).length
      await cluster.simulation.run({ untilMs: 5000, until: () => told() >= 1, everyMs: 0 })
      cluster.crash(addressOf(0))
      await cluster.converge(5, 20_000)
      cluster.finish()
    }
  })
})

describe('where the Java implementation is known to fail', () => {
  test('the coordinator of a recovery round dies in it, and the cluster decides all the same', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      let coordinator: string | undefined
      const listening = (address: string): Tampering => ({
        outgoing: message => {
          if (message.kind === 'consensus' && message.message.kind === 'prepare' && coordinator === undefined && cluster.epoch === 2) {
            coordinator = address
            // Its first frames may still go out; then it is gone.
            cluster.simulation.schedule(0, undefined, () => { cluster.crash(address) })
          }
          return message
        }
      })
      for (let index = 0; index < 7; index++) {
        const founding = index === 0 ? { found: true, expect: 7 } : {}
        cluster.start(addressOf(index), { seeds: [addressOf(0)], ...founding }, false, listening(addressOf(index)))
      }
      await cluster.converge(7)
      await cluster.simulation.runFor(1500)
      // Five of seven are one too few for the fast path; without the coordinator four are left, just a majority.
      cluster.crash(addressOf(1))
      cluster.crash(addressOf(4))
      await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 10_000, until: () => coordinator !== undefined })
      expect(coordinator).toBeDefined()
      await cluster.converge(4, 20_000)
      const decided = cluster.live[0]!.changes.find(({ configuration }) => configuration.epoch === 3)!
      expect(decided.reason.fast).toBe(false)
      cluster.finish()
    }
  })

  test('a member that missed two decisions applies both, in order', async () => {
    for (const seed of seedsToRun(5)) {
      // Ten observe each joiner, and one of them may be missing.
      const cluster = await formed(14, seed)
      const deaf = cluster.processes.get(addressOf(3))!
      cluster.simulation.network.faults.setIngress(deaf.address, { blocked: true })
      for (const [index, epoch] of [[14, 3], [15, 4]] as const) {
        cluster.start(addressOf(index), { seeds: [addressOf(0)] })
        const end = await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 2000, until: () => cluster.history.has(epoch), everyMs: 1 })
        expect(end).toBe('condition')
      }
      expect(deaf.membership.configuration.epoch).toBe(2)
      cluster.simulation.network.faults.heal()
      await cluster.converge(16, 5000)
      expect(deaf.changes.map(({ configuration }) => configuration.epoch)).toEqual([2, 3, 4])
      expect(deaf.changes.every(({ gap }) => !gap)).toBe(true)
      expect(deaf.changes.at(-1)!.reason.learned).toBe('fetched')
      cluster.finish()
    }
  })

  test('all answers that say that the join is decided are lost, once: they are given again, and no second id is used up', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = await formed(5, seed)
      const ids = new Set<string>()
      let decidedAtMs = Infinity
      cluster.start(addressOf(5), {}, false, {
        outgoing: message => {
          if (message.kind === 'join-ask') ids.add(message.member.id)
          return message
        },
        incoming: message => {
          if (message.kind !== 'snapshot' && message.kind !== 'admitted') return message
          decidedAtMs = Math.min(decidedAtMs, cluster.simulation.nowMs)
          return cluster.simulation.nowMs - decidedAtMs < 300 ? undefined : message
        }
      })
      await cluster.converge(6, 5000)
      expect(ids.size).toBe(1)
      expect(cluster.epoch).toBe(3)
      cluster.finish()
    }
  })

  test('M3: a cut holds whole records: id, address, store, incarnation and metadata, the same at whoever decided and whoever fetched', async () => {
    const cluster = await formed(5, 1)
    const late = cluster.processes.get(addressOf(3))!
    cluster.simulation.network.faults.setIngress(late.address, { blocked: true })
    const joiner = cluster.start(addressOf(5), { metadata: { zone: 'b', weight: 3, tags: { rack: '7', disk: 'ssd' } } })
    await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 3000, until: () => cluster.history.has(3) })
    await cluster.simulation.runFor(500)
    cluster.simulation.network.faults.heal()
    await cluster.converge(6)
    const cuts = cluster.live.filter(process => process !== joiner).map(({ changes }) => changes.at(-1)!.cut)
    for (const cut of cuts) expect(cut).toEqual({ joins: [joiner.membership.self], removals: [], updates: [] })
    expect(joiner.membership.self.metadata).toEqual({ zone: 'b', weight: 3, tags: { rack: '7', disk: 'ssd' } })
    cluster.finish()
  })
})
