/**
 * Restart: a process that came back from its disk helps a cluster that lost its majority to go on in the same chain of configurations.
 *
 * Rule M4; the paper (Suresh et al., ATC '18) leaves it open. What is on the disk is the last configuration that took effect there,
 * and the acceptor's record in it, each synced before anyone was told. While this process tries to join like any other, it
 *
 * - answers consensus for its *former id*, the member of that configuration with its store id, from that record: a vote, promise or
 *   acceptance that others may have counted is never forgotten, and ballots are never used twice. It casts no fast vote, makes no alert
 *   and answers no probe as that id: others see its new id (restart-former.ts);
 * - tells the members' addresses and the seeds that it is back (`returned`, restart-call.ts). Who is alive in that configuration answers
 *   `present`, who came back as well answers with `returned`, who is in a later configuration hands that over. The highest one wins: decisions
 *   are durable before they are told, so it was decided, and whoever adopts it stores it before answering for its former id there. It cannot
 *   have taken part there before, since that too begins with storing it;
 * - where that id votes (rule M13), and once the living voters alone are no quorum and together with the returned they are one, and all
 *   members are there or a deadline has passed (restart-attendance.ts), starts classic ballots (rule M1). A value that may have been chosen
 *   before is chosen again, and the restart goes on in the configuration that it leads to; where nothing can have been chosen, the cut that
 *   replaces the former members by their successors is decided, whatever some of them voted for. Where nobody of these votes from now on,
 *   there is no such cut, and the restart waits and says so.
 *
 * Messages may be lost, repeated and overtaken: all of them are repeated, with growing pauses, and say the whole of what they say. A
 * process that crashes in the middle of this comes back with a higher incarnation and takes the place of its first successor.
 * A copied or rolled-back disk is noticed by its incarnation (rule R3), and only by that: two processes on copies of one disk,
 * started at once, are not told apart before one of them is a member, nor is a disk put back to an earlier moment of the same run.
 *
 * Pure: the time is an argument.
 */
import { memberIndex, nextConfiguration, type Configuration, type Member } from './configuration.ts'
import type { CoreComponents } from './core-components.ts'
import { verifyRecord } from './decision-log.ts'
import type { Kept, Outbox, Peer } from './effects.ts'
import type { Address } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import {
  positionOf, type ConsensusEnvelope, type DecisionRecord, type Decisions, type FetchDecisions, type JoinAsk, type Position, type Present,
  type Returned, type Sender
} from './messages.ts'
import { Attendance } from './restart-attendance.ts'
import { RollCall } from './restart-call.ts'
import { FormerSelf } from './restart-former.ts'
import { Roster } from './roster.ts'
import { encodeSnapshot } from './snapshot.ts'

/** Addresses named to a joiner. */
const NAMED_MAX = 8

export interface RestartComponents<State> extends Pick<CoreComponents<State>, 'self' | 'options' | 'fold'> {
  readonly out: Outbox<State>
}

export interface RestartHost<State> {
  /** This process is a member of that configuration, which is not durable here yet. */
  admitted (now: number, configuration: Configuration, state: State, origin: DecisionRecord | undefined): void
  /** A configuration, which is durable here, knows nothing of this store: what is left is to join. */
  released (kept: Kept<State>): void
  failed (error: MembershipError): void
}

export type RestartMessage = Returned | Present | ConsensusEnvelope | Decisions | FetchDecisions

/** A later configuration on its way in, waiting to become durable. */
interface Arrival<State> extends Kept<State> { readonly token: number }

export class Restart<State> {
  readonly #parts: RestartComponents<State>
  readonly #out: Outbox<State>
  readonly #host: RestartHost<State>
  readonly #sender: Sender
  /** Durable here. Undefined for a process that learned of its former id from others and is still storing that configuration. */
  #kept: Kept<State> | undefined
  #arrival: Arrival<State> | undefined
  /** Invariant: these are of `#kept`. */
  #position!: Position
  #roster!: Roster
  readonly #attendance: Attendance
  readonly #call: RollCall
  readonly #former: FormerSelf
  #over = false

