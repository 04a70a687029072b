/**
 * A history: what clients did to registers, when, and what they saw. What a workload records and `checkHistory` judges.
 *
 * Pure.
 */

/** A value as it is compared: by identity. `undefined` is "no value". Give every put a value of its own: it makes errors visible. */
export type RegisterValue = string | number | undefined

export interface HistoryOperation {
  /** Who did it. For the report only: order comes from the times. */
  readonly process: number
  readonly key: string
  readonly kind: 'put' | 'del' | 'get'
  /** What a put wrote. */
  readonly input?: RegisterValue
  /** What a get returned. */
  readonly output?: RegisterValue
  /** A write that happens only where the register has this value. */
  readonly expected?: { readonly value: RegisterValue }
  /** From this time on the value of a put may vanish by itself. */
  readonly expiresAfter?: number
  /** The version that a put gave, or that a get found with a value. Not looked at here; see versions.ts. */
  readonly version?: number
  readonly start: number
  /** Undefined when the outcome is unknown. An operation that starts when another ends counts as concurrent with it. */
  readonly end: number | undefined
  /** It certainly had no effect; nothing follows from it. */
  readonly definiteFailure?: boolean
}

/** True for what may change the register. */
export const writes = (operation: HistoryOperation): boolean => operation.kind !== 'get'

/** What a write leaves behind, or what a get saw. */
export const valueOf = (operation: HistoryOperation): RegisterValue =>
  operation.kind === 'put' ? operation.input : operation.kind === 'get' ? operation.output : undefined
