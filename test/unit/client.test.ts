/**
 * The client against nodes that the test plays: how it opens, routes, carries writes out once (rule S9), and retries.
 *
 * Mutations that these tests caught: a base that moves in retries; a new number for each attempt; a new base after an attempt that
 * may have happened; late answers ignored; nodes asked twice in a round; pauses that a new view does not end;
 * a node without room for an answer asked again without saying how long that is.
 */
import { describe, expect, test } from 'vitest'
import { bytes, FakeCluster, Fixture, hint, read, values, watch, withBase, write, written } from './client-fixture.ts'

describe('opening', () => {
  test('asks the seeds one after the other until one answers', async () => {
    const cluster = new FakeCluster(['a', 'b', 'c'])
    const fixture = new Fixture(cluster, { seeds: ['x:1', 'y:1', 'z:1'] })
    const opened = fixture.client.open()
    const first = await fixture.one('view')
    fixture.transport.link('refused', first.to)
    const second = await fixture.one('view')
    await fixture.clock.advance(1000)
    const third = await fixture.one('view')
    expect(new Set([first.to, second.to, third.to])).toEqual(new Set(['x:1', 'y:1', 'z:1']))
    fixture.answer(third, { kind: 'view', view: cluster.view() })
    await opened
    expect(fixture.client.view?.epoch).toBe(cluster.epoch)
  })

  test('STORE_NO_SEED when nobody answers before the deadline, and nothing is left behind', async () => {
    const fixture = new Fixture(new FakeCluster(['a']), { deadlineMs: 3000 })
    const opened = watch(fixture.client.open())
    await fixture.turn()
    await fixture.clock.advance(2999)
    expect(opened.state).toBe('pending')
    await fixture.clock.advance(1)
    expect(opened).toMatchObject({ state: 'failed', error: { code: 'LEVEL_DATABASE_NOT_OPEN', cause: { code: 'STORE_NO_SEED' } } })
    expect(fixture.transport.closed).toBe(1)
    expect(fixture.clock.timers).toBe(0)
  })

  test('a view that cannot be decoded, or belongs to another cluster, is passed over', async () => {
    const cluster = new FakeCluster(['a', 'b', 'c'])
    const fixture = new Fixture(cluster, { seeds: ['x:1', 'y:1'] })
    const opened = fixture.client.open()
    fixture.answer(await fixture.one('view'), { kind: 'view', view: cluster.view({ state: bytes('nonsense') }) })
    fixture.answer(await fixture.one('view'), { kind: 'view', view: cluster.view() })
    await opened
    cluster.change(['d'], [])
    const refreshed = watch(fixture.client.refresh())
    fixture.answer(await fixture.one('view'), { kind: 'view', view: cluster.view({ clusterId: 'another' }) })
    await fixture.turn()
    expect(refreshed.state).toBe('pending')
    fixture.answer(await fixture.one('view'), { kind: 'view', view: cluster.view() })
    await fixture.turn()
    expect(refreshed).toMatchObject({ state: 'done', value: { epoch: cluster.epoch, clusterId: 'c1' } })
    expect(fixture.warnings).toHaveLength(2)
  })

  test('operations started before it is open wait for it', async () => {
    const cluster = new FakeCluster(['a', 'b', 'c'])
    const fixture = new Fixture(cluster)
    const got = watch(fixture.client.get('k'))
    fixture.answer(await fixture.one('view'), { kind: 'view', view: cluster.view() })
    fixture.answer(await fixture.one('read'), values(1, 'v'))
    await fixture.turn()
    expect(got).toMatchObject({ state: 'done', value: 'v' })
  })

  test('before genesis operations wait for a placement, and say so at their deadline', async () => {
    const cluster = new FakeCluster(['a', 'b'], { expect: 3 })
    const fixture = await Fixture.open(cluster)
    const impatient = watch(fixture.client.put('k', 'v', { deadlineMs: 100 }))
    const patient = watch(fixture.client.get('k'))
    await fixture.clock.advance(100)
    expect(impatient).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED', definite: true, message: expect.stringContaining('expected size') } })
    const [ask] = await fixture.take()
    expect(ask!.message.kind).toBe('view')
    cluster.change(['c'], [])
    fixture.answer(ask!, { kind: 'view', view: cluster.view() })
    await fixture.clock.advance(0)
    fixture.answer(await fixture.one('read'), values(1, 'v'))
    await fixture.turn()
    expect(patient).toMatchObject({ state: 'done', value: 'v' })
  })
})

