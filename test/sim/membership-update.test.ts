/**
 * Updates of metadata in the simulator (rule M13), with the invariants checked at every view change of every process.
 *
 * Mutations that were tried and are caught here: an update that changes its member's record and not its version, or enters a digest for
 * nothing; removal that does not win; an update that is not announced again in the next configuration, or is at its very beginning;
 * two of one member under way at once; a gate that is replaced, or left waiting, when its founder updates; a process that joins
 * again with its options; calls that are not settled when the member is removed, leaves or is closed.
 */
import { describe, expect, test } from 'vitest'
import type { Member, Metadata } from '../../membership/configuration.ts'
import { MembershipError, type MembershipErrorCode } from '../../membership/errors.ts'
import { addressOf, MembershipCluster, type Process } from './membership-harness.ts'
import { seedsToRun } from './simulation.ts'

/** What a call of `update` came to. */
interface Outcome { code: MembershipErrorCode | 'held' | undefined }

/** Calls `update`, and tells when it is settled, and how. What is no MembershipError fails the test. */
function ask ({ membership }: Process, change: Partial<Metadata>): Outcome {
  const outcome: Outcome = { code: undefined }
  membership.update(change).then(
    () => { outcome.code = 'held' },
    (error: unknown) => { if (error instanceof MembershipError) outcome.code = error.code }
  )
  return outcome
}

const recordAt = (cluster: MembershipCluster, address: string): Member =>
  cluster.history.get(cluster.epoch)!.configuration.members.find(member => member.address === address)!

async function held (cluster: MembershipCluster, outcomes: readonly Outcome[], limitMs = 60_000): Promise<void> {
  const { simulation } = cluster
  await simulation.run({ untilMs: simulation.nowMs + limitMs, until: () => outcomes.every(({ code }) => code !== undefined), everyMs: 5 })
  expect(outcomes.map(({ code }) => code)).toEqual(outcomes.map(() => 'held'))
}

