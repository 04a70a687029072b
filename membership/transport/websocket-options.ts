/** The options of the WebSocket transport: what each means, its default. */
import type { RequestListener } from 'node:http'
import type { Address, Clock, Log, Random } from '../environment/environment.ts'
import { createSystemClock, createSystemRandom, silentLog } from '../environment/system.ts'
import { TransportError } from '../errors.ts'
import { parseAddress } from './address.ts'
import type { TransportTls } from './tls.ts'

export interface WebSocketTransportOptions {
  /** Where to listen; port 0 picks a free one. Left out: a client's transport, which does not listen. */
  readonly listen?: { readonly host: string, readonly port: number }
  /** What others dial to reach this transport. @default the host and port listened on */
  readonly advertise?: Address
  /** Answers plain HTTP requests on the same port. @default 404 to all */
  readonly onHttpRequest?: RequestListener
  /** Largest frame, and so the largest message, in bytes. Both sides need the same. @default 32 MiB */
  readonly frameBytesMax?: number
  /** Largest sum of messages waiting for one peer, in bytes; what is beyond is lost. @default 64 MiB */
  readonly queueBytesMax?: number
  /** Attempts to connect under way at once; others wait. Membership's own messages never do. @default 4 */
  readonly dialsMax?: number
  /** How long a connected stranger may take to say who it is. @default 10_000 */
  readonly helloTimeoutMs?: number
  /** How long an attempt to connect may take. Includes the lateness of this process. @default 5000 */
  readonly connectTimeoutMs?: number
  /**
   * After a failed attempt messages to that address are lost for so long, before the next attempt; doubles with each failure up to 16
   * times this, except for membership's own messages. @default 100
   */
  readonly redialDelayMs?: number
  /** A connection on which nothing arrives for about so long, pings included, is closed. @default 30_000 */
  readonly silenceTimeoutMs?: number
  /** Accepted connections at one time; further ones are refused. @default 10_000 */
  readonly connectionsMax?: number
  /** Speaks TLS with everybody. The same at every process and client of a cluster. @default plain TCP */
  readonly tls?: TransportTls
  readonly clock?: Clock
  readonly random?: Random
  readonly log?: Log
}

const DEFAULTS = Object.freeze({
  frameBytesMax: 32 * 1024 * 1024,
  queueBytesMax: 64 * 1024 * 1024,
  dialsMax: 4,
  helloTimeoutMs: 10_000,
  connectTimeoutMs: 5000,
  redialDelayMs: 100,
  silenceTimeoutMs: 30_000,
  connectionsMax: 10_000
})

export type WebSocketSettings = WebSocketTransportOptions &
  Required<Pick<WebSocketTransportOptions, keyof typeof DEFAULTS | 'clock' | 'random' | 'log'>>

/**
 * Fills in defaults, then checks.
 * @throws {TransportError} TRANSPORT_ADDRESS_INVALID when `advertise` is not an address, or is needed and missing.
 */
export function resolveWebSocketOptions (options: WebSocketTransportOptions): WebSocketSettings {
  if (options.advertise !== undefined) parseAddress(options.advertise)
  const anyHost = options.listen !== undefined && ['', '0.0.0.0', '::'].includes(options.listen.host)
  if (anyHost && options.advertise === undefined) {
    throw new TransportError('TRANSPORT_ADDRESS_INVALID', `Listening on every interface ('${options.listen?.host}') needs \`advertise\`: the address others dial`)
  }
  return { ...DEFAULTS, clock: createSystemClock(), random: createSystemRandom(), log: silentLog, ...options }
}
