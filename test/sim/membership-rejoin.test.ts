/**
 * How long a process that was removed waits before it joins again, in the simulator.
 *
 * Mutations that were tried and are caught here: never forgetting a removal; pauses that do not grow.
 */
import { describe, expect, test } from 'vitest'
import { MembershipCluster, type Process } from './membership-harness.ts'

describe('rejoining', () => {
  /** Has a member of six cut off until it is removed, and tells how long after hearing of it the member is back. */
  async function awayMs (cluster: MembershipCluster, victim: Process): Promise<number> {
    const { simulation } = cluster
    const { removals } = victim
    const others = cluster.live.filter(process => process !== victim)
    const isRemoved = (): boolean => others.every(({ membership }) => membership.configuration.members.length === others.length)
    simulation.network.faults.partition([victim.address], others.map(({ address }) => address))
    await simulation.run({ untilMs: simulation.nowMs + 30_000, until: isRemoved })
    simulation.network.faults.heal()
    await simulation.run({ untilMs: simulation.nowMs + 30_000, until: () => victim.removals > removals })
    const removedAtMs = simulation.nowMs
    await cluster.converge(6)
    const backAtMs = simulation.nowMs
    // So that its observers know it: one that never answered a probe is given much longer.
    await simulation.runFor(3000)
    return backAtMs - removedAtMs
  }

  test('a member that is removed again and again stays away longer each time, until it was left alone for a while', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    const processes = await cluster.form(6, { rejoinDelayMs: 1000, rejoinForgetMs: 300_000 })
    await cluster.simulation.runFor(2000)
    const pauses: number[] = []
    for (let i = 0; i < 4; i++) pauses.push(await awayMs(cluster, processes[3]!))
    // 1, 2, 4 and 8 s, with jitter down to half, and what joining takes.
    for (const [i, pauseMs] of pauses.entries()) {
      expect(pauseMs).toBeGreaterThan(500 * 2 ** i)
      expect(pauseMs).toBeLessThan(1000 * 2 ** i + 1500)
    }
    await cluster.simulation.runFor(300_000)
    expect(await awayMs(cluster, processes[3]!)).toBeLessThan(2500)
    cluster.finish()
  })
})
