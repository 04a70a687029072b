/**
 * Roll call: a process that came back from its disk says so (`returned`) to the addresses of its former configuration and to its seeds, again and
 * again with growing pauses, and names others of whom it knows that they came back (rule M4). See restart.ts.
 *
 * Pure: the time is an argument; messages go to the outbox.
 */
import { positionOf, type Position, type Returned, type Sender } from './messages.ts'
import type { Configuration, Member, MemberId } from './configuration.ts'
import type { Mailbox } from './effects.ts'
import type { Address } from './environment/environment.ts'
import { hashFraction } from './hash.ts'
import { RETURNED_MAX } from './message-validation.ts'
import { ASKED_MAX, type Attendance } from './restart-attendance.ts'
import type { Roster } from './roster.ts'
import type { MembershipTuning } from './tuning.ts'

export class RollCall {
  readonly #self: Member
  readonly #sender: Sender
  readonly #tuning: MembershipTuning
  readonly #out: Mailbox
  readonly #attendance: Attendance
  /** Undefined before the first configuration. Invariant: the position, the former id and the roster are of this one. */
  #configuration: Configuration | undefined
  #position!: Position
  #former!: MemberId
  #roster!: Roster
  #seeds: readonly Address[] = []
  #asks = 0
  #askAtMs = Infinity
  #cursor = 0

  constructor (self: Member, tuning: MembershipTuning, out: Mailbox, attendance: Attendance) {
    this.#self = self
    this.#sender = { id: self.id, address: self.address }
    this.#tuning = tuning
    this.#out = out
    this.#attendance = attendance
  }

  /** Addresses to tell besides those of the members. */
  seeds (seeds: readonly Address[]): void {
    this.#seeds = seeds
  }

  /** Begins anew, at once. @param former the member that this process was */
  enter (now: number, configuration: Configuration, former: MemberId, roster: Roster): void {
    this.#configuration = configuration
    this.#position = positionOf(configuration)
    this.#former = former
    this.#roster = roster
    this.#asks = 0
    this.#askAtMs = now
  }

  get nextAtMs (): number {
    return this.#askAtMs
  }

  /** Tells the next ones, if it is time. */
  advance (now: number): void {
    if (now < this.#askAtMs) return
    const { joinRetryMs, joinRetryMaxMs } = this.#tuning
    const message = this.message(now, false)
    const { addresses } = this
    for (let i = 0; i < Math.min(ASKED_MAX, addresses.length); i++) this.#out.send(addresses[this.#cursor++ % addresses.length]!, message)
    const pauseMs = Math.min(joinRetryMs * 2 ** Math.min(this.#asks, 20), joinRetryMaxMs)
    this.#asks++
    this.#askAtMs = now + pauseMs * (0.75 + hashFraction(`${this.#sender.id} ${this.#asks}`, 4n) / 2)
  }

  /** Where the others may be: whoever answers for the members, and the seeds. */
  get addresses (): Address[] {
    const members = this.#configuration?.members ?? []
    const all = [...members.filter(({ id }) => id !== this.#former).map(({ id }) => this.#roster.addressOf(id)), ...this.#seeds]
    return [...new Set(all)].filter(address => address !== this.#self.address)
  }

  /** Tells one that may not know. */
  tell (address: Address): void {
    if (address !== this.#self.address) this.#out.send(address, this.#returned([], false))
  }

  /** @param answer whether it answers a process that came back as well */
  message (now: number, answer: boolean): Returned {
    const back = [...this.#attendance.present(now).returned.values()].filter(({ id }) => id !== this.#self.id)
    const start = back.length > RETURNED_MAX ? this.#cursor % back.length : 0
    return this.#returned([...back.slice(start), ...back.slice(0, start)].slice(0, RETURNED_MAX), answer)
  }

  #returned (others: readonly Member[], answer: boolean): Returned {
    return { kind: 'returned', sender: this.#sender, position: this.#position, member: this.#self, others, answer }
  }
}
