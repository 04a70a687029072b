/**
 * Monitoring: the failure detectors of one member's edges.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1; rules M7 (detectors live per subject across configurations) and M10 (hard evidence).
 * Whether this member itself is cut off is judged by more than its edges: `membership-survey.ts`, and where only some members vote (rule M13)
 * `ensemble-watch.ts`.
 *
 * Pure: the time is an argument.
 */
import type { Member, MemberId } from './configuration.ts'
import type { Detector, DetectorFactory } from './detector/detector.ts'
import type { Mailbox } from './effects.ts'
import { EnsembleWatch } from './ensemble-watch.ts'
import type { Address, LinkEvent } from './environment/environment.ts'
import { hashFraction } from './hash.ts'
import { MembershipSurvey } from './membership-survey.ts'
import type { ProbeReply } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

/** The sequence number of probes that no detector waits for. */
const SURVEY_SEQUENCE = 0

/** The first probes to new subjects, which open connections, are spread over so many half intervals. */
const FIRST_PROBE_SLOTS = 2

/**
 * While an answer is awaited this member wakes up so often at least, so that LocalClock sees in small steps how late the process
 * is: a probe then has some turns of the event loop for its answer, however long each of them takes.
 */
const ATTENTION_MS = 50

interface Edge {
  readonly subject: Member
  readonly detector: Detector
  /** The verdict that was counted. */
  faulty: boolean
}

/** The edges of one member, those that the latest evidence speaks against, and those with a verdict against them. */
export interface EdgeCounts {
  readonly observed: number
  readonly failing: number
  readonly faulty: number
}

export class Monitor {
  readonly #tuning: MembershipTuning
  readonly #factory: DetectorFactory
  readonly #out: Mailbox
  readonly #open: ReadonlySet<Address>
  #view!: View
  /** Invariant: the keys are exactly the subjects of this member in the current overlay. */
  #edges = new Map<MemberId, Edge>()
  /** Judges isolation where all members vote. */
  readonly #survey: MembershipSurvey
  /** Set where only some members vote; then it judges isolation. */
  #watch: EnsembleWatch | undefined
  /** The last probe to each subject that it has not answered yet. Invariant: the keys are subjects. */
  readonly #unanswered = new Map<MemberId, number>()
  #attentionAtMs = Infinity
  /** When a detector next wants to be polled, unless something happened to one (`#stirred`). */
  #pollAtMs = Infinity
  #stirred = true

  /** @param open the addresses with an open connection, as of now */
  constructor (factory: DetectorFactory, tuning: MembershipTuning, out: Mailbox, open: ReadonlySet<Address>) {
    this.#factory = factory
    this.#tuning = tuning
    this.#out = out
    this.#open = open
    this.#survey = new MembershipSurvey(tuning, member => { this.#probe(member, SURVEY_SEQUENCE) })
  }

