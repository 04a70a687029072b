/**
 * What the transport costs on this machine: requests per second between two processes, and the time until a full mesh of
 * transports in one process is connected.
 */
import { CHANNELS, type Address } from '../../../membership/environment/environment.ts'
import { createWebSocketTransport } from '../../../membership/transport/websocket.ts'
import { quantile, rounded } from '../samples.ts'
import { startOtherEnd } from './other-end.ts'
import type { LimitRow } from './rows.ts'

/** Requests of 100 bytes to another process, so many at a time, for so long. */
async function requests (address: Address, outstanding: number, durationMs: number): Promise<LimitRow[]> {
  const transport = createWebSocketTransport()
  await transport.start()
  const value = new Uint8Array(64)
  const beganMs = new Map<number, number>()
  const tookMs: number[] = []
  let sent = 0
  const request = (): void => {
    const id = sent++
    beganMs.set(id, performance.now())
    transport.send(address, CHANNELS.client, { kind: 'get', id, key: 'a key of 16 byte', value })
  }
  let measuringSince = Infinity
  const done = new Promise<number>(resolve => {
    transport.receive(CHANNELS.client, message => {
      const { id } = message as { id: number }
      const now = performance.now()
      if (now >= measuringSince) tookMs.push(now - beganMs.get(id)!)
      beganMs.delete(id)
      if (now - measuringSince >= durationMs) resolve(now - measuringSince)
      else request()
    })
  })
  for (let index = 0; index < outstanding; index++) request()
  // The first half second warms up the compiler on both sides.
  setTimeout(() => { measuringSince = performance.now() }, 500)
  const elapsedMs = await done
  await transport.close()
  tookMs.sort((a, b) => a - b)
  return [
    { limit: `transport: requests, ${outstanding} outstanding`, unit: '1/s', value: Math.round(tookMs.length / elapsedMs * 1000) },
    { limit: `transport: request p50, ${outstanding} outstanding`, unit: 'ms', value: rounded(quantile(tookMs, 0.5)) },
    { limit: `transport: request p99, ${outstanding} outstanding`, unit: 'ms', value: rounded(quantile(tookMs, 0.99)) }
  ]
}

/** All pairs of so many transports in this process, dialled at once from both sides or from one. */
async function mesh (count: number, bothSides: boolean): Promise<LimitRow> {
  const transports = Array.from({ length: count }, () => createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 }, connectTimeoutMs: 30_000, helloTimeoutMs: 30_000 }))
  await Promise.all(transports.map(transport => transport.start()))
  let opened = 0
  const began = performance.now()
  await new Promise<void>((resolve, reject) => {
    for (const [index, transport] of transports.entries()) {
      transport.onLink(event => {
        if (event.kind !== 'opened') reject(new Error(`${event.kind} ${event.address}`))
        if (++opened === count * (count - 1)) resolve()
      })
      for (const [other, { address }] of transports.entries()) if (bothSides ? other !== index : other > index) transport.connect(address!)
    }
  })
  const tookMs = performance.now() - began
  await Promise.all(transports.map(transport => transport.close()))
  return { limit: `transport: a mesh of ${count} in one process opens${bothSides ? ', dialled from both sides' : ''}`, unit: 's', value: rounded(tookMs / 1000) }
}

export async function measureTransport (): Promise<LimitRow[]> {
  const other = await startOtherEnd<Address>('echo-process')
  const rows: LimitRow[] = []
  for (const outstanding of [1, 64, 256]) rows.push(...await requests(other.where, outstanding, 2000))
  other.stop()
  rows.push(await mesh(100, false), await mesh(100, true))
  return rows
}
