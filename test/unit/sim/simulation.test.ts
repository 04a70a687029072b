/**
 * The simulator itself: what it promises to whoever tests on it.
 *
 * Mutations caught here or in database.test.ts: messages overtaking each other, a blocked link that passes, a receiver given the
 * sender's own bytes, a crashed process whose timers fire, a clock without its rate, promises that get no turn between
 * events, a crash that tears synced batches away, in-flight writes that never survive, writes that share no sync, an
 * iterator off by one at a bound, a treap out of heap order, long messages that take no time, or that hold up other streams or channels.
 */
import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { CHANNELS, type LinkEvent } from '../../../membership/environment/environment.ts'
import { SeededRandom } from '../../../membership/environment/seeded-random.ts'
import { SortedMap } from '../../sim/sorted-map.ts'
import { Simulation, type SimulationOptions } from '../../sim/simulation.ts'

const { membership, store } = CHANNELS

/** Three hosts that chatter, write and crash; gives the digest of the whole run. */
async function chatter (options: SimulationOptions): Promise<string> {
  const simulation = new Simulation(options)
  const names = ['a:1', 'b:1', 'c:1']
  for (const name of names) {
    const { clock, transport, random, storage } = simulation.environment(name)
    const db = storage('data')
    await simulation.settle(transport.start())
    transport.receive(membership, (message, from) => {
      const { hops } = message as { hops: number }
      void db.put(Buffer.from(random.id()), Buffer.from([hops]), { sync: true } as object)
      if (hops > 0) from.reply({ hops: hops - 1 })
    })
    const tick = (): void => {
      for (const peer of names) if (peer !== name) transport.send(peer, membership, { hops: 3 })
      clock.setTimer(20, tick)
    }
    tick()
  }
  simulation.clock.setTimer(100, () => simulation.host('b:1').crash())
  simulation.clock.setTimer(200, () => { simulation.host('b:1').restart() })
  await simulation.run({ untilMs: 500 })
  return simulation.traceDigest
}

const faulty = { lossProbability: 0.1, duplicateProbability: 0.1, reorderProbability: 0.1, resetProbability: 0.01 }

describe('determinism', () => {
  test('the same seed gives the same trace, byte for byte', async () => {
    expect(await chatter({ seed: 7, network: faulty })).toBe(await chatter({ seed: 7, network: faulty }))
  })

  test('another seed gives another trace', async () => {
    expect(await chatter({ seed: 7, network: faulty })).not.toBe(await chatter({ seed: 8, network: faulty }))
  })
})

/** Two hosts, started, with what each received and saw of its links. */
async function pair (options: SimulationOptions = { seed: 1 }) {
  const simulation = new Simulation(options)
  const hosts = []
  for (const name of ['a:1', 'b:1']) {
    const environment = simulation.environment(name)
    const received: unknown[] = []
    const links: string[] = []
    await environment.transport.start()
    environment.transport.receive(membership, message => { received.push(message) })
    environment.transport.onLink((event: LinkEvent) => { links.push(`${event.kind} ${event.address}`) })
    hosts.push({ ...environment, name, received, links })
  }
  return { simulation, a: hosts[0]!, b: hosts[1]! }
}

