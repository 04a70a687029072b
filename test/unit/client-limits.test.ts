/**
 * The client against nodes that the test plays: deadlines and what it says about failed writes, many keys at once, limits, hostile
 * answers, and the rest of abstract-level's interface.
 *
 * Mutations that these tests caught: attempts without an answer taken as without effect; answers that are not definite taken so;
 * attempts without a base taken as having an effect; waiting operations not admitted when one ends; an answer to a part of the keys taken for
 * all of them, or taken without any of them; a deadline for each request of one getMany; a watch of what is no key; signals that are none;
 * options that are misspelt; a condition in the options of write() passed over;
 * seeds, and nodes to ask for their status, of any text.
 */
import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { silentLog } from '../../membership/environment/system.ts'
import { WIRE_LIMITS } from '../../store/client-protocol.ts'
import { Client, connect } from '../../store/client/client.ts'
import { StoreError } from '../../store/errors.ts'
import { bytes, FakeCluster, Fixture, ManualClock, NotingTransport, read, values, watch, withBase, write, written, type Sent } from './client-fixture.ts'

describe('deadlines', () => {
  test('a write that was sent and not answered is not definite', async () => {
    const fixture = await withBase()
    const put = watch(fixture.client.put('k', 'v', { deadlineMs: 500 }))
    await fixture.one('write')
    await fixture.clock.advance(499)
    expect(put.state).toBe('pending')
    await fixture.clock.advance(1)
    expect(put).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED', definite: false } })
  })

  test('a write that only ever asked for its base is definite', async () => {
    const fixture = await Fixture.open()
    const put = watch(fixture.client.put('k', 'v', { deadlineMs: 500 }))
    await fixture.one('write')
    await fixture.clock.advance(500)
    expect(put).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED', definite: true } })
  })

  test('a write that every node refused, or that never left, is definite', async () => {
    const fixture = await withBase('k', { attemptTimeoutMs: 100_000 })
    const put = watch(fixture.client.put('k', 'v', { deadlineMs: 500 }))
    const first = await fixture.one('write')
    fixture.refuse(first, 'NOT_LEADER')
    const second = await fixture.one('write')
    fixture.transport.link('refused', second.to)
    const third = (await fixture.take()).find(({ message }) => message.kind === 'write')!
    fixture.transport.link('unreachable', third.to)
    // Often enough that no attempt is under way at the deadline.
    for (let step = 0; step < 500; step++) {
      await fixture.clock.advance(1)
      for (const { to } of await fixture.take()) fixture.transport.link('refused', to)
    }
    expect(put).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED', definite: true } })
  })

  test('an attempt given up while it still waited for a connection that was then refused never left', async () => {
    const fixture = await withBase('k', { attemptTimeoutMs: 100 })
    const put = watch(fixture.client.put('k', 'v', { deadlineMs: 200 }))
    const first = await fixture.one('write')
    await fixture.clock.advance(100)
    const second = (await fixture.take()).find(({ message }) => message.kind === 'write')!
    fixture.refuse(second, 'NOT_READY')
    fixture.transport.link('unreachable', first.to)
    for (let pause = 0; pause < 20; pause++) {
      await fixture.clock.advance(5)
      for (const sent of await fixture.take()) fixture.refuse(sent, 'NOT_READY')
    }
    expect(put).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED', definite: true } })
  })

  test('a long value is given more time than a short one before the next node is asked', async () => {
    const fixture = await withBase('k', { attemptTimeoutMs: 100 })
    const put = watch(fixture.client.put('k', 'v'.repeat(2 ** 20)))
    await fixture.one('write')
    await fixture.clock.advance(350)
    expect(await fixture.take()).toHaveLength(0)
    await fixture.clock.advance(10)
    expect((await fixture.take()).map(({ message }) => message.kind)).toContain('write')
    expect(put.state).toBe('pending')
  })

  test('one attempt whose fate is unknown makes the failure indefinite, until its refusal comes after all', async () => {
    for (const refusedLate of [false, true]) {
      const fixture = await withBase('k', { attemptTimeoutMs: 100 })
      const put = watch(fixture.client.put('k', 'v', { deadlineMs: 200 }))
      const first = await fixture.one('write')
      await fixture.clock.advance(100)
      if (refusedLate) fixture.refuse(first, 'NOT_LEADER')
      for (let pause = 0; pause < 20; pause++) {
        for (const sent of await fixture.take()) fixture.refuse(sent, 'NOT_LEADER')
        await fixture.clock.advance(5)
      }
      expect(put).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED', definite: refusedLate } })
    }
  })

  test('an answer that is not definite keeps the failure from being definite', async () => {
    const fixture = await withBase()
    const put = watch(fixture.client.put('k', 'v', { deadlineMs: 100 }))
    fixture.refuse(await fixture.one('write'), 'STORE_FAILED', { definite: false })
    for (let pause = 0; pause < 20; pause++) {
      for (const sent of await fixture.take()) fixture.refuse(sent, 'NOT_LEADER')
      await fixture.clock.advance(5)
    }
    expect(put).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED', definite: false } })
  })

  test('PARTITION_UNAVAILABLE when that was the last answer, with the stores it waits for', async () => {
    const fixture = await Fixture.open()
    const got = watch(fixture.client.get('k', { deadlineMs: 400 }))
    for (let pause = 0; pause < 40; pause++) {
      const sent = await fixture.take()
      sent.forEach((one, index) => fixture.refuse(one, pause === 0 || index === 0 ? 'PARTITION_UNAVAILABLE' : 'NOT_LEADER', { waitingFor: ['store-x'] }))
      await fixture.clock.advance(10)
    }
    expect(got).toMatchObject({ state: 'failed', error: { code: 'PARTITION_UNAVAILABLE', definite: true, waitingFor: ['store-x'] } })
  })

  test('PARTITION_UNAVAILABLE when no store of the partition is in the cluster', async () => {
    const cluster = new FakeCluster(['a', 'b', 'c'])
    const fixture = await Fixture.open(cluster)
    cluster.change([], ['a', 'b'])
    const refreshed = fixture.client.refresh()
    fixture.answer(await fixture.one('view'), { kind: 'view', view: cluster.view({ addresses: { elsewhere: 'e:1' } }) })
    await refreshed
    const got = watch(fixture.client.get('k', { deadlineMs: 100 }))
    await fixture.clock.advance(100)
    expect(got).toMatchObject({ state: 'failed', error: { code: 'PARTITION_UNAVAILABLE', waitingFor: expect.arrayContaining(['store-a', 'store-b', 'store-c']) } })
  })

  test('a signal ends an operation; whether a write was sent decides whether that is definite', async () => {
    const fixture = await withBase()
    const controller = new AbortController()
    const put = watch(fixture.client.put('k', 'v', { signal: controller.signal }))
    await fixture.one('write')
    controller.abort(new Error('enough'))
    await fixture.turn()
    expect(put).toMatchObject({ state: 'failed', error: { code: 'STORE_ABORTED', definite: false, cause: { message: 'enough' } } })
    const late = watch(fixture.client.put('k', 'v', { signal: controller.signal }))
    await fixture.turn()
    expect(late).toMatchObject({ state: 'failed', error: { code: 'STORE_ABORTED', definite: true } })
    expect(await fixture.take()).toEqual([])
  })
})

