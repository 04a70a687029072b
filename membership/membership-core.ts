/**
 * The membership machine: one process from its start until it is a member no more.
 *
 * Suresh et al. (USENIX ATC '18). It goes through founding or joining (rule M8, section 4.1) and then is a member
 * (`member-core.ts`). While a process with a disk joins, it also answers for the member it was before (rule M4, `restart.ts`).
 * One machine is one member id: a process that was removed joins again with a new machine.
 *
 * Pure: `apply(now, input)` gives effects; see `effects.ts` for their order. It reads no clock, draws no random number, awaits
 * nothing. The same inputs give the same effects.
 */
import { type ClusterId, foundingConfiguration, type Configuration } from './configuration.ts'
import type { CoreComponents } from './core-components.ts'
import type { CoreInput } from './core-input.ts'
import type { Counters } from './counters.ts'
import { Outbox, type Kept, type MembershipEffect, type Peer } from './effects.ts'
import type { Address } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import { FoundingCheck, type FoundingVerdict } from './founding.ts'
import { JoinProtocol } from './join-protocol.ts'
import { LocalClock } from './local-clock.ts'
import { MemberCore } from './member-core.ts'
import { NOWHERE, type DecisionRecord, type JoinAnswer, type MembershipMessage } from './messages.ts'
import type { EdgeCounts } from './monitor.ts'
import { Parting } from './parting.ts'
import { Restart } from './restart.ts'
import { decodeSnapshot } from './snapshot.ts'

/** Clocks that are computed from others may be off by this much when a timer fires. */
const TIMER_ROUNDING_MS = 0.001
/** The shortest sleep: whatever is due, at most so much of the processor is spent on waking up. */
const WAKE_PAUSE_MS = 0.1

export interface MachineComponents<State> extends CoreComponents<State> {
  /**
   * Records survive this process: the epoch of the last configuration that this store has on its disk, 0 for none.
   * @default none: without a disk a process never answers for a former one
   */
  readonly storedEpoch?: number | undefined
  /** Of this process, whatever its member id. @default new ones */
  readonly counters?: Counters
}

export class MembershipCore<State> {
  readonly #parts: MachineComponents<State>
  readonly #out: Outbox<State>
  readonly #clock = new LocalClock()
  /** Addresses with an open connection. */
  readonly #open = new Set<Address>()
  /** Invariant: at most one of founding, joining and member is set; restart only together with joining. */
  #founding: FoundingCheck | undefined
  #joining: JoinProtocol | undefined
  #restart: Restart<State> | undefined
  #member: MemberCore<State> | undefined
  /** Set while joining, where a later configuration may be known here than to the members. */
  #parting: Parting<State> | undefined
  /** Configurations up to this one are history to this store: it may have taken part there, and forgot. Undefined without a disk. */
  #knownEpoch: number | undefined
  #over = false
  #wakeAtMs = Infinity

