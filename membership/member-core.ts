/**
 * A member: everything a process does while it belongs to a configuration.
 *
 * Suresh et al. (USENIX ATC '18), section 4, put together: the detectors' verdicts become alerts, alerts a proposal, the proposal the vote in
 * consensus, and the decision the next configuration, in which all begins anew. Decisions that were missed take the same way
 * in as those that were taken part in, so that there is one place where a configuration follows another.
 *
 * Pure: the time is an argument; effects go to the outbox.
 */
import { Admission } from './admission.ts'
import { Agreement } from './agreement.ts'
import { Alerting } from './alerting.ts'
import { isFast } from './ballot.ts'
import type { BroadcasterFactory, Broadcaster, BroadcastMessage } from './broadcaster.ts'
import { CatchUp } from './catch-up.ts'
import { Chain } from './chain.ts'
import { nextConfiguration, type Configuration, type Member, type Metadata } from './configuration.ts'
import type { Decision } from './consensus.ts'
import { recordOf } from './decision-log.ts'
import type { DetectorFactory } from './detector/detector.ts'
import type { MembershipStatus, Outbox, Peer } from './effects.ts'
import type { Address, LinkEvent } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import type { Fold } from './fold.ts'
import { FormationGate } from './formation-gate.ts'
import { Leaving } from './leaving.ts'
import { RETURNED_MAX } from './message-validation.ts'
import {
  NOWHERE, type Alerts, type ConsensusEnvelope, type DecisionRecord, type Decisions, type JoinAsk, type MembershipMessage, type Position,
  type Probe, type ProbeReply, type Returned, type Sender, type Snapshot
} from './messages.ts'
import { Monitor } from './monitor.ts'
import type { ResolvedOptions } from './options.ts'
import { Roster } from './roster.ts'
import { decodeSnapshot } from './snapshot.ts'
import { Updating } from './updating.ts'
import { alertsFor, difference, type Explanation, type ViewChange } from './view-change.ts'
import { View } from './view.ts'

export interface MemberComponents<State> {
  readonly self: Member
  readonly options: ResolvedOptions
  readonly fold: Fold<State> | undefined
  readonly detector: DetectorFactory
  readonly broadcaster: BroadcasterFactory
  readonly out: Outbox<State>
  /** Addresses with an open connection, as of now. */
  readonly open: ReadonlySet<Address>
}

/** A configuration on its way in, waiting to become durable. */
interface Arrival<State> {
  readonly token: number
  readonly configuration: Configuration
  readonly state: State
  readonly origin: DecisionRecord | undefined
  readonly learned: Explanation['learned']
}

