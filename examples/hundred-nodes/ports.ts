/**
 * Free ports for the nodes that others must know before they listen.
 *
 * Every other node takes any port that the system gives it (port 0). Those ports, and the local ports of connections, come from a
 * range that begins at 32768 on Linux (49152 elsewhere), so the ports chosen here lie below and are not given away meanwhile.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'

const LOWEST = 20_000
const HIGHEST = 32_000
const ATTEMPTS_MAX = 1000

async function isFree (port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false
    throw error
  } finally {
    if (server.listening) {
      server.close()
      await once(server, 'close')
    }
  }
}

/** @throws {Error} when too many ports are taken. */
export async function freePorts (count: number): Promise<number[]> {
  const ports = new Set<number>()
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (ports.size === count) return [...ports]
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST))
    if (!ports.has(port) && await isFree(port)) ports.add(port)
  }
  throw new Error(`there are no ${count} free ports from ${LOWEST} to ${HIGHEST}`)
}
