/**
 * Leaving (rule M9).
 *
 * Mutations caught: asking the subjects; companions of an earlier configuration that count; a last member that asks all the same, never,
 * or without listening; being done with one that knows, or with those of an earlier epoch; telling who knows; pauses that do not
 * grow; a goodbye from the old epoch; a request before the first configuration is in effect that fails, or that the configuration ends.
 */
import { describe, expect, test } from 'vitest'
import { nextConfiguration, normalizeCut, type Configuration } from '../../../membership/configuration.ts'
import { Counters } from '../../../membership/counters.ts'
import { windowedPing } from '../../../membership/detector/windowed-ping.ts'
import type { MembershipEffect } from '../../../membership/effects.ts'
import type { Address } from '../../../membership/environment/environment.ts'
import { gossip } from '../../../membership/gossip-broadcaster.ts'
import { Leaving } from '../../../membership/leaving.ts'
import { MembershipCore } from '../../../membership/membership-core.ts'
import type { MembershipMessage } from '../../../membership/messages.ts'
import { resolveOptions } from '../../../membership/options.ts'
import { encodeSnapshot } from '../../../membership/snapshot.ts'
import { LAN } from '../../../membership/tuning.ts'
import { View } from '../../../membership/view.ts'
import { makeConfiguration } from './fixtures.ts'

const { batchWindowMs } = LAN

/** A member that leaves, and what it sent. The index is that of the member in its configuration. */
class Bench {
  readonly configuration: Configuration
  readonly view: View
  readonly leaving: Leaving
  sent: { readonly to: Address, readonly message: MembershipMessage }[] = []

  constructor (size: number, index: number) {
    this.configuration = makeConfiguration(size)
    this.view = new View(this.configuration, this.configuration.members.at(index)!, LAN.ringCount)
    this.leaving = new Leaving(LAN, {
      send: (to, message) => { this.sent.push({ to, message }) },
      reply: () => { throw new Error('nobody asked') },
      warn: () => {},
      counters: new Counters()
    })
  }

  /** The configuration without this member. */
  get after (): View {
    return new View(nextConfiguration(this.configuration, normalizeCut([], [this.view.self.id])), this.view.self, LAN.ringCount)
  }

  /** Advances it whenever it asks for that. Returns the times at which it sent something. */
  until (ms: number): number[] {
    const times: number[] = []
    while (this.leaving.nextAtMs <= ms) {
      const now = this.leaving.nextAtMs
      const before = this.sent.length
      this.leaving.advance(now)
      if (this.sent.length > before) times.push(now)
    }
    return times
  }
}

describe('M9: a leaver asks to be reported', () => {
  test('its observers, and only those, at once', () => {
    const bench = new Bench(30, 3)
    bench.leaving.ask(0, bench.view)
    const observers = bench.view.overlay.observersOf(bench.view.self.id).map(id => bench.view.member(id)!.address)
    expect(bench.sent.map(({ to }) => to)).toEqual(observers)
    for (const { message } of bench.sent) expect(message).toEqual({ kind: 'leave', sender: bench.view.sender, position: bench.view.position })
  })

  test('again and again, with pauses that grow to eight windows', () => {
    const bench = new Bench(5, 0)
    bench.leaving.ask(0, bench.view)
    const windows = bench.until(40 * batchWindowMs).map(ms => ms / batchWindowMs)
    expect(windows).toEqual([1, 3, 7, 15, 23, 31, 39])
  })

  test('in each configuration, from the first pause on', () => {
    const bench = new Bench(5, 0)
    bench.leaving.ask(0, bench.view)
    bench.until(1000)
    bench.sent = []
    bench.leaving.ask(1000, bench.view)
    expect(bench.sent).toHaveLength(4)
    expect(bench.leaving.nextAtMs).toBe(1000 + batchWindowMs)
  })
})

describe('M9: a cut empties no configuration', () => {
  test('the last by id listens for two windows before it asks', () => {
    const bench = new Bench(3, -1)
    bench.leaving.ask(0, bench.view)
    expect(bench.until(2 * batchWindowMs - 1)).toEqual([])
    expect(bench.until(2 * batchWindowMs)).toEqual([2 * batchWindowMs])
    expect(bench.sent).toHaveLength(2)
  })

  test('where all the others leave as well, it does not ask', () => {
    const bench = new Bench(3, -1)
    bench.leaving.ask(0, bench.view)
    for (const { id } of bench.configuration.members.slice(0, 2)) bench.leaving.companion(id)
    expect(bench.until(10_000)).toEqual([])
  })

  test('where one of them stays, it asks', () => {
    const bench = new Bench(3, -1)
    bench.leaving.ask(0, bench.view)
    bench.leaving.companion(bench.configuration.members[0]!.id)
    bench.leaving.companion(bench.configuration.members[0]!.id)
    expect(bench.until(10_000)).not.toEqual([])
  })

  test('those that wanted to leave an earlier configuration do not count in this one', () => {
    const bench = new Bench(3, -1)
    bench.leaving.ask(0, bench.view)
    for (const { id } of bench.configuration.members.slice(0, 2)) bench.leaving.companion(id)
    bench.leaving.ask(1000, bench.view)
    expect(bench.until(10_000)).not.toEqual([])
  })
})

