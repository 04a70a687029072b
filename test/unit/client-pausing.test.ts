/**
 * Operations that pause because nobody serves their partition take no place of others: one partition that waits for its stores stops
 * no other one.
 *
 * Mutations that these tests catch: those that pause keep their bytes, or their place; any number of them may pause; those whose pause is over
 * go on although there is no room; those that wait behind others tell nothing of their last answer.
 */
import { expect, test } from 'vitest'
import type { Client } from '../../store/client/client.ts'
import { FakeCluster, Fixture, read, type Sent, values, watch, withBase, write, written } from './client-fixture.ts'

type Options = NonNullable<Parameters<typeof Fixture.open>[1]>

/** Nobody serves the partition of `k`; all others are answered at once. */
async function halfServed (options: Options = {}): Promise<{ fixture: Fixture, client: Client, other: (index: number) => string, asked: Sent[] }> {
  const cluster = new FakeCluster(['a', 'b', 'c'])
  const fixture = await Fixture.open(cluster, options)
  const asked: Sent[] = []
  const unserved = cluster.partitionOf('k')
  fixture.transport.onSend = sent => {
    const { message } = sent
    if (message.kind === 'view') return
    const { partition } = message.kind === 'write' ? write(sent) : read(sent)
    if (partition !== unserved) { fixture.answer(sent, message.kind === 'write' ? written(1) : values(1, 'v')); return }
    asked.push(sent)
    fixture.refuse(sent, 'PARTITION_UNAVAILABLE', { waitingFor: ['store-x'] })
  }
  const others = Array.from({ length: 200 }, (_, index) => `other ${index}`).filter(key => cluster.partitionOf(key) !== unserved)
  return { fixture, client: fixture.client, other: index => others[index]!, asked }
}

test('large writes to a partition that nobody serves keep no read of another one from being sent', async () => {
  const { fixture, client, other } = await halfServed()
  const stuck = Array.from({ length: 5 }, () => watch(client.put('k', 'x'.repeat(8 * 1024 * 1024))))
  await fixture.turn()
  const got = watch(client.get(other(0)))
  await fixture.turn()
  client.checkInvariants()
  expect(got).toMatchObject({ state: 'done', value: 'v' })
  expect(stuck.map(({ state }) => state)).toEqual(stuck.map(() => 'pending'))
})

test('nor do many small ones, as many again as may be under way; what is beyond that waits', async () => {
  const { fixture, client, other } = await halfServed({ operationsInFlightMax: 10 })
  const first = Array.from({ length: 19 }, () => watch(client.get('k', { deadlineMs: 1000 })))
  await fixture.turn()
  client.checkInvariants()
  const got = watch(client.get(other(0)))
  await fixture.turn()
  expect(got.state).toBe('done')
  const second = Array.from({ length: 30 }, () => watch(client.get('k', { deadlineMs: 1000 })))
  await fixture.turn()
  client.checkInvariants()
  const late = watch(client.get(other(1)))
  await fixture.turn()
  expect(late.state).toBe('pending')
  await fixture.clock.advance(1000)
  client.checkInvariants()
  for (const { state, error } of [...first, ...second]) {
    expect(state).toBe('failed')
    expect(['PARTITION_UNAVAILABLE', 'STORE_DEADLINE_EXCEEDED']).toContain((error as { code: string }).code)
  }
  expect(late.state).toBe('done')
})

test('whose pause is over goes on when there is room for it', async () => {
  const fixture = await withBase('k', { bytesInFlightMax: 1500, deadlineMs: 60_000, attemptTimeoutMs: 30_000 })
  const { client } = fixture
  const puts = [1, 2].map(() => watch(client.put('k', 'x'.repeat(1000))))
  // One after the other, since the second has no room before the first one pauses.
  fixture.refuse(await fixture.one('write'), 'STORE_OVERLOADED')
  fixture.refuse(await fixture.one('write'), 'STORE_OVERLOADED')
  client.checkInvariants()
  const sent: Sent[] = []
  for (let step = 0; step < 100; step++) {
    await fixture.clock.advance(20)
    client.checkInvariants()
    sent.push(...(await fixture.take()).filter(({ message }) => message.kind === 'write'))
  }
  expect(sent).toHaveLength(1)
  fixture.answer(sent[0]!, written(1))
  fixture.answer(await fixture.one('write'), written(2))
  await fixture.turn()
  client.checkInvariants()
  expect(puts.map(({ state }) => state)).toEqual(['done', 'done'])
})

test('whose deadline passes while it waits for room again tells the last answer it had', async () => {
  const fixture = await withBase('k', { bytesInFlightMax: 1500, attemptTimeoutMs: 30_000 })
  const { client } = fixture
  const put = watch(client.put('k', 'x'.repeat(1000), { deadlineMs: 2000 }))
  fixture.refuse(await fixture.one('write'), 'STORE_OVERLOADED')
  const other = watch(client.put('k', 'y'.repeat(1000), { deadlineMs: 10_000 }))
  await fixture.clock.advance(2000)
  client.checkInvariants()
  expect(put).toMatchObject({ state: 'failed', error: { code: 'STORE_DEADLINE_EXCEEDED', definite: true, message: expect.stringContaining('STORE_OVERLOADED') } })
  expect(other.state).toBe('pending')
})
