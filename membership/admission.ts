/**
 * Admission: what a member does for those that want to join.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1: in the first phase a joiner learns who will observe it, in the second it asks
 * those. Rules M6 (an observer vouches for a joiner only after the joiner answered a probe at its advertised address), M3 and R3
 * (addresses and store ids), M7 (undecided joiners carry over to the next configuration) and M8 (a founder alone holds joiners
 * behind the formation gate). A joiner that is refused before it counts is told why.
 *
 * Rule M11: where many join few, as at formation, those few send the configuration to some joiners only. Whoever has received its
 * first configuration offers it to the members that it observes, and a joiner asks one of those that offer it. So a process sends
 * about K configurations at most, and since the overlay is an expander a few hops reach everybody: every joiner has K observers
 * that may offer. Whom no offer reaches asks again as every joiner does, and a member that probes it sends it the configuration (M8).
 *
 * Pure: the time is an argument.
 */
import type { Cut, Member, MemberId } from './configuration.ts'
import type { Refusal } from './counters.ts'
import type { Mailbox, Peer } from './effects.ts'
import { hash32 } from './hash.ts'
import { PROTOCOL_VERSION, type JoinAsk, type JoinRefused, type Position, type ProbeReply, type Snapshot } from './messages.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

/** Joiners that one member works on at a time. Others are told to ask again. */
export const PENDING_JOINS_MAX = 4096
/** Joiners to whom one member sends the configuration of its own accord: so many at least, and more where it is small. */
export const SERVED_MIN = 16
/** Bytes of configurations that one member sends of its own accord. */
const SERVED_BYTES = 16 * 1024 * 1024
/** Unanswered probes after which a joiner counts as unreachable. */
const PROBES_MAX = 5

interface PendingJoin {
  readonly joiner: Member
  /** Where to answer it; undefined for one that this member only heard of. */
  peer: Peer | undefined
  sequence: number
  probes: number
  nextProbeMs: number
}

/** What there is against a joiner: the kind of it, and the words. */
type Grounds = readonly [why: Refusal, reason: string]

export interface AdmissionHost {
  /** The joiner answered at its address: report it. */
  reachable (joiner: Member): void
  /** What the fold has against a joiner. */
  objection (joiner: Member): string | undefined
  /** The current configuration, encoded. */
  snapshot (): Snapshot
}

export class Admission {
  readonly #tuning: MembershipTuning
  readonly #out: Mailbox
  readonly #host: AdmissionHost
  #view!: View
  /** Joiners this member observes and has not reported yet. Invariant: size <= PENDING_JOINS_MAX. */
  #pending = new Map<MemberId, PendingJoin>()
  /** Every undecided joiner that this member knows of, for the configuration after this one. Same bound. */
  #known = new Map<MemberId, Member>()
  #sequence = 0

  constructor (tuning: MembershipTuning, out: Mailbox, host: AdmissionHost) {
    this.#tuning = tuning
    this.#out = out
    this.#host = host
  }

