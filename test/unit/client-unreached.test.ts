/**
 * What a client does about nodes that are gone. A transport loses what it is given while it pauses between attempts to connect, without
 * a word, so that an operation which is sent to such a node waits for its attempt to run out: a second, for nothing.
 *
 * Mutations that these tests catch: hints of whoever knows less are followed; a node that was just not reached is asked again; nobody dials
 * one that was not reached; an open connection does not end that; a node that was not reached is asked for the view first.
 */
import { expect, test } from 'vitest'
import { REDIAL_PAUSE_MS } from '../../store/client/router.ts'
import { FakeCluster, Fixture, hint, values, watch } from './client-fixture.ts'

const KEY = 'k'

test('a hint from a node that knows of fewer view changes is not followed to a store that is gone', async () => {
  const cluster = new FakeCluster(['a', 'b', 'c', 'd'])
  const before = cluster.epoch
  const gone = cluster.seats(KEY)[0]!
  cluster.change([], [gone[0]!])
  const fixture = await Fixture.open(cluster)
  const got = watch(fixture.client.get(KEY))
  const [first, second] = cluster.seats(KEY)
  const asked = await fixture.one('read')
  expect(asked.to).toBe(first)
  fixture.refuse(asked, 'NOT_LEADER', { epoch: before, hints: [hint(gone[0]!), hint(second![0]!)] })
  const redirected = await fixture.one('read')
  expect(redirected.to).toBe(second)
  fixture.answer(redirected, values(1, 'v'))
  await fixture.turn()
  expect(got).toMatchObject({ state: 'done', value: 'v' })
})

test('a node that was just not reached is passed over, also where others name it; then it is dialled', async () => {
  const fixture = await Fixture.open()
  const [first, second, third] = fixture.cluster.seats(KEY)
  const got = watch(fixture.client.get(KEY))
  await fixture.one('read')
  fixture.transport.link('refused', first!)
  const asked = await fixture.one('read')
  expect(asked.to).toBe(second)
  fixture.refuse(asked, 'NOT_LEADER', { hints: [hint(first![0]!)] })
  const last = await fixture.one('read')
  expect(last.to).toBe(third)
  fixture.refuse(last, 'NOT_LEADER', { hints: [hint(first![0]!)] })
  // Everybody was asked: a pause follows, and another, until the first one may be there again.
  const sentTo: string[] = []
  fixture.transport.onSend = sent => {
    if (sent.message.kind !== 'read') return
    sentTo.push(sent.to)
    if (sent.to !== first) fixture.refuse(sent, 'NOT_LEADER', { hints: [hint(first![0]!)] })
  }
  await fixture.clock.advance(REDIAL_PAUSE_MS - 1)
  expect(sentTo).not.toContain(first)
  expect(sentTo.length).toBeGreaterThan(0)
  expect(fixture.transport.dialled).toEqual([])
  await fixture.clock.advance(500)
  expect(sentTo).toContain(first)
  expect(fixture.transport.dialled).toEqual([first])
  expect(got.state).toBe('pending')
})

test('once it is connected it is a node like any other', async () => {
  const fixture = await Fixture.open()
  const [first] = fixture.cluster.seats(KEY)
  fixture.transport.link('unreachable', first!)
  fixture.transport.link('opened', first!)
  const got = watch(fixture.client.get(KEY))
  const sent = await fixture.take()
  for (const one of sent) fixture.refuse(one, 'NOT_LEADER', { hints: [hint(first![0]!)] })
  const asked = sent[0]!.to === first ? sent[0]! : await fixture.one('read')
  expect(asked.to).toBe(first)
  expect(fixture.transport.dialled).toEqual([])
  expect(got.state).toBe('pending')
})

test('nodes that were not reached are asked for the view after all others', async () => {
  const fixture = await Fixture.open(new FakeCluster(['a', 'b', 'c', 'd', 'e']))
  for (const name of ['b', 'd']) fixture.transport.link('refused', `${name}:1`)
  const asked: string[] = []
  fixture.transport.onSend = ({ to, message }) => {
    if (message.kind !== 'view') return
    asked.push(to)
    fixture.transport.link('unreachable', to)
  }
  const refreshed = watch(fixture.client.refresh())
  await fixture.clock.advance(5)
  expect(asked.slice(0, 3).sort()).toEqual(['a:1', 'c:1', 'e:1'])
  expect(refreshed.state).toBe('pending')
})

test('a node that was refused, went and came back at its address is dialled: its transport may pause for long', async () => {
  const cluster = new FakeCluster(['a', 'b', 'c', 'd'])
  const fixture = await Fixture.open(cluster)
  const first = cluster.seats(KEY)[0]!
  const name = first[0]!
  fixture.transport.link('closed', first)
  fixture.transport.link('refused', first)
  const install = async (): Promise<void> => {
    fixture.transport.onSend = sent => { if (sent.message.kind === 'view') fixture.answer(sent, { kind: 'view', view: cluster.view() }) }
    await fixture.client.refresh()
    fixture.transport.onSend = undefined
    await fixture.take()
  }
  cluster.change([], [name])
  await install()
  cluster.change([name], [])
  await install()
  fixture.transport.dialled.length = 0
  await fixture.clock.advance(REDIAL_PAUSE_MS)
  expect(cluster.seats(KEY)[0]).toBe(first)
  const got = watch(fixture.client.get(KEY))
  expect((await fixture.one('read')).to).toBe(first)
  expect(fixture.transport.dialled).toEqual([first])
  expect(got.state).toBe('pending')
})
