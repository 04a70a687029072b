/**
 * `connect()` over real WebSockets, to a node that answers as the client protocol says.
 */
import { expect, test } from 'vitest'
import { CHANNELS } from '../../membership/environment/environment.ts'
import { createSystemClock, silentLog } from '../../membership/environment/system.ts'
import { createWebSocketTransport } from '../../membership/transport/websocket.ts'
import { validateClientRequest } from '../../store/client-protocol-checks.ts'
import { connect } from '../../store/client/client.ts'
import { FakeCluster } from './client-fixture.ts'

test('a value written through one connection is read back, and close() lets go of everything', async () => {
  const node = createWebSocketTransport({ clock: createSystemClock(), log: silentLog, listen: { host: '127.0.0.1', port: 0 } })
  await node.start()
  const address = node.address!
  const cluster = new FakeCluster(['a'])
  const data = new Map<string, Uint8Array>()
  node.receive(CHANNELS.client, (message, from) => {
    const request = validateClientRequest(message)
    const answer = (response: Record<string, unknown>): void => from.reply({ request: request.request, ...response })
    if (request.kind === 'view') return answer({ kind: 'view', view: cluster.view({ addresses: { 'store-a': address } }) })
    if (request.kind === 'status') return answer({ kind: 'status', status: 'fine' })
    if (request.kind === 'read') {
      const values = request.keys.map(key => data.get(Buffer.from(key).toString()) ?? null)
      return answer({ kind: 'values', values, versions: values.map(() => 1), seq: 1 })
    }
    if (request.kind !== 'write') throw new Error(`this node serves no '${request.kind}'`)
    if (request.id.base === -1) return answer({ kind: 'error', code: 'BASE_REQUIRED', message: '', definite: true, epoch: 1, seq: 0 })
    for (const operation of request.operations) if (operation.kind === 'put') data.set(Buffer.from(operation.key).toString(), operation.value)
    answer({ kind: 'written', seq: 1 })
  })
  try {
    await using db = await connect<string, { n: number }>([address], { valueEncoding: 'json' })
    await db.put('k', { n: 7 })
    expect(await db.get('k')).toEqual({ n: 7 })
    expect(await db.get('absent')).toBeUndefined()
    expect(await db.nodeStatus(address)).toBe('fine')
  } finally {
    await node.close()
  }
  await expect(connect([address], { deadlineMs: 300 })).rejects.toMatchObject({ name: 'StoreError', code: 'STORE_NO_SEED' })
})
