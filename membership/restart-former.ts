/**
 * The former self: a process that came back from its disk takes part in consensus as the member that it was before, until a decision removes it
 * (rule M4).
 *
 * It promises and accepts from the record that its disk holds, so that what others may have counted is never forgotten, and begins ballots once
 * those that came back can decide. It casts no fast vote. Where the former id is an agent's it took part in nothing and does not now (rule M13).
 *
 * Pure: the time is an argument; messages go to the outbox.
 */
import { Agreement } from './agreement.ts'
import { nextConfiguration, type Configuration, type Member, type MemberId } from './configuration.ts'
import type { ConsensusMessage, ConsensusRecord } from './consensus-messages.ts'
import { recordOf } from './decision-log.ts'
import type { Outbox } from './effects.ts'
import { Electorate } from './electorate.ts'
import { positionOf, type ConsensusEnvelope, type DecisionRecord, type Position } from './messages.ts'
import type { Attendance } from './restart-attendance.ts'
import type { Roster } from './roster.ts'
import type { MembershipTuning } from './tuning.ts'

export class FormerSelf {
  readonly #self: Member
  readonly #tuning: MembershipTuning
  readonly #out: Outbox<unknown>
  readonly #attendance: Attendance
  readonly #decided: (now: number, record: DecisionRecord) => void
  /** Undefined where the former id has no vote. */
  #agreement: Agreement | undefined
  #former!: MemberId
  #position!: Position
  #now = 0

  /** @param decided what comes next, each time that a decision falls in the present configuration */
  constructor (
    self: Member, tuning: MembershipTuning, out: Outbox<unknown>, attendance: Attendance, decided: (now: number, record: DecisionRecord) => void
  ) {
    this.#self = self
    this.#tuning = tuning
    this.#out = out
    this.#attendance = attendance
    this.#decided = decided
  }

  /** @param former the member that this process was @param acceptor what that left behind */
  enter (now: number, configuration: Configuration, former: MemberId, roster: Roster, acceptor: ConsensusRecord | undefined): void {
    this.#now = now
    this.#former = former
    this.#position = positionOf(configuration)
    const electorate = Electorate.of(configuration)
    const votes = electorate.indexOf(former) >= 0
    this.#agreement = votes ? this.#agreeOn(configuration, electorate.voters, roster, acceptor) : undefined
  }

  /** A message of consensus of the present configuration. */
  hear (now: number, { sender, message }: ConsensusEnvelope): void {
    this.#now = now
    this.#agreement?.hear(now, sender.id, message)
  }

  persisted (now: number, token: number): void {
    this.#now = now
    this.#agreement?.persisted(now, token)
  }

  advance (now: number): void {
    this.#now = now
    this.#agreement?.advance(now)
  }

  /** Begins ballots once those that came back can decide. */
  judge (now: number): void {
    this.#now = now
    const due = this.#agreement === undefined ? undefined : this.#attendance.judge(now)
    if (due === undefined) return
    this.#agreement!.apply(now, { kind: 'suspects', members: due.absent })
    this.#agreement!.apply(now, { kind: 'offer', cut: due.cut })
    this.#agreement!.apply(now, { kind: 'recover' })
  }

  get nextAtMs (): number {
    return this.#agreement?.nextAtMs ?? Infinity
  }

  #agreeOn (configuration: Configuration, voters: readonly Member[], roster: Roster, durable: ConsensusRecord | undefined): Agreement {
    const send = (to: MemberId, message: ConsensusMessage): void => { this.#out.send(roster.addressOf(to), this.#envelope(message)) }
    return new Agreement({ configuration, self: this.#former, isFormer: true, durable, tuning: this.#tuning, out: this.#out }, {
      send,
      broadcast: message => { for (const { id } of voters) if (id !== this.#former) send(id, message) },
      decided: decision => { this.#decided(this.#now, recordOf(configuration, nextConfiguration(configuration, decision.cut), decision)) }
    })
  }

  #envelope (message: ConsensusMessage): ConsensusEnvelope {
    return { kind: 'consensus', sender: { id: this.#former, address: this.#self.address }, position: this.#position, message }
  }
}
