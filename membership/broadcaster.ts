/**
 * Broadcasters: how alerts and votes reach all members of a configuration.
 *
 * Suresh et al. (USENIX ATC '18), section 4.3, lets alerts and votes be gossiped or sent to each member; the interface serves
 * both. Where some members do not vote (rule M13) the voters are who must be reached; telling others too is harmless. Alerts and
 * votes are safe to lose and to repeat: their senders repeat them, with growing pauses, until a decision.
 *
 * Pure: the time is an argument; what is sent goes through the function that the factory is given.
 */
import type { MemberId } from './configuration.ts'
import type { Alerts, ConsensusEnvelope } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

export type BroadcastMessage = Alerts | ConsensusEnvelope

/** One per configuration and process. */
export interface Broadcaster {
  /** Sends a message of this process on its way to all others. */
  originate (now: number, message: BroadcastMessage): void
  /** A broadcast message of this configuration arrived. @param via the member it came from directly, if it is one. */
  relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void
  /** Sends what is due. */
  advance (now: number): void
  /** When `advance` next has something to do, or Infinity. */
  readonly nextAtMs: number
  /** Sends at once whatever waits: this configuration has decided, and others may lack just that. */
  flush (): void
}

/** Sends one message to several members, each of them directly. It is encoded once. */
export type SendToMembers = (to: readonly MemberId[], message: BroadcastMessage) => void

export type BroadcasterFactory = (view: View, tuning: MembershipTuning, send: SendToMembers) => Broadcaster

/** Sends every message to every other member: N messages per broadcast, in one hop. For small clusters. */
export class UnicastBroadcaster implements Broadcaster {
  readonly #others: readonly MemberId[]
  readonly #send: SendToMembers
  readonly nextAtMs = Infinity

  constructor (view: View, send: SendToMembers) {
    this.#others = view.configuration.members.map(member => member.id).filter(id => id !== view.self.id)
    this.#send = send
  }

  originate (_now: number, message: BroadcastMessage): void {
    this.#send(this.#others, message)
  }

  relay (): void {
    // Everybody got it from its origin.
  }

  advance (): void {
    // Nothing ever waits.
  }

  flush (): void {
    // Nothing ever waits.
  }
}

export const unicastToAll: BroadcasterFactory = (view, _tuning, send) => new UnicastBroadcaster(view, send)
