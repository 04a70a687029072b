/**
 * Halting in the simulator: a process for which going on would be unsafe says so, and settles what is asked of it.
 *
 * Mutation that was tried and is caught here: a status that says halted before the reason is told.
 */
import { describe, expect, test } from 'vitest'
import { CHANNELS } from '../../membership/environment/environment.ts'
import { addressOf, MembershipCluster } from './membership-harness.ts'

describe('halting', () => {
  test('a second configuration in one epoch: the process says why, takes no further part, and settles what is asked of it', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    const [process] = await cluster.form(3)
    await cluster.simulation.runFor(1000)
    const { membership } = process!
    const { clusterId, epoch } = membership.configuration
    const { transport } = cluster.simulation.environment(addressOf(9))
    await transport.start()
    const refused = expect(membership.update({ weight: 2 })).rejects.toMatchObject({
      code: 'MEMBERSHIP_CLOSED', definite: false, cause: { code: 'MEMBERSHIP_CONFLICT' }
    })
    const sender = { id: 'stranger', address: addressOf(9) }
    transport.send(process!.address, CHANNELS.membership, {
      kind: 'probe', sender, position: { clusterId, epoch, configurationId: 'another' }, to: membership.self.id, sequence: 1
    })
    await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 1000, until: () => process!.halted !== undefined })
    expect(process!.halted).toMatchObject({ code: 'MEMBERSHIP_CONFLICT' })
    expect(membership.status).toBe('halted')
    await refused
  })
})
