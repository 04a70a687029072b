/**
 * The membership machine: one process from its start until it is a member no more.
 *
 * Suresh et al. (USENIX ATC '18). It goes through founding or joining (rule M8, section 4.1) and then is a member
 * (`member-core.ts`). One machine is one member id: a process that was removed joins again with a new machine.
 *
 * Pure: `apply(now, input)` gives effects; see `effects.ts` for their order. It reads no clock, draws no random number, awaits
 * nothing. The same inputs give the same effects.
 */
import { type ClusterId, foundingConfiguration, type Configuration, type Member, nextConfiguration, normalizeCut } from './configuration.ts'
import { type DetectorFactory } from './detector/detector.ts'
import { type BroadcasterFactory } from './broadcaster.ts'
import { Outbox, type MembershipEffect, type Peer } from './effects.ts'
import { type Address, type LinkEvent } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import { type Fold } from './fold.ts'
import { FoundingCheck, type FoundingVerdict } from './founding.ts'
import { JoinProtocol } from './join-protocol.ts'
import { LocalClock } from './local-clock.ts'
import { MemberCore } from './member-core.ts'
import { NOWHERE, type JoinAnswer, type MembershipMessage } from './messages.ts'
import { type ResolvedOptions } from './options.ts'
import { decodeSnapshot } from './snapshot.ts'

/** Clocks that are computed from others may be off by this much when a timer fires. */
const TIMER_ROUNDING_MS = 0.001
/** The shortest sleep: whatever is due, at most so much of the processor is spent on waking up. */
const WAKE_PAUSE_MS = 0.1

export interface CoreComponents<State> {
  readonly self: Member
  readonly options: ResolvedOptions
  readonly fold: Fold<State> | undefined
  readonly detector: DetectorFactory
  readonly broadcaster: BroadcasterFactory
}

export type CoreInput =
  /** Found the cluster of that id, unless one of the seeds knows it already. */
  | { readonly kind: 'found', readonly clusterId: ClusterId, readonly seeds: readonly Address[] }
  /** Go on with the cluster that an earlier process of this store was alone in. */
  | { readonly kind: 'resume', readonly configuration: Configuration, readonly state: unknown }
  /** Join: a certain cluster, or any of the right name. */
  | { readonly kind: 'join', readonly clusterId: ClusterId | undefined, readonly seeds: readonly Address[], readonly timeoutMs: number }
  /** The seeds to try from now on. */
  | { readonly kind: 'seeds', readonly seeds: readonly Address[] }
  /** A validated message. */
  | { readonly kind: 'message', readonly peer: Peer, readonly message: MembershipMessage }
  | { readonly kind: 'link', readonly event: LinkEvent }
  | { readonly kind: 'persisted', readonly token: number }
  | { readonly kind: 'leave' }
  /** The time of the last wake effect has come. */
  | { readonly kind: 'tick' }

export class MembershipCore<State> {
  readonly #parts: CoreComponents<State>
  readonly #out = new Outbox<State>()
  readonly #clock = new LocalClock()
  /** Invariant: at most one of the three is set. */
  #founding: FoundingCheck | undefined
  #joining: JoinProtocol | undefined
  #member: MemberCore<State> | undefined
  #over = false
  #wakeAtMs = Infinity

  constructor (parts: CoreComponents<State>) {
    this.#parts = parts
  }