describe('network', () => {
  test('messages arrive in the order sent, over one connection, also when both sides connect at once', async () => {
    const { simulation, a, b } = await pair()
    for (let index = 0; index < 50; index++) {
      a.transport.send('b:1', membership, index)
      b.transport.send('a:1', membership, index)
    }
    await simulation.run()
    const expected = Array.from({ length: 50 }, (_, index) => index)
    expect(a.received).toEqual(expected)
    expect(b.received).toEqual(expected)
    expect(a.links).toEqual(['opened b:1'])
    expect(b.links).toEqual(['opened a:1'])
  })

  test('the receiver shares nothing with the sender', async () => {
    const { simulation, a, b } = await pair()
    const message = { list: [1], bytes: new Uint8Array([1]) }
    a.transport.send('b:1', membership, message)
    message.list.push(2)
    message.bytes[0] = 9
    await simulation.run()
    expect(b.received).toEqual([{ list: [1], bytes: new Uint8Array([1]) }])
  })

  test.each([undefined, NaN, new Map(), () => {}, 1n, { deep: [undefined] }])('%s is not a message', async message => {
    const { a } = await pair()
    expect(() => a.transport.send('b:1', membership, message)).toThrow(TypeError)
  })

  test('a one-way partition stops one direction only', async () => {
    const { simulation, a, b } = await pair()
    a.transport.connect('b:1')
    await simulation.run()
    simulation.network.faults.block(['a:1'], ['b:1'])
    a.transport.send('b:1', membership, 'lost')
    b.transport.send('a:1', membership, 'passes')
    await simulation.run()
    expect(b.received).toEqual([])
    expect(a.received).toEqual(['passes'])
    simulation.network.faults.heal()
    a.transport.send('b:1', membership, 'healed')
    await simulation.run()
    expect(b.received).toEqual(['healed'])
  })

  test('nobody answers across a partition, and nobody listens on a host without a process', async () => {
    const { simulation, a } = await pair()
    simulation.network.faults.block(['a:1'], ['b:1'])
    a.transport.connect('b:1')
    a.transport.connect('nobody:1')
    await simulation.run()
    expect(a.links).toEqual(['refused nobody:1', 'unreachable b:1'])
    expect(simulation.nowMs).toBeGreaterThanOrEqual(3000)
  })

  test('faults lose, repeat and reorder messages', async () => {
    const { simulation, a, b } = await pair({ seed: 3, network: { lossProbability: 0.2, duplicateProbability: 0.2, reorderProbability: 0.2 } })
    for (let index = 0; index < 500; index++) a.transport.send('b:1', membership, index)
    await simulation.run()
    const received = b.received as number[]
    expect(new Set(received).size).toBeGreaterThan(350)
    expect(new Set(received).size).toBeLessThan(450)
    expect(received.length).toBeGreaterThan(new Set(received).size + 50)
    expect(received).not.toEqual([...received].sort((x, y) => x - y))
  })

  test('a long message holds up what is in its stream, and nothing else', async () => {
    const { simulation, a, b } = await pair({ seed: 1, network: { jitterMs: 0 } })
    const received: string[] = []
    b.transport.receive(membership, message => { received.push((message as string).trim()) })
    b.transport.receive(store, message => { received.push(`store: ${String(message)}`) })
    a.transport.connect('b:1')
    await simulation.run()
    const isBusy = (stream: number): boolean => a.transport.isBusy('b:1', membership, stream)
    a.transport.send('b:1', membership, `long${' '.repeat(2 ** 20)}`, 1)
    a.transport.send('b:1', membership, 'behind', 1)
    expect([isBusy(1), isBusy(0)]).toEqual([true, false])
    a.transport.send('b:1', membership, 'in another stream')
    a.transport.send('b:1', store, 'on another channel', 1)
    await simulation.runFor(5)
    expect(received).toEqual(['in another stream', 'store: on another channel'])
    expect([isBusy(1), isBusy(0)]).toEqual([true, false])
    await simulation.run()
    expect(received.slice(2)).toEqual(['long', 'behind'])
    expect([isBusy(1), isBusy(0)]).toEqual([false, false])
  })

  test('a client is answered, and known by its connection alone', async () => {
    const { simulation, b } = await pair()
    const client = simulation.client('client')
    const answers: unknown[] = []
    client.transport.receive(store, message => { answers.push(message) })
    b.transport.receive(store, (message, from) => {
      expect(from.address).toBeUndefined()
      from.reply({ answer: message })
    })
    await client.transport.start()
    client.transport.send('b:1', store, 'question')
    await simulation.run()
    expect(answers).toEqual([{ answer: 'question' }])
  })

  test('what a narrow link has not taken yet is queued', async () => {
    const { simulation, a, b } = await pair({ seed: 1, network: { bandwidthBytesPerMs: 100 } })
    a.transport.connect('b:1')
    await simulation.run()
    const beganMs = simulation.nowMs
    for (let index = 0; index < 10; index++) a.transport.send('b:1', membership, new Uint8Array(1000))
    expect(a.transport.queuedBytes('b:1')).toBeGreaterThan(9000)
    await simulation.run()
    expect(b.received).toHaveLength(10)
    expect(simulation.nowMs - beganMs).toBeGreaterThanOrEqual(100)
    expect(a.transport.queuedBytes('b:1')).toBe(0)
  })
})

