/**
 * Voters and agents under attack: scripts for what once wedged them, and random lives (see ensemble-scenario.ts).
 *
 * Mutations that were tried and are caught here: no last look; an agent that does not vouch anew with the voters; a removed process that tells
 * nobody why; a restart that keeps voters that are gone, or does not say that nobody votes; a member that doubts itself whoever answers; no
 * promotion of those whom most voters accuse; one of those whom the voter itself hears again. Not caught: new
 * attempts that agents hear of only when they are repeated, which costs time.
 */
import { describe, expect, test } from 'vitest'
import type { MembershipMessage } from '../../membership/messages.ts'
import type { MembershipOptions } from '../../membership/options.ts'
import { runEnsembleScenario } from './ensemble-scenario.ts'
import { addressOf, MembershipCluster } from './membership-harness.ts'
import { seedsToRun } from './simulation.ts'
import type { Tampering } from './tampering.ts'

/** Voters come first by address; the first one founds. */
async function form (
  voters: number, agents: number, options: Partial<MembershipOptions> = {}, durable = false, tampering: (index: number) => Tampering = () => ({})
): Promise<MembershipCluster> {
  const cluster = new MembershipCluster({ seed: 1 })
  const size = voters + agents
  for (let i = 0; i < size; i++) {
    const founding = i === 0 ? { found: true, expect: size } : {}
    cluster.start(addressOf(i), { ...options, ...founding, role: i < voters ? 'voter' : 'agent' }, durable, tampering(i))
  }
  await cluster.converge(size)
  await cluster.simulation.runFor(2000)
  return cluster
}

const sentBy = (message: unknown, addresses: readonly string[]): boolean => {
  const { sender } = message as { sender?: { address: string } }
  return sender !== undefined && addresses.includes(sender.address)
}

test('rule M6: the only voter asks a voter-to-be once more before it votes: one that died meanwhile wedges nothing', async () => {
  for (let delayMs = 20; delayMs <= 300; delayMs += 20) {
    const cluster = await form(1, 3)
    cluster.start(addressOf(9), { role: 'voter' })
    await cluster.simulation.runFor(delayMs)
    cluster.crash(addressOf(9), true)
    const admitted = cluster.epoch > 2
    cluster.start(addressOf(10), { role: 'agent' })
    // One that was admitted alive and dies then is another matter: two voters decide together or not at all.
    if (!admitted) await cluster.converge(5)
    cluster.finish()
  }
})

test('rule M6: a voter-to-be that lives is let in by the only voter, and with it those that join besides', async () => {
  const cluster = await form(1, 3)
  for (const [index, role] of [[9, 'voter'], [10, 'agent'], [11, 'voter']] as const) cluster.start(addressOf(index), { role })
  await cluster.converge(7)
  expect(cluster.epoch).toBe(3)
  cluster.finish()
})

test('agents vouch anew for a joiner with the voters whose tallies were void', async () => {
  const late = addressOf(4)
  let deaf = false
  const cluster = await form(2, 3, {}, false, index => index >= 2
    ? {}
    : { incoming: (message: MembershipMessage) => deaf && message.kind === 'alerts' && sentBy(message, [late]) ? undefined : message })
  deaf = true
  cluster.start(addressOf(9), { role: 'agent' })
  // What one agent says is lost until the voters have emptied their tallies; what the others said is known to them.
  await cluster.simulation.runFor(5500)
  deaf = false
  await cluster.converge(6)
  cluster.finish()
})

