/**
 * The logically centralized mode in the simulator (Rapid, USENIX ATC '18, section 5; rule M13): a few voters decide for many agents,
 * with the invariants checked at every view change of every process. The harness counts quorums by the roles in the configuration
 * before, and lets no agent vote.
 *
 * Mutations that were tried and are caught here: agents counted in quorums; an agent that takes part in consensus; a cut detector that spares no
 * voter where all are accused; nobody that looks after the ensemble. Not caught, since they cost time and not safety: a last voter
 * that asks to leave although all voters do, and a restart that begins ballots before enough voters are back.
 */
import { describe, expect, test } from 'vitest'
import type { MembershipOptions } from '../../membership/options.ts'
import { addressOf, MembershipCluster, type Process } from './membership-harness.ts'
import { seedsToRun, type SimulationOptions } from './simulation.ts'

interface Ensemble {
  readonly cluster: MembershipCluster
  readonly voters: readonly Process[]
  readonly agents: readonly Process[]
}

/** Voters come first by address: the first one founds, all start at once. */
async function form (
  voters: number, agents: number, simulation: Partial<SimulationOptions> = {}, options: Partial<MembershipOptions> = {}, durable = false
): Promise<Ensemble> {
  const cluster = new MembershipCluster({ seed: 1, ...simulation })
  const size = voters + agents
  const processes = Array.from({ length: size }, (_, index) => cluster.start(addressOf(index), {
    ...options, ...index === 0 ? { found: true, expect: size } : {}, role: index < voters ? 'voter' : 'agent'
  }, durable))
  await cluster.simulation.settle(Promise.all(processes.map(({ started }) => started)), 60_000)
  await cluster.converge(size)
  return { cluster, voters: processes.slice(0, voters), agents: processes.slice(voters) }
}

const addressesOf = (processes: readonly Process[]): string[] => processes.map(({ address }) => address)

/** Nobody hears one of these any more, nor do they hear each other. */
function cutOff (cluster: MembershipCluster, processes: readonly Process[]): void {
  const { faults } = cluster.simulation.network
  const everybody = addressesOf(cluster.live)
  for (const { address } of processes) {
    const others = everybody.filter(other => other !== address)
    faults.block([address], others)
    faults.block(others, [address])
  }
}

const statuses = (processes: readonly Process[]): Set<string> => new Set(processes.map(({ membership }) => membership.status))

describe('voters and agents', () => {
  for (const [voterCount, agentCount] of [[3, 200], [5, 100], [1, 20], [15, 30]] as const) {
    test(`${voterCount} voters and ${agentCount} agents form in two configurations; 10 agents that crash at once are one view change`, async () => {
      const { cluster, voters, agents } = await form(voterCount, agentCount)
      expect(cluster.epoch).toBe(2)
      await cluster.simulation.runFor(5000)
      for (const { address } of agents.slice(0, 10)) cluster.crash(address)
      await cluster.converge(voterCount + agentCount - 10)
      expect(cluster.epoch).toBe(3)
      const { voters: deciders } = agents.at(-1)!.membership.explain(3)!
      const ids = new Set(voters.map(({ membership }) => membership.self.id))
      expect(deciders.every(id => ids.has(id))).toBe(true)
      cluster.finish()
    })
  }

  test('20 agents and a voter that join at once enter in one view change; the voter counts from then on', async () => {
    const { cluster } = await form(3, 30)
    await cluster.simulation.runFor(1000)
    for (let i = 33; i < 54; i++) cluster.start(addressOf(i), { role: i === 33 ? 'voter' : 'agent' })
    await cluster.converge(54)
    expect(cluster.epoch).toBe(3)
    cluster.crash(addressOf(53))
    cluster.crash(addressOf(0))
    await cluster.converge(52)
    expect(cluster.live[0]!.membership.explain(cluster.epoch)!.voters).toHaveLength(3)
    cluster.finish()
  })

  test('an agent learns of a decision that it missed, and its updates and its leaving are decided for it', async () => {
    const { cluster, agents } = await form(3, 20)
    const [away, zoned, leaver] = agents
    cutOff(cluster, [away!])
    const update = zoned!.membership.update({ zone: 'b' })
    await cluster.simulation.settle(update, 10_000)
    cluster.simulation.network.faults.heal()
    await cluster.simulation.settle(leaver!.membership.leave(), 10_000)
    cluster.processes.delete(leaver!.address)
    await cluster.converge(22)
    expect(away!.membership.configuration.members.find(({ address }) => address === zoned!.address)!.metadata.zone).toBe('b')
    cluster.finish()
  })

  test('under 5 % loss with duplicates, crashed agents and a crashed voter are cut and nobody else is', async () => {
    for (const seed of seedsToRun(3)) {
      const { cluster, agents } = await form(5, 40, { seed, network: { lossProbability: 0.05, duplicateProbability: 0.1, reorderProbability: 0.1 } })
      await cluster.simulation.runFor(3000)
      for (const { address } of agents.slice(0, 5)) cluster.crash(address)
      cluster.crash(addressOf(4))
      await cluster.converge(39)
      await cluster.simulation.runFor(10_000)
      expect(cluster.converged(39)).toBe(true)
      cluster.finish()
    }
  })
})