  /** Begins a configuration: undecided joiners carry over to their new observers (rule M7). */
  enter (now: number, view: View): void {
    const first = (this.#view as View | undefined) === undefined
    const known = [...this.#known.values()]
    const peers = new Map([...this.#pending].map(([id, pending]) => [id, pending.peer]))
    this.#view = view
    this.#pending = new Map()
    this.#known = new Map()
    // What was no reason to refuse one may be one now; asking again, it is told so.
    for (const joiner of known) if (this.#host.objection(joiner) === undefined) this.consider(now, joiner, peers.get(joiner.id))
    if (first) this.#offer(view)
  }

  /** Others may have joined with this process, and wait for the same configuration. Members that have it pass over this. */
  #offer (view: View): void {
    const { position, subjects } = view
    for (const id of subjects) this.#out.send(view.member(id)!.address, { kind: 'admitted', position, member: id, offer: true })
  }

  /**
   * Answers either phase of a join that `refusal` has nothing against.
   * @param believed the configuration whose observer the joiner takes this member for; undefined in the first phase.
   */
  answer (now: number, peer: Peer, ask: JoinAsk, believed?: Position): void {
    const joiner = ask.member
    if (this.#view.member(joiner.id) !== undefined) {
      this.#out.reply(peer, this.#host.snapshot())
      return
    }
    if (this.#known.size >= PENDING_JOINS_MAX && !this.#known.has(joiner.id)) {
      this.#out.counters.joinsRefused.full++
      this.#out.reply(peer, { kind: 'join-refused', retry: true, spent: false, reason: `${PENDING_JOINS_MAX} processes are joining already` })
      return
    }
    // A request to the right observers is answered by the decision. All others need to know whom to ask.
    if (believed?.configurationId !== this.#view.position.configurationId) {
      const observers = this.#view.overlay.observersOfJoiner(joiner.id).map(id => this.#view.member(id)!.address)
      this.#out.reply(peer, { kind: 'join-observers', position: this.#view.position, observers })
    }
    if (!ask.founding) this.consider(now, joiner, peer)
  }

  /** Why the cluster will not have this joiner, or undefined. What is refused is counted. */
  refusal (ask: JoinAsk): JoinRefused | undefined {
    const mismatch = this.#mismatch(ask)
    const [why, reason] = mismatch ?? this.#spent(ask) ?? []
    if (why === undefined || reason === undefined) return undefined
    this.#out.counters.joinsRefused[why]++
    return { kind: 'join-refused', reason, retry: false, spent: mismatch === undefined }
  }

  /** What can never fit: the joiner wants another cluster, or speaks otherwise. */
  #mismatch (ask: JoinAsk): Grounds | undefined {
    const { configuration } = this.#view
    if (ask.protocol !== PROTOCOL_VERSION) return ['protocol', `this cluster speaks protocol ${PROTOCOL_VERSION}, the joiner ${ask.protocol}`]
    if (ask.clusterName !== configuration.clusterName) return ['cluster', `this cluster is named ${configuration.clusterName}, not ${ask.clusterName}`]
    if (!ask.founding && ask.clusterId !== '' && ask.clusterId !== configuration.clusterId) {
      return ['cluster', `this cluster has the id ${configuration.clusterId}, the joiner belongs to ${ask.clusterId}`]
    }
    for (const [key, value] of Object.entries(ask.settings)) {
      const fixed = configuration.settings[key]
      if (fixed !== value) return ['settings', `the setting ${key} is fixed to ${String(fixed)}, the joiner has ${value}`]
    }
    return undefined
  }

  /** What would fit under another id and a higher incarnation. */
  #spent (ask: JoinAsk): Grounds | undefined {
    const holder = this.#view.holderOf(ask.member.storeId)
    if (holder !== undefined && holder.id !== ask.member.id && ask.member.incarnation <= holder.incarnation) {
      const both = `incarnation ${holder.incarnation}; the joiner has ${ask.member.incarnation}`
      return ['incarnation', `store ${holder.storeId} is a member already, with ${both}`]
    }
    // One that is a member already, and lost the answer, gets it again.
    if (ask.founding || this.#view.member(ask.member.id) !== undefined) return undefined
    const objection = this.#host.objection(ask.member)
    return objection === undefined ? undefined : ['fold', objection]
  }

  /** Probes a joiner that this member observes, and reports it once it answers. */
  consider (now: number, joiner: Member, peer?: Peer): void {
    if (this.#view.member(joiner.id) !== undefined) return
    if (this.#known.size < PENDING_JOINS_MAX) this.#known.set(joiner.id, joiner)
    if (!this.#known.has(joiner.id) || !this.#view.observesJoiner(joiner.id)) return
    const pending = this.#pending.get(joiner.id)
    if (pending === undefined) this.#pending.set(joiner.id, { joiner, peer, sequence: 0, probes: 0, nextProbeMs: now })
    else if (peer !== undefined) pending.peer = peer
  }

  /** An alert named this joiner: it may be one of ours in the next configuration. */
  note (joiner: Member): void {
    if (this.#known.size < PENDING_JOINS_MAX && this.#view.member(joiner.id) === undefined) this.#known.set(joiner.id, joiner)
  }

  replied (reply: ProbeReply): void {
    const pending = this.#pending.get(reply.to)
    if (pending === undefined || reply.sequence !== pending.sequence) return
    this.#pending.delete(reply.to)
    // Somebody else lives at the advertised address: that joiner is gone.
    if (reply.member.id === reply.to) this.#host.reachable(pending.joiner)
    else this.#known.delete(reply.to)
  }

  advance (now: number): void {
    for (const [id, pending] of this.#pending) {
      if (now < pending.nextProbeMs) continue
      if (pending.probes >= PROBES_MAX) {
        this.#pending.delete(id)
        this.#known.delete(id)
        const reason = `nobody answers as ${id} at the advertised address ${pending.joiner.address}`
        if (pending.peer === undefined) continue
        this.#out.counters.joinsRefused.unreachable++
        this.#out.reply(pending.peer, { kind: 'join-refused', retry: true, spent: false, reason })
        continue
      }
      pending.sequence = ++this.#sequence
      pending.nextProbeMs = now + this.#tuning.probeTimeoutMs * 2 ** pending.probes / 4
      pending.probes++
      this.probe(pending.joiner, pending.sequence)
    }
  }

  get nextAtMs (): number {
    let next = Infinity
    for (const { nextProbeMs } of this.#pending.values()) next = Math.min(next, nextProbeMs)
    return next
  }

  probe (joiner: Member, sequence: number): void {
    const { sender, position } = this.#view
    this.#out.send(joiner.address, { kind: 'probe', sender, position, to: joiner.id, sequence })
  }

  /**
   * Tells those whom a cut admitted: one of the observers they asked sends the configuration, the others its id. So does the one
   * observer where it has too many to send to: theirs comes from those who have it by then.
   * @param before the configuration that decided; `snapshot()` of the host is of the one after it.
   */
  welcome (before: View, after: View, cut: Cut): void {
    let served = 0
    let servedBytes = 0
    for (const joiner of cut.joins) {
      const observers = before.overlay.observersOfJoiner(joiner.id).filter(id => after.member(id) !== undefined)
      if (!observers.includes(before.self.id)) continue
      const server = observers[hash32(joiner.id, 1n) % observers.length]
      if (server === before.self.id && (served < SERVED_MIN || servedBytes < SERVED_BYTES)) {
        const snapshot = this.#host.snapshot()
        served++
        servedBytes += snapshot.configuration.length + snapshot.state.length
        this.#out.send(joiner.address, snapshot)
        continue
      }
      this.#out.send(joiner.address, { kind: 'admitted', position: after.position, member: joiner.id, offer: false })
    }
  }
}
