/** What a client asks for and is told about versions and conditions: on the wire, through sublevels and batches, and after retries. */
import { expect, test } from 'vitest'
import type { ClientRequest } from '../../store/client-protocol.ts'
import { validateClientRequest } from '../../store/client-protocol-checks.ts'
import { FakeCluster, Fixture, values, watch } from './client-fixture.ts'

const failed = (operation: number, version: number): Record<string, unknown> =>
  ({ kind: 'error', code: 'CONDITION_FAILED', message: 'it did not hold', definite: true, epoch: 1, seq: 9, failed: { operation, version } })

/** What a write carries, as a node would read it. */
function operations (message: ClientRequest): readonly object[] {
  const request = validateClientRequest(structuredClone(message))
  return request.kind === 'write' ? request.operations : []
}

test('versions come with what is read and written', async () => {
  const fixture = await Fixture.open(new FakeCluster(['a', 'b', 'c']))
  const one = watch(fixture.client.getEntry('k'))
  fixture.answer(await fixture.one('read'), { ...values(9, 'v'), versions: [7] })
  await fixture.turn()
  expect(one).toMatchObject({ state: 'done', value: { value: 'v', version: 7 } })
  const many = watch(fixture.client.getEntries(['{t}a', '{t}b']))
  fixture.answer(await fixture.one('read'), { ...values(9, null, 'w'), versions: [0, 8] })
  await fixture.turn()
  expect(many).toMatchObject({ state: 'done', value: [undefined, { value: 'w', version: 8 }] })
  const put = watch(fixture.client.putEntry('k', 'x'))
  fixture.answer(await fixture.one('write'), { kind: 'written', seq: 10 })
  const batch = watch(fixture.client.batchEntries([{ type: 'put', key: '{t}a', value: '1' }, { type: 'del', key: '{t}b' }]))
  await fixture.turn()
  expect(put).toMatchObject({ state: 'done', value: 10 })
  fixture.answer(await fixture.one('write'), { kind: 'written', seq: 11 })
  await fixture.turn()
  expect(batch).toMatchObject({ state: 'done', value: [11, 11] })
  const del = watch(fixture.client.delEntry('k', { ifVersion: 10 }))
  const sent = await fixture.one('write')
  expect(operations(sent.message)).toMatchObject([{ kind: 'del', ifVersion: 10 }])
  fixture.answer(sent, { kind: 'written', seq: 12 })
  await fixture.turn()
  expect(del).toMatchObject({ state: 'done', value: 12 })
})

test('conditions travel with each operation, also from sublevels and chained batches', async () => {
  const fixture = await Fixture.open(new FakeCluster(['a', 'b', 'c']))
  const { client } = fixture
  const calls = [
    () => client.put('k', 'v', { ifAbsent: true }),
    () => client.put('k', 'v', { ifVersion: 3 }),
    () => client.del('k', { ifVersion: 4 }),
    () => client.sublevel('s').put('k', 'v', { ifVersion: 5 } as object),
    () => client.batch([{ type: 'put', key: '{t}a', value: '1', ifVersion: 6 }, { type: 'del', key: '{t}b' }]),
    () => client.batch().put('{t}a', '1', { ifAbsent: true } as object).del('{t}b', { ifVersion: 7 } as object).write()
  ]
  const seen: unknown[] = []
  for (const call of calls) {
    const done = watch(call())
    const sent = await fixture.one('write')
    seen.push(operations(sent.message).map(operation => (operation as { ifVersion?: number }).ifVersion))
    fixture.answer(sent, { kind: 'written', seq: 10 })
    await fixture.turn()
    expect(done.state).toBe('done')
  }
  expect(seen).toEqual([[0], [3], [4], [5], [6, undefined], [0, 7]])
})

test('a condition that failed is told with the version, for certain, even when an earlier attempt is still on its way', async () => {
  const fixture = await Fixture.open(new FakeCluster(['a', 'b', 'c']))
  const put = watch(fixture.client.put('k', 'v', { ifVersion: 3 }))
  const first = await fixture.one('write')
  fixture.answer(first, { kind: 'error', code: 'BASE_REQUIRED', message: '', definite: true, epoch: 1, seq: 5 })
  await fixture.one('write')
  await fixture.clock.advance(1000)
  // Besides the second attempt the client asks for a new view.
  const second = (await fixture.take()).find(({ message }) => message.kind === 'write')
  fixture.answer(second!, failed(0, 8))
  await fixture.turn()
  expect(put).toMatchObject({ state: 'failed', error: { code: 'CONDITION_FAILED', definite: true, version: 8, operation: 0 } })
})

test('wrong conditions are refused before anything is sent', async () => {
  const fixture = await Fixture.open(new FakeCluster(['a', 'b', 'c']))
  const { client } = fixture
  const wrong = [
    client.put('k', 'v', { ifVersion: 0 }),
    client.put('k', 'v', { ifVersion: '3' as unknown as number }),
    client.put('k', 'v', { ifVersion: 3, ifAbsent: true }),
    client.put('k', 'v', { ifAbsent: 'yes' as unknown as boolean }),
    client.del('k', { ifAbsent: true } as object),
    client.batch(Array.from({ length: 20 }, (_, index) => ({ type: 'put' as const, key: `k${index}`, value: 'v', ...index === 7 ? { ifVersion: 3 } : {} })))
  ]
  for (const call of wrong) await expect(call).rejects.toMatchObject({ code: 'STORE_INVALID_OPTIONS', definite: true })
  expect(await fixture.take()).toEqual([])
})
