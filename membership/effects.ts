/**
 * What the membership core hands back: effects, collected in the order in which the shell carries them out.
 *
 * The order, stated once: a record is made durable before anything that depends on it exists at all (the core holds those
 * effects back until the record is reported `persisted`); messages go out before users are notified of a view change, so that
 * a slow listener delays nobody else; `wake` comes last.
 *
 * Pure.
 */
import type { Configuration, Cut } from './configuration.ts'
import type { ConsensusRecord } from './consensus-messages.ts'
import { Counters } from './counters.ts'
import type { Address, Remote } from './environment/environment.ts'
import type { MembershipError } from './errors.ts'
import type { DecisionRecord, MembershipMessage } from './messages.ts'
import type { ViewChange } from './view-change.ts'

/** The connection a message came by, to answer on. Opaque to the core. */
export type Peer = Pick<Remote, 'address' | 'connectionId'>

/** What must survive a restart (rule M4). */
export type DurableRecord<State> =
  | { readonly kind: 'acceptor', readonly record: ConsensusRecord }
  | { readonly kind: 'configuration', readonly configuration: Configuration, readonly state: State, readonly origin: DecisionRecord | undefined }

/** What an earlier process of this store left behind. */
export interface Kept<State> {
  readonly configuration: Configuration
  readonly state: State
  /** The decision that led there; undefined where this store was handed the configuration as a whole, or founded the cluster. */
  readonly origin: DecisionRecord | undefined
  /** For `configuration`, or undefined when it took part in nothing there. */
  readonly acceptor: ConsensusRecord | undefined
}

export type MembershipStatus = 'idle' | 'joining' | 'member' | 'isolated' | 'removed' | 'leaving' | 'closed' | 'halted'

export type MembershipEffect<State> =
  /** Make durable, then report `persisted` with the token. Records become durable in the order asked for. */
  | { readonly kind: 'persist', readonly token: number, readonly record: DurableRecord<State> }
  | { readonly kind: 'send', readonly to: Address, readonly message: MembershipMessage }
  | { readonly kind: 'send-to-all', readonly to: readonly Address[], readonly message: MembershipMessage }
  | { readonly kind: 'reply', readonly peer: Peer, readonly message: MembershipMessage }
  | { readonly kind: 'proposal', readonly cut: Cut }
  | { readonly kind: 'view-change', readonly change: ViewChange<State> }
  | { readonly kind: 'status', readonly status: MembershipStatus }
  /** A configuration in effect holds the updates that were asked for under these tokens. */
  | { readonly kind: 'updated', readonly tokens: readonly number[] }
  /** The cluster removed this member; nothing follows. */
  | { readonly kind: 'removed' }
  /** This member has left and a majority of the next configuration knows; nothing follows. */
  | { readonly kind: 'left' }
  /** The join failed for good; nothing follows. */
  | { readonly kind: 'refused', readonly error: MembershipError }
  /** The cluster has seen this member id or incarnation before, maybe because it admitted and removed it: join under the next ones. */
  | { readonly kind: 'spent', readonly error: MembershipError }
  /** Going on would be unsafe; nothing follows. */
  | { readonly kind: 'halt', readonly error: MembershipError }
  | { readonly kind: 'warn', readonly message: string, readonly fields: Readonly<Record<string, unknown>> }
  /** Apply a `tick` at that time; replaces the wake before. */
  | { readonly kind: 'wake', readonly atMs: number }

/** Collects effects during one input, and counts what happens. */
export class Outbox<State> {
  readonly counters: Counters
  #effects: MembershipEffect<State>[] = []
  #tokens = 0

  /** @param counters of the process, which counts on under another member id */
  constructor (counters = new Counters()) {
    this.counters = counters
  }

  push (effect: MembershipEffect<State>): void {
    this.#effects.push(effect)
  }

  send (to: Address, message: MembershipMessage): void {
    this.#effects.push({ kind: 'send', to, message })
  }

  sendToAll (to: readonly Address[], message: MembershipMessage): void {
    this.#effects.push({ kind: 'send-to-all', to, message })
  }

  reply (peer: Peer, message: MembershipMessage): void {
    this.#effects.push({ kind: 'reply', peer, message })
  }

  warn (message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#effects.push({ kind: 'warn', message, fields })
  }

  /** Returns the token under which the record will be reported durable. */
  persist (record: DurableRecord<State>): number {
    const token = ++this.#tokens
    this.#effects.push({ kind: 'persist', token, record })
    return token
  }

  drain (): MembershipEffect<State>[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }
}

/** The part of an outbox that a protocol needs which sends, and neither persists nor notifies. */
export type Mailbox = Pick<Outbox<unknown>, 'send' | 'reply' | 'warn' | 'counters'>
