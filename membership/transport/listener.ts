/**
 * The listening side of the WebSocket transport: one port for peers, clients and plain HTTP.
 *
 * Owns: the HTTP server and the count of the connections that came through it.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Log } from '../environment/environment.ts'
import { TransportError } from '../errors.ts'
import { listenError } from './listen-error.ts'
import type { TransportTls } from './tls.ts'

/** Requests to upgrade elsewhere are no peers of ours. */
export const TRANSPORT_PATH = '/transport'
/** Connections that the kernel holds for us while this process is busy: a whole cluster may dial in one turn. */
const BACKLOG = 1024
/** How often connections that never finish a request are looked for. */
const CHECKING_INTERVAL_MS = 1000

export interface ListenerOptions {
  readonly host: string
  readonly port: number
  readonly frameBytesMax: number
  readonly helloTimeoutMs: number
  readonly connectionsMax: number
  readonly onHttpRequest: RequestListener | undefined
  readonly tls: TransportTls | undefined
}

export class Listener {
  readonly #options: ListenerOptions
  readonly #log: Log
  readonly #onSocket: (socket: WebSocket) => void
  readonly #server: Server
  readonly #sockets: WebSocketServer
  /** Invariant: 0 <= accepted <= connectionsMax. */
  #accepted = 0
  #closed = false

  constructor (log: Log, onSocket: (socket: WebSocket) => void, options: ListenerOptions) {
    this.#options = options
    this.#log = log
    this.#onSocket = onSocket
    const http = { headersTimeout: options.helloTimeoutMs, connectionsCheckingInterval: CHECKING_INTERVAL_MS, noDelay: true }
    const answer = options.onHttpRequest ?? ((_request, response) => { response.writeHead(404).end() })
    this.#server = options.tls === undefined
      ? createServer(http, answer)
      : createSecureServer({ ...http, handshakeTimeout: options.helloTimeoutMs, ...options.tls }, answer)
    this.#sockets = new WebSocketServer({
      noServer: true, maxPayload: options.frameBytesMax, perMessageDeflate: false, clientTracking: false, skipUTF8Validation: true
    })
    this.#server.on('clientError', (error, socket) => {
      log.debug({ error }, 'closed a connection that does not speak HTTP')
      socket.destroy()
    })
    this.#server.on('tlsClientError', (error: Error) => { log.debug({ error }, 'closed a connection that failed its TLS handshake') })
    this.#sockets.on('wsClientError', (error, socket) => {
      log.debug({ error }, 'closed a connection that does not speak WebSocket')
      socket.destroy()
    })
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  /**
   * @returns the port.
   * @throws {TransportError} TRANSPORT_ADDRESS_IN_USE, TRANSPORT_ADDRESS_INVALID, TRANSPORT_CLOSED
   */
  async listen (): Promise<number> {
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error): void => reject(listenError(error, this.#options))
      const closed = (): void => reject(new TransportError('TRANSPORT_CLOSED', 'Closed while it started'))
      this.#server.once('error', fail).once('close', closed)
      try {
        this.#server.listen({ host, port, backlog: BACKLOG }, () => {
          this.#server.off('error', fail).off('close', closed)
          resolve()
        })
      } catch (error) {
        fail(error as Error)
      }
    })
    this.#server.on('error', error => this.#log.error({ error }, 'the listening socket failed'))
    return (this.#server.address() as AddressInfo).port
  }

  #upgrade (request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Before the WebSocket takes over, an error of this socket is nobody else's.
    socket.on('error', error => this.#log.debug({ error }, 'a connection failed'))
    if (this.#closed || request.url !== TRANSPORT_PATH || this.#accepted >= this.#options.connectionsMax) {
      if (this.#accepted >= this.#options.connectionsMax) {
        this.#log.warn({ connectionsMax: this.#options.connectionsMax }, 'refused a connection: there are too many')
      }
      socket.destroy()
      return
    }
    this.#sockets.handleUpgrade(request, socket, head, webSocket => {
      this.#accepted++
      webSocket.once('close', () => { this.#accepted-- })
      this.#onSocket(webSocket)
    })
  }

  /** Stops listening at once, and destroys the connections that are not WebSockets. Resolves when the port is free. */
  close (): Promise<void> {
    this.#closed = true
    this.#sockets.close()
    return new Promise(resolve => {
      // The error says that it does not listen, which is what was asked for.
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}
