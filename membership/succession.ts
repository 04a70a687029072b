/**
 * Succession: how one configuration follows another at one member.
 *
 * Suresh et al. (USENIX ATC '18), section 3, and rule M12: decisions that were missed take the same way in as those that were taken part in,
 * and whole configurations, so that there is one place where a configuration follows another. At most one becomes
 * durable at a time (rule M4); missed decisions behind it wait in the chain.
 *
 * Pure: the time is an argument.
 */
import type { Alerting } from './alerting.ts'
import { isFast } from './ballot.ts'
import type { Chain } from './chain.ts'
import { nextConfiguration, type Configuration } from './configuration.ts'
import type { Decision } from './consensus-decision.ts'
import { recordOf } from './decision-log.ts'
import type { Outbox } from './effects.ts'
import type { Fold } from './fold.ts'
import type { DecisionRecord, Snapshot } from './messages.ts'
import { decodeSnapshot } from './snapshot.ts'
import { alertsFor, difference, type Explanation, type ViewChange } from './view-change.ts'
import type { View } from './view.ts'

/** A configuration on its way in, waiting to become durable. */
export interface Arrival<State> {
  readonly token: number
  readonly configuration: Configuration
  readonly state: State
  /** The decision that led there, where this member knows it. */
  readonly origin: DecisionRecord | undefined
  readonly learned: Explanation['learned']
}

export class Succession<State> {
  readonly #fold: Fold<State> | undefined
  readonly #out: Outbox<State>
  readonly #chain: Chain<State>
  readonly #alerting: Pick<Alerting, 'explain' | 'firstAlertAtMs' | 'proposedAtMs'>
  #view!: View
  #arrival: Arrival<State> | undefined

  /** @param alerting what speaks for the configuration that follows: it is asked before it begins anew. */
  constructor (
    fold: Fold<State> | undefined, out: Outbox<State>, chain: Chain<State>,
    alerting: Pick<Alerting, 'explain' | 'firstAlertAtMs' | 'proposedAtMs'>
  ) {
    this.#fold = fold
    this.#out = out
    this.#chain = chain
    this.#alerting = alerting
  }

  /** Whether the next configuration is known and on its way to the disk: nothing else may follow the present one. */
  get isUnderWay (): boolean {
    return this.#arrival !== undefined
  }

  /** A configuration is to follow; it does once it is `persisted`. */
  arrive (configuration: Configuration, state: State, origin: DecisionRecord | undefined, learned: Explanation['learned']): void {
    const token = this.#out.persist({ kind: 'configuration', configuration, state, origin })
    this.#arrival = { token, configuration, state, origin, learned }
  }

  /** The present configuration decided. */
  decided (decision: Decision, learned: 'decided' | 'fetched'): void {
    if (this.#arrival !== undefined) return
    const before = this.#view.configuration
    const configuration = nextConfiguration(before, decision.cut)
    const state = this.#fold === undefined ? this.#chain.state : this.#fold.next(this.#chain.state, configuration)
    this.arrive(configuration, state, recordOf(before, configuration, decision), learned)
  }

  /** Goes on with the decisions that were fetched. */
  applyMissed (): void {
    if (this.#arrival !== undefined) return
    const decision = this.#chain.nextMissed()
    if (decision !== undefined) this.decided(decision, 'fetched')
  }

  /** A whole configuration, for a member that is further behind than the logs of its peers reach. */
  jump (snapshot: Snapshot): void {
    if (this.#arrival !== undefined) return
    const decoded = decodeSnapshot(snapshot, this.#fold)
    if (decoded instanceof Error) {
      this.#out.warn('refused a configuration that cannot be decoded', { reason: decoded.message })
      return
    }
    const { configuration, state } = decoded
    const mine = this.#view.configuration
    if (configuration.clusterId !== mine.clusterId || configuration.epoch <= mine.epoch) return
    this.arrive(configuration, state, undefined, 'jumped')
  }

  /** The arrival that this token makes durable, if it is one: `enter` it. */
  persisted (token: number): Arrival<State> | undefined {
    return this.#arrival?.token === token ? this.#arrival : undefined
  }

  /** The arrival takes effect, as `view`. @returns what users are told. */
  enter (now: number, view: View, { configuration, state, origin, learned }: Arrival<State>): ViewChange<State> {
    const previous = (this.#view as View | undefined)?.configuration
    const reason = this.#explain(now, configuration, origin, learned)
    this.#chain.enter(view, state, origin)
    this.#arrival = undefined
    this.#view = view
    const cut = previous === undefined ? undefined : origin?.cut
    const change = { configuration, previous, cut, ...difference(previous, configuration), state, gap: learned === 'jumped', reason }
    this.#count(change)
    return change
  }

  #count ({ previous, joined, removed, updated, reason: { learned, fast, alerts } }: ViewChange<State>): void {
    const { counters } = this.#out
    counters.viewChanges[learned !== 'decided' ? learned : fast === true ? 'fast' : 'recovery']++
    for (const { implicit } of alerts) counters.alertsImplicit += implicit.length
    if (previous === undefined) return
    counters.membersJoined += joined.length
    counters.membersRemoved += removed.length
    counters.membersUpdated += updated.length
  }

  #explain (
    now: number, configuration: Configuration, origin: DecisionRecord | undefined, learned: Explanation['learned']
  ): Explanation {
    const known = origin !== undefined && learned !== 'resumed'
    return {
      epoch: configuration.epoch,
      learned,
      alerts: known ? alertsFor(origin.cut, this.#alerting.explain()) : [],
      voters: origin?.voters ?? [],
      fast: origin === undefined ? undefined : isFast(origin.ballot),
      ballot: origin?.ballot,
      firstAlertAtMs: known ? this.#alerting.firstAlertAtMs : undefined,
      proposedAtMs: known ? this.#alerting.proposedAtMs : undefined,
      decidedAtMs: now
    }
  }
}