describe('many keys', () => {
  test('getMany asks once per partition and keeps the order', async () => {
    const fixture = await Fixture.open()
    const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)
    const got = fixture.client.getMany(keys)
    const sent = await fixture.take()
    const partitions = new Set(keys.map(key => fixture.cluster.partitionOf(key)))
    expect(sent.map(({ message }) => (message as { partition: number }).partition).sort()).toEqual([...partitions].sort())
    for (const one of sent.reverse()) {
      const asked = read(one).keys.map(key => Buffer.from(key).toString())
      fixture.answer(one, values(1, ...asked.map(key => key === 'k7' ? null : `v-${key}`)))
    }
    expect(await got).toEqual(keys.map(key => key === 'k7' ? undefined : `v-${key}`))
  })

  test('getMany asks again for what an answer has no room for, within its one deadline', async () => {
    const fixture = await Fixture.open()
    const keys = ['{t}a', '{t}b', '{t}c', '{t}d']
    const got = watch(fixture.client.getEntries(keys, { deadlineMs: 900 }))
    const first = await fixture.one('read')
    fixture.answer(first, values(1, 'A'))
    const second = await fixture.one('read')
    expect(read(second).keys.map(key => Buffer.from(key).toString())).toEqual(keys.slice(1))
    fixture.answer(second, values(2, null, 'C'))
    const third = await fixture.one('read')
    expect(read(third).keys.map(key => Buffer.from(key).toString())).toEqual(keys.slice(3))
    fixture.answer(third, values(3, 'D'))
    await fixture.take()
    expect(got).toMatchObject({ state: 'done', value: [{ value: 'A', version: 1 }, undefined, { value: 'C', version: 2 }, { value: 'D', version: 3 }] })
    const late = watch(fixture.client.getMany(keys, { deadlineMs: 900 }))
    const one = await fixture.one('read')
    await fixture.clock.advance(500)
    fixture.answer(one, values(1, 'A'))
    await fixture.one('read')
    await fixture.clock.advance(399)
    expect(late.state).toBe('pending')
    await fixture.clock.advance(1)
    expect(late).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED' } })
  })

  test('keys with one tag are one write, in the order given', async () => {
    const fixture = await withBase('{t}')
    const done = fixture.client.batch([{ type: 'put', key: '{t}a', value: '1' }, { type: 'del', key: '{t}a' }, { type: 'put', key: '{t}b', value: '2' }])
    const sent = await fixture.one('write')
    expect(write(sent).operations.map(({ kind, key }) => `${kind} ${Buffer.from(key).toString()}`)).toEqual(['put {t}a', 'del {t}a', 'put {t}b'])
    fixture.answer(sent, written(11))
    await done
  })

  test('a batch that fails in one partition and succeeds in another is not definite', async () => {
    for (const others of ['written', 'refused']) {
      const fixture = await Fixture.open()
      const entries = Array.from({ length: 20 }, (_, index) => ({ type: 'put' as const, key: `k${index}`, value: 'v' }))
      const done = watch(fixture.client.batch(entries, { deadlineMs: 50 }))
      const sent = await fixture.take()
      expect(sent.length).toBeGreaterThan(2)
      sent.forEach((one, index) => {
        if (index > 0 && others === 'written') fixture.answer(one, written(1))
        else fixture.refuse(one, 'STORE_NOT_SUPPORTED')
      })
      await fixture.turn()
      expect(done).toMatchObject({ state: 'failed', error: { code: 'STORE_NOT_SUPPORTED', definite: others === 'refused' } })
    }
  })

  test('chained batches and sublevels work, has() asks for the value', async () => {
    const fixture = await withBase('{t}')
    const chained = fixture.client.batch().put('{t}a', '1').del('{t}b').write()
    const sent = await fixture.one('write')
    expect(write(sent).operations).toHaveLength(2)
    fixture.answer(sent, written(11))
    await chained
    const sublevel = fixture.client.sublevel<string, { n: number }>('s', { valueEncoding: 'json' })
    const got = sublevel.get('x')
    const asked = await fixture.one('read')
    expect(Buffer.from(read(asked).keys[0]!).toString()).toBe('!s!x')
    fixture.answer(asked, values(1, '{"n":1}'))
    expect(await got).toEqual({ n: 1 })
    const has = fixture.client.has('y')
    fixture.answer(await fixture.one('read'), values(1, null))
    expect(await has).toBe(false)
  })
})