  constructor (parts: RestartComponents<State>, host: RestartHost<State>) {
    this.#parts = parts
    this.#out = parts.out
    this.#host = host
    this.#sender = { id: parts.self.id, address: parts.self.address }
    this.#attendance = new Attendance(parts.self, parts.options)
    this.#call = new RollCall(parts.self, parts.options, parts.out, this.#attendance)
    this.#former = new FormerSelf(parts.self, parts.options, parts.out, this.#attendance, (now, record) => {
      if (this.#arrival === undefined) this.#decided(now, record)
    })
  }

  /** Takes up what the disk holds. */
  resume (now: number, kept: Kept<State>): void {
    this.#enter(now, kept)
  }

  /** Takes over a later configuration, as others tell of it. An earlier one is ignored. */
  adopt (now: number, configuration: Configuration, state: State): void {
    if (this.#over || this.#arrival !== undefined || configuration.epoch <= (this.#kept?.configuration.epoch ?? 0)) return
    this.#follow(now, configuration, state, undefined)
  }

  /** Addresses to tell besides those of the members. */
  seeds (seeds: readonly Address[]): void {
    this.#call.seeds(seeds)
  }

  message (now: number, peer: Peer, message: RestartMessage): void {
    const kept = this.#kept
    if (this.#over || kept === undefined || !this.#compares(message.sender, message.position)) return
    const ahead = message.position.epoch - kept.configuration.epoch
    switch (message.kind) {
      case 'returned':
        if (ahead === 0) this.#returned(now, peer, message)
        else if (ahead < 0) this.#out.reply(peer, encodeSnapshot(kept.configuration, kept.state, this.#parts.fold))
        else this.#call.tell(message.sender.address)
        break
      case 'present':
        if (ahead === 0) {
          this.#roster.alive(now, message.sender.id)
          this.#meet(message.others)
        } else if (ahead > 0) this.#call.tell(message.sender.address)
        break
      case 'consensus':
        if (ahead === 0) this.#former.hear(now, message)
        else if (ahead < 0) this.#out.reply(peer, this.#decisions(message.position))
        else this.#call.tell(message.sender.address)
        break
      case 'fetch-decisions':
        if (ahead < 0) this.#answerFetch(peer, message)
        break
      case 'decisions':
        this.#fetched(now, message)
        break
    }
  }

  /**
   * A joiner, or a founder, asks this process as a seed. A joiner may be a member of this configuration without knowing it, or
   * its store may be one of those that are waited for.
   */
  asked (peer: Peer, ask: JoinAsk): void {
    const kept = this.#kept
    const known = kept !== undefined && ask.clusterName === kept.configuration.clusterName
    if (known && ask.founding) {
      // The cluster exists, if not at the moment: the other must not found a second one.
      this.#out.reply(peer, { kind: 'join-observers', position: this.#position, observers: [] })
    } else if (known && (memberIndex(kept.configuration, ask.member.id) >= 0 || this.#roster.formerOf(ask.member) !== undefined)) {
      this.#out.reply(peer, encodeSnapshot(kept.configuration, kept.state, this.#parts.fold))
    } else {
      this.#out.reply(peer, { kind: 'join-redirect', addresses: this.#call.addresses.slice(0, NAMED_MAX) })
    }
  }

  persisted (now: number, token: number): void {
    if (this.#over) return
    if (this.#arrival?.token === token) this.#enter(now, this.#arrival)
    else this.#former.persisted(now, token)
  }

  /** Does what is due. Called after every input. */
  advance (now: number): void {
    if (this.#over || this.#kept === undefined || this.#arrival !== undefined) return
    this.#former.advance(now)
    this.#call.advance(now)
    this.#former.judge(now)
  }

  get nextAtMs (): number {
    if (this.#over || this.#kept === undefined || this.#arrival !== undefined) return Infinity
    return Math.min(this.#call.nextAtMs, this.#former.nextAtMs, this.#attendance.nextAtMs)
  }

  /** How far it is, as a clause. */
  progress (now: number): string | undefined {
    return this.#kept === undefined ? undefined : this.#attendance.progress(now)
  }

  /** False for another cluster, which is none of ours; two ids for one epoch are the end. */
  #compares (sender: Sender, position: Position): boolean {
    const { configuration, origin } = this.#kept!
    if (position.clusterId !== configuration.clusterId) return false
    const known = position.epoch === configuration.epoch ? configuration.id
      : position.epoch === configuration.epoch - 1 ? origin?.previousId : undefined
    if (known === undefined || known === position.configurationId) return true
    const text = `${sender.id} has configuration ${position.configurationId} in epoch ${position.epoch}, the disk of this process has ${known}.`
    this.#fail(new MembershipError('MEMBERSHIP_CONFLICT', text, { definite: false }))
    return false
  }

  #returned (now: number, peer: Peer, { sender, member, others, answer }: Returned): void {
    const told = this.#roster.told(member)
    if (told === 'refused') {
      this.#out.counters.joinsRefused.incarnation++
      const reason = `store ${member.storeId} has started already with incarnation ${member.incarnation} or a later one, or is none of this cluster`
      this.#out.reply(peer, { kind: 'join-refused', reason, retry: false, spent: true })
      return
    }
    // An answer shows that the process is to be reached where it says (rule M6): it was asked there.
    const reached = answer && peer.address === member.address
    if (reached) this.#roster.answered(now, member)
    else if (told === 'new') this.#call.tell(sender.address)
    if (!answer) this.#out.reply(peer, this.#call.message(now, true))
    this.#meet(others)
  }

  /** Somebody tells of others that came back: those that are new are told, and count once they answer. */
  #meet (others: readonly Member[]): void {
    for (const other of others) if (other.id !== this.#parts.self.id && this.#roster.told(other) === 'new') this.#call.tell(other.address)
  }

  #decisions (after: Position): Decisions {
    const origin = this.#kept!.origin
    const decisions = origin !== undefined && origin.previousId === after.configurationId ? [origin] : []
    return { kind: 'decisions', sender: this.#sender, position: this.#position, decisions }
  }

  #answerFetch (peer: Peer, { gap, position }: FetchDecisions): void {
    const decisions = this.#decisions(position)
    const { configuration, state } = this.#kept!
    this.#out.reply(peer, gap && decisions.decisions.length === 0 ? encodeSnapshot(configuration, state, this.#parts.fold) : decisions)
  }

  #fetched (now: number, { decisions }: Decisions): void {
    const { configuration } = this.#kept!
    const record = decisions.find(({ previousId }) => previousId === configuration.id)
    if (record === undefined || this.#arrival !== undefined) return
    try {
      verifyRecord(configuration, record)
    } catch (error) {
      if (!(error instanceof MembershipError)) throw error
      this.#out.warn('refused a decision that does not check', { epoch: record.epoch, reason: error.message })
      return
    }
    this.#decided(now, record)
  }

  #decided (now: number, origin: DecisionRecord): void {
    const { configuration, state } = this.#kept!
    const next = nextConfiguration(configuration, origin.cut)
    this.#follow(now, next, this.#parts.fold === undefined ? state : this.#parts.fold.next(state, next), origin)
  }

  /** A later configuration: this process is in it, or its former self is, or neither. */
  #follow (now: number, configuration: Configuration, state: State, origin: DecisionRecord | undefined): void {
    const { self } = this.#parts
    const holder = configuration.members.find(({ storeId }) => storeId === self.storeId)
    if (holder?.id === self.id) {
      this.#over = true
      this.#host.admitted(now, configuration, state, origin)
    } else if (holder !== undefined && holder.incarnation >= self.incarnation) {
      const text = `Store ${self.storeId} is a member with incarnation ${holder.incarnation}; this process has ${self.incarnation}: ` +
        'its directory is a copy, or was restored from an older one.'
      this.#fail(new MembershipError('MEMBERSHIP_JOIN_REFUSED', text))
    } else {
      const token = this.#out.persist({ kind: 'configuration', configuration, state, origin })
      this.#arrival = { token, configuration, state, origin, acceptor: undefined }
    }
  }

  /** A configuration is durable here: from now on this process answers for its former id in it. */
  #enter (now: number, kept: Kept<State>): void {
    const { self } = this.#parts
    const { configuration, acceptor } = kept
    const roster = new Roster(configuration)
    const former = roster.formerOf(self)
    this.#arrival = undefined
    if (former === undefined) {
      this.#over = true
      this.#host.released(kept)
      return
    }
    this.#kept = kept
    this.#position = positionOf(configuration)
    this.#roster = roster
    roster.told(self)
    this.#attendance.enter(configuration, former.id, roster)
    this.#call.enter(now, configuration, former.id, roster)
    this.#former.enter(now, configuration, former.id, roster, acceptor)
  }

  #fail (error: MembershipError): void {
    this.#over = true
    this.#host.failed(error)
  }
}
