/**
 * A session is the client object: what it has seen it does not forget when it is closed and opened again, unless it finds another cluster.
 *
 * Mutations that these tests catch: a session ends with `close`; one goes on with another cluster.
 */
import { expect, test } from 'vitest'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { nextTurn, silentLog } from '../../membership/environment/system.ts'
import { Client } from '../../store/client/client.ts'
import { FakeCluster, ManualClock, NotingTransport, read, type Sent, values } from './client-fixture.ts'

/** A client that can be opened again, and what its session reads ask for. */
function reopenable (): { client: Client, open: (clusterId?: string) => Promise<void>, sessionRead: () => Promise<number | undefined> } {
  const cluster = new FakeCluster(['a', 'b', 'c'])
  let transport = new NotingTransport()
  const make = (): NotingTransport => transport = new NotingTransport()
  const client = new Client({ transport: make, clock: new ManualClock(), random: new SeededRandom(7), log: silentLog }, { seeds: ['a:1'] })
  const next = async (): Promise<Sent> => {
    for (let turn = 0; turn < 10 && transport.sent.length === 0; turn++) await nextTurn()
    const [sent] = transport.sent.splice(0)
    return sent!
  }
  return {
    client,
    open: async clusterId => {
      const opened = client.open()
      const { message } = await next()
      transport.deliver({ request: message.request, kind: 'view', view: cluster.view(clusterId === undefined ? {} : { clusterId }) })
      await opened
    },
    sessionRead: async () => {
      const got = client.get('k', { consistency: 'session' })
      const sent = await next()
      transport.deliver({ request: sent.message.request, ...values(40, 'v') })
      await got
      return read(sent).after
    }
  }
}

test('a session goes on where it was when its client is opened again', async () => {
  const { client, open, sessionRead } = reopenable()
  await open()
  expect(await sessionRead()).toBe(0)
  expect(await sessionRead()).toBe(40)
  await client.close()
  await open()
  expect(await sessionRead()).toBe(40)
})

test('with another cluster it begins anew', async () => {
  const { client, open, sessionRead } = reopenable()
  await open()
  await sessionRead()
  await client.close()
  await open('another cluster')
  expect(await sessionRead()).toBe(0)
})