describe('limits', () => {
  test('keys and values that are too large are refused before anything is sent', async () => {
    const fixture = await Fixture.open()
    const { client } = fixture
    await expect(client.put('x'.repeat(WIRE_LIMITS.keyBytesMax + 1), 'v')).rejects.toMatchObject({ code: 'STORE_INVALID_KEY', definite: true })
    await expect(client.get('x'.repeat(WIRE_LIMITS.keyBytesMax + 1))).rejects.toMatchObject({ code: 'STORE_INVALID_KEY' })
    await expect(client.getMany(['fine', 'x'.repeat(WIRE_LIMITS.keyBytesMax + 1)])).rejects.toMatchObject({ code: 'STORE_INVALID_KEY' })
    await expect(client.put('k', 'x'.repeat(WIRE_LIMITS.valueBytesMax + 1))).rejects.toMatchObject({ code: 'STORE_INVALID_VALUE' })
    const half = 'x'.repeat(WIRE_LIMITS.valueBytesMax)
    await expect(client.batch(['1', '2', '3'].map(name => ({ type: 'put', key: `{t}${name}`, value: half })))).rejects.toMatchObject({ code: 'STORE_INVALID_VALUE' })
    await expect(client.put(null as unknown as string, 'v')).rejects.toMatchObject({ code: 'LEVEL_INVALID_KEY' })
    await expect(client.get('k', { deadlineMs: 0 })).rejects.toMatchObject({ code: 'STORE_INVALID_OPTIONS' })
    expect(await fixture.take()).toEqual([])
  })

  test('beyond operationsInFlightMax operations wait their turn, in order, and count their deadline', async () => {
    const fixture = await Fixture.open(undefined, { operationsInFlightMax: 2, operationsWaitingMax: 2 })
    const operations = ['a', 'b', 'c', 'd', 'e'].map(key => watch(fixture.client.get(key, { deadlineMs: 500 })))
    const sent = await fixture.take()
    expect(sent).toHaveLength(2)
    expect(operations[4]).toMatchObject({ state: 'failed', error: { code: 'STORE_OVERLOADED', definite: true } })
    fixture.answer(sent[0]!, values(1, null))
    const third = await fixture.one('read')
    expect(read(third).keys).toEqual([bytes('c')])
    await fixture.clock.advance(500)
    expect(operations.map(({ state }) => state)).toEqual(['done', 'failed', 'failed', 'failed', 'failed'])
    expect(operations[3]).toMatchObject({ error: { message: expect.stringContaining('waiting') } })
  })

  test('beyond bytesInFlightMax operations wait, but one alone never does', async () => {
    const fixture = await Fixture.open(undefined, { bytesInFlightMax: 1000 })
    const operations = [1, 2, 3].map(number => watch(fixture.client.put(`k${number}`, 'x'.repeat(number === 1 ? 5000 : 300))))
    const first = await fixture.one('write')
    fixture.refuse(first, 'BASE_REQUIRED', { seq: 1 })
    fixture.answer(await fixture.one('write'), written(2))
    expect(await fixture.take()).toHaveLength(2)
    expect(operations.map(({ state }) => state)).toEqual(['done', 'pending', 'pending'])
  })

  test('invalid options are refused', () => {
    const make = (options: object) => () => new Client(
      { transport: new NotingTransport(), clock: new ManualClock(), random: new SeededRandom(1), log: silentLog }, { seeds: ['a:1'], ...options })
    for (const options of [{ seeds: [] }, { seeds: [''] }, { seeds: 'a:1' }, { deadlineMs: 0 }, { deadlineMs: NaN }, { attemptTimeoutMs: 1.5 }, { backoffStartMs: 300 }, { operationsInFlightMax: 0 }]) {
      expect(make(options), JSON.stringify(options)).toThrow(expect.objectContaining({ code: 'STORE_INVALID_OPTIONS' }) as Error)
    }
  })
})