test('rule M12: removed voters that alone know the decision tell it to those that cannot decide it again', async () => {
  const removed = [addressOf(0), addressOf(1)]
  const formers = new Set<string>()
  const incoming = (index: number) => (message: MembershipMessage): unknown => {
    if (!('sender' in message) || !formers.has(message.sender.id)) return message
    // Agents hear no answers of these two; the other voters hear nothing of what they vote, nor anybody of what came of it.
    if (index >= 4 && message.kind === 'probe-reply') return undefined
    return message.kind === 'consensus' || message.position.epoch > 2 ? undefined : message
  }
  const cluster = await form(4, 6, {}, false, index => index < 2 ? {} : { incoming: incoming(index) })
  const { simulation } = cluster
  for (const address of removed) formers.add(cluster.processes.get(address)!.membership.self.id)
  const both = (): boolean => removed.every(address => cluster.processes.get(address)!.removals === 1)
  await simulation.run({ untilMs: simulation.nowMs + 60_000, until: both, everyMs: 0 })
  expect(both()).toBe(true)
  expect(cluster.processes.get(addressOf(2))!.membership.configuration.epoch).toBe(2)
  await cluster.converge(10)
  cluster.finish()
})

describe('a restart in other roles (rule M4)', () => {
  test('a voter that comes back as an agent leaves no majority to voters that are gone', async () => {
    const cluster = await form(3, 3, {}, true)
    cluster.watchDisks()
    for (let i = 0; i < 6; i++) cluster.crash(addressOf(i), true)
    for (const index of [0, 1, 3, 4, 5]) cluster.start(addressOf(index), { role: index === 0 ? 'voter' : 'agent' }, true)
    await cluster.converge(5)
    cluster.finish()
  })

  test('where all voters come back as agents nothing is decided, and it is said why; a voter that comes back ends it', async () => {
    const cluster = await form(3, 2, {}, true)
    for (let i = 0; i < 5; i++) cluster.crash(addressOf(i), true)
    const returned = Array.from({ length: 5 }, (_, i) => cluster.start(addressOf(i), { role: 'agent', joinTimeoutMs: 4000 }, true))
    await expect(cluster.simulation.settle(returned[1]!.started)).rejects.toMatchObject({
      code: 'MEMBERSHIP_JOIN_TIMEOUT', message: expect.stringMatching(/3 came back.* takes 2, and at least one that votes/) as string
    })
    expect(cluster.epoch).toBe(2)
    for (let i = 0; i < 5; i++) cluster.crash(addressOf(i), true)
    for (let i = 0; i < 5; i++) cluster.start(addressOf(i), { role: i === 1 ? 'voter' : 'agent' }, true)
    await cluster.converge(5)
    cluster.finish()
  })
})

describe('most members die at once, and a majority of the voters does not', () => {
  for (const [voters, agents] of [[1, 1], [1, 2], [1, 9], [2, 5], [3, 8]] as const) {
    test(`${voters} of ${voters + agents} that are left, all of them voters, remove the others and admit new ones`, async () => {
      const cluster = await form(voters, agents)
      for (let i = voters; i < voters + agents; i++) cluster.crash(addressOf(i), true)
      await cluster.converge(voters)
      for (let i = 0; i < 3; i++) cluster.start(addressOf(20 + i), { role: 'agent' })
      await cluster.converge(voters + 3)
      cluster.finish()
    })
  }

  test('an only voter that was cut off for a while removes nobody that it hears again', async () => {
    for (const cutMs of [4000, 6000, 15_000]) {
      const cluster = await form(1, 8)
      const { faults } = cluster.simulation.network
      faults.partition([addressOf(0)], cluster.live.map(({ address }) => address).slice(1))
      await cluster.simulation.runFor(cutMs)
      faults.heal()
      await cluster.simulation.runFor(40_000)
      expect([cutMs, cluster.epoch]).toEqual([cutMs, 2])
      cluster.finish()
    }
  })

  test('a member that hears nobody accuses nobody: no agent is removed for it', async () => {
    const cluster = await form(3, 8)
    const others = cluster.live.map(({ address }) => address).filter(address => address !== addressOf(10))
    cluster.simulation.network.faults.block(others, [addressOf(10)])
    await cluster.simulation.runFor(30_000)
    for (const { address, removals } of cluster.live) if (address !== addressOf(10)) expect(removals).toBe(0)
    cluster.finish()
  })
})

test('voters and agents that crash, return in any role, pause, join, leave and update agree in the end, and never on two things', async () => {
  for (const seed of seedsToRun(4)) await runEnsembleScenario(seed)
})
