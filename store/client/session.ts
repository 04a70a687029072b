/**
 * The protocol core of a client: admits calls, sends them to the right nodes, follows redirects, retries, and settles each call
 * once and in time.
 *
 * A write keeps its operation id and base in all its attempts, so that it happens once however often it is sent (rule S9).
 * Deviation from "a base never changes": while no attempt of a write can have happened, a new base is as good as the first, so
 * a write whose base is older than the group remembers is sent again with a fresh one instead of failing.
 *
 * Pure: time is an argument, chance is injected. Effects are to be carried out in the order given.
 */
import type { Address, LinkEvent, Random } from '../../membership/environment/environment.ts'
import { CLIENT_PROTOCOL_VERSION, type ClientRequest, type ClusterView, type NodeResponse } from '../client-protocol.ts'
import type { StoreError } from '../errors.ts'
import type { Attempt, Call, ErrorResponse, SuccessResponse } from './call.ts'
import type { FilledSessionOptions } from './options.ts'
import { Router } from './router.ts'
import { ViewRefresh } from './view-refresh.ts'

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

/** How often in a row a call pauses because one store says it is not ready, before the others are asked too. */
const WAITS_PER_STORE_MAX = 3
/** Attempts of one call whose late answers are still listened for. */
const ABANDONED_MAX = 16
/** Redirects taken from one answer. */
const HINTS_MAX = 5
/** Nodes asked between two pauses. */
const VISITED_MAX = 32
/** New bases for one write. More means that a node answers against the protocol. */
const REBASES_MAX = 3

export class Session {
  readonly #options: FilledSessionOptions
  readonly #random: Random
  readonly #clientId: string
  readonly #router = new Router()
  readonly #refresh: ViewRefresh
  #effects: SessionEffect[] = []
  #requests = 0
  #writes = 0
  /** Attempts whose answers are listened for, by request number. */
  readonly #attempts = new Map<number, Attempt>()
  /** Calls that were admitted and are not settled. Invariant: size <= operationsInFlightMax. */
  readonly #live = new Set<Call>()
  /** Calls that wait to be admitted, first come first served. Invariant: size <= operationsWaitingMax. */
  readonly #waiting = new Set<Call>()
  /** Bytes of the live calls. Invariant: at most bytesInFlightMax unless a single call is live. */
  #bytes = 0
  /** By partition: the highest sequence number any answer named. */
  readonly #positions = new Map<number, number>()
  #wakeAt = Infinity
  #closed = false

  constructor (components: { readonly random: Random }, options: FilledSessionOptions) {
    this.#options = options
    this.#random = components.random
    this.#clientId = components.random.id()
    this.#refresh = new ViewRefresh(options.attemptTimeoutMs, options.backoffMaxMs)
  }

  get router (): Router {
    return this.#router
  }

  /** When `wake` is due; it may come too early, never too late. Infinity when nothing is under way. */
  get wakeAt (): number {
    return Math.min(this.#wakeAt, this.#refresh.wakeAt)
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
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  // Admission

  #submit (now: number, call: Call): void {
    if (this.#closed) return this.#fail(call, call.error('STORE_CLOSED', 'the client is closed'))
    if (this.#waiting.size === 0 && this.#fits(call)) return this.#start(now, call)
    if (this.#waiting.size >= this.#options.operationsWaitingMax) {
      return this.#fail(call, call.error('STORE_OVERLOADED', 'too many operations wait in this client: await some before you start more'))
    }
    call.state = 'waiting'
    this.#waiting.add(call)
    this.#wakeCall(call, call.deadline)
  }

  #fits (call: Call): boolean {
    return this.#live.size === 0 ||
      (this.#live.size < this.#options.operationsInFlightMax && this.#bytes + call.bytes <= this.#options.bytesInFlightMax)
  }

  #start (now: number, call: Call): void {
    this.#live.add(call)
    this.#bytes += call.bytes
    this.#ask(now, call, this.#first(call))
  }

  #admit (now: number): void {
    for (const call of this.#waiting) {
      if (!this.#fits(call)) return
      this.#waiting.delete(call)
      this.#start(now, call)
    }
  }

  // Attempts

  #first (call: Call): Address | undefined {
    return call.payload.kind === 'status' ? call.payload.address : this.#router.first(call.partition)
  }

  #candidates (call: Call): Address[] {
    if (call.payload.kind === 'status') return [call.payload.address]
    const known = this.#router.candidates(call.partition)
    return call.hints === undefined ? known : [...call.hints, ...known]
  }