describe('hostile nodes', () => {
  const hostile: Record<string, (sent: Sent) => unknown> = {
    'another kind of answer': ({ message }) => ({ kind: 'written', request: message.request, seq: 1 }),
    'more values than asked for': ({ message }) => ({ request: message.request, ...values(1, 'a', 'b') }),
    'an empty list of values': ({ message }) => ({ request: message.request, ...values(1) }),
    'no values': ({ message }) => ({ kind: 'values', request: message.request }),
    'an unknown error': ({ message }) => ({ kind: 'error', request: message.request, code: 'NONSENSE', message: '', definite: true, epoch: 1 }),
    'a base required by a read': ({ message }) => ({ kind: 'error', request: message.request, code: 'BASE_REQUIRED', message: '', definite: true, epoch: 1 })
  }
  for (const [name, respond] of Object.entries(hostile)) {
    test(`${name}: the next node is asked`, async () => {
      const fixture = await Fixture.open()
      const got = watch(fixture.client.get('k'))
      const first = await fixture.one('read')
      fixture.transport.deliver(respond(first))
      const second = await fixture.one('read')
      expect(second.to).not.toBe(first.to)
      fixture.answer(second, values(1, 'v'))
      await fixture.turn()
      expect(got).toMatchObject({ state: 'done', value: 'v' })
    })
  }

  test('messages that answer nothing change nothing', async () => {
    const fixture = await Fixture.open()
    const got = watch(fixture.client.get('k'))
    const sent = await fixture.one('read')
    for (const garbage of [null, 7, 'text', [], {}, { request: -1 }, { request: 1e9, kind: 'written', seq: 1 }, { request: 'x' }]) fixture.transport.deliver(garbage)
    fixture.transport.deliver({ kind: 'written', request: 12345, seq: 3 })
    expect(await fixture.take()).toEqual([])
    fixture.answer(sent, values(1, 'v'))
    fixture.answer(sent, values(2, 'again'))
    await fixture.turn()
    expect(got).toMatchObject({ state: 'done', value: 'v' })
  })

  test('a node that asks for a base again and again is passed over', async () => {
    const fixture = await Fixture.open()
    watch(fixture.client.put('k', 'v'))
    const first = await fixture.one('write')
    fixture.refuse(first, 'BASE_REQUIRED', { seq: 3 })
    const second = await fixture.one('write')
    expect(second.to).toBe(first.to)
    fixture.refuse(second, 'BASE_REQUIRED', { seq: 4 })
    const third = await fixture.one('write')
    expect(third.to).not.toBe(first.to)
    expect(write(third).id.base).toBe(3)
  })
})

