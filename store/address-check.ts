/**
 * Whether an option is an address at which a node could be: what nodes and clients are given is checked alike, before anybody waits for it.
 *
 * Pure.
 */
import type { Address } from '../membership/environment/environment.ts'
import { isAddress } from '../membership/transport/address.ts'
import { StoreError } from './errors.ts'

/** @param name what the message calls it. @throws {StoreError} STORE_INVALID_OPTIONS naming it */
export function checkAddress (name: string, value: unknown): asserts value is Address {
  if (!isAddress(value)) refuse(name, value)
}

/** The same for where a node listens: port 0 is for a free one. @throws as `checkAddress` */
export function checkListenAddress (name: string, value: unknown): asserts value is Address {
  if (typeof value !== 'string' || !isAddress(value.replace(/:0+$/, ':1'))) refuse(name, value)
}

function refuse (name: string, value: unknown): never {
  throw new StoreError('STORE_INVALID_OPTIONS', `${name} must be 'host:port', not ${typeof value === 'string' ? `'${value}'` : String(value)}`)
}
