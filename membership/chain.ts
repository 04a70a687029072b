/**
 * The chain of configurations as one member holds it: where it is, how it got there, and what it can tell others.
 *
 * Rule M12. Serves fetches from the log of decisions, or with the whole configuration where the log does not reach; keeps the
 * decisions that were fetched and are not applied yet; spots two configurations in one epoch.
 *
 * Pure.
 */
import type { Member } from './configuration.ts'
import type { Decision } from './consensus-decision.ts'
import { DecisionLog, verifyRecord } from './decision-log.ts'
import type { Mailbox, Peer } from './effects.ts'
import { MembershipError } from './errors.ts'
import type { Fold } from './fold.ts'
import type { DecisionRecord, Decisions, FetchDecisions, Position, Snapshot } from './messages.ts'
import { encodeSnapshot } from './snapshot.ts'
import type { View } from './view.ts'

/** Decisions in the answer to one fetch. */
const DECISIONS_PER_ANSWER = 32

export class Chain<State> {
  readonly #fold: Fold<State> | undefined
  readonly #out: Mailbox
  readonly #log = new DecisionLog()
  /** Fetched, verified one by one as they are applied. Bounded by what one answer holds. */
  #missed: readonly DecisionRecord[] = []
  #view!: View
  #state!: State
  #snapshot: Snapshot | undefined

  constructor (fold: Fold<State> | undefined, out: Mailbox) {
    this.#fold = fold
    this.#out = out
  }

  /** @param origin the decision that led here; undefined for a founder's or a joiner's first configuration, and across a gap. */
  enter (view: View, state: State, origin: DecisionRecord | undefined): void {
    if (origin !== undefined) this.#log.append(origin)
    this.#view = view
    this.#state = state
    this.#snapshot = undefined
  }

  /** The state of the fold in the next configuration. */
  get state (): State {
    return this.#state
  }

  /** The id that this member knows an epoch by, or undefined. */
  idOf (epoch: number): string | undefined {
    return epoch === this.#view.epoch ? this.#view.position.configurationId : this.#log.idOf(epoch)
  }

  /** What speaks against a joiner: its id was a member's that was removed, or the fold has something against it. */
  objection (joiner: Member): string | undefined {
    if (this.#log.hasRemoved(joiner.id)) return `the member ${joiner.id} was removed; a process that comes back takes another id`
    return this.#fold?.objection?.(this.#state, joiner)
  }

  snapshot (): Snapshot {
    this.#snapshot ??= encodeSnapshot(this.#view.configuration, this.#state, this.#fold)
    return this.#snapshot
  }

  answer (peer: Peer, fetch: FetchDecisions): void {
    const unreachable = fetch.gap && fetch.position.epoch < this.#view.epoch && this.#log.since(fetch.position, 1).length === 0
    this.#out.reply(peer, unreachable ? this.snapshot() : this.decisions(fetch.position))
  }

  /** The decisions after a position, as far as this member has them. */
  decisions (after: Position): Decisions {
    const { sender, position } = this.#view
    return { kind: 'decisions', sender, position, decisions: this.#log.since(after, DECISIONS_PER_ANSWER) }
  }

  /** Takes in the answer to a fetch, unless an earlier one is still being applied. */
  fetched (decisions: readonly DecisionRecord[]): void {
    if (this.#missed.length === 0) this.#missed = decisions
  }

  /** The next missed decision, if it follows the current configuration and its quorum checks; what is left is dropped otherwise. */
  nextMissed (): Decision | undefined {
    const start = this.#missed.findIndex(record => record.previousId === this.#view.configuration.id)
    const record = this.#missed[start]
    this.#missed = record === undefined ? [] : this.#missed.slice(start + 1)
    if (record === undefined) return undefined
    try {
      return verifyRecord(this.#view.configuration, record)
    } catch (error) {
      if (!(error instanceof MembershipError)) throw error
      this.#missed = []
      this.#out.warn('refused a decision that does not check', { epoch: record.epoch, reason: error.message })
      return undefined
    }
  }
}