  #ask (now: number, call: Call, to: Address | undefined): void {
    if (to === undefined) return this.#pause(now, call)
    const isWrite = call.payload.kind === 'write'
    if (isWrite) {
      call.number ??= ++this.#writes
      // A base of -1 binds to nothing: no attempt with it can have happened, so the first known position is still the first.
      if (call.base === -1) call.base = this.#positions.get(call.partition) ?? -1
    }
    const request = ++this.#requests
    const attempt: Attempt = { call, request, to, effective: isWrite && call.base >= 0, abandoned: false }
    this.#attempts.set(request, attempt)
    call.attempt = attempt
    call.state = 'asking'
    this.#wakeCall(call, Math.min(now + this.#options.attemptTimeoutMs, call.deadline))
    this.#effects.push({ kind: 'send', to, message: call.request(request, this.#clientId) })
  }

  /** The attempt under way ends without an answer that settles anything; its node is not asked again before a pause. */
  #visit (call: Call): void {
    const attempt = call.attempt
    if (attempt === undefined) return
    ;(call.visited ??= []).push(attempt.to)
    call.attempt = undefined
  }

  #next (now: number, call: Call): void {
    this.#visit(call)
    const visited = call.visited
    const exhausted = visited !== undefined && visited.length >= VISITED_MAX
    const to = exhausted ? undefined : this.#candidates(call).find(address => visited?.includes(address) !== true)
    if (to === undefined) this.#pause(now, call)
    else this.#ask(now, call, to)
  }

  /** Everyone was asked, or the one to ask wants time: waits, longer each time, with jitter so that clients spread. */
  #pause (now: number, call: Call): void {
    call.attempt = undefined
    call.visited = undefined
    call.hints = undefined
    call.state = 'pausing'
    const { backoffStartMs, backoffMaxMs } = this.#options
    const longest = Math.min(backoffMaxMs, backoffStartMs * 2 ** Math.min(call.rounds, 30))
    call.rounds++
    this.#wakeCall(call, Math.min(now + longest * (0.5 + this.#random.next() / 2), call.deadline))
    if (!this.#router.ready) this.#refresh.suggest(now)
  }

  #wakeCall (call: Call, at: number): void {
    call.wakeAt = at
    if (at < this.#wakeAt) this.#wakeAt = at
  }

  /** Nothing came back from the attempt under way: whether it arrived is unknown. A late answer still counts. */
  #lost (now: number, call: Call): void {
    const attempt = call.attempt!
    attempt.abandoned = true
    if (attempt.effective) call.uncertain++
    const abandoned = (call.abandoned ??= [])
    abandoned.push(attempt)
    if (abandoned.length > ABANDONED_MAX) this.#attempts.delete(abandoned.shift()!.request)
    this.#router.forgetLeader(call.partition, attempt.to)
    this.#next(now, call)
  }

  /** No answer to this attempt can come any more. */
  #forget (attempt: Attempt): void {
    this.#attempts.delete(attempt.request)
    const { call } = attempt
    if (attempt.abandoned) call.abandoned = call.abandoned?.filter(other => other !== attempt)
  }

  // What arrives

  #onResponse (now: number, response: NodeResponse): void {
    if (this.#refresh.isAnswer(response.request)) return this.#onView(now, response)
    const attempt = this.#attempts.get(response.request)
    if (attempt === undefined) return
    const { call } = attempt
    if (call.isAnsweredBy(response)) {
      this.#learn(attempt, response)
      this.#settle(call, response)
      return this.#admit(now)
    }
    if (response.kind !== 'error') return this.#onGarbage(now, response.request)
    this.#forget(attempt)
    const known = this.#router.view
    if (known === undefined || response.epoch > known.epoch) this.#refresh.suggest(now, attempt.to)
    if (response.seq !== undefined) this.#learnPosition(call.partition, response.seq)
    const tells = response.definite || response.code === 'OPERATION_EXPIRED'
    if (attempt.abandoned) {
      // It is known now that this attempt did nothing, or that no better answer will come.
      if (attempt.effective && tells) call.uncertain--
      return
    }
    this.#router.trust(attempt.to)
    if (attempt.effective && !tells) call.tainted = true
    // A redirect says nothing about why the partition does not serve; a majority that is missing does.
    const redirect = response.code === 'NOT_LEADER' || response.code === 'NOT_OWNER'
    if (!redirect || call.lastError?.code !== 'PARTITION_UNAVAILABLE') call.lastError = response
    this.#onError(now, call, attempt, response)
  }

  #learn (attempt: Attempt, response: SuccessResponse): void {
    const { call, to } = attempt
    if (response.kind !== 'status') {
      this.#learnPosition(call.partition, response.seq)
      this.#router.learnLeader(call.partition, to)
    }
    this.#router.trust(to)
  }

  #learnPosition (partition: number, seq: number): void {
    const known = this.#positions.get(partition)
    if (known === undefined || seq > known) this.#positions.set(partition, seq)
  }

  #onError (now: number, call: Call, attempt: Attempt, response: ErrorResponse): void {
    const { to } = attempt
    if (response.code !== 'NOT_READY' && response.code !== 'STORE_OVERLOADED') call.waits = 0
    switch (response.code) {
      case 'BASE_REQUIRED':
        // To an attempt that had a base this is no answer of the protocol: such a node is passed over.
        if (attempt.effective || response.seq === undefined) return this.#next(now, call)
        call.base = response.seq
        this.#router.learnLeader(call.partition, to)
        return this.#ask(now, call, to)
      case 'NOT_LEADER':
      case 'NOT_OWNER': {
        this.#router.forgetLeader(call.partition, to)
        const hints = (response.hints ?? []).slice(0, HINTS_MAX).map(hint => hint.address).filter(address => address !== to)
        call.hints = hints
        if (hints[0] !== undefined) this.#router.learnLeader(call.partition, hints[0])
        return this.#next(now, call)
      }
      case 'NOT_READY':
      case 'STORE_OVERLOADED':
        // A store cut off from its group may say so for ever; every now and then the others are asked too.
        if (++call.waits > WAITS_PER_STORE_MAX) {
          call.waits = 0
          return this.#next(now, call)
        }
        this.#router.learnLeader(call.partition, to)
        return this.#pause(now, call)
      case 'OPERATION_EXPIRED':
        return this.#onExpired(now, call, to, response)
      case 'STORE_INVALID_MESSAGE':
      case 'STORE_INVALID_OPTIONS':
      case 'STORE_INVALID_KEY':
      case 'STORE_INVALID_VALUE':
      case 'STORE_NOT_SUPPORTED':
        // Another node would say the same.
        call.attempt = undefined
        this.#fail(call, call.error(response.code, response.message))
        return this.#admit(now)
      case 'PARTITION_UNAVAILABLE': // Perhaps only for this node; another may lead a majority.
      default:
        this.#router.forgetLeader(call.partition, to)
        return this.#next(now, call)
    }
  }

  /** The group's memory does not reach the base. The node that answers so did nothing; earlier attempts may have. */
  #onExpired (now: number, call: Call, to: Address, response: ErrorResponse): void {
    call.attempt = undefined
    if (!call.definite || call.rebases >= REBASES_MAX) {
      this.#fail(call, call.error('OPERATION_EXPIRED', response.message))
      return this.#admit(now)
    }
    call.rebases++
    call.base = -1
    if (response.seq === undefined) this.#positions.delete(call.partition)
    this.#ask(now, call, to)
  }

  #onGarbage (now: number, request: number | undefined): void {
    if (request === undefined) return
    if (this.#refresh.isAnswer(request)) return this.#refresh.lost(now)
    const attempt = this.#attempts.get(request)
    if (attempt !== undefined && !attempt.abandoned) this.#lost(now, attempt.call)
  }

  #onLink (now: number, event: LinkEvent): void {
    if (event.kind === 'opened') return
    const { address } = event
    this.#router.suspect(address)
    if (this.#refresh.askedNode === address) this.#refresh.lost(now)
    let affected = false
    for (const attempt of [...this.#attempts.values()]) {
      if (attempt.to !== address) continue
      affected = true
      const { call } = attempt
      if (event.kind === 'closed') {
        // The answer would have come by the connection that is gone. The attempt may have arrived.
        if (!attempt.abandoned) this.#lost(now, call)
      } else if (attempt.abandoned) {
        // There was no connection since it was sent, so it never left this process.
        if (attempt.effective) call.uncertain--
      } else {
        this.#router.forgetLeader(call.partition, address)
        this.#next(now, call)
      }
      this.#forget(attempt)
    }
    if (affected) this.#refresh.suggest(now)
  }

  #onView (now: number, response: NodeResponse): void {
    if (response.kind !== 'view') return this.#refresh.lost(now)
    let changed: boolean
    try {
      changed = this.#router.install(response.view)
    } catch (error) {
      this.#effects.push({ kind: 'refused-view', error })
      return this.#refresh.lost(now)
    }
    this.#refresh.done()
    this.#effects.push({ kind: 'refreshed', view: this.#router.view! })
    if (!changed) return
    // What was sent to nodes that are gone will hardly be answered.
    for (const call of [...this.#live]) {
      if (call.attempt !== undefined && call.payload.kind !== 'status' && !this.#router.isMember(call.attempt.to)) this.#lost(now, call)
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
    for (const calls of [this.#waiting, this.#live]) {
      for (const call of [...calls]) {
        if (call.wakeAt <= now) this.#onCallDue(now, call)
        if (call.state !== 'settled' && call.wakeAt < this.#wakeAt) this.#wakeAt = call.wakeAt
      }
    }
  }

  #onCallDue (now: number, call: Call): void {
    if (now >= call.deadline) {
      this.#fail(call, this.#deadlineError(call))
      this.#admit(now)
    } else if (call.state === 'asking') {
      this.#router.suspect(call.attempt!.to)
      this.#refresh.suggest(now)
      this.#lost(now, call)
    } else if (call.state === 'pausing') {
      this.#ask(now, call, this.#first(call))
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

  /** Members and seeds, beginning at a random one, so that clients do not all ask the same node. */
  #everyone (): Address[] {
    const everyone = [...new Set([...this.#router.members, ...this.#options.seeds])]
    const start = Math.floor(this.#random.next() * everyone.length)
    return [...everyone.slice(start), ...everyone.slice(0, start)]
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
    if (this.#live.delete(call)) this.#bytes -= call.bytes
    else this.#waiting.delete(call)
    if (call.attempt !== undefined) this.#attempts.delete(call.attempt.request)
    call.attempt = undefined
    if (call.abandoned !== undefined) for (const attempt of call.abandoned) this.#attempts.delete(attempt.request)
  }

  #close (): void {
    this.#closed = true
    for (const calls of [this.#waiting, this.#live]) {
      for (const call of [...calls]) this.#fail(call, call.error('STORE_CLOSED', 'the client was closed before the operation was settled'))
    }
    this.#refresh.done()
  }

  /** What must hold after each input; for tests and simulation. @throws {Error} naming what does not. */
  checkInvariants (): void {
    const check = (holds: boolean, what: string): void => { if (!holds) throw new Error(`client session: ${what}`) }
    check(this.#live.size <= this.#options.operationsInFlightMax, 'more calls in flight than allowed')
    check(this.#waiting.size <= this.#options.operationsWaitingMax, 'more calls waiting than allowed')
    let bytes = 0
    let attempts = 0
    for (const call of this.#live) {
      bytes += call.bytes
      attempts += (call.attempt === undefined ? 0 : 1) + (call.abandoned?.filter(attempt => this.#attempts.has(attempt.request)).length ?? 0)
      check((call.state === 'asking') === (call.attempt !== undefined), `a call in state ${call.state} with attempt ${String(call.attempt?.request)}`)
      check(call.wakeAt >= this.wakeAt, 'a call would be woken too late')
      check(call.uncertain >= 0, 'a negative count of uncertain attempts')
    }
    check(bytes === this.#bytes, 'bytes in flight miscounted')
    check(this.#live.size <= 1 || bytes <= this.#options.bytesInFlightMax, 'more bytes in flight than allowed')
    check(attempts === this.#attempts.size, 'attempts of settled calls are still listened for')
  }
}
