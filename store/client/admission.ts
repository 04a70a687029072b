/**
 * Which calls of a client are under way, and which wait for that: no more at once than the options allow, first come first served.
 *
 * A call that pauses has nothing under way, so it takes no place: one partition that nobody serves must not stop all others. As many may pause
 * as may be under way.
 *
 * Pure.
 */
import type { Call } from './call.ts'
import type { FilledSessionOptions } from './options.ts'

/** Partitions that all watches of a client together ask. */
const POLLS_MAX = 100_000

export class Admission {
  readonly #limits: Pick<FilledSessionOptions, 'operationsInFlightMax' | 'bytesInFlightMax' | 'operationsWaitingMax'>
  /** Calls that were admitted and are not settled. Invariant: without polls, at most twice operationsInFlightMax. */
  readonly #live = new Set<Call>()
  /** Those of them that pause, without polls. The others are at most operationsInFlightMax. */
  readonly #pausing = new Set<Call>()
  /** Polls of watches among them, which wait for something to happen and take no place of a call that has something to do. */
  #polls = 0
  /** Calls that wait to be admitted, in their order. Invariant: size <= operationsWaitingMax. */
  readonly #waiting = new Set<Call>()
  /** Bytes of the live calls that do not pause. Invariant: at most bytesInFlightMax unless it is a single call. */
  #bytes = 0

  constructor (limits: Pick<FilledSessionOptions, 'operationsInFlightMax' | 'bytesInFlightMax' | 'operationsWaitingMax'>) {
    this.#limits = limits
  }

  get live (): ReadonlySet<Call> {
    return this.#live
  }

  get waiting (): ReadonlySet<Call> {
    return this.#waiting
  }

  /** @returns whether the call is under way from now on, waits, or was turned away because too many wait. */
  offer (call: Call): 'live' | 'waiting' | 'refused' {
    if (call.payload.kind === 'watch') {
      if (this.#polls >= POLLS_MAX) return 'refused'
      this.#polls++
      this.#live.add(call)
      return 'live'
    }
    if (this.#waiting.size === 0 && this.#fits(call)) {
      this.#begin(call)
      return 'live'
    }
    if (this.#waiting.size >= this.#limits.operationsWaitingMax) return 'refused'
    this.#waiting.add(call)
    return 'waiting'
  }

  /** The first call that waits, if there is room for it: it is under way from now on. */
  next (): Call | undefined {
    for (const call of this.#waiting) {
      if (!this.#fits(call)) return undefined
      this.#waiting.delete(call)
      this.#begin(call)
      return call
    }
    return undefined
  }

  /** A live call begins to pause. */
  pause (call: Call): void {
    if (call.payload.kind === 'watch' || this.#pausing.has(call)) return
    this.#pausing.add(call)
    this.#bytes -= call.bytes
  }

  /** The pause of a call is over. @returns whether it is under way again; else it waits, like others. */
  resume (call: Call): boolean {
    if (!this.#pausing.delete(call)) return true
    this.#live.delete(call)
    if (this.#fits(call)) this.#begin(call)
    else this.#waiting.add(call)
    return this.#live.has(call)
  }

  /** A call was settled, wherever it was. */
  end (call: Call): void {
    if (!this.#live.delete(call)) this.#waiting.delete(call)
    else if (call.payload.kind === 'watch') this.#polls--
    else if (!this.#pausing.delete(call)) this.#bytes -= call.bytes
  }

  #fits (call: Call): boolean {
    const { operationsInFlightMax, bytesInFlightMax } = this.#limits
    const live = this.#live.size - this.#polls
    if (live >= 2 * operationsInFlightMax) return false
    const busy = live - this.#pausing.size
    return busy === 0 || (busy < operationsInFlightMax && this.#bytes + call.bytes <= bytesInFlightMax)
  }

  #begin (call: Call): void {
    this.#live.add(call)
    this.#bytes += call.bytes
  }

  /** @throws {Error} naming what does not hold. */
  checkInvariants (): void {
    const check = (holds: boolean, what: string): void => { if (!holds) throw new Error(`client session: ${what}`) }
    const all = [...this.#live].filter(({ payload }) => payload.kind !== 'watch')
    check(this.#live.size - this.#polls === all.length, 'polls miscounted')
    check(all.length <= 2 * this.#limits.operationsInFlightMax, 'more calls admitted than allowed')
    for (const call of all) check((call.state === 'pausing') === this.#pausing.has(call), `a call in state ${call.state} that ${this.#pausing.has(call) ? '' : 'does not '}count as pausing`)
    const calls = all.filter(call => !this.#pausing.has(call))
    check(calls.length + this.#pausing.size === all.length, 'calls pause that are not live')
    check(calls.length <= this.#limits.operationsInFlightMax, 'more calls in flight than allowed')
    check(this.#waiting.size <= this.#limits.operationsWaitingMax, 'more calls waiting than allowed')
    let bytes = 0
    for (const call of calls) bytes += call.bytes
    check(bytes === this.#bytes, 'bytes in flight miscounted')
    check(calls.length <= 1 || bytes <= this.#limits.bytesInFlightMax, 'more bytes in flight than allowed')
  }
}