export class MemberCore<State> {
  readonly #parts: MemberComponents<State>
  readonly #out: Outbox<State>
  readonly #monitor: Monitor
  readonly #alerting: Alerting
  readonly #admission: Admission
  readonly #catchUp: CatchUp
  readonly #chain: Chain<State>
  readonly #updating: Updating
  #view!: View
  #agreement!: Agreement
  /** Who came back from a crash under another id and wants to be heard as the member that it was (rule M4). */
  #roster!: Roster
  #broadcaster!: Broadcaster
  /** Set while this member is alone in its configuration. */
  #gate: FormationGate | undefined
  /** Set once `leave` was called. */
  #leaving: Leaving | undefined
  /** At most one configuration becomes durable at a time; missed decisions behind it wait in the chain. */
  #arrival: Arrival<State> | undefined
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
        this.#agreement.apply(this.#now, { kind: 'propose', cut })
      },
      vouch: joiner => { this.#admission.consider(this.#now, joiner) },
      rearm: subject => { this.#monitor.rearm(this.#now, subject) },
      contradicted: ({ member, version }) => { this.#out.warn('a member told two contents of one version of its metadata', { member, version }) }
    })
    this.#updating = new Updating(options, {
      announce: update => { this.#alerting.reportUpdate(this.#now, update) },
      held: tokens => { this.#out.push({ kind: 'updated', tokens }) }
    })
    this.#admission = new Admission(options, out, {
      reachable: joiner => { this.#alerting.reportJoin(this.#now, joiner) },
      objection: joiner => this.#chain.objection(joiner),
      snapshot: () => this.#chain.snapshot()
    })
  }

  get configuration (): Configuration {
    return this.#view.configuration
  }

  /** Begins with the first configuration of this process; it is in effect once the record is durable. */
  begin (now: number, configuration: Configuration, state: State, learned: 'founded' | 'joined' | 'resumed', origin?: DecisionRecord): void {
    this.#now = now
    this.#arrive(configuration, state, origin, learned)
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
    if (this.#arrival?.token === token) this.#enter(this.#arrival)
    else (this.#agreement as Agreement | undefined)?.persisted(now, token)
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
    this.#agreement.advance(now)
    this.#broadcaster.advance(now)
    const stirred = this.#monitor.advance(now)
    if (stirred || this.#weighedVersion !== this.#alerting.version) {
      this.#weighedVersion = this.#alerting.version
      this.#alerting.reportFaulty(now, this.#monitor.faulty(), this.#monitor.failing())
    }
    this.#admission.advance(now)
    this.#gate?.advance(now)
    if (this.#arrival === undefined) {
      this.#updating.advance(now)
      if (this.#alerting.advance(now)) this.#agreement.apply(now, { kind: 'suspects', members: this.#alerting.suspects() })
      this.#catchUp.advance(now)
    }
    this.#tellIsolation()
  }

  get nextAtMs (): number {
    if ((this.#view as View | undefined) === undefined || this.#over === 'yes') return Infinity
    const leaving = this.#leaving?.nextAtMs ?? Infinity
    if (this.#over !== 'no') return leaving
    const waiting = this.#arrival === undefined ? Math.min(this.#updating.nextAtMs, this.#alerting.nextAtMs, this.#catchUp.nextAtMs) : Infinity
    const parts = [this.#broadcaster.nextAtMs, this.#monitor.nextAtMs, this.#admission.nextAtMs, this.#gate?.nextAtMs ?? Infinity]
    return Math.min(waiting, leaving, this.#agreement.nextAtMs, ...parts)
  }

  invariants (): void {
    this.#alerting.invariants()
    this.#agreement.invariants()
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
        this.#asked(peer, message)
        break
      case 'join-request':
        this.#asked(peer, message.ask, message.position)
        break
      case 'snapshot':
        this.#jump(message)
        break
      case 'returned':
        this.#returned(peer, message)
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
    } else if (reply.position.epoch !== 0 && reply.position.clusterId !== this.#view.position.clusterId) {
      // It is a member elsewhere by now: as a joiner it is gone, and does not answer.
    } else if (this.#gate !== undefined) {
      this.#gate.replied(this.#now, reply)
    } else {
      this.#admission.replied(reply)
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
        for (const joiner of this.#alerting.receive(this.#now, message.reports)) this.#admission.note(joiner)
        break
      case 'consensus':
        this.#relay(peer, message)
        this.#agreement.hear(this.#now, sender.id, message.message)
        break
      case 'leave':
        this.#leaving?.companion(sender.id)
        if (this.#view.overlay.observersOf(sender.id).includes(this.#view.self.id)) this.#alerting.reportRemoval(this.#now, sender.id)
        break
    }
  }

  /**
   * A process came back that was a member before. It is heard as that member where consensus needs it; should it come to
   * ballots in which nobody voted for anything, its return is what there is to decide.
   */
  #returned (peer: Peer, { sender, member, position }: Returned): void {
    const view = this.#view
    if (position.epoch > view.epoch) return
    if (position.epoch < view.epoch) return this.#out.reply(peer, this.#chain.snapshot())
    const told = this.#roster.told(member)
    if (told === 'refused') {
      const reason = `store ${member.storeId} is none of epoch ${view.epoch}, or was started with incarnation ${member.incarnation} before`
      return this.#out.reply(peer, { kind: 'join-refused', reason, retry: false, spent: true })
    }
    // As good as an answer to a probe, and it comes from wherever the store is now (rule M10).
    const { clusterName } = view.configuration
    this.#monitor.replied(this.#now, {
      kind: 'probe-reply', sender, position: NOWHERE, member, clusterName, to: this.#roster.formerOf(member)!.id, sequence: 0
    })
    if (told === 'new') {
      const cut = this.#roster.replacement(this.#roster.returnedSince(-Infinity), () => false)
      if (cut !== undefined) this.#agreement.apply(this.#now, { kind: 'offer', cut })
    }
    const others = [...this.#roster.returnedSince(-Infinity).values()].filter(({ id }) => id !== member.id).slice(-RETURNED_MAX)
    this.#out.reply(peer, { kind: 'present', sender: view.sender, position: view.position, others })
  }

  #relay (peer: Peer, message: BroadcastMessage): void {
    const via = peer.address === undefined ? undefined : this.#view.memberAt(peer.address)?.id
    this.#broadcaster.relay(this.#now, via, message)
  }

  #asked (peer: Peer, ask: JoinAsk, believed?: Position): void {
    const refusal = this.#admission.refusal(ask)
    if (refusal !== undefined) {
      this.#out.reply(peer, refusal)
    } else if (this.#gate === undefined) {
      this.#admission.answer(this.#now, peer, ask, believed)
      // It may have crashed before it stored this configuration: without it, nobody may be able to decide on the next one (rule M4).
      if (this.#isolated && this.#roster.formerOf(ask.member) !== undefined) this.#out.reply(peer, this.#chain.snapshot())
    } else {
      const held = ask.founding || this.#gate.hold(this.#now, ask.member)
      const { clusterId } = this.#view.position
      if (held) this.#out.reply(peer, { kind: 'join-held', clusterId, held: this.#gate.size, expected: this.#gate.expected })
      else this.#out.reply(peer, { kind: 'join-refused', retry: true, spent: false, reason: 'the founder holds as many joiners as it can' })
    }
  }

  /** Founder and last survivors: without others, there is nobody to wait for and nothing to batch. */
  #openGate (first: boolean): FormationGate {
    const { options } = this.#parts
    const expected = first && options.expect !== undefined && options.expect > 1 ? options.expect - 1 : undefined
    return new FormationGate(expected, this.#now + options.expectDeadlineMs, options, {
      probe: (joiner, sequence) => { this.#admission.probe(joiner, sequence) },
      admit: joiners => {
        for (const joiner of joiners) this.#alerting.reportJoin(this.#now, joiner)
        return this.#alerting.proposeNow(this.#now)
      }
    })
  }

  #fetched ({ decisions }: Decisions): void {
    if (decisions.length === 0) this.#catchUp.fruitless(this.#now)
    this.#chain.fetched(decisions)
    this.#applyMissed()
  }

  #applyMissed (): void {
    if (this.#arrival !== undefined) return
    const decision = this.#chain.nextMissed()
    if (decision !== undefined) this.#decided(decision, 'fetched')
  }

  /** A whole configuration, for a member that is further behind than the logs of its peers reach. */
  #jump (snapshot: Snapshot): void {
    if (this.#arrival !== undefined) return
    const decoded = decodeSnapshot(snapshot, this.#parts.fold)
    if (decoded instanceof Error) {
      this.#out.warn('refused a configuration that cannot be decoded', { reason: decoded.message })
      return
    }
    const { configuration, state } = decoded
    const mine = this.#view.configuration
    if (configuration.clusterId !== mine.clusterId || configuration.epoch <= mine.epoch) return
    this.#arrive(configuration, state, undefined, 'jumped')
  }

  #agreeOn (configuration: Configuration): Agreement {
    const { self, options: tuning } = this.#parts
    return new Agreement({ configuration, self: self.id, tuning, out: this.#out }, {
      send: (to, message) => { this.#out.send(this.#roster.addressOf(to), this.#envelope(message)) },
      broadcast: message => { this.#broadcaster.originate(this.#now, this.#envelope(message)) },
      decided: decision => {
        this.#broadcaster.flush()
        if (this.#arrival === undefined) this.#decided(decision, 'decided')
      }
    })
  }

  #envelope (message: ConsensusEnvelope['message']): ConsensusEnvelope {
    const { sender, position } = this.#view
    return { kind: 'consensus', sender, position, message }
  }

  #decided (decision: Decision, learned: 'decided' | 'fetched'): void {
    const configuration = nextConfiguration(this.#view.configuration, decision.cut)
    const { fold } = this.#parts
    const state = fold === undefined ? this.#chain.state : fold.next(this.#chain.state, configuration)
    this.#arrive(configuration, state, recordOf(this.#view.configuration, configuration, decision), learned)
  }

  #arrive (configuration: Configuration, state: State, origin: DecisionRecord | undefined, learned: Explanation['learned']): void {
    const token = this.#out.persist({ kind: 'configuration', configuration, state, origin })
    this.#arrival = { token, configuration, state, origin, learned }
  }

  /** The one place where a configuration follows another. */
  #enter ({ configuration, state, origin, learned }: Arrival<State>): void {
    const { self, options, broadcaster } = this.#parts
    const before = this.#view as View | undefined
    const view = new View(configuration, self, options.ringCount)
    const reason = this.#explain(configuration, origin, learned)
    this.#chain.enter(view, state, origin)
    this.#arrival = undefined
    this.#view = view
    this.#enteredAtMs = this.#now
    if (before !== undefined && origin !== undefined && this.#over === 'no') this.#admission.welcome(before, view, origin.cut)
    this.#out.push({ kind: 'view-change', change: this.#change(before?.configuration, origin, state, reason) })
    if (view.member(self.id) === undefined) {
      this.#removed(view)
      return
    }
    this.#roster = new Roster(configuration)
    this.#agreement = this.#agreeOn(configuration)
    this.#broadcaster = broadcaster(view, options, (to, message) => {
      this.#out.sendToAll(to.map(id => this.#roster.addressOf(id)), message)
    })
    this.#gate = view.size === 1 ? this.#gate ?? this.#openGate(before === undefined) : undefined
    this.#gate?.stay()
    this.#alerting.enter(view, this.#broadcaster)
    this.#monitor.enter(this.#now, view)
    this.#catchUp.enter(this.#now, view)
    this.#admission.enter(this.#now, view)
    this.#updating.enter(this.#now, view)
    if (before === undefined) this.#status('member')
    if (this.#leaving !== undefined) {
      if (view.size === 1) this.#finishLast(before)
      else this.#leaving.ask(this.#now, view)
    }
    this.#applyMissed()
  }

  #change (previous: Configuration | undefined, origin: DecisionRecord | undefined, state: State, reason: Explanation): ViewChange<State> {
    const { configuration } = this.#view
    const cut = previous === undefined ? undefined : origin?.cut
    return {
      configuration, previous, cut, ...difference(previous, configuration), state, gap: reason.learned === 'jumped', reason
    }
  }

  #explain (configuration: Configuration, origin: DecisionRecord | undefined, learned: Explanation['learned']): Explanation {
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
      decidedAtMs: this.#now
    }
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
