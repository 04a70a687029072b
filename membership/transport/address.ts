/**
 * Addresses as `host:port` texts; IPv6 hosts stand in brackets.
 *
 * Pure.
 */
import type { Address } from '../environment/environment.ts'
import { TransportError } from '../errors.ts'

export interface HostPort {
  readonly host: string
  readonly port: number
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([^\s:/?#@[\]]+)):(\d{1,5})$/

/** @throws {TransportError} TRANSPORT_ADDRESS_INVALID */
export function parseAddress (address: Address): HostPort {
  const parts = ADDRESS.exec(address)
  const port = Number(parts?.[3])
  if (parts === null || port < 1 || port > 65_535) {
    throw new TransportError('TRANSPORT_ADDRESS_INVALID', `'${address}' is not an address: expected host:port, as in 10.0.0.1:7000 or [::1]:7000`)
  }
  return { host: (parts[1] ?? parts[2])!, port }
}

export function isAddress (value: unknown): value is Address {
  if (typeof value !== 'string') return false
  const port = Number(ADDRESS.exec(value)?.[3])
  return port >= 1 && port <= 65_535
}

export function formatAddress ({ host, port }: HostPort): Address {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
