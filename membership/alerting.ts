/**
 * Alerting: a member's own reports, those it hears of, and the proposal that comes out of them.
 *
 * Suresh et al. (USENIX ATC '18), sections 4.2 and 6: alerts are irrevocable within a configuration and travel in batches. Rules M6 and
 * M7: reinforcement, lapsing. Rule M10: a member that loses more than half of its subjects at once doubts itself, and waits until
 * another member confirms one of them. Deviation: a stable cut is proposed only after a batch window or two without news
 * (and within a limit), so that members that crash or join together fall into one view change. Rule M13: a member's update is an alert
 * too, made by itself; it goes out at once, since it is stable wherever it is known and its owner must not vote before others know it.
 *
 * Pure: the time is an argument.
 */
import type { Broadcaster } from './broadcaster.ts'
import type { Cut, Member, MemberId, Update } from './configuration.ts'
import { CutDetector, type TallyExplanation } from './cut-detector.ts'
import type { Address } from './environment/environment.ts'
import { REPORTS_MAX } from './message-validation.ts'
import type { MembershipTuning } from './options.ts'
import { type About, bitsOf, type Entry, type Report, ReportBook, reportBy } from './reports.ts'
import type { View } from './view.ts'

/** A stable cut is proposed after so many windows even if news keeps coming; nobody waits for the dead. */
const SETTLING_WINDOWS_MAX = 4
/** The same for a cut of joins alone: joiners that start together take a while, and split votes cost more than patience. */
const JOIN_WINDOWS_MAX = 20
/** Quiet windows before a proposal, where alerts reach everybody in one hop, and where they take several. */
const QUIET_WINDOWS = 1
const QUIET_WINDOWS_GOSSIP = 2
/** Changing tallies are looked at so often: a part of the batch window. */
const EXAMINATION_WINDOWS = 0.1
/** Repetitions of undecided alerts slow down to this multiple of the first pause. */
const REPEAT_FACTOR_MAX = 8

/** What alerting asks of the member around it. */
export interface AlertingHost {
  /** The cut that this member proposes: once per configuration. */
  propose (cut: Cut): void
  /** Find out whether the joiner is there, and report it if so. */
  vouch (joiner: Member): void
  /** An alert of this member lapsed: its detector starts anew. */
  rearm (subject: MemberId): void
  /** A member told two contents of its metadata under one version. The first that this member heard counts. */
  contradicted (update: Update): void
}

export class Alerting {
  readonly #tuning: MembershipTuning
  readonly #host: AlertingHost
  #view!: View
  #detector!: CutDetector
  #broadcaster!: Broadcaster
  /** This member's alerts in this configuration, in the order made. Invariant: at most one per subject and status. */
  #mine = new Map<string, Report>()
  /** How often each was reported before, where a tally was emptied. */
  #attempts = new Map<string, number>()
  /** What was counted; gossip brings each alert several times. */
  #heard!: ReportBook
  /** Members that contradicted themselves; each is told of once. */
  #contradicted = new Set<MemberId>()
  #batch: Report[] = []
  #batchAtMs = Infinity
  #repeatAtMs = Infinity
  #repeatDelayMs = 0
  #changedAtMs = 0
  #stableSinceMs: number | undefined
  #settlingWindowsMax = SETTLING_WINDOWS_MAX
  #proposed = false
  /** Tallies are looked at when one changed, and when time makes a difference: not for every probe that passes by. */
  #examinedVersion = 0
  #examinedAtMs = -Infinity
  #examineAtMs = Infinity
  /** The faulty edges that were last weighed, and the version of the tallies then. */
  #weighed = ''
  /** Rises with every change of a tally. */
  version = 0
  firstAlertAtMs: number | undefined
  proposedAtMs: number | undefined

  constructor (tuning: MembershipTuning, host: AlertingHost) {
    this.#tuning = tuning
    this.#host = host
  }

