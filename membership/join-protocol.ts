/**
 * The joiner's side of a join: ask a seed, then the observers it names, until a configuration arrives that holds this process.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1. Every step may be repeated: whoever is asked again answers again, so a lost message costs one
 * retry. Seeds may be members, joiners themselves or not up yet (rule M8): joiners name those they know, and retries begin
 * short. A joiner that finds no cluster keeps trying until its deadline and never founds one.
 *
 * Pure: the time is an argument; jitter is a hash of the joiner's id and the attempt.
 */
import type { ClusterId, Configuration, Member } from './configuration.ts'
import type { Mailbox, Peer } from './effects.ts'
import type { Address } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import { hashFraction } from './hash.ts'
import { NOWHERE, PROTOCOL_VERSION, type JoinAnswer, type JoinAsk, type Position } from './messages.ts'
import type { ResolvedOptions } from './options.ts'

/** Addresses that a joiner remembers besides its seeds. */
const LEARNED_MAX = 64
/** Addresses asked per attempt. */
const ASKED_MAX = 3
/** Addresses named to another joiner. */
const NAMED_MAX = 8

export class JoinProtocol {
  readonly #options: ResolvedOptions
  readonly #self: Member
  readonly #out: Mailbox
  readonly #ask: JoinAsk
  readonly #deadlineMs: number
  #seeds: readonly Address[] = []
  /** Named by others. Invariant: size <= LEARNED_MAX. */
  readonly #learned = new Set<Address>()
  /** The cluster whose members were asked to admit this process: it asks no other one of the same name. */
  #chosen: ClusterId | undefined
  /** The cluster that probed this process last: it may be about to admit it. */
  #suitor: { readonly clusterId: ClusterId, readonly untilMs: number } | undefined
  /** The last one that answered as a member. */
  #leader: Address | undefined
  #attempt = 0
  #cursor = 0
  #nextMs: number
  /** Where the furthest answer so far came from. Invariant: its epoch never falls. */
  #position: Position = NOWHERE
  /** The configuration whose observers were asked since the last attempt: they are asked once, however many seeds name them. */
  #requested: string | undefined
  /** The cluster may have admitted this process, which need not have heard of it. */
  #hasRequested = false
  #reason = 'no seed answered'
  /** Members that have the configuration this process is in and were not asked for it yet. Invariant: size <= LEARNED_MAX. */
  readonly #offers = new Set<Address>()
  /** Until when the one that was asked for it is given time. */
  #patientUntilMs = -Infinity

