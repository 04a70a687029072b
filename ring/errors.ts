/** The errors of the ring: one class, told apart by a stable `code`. No call of the ring has effects, so each is definite. */

export type RingErrorCode =
  | 'RING_INVALID_OPTIONS' /** An option is of the wrong type or out of range. */
  | 'RING_INVALID_CONFIGURATION' /** A configuration names a store twice, or a weight that is no integer from 0 to 1000. */
  | 'RING_INVALID_STATE' /** Bytes that are not a placement of this strategy in this version. */
  | 'RING_OUT_OF_ORDER' /** A configuration that does not directly follow the placement it was to be applied to. */
  | 'RING_MISMATCH' /** Two placements with different numbers of partitions, or a change that names an unknown store. */
  | 'RING_CALLBACK_FAILED' /** A callback of a Sharder threw; `cause` has every error. All other callbacks were made. */
  | 'RING_INVARIANT' /** The placement contradicts its own rules: a bug, to be reported with the state's bytes. */

export class RingError extends Error {
  readonly code: RingErrorCode
  readonly definite = true

  constructor (code: RingErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'RingError'
    this.code = code
  }
}
