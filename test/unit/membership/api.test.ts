/**
 * The public face of a membership, as a program uses it: on the memory transport, in real time, with the nervous preset for tests.
 *
 * Mutations that were tried and are caught here: a signal that is held on to by changes(), or by start(); changes() that do not end with
 * close(), or at once on what has ended; a start() that is left pending by close(), or that leave() ends with no error; a disposal that
 * closes nothing; a leave() that ignores its signal; a listener that throws and takes the next one's turn; a configuration that follows its event.
 */
import { getEventListeners } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import {
  createMemoryHub, createSystemClock, createSystemRandom, formatExplanation, Membership, MembershipError, silentLog,
  type MemoryTransport, type MembershipOptions, type ViewChange
} from '../../../membership/index.ts'

const [clock, random, log] = [createSystemClock(), createSystemRandom(), silentLog]
const FOUNDER = 'a:7000'

let hub = createMemoryHub()
let memberships: Membership[] = []
let transports: MemoryTransport[] = []

afterEach(async () => {
  await Promise.all(memberships.map(membership => membership.close()))
  await Promise.all(transports.map(transport => transport.close()))
  hub = createMemoryHub()
  memberships = []
  transports = []
})

async function create (address: string, options: Partial<MembershipOptions> = {}): Promise<Membership> {
  const transport = hub.transport(address)
  transports.push(transport)
  await transport.start()
  const membership = new Membership({ environment: { clock, random, log, transport } }, {
    clusterName: 'api', preset: 'test', ...address === FOUNDER ? { found: true } : { seeds: [FOUNDER] }, ...options
  })
  memberships.push(membership)
  return membership
}

/** A cluster of processes at a:7000, b:7000 and so on, formed in one view change. */
async function cluster (size: number): Promise<Membership[]> {
  const addresses = Array.from({ length: size }, (_, index) => `${String.fromCharCode(97 + index)}:7000`)
  const members = await Promise.all(addresses.map(address => create(address, address === FOUNDER ? { expect: size } : {})))
  const formed = Promise.all(members.map(member => reached(member, size)))
  await Promise.all(members.map(member => member.start()))
  await formed
  return members
}

/** The view change to a configuration of that size. */
async function reached (membership: Membership, size: number): Promise<ViewChange<undefined>> {
  return await new Promise(resolve => {
    const listener = (change: ViewChange<undefined>): void => {
      if (change.configuration.members.length !== size) return
      membership.off('view-change', listener)
      resolve(change)
    }
    membership.on('view-change', listener)
  })
}

const addressesOf = ({ configuration }: Membership): string[] => configuration.members.map(({ address }) => address).sort()

