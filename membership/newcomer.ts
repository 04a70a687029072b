/**
 * A newcomer: everything a process does before it belongs to a configuration.
 *
 * It founds a cluster (rule M8, `founding.ts`) or joins one (section 4.1 of Suresh et al., USENIX ATC '18, `join-protocol.ts`). With a disk it
 * meanwhile answers for the member it was before (rule M4, `restart.ts`), and where a later configuration may be known here than to the
 * members it tells them (`parting.ts`).
 *
 * Pure: the time is an argument; effects go to the outbox.
 */
import { type ClusterId, foundingConfiguration, type Configuration } from './configuration.ts'
import type { CoreComponents } from './core-components.ts'
import type { JoinInput } from './core-input.ts'
import type { Kept, Outbox, Peer } from './effects.ts'
import type { Address } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import { FoundingCheck, type FoundingVerdict } from './founding.ts'
import { JoinProtocol } from './join-protocol.ts'
import { NOWHERE, type DecisionRecord, type JoinAnswer, type MembershipMessage } from './messages.ts'
import { Parting } from './parting.ts'
import { Restart } from './restart.ts'
import { decodeSnapshot } from './snapshot.ts'

export interface NewcomerComponents<State> extends CoreComponents<State> {
  readonly out: Outbox<State>
  /**
   * Records survive this process: the epoch of the last configuration that this store has on its disk, 0 for none.
   * @default none: without a disk a process never answers for a former one
   */
  readonly storedEpoch?: number | undefined
}

/** A configuration that holds this process, and how it got there; it is not durable here yet. */
export interface Entry<State> {
  readonly configuration: Configuration
  readonly state: State
  readonly learned: 'founded' | 'joined' | 'resumed'
  /** The decision that led there, where it is known. */
  readonly origin?: DecisionRecord | undefined
}

export class Newcomer<State> {
  readonly #parts: NewcomerComponents<State>
  readonly #out: Outbox<State>
  /** This process is in a configuration: nothing is asked of a newcomer any more. */
  readonly #entered: (now: number, entry: Entry<State>) => void
  /** Invariant: at most one of founding and joining is set; restart only together with joining. */
  #founding: FoundingCheck | undefined
  #joining: JoinProtocol | undefined
  #restart: Restart<State> | undefined
  /** Set while joining, where a later configuration may be known here than to the members. */
  #parting: Parting<State> | undefined
  /** Configurations up to this one are history to this store: it may have taken part there, and forgot. Undefined without a disk. */
  #knownEpoch: number | undefined

  constructor (parts: NewcomerComponents<State>, entered: (now: number, entry: Entry<State>) => void) {
    this.#parts = parts
    this.#out = parts.out
    this.#entered = entered
    this.#knownEpoch = parts.storedEpoch
  }

  found (now: number, clusterId: ClusterId, seeds: readonly Address[]): void {
    this.#founding = new FoundingCheck(this.#parts.self, clusterId, seeds, this.#parts.options, this.#out, now)
  }

  join (now: number, { clusterId, seeds, timeoutMs, left, kept }: Omit<JoinInput, 'kind'>): void {
    this.#join(now, clusterId, seeds, timeoutMs)
    if (left !== undefined) this.#part(left as Kept<State>)
    if (kept !== undefined) this.#comeBack(seeds).resume(now, kept as Kept<State>)
  }

  /** The seeds to try from now on. */
  seeds (seeds: readonly Address[]): void {
    this.#joining?.seeds(seeds)
    this.#restart?.seeds(seeds)
  }

  /** Nobody listens at that address. */
  refused (address: Address): void {
    this.#founding?.refused(address)
  }

  persisted (now: number, token: number): void {
    this.#restart?.persisted(now, token)
  }

  /** Does what is due. Called after every input. */
  advance (now: number): void {
    if (this.#founding !== undefined) this.#judge(now, this.#founding.advance(now), [])
    this.#restart?.advance(now)
    if (this.#joining !== undefined) this.#fail(this.#joining.advance(now, this.#restart?.progress(now)))
  }

  get nextAtMs (): number {
    return Math.min(...[this.#founding, this.#joining, this.#restart].map(part => part?.nextAtMs ?? Infinity))
  }

  message (now: number, peer: Peer, message: MembershipMessage): void {
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
      if (this.#joining.accepts(configuration)) this.#begin(now, { configuration, state, learned: 'joined' })
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
    const restart = new Restart<State>(this.#parts, {
      admitted: (now, configuration, state, origin) => { this.#begin(now, { configuration, state, learned: 'resumed', origin }) },
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
      this.#begin(now, { configuration, state: fold?.initial(configuration) as State, learned: 'founded' })
    } else {
      this.#fail(verdict)
    }
  }

  #join (now: number, clusterId: ClusterId | undefined, seeds: readonly Address[], timeoutMs: number): void {
    const { self, options } = this.#parts
    this.#joining = new JoinProtocol(self, clusterId, options, this.#out, now, timeoutMs)
    this.#joining.seeds(seeds)
  }

  #begin (now: number, entry: Entry<State>): void {
    this.#founding = undefined
    this.#joining = undefined
    this.#restart = undefined
    this.#parting = undefined
    this.#entered(now, entry)
  }

  #fail (error: MembershipError | undefined): void {
    if (error !== undefined) this.#out.push({ kind: 'refused', error })
  }
}
