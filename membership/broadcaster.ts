/**
 * Broadcasters: how alerts and votes reach all members of a configuration.
 *
 * Suresh et al. (USENIX ATC '18), section 4.3, lets alerts and votes be gossiped or sent to each member. The interface serves
 * both: it names the members a message goes to at its origin, and those that a receiver passes it on to. Alerts and votes
 * are safe to lose and to repeat, since their senders repeat them until a decision.
 *
 * Pure.
 */
import { type MemberId } from './configuration.ts'
import { type Alerts, type ConsensusEnvelope } from './messages.ts'
import { type View } from './view.ts'

export type BroadcastMessage = Alerts | ConsensusEnvelope

/** One per configuration and process. */
export interface Broadcaster {
  /** The members that a message of this process goes to first. */
  originate (message: BroadcastMessage): readonly MemberId[]
  /** The members to pass a received message on to. Called once for every arrival, repetitions included. */
  relay (message: BroadcastMessage): readonly MemberId[]
}

export type BroadcasterFactory = (view: View) => Broadcaster

/** Sends every message to every other member: N messages per broadcast, one hop. */
export class UnicastBroadcaster implements Broadcaster {
  readonly #others: readonly MemberId[]

  constructor (view: View) {
    this.#others = view.configuration.members.map(member => member.id).filter(id => id !== view.self.id)
  }

  originate (): readonly MemberId[] {
    return this.#others
  }

  relay (): readonly MemberId[] {
    return []
  }
}

/** The default. */
export const unicastToAll: BroadcasterFactory = view => new UnicastBroadcaster(view)
