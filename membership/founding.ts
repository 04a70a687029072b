/**
 * Founding: before a process founds a cluster it asks its seeds whether that cluster exists already.
 *
 * Rule M8. A member that answers means that the cluster was founded: founding fails loudly. Of two processes that want to found the
 * same cluster at the same time, and so are each other's seeds, the lower cluster id wins and the other joins it. Seeds that
 * refuse connections, or are joiners, do not count. The check is over once every seed has answered, or at its deadline.
 *
 * Pure: the time is an argument.
 */
import type { ClusterId, Member } from './configuration.ts'
import type { Mailbox, Peer } from './effects.ts'
import type { Address } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import { PROTOCOL_VERSION, type JoinAnswer, type JoinAsk } from './messages.ts'
import type { ResolvedOptions } from './options.ts'

/** Questions within one check: the first may meet a seed that is only just starting. */
const ROUNDS = 4

/** What came of the check: found the cluster, join that of another, or fail. */
export type FoundingVerdict = 'found' | 'join' | MembershipError

export class FoundingCheck {
  readonly clusterId: ClusterId
  readonly #out: Mailbox
  readonly #ask: JoinAsk
  readonly #deadlineMs: number
  readonly #roundMs: number
  /** Seeds that have not shown yet that they are no members. */
  readonly #open: Set<Address>
  #nextMs: number

  constructor (self: Member, clusterId: ClusterId, seeds: readonly Address[], options: ResolvedOptions, out: Mailbox, now: number) {
    this.clusterId = clusterId
    this.#out = out
    this.#open = new Set(seeds.filter(seed => seed !== self.address))
    this.#deadlineMs = now + options.foundingCheckMs
    this.#roundMs = options.foundingCheckMs / ROUNDS
    this.#nextMs = now
    this.#ask = {
      kind: 'join-ask', protocol: PROTOCOL_VERSION, clusterName: options.clusterName, clusterId, settings: options.settings,
      member: self, founding: true
    }
  }

  advance (now: number): FoundingVerdict | undefined {
    if (this.#open.size === 0 || now >= this.#deadlineMs) return 'found'
    if (now >= this.#nextMs) {
      this.#nextMs = now + this.#roundMs
      for (const seed of this.#open) this.#out.send(seed, this.#ask)
    }
    return undefined
  }

  get nextAtMs (): number {
    return Math.min(this.#nextMs, this.#deadlineMs)
  }

  /** Nobody listens at that address. */
  refused (address: Address): void {
    this.#open.delete(address)
  }

  answered (peer: Peer, answer: JoinAnswer): FoundingVerdict | undefined {
    switch (answer.kind) {
      case 'join-held':
        // A founder that has no members yet, or one that checks like us and has the lower id.
        return 'join'
      case 'join-redirect':
        if (peer.address !== undefined) this.#open.delete(peer.address)
        return undefined
      case 'join-refused':
        return new MembershipError('MEMBERSHIP_JOIN_REFUSED', `A seed refused this founder: ${answer.reason}.`)
      case 'admitted':
        // Not an answer: an offer to the process that had this address before (rule M11).
        return undefined
      case 'join-observers':
      case 'snapshot':
        return new MembershipError('MEMBERSHIP_ALREADY_FOUNDED', `Seed ${String(peer.address)} belongs to this cluster: join it instead of founding it.`)
    }
  }

  /** Somebody asks us. Returns 'join' when the other founder's id is the lower one. */
  asked (peer: Peer, ask: JoinAsk): FoundingVerdict | undefined {
    if (!ask.founding) {
      // A joiner: it will find the cluster when it asks again.
      this.#out.reply(peer, { kind: 'join-redirect', addresses: [] })
      return undefined
    }
    if (ask.clusterId < this.clusterId) {
      this.#out.reply(peer, { kind: 'join-redirect', addresses: [] })
      return 'join'
    }
    this.#out.reply(peer, { kind: 'join-held', clusterId: this.clusterId, held: 0, expected: 0 })
    return undefined
  }
}
