/**
 * A member: everything a process does while it belongs to a configuration.
 *
 * Suresh et al. (USENIX ATC '18), section 4, put together: the detectors' verdicts become alerts, alerts a proposal, the proposal the vote in
 * consensus, and the decision the next configuration, in which all begins anew. Decisions that were missed take the same way
 * in as those that were taken part in, so that there is one place where a configuration follows another.
 *
 * Pure: the time is an argument; effects go to the outbox.
 */
import { Agreement } from './agreement.ts'
import { Alerting } from './alerting.ts'
import type { Broadcaster } from './broadcaster.ts'
import { CatchUp } from './catch-up.ts'
import { Chain } from './chain.ts'
import type { Configuration, Metadata } from './configuration.ts'
import type { CoreComponents } from './core-components.ts'
import { listenersOf } from './decision-spread.ts'
import { Departure } from './departure.ts'
import type { MembershipStatus, Outbox, Peer } from './effects.ts'
import type { Address, LinkEvent } from './environment/environment.ts'
import { Inbox } from './member-inbox.ts'
import type { ConsensusEnvelope, DecisionRecord, MembershipMessage } from './messages.ts'
import { Monitor, type EdgeCounts } from './monitor.ts'
import { Reception } from './reception.ts'
import { Succession, type Arrival } from './succession.ts'
import { Updating } from './updating.ts'
import { View } from './view.ts'

export interface MemberComponents<State> extends CoreComponents<State> {
  readonly out: Outbox<State>
  /** Addresses with an open connection, as of now. */
  readonly open: ReadonlySet<Address>
}

export class MemberCore<State> {
  readonly #parts: MemberComponents<State>
  readonly #out: Outbox<State>
  readonly #monitor: Monitor
  readonly #alerting: Alerting
  readonly #reception: Reception
  readonly #catchUp: CatchUp
  readonly #chain: Chain<State>
  readonly #succession: Succession<State>
  readonly #updating: Updating
  readonly #departure: Departure<State>
  readonly #inbox: Inbox<State>
  #view!: View
  /** Undefined for an agent, which has no vote (rule M13). */
  #agreement: Agreement | undefined
  #broadcaster!: Broadcaster
  #now = 0
  #isolated = false
  /** The version of the tallies when the verdicts of the detectors were last weighed. */
  #weighedVersion = -1