describe('M9: it stays until a majority of the next configuration knows', () => {
  test('it probes all of them with the new epoch, so that whoever is behind fetches the decision', () => {
    const bench = new Bench(5, 0)
    bench.leaving.ask(0, bench.view)
    bench.sent = []
    const { after } = bench
    bench.leaving.goodbye(50, after)
    expect(bench.sent.map(({ to }) => to)).toEqual(after.configuration.members.map(({ address }) => address))
    expect(bench.sent.map(({ message }) => message)).toEqual(after.configuration.members.map(({ id }) => {
      return { kind: 'probe', sender: bench.view.sender, position: after.position, to: id, sequence: 0 }
    }))
  })

  test('it is done with three of four, not with two; only messages from that epoch or later count', () => {
    const bench = new Bench(5, 0)
    const { after } = bench
    const { members } = after.configuration
    bench.leaving.ask(0, bench.view)
    for (const { id } of members) bench.leaving.saw(id, bench.view.position)
    expect(bench.leaving.done).toBe(false)
    bench.leaving.goodbye(50, after)
    expect(bench.leaving.done).toBe(false)
    bench.leaving.saw(members[0]!.id, after.position)
    bench.leaving.saw(members[1]!.id, { ...after.position, epoch: after.epoch + 5 })
    bench.leaving.saw(members[1]!.id, after.position)
    expect(bench.leaving.done).toBe(false)
    bench.leaving.saw(members[2]!.id, after.position)
    expect(bench.leaving.done).toBe(true)
  })

  test('who showed that it knows before the leaver did counts, and is not told', () => {
    const bench = new Bench(3, 0)
    const { after } = bench
    const [first, second] = after.configuration.members
    bench.leaving.ask(0, bench.view)
    bench.leaving.saw(first!.id, after.position)
    bench.sent = []
    bench.leaving.goodbye(50, after)
    expect(bench.sent.map(({ to }) => to)).toEqual([second!.address])
    expect(bench.leaving.done).toBe(false)
    bench.leaving.saw(second!.id, after.position)
    expect(bench.leaving.done).toBe(true)
  })

  test('who is silent is told again, with pauses that begin anew', () => {
    const bench = new Bench(2, 0)
    bench.leaving.ask(0, bench.view)
    bench.until(2000)
    bench.sent = []
    bench.leaving.goodbye(2000, bench.after)
    expect(bench.until(2000 + 15 * batchWindowMs).map(ms => (ms - 2000) / batchWindowMs)).toEqual([1, 3, 7, 15])
  })
})

describe('M9: a process that asks to leave while its first configuration is on its way to the disk', () => {
  const members = (size: number): { asked: MembershipEffect<undefined>[], entered: MembershipEffect<undefined>[] } => {
    const configuration = makeConfiguration(size)
    const options = resolveOptions({ clusterName: 'test', seeds: ['seed:7000'] })
    const core = new MembershipCore<undefined>({
      self: configuration.members[0]!, options, fold: undefined, detector: windowedPing, broadcaster: gossip, storedEpoch: 0
    })
    core.apply(0, { kind: 'join', clusterId: undefined, seeds: [], timeoutMs: 60_000 })
    const snapshot = encodeSnapshot(configuration, undefined, undefined)
    const stored = core.apply(1, { kind: 'message', peer: { address: 'seed:7000', connectionId: 1 }, message: snapshot }).find(({ kind }) => kind === 'persist')
    const asked = core.apply(2, { kind: 'leave' })
    return { asked, entered: core.apply(3, { kind: 'persisted', token: (stored as { token: number }).token }) }
  }
  const statuses = (effects: readonly MembershipEffect<undefined>[]): string[] => effects.flatMap(effect => effect.kind === 'status' ? [effect.status] : [])

  test('asks its observers once that is in effect, and is leaving all the time', () => {
    const { asked, entered } = members(3)
    expect(statuses(asked)).toEqual(['leaving'])
    expect(statuses(entered)).toEqual([])
    expect(entered.filter(effect => effect.kind === 'send' && effect.message.kind === 'leave')).toHaveLength(2)
  })

  test('stops then where it is alone', () => {
    const { asked, entered } = members(1)
    expect(asked.map(({ kind }) => kind)).not.toContain('left')
    expect(entered.map(({ kind }) => kind)).toContain('left')
  })
})