describe('updates (rule M13)', () => {
  for (const size of [1, 2, 3, 12, 50]) {
    test(`of ${size} members one updates its metadata: one view change, the same at every process, within a second`, async () => {
      for (const seed of seedsToRun(size === 50 ? 2 : 5)) {
        const cluster = new MembershipCluster({ seed })
        const processes = await cluster.form(size, { metadata: { zone: 'a', tags: { rack: '1' } } })
        await cluster.converge(size)
        const before = cluster.epoch
        const [owner] = processes
        const begunMs = cluster.simulation.nowMs
        await held(cluster, [ask(owner!, { weight: 7 })], 1000)
        await cluster.converge(size, 1000)
        expect(cluster.epoch).toBe(before + 1)
        const record = recordAt(cluster, owner!.address)
        expect(record).toMatchObject({ metadata: { zone: 'a', weight: 7, tags: { rack: '1' } }, metadataVersion: 1 })
        expect(owner!.membership.self).toEqual(record)
        for (const { changes } of processes) {
          const { joined, removed, updated, reason, gap } = changes.at(-1)!
          expect({ joined, removed, updated, gap }).toEqual({ joined: [], removed: [], updated: [record], gap: false })
          expect(reason.alerts).toMatchObject(reason.learned === 'fetched' ? [] : [{ subject: record.id, status: 'update' }])
        }
        expect(cluster.simulation.nowMs - begunMs).toBeLessThan(1000)
        cluster.finish()
      }
    })

    test(`of ${size} members all update twice in a row, under loss, duplication and reordering`, async () => {
      for (const seed of seedsToRun(size === 50 ? 1 : 5)) {
        const network = { lossProbability: 0.05, duplicateProbability: 0.1, reorderProbability: 0.1 }
        const cluster = new MembershipCluster({ seed, network })
        const processes = await cluster.form(size)
        const { simulation } = cluster
        const outcomes: Outcome[] = []
        for (const [index, process] of processes.entries()) {
          simulation.schedule(simulation.random.below(300), undefined, () => {
            if (process.membership.status !== 'member') return
            outcomes.push(ask(process, { weight: index, zone: 'first' }), ask(process, { zone: 'second' }))
          })
        }
        await simulation.runFor(300)
        expect(outcomes.length).toBeGreaterThan(0)
        await simulation.run({ untilMs: simulation.nowMs + 60_000, until: () => outcomes.every(({ code }) => code !== undefined), everyMs: 5 })
        simulation.network.faults.heal()
        await cluster.converge(size)
        // Loss may have had somebody removed, who said so; all others hold what was asked for last.
        const lost = outcomes.filter(({ code }) => code !== 'held')
        expect(lost.length).toBeLessThanOrEqual(2 * cluster.live.filter(({ removals }) => removals > 0).length)
        for (const [index, { address, removals }] of processes.entries()) {
          if (removals === 0) expect(recordAt(cluster, address).metadata).toMatchObject({ weight: index, zone: 'second' })
        }
        cluster.finish()
      }
    })
  }

  test('calls while one is under way take effect together, after it: two view changes for any number of calls', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      const [owner] = await cluster.form(4)
      await cluster.converge(4)
      await cluster.simulation.runFor(1000)
      const outcomes = Array.from({ length: 20 }, (_, weight) => ask(owner!, { weight }))
      await held(cluster, outcomes)
      await cluster.simulation.runFor(5000)
      expect(cluster.epoch).toBe(4)
      expect(cluster.history.get(3)!.configuration.members.map(({ metadata: { weight } }) => weight).sort()).toEqual([0, 1, 1, 1])
      expect(recordAt(cluster, owner!.address)).toMatchObject({ metadata: { weight: 19 }, metadataVersion: 2 })
      cluster.finish()
    }
  })

  test('updates at the same time fall into one view change', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      const processes = await cluster.form(12)
      await cluster.converge(12)
      await held(cluster, processes.map((process, weight) => ask(process, { weight })))
      await cluster.converge(12)
      expect(cluster.epoch).toBe(3)
      cluster.finish()
    }
  })

  test('updates amid joins and crashes: all that stay get theirs', async () => {
    for (const seed of seedsToRun(6)) {
      const cluster = new MembershipCluster({ seed, network: { lossProbability: 0.01 } })
      const { simulation } = cluster
      const processes = await cluster.form(14)
      await simulation.runFor(2000)
      const outcomes: { process: Process, outcome: Outcome, weight: number }[] = []
      for (const [index, process] of processes.entries()) {
        const atMs = simulation.random.below(6000)
        if (index < 3) simulation.schedule(atMs, undefined, () => { cluster.crash(process.address, simulation.random.next() < 0.5) })
        else simulation.schedule(atMs, undefined, () => { outcomes.push({ process, weight: index, outcome: ask(process, { weight: index }) }) })
      }
      // The crashed ones ask as well, a moment before: their updates may or may not be part of a configuration.
      for (const process of processes.slice(0, 3)) ask(process, { zone: 'gone' })
      for (let i = 14; i < 20; i++) {
        simulation.schedule(simulation.random.below(6000), undefined, () => { cluster.start(addressOf(i), { seeds: [addressOf(4), addressOf(7)] }) })
      }
      const settled = (): boolean => outcomes.length === 11 && outcomes.every(({ outcome }) => outcome.code !== undefined)
      await simulation.run({ untilMs: simulation.nowMs + 60_000, until: settled, everyMs: 5 })
      await cluster.converge(17)
      for (const { process, outcome, weight } of outcomes) {
        if (process.removals > 0) continue
        expect(outcome.code).toBe('held')
        expect(recordAt(cluster, process.address).metadata.weight).toBe(weight)
      }
      cluster.finish()
    }
  })

  /**
   * Six members, one of which hears nothing any more and is removed. Besides, it and another one update their metadata at a time, if one is
   * given. Tells when the removal was proposed and when it was in effect.
   */
  async function removeDeaf (
    seed: number, updateAtMs = Infinity
  ): Promise<{ cluster: MembershipCluster, own?: Outcome, other?: Outcome, proposedMs: number, removedMs: number }> {
    const cluster = new MembershipCluster({ seed })
    const { simulation } = cluster
    const processes = await cluster.form(6)
    await cluster.converge(6)
    await simulation.runFor(1000)
    const [deaf, observer] = [processes[3]!, processes[0]!]
    simulation.network.faults.setIngress(deaf.address, { blocked: true })
    let proposedMs = Infinity
    observer.membership.once('proposal', () => { proposedMs = simulation.nowMs })
    const outcomes: { own?: Outcome, other?: Outcome } = {}
    if (updateAtMs !== Infinity) {
      await simulation.run({ untilMs: updateAtMs })
      outcomes.own = ask(deaf, { weight: 9 })
      outcomes.other = ask(processes[1]!, { weight: 8 })
    }
    await simulation.run({ untilMs: 30_000, until: () => observer.membership.configuration.epoch > 2 })
    return { cluster, ...outcomes, proposedMs, removedMs: simulation.nowMs }
  }

  test('removal wins, and is as fast: in one cut with updates of its own and of another member, only the latter takes effect', async () => {
    for (const seed of seedsToRun(10)) {
      const undisturbed = await removeDeaf(seed)
      const { cluster, own, other, removedMs } = await removeDeaf(seed, undisturbed.proposedMs - 40)
      const { configuration } = cluster.history.get(3)!
      expect(configuration.members.map(({ address }) => address)).not.toContain(addressOf(3))
      expect(configuration.members.find(({ address }) => address === addressOf(1))!.metadata.weight).toBe(8)
      // A batch window more, for the update, and a round of votes that did not start at once everywhere.
      expect(removedMs - undisturbed.removedMs).toBeLessThan(200)
      await cluster.simulation.runFor(2000)
      expect([own?.code, other?.code]).toEqual([undefined, 'held'])
      cluster.simulation.network.faults.heal()
      await cluster.converge(6)
      expect(own?.code).toBe('MEMBERSHIP_REMOVED')
      expect(recordAt(cluster, addressOf(3))).toMatchObject({ metadata: { weight: 1 }, metadataVersion: 0 })
      cluster.finish()
    }
  })

  test('a member that updates and leaves at once: its update takes effect before or never, and it knows which', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      const processes = await cluster.form(6)
      await cluster.simulation.runFor(1000 + seed)
      const leaver = processes[3]!
      const { id } = leaver.membership.self
      const outcome = ask(leaver, { weight: 9 })
      await cluster.simulation.settle(leaver.membership.leave())
      const configurations = [...cluster.history.values()].map(({ configuration }) => configuration)
      const happened = configurations.some(({ members }) => members.some(member => member.id === id && member.metadataVersion === 1))
      expect(outcome.code).toBe(happened ? 'held' : 'MEMBERSHIP_REMOVED')
      cluster.processes.delete(leaver.address)
      await cluster.converge(5)
      cluster.finish()
    }
  })

  test('a member whose update was lost and that leaves says that it came to nothing', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      const processes = await cluster.form(6)
      await cluster.simulation.runFor(1000 + seed)
      const leaver = processes[3]!
      cluster.simulation.network.faults.setEgress(leaver.address, { blocked: true })
      const outcome = ask(leaver, { weight: 9 })
      cluster.simulation.network.faults.heal()
      await cluster.simulation.settle(leaver.membership.leave())
      expect(outcome.code).toBe('MEMBERSHIP_REMOVED')
      cluster.processes.delete(leaver.address)
      await cluster.converge(5)
      const records = [...cluster.history.values()].flatMap(({ configuration: { members } }) => members)
      expect(records.every(({ metadataVersion }) => metadataVersion === 0)).toBe(true)
      cluster.finish()
    }
  })

  for (const size of [4, 20]) {
    test(`a member of ${size} that updates again and again keeps no joiner out, and no crashed member in`, async () => {
      for (const seed of seedsToRun(3)) {
        const cluster = new MembershipCluster({ seed })
        const { simulation } = cluster
        const [owner, crashed] = await cluster.form(size)
        await simulation.runFor(2000)
        let weight = 0
        const again = (): void => { owner!.membership.update({ weight: ++weight % 1000 }).then(again, () => {}) }
        again()
        await simulation.runFor(1000)
        const joiner = cluster.start(addressOf(size))
        await simulation.settle(joiner.started, 5000)
        cluster.crash(crashed!.address)
        const crashedAtMs = simulation.nowMs
        const isGone = (): boolean => owner!.membership.configuration.members.length === size
        await simulation.run({ untilMs: crashedAtMs + 10_000, until: isGone })
        expect(isGone()).toBe(true)
        expect(simulation.nowMs - crashedAtMs).toBeLessThan(4000)
        expect(weight).toBeGreaterThan(5)
        cluster.finish()
      }
    })
  }

  test('a member that is cut off asks in vain, says that it was removed, and comes back with what the cluster last agreed on', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      const processes = await cluster.form(6)
      await cluster.simulation.runFor(2000)
      const owner = processes[2]!
      await held(cluster, [ask(owner, { weight: 5, tags: { role: 'cache' } })])
      const others = processes.filter(process => process !== owner)
      cluster.simulation.network.faults.partition([owner.address], others.map(({ address }) => address))
      const outcome = ask(owner, { weight: 8 })
      await cluster.simulation.runFor(20_000)
      expect(outcome.code).toBeUndefined()
      cluster.simulation.network.faults.heal()
      await cluster.converge(6)
      expect(owner.removals).toBe(1)
      expect(outcome.code).toBe('MEMBERSHIP_REMOVED')
      expect(recordAt(cluster, owner.address)).toMatchObject({ metadata: { weight: 5, tags: { role: 'cache' } }, metadataVersion: 0 })
      await held(cluster, [ask(owner, { weight: 8 })])
      await cluster.converge(6)
      cluster.finish()
    }
  })

  test('a minority that missed updates catches up on them, and a process that joins later is handed them', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      const processes = await cluster.form(7)
      await cluster.simulation.runFor(2000)
      const deaf = addressOf(6)
      cluster.simulation.network.faults.setIngress(deaf, { blocked: true })
      await held(cluster, [ask(processes[1]!, { zone: 'east' })])
      await held(cluster, [ask(processes[1]!, { zone: 'west' })])
      expect(cluster.processes.get(deaf)!.membership.configuration.epoch).toBe(2)
      cluster.simulation.network.faults.heal()
      await cluster.converge(7)
      const { changes } = cluster.processes.get(deaf)!
      expect(changes.map(({ configuration: { epoch }, updated }) => [epoch, updated.length])).toEqual([[2, 0], [3, 1], [4, 1]])
      const late = cluster.start(addressOf(8))
      await cluster.converge(8)
      expect(late.changes[0]!.configuration.members.find(({ address }) => address === addressOf(1))!.metadata.zone).toBe('west')
      cluster.finish()
    }
  })

  test('what was agreed on survives on the disks; a process that starts again has the metadata of its options', async () => {
    for (const seed of seedsToRun(5)) {
      const cluster = new MembershipCluster({ seed })
      cluster.watchDisks()
      const start = (index: number): Process =>
        cluster.start(addressOf(index), { metadata: { zone: `zone ${index}` }, ...index === 0 ? { found: true, expect: 3 } : {} }, true)
      const processes = [0, 1, 2].map(start)
      await cluster.converge(3)
      await cluster.simulation.runFor(2000)
      await held(cluster, [ask(processes[0]!, { weight: 4 }), ask(processes[1]!, { weight: 5 })])
      await cluster.converge(3)
      const epoch = cluster.epoch
      for (const { address } of processes) cluster.crash(address)
      await cluster.simulation.runFor(1000)
      // One stays away at first: the others know it by its update.
      start(0)
      start(2)
      await cluster.simulation.run({ untilMs: cluster.simulation.nowMs + 60_000, until: () => cluster.epoch > epoch, everyMs: 5 })
      const next = cluster.history.get(epoch + 1)!.configuration
      expect(next.members.map(({ metadata: { zone, weight }, metadataVersion }) => [zone, weight, metadataVersion]).sort()).toEqual([
        ['zone 0', 1, 0], ['zone 1', 5, 1], ['zone 2', 1, 0]
      ])
      start(1)
      await cluster.converge(3)
      expect(recordAt(cluster, addressOf(1)).metadata.weight).toBe(1)
      cluster.finish()
    }
  })

  test('a founder that updates while the gate is closed does not open it: everybody still enters in one view change', async () => {
    for (const seed of seedsToRun(10)) {
      const cluster = new MembershipCluster({ seed })
      const { simulation } = cluster
      const founder = cluster.start(addressOf(0), { found: true, expect: 5 })
      cluster.start(addressOf(1))
      cluster.start(addressOf(2))
      await simulation.settle(founder.started)
      await simulation.runFor(1000)
      const first = ask(founder, { weight: 3 })
      await held(cluster, [first])
      expect(cluster.epoch).toBe(2)
      // Now and then just while the gate's last round of probes is under way, or its vote.
      cluster.start(addressOf(3))
      cluster.start(addressOf(4))
      await simulation.runFor(simulation.random.below(400))
      const second = ask(founder, { weight: 4 })
      await cluster.converge(5)
      await held(cluster, [second])
      await cluster.converge(5)
      const sizes = [...cluster.history].sort(([a], [b]) => a - b).map(([, { configuration: { members } }]) => members.length)
      expect([...new Set(sizes)]).toEqual([1, 5])
      expect(recordAt(cluster, addressOf(0)).metadata.weight).toBe(4)
      cluster.finish()
    }
  })

  test('a gate that opens while the vote for an update becomes durable waits for the configuration after that one', async () => {
    const cluster = new MembershipCluster({ seed: 1, disk: { syncMs: 300 } })
    const { simulation } = cluster
    const founder = cluster.start(addressOf(0), { found: true, expect: 3 }, true)
    cluster.start(addressOf(1))
    await simulation.settle(founder.started)
    await simulation.runFor(1000)
    const outcome = ask(founder, { weight: 3 })
    let proposed = false
    founder.membership.once('proposal', () => { proposed = true })
    await simulation.run({ untilMs: simulation.nowMs + 1000, until: () => proposed })
    // It is held, probed and answers long before the disk has the vote.
    cluster.start(addressOf(2))
    await simulation.runFor(100)
    expect(outcome.code).toBeUndefined()
    await cluster.converge(3, 5000)
    expect([...cluster.history.values()].map(({ configuration: { members } }) => members.length)).toEqual([1, 1, 3])
    cluster.finish()
  })

  test('is refused with a code: what is no metadata, who is no member, who was closed', async () => {
    const cluster = new MembershipCluster({ seed: 1 })
    const process = cluster.start(addressOf(0), { found: true })
    const { membership } = process
    const code = (expected: MembershipErrorCode): unknown => expect.objectContaining({ code: expected })
    await expect(membership.update({ weight: 2 })).rejects.toEqual(code('MEMBERSHIP_NOT_STARTED'))
    await cluster.simulation.settle(process.started)
    for (const wrong of [{ weight: 1001 }, { weight: 0.5 }, { zone: 7 }, { tags: { a: 1 } }, { tags: null }, { colour: 'red' }, null]) {
      await expect(membership.update(wrong as unknown as Partial<Metadata>)).rejects.toEqual(code('MEMBERSHIP_INVALID_OPTIONS'))
    }
    const aborted = membership.update({ weight: 3 }, { signal: AbortSignal.abort(new Error('enough')) })
    await expect(aborted).rejects.toThrow('enough')
    expect(membership.configuration.members[0]!.metadataVersion).toBe(0)
    const controller = new AbortController()
    const waiting = membership.update({ weight: 4 }, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    const refused = expect(membership.update({ weight: 5 })).rejects.toEqual(expect.objectContaining({ code: 'MEMBERSHIP_CLOSED', definite: false }))
    await membership.close()
    await refused
    await expect(membership.update({ weight: 6 })).rejects.toEqual(code('MEMBERSHIP_CLOSED'))
  })
})
