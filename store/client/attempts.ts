/**
 * How the calls of a client get from node to node: each attempt asks one, and ends with an answer, an error, a lost connection or
 * silence, after which the next node is asked, or all of them again after a pause.
 *
 * A write keeps its operation id and base in all its attempts, so that it happens once however often it is sent (rule S9).
 * Deviation from "a base never changes": while no attempt of a write can have happened, a new base is as good as the first, so
 * a write whose base is older than the group remembers is sent again with a fresh one instead of failing.
 *
 * Pure: time is an argument, chance is injected. What follows for the session goes to its host.
 */
import type { Address, LinkEvent, Random } from '../../membership/environment/environment.ts'
import type { ClientRequest } from '../client-protocol.ts'
import type { StoreError } from '../errors.ts'
import { SLOW_BYTES_PER_MS } from '../pace.ts'
import type { Attempt, Call, ErrorResponse, SuccessResponse } from './call.ts'
import type { FilledSessionOptions } from './options.ts'
import type { Router } from './router.ts'

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

export interface AttemptsComponents {
  readonly random: Random
  readonly router: Router
  /** In every operation id of this client (rule S9). */
  readonly clientId: string
  /** The next number of a request. */
  readonly nextRequest: () => number
  /** By partition: the highest sequence number that any answer named. What session reads must have: never forgotten, since they never go back. */
  readonly seen: Map<number, number>
}

export interface AttemptsHost {
  send (to: Address, message: ClientRequest): void
  /** The call must be looked at again at that time. */
  wakeCall (call: Call, at: number): void
  /** A call begins to pause: nobody could serve it in the cluster as it is known. */
  paused (now: number, call: Call): void
  /** The view may be old. @param from a node that is known to know more */
  suggestRefresh (now: number, from?: Address): void
  fail (now: number, call: Call, error: StoreError): void
}

export class Attempts {
  readonly #parts: AttemptsComponents
  readonly #options: FilledSessionOptions
  readonly #host: AttemptsHost
  readonly #router: Router
  #writes = 0
  /** Attempts whose answers are listened for, by request number. */
  readonly #attempts = new Map<number, Attempt>()
  /** By partition: the highest sequence number any answer named. */
  readonly #positions = new Map<number, number>()

  constructor (parts: AttemptsComponents, options: FilledSessionOptions, host: AttemptsHost) {
    this.#parts = parts
    this.#options = options
    this.#host = host
    this.#router = parts.router
  }

  /** The attempt that a response of that number answers, if it is still listened for. */
  get (request: number): Attempt | undefined {
    return this.#attempts.get(request)
  }

  /** Asks the node that should know. */
  begin (now: number, call: Call): void {
    if (call.payload.kind === 'status') return this.#ask(now, call, call.payload.address)
    if (!call.local) return this.#ask(now, call, this.#router.first(call.partition))
    // What this client was told of until now; later answers to other calls change nothing for this one.
    call.after ??= call.payload.kind === 'read' && call.payload.consistency === 'session' ? this.#parts.seen.get(call.partition) ?? 0 : 0
    // Spreads the load of reads over the replicas.
    const replicas = this.#router.replicas(call.partition)
    this.#ask(now, call, replicas[Math.floor(this.#parts.random.next() * replicas.length)] ?? this.#router.first(call.partition))
  }

  /** Nothing came back from the attempt under way: whether it arrived is unknown. A late answer still counts. */
  lost (now: number, call: Call): void {
    const attempt = call.attempt!
    attempt.abandoned = true
    if (attempt.effective) call.uncertain++
    const abandoned = (call.abandoned ??= [])
    abandoned.push(attempt)
    if (abandoned.length > ABANDONED_MAX) this.#attempts.delete(abandoned.shift()!.request)
    this.#router.forgetLeader(call.partition, attempt.to)
    this.#next(now, call)
  }

  /** The call is settled: no answer to it counts any more. */
  end (call: Call): void {
    if (call.attempt !== undefined) this.#attempts.delete(call.attempt.request)
    call.attempt = undefined
    if (call.abandoned !== undefined) for (const attempt of call.abandoned) this.#attempts.delete(attempt.request)
  }

  /** What an answer teaches. */
  learn ({ call, to }: Attempt, response: SuccessResponse): void {
    if (response.kind !== 'status') {
      this.#learnPosition(call.partition, response.seq)
      if (!call.local) this.#router.learnLeader(call.partition, to)
    }
    this.#router.trust(to)
  }

  /** An attempt was answered by an error. */
  refused (now: number, attempt: Attempt, response: ErrorResponse): void {
    const { call } = attempt
    this.#forget(attempt)
    const known = this.#router.view
    if (known === undefined || response.epoch > known.epoch) this.#host.suggestRefresh(now, attempt.to)
    if (response.seq !== undefined) this.#learnPosition(call.partition, response.seq)
    // Like a success this is final for every attempt, so it counts even when it comes late.
    if (response.code === 'CONDITION_FAILED' && call.payload.kind === 'write') {
      this.#router.trust(attempt.to)
      this.#router.learnLeader(call.partition, attempt.to)
      return this.#host.fail(now, call, call.conditionError(response))
    }
    const tells = response.definite || response.code === 'OPERATION_EXPIRED'
    if (attempt.abandoned) {
      // It is known now that this attempt did nothing, or that no better answer will come.
      if (attempt.effective && tells) call.uncertain--
      return
    }
    this.#router.trust(attempt.to)
    if (attempt.effective && !tells) call.tainted = true
    if (response.bytes !== undefined) call.expects = response.bytes
    // A redirect says nothing about why the partition does not serve; a majority that is missing does.
    const redirect = response.code === 'NOT_LEADER' || response.code === 'NOT_OWNER'
    if (!redirect || call.lastError?.code !== 'PARTITION_UNAVAILABLE') call.lastError = response
    this.#onError(now, call, attempt, response)
  }