describe('routing', () => {
  test('a key goes to the preferred leader of its partition, and later to whoever answered', async () => {
    const fixture = await Fixture.open()
    const seats = fixture.cluster.seats('k')
    const first = fixture.client.get('k')
    const asked = await fixture.one('read')
    expect(asked.to).toBe(seats[0])
    expect(asked.message).toMatchObject({ partition: fixture.cluster.partitionOf('k'), keys: [bytes('k')] })
    fixture.refuse(asked, 'NOT_LEADER', { hints: [hint(seats[2]![0]!)] })
    const redirected = await fixture.one('read')
    expect(redirected.to).toBe(seats[2])
    fixture.answer(redirected, values(1, 'v'))
    expect(await first).toBe('v')
    const second = fixture.client.get('k')
    const again = await fixture.one('read')
    expect(again.to).toBe(seats[2])
    fixture.answer(again, values(1, null))
    expect(await second).toBeUndefined()
  })

  test('a hint may name a store that the view does not have yet', async () => {
    const fixture = await Fixture.open()
    const got = fixture.client.get('k')
    const asked = await fixture.one('read')
    fixture.cluster.change(['zebra'], [])
    fixture.refuse(asked, 'NOT_OWNER', { hints: [hint('zebra')] })
    const redirected = await fixture.one('read')
    expect(redirected.to).toBe('zebra:1')
    fixture.answer(redirected, values(1, 'v'))
    expect(await got).toBe('v')
  })

  test('two stores that name each other end in a pause, with every candidate asked once', async () => {
    const fixture = await Fixture.open()
    const seats = fixture.cluster.seats('k')
    const got = watch(fixture.client.get('k'))
    const asked: string[] = []
    for (let hop = 0; hop < 3; hop++) {
      const sent = await fixture.one('read')
      asked.push(sent.to)
      fixture.refuse(sent, 'NOT_LEADER', { hints: [hint(sent.to === seats[0] ? seats[1]![0]! : seats[0]![0]!)] })
    }
    expect([...asked].sort()).toEqual([...seats].sort())
    expect(await fixture.take()).toEqual([])
    await fixture.clock.advance(10)
    fixture.answer(await fixture.one('read'), values(1, 'v'))
    await fixture.turn()
    expect(got.state).toBe('done')
  })

  test('former holders are asked after the seats, while a handover may still be under way', async () => {
    const cluster = new FakeCluster(['a', 'b', 'c'], { replicas: 1 })
    cluster.change(['d', 'e', 'f'], [])
    const key = ['1', '2', '3', '4', '5', '6', '7', '8', '9'].find(candidate => cluster.state.placement!.formerHolders(cluster.partitionOf(candidate)).length > 0)!
    const fixture = await Fixture.open(cluster)
    const got = watch(fixture.client.get(key))
    const seat = await fixture.one('read')
    expect(seat.to).toBe(cluster.seats(key)[0])
    fixture.refuse(seat, 'NOT_OWNER')
    const former = await fixture.one('read')
    expect(former.to).toBe(`${cluster.state.placement!.formerHolders(cluster.partitionOf(key))[0]!.slice('store-'.length)}:1`)
    fixture.answer(former, values(1, 'v'))
    await fixture.turn()
    expect(got.state).toBe('done')
  })

  test('a newer epoch in an answer brings a new view, from the node that knows it', async () => {
    const fixture = await Fixture.open()
    const got = watch(fixture.client.get('k'))
    const asked = await fixture.one('read')
    fixture.cluster.change(['d'], [])
    fixture.refuse(asked, 'NOT_LEADER')
    const next = await fixture.one('read')
    await fixture.clock.advance(50)
    const refresh = await fixture.one('view')
    expect(refresh).toMatchObject({ to: asked.to, message: { kind: 'view' } })
    fixture.answer(refresh, { kind: 'view', view: fixture.cluster.view() })
    fixture.answer(next, values(1, 'v'))
    await fixture.turn()
    expect(got.state).toBe('done')
    expect(fixture.client.view?.epoch).toBe(fixture.cluster.epoch)
  })

  test('one refresh at a time, however many answers speak of a newer epoch', async () => {
    const fixture = await Fixture.open()
    const operations = Array.from({ length: 20 }, (_, index) => watch(fixture.client.get(`k${index}`)))
    const asked = await fixture.take()
    fixture.cluster.change(['d'], [])
    for (const sent of asked) fixture.refuse(sent, 'NOT_LEADER')
    const sent = await fixture.take()
    expect(sent.map(({ message }) => message.kind)).toEqual(asked.map(() => 'read'))
    // No more often than every 50 ms, and no second one while the first is under way.
    await fixture.clock.advance(50)
    await fixture.one('view')
    for (const one of sent.slice(10)) fixture.refuse(one, 'NOT_LEADER')
    await fixture.clock.advance(100)
    sent.push(...await fixture.take())
    expect(sent.filter(({ message }) => message.kind === 'view')).toHaveLength(0)
    for (const one of sent) fixture.answer(one, values(1, ...read(one).keys.map(() => null)))
    await fixture.turn()
    expect(operations.every(({ state }) => state === 'done')).toBe(true)
  })

  test('when a new view lacks the node that was asked, the next one is asked at once', async () => {
    const fixture = await Fixture.open()
    const seats = fixture.cluster.seats('k')
    const got = watch(fixture.client.get('k'))
    await fixture.one('read')
    const refreshed = fixture.client.refresh()
    const refresh = await fixture.one('view')
    fixture.cluster.change([], [seats[0]![0]!])
    fixture.answer(refresh, { kind: 'view', view: fixture.cluster.view() })
    await refreshed
    const next = await fixture.one('read')
    expect(next.to).not.toBe(seats[0])
    fixture.answer(next, values(1, 'v'))
    await fixture.turn()
    expect(got.state).toBe('done')
  })

  test('a node that let an attempt run out is asked last until it answers again', async () => {
    const fixture = await Fixture.open()
    const seats = fixture.cluster.seats('k')
    const first = watch(fixture.client.get('k'))
    await fixture.one('read')
    await fixture.clock.advance(1000)
    const next = (await fixture.take()).find(({ message }) => message.kind === 'read')!
    expect(next.to).not.toBe(seats[0])
    const second = watch(fixture.client.get('k'))
    const asked = await fixture.one('read')
    expect(asked.to).not.toBe(seats[0])
    fixture.refuse(asked, 'NOT_LEADER', { hints: [hint(seats[0]![0]!)] })
    const back = await fixture.one('read')
    expect(back.to).toBe(seats[0])
    fixture.answer(back, values(1, 'v'))
    await fixture.turn()
    expect(second.state).toBe('done')
    expect(first.state).toBe('pending')
    const third = watch(fixture.client.get('k'))
    expect((await fixture.one('read')).to).toBe(seats[0])
    expect(third.state).toBe('pending')
  })
})

