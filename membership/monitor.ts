/**
 * Monitoring: the failure detectors of one member's edges, and its judgement of its own connection to the cluster.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1; rules M7 (detectors live per subject across configurations), M10 (hard evidence) and
 * DESIGN's `isolated`. A member observes only some K others; before it says that a majority is out of reach it probes all
 * the others too.
 *
 * Pure: the time is an argument.
 */
import { type Member, type MemberId } from './configuration.ts'
import { type Detector, type DetectorFactory } from './detector/detector.ts'
import { type Mailbox } from './effects.ts'
import { type LinkEvent } from './environment/environment.ts'
import { hashFraction } from './hash.ts'
import { type ProbeReply } from './messages.ts'
import { type MembershipTuning } from './options.ts'
import { type View } from './view.ts'

/** Probes to others than subjects that one interval may send while isolation is being judged. */
const SURVEY_MAX = 64
/** The sequence number of probes that no detector waits for. */
const SURVEY_SEQUENCE = 0

interface Edge {
  readonly subject: Member
  readonly detector: Detector
}

export class Monitor {
  readonly #tuning: MembershipTuning
  readonly #factory: DetectorFactory
  readonly #out: Mailbox
  #view!: View
  /** Invariant: the keys are exactly the subjects of this member in the current overlay. */
  #edges = new Map<MemberId, Edge>()
  /** When each member of the configuration was last heard of. Kept across configurations for those that stay. */
  #heardAtMs = new Map<MemberId, number>()
  /** Since when half of the subjects or more have been failing. */
  #doubtfulSinceMs: number | undefined
  #nextSurveyMs = 0
  #surveyCursor = 0
  #isolated = false

  constructor (factory: DetectorFactory, tuning: MembershipTuning, out: Mailbox) {
    this.#factory = factory
    this.#tuning = tuning
    this.#out = out
  }

  enter (now: number, view: View): void {
    this.#view = view
    const phase = hashFraction(view.self.id, 0n) * this.#tuning.probeIntervalMs
    const edges = new Map<MemberId, Edge>()
    for (const id of view.subjects) {
      const subject = view.member(id)!
      edges.set(id, this.#edges.get(id) ?? { subject, detector: this.#factory(subject, now + phase, this.#tuning) })
    }
    this.#edges = edges
    const heard = new Map<MemberId, number>()
    for (const { id } of view.configuration.members) heard.set(id, this.#heardAtMs.get(id) ?? now)
    this.#heardAtMs = heard
    this.#doubtfulSinceMs = undefined
  }

  /** Sends the probes that are due. */
  advance (now: number, stretch: number): void {
    for (const { subject, detector } of this.#edges.values()) {
      const sequence = detector.poll(now, stretch)
      if (sequence !== undefined) this.#probe(subject, sequence)
    }
    this.#judgeIsolation(now, stretch)
  }

  get nextAtMs (): number {
    let next = Infinity
    for (const { detector } of this.#edges.values()) next = Math.min(next, detector.nextAtMs)
    if (this.#doubtfulSinceMs !== undefined) next = Math.min(next, this.#nextSurveyMs)
    return next
  }

  /** Any valid message of a member of this configuration. */
  heard (now: number, id: MemberId): void {
    if (this.#heardAtMs.has(id)) this.#heardAtMs.set(id, now)
  }

  replied (now: number, reply: ProbeReply): void {
    const edge = this.#edges.get(reply.to)
    if (edge === undefined) return
    if (reply.member.id === reply.to) {
      edge.detector.replied(now, reply.sequence)
      return
    }
    // Rule M10: another id counts only as a later process of the same store, in the same cluster.
    const { configuration } = this.#view
    const sameCluster = reply.clusterName === configuration.clusterName &&
      (reply.position.epoch === 0 || reply.position.clusterId === configuration.clusterId)
    const laterProcess = reply.member.storeId === edge.subject.storeId && reply.member.incarnation > edge.subject.incarnation
    if (sameCluster && laterProcess) edge.detector.succeeded(now)
  }

  link (now: number, event: LinkEvent): void {
    const subject = this.#view.memberAt(event.address)
    if (subject !== undefined) this.#edges.get(subject.id)?.detector.link(now, event.kind)
  }

  /** The subjects with a verdict against them, in the order of the overlay. */
  faulty (): MemberId[] {
    const faulty: MemberId[] = []
    for (const [id, { detector }] of this.#edges) if (detector.faulty) faulty.push(id)
    return faulty
  }

  /** Forgets a verdict that nobody confirmed (rule M7): the detector begins anew. */
  rearm (now: number, id: MemberId): void {
    const edge = this.#edges.get(id)
    if (edge !== undefined) this.#edges.set(id, { subject: edge.subject, detector: this.#factory(edge.subject, now, this.#tuning) })
  }

  /** True while a majority of the configuration, this member included, is out of its reach. */
  get isolated (): boolean {
    return this.#isolated
  }

  #probe (to: Member, sequence: number): void {
    const { sender, position } = this.#view
    this.#out.send(to.address, { kind: 'probe', sender, position, to: to.id, sequence })
  }

  #judgeIsolation (now: number, stretch: number): void {
    let failing = 0
    for (const { detector } of this.#edges.values()) if (detector.failing) failing++
    if (failing * 2 < Math.max(1, this.#edges.size)) {
      this.#doubtfulSinceMs = undefined
      this.#isolated = false
      return
    }
    if (this.#doubtfulSinceMs === undefined) {
      this.#doubtfulSinceMs = now
      this.#nextSurveyMs = now
    }
    const { probeIntervalMs, probeTimeoutMs, isolationTimeoutMs } = this.#tuning
    const heardSinceMs = now - (probeIntervalMs * 2 + probeTimeoutMs) * stretch
    let reached = 1
    for (const [id, atMs] of this.#heardAtMs) {
      if (id !== this.#view.self.id && atMs >= heardSinceMs && this.#edges.get(id)?.detector.failing !== true) reached++
    }
    if (reached >= this.#view.majority) this.#isolated = false
    else if (now - this.#doubtfulSinceMs >= isolationTimeoutMs * stretch) this.#isolated = true
    if (now >= this.#nextSurveyMs) {
      this.#nextSurveyMs = now + probeIntervalMs
      this.#survey()
    }
  }

  /** Probes members that it does not observe, round and round. */
  #survey (): void {
    const { members } = this.#view.configuration
    for (let i = 0; i < Math.min(SURVEY_MAX, members.length); i++) {
      this.#surveyCursor = (this.#surveyCursor + 1) % members.length
      const member = members[this.#surveyCursor]!
      if (member.id !== this.#view.self.id && !this.#edges.has(member.id)) this.#probe(member, SURVEY_SEQUENCE)
    }
  }
}
