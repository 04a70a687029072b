/**
 * The protocol core of a client: admits calls, has them asked of the right nodes, and settles each call once and in time.
 *
 * Admission says which calls are under way (admission.ts); how a call gets from node to node is attempts.ts; where to is router.ts.
 *
 * Pure: time is an argument, chance is injected. Effects are to be carried out in the order given.
 */
import type { Address, LinkEvent, Random } from '../../membership/environment/environment.ts'
import { CLIENT_PROTOCOL_VERSION, type ClientRequest, type ClusterView, type NodeResponse } from '../client-protocol.ts'
import type { StoreError } from '../errors.ts'
import { Admission } from './admission.ts'
import { Attempts } from './attempts.ts'
import type { Call, SuccessResponse } from './call.ts'
import type { FilledSessionOptions } from './options.ts'
import { Router } from './router.ts'
import { ViewRefresh } from './view-refresh.ts'
import { ViewWatch } from './view-watch.ts'

export type SessionInput =
  | { readonly kind: 'submit', readonly call: Call }
  | { readonly kind: 'response', readonly response: NodeResponse }
  /** Something came that is no valid answer. `request` is set when it named the request it pretends to answer. */
  | { readonly kind: 'garbage', readonly request: number | undefined }
  | { readonly kind: 'link', readonly event: LinkEvent }
  | { readonly kind: 'abort', readonly call: Call, readonly reason: unknown }
  /** Wants a view: until one comes if `insistent`, else whoever wanted one has given up. */
  | { readonly kind: 'refresh', readonly insistent: boolean }
  /** `wakeAt` has passed. */
  | { readonly kind: 'wake' }
  | { readonly kind: 'close' }

export type SessionEffect =
  | { readonly kind: 'send', readonly to: Address, readonly message: ClientRequest }
  | { readonly kind: 'settled', readonly call: Call, readonly response: SuccessResponse }
  | { readonly kind: 'failed', readonly call: Call, readonly error: StoreError }
  /** A node answered with its view; `view` is the newest this client knows. */
  | { readonly kind: 'refreshed', readonly view: ClusterView }
  /** A node answered with a view that this client cannot accept. */
  | { readonly kind: 'refused-view', readonly error: unknown }

export class Session {
  readonly #options: FilledSessionOptions
  readonly #random: Random
  readonly #router = new Router()
  readonly #refresh: ViewRefresh
  readonly #watch: ViewWatch
  readonly #admission: Admission
  readonly #attempts: Attempts
  #effects: SessionEffect[] = []
  #requests = 0
  #wakeAt = Infinity
  #admitting = false
  #closed = false