  /** A connection closed, or could not be made: what it means for the attempts by it. @returns true if there were any. */
  disconnected (now: number, { kind, address }: LinkEvent): boolean {
    let affected = false
    for (const attempt of [...this.#attempts.values()]) {
      if (attempt.to !== address) continue
      affected = true
      const { call } = attempt
      if (kind === 'closed') {
        // The answer would have come by the connection that is gone. The attempt may have arrived.
        if (!attempt.abandoned) this.lost(now, call)
      } else if (attempt.abandoned) {
        // There was no connection since it was sent, so it never left this process.
        if (attempt.effective) call.uncertain--
      } else {
        this.#router.forgetLeader(call.partition, address)
        this.#next(now, call)
      }
      this.#forget(attempt)
    }
    return affected
  }

  #candidates (call: Call): Address[] {
    if (call.payload.kind === 'status') return [call.payload.address]
    const known = this.#router.candidates(call.partition)
    return call.hints === undefined ? known : [...call.hints, ...known]
  }

  #ask (now: number, call: Call, to: Address | undefined): void {
    if (to === undefined) return this.#pause(now, call)
    if (this.#router.isPausing(now, to)) {
      ;(call.visited ??= []).push(to)
      return this.#next(now, call)
    }
    const { payload } = call
    const isWrite = payload.kind === 'write'
    if (isWrite) {
      call.number ??= ++this.#writes
      // A base of -1 binds to nothing: no attempt with it can have happened, so the first known position is still the first.
      if (call.base === -1) call.base = this.#positions.get(call.partition) ?? -1
    }
    const request = this.#parts.nextRequest()
    const attempt: Attempt = { call, request, to, effective: isWrite ? call.base >= 0 : payload.kind === 'status' && payload.change !== undefined, abandoned: false }
    this.#attempts.set(request, attempt)
    call.attempt = attempt
    call.state = 'asking'
    const patienceMs = this.#options.attemptTimeoutMs + call.waitMs + Math.floor(call.bytes / SLOW_BYTES_PER_MS)
    this.#host.wakeCall(call, Math.min(now + patienceMs, call.deadline))
    this.#host.send(to, call.request(request, this.#parts.clientId))
  }

  /** The attempt under way ends without an answer that settles anything; its node is not asked again before a pause. */
  #next (now: number, call: Call): void {
    if (call.attempt !== undefined) {
      ;(call.visited ??= []).push(call.attempt.to)
      call.attempt = undefined
    }
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
    this.#host.wakeCall(call, Math.min(now + longest * (0.5 + this.#parts.random.next() / 2), call.deadline))
    if (!this.#router.ready) this.#host.suggestRefresh(now)
    this.#host.paused(now, call)
  }

  /** No answer to this attempt can come any more. */
  #forget (attempt: Attempt): void {
    this.#attempts.delete(attempt.request)
    const { call } = attempt
    if (attempt.abandoned) call.abandoned = call.abandoned?.filter(other => other !== attempt)
  }

  #learnPosition (partition: number, seq: number): void {
    const known = this.#positions.get(partition)
    if (known === undefined || seq > known) this.#positions.set(partition, seq)
    const { seen } = this.#parts
    if (seq > (seen.get(partition) ?? 0)) seen.set(partition, seq)
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
        // Whoever knows of fewer view changes than this client may name a node that is gone.
        const isNews = response.epoch > (this.#router.view?.epoch ?? 0)
        const hints = (response.hints ?? []).slice(0, HINTS_MAX).map(hint => hint.address)
          .filter(address => address !== to && (isNews || this.#router.isMember(address)))
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
      case 'STORE_TOO_FEW_STORES':
      case 'WATCH_TOO_OLD':
        // Another node would say the same.
        call.attempt = undefined
        return this.#host.fail(now, call, call.error(response.code, response.message))
      case 'PARTITION_UNAVAILABLE': // Perhaps only for this node; another may lead a majority.
      default:
        this.#router.forgetLeader(call.partition, to)
        return this.#next(now, call)
    }
  }

  /** The group's memory does not reach the base. The node that answers so did nothing; earlier attempts may have. */
  #onExpired (now: number, call: Call, to: Address, response: ErrorResponse): void {
    call.attempt = undefined
    if (!call.definite || call.rebases >= REBASES_MAX) return this.#host.fail(now, call, call.error('OPERATION_EXPIRED', response.message))
    call.rebases++
    if (response.seq === undefined) this.#positions.delete(call.partition)
    // All stores lost the end of the history: it is shorter than this client remembers.
    else if (response.seq < call.base) this.#positions.set(call.partition, response.seq)
    call.base = -1
    this.#ask(now, call, to)
  }

  /** @param live the calls that are under way @throws {Error} naming what does not hold. */
  checkInvariants (live: ReadonlySet<Call>): void {
    const check = (holds: boolean, what: string): void => { if (!holds) throw new Error(`client session: ${what}`) }
    let attempts = 0
    for (const call of live) {
      attempts += (call.attempt === undefined ? 0 : 1) + (call.abandoned?.filter(attempt => this.#attempts.has(attempt.request)).length ?? 0)
      check((call.state === 'asking') === (call.attempt !== undefined), `a call in state ${call.state} with attempt ${String(call.attempt?.request)}`)
      check(call.uncertain >= 0, 'a negative count of uncertain attempts')
    }
    check(attempts === this.#attempts.size, 'attempts of settled calls are still listened for')
  }
}
