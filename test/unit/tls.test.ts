/** TLS between transports: with certificates of the cluster's authority messages pass, without them nobody gets in. */
import { afterEach, describe, expect, test } from 'vitest'
import { connect, startNode } from '../../store/index.ts'
import { CHANNELS, type LinkEvent } from '../../membership/environment/environment.ts'
import { createWebSocketTransport } from '../../membership/transport/websocket.ts'
import type { WebSocketTransportOptions } from '../../membership/transport/websocket-options.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLUSTER, STRANGER } from './tls-fixture.ts'

const MUTUAL = { ...CLUSTER, ca: CLUSTER.cert, requestCert: true }

describe('TLS', () => {
  const open: { close (): unknown }[] = []
  afterEach(async () => { for (const resource of open.splice(0).reverse()) await resource.close() })

  async function node (options: WebSocketTransportOptions) {
    const transport = createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 }, ...options })
    open.push(transport)
    const heard: unknown[] = []
    transport.receive(CHANNELS.store, message => { heard.push(message) })
    await transport.start()
    return { transport, address: transport.address!, heard }
  }

  /** What becomes of the first attempt to reach an address. */
  function outcome (transport: ReturnType<typeof createWebSocketTransport>, address: string): Promise<LinkEvent['kind']> {
    return new Promise(resolve => {
      transport.onLink(event => { if (event.address === address) resolve(event.kind) })
      transport.send(address, CHANNELS.store, 'hello')
    })
  }

  test('two processes with certificates of one authority understand each other', async () => {
    const [a, b] = [await node({ tls: MUTUAL }), await node({ tls: MUTUAL })]
    expect(await outcome(a.transport, b.address)).toBe('opened')
    await expect.poll(() => b.heard).toEqual(['hello'])
  })

  test.each([
    ['speaks no TLS', {}],
    ['shows no certificate', { tls: { ca: CLUSTER.cert } }],
    ['shows the certificate of a stranger', { tls: { ...STRANGER, ca: CLUSTER.cert } }],
    ['does not trust the cluster', { tls: { ...CLUSTER, ca: STRANGER.cert } }]
  ])('who %s reaches nobody', async (_name, options) => {
    const server = await node({ tls: MUTUAL })
    const other = await node(options)
    expect(await outcome(other.transport, server.address)).toBe('unreachable')
    expect(server.heard).toEqual([])
  })

  test('a node and a client: what one writes, the other reads', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'coterie-tls-'))
    open.push({ close: () => rm(directory, { recursive: true }) })
    const started = await startNode({ directory, found: true, partitions: 16, replicas: 1 }, { tls: MUTUAL })
    open.push(started)
    const client = await connect([started.address], { tls: { ...CLUSTER, ca: CLUSTER.cert } })
    open.push(client)
    await client.put('key', 'value')
    expect(await client.get('key')).toBe('value')
    await expect(connect([started.address], { deadlineMs: 500 })).rejects.toMatchObject({ code: 'STORE_NO_SEED' })
  })
})
