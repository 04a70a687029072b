/**
 * The transports of membership, each against the conformance suite; and what is the WebSocket transport's own: strangers on the
 * port, limits, priorities.
 */
import { createServer } from 'node:net'
import { type AddressInfo } from 'node:net'
import { vi } from 'vitest'
import { type Address, type Transport } from '../../membership/environment/environment.ts'
import { createMemoryHub, type MemoryTransport } from '../../membership/transport/memory.ts'
import { createWebSocketTransport, type WebSocketTransport } from '../../membership/transport/websocket.ts'
import { transportConformance } from '../conformance/transport.ts'
import { Simulation } from '../sim/simulation.ts'

const until = (condition: () => boolean): Promise<void> =>
  vi.waitFor(() => { if (!condition()) throw new Error('the condition does not hold') }, { timeout: 5000, interval: 1 })

async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  await new Promise<void>(resolve => { server.close(() => resolve()) })
  return port
}

transportConformance('WebSocket transport', {
  create: (address?: Address) => createWebSocketTransport({ listen: { host: '127.0.0.1', port: address === undefined ? 0 : Number(address.split(':')[1]) } }),
  createClient: () => createWebSocketTransport(),
  freeAddress: async () => `127.0.0.1:${await freePort()}`,
  kill: (transport: Transport) => (transport as WebSocketTransport).kill(),
  until
})

const hub = createMemoryHub()
let memoryPort = 1000
transportConformance('memory transport', {
  create: (address = `memory:${memoryPort++}`) => hub.transport(address),
  createClient: () => hub.transport(),
  freeAddress: () => `memory:${memoryPort++}`,
  kill: (transport: Transport) => (transport as MemoryTransport).kill(),
  until
})

const simulation = new Simulation({ seed: 1 })
let simulatedPort = 1000
const names = new Map<Transport, string>()
transportConformance('simulated transport', {
  create: (address = `simulated:${simulatedPort++}`) => {
    const host = simulation.host(address)
    const { transport } = host.environment
    names.set(transport, address)
    return transport
  },
  createClient: () => {
    const name = `client ${simulatedPort++}`
    const { transport } = simulation.client(name)
    names.set(transport, name)
    return transport
  },
  freeAddress: () => `simulated:${simulatedPort++}`,
  addressesAreUnique: true,
  kill: (transport: Transport) => simulation.host(names.get(transport)!).crash(),
  until: async condition => {
    await simulation.run({ until: condition })
    if (!condition()) throw new Error('the condition does not hold')
  }
})