describe('voters that fail', () => {
  test('a voter that crashes is cut in one view change, and those left decide on', async () => {
    for (const seed of seedsToRun(3)) {
      const { cluster, agents } = await form(3, 30, { seed })
      await cluster.simulation.runFor(3000)
      cluster.crash(addressOf(2))
      await cluster.converge(32)
      expect(cluster.epoch).toBe(3)
      cluster.crash(agents[0]!.address)
      await cluster.converge(31)
      expect(agents.at(-1)!.membership.explain(4)!.voters).toHaveLength(2)
      cluster.finish()
    }
  })

  test('without a majority of the voters everybody says isolated and nothing is decided; it heals when they are back', async () => {
    for (const seed of seedsToRun(2)) {
      const { cluster, voters, agents } = await form(3, 30, { seed })
      await cluster.simulation.runFor(3000)
      cutOff(cluster, voters.slice(1))
      await cluster.simulation.runFor(1000)
      cluster.crash(agents[0]!.address)
      // An agent looks after the voters every five seconds, and takes two more to be sure.
      await cluster.simulation.runFor(8000)
      expect(statuses(cluster.live)).toEqual(new Set(['isolated']))
      await cluster.simulation.runFor(20_000)
      expect(cluster.epoch).toBe(2)
      expect(statuses(cluster.live)).toEqual(new Set(['isolated']))
      cluster.simulation.network.faults.heal()
      await cluster.converge(32)
      expect(statuses(cluster.live)).toEqual(new Set(['member']))
      cluster.finish()
    }
  })

  test('agents alone decide nothing, however many they are', async () => {
    const { cluster, voters, agents } = await form(3, 30)
    await cluster.simulation.runFor(3000)
    for (const { address } of voters) cluster.crash(address)
    cluster.crash(agents[0]!.address)
    await cluster.simulation.runFor(30_000)
    expect(cluster.epoch).toBe(2)
    expect(statuses(cluster.live)).toEqual(new Set(['isolated']))
    cluster.finish()
  })

  test('all voters accused at once are not removed: a cut leaves at least one voter', async () => {
    const { cluster, voters, agents } = await form(2, 20)
    await cluster.simulation.runFor(3000)
    // The agents hear nothing of the voters, who hear the accusations.
    cluster.simulation.network.faults.block(addressesOf(voters), addressesOf(agents))
    await cluster.simulation.runFor(15_000)
    cluster.simulation.network.faults.heal()
    await cluster.simulation.runFor(60_000)
    expect(voters.map(({ removals }) => removals)).toEqual([0, 0])
    await cluster.converge(22)
    cluster.finish()
  })

  test('after a loss of power a majority of the former voters goes on from their disks, agents or not (rule M4)', async () => {
    for (const seed of seedsToRun(2)) {
      const { cluster } = await form(3, 6, { seed }, {}, true)
      cluster.watchDisks()
      const begun = cluster.live.map(({ address }) => address)
      await cluster.simulation.runFor(2000)
      for (const address of begun) cluster.crash(address, true)
      await cluster.simulation.runFor(1000)
      const role = (index: number): 'voter' | 'agent' => index < 3 ? 'voter' : 'agent'
      // One voter and all agents are too few, whatever their number.
      for (const index of [0, 3, 4, 5, 6, 7, 8]) cluster.start(addressOf(index), { role: role(index) }, true)
      await cluster.simulation.runFor(20_000)
      expect(cluster.epoch).toBe(2)
      cluster.start(addressOf(1), { role: 'voter' }, true)
      cluster.start(addressOf(2), { role: 'voter' }, true)
      await cluster.converge(9)
      expect([...cluster.history.keys()].sort((a, b) => a - b).slice(0, 2)).toEqual([1, 2])
      cluster.finish()
    }
  })
})

describe('roles', () => {
  test('an agent founds no cluster', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    expect(() => cluster.start(addressOf(0), { found: true, role: 'agent' })).toThrow(/agent founds no cluster/)
  })

  test('a process that starts again with another role changes it in the cut that replaces it', async () => {
    const { cluster } = await form(3, 10)
    cluster.crash(addressOf(9))
    cluster.start(addressOf(9), { role: 'voter' })
    await cluster.converge(13)
    const voters = (): number => cluster.live[0]!.membership.configuration.members.filter(({ role }) => role === undefined).length
    expect(voters()).toBe(4)
    cluster.crash(addressOf(1))
    cluster.start(addressOf(1), { role: 'agent' })
    await cluster.converge(13)
    expect(voters()).toBe(3)
    cluster.finish()
  })

  test('the only voter leaves last: while agents are there it stays, and says why', async () => {
    const { cluster, voters: [voter], agents } = await form(1, 3)
    const early = voter!.membership.leave({ deadlineMs: 3000 })
    await expect(cluster.simulation.settle(early, 10_000)).rejects.toMatchObject({ code: 'MEMBERSHIP_LEAVE_TIMEOUT', message: expect.stringMatching(/only voter/) as string })
    expect(cluster.epoch).toBe(2)
    expect(agents.every(({ membership }) => membership.configuration.members.length === 4)).toBe(true)
    cluster.finish()
  })

  test('all leave at once: voters and agents', async () => {
    for (const seed of seedsToRun(3)) {
      const { cluster, voters, agents } = await form(3, 12, { seed })
      await cluster.simulation.settle(Promise.all([...voters, ...agents].map(({ membership }) => membership.leave({ deadlineMs: 60_000 }))), 60_000)
      cluster.finish()
    }
  })
})
