/**
 * A fold: state that every process derives from the same sequence of configurations, and that a newcomer receives ready-made.
 *
 * Membership calls `next` once per configuration, in order, and hands the encoded state to joiners (and to members that fell
 * behind further than the log of decisions reaches) together with the full configuration it belongs to. The ring's placement
 * is such a fold. Nothing but the arguments may influence the result.
 */
import type { Configuration, Member } from './configuration.ts'

export interface Fold<State> {
  /** The state of epoch 1, at the founder. */
  initial (configuration: Configuration): State
  /** The state of `configuration`, from that of the configuration before it. */
  next (state: State, configuration: Configuration): State
  encode (state: State): Uint8Array
  /** @throws when the bytes are not a state of this fold in this version. */
  decode (bytes: Uint8Array): State
  /**
   * Why the cluster must not admit a joiner, by what the state knows of earlier members; undefined when it may. Asked by
   * the members that a joiner turns to, before anybody reports it. @default nothing stands against anybody
   */
  objection? (state: State, joiner: Member): string | undefined
}
