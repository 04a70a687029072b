/**
 * TLS for a transport: what it shows and what it accepts, when it is dialled and when it dials.
 *
 * Processes of a cluster are servers and clients of each other at once, so one certificate and one authority usually serve both sides;
 * with `requestCert` a process that shows no certificate of that authority is not let in.
 */
import type { ConnectionOptions, SecureContextOptions, TlsOptions } from 'node:tls'

/** Passed on to `node:tls` as it is. A client's transport, which does not listen, needs `ca` alone. */
export type TransportTls =
  & Pick<SecureContextOptions, 'ca' | 'cert' | 'key' | 'pfx' | 'passphrase' | 'crl' | 'ciphers' | 'minVersion' | 'maxVersion'>
  & Pick<TlsOptions, 'requestCert' | 'rejectUnauthorized'>
  & Pick<ConnectionOptions, 'servername'>