  constructor (parts: MachineComponents<State>) {
    this.#parts = parts
    this.#out = new Outbox(parts.counters)
    this.#knownEpoch = parts.storedEpoch
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
        this.#founding = new FoundingCheck(this.#parts.self, input.clusterId, input.seeds, this.#parts.options, this.#out, now)
        break
      case 'join':
        this.#join(now, input.clusterId, input.seeds, input.timeoutMs)
        if (input.left !== undefined) this.#part(input.left as Kept<State>)
        if (input.kept !== undefined) this.#comeBack(input.seeds).resume(now, input.kept as Kept<State>)
        break
      case 'seeds':
        this.#joining?.seeds(input.seeds)
        this.#restart?.seeds(input.seeds)
        break
      case 'message':
        this.#receive(now, input.peer, input.message)
        break
      case 'link':
        if (input.event.kind === 'opened') this.#open.add(input.event.address)
        else if (input.event.kind === 'closed') this.#open.delete(input.event.address)
        else this.#founding?.refused(input.event.address)
        this.#member?.link(now, input.event)
        break
      case 'persisted':
        this.#restart?.persisted(now, input.token)
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
    if (this.#founding !== undefined) this.#judge(now, this.#founding.advance(now), [])
    this.#restart?.advance(now)
    if (this.#joining !== undefined) this.#fail(this.#joining.advance(now, this.#restart?.progress(now)))
    this.#member?.advance(now)
  }

  #wake (now: number, effects: MembershipEffect<State>[]): void {
    const parts = [this.#founding, this.#joining, this.#restart, this.#member]
    const due = Math.min(...parts.map(part => part?.nextAtMs ?? Infinity))
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
    if ('sender' in message || message.kind === 'join-observers') this.#parting?.saw(peer, message.position)
    switch (message.kind) {
      case 'probe': {
        const { self, options: { clusterName } } = this.#parts
        if (message.to === self.id && this.#joining?.mayVouch(now, message.position.clusterId) === false) break
        const sender = { id: self.id, address: self.address }
        this.#out.reply(peer, { kind: 'probe-reply', sender, position: NOWHERE, member: self, clusterName, to: message.to, sequence: message.sequence })
        break
      }
      case 'join-ask':
        if (this.#founding !== undefined) this.#judge(now, this.#founding.asked(peer, message), peer.address === undefined ? [] : [peer.address])
        else if (this.#restart !== undefined) this.#restart.asked(peer, message)
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
      case 'returned':
      case 'present':
      case 'consensus':
      case 'decisions':
      case 'fetch-decisions':
        if (this.#restart !== undefined) this.#restart.message(now, peer, message)
        else if (message.kind === 'returned') this.#joining?.met(now, message.sender.address)
        break
      case 'probe-reply':
      case 'join-request':
      case 'alerts':
      case 'leave':
        // For a member; this process is none, or the one that had its address before.
        break
    }
  }

  #answered (now: number, peer: Peer, answer: JoinAnswer): void {
    if (this.#founding !== undefined) {
      this.#judge(now, this.#founding.answered(peer, answer), peer.address === undefined ? [] : [peer.address])
    } else if (this.#joining !== undefined) {
      if (answer.kind !== 'snapshot') {
        const refused = this.#joining.answered(now, peer, answer)
        if (refused?.spent === true) this.#out.push({ kind: 'spent', error: refused.error })
        else this.#fail(refused?.error)
        return
      }
      const decoded = decodeSnapshot(answer, this.#parts.fold)
      if (decoded instanceof Error) {
        const text = `The state of this cluster cannot be read here: ${decoded.message}`
        this.#fail(new MembershipError('MEMBERSHIP_JOIN_REFUSED', text, { cause: decoded }))
        return
      }
      const { configuration, state } = decoded
      if (this.#joining.accepts(configuration)) this.#begin(now, configuration, state, 'joined')
      else this.#adopt(now, configuration, state)
    }
  }

  /** A configuration without this process, told by others that come back: the member it was may be in there, and be needed. */
  #adopt (now: number, configuration: Configuration, state: State): void {
    const { self } = this.#parts
    if (this.#knownEpoch === undefined || configuration.epoch <= this.#knownEpoch || !this.#joining!.belongs(configuration)) return
    if (this.#restart === undefined) {
      const holder = configuration.members.find(({ storeId }) => storeId === self.storeId)
      if (holder === undefined || holder.incarnation >= self.incarnation) return
      this.#comeBack([])
    }
    this.#restart!.adopt(now, configuration, state)
  }

  #comeBack (seeds: readonly Address[]): Restart<State> {
    const restart = new Restart<State>({ ...this.#parts, out: this.#out }, {
      admitted: (now, configuration, state, origin) => { this.#begin(now, configuration, state, 'resumed', origin) },
      released: kept => {
        this.#restart = undefined
        this.#knownEpoch = kept.configuration.epoch
        this.#part(kept)
      },
      failed: error => { this.#fail(error) }
    })
    restart.seeds(seeds)
    this.#restart = restart
    return restart
  }

  #part (kept: Kept<State>): void {
    const { self: { id, address }, fold } = this.#parts
    this.#parting = new Parting(kept, { id, address }, fold, this.#out)
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

  #begin (now: number, configuration: Configuration, state: State, learned: 'founded' | 'joined' | 'resumed', origin?: DecisionRecord): void {
    this.#joining = undefined
    this.#restart = undefined
    this.#parting = undefined
    this.#member = new MemberCore({ ...this.#parts, out: this.#out, open: this.#open })
    this.#member.begin(now, configuration, state, learned, origin)
  }

  #fail (error: MembershipError | undefined): void {
    if (error !== undefined) this.#out.push({ kind: 'refused', error })
  }
}
