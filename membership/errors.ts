/** The errors of membership and its transports: one class each, told apart by a stable `code`. */

export type MembershipErrorCode =
  | 'MEMBERSHIP_INVALID_OPTIONS' /** An option is missing, unknown, of the wrong type or out of range. */
  | 'MEMBERSHIP_JOIN_REFUSED' /** The cluster refused this joiner; the message has its reason. */
  | 'MEMBERSHIP_JOIN_TIMEOUT' /** No seed let this process in before the deadline. */
  | 'MEMBERSHIP_ALREADY_FOUNDED' /** This data directory, or a reachable seed, belongs to a cluster that was founded before. */
  | 'MEMBERSHIP_CONFLICT' /** Two configurations claim one epoch: this process halts. */
  | 'MEMBERSHIP_INVALID_MESSAGE' /** Something on the wire was not a message of this protocol. */
  | 'MEMBERSHIP_CLOSED' /** The call came after close(). */
  | 'MEMBERSHIP_NOT_STARTED' /** The call needs a started membership. */
  | 'MEMBERSHIP_STORAGE_FAILED' /** A record that must survive a restart could not be written: this process halts. */
  | 'MEMBERSHIP_REMOVED' /** The cluster removed this member before it did what was asked. */
  | 'MEMBERSHIP_LEAVE_TIMEOUT' /** The cluster did not acknowledge the leave before the deadline. */

export class MembershipError extends Error {
  readonly code: MembershipErrorCode
  /** True when the failed call certainly had no effect on the cluster. */
  readonly definite: boolean

  constructor (code: MembershipErrorCode, message: string, options: { definite?: boolean, cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'MembershipError'
    this.code = code
    this.definite = options.definite ?? true
  }
}

export type TransportErrorCode =
  | 'TRANSPORT_ADDRESS_IN_USE' /** Another process listens on the port. */
  | 'TRANSPORT_ADDRESS_INVALID' /** Not `host:port`, or not an address of this machine. */
  | 'TRANSPORT_CLOSED' /** The call came after close(). */

export class TransportError extends Error {
  readonly code: TransportErrorCode

  constructor (code: TransportErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'TransportError'
    this.code = code
  }
}