describe('the rest of the interface', () => {
  test('what is not offered says so, and the manifest does not claim it', async () => {
    const { client } = await Fixture.open()
    const refused = expect.objectContaining({ code: 'STORE_NOT_SUPPORTED' }) as Error
    expect(() => client.snapshot()).toThrow(refused)
    expect(() => client.getSync('k')).toThrow(refused)
    expect(client.supports).toMatchObject({ explicitSnapshots: false, implicitSnapshots: false, seek: true, has: true, permanence: true })
  })

  test('a watch without a prefix is refused as an operation without a key is, and one with null for its options has none', async () => {
    const fixture = await Fixture.open()
    const { client } = fixture
    const refused = expect.objectContaining({ code: 'LEVEL_INVALID_KEY' }) as Error
    for (const prefix of [undefined, null]) {
      expect(() => client.watch(prefix as unknown as string), String(prefix)).toThrow(refused)
      await expect(client.get(prefix as unknown as string), String(prefix)).rejects.toEqual(refused)
    }
    expect(await fixture.take()).toEqual([])
    const watcher = client.watch('{tag}', null)
    const ready = watcher.ready()
    fixture.answer(await fixture.one('watch'), { kind: 'changes', entries: [], upTo: 3, seq: 3 })
    await ready
    await watcher.return()
  })

  test.each(['nonsense', '127.0.0.1:99999', 'a:0', 'a:1:2', 'http://a:1', 'a/b:1', ':1', '', undefined, null, 5])('%s is no address: seed and nodeStatus are refused at once', async wrong => {
    const refused = expect.objectContaining({ code: 'STORE_INVALID_OPTIONS', message: expect.stringContaining(String(wrong)) as unknown }) as Error
    const components = { transport: new NotingTransport(), clock: new ManualClock(), random: new SeededRandom(1), log: silentLog }
    expect(() => new Client(components, { seeds: ['a:1', wrong as string] })).toThrow(refused)
    const fixture = await Fixture.open()
    const asked = watch(fixture.client.nodeStatus(wrong as string))
    expect(await fixture.take()).toEqual([])
    expect(asked).toMatchObject({ state: 'failed', error: refused })
  })

  test.each(['x', 5, true, {}, { aborted: false }, new AbortController()])('a signal that is none, as %j, is refused', async wrong => {
    const fixture = await Fixture.open()
    const { client } = fixture
    const signal = wrong as AbortSignal
    const refused = expect.objectContaining({ code: 'STORE_INVALID_OPTIONS', message: expect.stringContaining('signal') as unknown }) as Error
    await expect(client.get('k', { signal })).rejects.toEqual(refused)
    await expect(client.getMany(['k', 'l'], { signal })).rejects.toEqual(refused)
    await expect(client.has('k', { signal } as object)).rejects.toEqual(refused)
    await expect(client.put('k', 'v', { signal })).rejects.toEqual(refused)
    await expect(client.batch([{ type: 'del', key: 'k' }], { signal })).rejects.toEqual(refused)
    await expect(client.keys({ signal }).all()).rejects.toEqual(refused)
    await expect(client.clear({ signal } as object)).rejects.toEqual(refused)
    await expect(client.nodeStatus('a:1', { signal })).rejects.toEqual(refused)
    expect(() => client.watch('k', { signal })).toThrow(refused)
    expect(await fixture.take()).toEqual([])
  })

  test('null for a signal is like none', async () => {
    const fixture = await Fixture.open()
    const got = fixture.client.get('k', { signal: null })
    fixture.answer(await fixture.one('read'), values(1, 'v'))
    expect(await got).toBe('v')
    const watcher = fixture.client.watch('{tag}', { signal: null })
    const ready = watcher.ready()
    fixture.answer(await fixture.one('watch'), { kind: 'changes', entries: [], upTo: 3, seq: 3 })
    await ready
    await watcher.return()
  })

  test.each([['deadlineMS', 5], ['seeds', ['b:1']], ['toString', 1], ['ifAbsent', true]])('connect() refuses the unknown option %s at once', async (name, value) => {
    const refused = expect.objectContaining({ code: 'STORE_INVALID_OPTIONS', message: expect.stringContaining(`'${name}'`) as unknown }) as Error
    await expect(connect(['127.0.0.1:1'], { deadlineMs: 1, [name]: value })).rejects.toEqual(refused)
  })

  test('connect() takes what abstract-level takes, and null for options is none of that', async () => {
    const known = { keyEncoding: 'view', valueEncoding: 'json', createIfMissing: true, errorIfExists: false, passive: false, log: silentLog }
    await expect(connect(['127.0.0.1:1'], { deadlineMs: 1, ...known })).rejects.toMatchObject({ code: 'STORE_NO_SEED' })
    await expect(connect(['127.0.0.1:1'], null as never)).rejects.toMatchObject({ code: 'STORE_INVALID_OPTIONS' })
  })

  test.each(['ifAbsnt', 'ifabsent', 'IfAbsent', 'if-absent', 'ifNotExists', 'ifversion', 'ttl', 'ttlMS'])('a write with %s is refused: it would be carried out without its condition', async name => {
    const fixture = await Fixture.open()
    const { client } = fixture
    const options = { [name]: 1 }
    const refused = expect.objectContaining({ code: 'STORE_INVALID_OPTIONS', message: expect.stringContaining(`'${name}'`) as unknown }) as Error
    await expect(client.put('k', 'v', options)).rejects.toEqual(refused)
    await expect(client.putEntry('k', 'v', options)).rejects.toEqual(refused)
    await expect(client.del('k', options)).rejects.toEqual(refused)
    await expect(client.batch([{ type: 'put', key: 'k', value: 'v', ...options }])).rejects.toEqual(refused)
    await expect(client.batch([{ type: 'del', key: 'k' }], options)).rejects.toEqual(refused)
    await expect(client.batch().put('k', 'v').write(options)).rejects.toEqual(refused)
    await expect(client.batch().put('k', 'v', options).write()).rejects.toEqual(refused)
    await expect(client.sublevel('s').put('k', 'v', options)).rejects.toEqual(refused)
    expect(await fixture.take()).toEqual([])
    // What belongs to others stays theirs.
    const put = client.put('k', 'v', { sync: true, userland: 1 } as object)
    fixture.refuse(await fixture.one('write'), 'BASE_REQUIRED', { seq: 1 })
    fixture.answer(await fixture.one('write'), written(2))
    await put
  })

  test('a condition and a time to live with which a chained batch is written are of each of its operations', async () => {
    const fixture = await withBase()
    const done = fixture.client.batch().put('k', 'v').put('k', 'w', { ttlMs: 5 } as object).write({ ifAbsent: true, ttlMs: 70 } as object)
    const sent = await fixture.one('write')
    expect(write(sent).operations).toMatchObject([{ ifVersion: 0, ttlMs: 70 }, { ifVersion: 0, ttlMs: 5 }])
    fixture.answer(sent, written(11))
    await done
  })

  test('nodeStatus asks the node named, and no other', async () => {
    const fixture = await Fixture.open()
    const status = fixture.client.nodeStatus('b:1')
    const sent = await fixture.one('status')
    expect(sent.to).toBe('b:1')
    fixture.answer(sent, { kind: 'status', status: { ok: true } })
    expect(await status).toEqual({ ok: true })
    const nobody = watch(fixture.client.nodeStatus('gone:1', { deadlineMs: 100 }))
    for (let pause = 0; pause < 30; pause++) {
      for (const { to } of await fixture.take()) fixture.transport.link('refused', to)
      await fixture.clock.advance(5)
    }
    expect(nobody).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED' } })
  })

  test('close() ends what is pending with STORE_CLOSED and leaves no timer', async () => {
    const fixture = await withBase()
    const sent = watch(fixture.client.put('k', 'v'))
    const waiting = watch(fixture.client.refresh())
    await fixture.turn()
    await fixture.client.close()
    await fixture.turn()
    expect(sent).toMatchObject({ state: 'failed', error: { code: 'STORE_CLOSED', definite: false } })
    expect(waiting).toMatchObject({ state: 'failed', error: { code: 'STORE_CLOSED' } })
    expect(fixture.clock.timers).toBe(0)
    expect(fixture.transport.closed).toBe(1)
    await expect(fixture.client.get('k')).rejects.toMatchObject({ code: 'LEVEL_DATABASE_NOT_OPEN' })
    await expect(fixture.client.refresh()).rejects.toBeInstanceOf(StoreError)
    await expect(fixture.client.open()).rejects.toMatchObject({ cause: { code: 'STORE_CLOSED' } })
  })

  test('a client with a maker of transports can be opened again', async () => {
    const transports: NotingTransport[] = []
    const make = (): NotingTransport => { transports.push(new NotingTransport()); return transports.at(-1)! }
    const client = new Client({ transport: make, clock: new ManualClock(), random: new SeededRandom(1), log: silentLog }, { seeds: ['a:1'] })
    const cluster = new FakeCluster(['a'])
    for (const round of [1, 2]) {
      const opened = client.open()
      await new Promise(resolve => setImmediate(resolve))
      const { message } = transports.at(-1)!.sent[0]!
      transports.at(-1)!.deliver({ kind: 'view', request: message.request, view: cluster.view() })
      await opened
      expect(transports).toHaveLength(round)
      await client.close()
    }
  })
})