  constructor (parts: MemberComponents<State>) {
    this.#parts = parts
    this.#out = parts.out
    const { options, out } = parts
    this.#monitor = new Monitor(parts.detector, options, out, parts.open)
    this.#catchUp = new CatchUp(options, out)
    this.#chain = new Chain(parts.fold, out)
    this.#alerting = new Alerting(options, out.counters, {
      propose: cut => {
        this.#out.push({ kind: 'proposal', cut })
        this.#agreement!.apply(this.#now, { kind: 'propose', cut })
      },
      probe: (joiner, sequence) => { this.#reception.admission.probe(joiner, sequence) },
      vouch: joiner => { this.#reception.admission.consider(this.#now, joiner) },
      rearm: subject => { this.#monitor.rearm(this.#now, subject) },
      contradicted: ({ member, version }) => { this.#out.warn('a member told two contents of one version of its metadata', { member, version }) }
    })
    this.#updating = new Updating(options, {
      announce: update => { this.#alerting.reportUpdate(this.#now, update) },
      held: tokens => { this.#out.push({ kind: 'updated', tokens }) }
    })
    this.#succession = new Succession(parts.fold, out, this.#chain, this.#alerting)
    this.#reception = new Reception(options, out, {
      reportJoin: joiner => { this.#alerting.reportJoin(this.#now, joiner) },
      proposeNow: () => this.#alerting.proposeNow(this.#now),
      objection: joiner => this.#chain.objection(joiner),
      snapshot: () => this.#chain.snapshot(),
      heard: reply => { this.#monitor.replied(this.#now, reply) },
      offer: cut => { this.#agreement?.apply(this.#now, { kind: 'offer', cut }) }
    })
    this.#departure = new Departure(options, out, this.#chain)
    this.#inbox = new Inbox({
      out, monitor: this.#monitor, alerting: this.#alerting, reception: this.#reception, catchUp: this.#catchUp, chain: this.#chain,
      succession: this.#succession, departure: this.#departure, isolated: () => this.#isolated
    }, options.batchWindowMs)
  }

  get configuration (): Configuration {
    return this.#view.configuration
  }

  /** Begins with the first configuration of this process; it is in effect once the record is durable. */
  begin (now: number, configuration: Configuration, state: State, learned: 'founded' | 'joined' | 'resumed', origin?: DecisionRecord): void {
    this.#now = now
    this.#succession.arrive(configuration, state, origin, learned)
  }

  message (now: number, peer: Peer, message: MembershipMessage): void {
    this.#now = now
    this.#inbox.receive(now, peer, message)
  }

  link (now: number, event: LinkEvent): void {
    this.#now = now
    if (this.#stays) this.#monitor.link(now, event)
  }

  persisted (now: number, token: number): void {
    this.#now = now
    const arrival = this.#succession.persisted(token)
    if (arrival !== undefined) this.#enter(arrival)
    else this.#agreement?.persisted(now, token)
  }

  /** Asks the cluster to go on without this member. Alone, there is nobody to ask. */
  leave (now: number): void {
    this.#now = now
    this.#departure.leave(now, this.#view as View | undefined)
  }

  /** Asks the cluster to hold other metadata of this member (rule M13). The token names the request in the `updated` effect. */
  update (now: number, token: number, change: Partial<Metadata>): void {
    this.#now = now
    if (this.#stays) this.#updating.ask(now, token, change)
  }

  /** Does what is due. Called after every input. */
  advance (now: number): void {
    this.#now = now
    if ((this.#view as View | undefined) === undefined || this.#departure.stage === 'gone') return
    this.#departure.advance(now)
    if (this.#departure.stage !== 'staying') return
    this.#agreement?.advance(now)
    this.#broadcaster.advance(now)
    const stirred = this.#monitor.advance(now)
    if (stirred || this.#weighedVersion !== this.#alerting.version) {
      this.#weighedVersion = this.#alerting.version
      this.#alerting.reportFaulty(now, this.#monitor.faulty(), this.#monitor.doubtsItself)
    }
    this.#reception.advance(now)
    if (!this.#succession.isUnderWay) {
      this.#updating.advance(now)
      if (this.#alerting.advance(now)) this.#agreement?.apply(now, { kind: 'suspects', members: this.#alerting.suspects() })
      this.#catchUp.advance(now)
    }
    this.#tellIsolation()
  }

  get nextAtMs (): number {
    if ((this.#view as View | undefined) === undefined || this.#departure.stage === 'gone') return Infinity
    const leaving = this.#departure.nextAtMs
    if (this.#departure.stage !== 'staying') return leaving
    const agreement = this.#agreement === undefined ? [] : [this.#agreement]
    const parts = [...agreement, this.#broadcaster, this.#monitor, this.#reception]
    const waiting = this.#succession.isUnderWay ? [] : [this.#updating, this.#alerting, this.#catchUp]
    return Math.min(leaving, ...[...parts, ...waiting].map(part => part.nextAtMs))
  }

  /** Whether this process is a member, and not about to be none. */
  get #stays (): boolean {
    return this.#departure.stage === 'staying' && (this.#view as View | undefined) !== undefined
  }

  get edges (): EdgeCounts {
    return this.#monitor.counts
  }

  invariants (): void {
    this.#alerting.invariants()
    this.#agreement?.invariants()
  }

  #agreeOn (configuration: Configuration): Agreement {
    const { self, options: tuning } = this.#parts
    return new Agreement({ configuration, self: self.id, tuning, out: this.#out }, {
      send: (to, message) => { this.#out.send(this.#reception.roster.addressOf(to), this.#envelope(message)) },
      broadcast: message => { this.#broadcaster.originate(this.#now, this.#envelope(message)) },
      decided: decision => {
        this.#broadcaster.flush()
        this.#succession.decided(decision, 'decided')
      }
    })
  }

  #envelope (message: ConsensusEnvelope['message']): ConsensusEnvelope {
    const { sender, position } = this.#view
    return { kind: 'consensus', sender, position, message }
  }

  /** The one place where a configuration follows another. */
  #enter (arrival: Arrival<State>): void {
    const { self, options, broadcaster } = this.#parts
    const { configuration, origin } = arrival
    const before = this.#view as View | undefined
    const view = new View(configuration, self, options.ringCount)
    const change = this.#succession.enter(this.#now, view, arrival)
    this.#view = view
    if (before !== undefined && origin !== undefined && this.#departure.stage === 'staying') {
      this.#reception.admission.welcome(before, view, origin.cut)
      this.#tellAgents(before, view)
    }
    this.#out.push({ kind: 'view-change', change })
    if (view.member(self.id) === undefined) {
      this.#inbox.enter(this.#now, view, undefined)
      this.#departure.removed(this.#now, view)
      return
    }
    this.#agreement = view.votes ? this.#agreeOn(configuration) : undefined
    this.#broadcaster = broadcaster(view, options, (to, message) => {
      this.#out.sendToAll(to.map(id => this.#reception.roster.addressOf(id)), message)
    })
    this.#inbox.enter(this.#now, view, { agreement: this.#agreement, broadcaster: this.#broadcaster })
    this.#alerting.enter(view, this.#broadcaster)
    this.#monitor.enter(this.#now, view)
    this.#catchUp.enter(this.#now, view)
    this.#reception.enter(this.#now, view)
    this.#updating.enter(this.#now, view)
    if (before === undefined && !this.#departure.isAsked) this.#status('member')
    this.#departure.enter(this.#now, before, view)
    this.#succession.applyMissed()
  }

  /** Those who had no vote in a decision hear of it from those who have it (rule M13). */
  #tellAgents (before: View, after: View): void {
    const addresses = listenersOf(before, after).map(id => after.member(id)!.address)
    if (addresses.length > 0) this.#out.sendToAll(addresses, this.#chain.decisions(before.position))
  }

  #tellIsolation (): void {
    if (this.#monitor.isolated === this.#isolated || this.#departure.isAsked) return
    this.#isolated = this.#monitor.isolated
    if (this.#isolated) this.#out.counters.isolations++
    this.#status(this.#isolated ? 'isolated' : 'member')
  }

  #status (status: MembershipStatus): void {
    this.#out.push({ kind: 'status', status })
  }
}