  /** @param components.seen what this session was told before: the highest sequence number, by partition */
  constructor (components: { readonly random: Random, readonly seen: Map<number, number> }, options: FilledSessionOptions) {
    const { random, seen } = components
    this.#options = options
    this.#random = random
    this.#refresh = new ViewRefresh(options.attemptTimeoutMs, options.backoffMaxMs)
    this.#watch = new ViewWatch(options.backoffMaxMs)
    this.#admission = new Admission(options)
    this.#attempts = new Attempts({ random, router: this.#router, clientId: random.id(), nextRequest: () => ++this.#requests, seen }, options, {
      send: (to, message) => { this.#effects.push({ kind: 'send', to, message }) },
      wakeCall: (call, at) => { this.#wakeCall(call, at) },
      paused: (now, call) => {
        if (call.payload.kind !== 'status') this.#watch.want(now)
        this.#admission.pause(call)
        this.#admit(now)
      },
      suggestRefresh: (now, from) => { this.#refresh.suggest(now, from) },
      fail: (now, call, error) => {
        this.#fail(call, error)
        this.#admit(now)
      }
    })
  }

  get router (): Router {
    return this.#router
  }

  /** When `wake` is due; it may come too early, never too late. Infinity when nothing is under way. */
  get wakeAt (): number {
    return Math.min(this.#wakeAt, this.#refresh.wakeAt, this.#watch.wakeAt)
  }

  apply (now: number, input: SessionInput): SessionEffect[] {
    switch (input.kind) {
      case 'submit': this.#submit(now, input.call); break
      case 'response': this.#onResponse(now, input.response); break
      case 'garbage': this.#onGarbage(now, input.request); break
      case 'link': this.#onLink(now, input.event); break
      case 'abort': this.#onAbort(now, input.call, input.reason); break
      case 'refresh':
        if (input.insistent) this.#refresh.insist(now)
        else this.#refresh.insistent = false
        break
      case 'wake': this.#onWake(now); break
      case 'close': this.#close(); break
    }
    if (!this.#closed && this.#refresh.wakeAt <= now) this.#advanceRefresh(now)
    if (!this.#closed && this.#watch.wakeAt <= now) this.#advanceWatch(now)
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  // Admission

  #submit (now: number, call: Call): void {
    if (this.#closed) return this.#fail(call, call.error('STORE_CLOSED', 'the client is closed'))
    switch (this.#admission.offer(call)) {
      case 'live':
        return this.#attempts.begin(now, call)
      case 'waiting':
        call.state = 'waiting'
        return this.#wakeCall(call, call.deadline)
      case 'refused':
        return this.#fail(call, call.error('STORE_OVERLOADED', 'too many operations wait in this client: await some before you start more'))
    }
  }

  /** Begins what waits as long as there is room. What begins to pause at once makes room for the next. */
  #admit (now: number): void {
    if (this.#admitting) return
    this.#admitting = true
    for (let call = this.#admission.next(); call !== undefined; call = this.#admission.next()) this.#attempts.begin(now, call)
    this.#admitting = false
  }

  // What arrives

  #onResponse (now: number, response: NodeResponse): void {
    if (this.#refresh.isAnswer(response.request)) return this.#onView(now, response)
    if (this.#watch.isAnswer(response.request)) return this.#onNextView(now, response)
    const attempt = this.#attempts.get(response.request)
    if (attempt === undefined) return
    const { call } = attempt
    if (call.isAnsweredBy(response)) {
      this.#attempts.learn(attempt, response)
      this.#settle(call, response)
      return this.#admit(now)
    }
    if (response.kind === 'error') this.#attempts.refused(now, attempt, response)
    else this.#onGarbage(now, response.request)
  }

  #onGarbage (now: number, request: number | undefined): void {
    if (request === undefined) return
    if (this.#refresh.isAnswer(request)) return this.#refresh.lost(now)
    if (this.#watch.isAnswer(request)) return this.#watch.answered(now, false)
    const attempt = this.#attempts.get(request)
    if (attempt !== undefined && !attempt.abandoned) this.#attempts.lost(now, attempt.call)
  }

  #onLink (now: number, event: LinkEvent): void {
    const { address } = event
    if (event.kind === 'opened') return this.#router.reached(address)
    if (event.kind !== 'closed') this.#router.notReached(now, address)
    this.#router.suspect(address)
    if (this.#refresh.askedNode === address) this.#refresh.lost(now)
    if (this.#watch.askedNode === address) this.#watch.lost(now)
    if (this.#attempts.disconnected(now, event)) this.#refresh.suggest(now)
  }

  #onView (now: number, response: NodeResponse): void {
    const changed = this.#install(response)
    if (changed === undefined) return this.#refresh.lost(now)
    this.#refresh.done()
    this.#effects.push({ kind: 'refreshed', view: this.#router.view! })
    if (changed) this.#moved(now)
  }

  #onNextView (now: number, response: NodeResponse): void {
    const changed = this.#install(response) === true
    this.#watch.answered(now, changed)
    if (changed) this.#moved(now)
  }

  /** @returns whether the answer is news; undefined when it is no view of this cluster. */
  #install (response: NodeResponse): boolean | undefined {
    if (response.kind !== 'view') return undefined
    try {
      return this.#router.install(response.view)
    } catch (error) {
      this.#effects.push({ kind: 'refused-view', error })
      return undefined
    }
  }

  /** There is a new view. */
  #moved (now: number): void {
    // What was sent to nodes that are gone will hardly be answered.
    for (const call of [...this.#admission.live]) {
      if (call.attempt !== undefined && call.payload.kind !== 'status' && !this.#router.isMember(call.attempt.to)) this.#attempts.lost(now, call)
      else if (call.state === 'pausing') {
        // The cluster has moved: whoever could not serve before may serve now.
        call.rounds = 0
        this.#wakeCall(call, now)
      }
    }
  }

  #onAbort (now: number, call: Call, reason: unknown): void {
    if (call.state === 'settled') return
    this.#fail(call, call.error('STORE_ABORTED', 'the operation was aborted by its signal', { cause: reason }))
    this.#admit(now)
  }

  // Time

  #onWake (now: number): void {
    this.#wakeAt = Infinity
    for (const calls of [this.#admission.waiting, this.#admission.live]) {
      for (const call of [...calls]) {
        if (call.wakeAt <= now) this.#onCallDue(now, call)
        if (call.state !== 'settled' && call.wakeAt < this.#wakeAt) this.#wakeAt = call.wakeAt
      }
    }
  }

  #wakeCall (call: Call, at: number): void {
    call.wakeAt = at
    if (at < this.#wakeAt) this.#wakeAt = at
  }

  #onCallDue (now: number, call: Call): void {
    if (now >= call.deadline) {
      this.#fail(call, this.#deadlineError(call))
      this.#admit(now)
    } else if (call.state === 'asking') {
      this.#router.suspect(call.attempt!.to)
      this.#refresh.suggest(now)
      this.#attempts.lost(now, call)
    } else if (call.state === 'pausing') {
      if (this.#admission.resume(call)) return this.#attempts.begin(now, call)
      call.state = 'waiting'
      this.#wakeCall(call, call.deadline)
    }
  }

  #deadlineError (call: Call): StoreError {
    if (call.payload.kind === 'status') return call.deadlineError([], true)
    const missing = this.#router.missing(call.partition)
    if (call.lastError === undefined && missing.length > 0 && this.#router.first(call.partition) === undefined) {
      return call.error('PARTITION_UNAVAILABLE', 'no store that holds this partition is in the cluster', { waitingFor: missing })
    }
    return call.deadlineError(missing, this.#router.ready)
  }

  #advanceRefresh (now: number): void {
    const request = this.#requests + 1
    const to = this.#refresh.advance(now, request, () => this.#everyone())
    if (to === undefined) return
    this.#requests = request
    this.#effects.push({ kind: 'send', to, message: { kind: 'view', request, protocol: CLIENT_PROTOCOL_VERSION } })
  }

  #advanceWatch (now: number): void {
    const request = this.#requests + 1
    const wanted = [...this.#admission.live].some(({ state }) => state === 'pausing')
    const isFit = (address: Address): boolean => !this.#router.isSuspect(address) && !this.#router.isUnreached(address)
    const to = this.#watch.advance(now, request, wanted, () => this.#everyone().find(isFit))
    if (to === undefined) return
    this.#requests = request
    const { epoch } = this.#router.view!
    this.#effects.push({ kind: 'send', to, message: { kind: 'view', request, protocol: CLIENT_PROTOCOL_VERSION, after: epoch } })
  }

  /** Members and seeds, beginning at a random one, so that clients do not all ask the same node; those that cannot be reached come last. */
  #everyone (): Address[] {
    const everyone = [...new Set([...this.#router.members, ...this.#options.seeds])]
    const start = Math.floor(this.#random.next() * everyone.length)
    const rotated = [...everyone.slice(start), ...everyone.slice(0, start)]
    return [...rotated.filter(address => !this.#router.isUnreached(address)), ...rotated.filter(address => this.#router.isUnreached(address))]
  }

  // The end of a call

  #settle (call: Call, response: SuccessResponse): void {
    this.#end(call)
    this.#effects.push({ kind: 'settled', call, response })
  }

  #fail (call: Call, error: StoreError): void {
    this.#end(call)
    this.#effects.push({ kind: 'failed', call, error })
  }

  #end (call: Call): void {
    if (call.state === 'settled') throw new Error('a call is settled once')
    call.state = 'settled'
    this.#admission.end(call)
    this.#attempts.end(call)
  }

  #close (): void {
    this.#closed = true
    for (const calls of [this.#admission.waiting, this.#admission.live]) {
      for (const call of [...calls]) this.#fail(call, call.error('STORE_CLOSED', 'the client was closed before the operation was settled'))
    }
    this.#refresh.done()
  }

  /** What must hold after each input; for tests and simulation. @throws {Error} naming what does not. */
  checkInvariants (): void {
    this.#admission.checkInvariants()
    this.#attempts.checkInvariants(this.#admission.live)
    for (const call of this.#admission.live) if (call.wakeAt < this.wakeAt) throw new Error('client session: a call would be woken too late')
  }
}