  apply (clockMs: number, input: CoreInput): MembershipEffect<State>[] {
    if (this.#over) return []
    let now = this.#clock.read(clockMs)
    if (input.kind === 'tick') {
      // A timer that fires a rounding error too early must find its work due, or it would be set again and again.
      if (this.#wakeAtMs - now < TIMER_ROUNDING_MS) now = Math.max(now, this.#wakeAtMs)
      this.#wakeAtMs = Infinity
      this.#clock.expect(Infinity)
    }
    this.#take(now, input)
    this.#advance(now)
    const effects = this.#out.drain()
    for (const { kind } of effects) if (kind === 'removed' || kind === 'left' || kind === 'refused' || kind === 'halt') this.#over = true
    if (!this.#over) this.#wake(now, effects)
    return effects
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    this.#member?.invariants()
  }

  #take (now: number, input: CoreInput): void {
    switch (input.kind) {
      case 'found':
        this.#founding = new FoundingCheck(this.#parts.self, input.clusterId, input.seeds, this.#parts.options, this.#out, now)
        break
      case 'resume':
        this.#resume(now, input.configuration, input.state as State)
        break
      case 'join':
        this.#join(now, input.clusterId, input.seeds, input.timeoutMs)
        break
      case 'seeds':
        this.#joining?.seeds(input.seeds)
        break
      case 'message':
        this.#receive(now, input.peer, input.message)
        break
      case 'link':
        if (input.event.kind === 'refused' || input.event.kind === 'unreachable') this.#founding?.refused(input.event.address)
        this.#member?.link(now, input.event)
        break
      case 'persisted':
        this.#member?.persisted(now, input.token)
        break
      case 'leave':
        if (this.#member === undefined) this.#out.push({ kind: 'left' })
        else this.#member.leave(now)
        break
      case 'tick':
        break
    }
  }

  #advance (now: number): void {
    if (this.#founding !== undefined) this.#judge(now, this.#founding.advance(now), [])
    if (this.#joining !== undefined) this.#fail(this.#joining.advance(now))
    this.#member?.advance(now)
  }

  #wake (now: number, effects: MembershipEffect<State>[]): void {
    const due = Math.min(this.#founding?.nextAtMs ?? Infinity, this.#joining?.nextAtMs ?? Infinity, this.#member?.nextAtMs ?? Infinity)
    const next = Math.max(due, now + WAKE_PAUSE_MS)
    // A pending timer is never put off: how late it comes is what the clock goes by.
    if (next >= this.#wakeAtMs) return
    this.#wakeAtMs = next
    const atMs = this.#clock.expect(next)
    if (next !== Infinity) effects.push({ kind: 'wake', atMs })
  }

  #receive (now: number, peer: Peer, message: MembershipMessage): void {
    if (this.#member !== undefined) {
      this.#member.message(now, peer, message)
      return
    }
    switch (message.kind) {
      case 'probe': {
        const { self, options: { clusterName } } = this.#parts
        const sender = { id: self.id, address: self.address }
        this.#out.reply(peer, { kind: 'probe-reply', sender, position: NOWHERE, member: self, clusterName, to: message.to, sequence: message.sequence })
        break
      }
      case 'join-ask':
        if (this.#founding !== undefined) this.#judge(now, this.#founding.asked(peer, message), peer.address === undefined ? [] : [peer.address])
        else if (this.#joining !== undefined) this.#out.reply(peer, { kind: 'join-redirect', addresses: this.#joining.known })
        break
      case 'join-observers':
      case 'join-held':
      case 'join-redirect':
      case 'join-refused':
      case 'admitted':
      case 'snapshot':
        this.#answered(now, peer, message)
        break
      case 'probe-reply':
      case 'join-request':
      case 'fetch-decisions':
      case 'decisions':
      case 'alerts':
      case 'leave':
      case 'consensus':
        // For a member; this process is none, or the one that had its address before.
        break
    }
  }

  #answered (now: number, peer: Peer, answer: JoinAnswer): void {
    if (this.#founding !== undefined) {
      this.#judge(now, this.#founding.answered(peer, answer), peer.address === undefined ? [] : [peer.address])
    } else if (this.#joining !== undefined) {
      if (answer.kind !== 'snapshot') {
        this.#fail(this.#joining.answered(now, peer, answer))
        return
      }
      const decoded = decodeSnapshot(answer, this.#parts.fold)
      if (decoded instanceof Error) {
        const text = `The state of this cluster cannot be read here: ${decoded.message}`
        this.#fail(new MembershipError('MEMBERSHIP_JOIN_REFUSED', text, { cause: decoded }))
        return
      }
      const { configuration, state } = decoded
      if (!this.#joining.accepts(configuration)) return
      this.#joining = undefined
      this.#begin(now, configuration, state, 'joined')
    }
  }

  /** @param rivals addresses of the founder that this one yields to. */
  #judge (now: number, verdict: FoundingVerdict | undefined, rivals: readonly Address[]): void {
    if (verdict === undefined || this.#founding === undefined) return
    const { clusterId } = this.#founding
    this.#founding = undefined
    if (verdict === 'join') {
      this.#join(now, undefined, rivals, this.#parts.options.joinTimeoutMs)
    } else if (verdict === 'found') {
      const { self, options, fold } = this.#parts
      const configuration = foundingConfiguration(clusterId, options.clusterName, options.settings, self)
      // Without a fold there is no state: State is undefined then.
      this.#begin(now, configuration, fold?.initial(configuration) as State, 'founded')
    } else {
      this.#fail(verdict)
    }
  }

  #join (now: number, clusterId: ClusterId | undefined, seeds: readonly Address[], timeoutMs: number): void {
    const { self, options } = this.#parts
    this.#joining = new JoinProtocol(self, clusterId, options, this.#out, now, timeoutMs)
    this.#joining.seeds(seeds)
  }

  /**
   * Rule M4 for a cluster of one: whoever was alone is its own majority, and nobody ever heard of a configuration after the stored one,
   * since a decision is durable before it is told. So this process decides alone that it takes its predecessor's place.
   */
  #resume (now: number, stored: Configuration, state: State): void {
    const { self, fold } = this.#parts
    const configuration = nextConfiguration(stored, normalizeCut([self], stored.members.map(member => member.id)))
    this.#begin(now, configuration, fold === undefined ? state : fold.next(state, configuration), 'resumed')
  }

  #begin (now: number, configuration: Configuration, state: State, learned: 'founded' | 'joined' | 'resumed'): void {
    this.#member = new MemberCore({ ...this.#parts, out: this.#out })
    this.#member.begin(now, configuration, state, learned)
  }

  #fail (error: MembershipError | undefined): void {
    if (error !== undefined) this.#out.push({ kind: 'refused', error })
  }
}