  enter (now: number, view: View): void {
    this.#view = view
    const phase = hashFraction(view.self.id, 0n) * this.#tuning.probeIntervalMs
    const edges = new Map<MemberId, Edge>()
    let fresh = 0
    for (const id of view.subjects) {
      const subject = view.member(id)!
      const slotMs = fresh % FIRST_PROBE_SLOTS * this.#tuning.probeIntervalMs / 2
      const known = this.#edges.get(id)
      edges.set(id, known === undefined ? this.#observe(now, subject, now + phase + slotMs) : { ...known, subject })
      if (known === undefined) fresh++
    }
    this.#edges = edges
    this.#stirred = true
    for (const id of this.#unanswered.keys()) if (!edges.has(id)) this.#unanswered.delete(id)
    this.#survey.enter(view)
    if (view.electorate.isPartial) this.#watch ??= new EnsembleWatch(this.#tuning, voter => { this.#probe(voter, SURVEY_SEQUENCE) })
    else this.#watch = undefined
    this.#watch?.enter(now, view)
  }

  /** A new detector, which has to hear of the connection that there is already. */
  #observe (now: number, subject: Member, firstProbeAtMs: number): Edge {
    const detector = this.#factory(subject, firstProbeAtMs, this.#tuning)
    if (this.#open.has(subject.address)) detector.link(now, 'opened')
    return { subject, detector, faulty: false }
  }

  /** Sends the probes that are due. Returns false when nothing happened that a verdict could have come of. */
  advance (now: number): boolean {
    if (!this.#stirred && now < this.nextAtMs) return false
    this.#stirred = false
    this.#pollAtMs = Infinity
    const { counters } = this.#out
    for (const edge of this.#edges.values()) {
      const { subject, detector } = edge
      const sequence = detector.poll(now)
      const { faulty } = detector
      if (faulty && !edge.faulty) counters.edgesFailed++
      edge.faulty = faulty
      this.#pollAtMs = Math.min(this.#pollAtMs, detector.nextAtMs)
      if (sequence === undefined) continue
      counters.probesSent++
      if (this.#unanswered.has(subject.id)) counters.probesMissed++
      this.#unanswered.set(subject.id, sequence)
      this.#probe(subject, sequence)
    }
    this.#attentionAtMs = this.#unanswered.size > 0 ? now + ATTENTION_MS : Infinity
    this.#judgeIsolation(now)
    return true
  }

  get nextAtMs (): number {
    return Math.min(this.#attentionAtMs, this.#pollAtMs, (this.#watch ?? this.#survey).nextAtMs)
  }

  /** Any valid message of a member of this configuration. */
  heard (now: number, id: MemberId): void {
    this.#survey.heard(id)
    this.#watch?.heard(now, id)
  }

  replied (now: number, reply: ProbeReply): void {
    const edge = this.#edges.get(reply.to)
    if (edge === undefined) return
    this.#stirred = true
    if (this.#unanswered.get(reply.to) === reply.sequence) {
      this.#unanswered.delete(reply.to)
      this.#out.counters.probesAnswered++
    }
    // A process that is about to join has no position yet; one of another cluster is none of ours, whatever its id.
    const { configuration } = this.#view
    const sameCluster = reply.clusterName === configuration.clusterName &&
      (reply.position.epoch === 0 || reply.position.clusterId === configuration.clusterId)
    if (reply.member.id === reply.to) {
      if (sameCluster) edge.detector.replied(now, reply.sequence)
      return
    }
    // Rule M10: another id counts only as a later process of the same store, in the same cluster.
    const laterProcess = reply.member.storeId === edge.subject.storeId && reply.member.incarnation > edge.subject.incarnation
    if (sameCluster && laterProcess) edge.detector.succeeded(now)
  }

  link (now: number, event: LinkEvent): void {
    const subject = this.#view.memberAt(event.address)
    const edge = subject === undefined ? undefined : this.#edges.get(subject.id)
    if (edge === undefined) return
    this.#stirred = true
    edge.detector.link(now, event.kind)
  }

  /** The subjects with a verdict against them, in the order of the overlay. */
  faulty (): MemberId[] {
    const faulty: MemberId[] = []
    for (const [id, { detector }] of this.#edges) if (detector.faulty) faulty.push(id)
    return faulty
  }

  get counts (): EdgeCounts {
    return { observed: this.#edges.size, failing: this.failing(), faulty: this.faulty().length }
  }

  /** How many edges the latest evidence speaks against. */
  failing (): number {
    let failing = 0
    for (const { detector } of this.#edges.values()) if (detector.failing) failing++
    return failing
  }

  /** Whether so many edges fail at once that the fault may be this member's own (rule M10). */
  get doubtsItself (): boolean {
    return this.failing() * 2 > this.#edges.size && this.#watch?.vouches !== true
  }

  /**
   * A report lapsed that nobody confirmed (rule M7). An edge that still fails is reported again at once, so that observers who found out
   * at different times meet; of one that does not, the detector begins anew.
   */
  rearm (now: number, id: MemberId): void {
    const edge = this.#edges.get(id)
    this.#stirred = true
    if (edge === undefined || edge.detector.faulty) return
    this.#edges.set(id, this.#observe(now, edge.subject, now))
  }

  /** True while a majority of those who vote, this member included if it does, is out of its reach. */
  get isolated (): boolean {
    return (this.#watch ?? this.#survey).isolated
  }

  #probe (to: Member, sequence: number): void {
    const { sender, position } = this.#view
    this.#out.send(to.address, { kind: 'probe', sender, position, to: to.id, sequence })
  }

  #judgeIsolation (now: number): void {
    const failing = this.failing()
    if (this.#watch === undefined) this.#survey.advance(now, failing)
    else this.#watch.advance(now, failing * 2 >= Math.max(1, this.#edges.size))
  }
}