  enter (view: View, broadcaster: Broadcaster): void {
    const delayed: readonly Address[] = (this.#detector as CutDetector | undefined)?.delayedAddresses() ?? []
    this.#view = view
    this.#broadcaster = broadcaster
    this.#detector = new CutDetector(view.configuration, view.overlay, { ...this.#tuning, delayedAddresses: delayed })
    this.#mine = new Map()
    this.#attempts = new Map()
    this.#heard = new ReportBook(view.overlay)
    this.#contradicted = new Set()
    this.#batch = []
    this.#batchAtMs = Infinity
    this.#repeatAtMs = Infinity
    this.#repeatDelayMs = this.#tuning.alertRepeatMs
    this.#stableSinceMs = undefined
    // An agent proposes nothing.
    this.#proposed = !view.votes
    this.#examinedVersion = this.version
    this.#examineAtMs = Infinity
    this.#weighed = ''
    this.firstAlertAtMs = undefined
    this.proposedAtMs = undefined
  }

  /**
   * Reports faulty edges, unless so many fail at once that the fault may be this member's own.
   * @param failing how many edges look bad, those without a verdict yet included.
   */
  reportFaulty (now: number, faulty: readonly MemberId[], failing: number): void {
    if (faulty.length === 0) return
    const weighed = `${this.version} ${failing} ${faulty.join()}`
    if (weighed === this.#weighed) return
    this.#weighed = weighed
    const unreported = faulty.filter(subject => !this.#mine.has(`remove ${subject}`))
    if (unreported.length === 0) return
    const suspicious = failing * 2 > this.#view.subjects.length
    if (suspicious && !faulty.some(subject => this.#detector.tally(subject) > 0)) return
    for (const subject of unreported) this.reportRemoval(now, subject)
  }

  reportRemoval (now: number, subject: MemberId): void {
    this.#report(now, `remove ${subject}`, { subject })
  }

  reportJoin (now: number, joiner: Member): void {
    this.#report(now, `join ${joiner.id}`, { joiner })
  }

  /** This member's own new metadata: once per configuration. */
  reportUpdate (now: number, update: Update): void {
    this.#report(now, 'update', { update })
    if (this.#batch.length > 0) this.#batchAtMs = now
  }

  hasReportedJoin (joiner: MemberId): boolean {
    return this.#mine.has(`join ${joiner}`)
  }

  /** Alerts of others. Returns the joiners that they name. */
  receive (now: number, reports: readonly Report[]): Member[] {
    const joiners: Member[] = []
    for (const report of reports) {
      const news = this.#heard.add(report)
      if (news === undefined) {
        this.#checkUpdate(report.update)
        continue
      }
      this.#count(now, news.entry, news.fresh)
      if (news.entry.joiner !== undefined) joiners.push(news.entry.joiner)
    }
    return joiners
  }

  /** Sends what is due, lets tallies age, and proposes a cut that has settled. Returns whether tallies changed since the last examination. */
  advance (now: number): boolean {
    if (now >= this.#batchAtMs) this.#sendBatch(now)
    if (now >= this.#repeatAtMs) this.#repeat(now)
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
    return Math.min(this.#batchAtMs, this.#repeatAtMs, this.#dueAtMs)
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
    if (this.#proposed || this.#stableSinceMs === undefined) return ageAtMs
    return Math.min(ageAtMs, this.#settledAtMs(this.#stableSinceMs))
  }

  /** Those whom most of their observers report. For consensus, which coordinates without them (rule M2). */
  suspects (): Set<MemberId> {
    const suspects = new Set<MemberId>()
    if (this.firstAlertAtMs === undefined) return suspects
    for (const { subject, status, reporters, implicit, high } of this.#detector.explain()) {
      if (status === 'remove' && (reporters.length + implicit.length) * 2 >= high) suspects.add(subject)
    }
    return suspects
  }

  /** Proposes what is stable without waiting, for a member that decides alone. False when there is nothing to propose. */
  proposeNow (now: number): boolean {
    const cut = this.#detector.proposal(now)
    if (cut !== undefined && !this.#proposed) this.#propose(now, cut)
    return this.#proposed
  }

  explain (): TallyExplanation[] {
    return this.firstAlertAtMs === undefined ? [] : this.#detector.explain()
  }

  invariants (): void {
    this.#detector.invariants()
  }

  #report (now: number, key: string, about: About): void {
    if (this.#mine.has(key)) return
    const attempt = this.#attempts.get(key) ?? 0
    const report = reportBy(this.#view.self.id, this.#view.overlay, about, attempt)
    if (report === undefined) return
    this.#attempts.set(key, attempt + 1)
    this.#mine.set(key, report)
    this.receive(now, [report])
    this.#batch.push(report)
    if (this.#batchAtMs === Infinity) this.#batchAtMs = now + this.#tuning.batchWindowMs
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

  #sendBatch (now: number): void {
    this.#broadcast(now, this.#batch)
    this.#batch = []
    this.#batchAtMs = Infinity
    if (this.#repeatAtMs === Infinity) this.#repeatAtMs = now + this.#repeatDelayMs
  }

  #repeat (now: number): void {
    if (this.#mine.size === 0) {
      this.#repeatAtMs = Infinity
      return
    }
    this.#broadcast(now, [...this.#mine.values()])
    this.#repeatDelayMs = Math.min(this.#repeatDelayMs * 2, this.#tuning.alertRepeatMs * REPEAT_FACTOR_MAX)
    this.#repeatAtMs = now + this.#repeatDelayMs
  }

  #broadcast (now: number, reports: readonly Report[]): void {
    const { sender, position } = this.#view
    for (let start = 0; start < reports.length; start += REPORTS_MAX) {
      this.#broadcaster.originate(now, { kind: 'alerts', sender, position, reports: reports.slice(start, start + REPORTS_MAX) })
    }
  }

  #age (now: number): void {
    const deadline = this.#detector.deadline()
    if (deadline === undefined || now < deadline) return
    const { removals, joins } = this.#detector.overdue(now)
    for (const subject of removals) {
      if (this.#view.overlay.observersOf(subject).includes(this.#view.self.id)) this.reportRemoval(now, subject)
    }
    for (const joiner of joins) if (!this.hasReportedJoin(joiner.id)) this.#host.vouch(joiner)
    const { promoted, voided, lapsed } = this.#detector.expire(now)
    if (promoted.length + voided.length + lapsed.length > 0) this.version++
    for (const joiner of voided) {
      if (this.#mine.delete(`join ${joiner.id}`)) this.#host.vouch(joiner)
    }
    for (const { subject } of lapsed) {
      if (this.#mine.delete(`remove ${subject}`)) this.#host.rearm(subject)
    }
  }

  #settle (now: number): void {
    const cut = this.#detector.proposal(now)
    if (cut === undefined) {
      this.#stableSinceMs = undefined
      return
    }
    this.#stableSinceMs ??= now
    const joinsAlone = cut.joins.length > 0 && cut.removals.length === 0
    this.#settlingWindowsMax = joinsAlone ? JOIN_WINDOWS_MAX : SETTLING_WINDOWS_MAX
    if (now >= this.#settledAtMs(this.#stableSinceMs)) this.#propose(now, cut)
  }

  #settledAtMs (stableSinceMs: number): number {
    const { batchWindowMs, unicastMembersMax } = this.#tuning
    const quietWindows = this.#view.electorate.size > unicastMembersMax ? QUIET_WINDOWS_GOSSIP : QUIET_WINDOWS
    return Math.min(this.#changedAtMs + batchWindowMs * quietWindows, stableSinceMs + batchWindowMs * this.#settlingWindowsMax)
  }

  #propose (now: number, cut: Cut): void {
    this.#proposed = true
    this.proposedAtMs = now
    this.#host.propose(cut)
  }
}
