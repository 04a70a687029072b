/**
 * Alerting: a member's own reports, those it hears of, and the proposal that comes out of them.
 *
 * Suresh et al. (USENIX ATC '18), section 4.2. Rules M6 and M7: reinforcement, lapsing. Rule M10: a member that loses more than half of
 * its subjects at once doubts itself, and waits until another member confirms one of them. Rule M13: a member's update is an alert too,
 * made by itself; it goes out at once, since it is stable wherever it is known and its owner must not vote before others know it.
 *
 * Pure: the time is an argument.
 */
import type { Broadcaster } from './broadcaster.ts'
import type { Cut, Member, MemberId, Update } from './configuration.ts'
import type { Counters } from './counters.ts'
import { CutDetector, type TallyExplanation } from './cut-detector.ts'
import type { Address } from './environment/environment.ts'
import { LastLook } from './last-look.ts'
import type { ProbeReply } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import { OwnAlerts } from './own-alerts.ts'
import { type About, bitsOf, type Entry, type Report, ReportBook } from './reports.ts'
import { Settling } from './settling.ts'
import type { View } from './view.ts'

/** Changing tallies are looked at so often: a part of the batch window. */
const EXAMINATION_WINDOWS = 0.1

/** What alerting asks of the member around it. */
export interface AlertingHost {
  /** The cut that this member proposes: once per configuration. */
  propose (cut: Cut): void
  /** Find out whether the joiner is there, and report it if so. */
  vouch (joiner: Member): void
  /** Ask a joiner that is to vote once more whether it is there; the answer goes to `answered`. */
  probe (joiner: Member, sequence: number): void
  /** An alert of this member lapsed: its detector starts anew. */
  rearm (subject: MemberId): void
  /** A member told two contents of its metadata under one version. The first that this member heard counts. */
  contradicted (update: Update): void
}

export class Alerting {
  readonly #tuning: MembershipTuning
  readonly #counters: Counters
  readonly #host: AlertingHost
  #view!: View
  #detector!: CutDetector
  #own!: OwnAlerts
  #settling!: Settling
  /** What was counted; gossip brings each alert several times. */
  #heard!: ReportBook
  /** Members that contradicted themselves; each is told of once. */
  #contradicted = new Set<MemberId>()
  #changedAtMs = 0
  #proposed = false
  readonly #lastLook: LastLook
  /** Tallies are looked at when one changed, and when time makes a difference: not for every probe that passes by. */
  #examinedVersion = 0
  #examinedAtMs = -Infinity
  #examineAtMs = Infinity
  /** The subjects of this member with a verdict against them, as of the last look at them. */
  #faulty: readonly MemberId[] = []
  /** The faulty edges that were last weighed, and the version of the tallies then. */
  #weighed = ''
  /** Rises with every change of a tally. */
  version = 0
  firstAlertAtMs: number | undefined
  proposedAtMs: number | undefined

  constructor (tuning: MembershipTuning, counters: Counters, host: AlertingHost) {
    this.#tuning = tuning
    this.#counters = counters
    this.#host = host
    this.#lastLook = new LastLook(tuning, (joiner, sequence) => { host.probe(joiner, sequence) })
  }

