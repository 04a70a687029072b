/**
 * One request of a client on its way to an answer, through as many attempts as it takes.
 *
 * What it must never get wrong is whether a failed write certainly had no effect. An attempt can have had one only if it was
 * possibly received, carried a base (a node answers a write without one BASE_REQUIRED and does nothing, rule S9), and was not
 * answered by an error that says it is definite. Everything here follows from that.
 *
 * Pure.
 */
import type { Address } from '../../membership/environment/environment.ts'
import type { StoreId } from '../../membership/configuration.ts'
import type { ClientRequest, NodeChange, NodeResponse, Operation, WatchSpec } from '../client-protocol.ts'
import { StoreError, type StoreErrorCode } from '../errors.ts'
import { isPageOf, type ScanSpec } from '../scan-range.ts'
import type { Consistency } from './options.ts'

export type CallPayload =
  | { readonly kind: 'read', readonly keys: readonly Uint8Array[], readonly consistency?: Consistency }
  | { readonly kind: 'write', readonly operations: readonly Operation[] }
  | { readonly kind: 'scan', readonly scan: ScanSpec }
  | { readonly kind: 'watch', readonly watch: WatchSpec }
  /** About one node, which shall first change something about itself where that is named. */
  | { readonly kind: 'status', readonly address: Address, readonly change?: NodeChange, readonly explain?: number, readonly survey?: boolean }

export type SuccessResponse = Exclude<NodeResponse, { kind: 'error' | 'view' }>
export type ErrorResponse = Extract<NodeResponse, { kind: 'error' }>

/** One sending of a call to one node. */
export interface Attempt {
  readonly call: Call
  readonly request: number
  readonly to: Address
  /** It is a write with a base, or changes a node: a node that receives it may carry it out. */
  readonly effective: boolean
  /** The call went on without its answer, which counts in `call.uncertain` if it is effective. */
  abandoned: boolean
}

export class Call {
  readonly payload: CallPayload
  /** -1 for a status request, which is about a node. */
  readonly partition: number
  /** Bytes of keys and values, for the limit on what is under way. */
  readonly bytes: number
  /** When it fails, on the clock's scale. */
  readonly deadline: number
  /** Called by the shell, never by the session. */
  readonly resolve: (response: SuccessResponse) => void
  /** Called by the shell, never by the session. */
  readonly reject: (error: StoreError) => void

  state: 'new' | 'waiting' | 'asking' | 'pausing' | 'settled' = 'new'
  /** The next time something must happen if no answer comes: a timeout, the end of a pause, the deadline. */
  wakeAt = 0
  /** The write's number, given when it is first sent; the same in every attempt (rule S9). */
  number: number | undefined
  /** The partition's position when the write was first sent with one; then never changed (rule S9). -1 before that. */
  base = -1
  /** For a read that any replica may answer: how much it must have at least. */
  after: number | undefined
  /** The attempt under way. Defined exactly in state 'asking'. */
  attempt: Attempt | undefined
  /** Attempts given up whose answer may still come. */
  abandoned: Attempt[] | undefined
  /** Who was asked since the last pause: each is asked once, so that two stores that name each other end in a pause. */
  visited: Address[] | undefined
  /** Who the last answer said to ask instead, best first. */
  hints: readonly Address[] | undefined
  /** Pauses so far, for the backoff. */
  rounds = 0
  /** Pauses in a row at the request of one store. */
  waits = 0
  /** How often OPERATION_EXPIRED led to a new base. */
  rebases = 0
  /** Effective attempts without an answer: each may have happened, or may still happen. */
  uncertain = 0
  /** An effective attempt was answered by an error that is not definite. */
  tainted = false
  /** What its answer takes, as far as a node said that had no room for it. */
  expects: number | undefined
  /** The last answer that was an error. */
  lastError: ErrorResponse | undefined