describe('writes happen once (rule S9)', () => {
  test('the first write of a partition learns its base, and keeps its number', async () => {
    const fixture = await Fixture.open()
    const put = fixture.client.put('k', 'v')
    const probe = write(await fixture.one('write'))
    expect(probe.id.base).toBe(-1)
    fixture.answer({ to: '', message: probe }, { kind: 'error', code: 'BASE_REQUIRED', message: '', definite: true, epoch: fixture.cluster.epoch, seq: 41 })
    const sent = await fixture.one('write')
    expect(write(sent).id).toEqual({ ...probe.id, base: 41 })
    expect(write(sent).operations).toEqual([{ kind: 'put', key: bytes('k'), value: bytes('v') }])
    fixture.answer(sent, written(42))
    await put
    const second = fixture.client.del('k')
    const next = await fixture.one('write')
    expect(write(next).id).toEqual({ client: probe.id.client, number: probe.id.number + 1, base: 42 })
    fixture.answer(next, written(43))
    await second
  })

  test('a lost reply: the retry has the same id and base although the position has moved on', async () => {
    const fixture = await withBase()
    const put = watch(fixture.client.put('k', 'v'))
    const first = await fixture.one('write')
    const got = fixture.client.get('k')
    fixture.answer(await fixture.one('read'), values(99, null))
    await got
    fixture.transport.link('closed', first.to)
    const retry = (await fixture.take()).find(({ message }) => message.kind === 'write')!
    expect(retry.to).not.toBe(first.to)
    expect(write(retry).id).toEqual(write(first).id)
    expect(write(retry).id.base).toBe(10)
    expect(retry.message.request).not.toBe(first.message.request)
    fixture.answer(retry, written(100))
    await fixture.turn()
    expect(put.state).toBe('done')
  })

  test('the late answer of an attempt that was given up still counts', async () => {
    const fixture = await withBase()
    const put = watch(fixture.client.put('k', 'v'))
    const first = await fixture.one('write')
    await fixture.clock.advance(1000)
    expect((await fixture.take()).some(({ message }) => message.kind === 'write')).toBe(true)
    fixture.answer(first, written(11))
    await fixture.turn()
    expect(put.state).toBe('done')
  })

  test('OPERATION_EXPIRED after an attempt that may have happened is thrown, and not definite', async () => {
    const fixture = await withBase()
    const put = watch(fixture.client.put('k', 'v'))
    fixture.transport.link('closed', (await fixture.one('write')).to)
    const retry = (await fixture.take()).find(({ message }) => message.kind === 'write')!
    fixture.refuse(retry, 'OPERATION_EXPIRED')
    await fixture.turn()
    expect(put).toMatchObject({ state: 'failed', error: { code: 'OPERATION_EXPIRED', definite: false } })
  })

  test('OPERATION_EXPIRED to the only attempt means that the base was old: a new one is learned', async () => {
    const fixture = await withBase()
    const put = watch(fixture.client.put('k', 'v'))
    const first = await fixture.one('write')
    fixture.refuse(first, 'OPERATION_EXPIRED')
    const probe = await fixture.one('write')
    expect(write(probe).id).toEqual({ ...write(first).id, base: -1 })
    fixture.refuse(probe, 'BASE_REQUIRED', { seq: 5000 })
    const again = await fixture.one('write')
    expect(write(again).id).toEqual({ ...write(first).id, base: 5000 })
    fixture.answer(again, written(5001))
    await fixture.turn()
    expect(put.state).toBe('done')
  })

  test('OPERATION_EXPIRED at a position below the base means that the history has become shorter: the write is based on what is left', async () => {
    const fixture = await withBase()
    const put = watch(fixture.client.put('k', 'v'))
    const first = await fixture.one('write')
    fixture.refuse(first, 'OPERATION_EXPIRED', { seq: 4 })
    const again = await fixture.one('write')
    expect([write(first).id, write(again).id]).toMatchObject([{ base: 10 }, { base: 4 }])
    fixture.answer(again, written(5))
    await fixture.turn()
    expect(put.state).toBe('done')
  })
})

