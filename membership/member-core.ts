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
import type { Broadcaster, BroadcastMessage } from './broadcaster.ts'
import { CatchUp } from './catch-up.ts'
import { Chain } from './chain.ts'
import type { Configuration, Metadata } from './configuration.ts'
import type { CoreComponents } from './core-components.ts'
import { listenersOf } from './decision-spread.ts'
import type { MembershipStatus, Outbox, Peer } from './effects.ts'
import type { Address, LinkEvent } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import { Leaving } from './leaving.ts'
import type {
  Alerts, ConsensusEnvelope, DecisionRecord, Decisions, MembershipMessage, Position, Probe, ProbeReply, Sender
} from './messages.ts'
import { Monitor } from './monitor.ts'
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
  #view!: View
  /** Undefined for an agent, which has no vote (rule M13). */
  #agreement: Agreement | undefined
  #broadcaster!: Broadcaster
  /** Set once `leave` was called. */
  #leaving: Leaving | undefined
  #enteredAtMs = 0
  #now = 0
  /** Set once this process is no member any more. */
  #over: 'no' | 'saying goodbye' | 'yes' = 'no'
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
    this.#alerting = new Alerting(options, {
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
    if ((this.#view as View | undefined) === undefined || this.#over === 'yes') return
    if ('sender' in message && !this.#place(message.sender, message.position)) {
      // Another cluster, or none: it may only ask who lives here.
      if (this.#over !== 'no') return
      if (message.kind === 'probe') this.#answerProbe(peer, message)
      else if (message.kind === 'probe-reply') this.#probeAnswered(message)
      return
    }
    if (this.#over === 'no') this.#dispatch(peer, message)
    else if (message.kind === 'fetch-decisions') this.#chain.answer(peer, message)
  }

  link (now: number, event: LinkEvent): void {
    this.#now = now
    if (this.#over === 'no' && (this.#view as View | undefined) !== undefined) this.#monitor.link(now, event)
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
    if (this.#leaving !== undefined || this.#over !== 'no') return
    this.#leaving = new Leaving(this.#parts.options, this.#out)
    this.#status('leaving')
    if (this.#view.size === 1) this.#finish()
    else this.#leaving.ask(now, this.#view)
  }

  /** Asks the cluster to hold other metadata of this member (rule M13). The token names the request in the `updated` effect. */
  update (now: number, token: number, change: Partial<Metadata>): void {
    this.#now = now
    if (this.#over === 'no' && (this.#view as View | undefined) !== undefined) this.#updating.ask(now, token, change)
  }

  /** Does what is due. Called after every input. */
  advance (now: number): void {
    this.#now = now
    if ((this.#view as View | undefined) === undefined || this.#over === 'yes') return
    this.#leaving?.advance(now)
    if (this.#leaving?.done === true) this.#finish()
    if (this.#over !== 'no') return
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
    if ((this.#view as View | undefined) === undefined || this.#over === 'yes') return Infinity
    const leaving = this.#leaving?.nextAtMs ?? Infinity
    if (this.#over !== 'no') return leaving
    const agreement = this.#agreement === undefined ? [] : [this.#agreement]
    const parts = [...agreement, this.#broadcaster, this.#monitor, this.#reception]
    const waiting = this.#succession.isUnderWay ? [] : [this.#updating, this.#alerting, this.#catchUp]
    return Math.min(leaving, ...[...parts, ...waiting].map(part => part.nextAtMs))
  }

  invariants (): void {
    this.#alerting.invariants()
    this.#agreement?.invariants()
  }

  /** Compares the sender's place with ours. False for one that is in no configuration of this cluster. */
  #place (sender: Sender, position: Position): boolean {
    const mine = this.#view.position
    if (position.clusterId !== mine.clusterId) return false
    const known = this.#chain.idOf(position.epoch)
    if (known !== undefined && known !== position.configurationId) {
      const text = `Member ${sender.id} has configuration ${position.configurationId} in epoch ${position.epoch}, this process has ${known}.`
      this.#halt(new MembershipError('MEMBERSHIP_CONFLICT', text, { definite: false }))
      return false
    }
    this.#leaving?.saw(sender.id, position)
    if (this.#over !== 'no') return true
    this.#monitor.heard(this.#now, sender.id)
    if (position.epoch > mine.epoch) this.#catchUp.behind(this.#now, sender, position.epoch)
    return true
  }

  #dispatch (peer: Peer, message: MembershipMessage): void {
    switch (message.kind) {
      case 'probe':
        this.#catchUp.probed(this.#now)
        this.#answerProbe(peer, message)
        break
      case 'probe-reply':
        this.#probeAnswered(message)
        break
      case 'alerts':
      case 'consensus':
      case 'leave':
        this.#fromConfiguration(peer, message)
        break
      case 'fetch-decisions':
        this.#chain.answer(peer, message)
        break
      case 'decisions':
        this.#fetched(message)
        break
      case 'join-ask':
        this.#reception.asked(this.#now, peer, message, undefined, this.#isolated)
        break
      case 'join-request':
        this.#reception.asked(this.#now, peer, message.ask, message.position, this.#isolated)
        break
      case 'snapshot':
        this.#succession.jump(message)
        break
      case 'returned':
        this.#reception.returned(peer, message)
        break
      case 'present':
      case 'join-observers':
      case 'join-held':
      case 'join-redirect':
      case 'join-refused':
      case 'admitted':
        // Late answers to this process's own join.
        break
    }
  }

  #answerProbe (peer: Peer, probe: Probe): void {
    const { sender, position, self, configuration: { clusterName } } = this.#view
    this.#out.reply(peer, { kind: 'probe-reply', sender, position, member: self, clusterName, to: probe.to, sequence: probe.sequence })
  }

  #probeAnswered (reply: ProbeReply): void {
    const member = this.#view.member(reply.to)
    if (member !== undefined) {
      this.#monitor.replied(this.#now, reply)
      // A member that does not know it is one: whoever should have sent it the configuration did not (rule M8).
      if (reply.member.id === reply.to && reply.position.epoch === 0) this.#out.send(member.address, this.#chain.snapshot())
    } else {
      this.#reception.replied(this.#now, reply)
      this.#alerting.answered(this.#now, reply)
    }
  }

  /** Messages that mean something within one configuration only. */
  #fromConfiguration (peer: Peer, message: Alerts | ConsensusEnvelope | MembershipMessage & { kind: 'leave' }): void {
    const { sender, position } = message
    if (position.epoch < this.#view.epoch) {
      // Votes still under way when a decision falls are ordinary. Who says more later is behind and gets the decision as the reply.
      const stale = position.epoch + 1 < this.#view.epoch || this.#now - this.#enteredAtMs > this.#parts.options.batchWindowMs * 2
      if (stale) this.#out.reply(peer, this.#chain.decisions(position))
      return
    }
    if (position.epoch > this.#view.epoch || this.#view.member(sender.id) === undefined) return
    switch (message.kind) {
      case 'alerts':
        this.#relay(peer, message)
        for (const joiner of this.#alerting.receive(this.#now, message.reports)) this.#reception.admission.note(joiner)
        break
      case 'consensus':
        this.#relay(peer, message)
        this.#agreement?.hear(this.#now, sender.id, message.message)
        break
      case 'leave':
        this.#leaving?.companion(sender.id)
        if (this.#view.overlay.observersOf(sender.id).includes(this.#view.self.id)) this.#alerting.reportRemoval(this.#now, sender.id)
        break
    }
  }

  #relay (peer: Peer, message: BroadcastMessage): void {
    const via = peer.address === undefined ? undefined : this.#view.memberAt(peer.address)?.id
    this.#broadcaster.relay(this.#now, via, message)
  }

  #fetched ({ decisions }: Decisions): void {
    if (decisions.length === 0) this.#catchUp.fruitless(this.#now)
    this.#chain.fetched(decisions)
    this.#succession.applyMissed()
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
    this.#enteredAtMs = this.#now
    if (before !== undefined && origin !== undefined && this.#over === 'no') {
      this.#reception.admission.welcome(before, view, origin.cut)
      this.#tellAgents(before, view)
    }
    this.#out.push({ kind: 'view-change', change })
    if (view.member(self.id) === undefined) {
      this.#removed(view)
      return
    }
    this.#agreement = view.votes ? this.#agreeOn(configuration) : undefined
    this.#broadcaster = broadcaster(view, options, (to, message) => {
      this.#out.sendToAll(to.map(id => this.#reception.roster.addressOf(id)), message)
    })
    this.#alerting.enter(view, this.#broadcaster)
    this.#monitor.enter(this.#now, view)
    this.#catchUp.enter(this.#now, view)
    this.#reception.enter(this.#now, view)
    this.#updating.enter(this.#now, view)
    if (before === undefined) this.#status('member')
    if (this.#leaving !== undefined) {
      if (view.size === 1) this.#finishLast(before)
      else this.#leaving.ask(this.#now, view)
    }
    this.#succession.applyMissed()
  }

  /** Those who had no vote in a decision hear of it from those who have it (rule M13). */
  #tellAgents (before: View, after: View): void {
    const addresses = listenersOf(before, after).map(id => after.member(id)!.address)
    if (addresses.length > 0) this.#out.sendToAll(addresses, this.#chain.decisions(before.position))
  }

  /** A decision left this process out: it asked for that, or the others gave up on it. */
  #removed (after: View): void {
    if (this.#leaving === undefined) {
      this.#over = 'yes'
      this.#status('removed')
      this.#out.push({ kind: 'removed' })
      return
    }
    this.#over = 'saying goodbye'
    this.#leaving.goodbye(this.#now, after)
  }

  /** Those that left with this last member wait for its word that it knows; nobody else could give it. */
  #finishLast (before: View | undefined): void {
    const { sender } = this.#view
    for (const { id, address } of before?.configuration.members ?? []) {
      if (id === sender.id) continue
      this.#out.send(address, this.#chain.decisions(before!.position))
    }
    this.#finish()
  }

  #finish (): void {
    if (this.#over === 'yes') return
    this.#over = 'yes'
    this.#out.push({ kind: 'left' })
  }

  #halt (error: MembershipError): void {
    this.#over = 'yes'
    this.#out.push({ kind: 'halt', error })
  }

  #tellIsolation (): void {
    if (this.#monitor.isolated === this.#isolated || this.#leaving !== undefined) return
    this.#isolated = this.#monitor.isolated
    this.#status(this.#isolated ? 'isolated' : 'member')
  }

  #status (status: MembershipStatus): void {
    this.#out.push({ kind: 'status', status })
  }
}