  constructor (payload: CallPayload, partition: number, bytes: number, deadline: number, resolve: Call['resolve'], reject: Call['reject']) {
    this.payload = payload
    this.partition = partition
    this.bytes = bytes
    this.deadline = deadline
    this.resolve = resolve
    this.reject = reject
  }

  /** True for a read that any replica may answer. */
  get local (): boolean {
    return this.payload.kind === 'read' && this.payload.consistency !== undefined && this.payload.consistency !== 'linearizable'
  }

  /** How long a node may take its time before it answers, in milliseconds. */
  get waitMs (): number {
    return this.payload.kind === 'watch' ? this.payload.watch.waitMs : 0
  }

  /** True when the call certainly had, and will have, no effect if it ends now without success. */
  get definite (): boolean {
    return this.uncertain === 0 && !this.tainted && this.attempt?.effective !== true
  }

  request (request: number, clientId: string): ClientRequest {
    const { payload, partition } = this
    const expecting = this.expects === undefined ? {} : { expects: this.expects }
    switch (payload.kind) {
      case 'read': return { kind: 'read', request, partition, keys: payload.keys, ...this.after === undefined ? {} : { after: this.after }, ...expecting }
      case 'write': return { kind: 'write', request, partition, id: { client: clientId, number: this.number!, base: this.base }, operations: payload.operations }
      case 'scan': return { kind: 'scan', request, partition, scan: payload.scan, ...expecting }
      case 'watch': return { kind: 'watch', request, partition, watch: payload.watch, ...expecting }
      case 'status': {
        const { change, explain, survey } = payload
        return { kind: 'status', request, ...change, ...explain === undefined ? {} : { explain }, ...survey === true ? { survey: true } : {} }
      }
    }
  }

  /** Whether this is an answer to what was asked, well formed in itself already. */
  isAnsweredBy (response: NodeResponse): response is SuccessResponse {
    switch (this.payload.kind) {
      case 'read': return response.kind === 'values' && response.values.length > 0 && response.values.length <= this.payload.keys.length
      case 'write': return response.kind === 'written'
      case 'scan': return response.kind === 'page' && isPageOf(response.page, this.payload.scan)
      case 'watch': return response.kind === 'changes' && areChangesOf(response, this.payload.watch)
      case 'status': return response.kind === 'status'
    }
  }

  error (code: StoreErrorCode, message: string, options: { waitingFor?: readonly StoreId[], cause?: unknown } = {}): StoreError {
    return new StoreError(code, message, { ...options, definite: this.definite })
  }

  /**
   * A condition did not hold. That was decided once for all attempts: the group remembers it like a write that happened (rule S9),
   * so that an attempt which is still on its way does nothing either.
   */
  conditionError ({ message, failed }: ErrorResponse): StoreError {
    return new StoreError('CONDITION_FAILED', message, { definite: true, failed })
  }

  /** What the caller is told when the deadline has passed. @param missing the partition's stores that are not in the cluster */
  deadlineError (missing: readonly StoreId[], routable: boolean): StoreError {
    const last = this.lastError
    if (last?.code === 'PARTITION_UNAVAILABLE') {
      return this.error('PARTITION_UNAVAILABLE', last.message, { waitingFor: last.waitingFor ?? missing })
    }
    const why = last !== undefined
      ? `the last answer was ${last.code}: ${last.message}`
      : this.state === 'waiting'
        ? 'it was still waiting for earlier operations of this client to end'
        : routable
          ? 'no node answered'
          : 'the cluster has no placement yet: it has not reached its expected size'
    return this.error('STORE_DEADLINE_EXCEEDED', `the operation was not settled before its deadline; ${why}`)
  }
}

/** Whether changes can be the answer to a poll: in their order, and all between the position that it named and the one they end at. */
function areChangesOf ({ entries, upTo }: NodeResponse & { kind: 'changes' }, { after }: WatchSpec): boolean {
  let last = after
  for (const { seq } of entries) {
    if (seq <= last || after < 0) return false
    last = seq
  }
  return last <= upTo
}