describe('retries', () => {
  for (const code of ['NOT_READY', 'STORE_OVERLOADED']) {
    test(`${code}: the same node again after a pause that grows`, async () => {
      const fixture = await withBase()
      const put = watch(fixture.client.put('k', 'v'))
      const first = await fixture.one('write')
      fixture.refuse(first, code)
      expect(await fixture.take()).toEqual([])
      await fixture.clock.advance(4)
      expect(await fixture.take()).toEqual([])
      await fixture.clock.advance(6)
      const second = await fixture.one('write')
      expect(second.to).toBe(first.to)
      fixture.refuse(second, code)
      await fixture.clock.advance(9)
      expect(await fixture.take()).toEqual([])
      await fixture.clock.advance(11)
      fixture.answer(await fixture.one('write'), written(11))
      await fixture.turn()
      expect(put.state).toBe('done')
    })
  }

  test('STORE_OVERLOADED with the bytes of an answer: the next attempts name them, until one is answered', async () => {
    const fixture = await withBase()
    const get = watch(fixture.client.get('k'))
    const first = await fixture.one('read')
    expect(first.message).not.toHaveProperty('expects')
    fixture.refuse(first, 'STORE_OVERLOADED', { bytes: 70_000 })
    await fixture.clock.advance(10)
    const second = await fixture.one('read')
    expect([second.to, second.message]).toMatchObject([first.to, { expects: 70_000 }])
    fixture.refuse(second, 'STORE_OVERLOADED')
    await fixture.clock.advance(20)
    const third = await fixture.one('read')
    expect(third.message).toMatchObject({ expects: 70_000 })
    fixture.answer(third, values(11, 'v'))
    await fixture.turn()
    expect(get.state).toBe('done')
    // Another call knows nothing of it.
    watch(fixture.client.get('k'))
    expect((await fixture.one('read')).message).not.toHaveProperty('expects')
  })

  test('a store that is never ready does not keep the others from being asked', async () => {
    const fixture = await Fixture.open()
    watch(fixture.client.get('k'))
    const asked = new Set<string>()
    for (let round = 0; round < 6; round++) {
      const sent = await fixture.take()
      for (const one of sent) {
        asked.add(one.to)
        fixture.refuse(one, 'NOT_READY')
      }
      await fixture.clock.advance(250)
    }
    expect(asked.size).toBeGreaterThan(1)
  })

  test('the pauses are capped', async () => {
    const fixture = await Fixture.open()
    watch(fixture.client.get('k', { deadlineMs: 60_000 }))
    for (let round = 0; round < 20; round++) {
      const sent = await fixture.take()
      expect(sent.length, `round ${round}`).toBeGreaterThan(0)
      for (let more = sent; more.length > 0; more = await fixture.take()) for (const one of more) fixture.refuse(one, 'PARTITION_UNAVAILABLE')
      await fixture.clock.advance(250)
    }
  })

  test('a new view ends the pauses', async () => {
    const fixture = await Fixture.open()
    const got = watch(fixture.client.get('k'))
    for (let round = 0; round < 8; round++) {
      for (const one of await fixture.take()) fixture.refuse(one, 'NOT_READY')
      await fixture.clock.advance(250)
    }
    for (let more = await fixture.take(); more.length > 0; more = await fixture.take()) for (const one of more) fixture.refuse(one, 'NOT_READY')
    const refreshed = fixture.client.refresh()
    const refresh = await fixture.one('view')
    fixture.cluster.change(['d'], [])
    fixture.answer(refresh, { kind: 'view', view: fixture.cluster.view() })
    await refreshed
    await fixture.clock.advance(0)
    fixture.answer(await fixture.one('read'), values(1, 'v'))
    await fixture.turn()
    expect(got.state).toBe('done')
  })

  for (const kind of ['closed', 'refused', 'unreachable'] as const) {
    test(`a link that is ${kind}: the next candidate at once`, async () => {
      const fixture = await Fixture.open()
      const got = watch(fixture.client.get('k'))
      const first = await fixture.one('read')
      fixture.transport.link(kind, first.to)
      const reads = (await fixture.take()).filter(({ message }) => message.kind === 'read')
      expect(reads).toHaveLength(1)
      expect(reads[0]!.to).not.toBe(first.to)
      fixture.answer(reads[0]!, values(1, 'v'))
      await fixture.turn()
      expect(got).toMatchObject({ state: 'done', value: 'v' })
    })
  }
})