  constructor (self: Member, clusterId: ClusterId | undefined, options: ResolvedOptions, out: Mailbox, startedMs: number, timeoutMs: number) {
    this.#self = self
    this.#options = options
    this.#out = out
    this.#nextMs = startedMs
    this.#deadlineMs = startedMs + timeoutMs
    this.#ask = {
      kind: 'join-ask', protocol: PROTOCOL_VERSION, clusterName: options.clusterName, clusterId: clusterId ?? '' as ClusterId,
      settings: options.settings, member: self, founding: false
    }
  }

  /** Replaces the seeds; a user's function may name others each time. */
  seeds (seeds: readonly Address[]): void {
    this.#seeds = seeds.filter(seed => seed !== this.#self.address)
  }

  /** Names to another joiner the addresses that are likeliest to lead it into the cluster. */
  get known (): Address[] {
    const best = this.#leader === undefined ? [] : [this.#leader]
    return [...new Set([...best, ...this.#seeds, ...this.#learned])].slice(0, NAMED_MAX)
  }

  /** Another process that waits for this cluster: it may lead there, or know this one. */
  met (now: number, address: Address): void {
    this.#learn(now, [address])
  }

  /** @param why what else there is to say when the deadline has passed. @returns the error when it has. */
  advance (now: number, why?: string): MembershipError | undefined {
    if (now >= this.#deadlineMs) {
      return new MembershipError('MEMBERSHIP_JOIN_TIMEOUT', `Not admitted in time: ${why ?? this.#reason}.`, { definite: false })
    }
    if (now < this.#nextMs) return undefined
    const [offer] = this.#offers
    if (offer !== undefined) {
      this.#take(now, offer)
      return undefined
    }
    for (const address of this.#targets()) this.#out.send(address, this.#ask)
    this.#requested = undefined
    const { joinRetryMs, joinRetryMaxMs } = this.#options
    this.#pause(now, Math.min(joinRetryMs * 2 ** Math.min(this.#attempt, 20), joinRetryMaxMs))
    this.#attempt++
    return undefined
  }

  get nextAtMs (): number {
    return Math.min(this.#nextMs, this.#deadlineMs)
  }

  /**
   * Snapshots are the caller's, who decodes them.
   * @returns the error when the cluster will not have this process. It is `spent` when a process with another id and a higher
   * incarnation may have better luck, because this one may have been admitted, and removed before it knew.
   */
  answered (now: number, peer: Peer, answer: Exclude<JoinAnswer, { kind: 'snapshot' }>): { error: MembershipError, spent: boolean } | undefined {
    switch (answer.kind) {
      case 'join-observers':
        this.#chosen ??= answer.position.clusterId
        if (answer.position.clusterId !== this.#chosen) break
        if (answer.position.epoch < this.#position.epoch || answer.position.configurationId === this.#requested) break
        this.#requested = answer.position.configurationId
        this.#position = answer.position
        this.#follow(peer)
        if (answer.observers.length > 0) this.#hasRequested = true
        for (const address of answer.observers) this.#out.send(address, { kind: 'join-request', ask: this.#ask, position: answer.position })
        this.#reason = `the observers of epoch ${answer.position.epoch} were asked and did not get the join decided`
        this.#pause(now, this.#options.joinRetryMaxMs)
        break
      case 'join-held':
        this.#follow(peer)
        this.#reason = `the founder holds ${answer.held} joiners and expects ${answer.expected}`
        this.#pause(now, this.#options.joinRetryMaxMs)
        break
      case 'join-redirect':
        this.#learn(now, answer.addresses)
        break
      case 'join-refused':
        this.#reason = answer.reason
        if (answer.retry) break
        return {
          error: new MembershipError('MEMBERSHIP_JOIN_REFUSED', `The cluster refused this process: ${answer.reason}.`),
          spent: answer.spent && this.#hasRequested
        }
      case 'admitted':
        // Or it is meant for the process that had this address before.
        if (answer.member !== this.#self.id) break
        this.#position = answer.position
        this.#follow(peer)
        if (answer.offer) this.#offered(now, peer)
        // Somebody else sends or offers the configuration. Should that fail, the one that told us is asked.
        else this.#pause(now, this.#options.fetchTimeoutMs)
        break
    }
    return undefined
  }

  /**
   * A member probes this process, maybe to vouch for it. Where seeds lie in several clusters of one name, only one of them may: the
   * one whose observers were asked, else the one that probed last, for as long as a member waits for a probe. A second cluster
   * that admitted this process too would count on a member that it does not have.
   */
  mayVouch (now: number, clusterId: ClusterId): boolean {
    if (this.#chosen !== undefined) return clusterId === this.#chosen
    if (this.#suitor !== undefined && this.#suitor.clusterId !== clusterId && now < this.#suitor.untilMs) return false
    this.#suitor = { clusterId, untilMs: now + this.#options.quietTimeoutMs }
    return true
  }

  /** Whether a configuration that arrived is one to live in: ours by name and id, with this process in it. */
  accepts (configuration: Configuration): boolean {
    return this.belongs(configuration) && configuration.members.some(member => member.id === this.#self.id)
  }

  /** Whether a configuration is one of the cluster that is asked for. */
  belongs (configuration: Configuration): boolean {
    return configuration.clusterName === this.#options.clusterName && (this.#ask.clusterId === '' || configuration.clusterId === this.#ask.clusterId)
  }

  /** A whole configuration is long: it is asked of one member at a time (rule M11). */
  #offered (now: number, { address }: Peer): void {
    if (address === undefined || this.#offers.size >= LEARNED_MAX) return
    this.#offers.add(address)
    if (now >= this.#patientUntilMs) this.#take(now, address)
  }

  #take (now: number, offer: Address): void {
    this.#offers.delete(offer)
    this.#out.send(offer, this.#ask)
    this.#patientUntilMs = now + this.#options.fetchTimeoutMs
    this.#pause(now, this.#options.fetchTimeoutMs)
  }

  #follow (peer: Peer): void {
    if (peer.address !== undefined && peer.address !== this.#self.address) this.#leader = peer.address
  }

  #learn (now: number, addresses: readonly Address[]): void {
    for (const address of addresses) {
      if (address === this.#self.address || this.#seeds.includes(address) || this.#learned.has(address)) continue
      if (this.#learned.size >= LEARNED_MAX) return
      this.#learned.add(address)
      this.#out.send(address, this.#ask)
      this.#pause(now, this.#options.joinRetryMs)
    }
  }

  /** The last that answered, then the others in turn. */
  #targets (): Address[] {
    const all = [...this.#seeds, ...this.#learned]
    const targets = new Set<Address>()
    if (this.#leader !== undefined) targets.add(this.#leader)
    for (let i = 0; i < Math.min(ASKED_MAX, all.length); i++) targets.add(all[this.#cursor++ % all.length]!)
    return [...targets]
  }

  /** With jitter, so that those who were started together do not ask together for ever. */
  #pause (now: number, pauseMs: number): void {
    this.#nextMs = now + pauseMs * (0.75 + hashFraction(`${this.#self.id} ${this.#attempt}`, 3n) / 2)
  }
}
