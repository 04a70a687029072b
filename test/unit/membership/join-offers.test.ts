/**
 * Joiners take their first configuration from members that offer it (rule M11): from one at a time, and from another when that one is
 * silent.
 *
 * Mutations that were tried and are caught here: asking everybody who offers at once; forgetting an offer while another one is asked;
 * taking an offer that is meant for another process; a founder taking an offer for a cluster of its own.
 */
import { describe, expect, test } from 'vitest'
import type { ClusterId, ConfigurationId, Member, MemberId, StoreId } from '../../../membership/configuration.ts'
import { Outbox } from '../../../membership/effects.ts'
import { FoundingCheck } from '../../../membership/founding.ts'
import { JoinProtocol } from '../../../membership/join-protocol.ts'
import type { Admitted } from '../../../membership/messages.ts'
import { resolveOptions } from '../../../membership/options.ts'
import { LAN } from '../../../membership/tuning.ts'

const self: Member = {
  id: 'joiner' as MemberId, address: '10.0.0.9:7000', storeId: 's' as StoreId, incarnation: 1, metadata: { zone: '', weight: 1, tags: {} },
  metadataVersion: 0
}
const SEED = '10.0.0.1:7000'
const options = resolveOptions({ clusterName: 'test', seeds: [SEED] })
const position = { clusterId: 'c' as ClusterId, epoch: 2, configurationId: 'x' as ConfigurationId }
const admitted = (offer: boolean, member = self.id): Admitted => ({ kind: 'admitted', position, member, offer })
const from = (address: string): { address: string, connectionId: number } => ({ address, connectionId: 1 })

/** A joiner that has asked its seed and been told to wait. */
function joining (): { readonly protocol: JoinProtocol, asked (): string[] } {
  const out = new Outbox<undefined>()
  const protocol = new JoinProtocol(self, undefined, options, out, 0, 60_000)
  protocol.seeds([SEED])
  protocol.advance(0)
  const asked = (): string[] => out.drain().flatMap(effect => effect.kind === 'send' && effect.message.kind === 'join-ask' ? [effect.to] : [])
  expect(asked()).toEqual([SEED])
  return { protocol, asked }
}

describe('offers', () => {
  test('the first is taken at once, the others only when that one is silent, each once, and then the seed', () => {
    const { protocol, asked } = joining()
    for (const address of ['10.0.0.2:7000', '10.0.0.3:7000', '10.0.0.4:7000']) protocol.answered(1, from(address), admitted(true))
    expect(asked()).toEqual(['10.0.0.2:7000'])
    for (const next of ['10.0.0.3:7000', '10.0.0.4:7000']) {
      const dueMs = protocol.nextAtMs
      expect(dueMs).toBeLessThan(1 + LAN.fetchTimeoutMs * 3)
      protocol.advance(dueMs - 1)
      expect(asked()).toEqual([])
      protocol.advance(dueMs)
      expect(asked()).toEqual([next])
    }
    protocol.advance(protocol.nextAtMs)
    expect(asked()).toContain(SEED)
  })

  test('who is only told that it was admitted waits, and takes an offer that comes meanwhile', () => {
    const { protocol, asked } = joining()
    protocol.answered(1, from(SEED), admitted(false))
    expect(asked()).toEqual([])
    expect(protocol.nextAtMs).toBeGreaterThan(1 + LAN.fetchTimeoutMs / 2)
    protocol.answered(2, from('10.0.0.2:7000'), admitted(true))
    expect(asked()).toEqual(['10.0.0.2:7000'])
  })

  test('what is meant for the process that had the address before is passed over, by joiners and by founders', () => {
    const { protocol, asked } = joining()
    protocol.answered(1, from('10.0.0.2:7000'), admitted(true, 'other' as MemberId))
    expect(asked()).toEqual([])
    const founding = new FoundingCheck(self, 'd' as ClusterId, [SEED], options, new Outbox<undefined>(), 0)
    expect(founding.answered(from('10.0.0.2:7000'), admitted(true, 'other' as MemberId))).toBeUndefined()
    expect(founding.answered(from(SEED), { kind: 'join-observers', position, observers: [] })).toMatchObject({ code: 'MEMBERSHIP_ALREADY_FOUNDED' })
  })
})
