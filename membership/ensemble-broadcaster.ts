/**
 * The spread of alerts and votes where only some members vote: the logically centralized mode.
 *
 * Suresh et al. (USENIX ATC '18), section 5; rule M13. Alerts go to the voters, votes among the voters. Up to `unicastMembersMax` voters
 * each of them is told directly; more of them gossip along an overlay of their own, and an agent tells K of them, others each time.
 *
 * Those who observe the same member are told of its removal too, and of what is undecided when its observer repeats itself or begins anew: so they
 * know when to echo an unstable report (section 4.2, rule M7), when all begin anew (M6), and that somebody else misses a
 * subject as well (M10). All others hear of the decision only, which spreads along the whole overlay (`member-core.ts`).
 *
 * Pure: the time is an argument.
 */
import type { Broadcaster, BroadcastMessage, SendToMembers } from './broadcaster.ts'
import type { MemberId } from './configuration.ts'
import type { Alerts } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import { Overlay } from './overlay.ts'
import { ReportBook, type Report } from './reports.ts'
import type { View } from './view.ts'

/** Spreads what it is given among the voters, of whom this process is one. */
export type AmongVoters = (neighbours: readonly MemberId[]) => Broadcaster

export class EnsembleBroadcaster implements Broadcaster {
  readonly #view: View
  readonly #send: SendToMembers
  readonly #fanout: number
  readonly #otherVoters: readonly MemberId[]
  /** Set where the voters gossip and this process is one of them. */
  readonly #gossip: Broadcaster | undefined
  /** Own alerts that have been told once. */
  readonly #told: ReportBook
  #cursor = 0

  constructor (view: View, tuning: MembershipTuning, send: SendToMembers, amongVoters: AmongVoters) {
    const { electorate, configuration, self } = view
    const direct = electorate.size <= tuning.unicastMembersMax
    this.#view = view
    this.#send = send
    this.#otherVoters = electorate.voters.map(({ id }) => id).filter(id => id !== self.id)
    this.#fanout = direct ? this.#otherVoters.length : Math.min(tuning.ringCount, this.#otherVoters.length)
    this.#told = new ReportBook(view.overlay)
    if (direct || !view.votes) return
    const overlay = Overlay.of({ ...configuration, members: electorate.voters }, tuning.ringCount)
    this.#gossip = amongVoters(overlay.subjectsOf(self.id))
  }

  originate (now: number, message: BroadcastMessage): void {
    if (this.#gossip !== undefined) this.#gossip.originate(now, message)
    else if (this.#fanout > 0) this.#send(this.#nextVoters(), message)
    if (message.kind === 'alerts') this.#tellObservers(message)
  }

  relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void {
    this.#gossip?.relay(now, via, message)
  }

  advance (now: number): void {
    this.#gossip?.advance(now)
  }

  get nextAtMs (): number {
    return this.#gossip?.nextAtMs ?? Infinity
  }

  flush (): void {
    this.#gossip?.flush()
  }

  #nextVoters (): MemberId[] {
    const { length } = this.#otherVoters
    return Array.from({ length: this.#fanout }, () => this.#otherVoters[this.#cursor++ % length]!)
  }

  #tellObservers (alerts: Alerts): void {
    const { electorate, overlay, self } = this.#view
    const byObserver = new Map<MemberId, Report[]>()
    for (const report of alerts.reports) {
      const isNew = this.#told.add(report) !== undefined
      if (report.status === 'update' || (report.status === 'join' && report.attempt === 0 && isNew)) continue
      for (const observer of report.joiner === undefined ? overlay.observersOf(report.subject!) : overlay.observersOfJoiner(report.joiner.id)) {
        if (observer === self.id || electorate.indexOf(observer) >= 0) continue
        const reports = byObserver.get(observer)
        if (reports === undefined) byObserver.set(observer, [report])
        else reports.push(report)
      }
    }
    for (const [observer, reports] of byObserver) this.#send([observer], { ...alerts, reports })
  }
}