describe('start', () => {
  test('resolves once this process is a member; status tells the way there', async () => {
    const member = await create(FOUNDER)
    const statuses: string[] = []
    member.on('status', status => { statuses.push(status) })
    expect(member.status).toBe('idle')
    await member.start()
    expect(member.configuration.members).toEqual([member.self])
    expect(member.configuration.epoch).toBe(1)
    await member.close()
    expect(statuses).toEqual(['joining', 'member', 'closed'])
  })

  test('before it there is no configuration, no self and no state to speak of, and nobody to leave', async () => {
    const member = await create(FOUNDER)
    const code = { code: 'MEMBERSHIP_NOT_STARTED' }
    expect(() => member.configuration).toThrow(expect.objectContaining(code))
    expect(() => member.self).toThrow(expect.objectContaining(code))
    expect(() => member.state).toThrow(expect.objectContaining(code))
    expect(member.explain(1)).toBeUndefined()
    await expect(member.leave()).rejects.toMatchObject(code)
  })

  test('a second time is refused', async () => {
    const member = await create(FOUNDER)
    await member.start()
    await expect(member.start()).rejects.toMatchObject({ code: 'MEMBERSHIP_CLOSED' })
    expect(member.status).toBe('member')
  })

  test('with a signal that was aborted before nothing begins; it may be started later', async () => {
    const member = await create(FOUNDER)
    const reason = new Error('no')
    await expect(member.start(AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(member.status).toBe('idle')
    await member.start()
    expect(member.status).toBe('member')
  })

  test('rejects with the reason of the signal while it joins, and lets go of the signal', async () => {
    const joiner = await create('b:7000')
    const controller = new AbortController()
    const started = joiner.start(controller.signal)
    const reason = new Error('no time')
    controller.abort(reason)
    await expect(started).rejects.toBe(reason)
    expect(joiner.status).toBe('closed')
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })

  test('a signal that is aborted when the process is a member already changes nothing', async () => {
    const member = await create(FOUNDER)
    const controller = new AbortController()
    await member.start(controller.signal)
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    controller.abort()
    expect(member.status).toBe('member')
  })

  test('rejects when the membership is closed meanwhile', async () => {
    const joiner = await create('b:7000')
    const started = joiner.start()
    await joiner.close()
    await expect(started).rejects.toMatchObject({ code: 'MEMBERSHIP_CLOSED' })
  })

  test('rejects with a code and a reason when nobody answers in time', async () => {
    const joiner = await create('b:7000', { joinTimeoutMs: 100 })
    const error = await joiner.start().catch((error: unknown) => error)
    expect(error).toBeInstanceOf(MembershipError)
    expect(error).toMatchObject({ code: 'MEMBERSHIP_JOIN_TIMEOUT', definite: false })
  })
})

describe('view changes', () => {
  test('every process emits the same configurations, the one that it joined with included', async () => {
    const founder = await create(FOUNDER)
    const seen: string[][] = [[], []]
    founder.on('view-change', ({ configuration }) => { seen[0]!.push(configuration.id) })
    await founder.start()
    const joiner = await create('b:7000')
    joiner.on('view-change', ({ configuration }) => { seen[1]!.push(configuration.id) })
    const [change] = await Promise.all([reached(founder, 2), joiner.start()])
    expect(change).toMatchObject({ joined: [joiner.self], removed: [], gap: false, cut: { joins: [joiner.self], removals: [] } })
    expect(change.previous!.epoch).toBe(1)
    expect(seen).toEqual([[change.previous!.id, change.configuration.id], [change.configuration.id]])
    expect(joiner.configuration).toEqual(founder.configuration)
  })

  test('are in effect when the event tells of them', async () => {
    const founder = await create(FOUNDER)
    let epoch = 0
    founder.on('view-change', change => { epoch = change === undefined ? 0 : founder.configuration.epoch })
    await founder.start()
    expect(epoch).toBe(1)
  })

  test('a listener that throws keeps nobody else from anything', async () => {
    const founder = await create(FOUNDER)
    const seen: number[] = []
    founder.on('view-change', () => { throw new Error('a bug of the user') })
    founder.on('view-change', ({ configuration }) => { seen.push(configuration.epoch) })
    await founder.start()
    const joiner = await create('b:7000')
    const both = reached(founder, 2)
    await joiner.start()
    await both
    expect(seen).toEqual([1, 2])
    expect(founder.status).toBe('member')
  })

  test('once() hears one event, and off() takes a listener away', async () => {
    const founder = await create(FOUNDER)
    const heard: string[] = []
    const never = (): void => { heard.push('never') }
    founder.once('status', status => { heard.push(status) })
    founder.on('status', never)
    founder.off('status', never)
    await founder.start()
    expect(heard).toEqual(['joining'])
  })

  test('a member that lost the majority says that it is isolated', async () => {
    const [first, second] = await cluster(2)
    const isolated = new Promise(resolve => { first!.once('isolated', resolve) })
    await second!.close()
    transports[1]!.kill()
    expect(await isolated).toBe(true)
    expect(first!.status).toBe('isolated')
    expect(first!.configuration.members).toHaveLength(2)
  })

  test('the proposal that led there can be listened to', async () => {
    const founder = await create(FOUNDER)
    await founder.start()
    const joiner = await create('b:7000')
    const proposal = new Promise(resolve => { founder.once('proposal', resolve) })
    await joiner.start()
    expect(await proposal).toEqual({ joins: [joiner.self], removals: [], updates: [] })
  })
})

describe('changes()', () => {
  test('gives the same view changes to for await, and ends with close()', async () => {
    const founder = await create(FOUNDER)
    const changes = founder.changes()
    await founder.start()
    const joiner = await create('b:7000')
    const both = reached(founder, 2)
    await joiner.start()
    await both
    await founder.close()
    const sizes: number[] = []
    // What was queued before the end is still delivered.
    for await (const change of changes) sizes.push(change.configuration.members.length)
    expect(sizes).toEqual([1, 2])
  })

  test('ends with its signal, without an error, and lets go of it', async () => {
    const founder = await create(FOUNDER)
    const controller = new AbortController()
    const seen: number[] = []
    const loop = (async () => {
      for await (const change of founder.changes({ signal: controller.signal })) seen.push(change.configuration.epoch)
    })()
    await founder.start()
    controller.abort()
    await loop
    expect(seen).toEqual([1])
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    expect(founder.status).toBe('member')
  })

  test('ends at once with a signal that was aborted before, and on a membership that was closed', async () => {
    const founder = await create(FOUNDER)
    expect(await founder.changes({ signal: AbortSignal.abort() }).next()).toEqual({ done: true, value: undefined })
    await founder.close()
    expect(await founder.changes().next()).toEqual({ done: true, value: undefined })
  })

  test('a loop that is left lets go of its signal, and disturbs no other loop', async () => {
    const founder = await create(FOUNDER)
    const controller = new AbortController()
    const other = founder.changes()
    const left = (async () => {
      for await (const change of founder.changes({ signal: controller.signal })) return change.configuration.epoch
      return undefined
    })()
    await founder.start()
    expect(await left).toBe(1)
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    expect((await other.next()).value).toMatchObject({ configuration: { epoch: 1 } })
  })
})

describe('explain(epoch)', () => {
  test('says who reported whom, who voted, and by which path; formatExplanation prints it', async () => {
    const [founder] = await cluster(3)
    const explanation = founder!.explain(2)!
    expect(explanation).toMatchObject({ epoch: 2, learned: 'decided', fast: true, voters: [founder!.self.id] })
    expect(explanation.alerts).toHaveLength(2)
    expect(explanation.firstAlertAtMs).toBeLessThanOrEqual(explanation.proposedAtMs!)
    expect(explanation.proposedAtMs).toBeLessThanOrEqual(explanation.decidedAtMs)
    expect(formatExplanation(explanation)).toContain('2')
    expect(founder!.explain(3)).toBeUndefined()
  })
})

describe('leave()', () => {
  test('resolves once the process is no member and a majority of those that stay knows it', async () => {
    const [first, second, third] = await cluster(3)
    const told = [first, third].map(async member => await reached(member!, 2))
    await second!.leave()
    expect(second!.status).toBe('closed')
    const change = await Promise.race(told)
    expect(change.removed).toEqual([second!.self])
    await Promise.all(told)
    expect(addressesOf(first!)).toEqual(['a:7000', 'c:7000'])
    await expect(second!.leave()).resolves.toBeUndefined()
  })

  test('tells the leaver neither that it was removed nor anything after', async () => {
    const [, second] = await cluster(2)
    const events: string[] = []
    second!.on('removed', () => { events.push('removed') })
    second!.on('status', status => { events.push(status) })
    await second!.leave()
    expect(events).toEqual(['leaving', 'closed'])
  })

  test('the last member just stops', async () => {
    const [only] = await cluster(1)
    await only!.leave()
    expect(only!.status).toBe('closed')
  })

  test('of a process that still joins ends its start() with a code', async () => {
    const joiner = await create('b:7000')
    const started = joiner.start()
    const refused = expect(started).rejects.toMatchObject({ name: 'MembershipError', code: 'MEMBERSHIP_CLOSED' })
    await joiner.leave()
    await refused
    expect(joiner.status).toBe('closed')
  })

  test('rejects at its deadline where nobody can agree to it, and with the reason of its signal', async () => {
    const [first, second] = await cluster(2)
    transports[1]!.kill()
    await second!.close()
    await expect(first!.leave({ deadlineMs: 50 })).rejects.toMatchObject({ code: 'MEMBERSHIP_LEAVE_TIMEOUT', definite: false })
    const controller = new AbortController()
    const left = first!.leave({ signal: controller.signal })
    await expect(first!.leave()).rejects.toMatchObject({ code: 'MEMBERSHIP_CLOSED' })
    const reason = new Error('no time')
    controller.abort(reason)
    await expect(left).rejects.toBe(reason)
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })
})

describe('close()', () => {
  test('stops at once and tells nobody; the others notice', async () => {
    const [first, second, third] = await cluster(3)
    const noticed = Promise.all([first, third].map(async member => await reached(member!, 2)))
    await second!.close()
    transports[1]!.kill()
    expect(second!.status).toBe('closed')
    await noticed
    expect(addressesOf(third!)).toEqual(['a:7000', 'c:7000'])
  })

  test('again does nothing, nor does it before start()', async () => {
    const member = await create(FOUNDER)
    await member.close()
    await member.close()
    await expect(member.start()).rejects.toMatchObject({ code: 'MEMBERSHIP_CLOSED' })
  })

  test('leaves the last configuration readable', async () => {
    const [first] = await cluster(2)
    await first!.close()
    expect(addressesOf(first!)).toEqual(['a:7000', 'b:7000'])
  })

  test('comes by itself at the end of a block, with await using', async () => {
    let outer: Membership
    {
      await using member = await create(FOUNDER)
      await member.start()
      outer = member
      expect(outer.status).toBe('member')
    }
    expect(outer.status).toBe('closed')
  })
})
