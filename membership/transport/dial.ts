/**
 * One attempt to connect: first the TCP connection alone, then the WebSocket on it.
 *
 * A dead address is asked again and again while its members find out that it is dead; a refused TCP connection costs a third of what a
 * WebSocket's request costs that never gets sent.
 *
 * Owns: the TCP socket until there is a WebSocket.
 */
import { connect, isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { WebSocket } from 'ws'
import type { Address, Clock } from '../environment/environment.ts'
import { parseAddress } from './address.ts'
import { TRANSPORT_PATH } from './listener.ts'
import type { TransportTls } from './tls.ts'

export interface DialOptions {
  readonly clock: Clock
  readonly connectTimeoutMs: number
  readonly frameBytesMax: number
  readonly tls: TransportTls | undefined
}

export interface DialEvents {
  /** The WebSocket, which is about to shake hands. */
  connected (socket: WebSocket): void
  /** There is none. Called in a later turn, and at most once. */
  failed (error: NodeJS.ErrnoException): void
}

/** Begins an attempt. @returns a function that ends it, unless it has connected; `failed` follows. */
export function dial (to: Address, options: DialOptions, events: DialEvents): () => void {
  const { clock, connectTimeoutMs, frameBytesMax, tls } = options
  const { host, port } = parseAddress(to)
  const tcp = connect({ host, port })
  const cancelTimeout = clock.setTimer(connectTimeoutMs, () => { tcp.destroy(new Error(`not connected within ${connectTimeoutMs} ms`)) })
  const failed = (error: Error): void => {
    cancelTimeout()
    events.failed(error)
  }
  tcp.once('error', failed)
  tcp.once('connect', () => {
    cancelTimeout()
    tcp.off('error', failed)
    // The request for the WebSocket ends when its socket says that nothing came for so long.
    tcp.setTimeout(connectTimeoutMs)
    const stream = tls === undefined ? tcp : connectTls({ servername: isIP(host) === 0 ? host : '', ...tls, socket: tcp, host })
    const socket = new WebSocket(`${tls === undefined ? 'ws' : 'wss'}://${to}${TRANSPORT_PATH}`, {
      createConnection: () => stream,
      handshakeTimeout: connectTimeoutMs,
      maxPayload: frameBytesMax,
      perMessageDeflate: false,
      skipUTF8Validation: true,
      // Masks keep proxies in browsers' networks from misreading frames as requests. Between servers they only cost time.
      generateMask: mask => { mask.fill(0) }
    })
    events.connected(socket)
  })
  return () => { tcp.destroy(new Error('given up')) }
}
