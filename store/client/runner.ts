/**
 * The shell around a client's session: carries out its effects on a transport, wakes it, and turns calls into promises.
 *
 * Owns: one timer, the transport's receiver and link listener, and the listeners on callers' signals.
 */
import { type Address, CHANNELS, type CancelTimer, type Clock, type Log, type Random, type Transport } from '../../membership/environment/environment.ts'
import type { ClientRequest, ClusterView, NodeResponse } from '../client-protocol.ts'
import { validateNodeResponse } from '../client-protocol-checks.ts'
import { StoreError } from '../errors.ts'
import { Call, type CallPayload, type SuccessResponse } from './call.ts'
import { callDeadlineMs, callSignal, type CallOptions, type FilledSessionOptions } from './options.ts'
import type { Router } from './router.ts'
import { Session, type SessionInput } from './session.ts'

/** Invalid messages that are logged one by one; further ones are only counted. */
const GARBAGE_LOGGED_MAX = 20

export interface RunnerComponents {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** See `Session`. @default nothing */
  readonly seen?: Map<number, number>
}

interface RefreshWaiter { readonly resolve: (view: ClusterView) => void, readonly cancel: CancelTimer, readonly reject: (error: StoreError) => void }

export class Runner {
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #log: Log
  readonly #options: FilledSessionOptions
  readonly #session: Session
  readonly #unlisten: () => void
  #cancelTimer: CancelTimer | undefined
  #timerAt = Infinity
  readonly #refreshWaiters = new Set<RefreshWaiter>()
  #garbage = 0
  #closed = false

  /** Takes over the client channel of a transport that is started. */
  constructor (components: RunnerComponents, options: FilledSessionOptions) {
    this.#transport = components.transport
    this.#clock = components.clock
    this.#log = components.log
    this.#options = options
    this.#session = new Session({ random: components.random, seen: components.seen ?? new Map<number, number>() }, options)
    this.#transport.receive(CHANNELS.client, message => this.#receive(message))
    this.#unlisten = this.#transport.onLink(event => this.#apply({ kind: 'link', event }))
  }

  get router (): Router {
    return this.#session.router
  }

  /** @throws {StoreError} by rejection: what `Client`'s methods list */
  perform (payload: CallPayload, partition: number, bytes: number, options: CallOptions | undefined): Promise<SuccessResponse> {
    return new Promise((resolve, reject) => {
      const deadlineMs = callDeadlineMs(options, this.#options.deadlineMs)
      const signal = callSignal(options)
      const deadline = this.#clock.now() + deadlineMs
      if (signal === undefined) {
        this.#apply({ kind: 'submit', call: new Call(payload, partition, bytes, deadline, resolve, reject) })
        return
      }
      if (signal.aborted) {
        reject(new StoreError('STORE_ABORTED', 'the operation was aborted before it began', { cause: signal.reason }))
        return
      }
      const onAbort = (): void => this.#apply({ kind: 'abort', call, reason: signal.reason })
      const call = new Call(payload, partition, bytes, deadline,
        response => { signal.removeEventListener('abort', onAbort); resolve(response) },
        error => { signal.removeEventListener('abort', onAbort); reject(error) })
      signal.addEventListener('abort', onAbort, { once: true })
      this.#apply({ kind: 'submit', call })
    })
  }

  /** For an operation of several requests, one after the other: tells what is left of its deadline, in milliseconds. */
  countdown (options: CallOptions | undefined): () => number {
    const deadline = this.#clock.now() + callDeadlineMs(options, this.#options.deadlineMs)
    return () => Math.max(1, Math.ceil(deadline - this.#clock.now()))
  }

  /** @throws {StoreError} by rejection: STORE_NO_SEED, STORE_CLOSED */
  refresh (deadlineMs: number): Promise<ClusterView> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new StoreError('STORE_CLOSED', 'the client is closed'))
      const waiter: RefreshWaiter = {
        resolve,
        reject,
        cancel: this.#clock.setTimer(deadlineMs, () => {
          this.#refreshWaiters.delete(waiter)
          if (this.#refreshWaiters.size === 0) this.#apply({ kind: 'refresh', insistent: false })
          reject(new StoreError('STORE_NO_SEED', `none of the known nodes answered within ${deadlineMs} ms; seeds: ${this.#options.seeds.join(', ')}`))
        })
      }
      this.#refreshWaiters.add(waiter)
      this.#apply({ kind: 'refresh', insistent: true })
    })
  }

  /** @throws {Error} as `Session.checkInvariants` */
  checkInvariants (): void {
    this.#session.checkInvariants()
  }

  /** Ends every call with STORE_CLOSED. The transport is the caller's to close. */
  close (): void {
    this.#apply({ kind: 'close' })
    this.#closed = true
    this.#unlisten()
    this.#cancelTimer?.()
    for (const waiter of this.#refreshWaiters) {
      waiter.cancel()
      waiter.reject(new StoreError('STORE_CLOSED', 'the client was closed'))
    }
    this.#refreshWaiters.clear()
  }

  #receive (message: unknown): void {
    let response: NodeResponse
    try {
      response = validateNodeResponse(message)
    } catch (error) {
      if (++this.#garbage <= GARBAGE_LOGGED_MAX) this.#log.warn({ error, count: this.#garbage }, 'a node sent an invalid answer')
      const request = typeof message === 'object' && message !== null ? (message as { request?: unknown }).request : undefined
      this.#apply({ kind: 'garbage', request: typeof request === 'number' ? request : undefined })
      return
    }
    this.#apply({ kind: 'response', response })
  }

  #apply (input: SessionInput): void {
    for (const effect of this.#session.apply(this.#clock.now(), input)) {
      switch (effect.kind) {
        case 'send': this.#send(effect.to, effect.message); break
        case 'settled': effect.call.resolve(effect.response); break
        case 'failed': effect.call.reject(effect.error); break
        case 'refreshed': this.#onRefreshed(effect.view); break
        case 'refused-view': this.#log.warn({ error: effect.error }, 'a node answered with a view that does not fit'); break
      }
    }
    this.#arm()
  }

  #send (to: Address, message: ClientRequest): void {
    // A transport pauses longer and longer between its attempts, and what is sent meanwhile is lost: the caller would wait for an answer.
    if (this.#session.router.isUnreached(to)) this.#transport.connect(to)
    // In a stream of its own: a short request need not wait for a long one.
    this.#transport.send(to, CHANNELS.client, message, message.request)
  }

  #onRefreshed (view: ClusterView): void {
    for (const waiter of this.#refreshWaiters) {
      waiter.cancel()
      waiter.resolve(view)
    }
    this.#refreshWaiters.clear()
  }

  /** One timer for everything: it is moved only when something is due earlier, and looks for what comes next when it fires. */
  #arm (): void {
    const at = this.#session.wakeAt
    if (at >= this.#timerAt || this.#closed) return
    this.#cancelTimer?.()
    this.#timerAt = at
    this.#cancelTimer = this.#clock.setTimer(Math.max(0, at - this.#clock.now()), () => {
      this.#timerAt = Infinity
      this.#cancelTimer = undefined
      this.#apply({ kind: 'wake' })
    })
  }
}
