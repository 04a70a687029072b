/**
 * Parting: what a process still owes to a cluster that removed it, or that its store was away from: the decision itself.
 *
 * Rule M12. Whoever learns the decision that removes it stops to answer for that member, and its word may be one that the others miss: of four that
 * remove two, the two that are left cannot decide again what they have not heard. So while it joins anew, it tells whoever shows itself in an
 * earlier configuration what it knows: the decision, or the whole configuration where that does not follow. A member that leaves waits
 * until the others know instead (`leaving.ts`).
 *
 * Pure. What is told is durable here, where anything is (rule M4).
 */
import type { Kept, Mailbox, Peer } from './effects.ts'
import type { Fold } from './fold.ts'
import { positionOf, type Position, type Sender } from './messages.ts'
import { encodeSnapshot } from './snapshot.ts'
import type { ViewChange } from './view-change.ts'

export class Parting<State> {
  readonly #kept: Kept<State>
  readonly #sender: Sender
  readonly #fold: Fold<State> | undefined
  readonly #out: Mailbox

  /** @param kept the last configuration that is known here; this process is no member of it. */
  constructor (kept: Kept<State>, sender: Sender, fold: Fold<State> | undefined, out: Mailbox) {
    this.#kept = kept
    this.#sender = sender
    this.#fold = fold
    this.#out = out
  }

  /** A process showed where it is: it is told what it missed. */
  saw (peer: Peer, { clusterId, configurationId, epoch }: Position): void {
    const { configuration, origin, state } = this.#kept
    if (clusterId !== configuration.clusterId || epoch >= configuration.epoch) return
    const message = origin?.previousId === configurationId
      ? { kind: 'decisions' as const, sender: this.#sender, position: positionOf(configuration), decisions: [origin] }
      : encodeSnapshot(configuration, state, this.#fold)
    this.#out.reply(peer, message)
  }
}

/** What a process without a disk knows still after its last view change. */
export function keptOf<State> ({ configuration, previous, cut, reason: { ballot, voters }, state }: ViewChange<State>): Kept<State> {
  const { epoch, id } = configuration
  const decided = previous !== undefined && cut !== undefined && ballot !== undefined
  return { configuration, state, origin: decided ? { previousId: previous.id, epoch, id, cut, ballot, voters } : undefined, acceptor: undefined }
}
