/**
 * While a client's calls pause, it has one question for the next view wait at a node, and goes on when that is answered.
 *
 * Mutations caught: news that move nobody; a lost connection that is not noticed; suspected nodes asked, or seeds that were not reached; no
 * pause after an answer without news; questions asked while nothing pauses.
 */
import { expect, test } from 'vitest'
import { VIEW_WATCH_MS } from '../../store/client/view-watch.ts'
import { FakeCluster, Fixture, type Sent, values, watch } from './client-fixture.ts'

const PAUSE_MAX_MS = 250

/** The question that was put since the last look, if any. */
async function held (fixture: Fixture): Promise<Sent | undefined> {
  await fixture.turn()
  const [one, ...more] = fixture.transport.held
  expect(more, 'one question at a time').toEqual([])
  fixture.transport.held = []
  return one
}

/** A client whose read was refused by everyone, and pauses. */
async function paused (names = ['a', 'b', 'c'], seeds = ['a:1']): Promise<{ fixture: Fixture, got: ReturnType<typeof watch>, cluster: FakeCluster }> {
  const cluster = new FakeCluster(names)
  const fixture = await Fixture.open(cluster, { seeds })
  const got = watch(fixture.client.get('k', { deadlineMs: 7000 }))
  for (let sent = await fixture.take(); sent.length > 0; sent = await fixture.take()) {
    for (const one of sent) if (one.message.kind === 'read') fixture.refuse(one, 'NOT_LEADER')
  }
  return { fixture, got, cluster }
}

test('a call that everyone refused goes on as soon as there is a new view, and not at the end of its pause', async () => {
  const { fixture, got, cluster } = await paused()
  const asked = await held(fixture)
  expect(asked!.message).toMatchObject({ kind: 'view', after: cluster.epoch })
  cluster.change([], ['c'])
  fixture.answer(asked!, { kind: 'view', view: cluster.view() })
  await fixture.clock.advance(0)
  const again = await fixture.one('read')
  expect(again.to).toBe(cluster.seats('k')[0])
  fixture.answer(again, values(1, 'v'))
  await fixture.turn()
  expect(got).toMatchObject({ state: 'done', value: 'v' })
})

test('when the connection to the node is lost another one is asked at once, and none that is suspected', async () => {
  const { fixture } = await paused()
  const seen = new Set<string>()
  for (let asked = await held(fixture); asked !== undefined; asked = await held(fixture)) {
    expect(seen).not.toContain(asked.to)
    seen.add(asked.to)
    fixture.transport.link('closed', asked.to)
  }
  expect([...seen].sort()).toEqual(['a:1', 'b:1', 'c:1'])
})

test('a seed that was not reached is not asked: what is sent there is lost without a word', async () => {
  const { fixture } = await paused(undefined, ['a:1', 'z:1'])
  fixture.transport.link('refused', 'z:1')
  const seen: string[] = []
  for (let asked = await held(fixture); asked !== undefined; asked = await held(fixture)) {
    seen.push(asked.to)
    fixture.transport.link('closed', asked.to)
  }
  expect(seen.sort()).toEqual(['a:1', 'b:1', 'c:1'])
})

test('an answer without news is followed by a question after a pause alone, and no answer at all by one to be asked of another node', async () => {
  const { fixture, got, cluster } = await paused()
  const refuseReads = async (milliseconds: number): Promise<void> => {
    for (let step = 0; step < milliseconds; step++) {
      await fixture.clock.advance(1)
      for (const one of await fixture.take()) if (one.message.kind === 'read') fixture.refuse(one, 'NOT_LEADER')
    }
  }
  fixture.answer((await held(fixture))!, { kind: 'view', view: cluster.view() })
  await refuseReads(PAUSE_MAX_MS - 1)
  expect(await held(fixture)).toBeUndefined()
  await refuseReads(1)
  expect(await held(fixture)).toBeDefined()
  await refuseReads(VIEW_WATCH_MS - 1)
  expect(await held(fixture)).toBeUndefined()
  await refuseReads(1)
  expect(await held(fixture)).toBeDefined()
  expect(got.state).toBe('pending')
})

test('it ends with the calls', async () => {
  const { fixture, got } = await paused()
  expect(await held(fixture)).toBeDefined()
  for (let waited = 0; got.state === 'pending' && waited < 8000; waited += 5) {
    await fixture.clock.advance(5)
    for (const one of await fixture.take()) if (one.message.kind === 'read') fixture.refuse(one, 'NOT_LEADER')
    fixture.transport.held = []
  }
  expect(got.state).toBe('failed')
  await fixture.clock.advance(2 * VIEW_WATCH_MS)
  expect(await held(fixture)).toBeUndefined()
  expect(fixture.clock.timers).toBe(0)
})
