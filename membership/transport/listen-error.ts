/** Why a socket cannot listen, as an error with a code of ours. */
import { TransportError } from '../errors.ts'

const INVALID_ADDRESS_CODES = new Set(['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN', 'EINVAL', 'EACCES', 'ERR_SOCKET_BAD_PORT'])

/** @returns a TransportError TRANSPORT_ADDRESS_IN_USE or TRANSPORT_ADDRESS_INVALID, or the error itself where it is neither. */
export function listenError (error: NodeJS.ErrnoException, { host, port }: { readonly host: string, readonly port: number }): Error {
  if (error.code === 'EADDRINUSE') return new TransportError('TRANSPORT_ADDRESS_IN_USE', `Another process listens on ${host}:${port}`, { cause: error })
  if (error.code === undefined || !INVALID_ADDRESS_CODES.has(error.code)) return error
  return new TransportError('TRANSPORT_ADDRESS_INVALID', `Cannot listen on ${host}:${port}: ${error.message}`, { cause: error })
}