describe('hosts', () => {
  test('a crash closes the connections of the peers, ends the timers, and refuses until the restart', async () => {
    const { simulation, a, b } = await pair()
    a.transport.connect('b:1')
    await simulation.run()
    let fired = false
    b.clock.setTimer(10, () => { fired = true })
    simulation.host('b:1').crash()
    await simulation.run()
    a.transport.connect('b:1')
    await simulation.run()
    expect(fired).toBe(false)
    expect(a.links).toEqual(['opened b:1', 'closed b:1', 'refused b:1'])
    await simulation.host('b:1').restart().transport.start()
    a.transport.connect('b:1')
    await simulation.run()
    expect(a.links.at(-1)).toBe('opened b:1')
  })

  test('a machine that loses power closes nothing; once it is back it resets what it does not know', async () => {
    const { simulation, a } = await pair()
    a.transport.connect('b:1')
    await simulation.run()
    simulation.host('b:1').crash({ silent: true })
    a.transport.send('b:1', membership, 'lost')
    await simulation.run()
    expect(a.links).toEqual(['opened b:1'])
    await simulation.host('b:1').restart().transport.start()
    a.transport.send('b:1', membership, 'lost too')
    await simulation.run()
    expect(a.links).toEqual(['opened b:1', 'closed b:1'])
  })

  test('a pause holds timers and messages, in order, and loses none', async () => {
    const { simulation, a, b } = await pair()
    a.transport.connect('b:1')
    await simulation.run()
    simulation.host('b:1').pause()
    b.clock.setTimer(5, () => { b.received.push('timer') })
    a.transport.send('b:1', membership, 1)
    a.transport.send('b:1', membership, 2)
    await simulation.runFor(1000)
    expect(b.received).toEqual([])
    simulation.host('b:1').resume()
    await simulation.run()
    expect(b.received).toEqual([1, 2, 'timer'])
  })

  test('a fast clock fires early in true time, and no two clocks have one origin', async () => {
    const simulation = new Simulation({ seed: 1 })
    const fast = simulation.environment('fast:1', { clockRate: 2 })
    const plain = simulation.environment('plain:1')
    expect(fast.clock.now()).not.toBe(plain.clock.now())
    const began = fast.clock.now()
    let firedMs = 0
    fast.clock.setTimer(100, () => { firedMs = simulation.nowMs })
    await simulation.run()
    expect(firedMs).toBe(50)
    expect(fast.clock.now() - began).toBe(100)
  })

  test('a cancelled timer never fires', async () => {
    const { simulation, a } = await pair()
    let fired = false
    const cancel = a.clock.setTimer(10, () => { fired = true })
    cancel()
    cancel()
    await simulation.run()
    expect(fired).toBe(false)
  })
})

describe('asynchronous code', () => {
  test('promises that an event made ready run before the next event, however long the chain', async () => {
    const simulation = new Simulation({ seed: 1 })
    const { clock } = simulation.environment('a:1')
    const order: string[] = []
    const shell = async (): Promise<void> => {
      await new Promise<void>(resolve => { clock.setTimer(1, resolve) })
      for (let step = 0; step < 20; step++) await Promise.resolve()
      order.push(`shell at ${simulation.nowMs}`)
    }
    const running = shell()
    clock.setTimer(1, () => { order.push('timer') })
    await simulation.settle(running)
    await simulation.run()
    expect(order).toEqual(['shell at 1', 'timer'])
  })
})

test('the sorted map is a map that is sorted, and old versions of it do not change', () => {
  const change = fc.record({ key: fc.uint8Array({ maxLength: 2, max: 4 }), value: fc.option(fc.uint8Array({ maxLength: 2 })) })
  fc.assert(fc.property(fc.array(change, { maxLength: 100 }), fc.uint8Array({ maxLength: 2, max: 4 }), fc.boolean(), (changes, start, descending) => {
    let map = SortedMap.empty
    const twin = new Map<string, string>()
    for (const { key, value } of changes) {
      const before = [...map.entries(undefined, false)]
      const old = map
      map = value === null ? map.delete(key) : map.put(key, value)
      if (value === null) twin.delete(Buffer.from(key).toString('hex'))
      else twin.set(Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex'))
      expect([...old.entries(undefined, false)]).toEqual(before)
      map.invariants()
    }
    const from = Buffer.from(start).toString('hex')
    const expected = [...twin].filter(([key]) => descending ? key <= from : key >= from).sort(([a], [b]) => (a < b ? -1 : 1) * (descending ? -1 : 1))
    const found = [...map.entries(start, descending)].map(entry => entry.map(bytes => Buffer.from(bytes).toString('hex')))
    expect(found).toEqual(expected)
  }))
})

test('the sorted map keeps its shape through deletions from its middle', () => {
  const random = new SeededRandom(1)
  const keys = Array.from({ length: 300 }, (_, index) => Buffer.from(`key ${index}`))
  let map = SortedMap.empty
  for (const key of random.shuffle(keys)) map = map.put(key, key)
  for (const [deleted, key] of random.shuffle(keys).entries()) {
    map = map.delete(key)
    map.invariants()
    expect(map.size).toBe(keys.length - deleted - 1)
  }
})

describe('failures', () => {
  test('an invariant that does not hold ends the run, and the report names the seed', async () => {
    const { simulation, a, b } = await pair({ seed: 42 })
    simulation.addInvariant(() => { if (b.received.length > 2) throw new Error('received three') })
    for (let index = 0; index < 9; index++) a.transport.send('b:1', membership, index)
    await expect(simulation.run()).rejects.toThrow(/received three[^]*COTERIE_SEED=42/)
    expect(b.received).toHaveLength(3)
  })

  test('a receiver that throws fails the run', async () => {
    const { simulation, a, b } = await pair()
    b.transport.receive(membership, () => { throw new Error('bad receiver') })
    a.transport.send('b:1', membership, 1)
    await expect(simulation.run()).rejects.toThrow('bad receiver')
  })

  test('a promise that nothing will settle is an error, not a hang', async () => {
    const simulation = new Simulation({ seed: 1 })
    await expect(simulation.settle(new Promise(() => {}))).rejects.toThrow('Nothing is left to happen')
  })
})