  enter (view: View, broadcaster: Broadcaster): void {
    const delayed: readonly Address[] = (this.#detector as CutDetector | undefined)?.delayedAddresses() ?? []
    this.#view = view
    this.#detector = new CutDetector(view.configuration, view.overlay, { ...this.#tuning, delayedAddresses: delayed })
    this.#own = new OwnAlerts(this.#tuning, view, broadcaster)
    this.#settling = new Settling(this.#tuning, view.electorate.size, this.#changedAtMs)
    this.#heard = new ReportBook(view.overlay)
    this.#contradicted = new Set()
    // An agent proposes nothing.
    this.#proposed = !view.votes
    this.#lastLook.enter()
    this.#examinedVersion = this.version
    this.#examineAtMs = Infinity
    this.#faulty = []
    this.#weighed = ''
    this.firstAlertAtMs = undefined
    this.proposedAtMs = undefined
  }

  /**
   * Reports faulty edges, unless so many fail at once that the fault may be this member's own.
   * @param doubtful whether it may be, by the edges that look bad, those without a verdict yet included.
   */
  reportFaulty (now: number, faulty: readonly MemberId[], doubtful: boolean): void {
    this.#faulty = faulty
    if (faulty.length === 0) return
    const weighed = `${this.version} ${doubtful} ${faulty.join()}`
    if (weighed === this.#weighed) return
    this.#weighed = weighed
    const unreported = faulty.filter(subject => !this.#own.has(`remove ${subject}`))
    if (unreported.length === 0) return
    if (doubtful && !faulty.some(subject => this.#detector.tally(subject) > 0)) return
    for (const subject of unreported) this.reportRemoval(now, subject)
  }

  reportRemoval (now: number, subject: MemberId): boolean {
    return this.#report(now, `remove ${subject}`, { subject })
  }

  reportJoin (now: number, joiner: Member): void {
    this.#report(now, `join ${joiner.id}`, { joiner })
  }

  /** This member's own new metadata: once per configuration. */
  reportUpdate (now: number, update: Update): void {
    this.#report(now, 'update', { update })
    this.#own.hurry(now)
  }

  /** Alerts of others. Returns the joiners that they name. */
  receive (now: number, reports: readonly Report[]): Member[] {
    const joiners: Member[] = []
    for (const report of reports) {
      const news = this.#heard.add(report)
      if (news === undefined) {
        this.#counters.reportsRedundant++
        this.#checkUpdate(report.update)
        continue
      }
      this.#counters.alertsHeard[report.status] += bitsOf(news.fresh).length
      this.#count(now, news.entry, news.fresh)
      this.#follow(news.entry)
      if (news.entry.joiner !== undefined) joiners.push(news.entry.joiner)
    }
    return joiners
  }

  /** Somebody who is no member answered a probe. */
  answered (now: number, reply: ProbeReply): void {
    if (this.#lastLook.replied(reply)) this.#examineAtMs = now
  }

  /** Sends what is due, lets tallies age, and proposes a cut that has settled. Returns whether tallies changed since the last examination. */
  advance (now: number): boolean {
    this.#own.advance(now)
    if (now < this.#dueAtMs) return false
    this.#age(now)
    if (!this.#proposed) this.#settle(now)
    const changed = this.#examinedVersion !== this.version
    this.#examinedVersion = this.version
    this.#examinedAtMs = now
    this.#examineAtMs = this.#nextExamination(now)
    return changed
  }

  get nextAtMs (): number {
    return Math.min(this.#own.nextAtMs, this.#dueAtMs)
  }

  /** When to look at the tallies: when time makes a difference, and soon after they changed, once for many changes. */
  get #dueAtMs (): number {
    if (this.#examinedVersion === this.version) return this.#examineAtMs
    return Math.min(this.#examineAtMs, this.#examinedAtMs + this.#tuning.batchWindowMs * EXAMINATION_WINDOWS)
  }

  /** A deadline that has passed has nothing more to do, now that the tallies were examined. */
  #nextExamination (now: number): number {
    const deadline = this.#detector.deadline()
    const ageAtMs = deadline !== undefined && deadline > now ? deadline : Infinity
    return this.#proposed ? ageAtMs : Math.min(ageAtMs, this.#lastLook.nextAtMs(now) ?? this.#settling.settledAtMs)
  }

  /** Those whom most of their observers report. For consensus, which coordinates without them (rule M2). */
  suspects (): Set<MemberId> {
    return new Set(this.#detector.doubted())
  }

  /** Proposes what is stable without waiting, for a member that decides alone. False when there is nothing to propose. */
  proposeNow (now: number): boolean {
    if (!this.#proposed) this.#propose(now, this.#detector.proposal(now))
    return this.#proposed
  }

  explain (): TallyExplanation[] {
    return this.firstAlertAtMs === undefined ? [] : this.#detector.explain()
  }

  invariants (): void {
    this.#detector.invariants()
  }

  /** False where there is nothing to report, or it has been reported. */
  #report (now: number, key: string, about: About): boolean {
    const report = this.#own.make(now, key, about)
    if (report === undefined) return false
    this.#counters.alertsMade[report.status]++
    this.receive(now, [report])
    return true
  }

  /**
   * Voters that void a tally vouch anew (rule M6). An agent, whose own tallies decide nothing, begins anew with them: what it said before is
   * known to those who voided it, and counts no more.
   */
  #follow ({ joiner, attempt }: Entry): void {
    if (joiner === undefined || this.#view.votes) return
    const key = `join ${joiner.id}`
    if (this.#own.follow(key, attempt)) this.#host.vouch(joiner)
  }

  #checkUpdate (update: Update | undefined): void {
    if (update === undefined || this.#contradicted.has(update.member) || !this.#heard.contradicts(update)) return
    this.#contradicted.add(update.member)
    this.#host.contradicted(update)
  }

  #count (now: number, entry: Entry, fresh: number): void {
    if (!this.#tally(entry, fresh)) return
    this.version++
    this.firstAlertAtMs ??= now
    this.#changedAtMs = now
    this.#settling.changed(now)
  }

  /** Returns whether a tally changed. */
  #tally ({ subject, joiner, update, observers }: Entry, fresh: number): boolean {
    if (update !== undefined) return this.#detector.reportUpdate(update)
    let changed = false
    for (const bit of bitsOf(fresh)) {
      const observer = observers[bit]!
      if (joiner === undefined ? this.#detector.reportRemoval(observer, subject) : this.#detector.reportJoin(observer, joiner)) changed = true
    }
    return changed
  }

  #age (now: number): void {
    const deadline = this.#detector.deadline()
    if (deadline === undefined || now < deadline) return
    const { removals, joins } = this.#detector.overdue(now)
    for (const subject of removals) {
      if (this.#view.overlay.observersOf(subject).includes(this.#view.self.id) && this.reportRemoval(now, subject)) this.#counters.alertsReinforced++
    }
    for (const joiner of joins) if (!this.#own.has(`join ${joiner.id}`)) this.#host.vouch(joiner)
    const { promoted, voided, lapsed } = this.#detector.expire(now, this.#heardSubjects())
    if (promoted.length + voided.length + lapsed.length > 0) this.version++
    this.#counters.removalsPromoted += promoted.length
    this.#counters.joinsVoided += voided.length
    this.#counters.removalsLapsed += lapsed.length
    for (const joiner of voided) {
      if (this.#own.withdraw(`join ${joiner.id}`)) this.#host.vouch(joiner)
    }
    for (const { subject } of lapsed) {
      if (this.#own.withdraw(`remove ${subject}`)) this.#host.rearm(subject)
    }
  }

  #heardSubjects (): Set<MemberId> {
    const heard = new Set(this.#view.subjects)
    for (const subject of this.#faulty) heard.delete(subject)
    return heard
  }

  #settle (now: number): void {
    this.#settling.saw(now, this.#detector.outline(now))
    if (now < this.#settling.settledAtMs) return
    const cut = this.#detector.proposal(now)
    this.#propose(now, cut !== undefined && this.#view.electorate.size === 1 ? this.#lastLook.take(now, cut) : cut)
  }

  #propose (now: number, cut: Cut | undefined): void {
    if (cut === undefined) return
    this.#proposed = true
    this.#counters.proposals++
    this.proposedAtMs = now
    this.#host.propose(cut)
  }
}
