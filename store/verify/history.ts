/**
 * A history: what clients did to registers, when, and what they saw. What a workload records and `checkHistory` judges.
 *
 * Pure.
 */

/** A value as it is compared: by identity. `undefined` is "no value". Give every put a value of its own: it makes errors visible. */
export type RegisterValue = string | number | undefined

/** One call of a client, which may be about several keys. */
export interface HistoryCall {
  /** Distinct within the history of a workload. */
  readonly number: number
  /** What was asked for. */
  readonly action: string
  /** What it got is one page: the state of its keys, all of one partition, at one moment. */
  readonly page?: true
}

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
  /** The version that a write gave, or that a get found with a value. For versions.ts and pages.ts; it says nothing about linearizability. */
  readonly version?: number
  /** Of a get: nobody was told the value that has this version, so that nothing but the version is known. */
  readonly valueUnknown?: true
  /** What it is a part of. */
  readonly call?: HistoryCall
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
