/**
 * The inbox of a member: which of its parts each message is for, by where its sender is in the sequence of configurations.
 *
 * Alerts, votes and requests to leave mean something within one configuration only; who sends them from an earlier one is behind and gets the
 * decision as the reply, and who sends anything from a later one shows that this member is behind (rule M12). A second configuration in one epoch
 * is the end. Whoever is in another cluster, or in none, may only ask who lives here.
 *
 * Pure: the time is an argument; replies go to the outbox.
 */
import type { Agreement } from './agreement.ts'
import type { Alerting } from './alerting.ts'
import type { Broadcaster, BroadcastMessage } from './broadcaster.ts'
import type { CatchUp } from './catch-up.ts'
import type { Chain } from './chain.ts'
import type { Departure } from './departure.ts'
import type { Mailbox, Peer } from './effects.ts'
import { MembershipError } from './errors.ts'
import type { Alerts, ConsensusEnvelope, Decisions, MembershipMessage, Position, Probe, ProbeReply, Sender } from './messages.ts'
import type { Monitor } from './monitor.ts'
import type { Reception } from './reception.ts'
import type { Succession } from './succession.ts'
import type { View } from './view.ts'

/** The parts of a member that messages are for. */
export interface Recipients<State> {
  readonly out: Mailbox
  readonly monitor: Monitor
  readonly alerting: Alerting
  readonly reception: Reception
  readonly catchUp: CatchUp
  readonly chain: Chain<State>
  readonly succession: Succession<State>
  readonly departure: Departure<State>
  /** Whether this member said last that it is isolated. */
  readonly isolated: () => boolean
}

/** What a member has for one configuration, and anew for the next. */
export interface Tenure {
  /** Undefined for an agent, which has no vote (rule M13). */
  readonly agreement: Agreement | undefined
  readonly broadcaster: Broadcaster
}

export class Inbox<State> {
  readonly #to: Recipients<State>
  /** For so long votes of the configuration before are ordinary. */
  readonly #lateMs: number
  #view!: View
  /** Undefined once this process is no member any more. */
  #tenure: Tenure | undefined
  #enteredAtMs = 0
  #now = 0

  constructor (to: Recipients<State>, batchWindowMs: number) {
    this.#to = to
    this.#lateMs = batchWindowMs * 2
  }

  enter (now: number, view: View, tenure: Tenure | undefined): void {
    this.#view = view
    this.#tenure = tenure
    this.#enteredAtMs = now
  }

  receive (now: number, peer: Peer, message: MembershipMessage): void {
    this.#now = now
    const { chain, departure } = this.#to
    if ((this.#view as View | undefined) === undefined || departure.stage === 'gone') return
    if ('sender' in message && !this.#place(message.sender, message.position)) {
      // Another cluster, or none: it may only ask who lives here.
      if (departure.stage !== 'staying') return
      if (message.kind === 'probe') this.#answerProbe(peer, message)
      else if (message.kind === 'probe-reply') this.#probeAnswered(message)
      return
    }
    if (departure.stage === 'staying') this.#dispatch(peer, message)
    else if (message.kind === 'fetch-decisions') chain.answer(peer, message)
  }

  /** Compares the sender's place with ours. False for one that is in no configuration of this cluster. */
  #place (sender: Sender, position: Position): boolean {
    const { catchUp, chain, departure, monitor } = this.#to
    const mine = this.#view.position
    if (position.clusterId !== mine.clusterId) return false
    const known = chain.idOf(position.epoch)
    if (known !== undefined && known !== position.configurationId) {
      const text = `Member ${sender.id} has configuration ${position.configurationId} in epoch ${position.epoch}, this process has ${known}.`
      departure.halt(new MembershipError('MEMBERSHIP_CONFLICT', text, { definite: false }))
      return false
    }
    departure.saw(sender.id, position)
    if (departure.stage !== 'staying') return true
    monitor.heard(this.#now, sender.id)
    if (position.epoch > mine.epoch) catchUp.behind(this.#now, sender, position.epoch)
    return true
  }

  #dispatch (peer: Peer, message: MembershipMessage): void {
    const { catchUp, chain, isolated, reception, succession } = this.#to
    switch (message.kind) {
      case 'probe':
        catchUp.probed(this.#now)
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
        chain.answer(peer, message)
        break
      case 'decisions':
        this.#fetched(message)
        break
      case 'join-ask':
        reception.asked(this.#now, peer, message, undefined, isolated())
        break
      case 'join-request':
        reception.asked(this.#now, peer, message.ask, message.position, isolated())
        break
      case 'snapshot':
        succession.jump(message)
        break
      case 'returned':
        reception.returned(peer, message)
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
    this.#to.out.reply(peer, { kind: 'probe-reply', sender, position, member: self, clusterName, to: probe.to, sequence: probe.sequence })
  }

  #probeAnswered (reply: ProbeReply): void {
    const { alerting, chain, monitor, out, reception } = this.#to
    const member = this.#view.member(reply.to)
    if (member !== undefined) {
      monitor.replied(this.#now, reply)
      // A member that does not know it is one: whoever should have sent it the configuration did not (rule M8).
      if (reply.member.id === reply.to && reply.position.epoch === 0) out.send(member.address, chain.snapshot())
    } else {
      reception.replied(this.#now, reply)
      alerting.answered(this.#now, reply)
    }
  }

  /** Messages that mean something within one configuration only. */
  #fromConfiguration (peer: Peer, message: Alerts | ConsensusEnvelope | MembershipMessage & { kind: 'leave' }): void {
    const { alerting, chain, departure, out, reception } = this.#to
    const { sender, position } = message
    if (position.epoch < this.#view.epoch) {
      out.counters.messagesStale++
      // Votes still under way when a decision falls are ordinary. Who says more later is behind and gets the decision as the reply.
      const stale = position.epoch + 1 < this.#view.epoch || this.#now - this.#enteredAtMs > this.#lateMs
      if (stale) out.reply(peer, chain.decisions(position))
      return
    }
    if (position.epoch > this.#view.epoch || this.#view.member(sender.id) === undefined) {
      out.counters.messagesStale++
      return
    }
    switch (message.kind) {
      case 'alerts':
        this.#relay(peer, message)
        for (const joiner of alerting.receive(this.#now, message.reports)) reception.admission.note(joiner)
        break
      case 'consensus':
        this.#relay(peer, message)
        this.#tenure?.agreement?.hear(this.#now, sender.id, message.message)
        break
      case 'leave':
        departure.companion(sender.id)
        if (this.#view.overlay.observersOf(sender.id).includes(this.#view.self.id)) alerting.reportRemoval(this.#now, sender.id)
        break
    }
  }

  #relay (peer: Peer, message: BroadcastMessage): void {
    const via = peer.address === undefined ? undefined : this.#view.memberAt(peer.address)?.id
    this.#tenure?.broadcaster.relay(this.#now, via, message)
  }

  #fetched ({ decisions }: Decisions): void {
    const { catchUp, chain, succession } = this.#to
    if (decisions.length === 0) catchUp.fruitless(this.#now)
    chain.fetched(decisions)
    succession.applyMissed()
  }
}
