/**
 * The membership machine: one process from its start until it is a member no more.
 *
 * Suresh et al. (USENIX ATC '18). It is a newcomer (`newcomer.ts`) until a configuration holds it, and then a member
 * (`member-core.ts`). One machine is one member id: a process that was removed joins again with a new machine.
 *
 * Pure: `apply(now, input)` gives effects; see `effects.ts` for their order. It reads no clock, draws no random number, awaits
 * nothing. The same inputs give the same effects.
 */
import type { CoreInput } from './core-input.ts'
import type { Counters } from './counters.ts'
import { Outbox, type MembershipEffect } from './effects.ts'
import type { Address } from './environment/environment.ts'
import { LocalClock } from './local-clock.ts'
import { MemberCore } from './member-core.ts'
import type { EdgeCounts } from './monitor.ts'
import { Newcomer, type Entry, type NewcomerComponents } from './newcomer.ts'

/** Clocks that are computed from others may be off by this much when a timer fires. */
const TIMER_ROUNDING_MS = 0.001
/** The shortest sleep: whatever is due, at most so much of the processor is spent on waking up. */
const WAKE_PAUSE_MS = 0.1

export interface MachineComponents<State> extends Omit<NewcomerComponents<State>, 'out'> {
  /** Of this process, whatever its member id. @default new ones */
  readonly counters?: Counters
}

export class MembershipCore<State> {
  readonly #parts: MachineComponents<State>
  readonly #out: Outbox<State>
  readonly #clock = new LocalClock()
  /** Addresses with an open connection. */
  readonly #open = new Set<Address>()
  /** Invariant: exactly one of newcomer and member is set. */
  #newcomer: Newcomer<State> | undefined
  #member: MemberCore<State> | undefined
  #over = false
  #wakeAtMs = Infinity

  constructor (parts: MachineComponents<State>) {
    this.#parts = parts
    this.#out = new Outbox(parts.counters)
    this.#newcomer = new Newcomer({ ...parts, out: this.#out }, (now, entry) => { this.#begin(now, entry) })
  }

  apply (clockMs: number, input: CoreInput): MembershipEffect<State>[] {
    if (this.#over) return []
    const { lostMs } = this.#clock
    let now = this.#clock.read(clockMs)
    this.#out.counters.lateMs += this.#clock.lostMs - lostMs
    if (input.kind === 'tick') {
      // A timer that fires a rounding error too early must find its work due, or it would be set again and again.
      if (this.#wakeAtMs - now < TIMER_ROUNDING_MS) now = Math.max(now, this.#wakeAtMs)
      this.#wakeAtMs = Infinity
      this.#clock.expect(Infinity)
    }
    this.#take(now, input)
    this.#advance(now)
    const effects = this.#out.drain()
    for (const { kind } of effects) if (kind === 'removed' || kind === 'left' || kind === 'refused' || kind === 'spent' || kind === 'halt') this.#over = true
    if (!this.#over) this.#wake(now, effects)
    return effects
  }

  /** The edges of this member's overlay; undefined while it is none. */
  get edges (): EdgeCounts | undefined {
    return this.#member?.edges
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    this.#member?.invariants()
  }

  #take (now: number, input: CoreInput): void {
    switch (input.kind) {
      case 'found':
        this.#newcomer?.found(now, input.clusterId, input.seeds)
        break
      case 'join':
        this.#newcomer?.join(now, input)
        break
      case 'seeds':
        this.#newcomer?.seeds(input.seeds)
        break
      case 'message':
        if (this.#member === undefined) this.#newcomer?.message(now, input.peer, input.message)
        else this.#member.message(now, input.peer, input.message)
        break
      case 'link':
        if (input.event.kind === 'opened') this.#open.add(input.event.address)
        else if (input.event.kind === 'closed') this.#open.delete(input.event.address)
        else this.#newcomer?.refused(input.event.address)
        this.#member?.link(now, input.event)
        break
      case 'persisted':
        this.#newcomer?.persisted(now, input.token)
        this.#member?.persisted(now, input.token)
        break
      case 'leave':
        if (this.#member === undefined) this.#out.push({ kind: 'left' })
        else this.#member.leave(now)
        break
      case 'update':
        this.#member?.update(now, input.token, input.change)
        break
      case 'tick':
        break
    }
  }

  #advance (now: number): void {
    this.#newcomer?.advance(now)
    this.#member?.advance(now)
  }

  #wake (now: number, effects: MembershipEffect<State>[]): void {
    const due = Math.min(this.#newcomer?.nextAtMs ?? Infinity, this.#member?.nextAtMs ?? Infinity)
    const next = Math.max(due, now + WAKE_PAUSE_MS)
    // A pending timer is never put off: how late it comes is what the clock goes by.
    if (next >= this.#wakeAtMs) return
    this.#wakeAtMs = next
    const atMs = this.#clock.expect(next)
    if (next !== Infinity) effects.push({ kind: 'wake', atMs })
  }

  #begin (now: number, { configuration, state, learned, origin }: Entry<State>): void {
    this.#newcomer = undefined
    this.#member = new MemberCore({ ...this.#parts, out: this.#out, open: this.#open })
    this.#member.begin(now, configuration, state, learned, origin)
  }
}
