/**
 * The first frame on each side of a connection: who speaks, and which protocol.
 *
 * Pure.
 */
import type { Address } from '../environment/environment.ts'
import { isAddress } from './address.ts'
import { decodeMessage, encodeMessage } from './message-codec.ts'

/** Raised whenever two versions could misunderstand each other. */
export const PROTOCOL_VERSION = 2

export interface Hello {
  /** Where the speaker listens, or undefined for one that does not. */
  readonly address: Address | undefined
  /** Fresh for every start of a transport: tells a second connection to one process from the first to its successor. */
  readonly run: string
}

export function encodeHello (hello: Hello): Uint8Array {
  return encodeMessage({ coterie: PROTOCOL_VERSION, address: hello.address ?? null, run: hello.run })
}

/** @throws {TypeError} when the bytes are not a hello of this protocol and version. */
export function decodeHello (bytes: Uint8Array): Hello {
  const message = decodeMessage(bytes)
  if (typeof message !== 'object' || message === null || !('coterie' in message)) throw new TypeError('not a hello')
  const { coterie, address, run } = message as { coterie: unknown, address?: unknown, run?: unknown }
  if (coterie !== PROTOCOL_VERSION) throw new TypeError(`protocol version ${String(coterie)}, expected ${PROTOCOL_VERSION}`)
  if (address !== null && !isAddress(address)) throw new TypeError('a hello without a valid address')
  if (typeof run !== 'string' || run.length === 0 || run.length > 64) throw new TypeError('a hello without a run')
  return { address: address ?? undefined, run }
}
