/**
 * Reception: where joiners and those that come back turn to at one member.
 *
 * A member with others admits joiners (`admission.ts`). One that is alone decides alone: it holds them behind its gate (rule M8,
 * `formation-gate.ts`). A process that came back from its disk says so, and is heard as the member that it was (rule M4). The paper
 * (Suresh et al., USENIX ATC '18) has only the first of these, in section 4.1.
 *
 * Pure: the time is an argument.
 */
import { Admission } from './admission.ts'
import { isVoter, type Cut, type Member } from './configuration.ts'
import type { Mailbox, Peer } from './effects.ts'
import { FormationGate } from './formation-gate.ts'
import { RETURNED_MAX } from './message-validation.ts'
import { NOWHERE, type JoinAsk, type Position, type ProbeReply, type Returned, type Snapshot } from './messages.ts'
import type { ResolvedOptions } from './options.ts'
import { Roster } from './roster.ts'
import type { View } from './view.ts'

export interface ReceptionHost {
  /** A joiner answered at its address: report it. */
  reportJoin (joiner: Member): void
  /** Propose what is stable at once. False when there is nothing to propose. */
  proposeNow (): boolean
  /** What the fold has against a joiner. */
  objection (joiner: Member): string | undefined
  /** The current configuration, encoded. */
  snapshot (): Snapshot
  /** An answer to a probe, or as good as one. */
  heard (reply: ProbeReply): void
  /** The cut to choose where nobody voted for anything. */
  offer (cut: Cut): void
}

export class Reception {
  readonly admission: Admission
  readonly #options: ResolvedOptions
  readonly #out: Mailbox
  readonly #host: ReceptionHost
  #view!: View
  /** Set while this member is alone in its configuration. */
  #gate: FormationGate | undefined
  /** Who came back from a crash under another id and wants to be heard as the member that it was (rule M4). */
  #roster!: Roster
  #now = 0

  constructor (options: ResolvedOptions, out: Mailbox, host: ReceptionHost) {
    this.#options = options
    this.#out = out
    this.#host = host
    this.admission = new Admission(options, out, {
      reachable: joiner => { host.reportJoin(joiner) },
      objection: joiner => host.objection(joiner),
      snapshot: () => host.snapshot()
    })
  }

  /** Who answers for the members of this configuration, and where. */
  get roster (): Roster {
    return this.#roster
  }

  /** Begins a configuration of which this process is a member. */
  enter (now: number, view: View): void {
    const first = (this.#view as View | undefined) === undefined
    this.#now = now
    this.#view = view
    this.#roster = new Roster(view.configuration)
    this.#gate = view.size === 1 ? this.#gate ?? this.#openGate(first) : undefined
    this.#gate?.stay()
    this.admission.enter(now, view)
  }

  advance (now: number): void {
    this.#now = now
    this.admission.advance(now)
    this.#gate?.advance(now)
  }

  get nextAtMs (): number {
    return Math.min(this.admission.nextAtMs, this.#gate?.nextAtMs ?? Infinity)
  }

  /** Either phase of a join. @param isolated whether this member decides nothing at the moment. */
  asked (now: number, peer: Peer, ask: JoinAsk, believed: Position | undefined, isolated: boolean): void {
    this.#now = now
    const { counters } = this.#out
    counters.joinRequests++
    const refusal = this.admission.refusal(ask)
    if (refusal !== undefined) {
      this.#out.reply(peer, refusal)
    } else if (this.#gate === undefined) {
      this.admission.answer(now, peer, ask, believed)
      // It may have crashed before it stored this configuration: without it, nobody may be able to decide on the next one (rule M4).
      if (isolated && this.#roster.formerOf(ask.member) !== undefined) this.#out.reply(peer, this.#host.snapshot())
    } else {
      const held = ask.founding || this.#gate.hold(now, ask.member)
      const { clusterId } = this.#view.position
      if (held) {
        this.#out.reply(peer, { kind: 'join-held', clusterId, held: this.#gate.size, expected: this.#gate.expected })
      } else {
        counters.joinsRefused.full++
        this.#out.reply(peer, { kind: 'join-refused', retry: true, spent: false, reason: 'the founder holds as many joiners as it can' })
      }
    }
  }

  /** Somebody who is no member answered a probe. */
  replied (now: number, reply: ProbeReply): void {
    this.#now = now
    if (reply.position.epoch !== 0 && reply.position.clusterId !== this.#view.position.clusterId) {
      // It is a member elsewhere by now: as a joiner it is gone, and does not answer.
    } else if (this.#gate !== undefined) {
      this.#gate.replied(now, reply)
    } else {
      this.admission.replied(reply)
    }
  }

  /**
   * A process came back that was a member before. It is heard as that member where consensus needs it; should it come to
   * ballots in which nobody voted for anything, its return is what there is to decide.
   */
  returned (peer: Peer, { sender, member, position }: Returned): void {
    const view = this.#view
    if (position.epoch > view.epoch) return
    if (position.epoch < view.epoch) return this.#out.reply(peer, this.#host.snapshot())
    const told = this.#roster.told(member)
    if (told === 'refused') {
      this.#out.counters.joinsRefused.incarnation++
      const reason = `store ${member.storeId} is none of epoch ${view.epoch}, or was started with incarnation ${member.incarnation} before`
      return this.#out.reply(peer, { kind: 'join-refused', reason, retry: false, spent: true })
    }
    // As good as an answer to a probe, and it comes from wherever the store is now (rule M10).
    const { clusterName } = view.configuration
    this.#host.heard({
      kind: 'probe-reply', sender, position: NOWHERE, member, clusterName, to: this.#roster.formerOf(member)!.id, sequence: 0
    })
    if (told === 'new') {
      const back = this.#roster.returnedSince(-Infinity)
      // Where a voter came back as an agent, the cut is for those to make who know which voters are left (`restart.ts`).
      const keepsVotes = [...back].every(([former, member]) => isVoter(member) || !isVoter(view.member(former)!))
      const cut = keepsVotes ? this.#roster.replacement(back, () => false) : undefined
      if (cut !== undefined) this.#host.offer(cut)
    }
    const others = [...this.#roster.returnedSince(-Infinity).values()].filter(({ id }) => id !== member.id).slice(-RETURNED_MAX)
    this.#out.reply(peer, { kind: 'present', sender: view.sender, position: view.position, others })
  }

  /** Founder and last survivors: without others, there is nobody to wait for and nothing to batch. */
  #openGate (first: boolean): FormationGate {
    const { expect, expectDeadlineMs } = this.#options
    const expected = first && expect !== undefined && expect > 1 ? expect - 1 : undefined
    return new FormationGate(expected, this.#now + expectDeadlineMs, this.#options, {
      probe: (joiner, sequence) => { this.admission.probe(joiner, sequence) },
      admit: joiners => {
        for (const joiner of joiners) this.#host.reportJoin(joiner)
        return this.#host.proposeNow()
      }
    })
  }
}
