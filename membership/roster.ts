/**
 * The roster: who of a configuration is there while its cluster comes back from its disks (rule M4).
 *
 * A member is there as itself, or its store is there again under a new member id. The paper (Suresh et al., ATC '18) has no such rule.
 *
 * Pure: the time is an argument.
 */
import { isVoter, memberIndex, normalizeCut, type Configuration, type Cut, type Member, type MemberId, type StoreId } from './configuration.ts'
import { cutError } from './consensus-decision.ts'
import { Electorate } from './electorate.ts'
import type { Address } from './environment/environment.ts'
import { classicQuorum } from './quorum.ts'

/** `new`: not known before. `refused`: no successor of a member, or one that started no later than what is known (rule R3). */
export type Told = 'new' | 'known' | 'refused'

interface Successor {
  readonly member: Member
  /** When it last answered at the address it advertises. */
  answeredMs: number
}

export class Roster {
  readonly #configuration: Configuration
  readonly #byStore = new Map<StoreId, Member>()
  /** By the id of the member they follow. Invariant: the store is the same, the incarnation higher. */
  readonly #successors = new Map<MemberId, Successor>()
  /** When each member last answered as itself. Disjoint from `#successors`. */
  readonly #living = new Map<MemberId, number>()

  constructor (configuration: Configuration) {
    this.#configuration = configuration
    for (const member of configuration.members) this.#byStore.set(member.storeId, member)
  }

  /** The member that a process of this store was, if the process started later than that member. */
  formerOf ({ storeId, incarnation }: Member): Member | undefined {
    const former = this.#byStore.get(storeId)
    return former !== undefined && former.incarnation < incarnation ? former : undefined
  }

  /** Somebody tells of a process that came back. The one that started last counts; of two that started at once, the first heard of. */
  told (member: Member): Told {
    const former = this.formerOf(member)
    if (former === undefined) return 'refused'
    const known = this.#successors.get(former.id)?.member
    if (known?.id === member.id) return 'known'
    if (known !== undefined && known.incarnation >= member.incarnation) return 'refused'
    this.#successors.set(former.id, { member, answeredMs: -Infinity })
    this.#living.delete(former.id)
    return 'new'
  }

  /** A process that came back answered at the address it advertises. */
  answered (now: number, member: Member): void {
    const former = this.formerOf(member)
    const successor = former === undefined ? undefined : this.#successors.get(former.id)
    if (successor?.member.id === member.id) successor.answeredMs = now
  }

  /** A member answered as itself. */
  alive (now: number, id: MemberId): void {
    if (memberIndex(this.#configuration, id) >= 0 && !this.#successors.has(id)) this.#living.set(id, now)
  }

  /** Where to reach whoever answers for a member. */
  addressOf (id: MemberId): Address {
    return (this.#successors.get(id)?.member ?? this.#configuration.members[memberIndex(this.#configuration, id)]!).address
  }

  /** Members that answered as themselves since a time. */
  livingSince (sinceMs: number): ReadonlySet<MemberId> {
    return new Set([...this.#living].filter(([, answeredMs]) => answeredMs >= sinceMs).map(([id]) => id))
  }

  /** The processes that came back and answered since a time, by the ids of the members they follow. */
  returnedSince (sinceMs: number): ReadonlyMap<MemberId, Member> {
    return new Map([...this.#successors].filter(([, { answeredMs }]) => answeredMs >= sinceMs).map(([id, { member }]) => [id, member]))
  }

  /**
   * The cut that replaces former members by their successors, or undefined when there is nothing to replace, or nobody would vote. Where
   * voters come back as agents, and those that vote on would be too few beside the voters that are gone, it removes these too: else the next
   * configuration could decide nothing.
   * @param returned the successors by the ids of those they follow; those on the address of a member that stays are left out.
   * @param gone whether a member is not there, so that it may be removed where a successor needs its address, or the voters their majority.
   */
  replacement (returned: ReadonlyMap<MemberId, Member>, gone: (id: MemberId) => boolean): Cut | undefined {
    const removals = new Set(returned.keys())
    const joins = new Map<Address, Member>()
    const holders = new Map(this.#configuration.members.map(member => [member.address, member.id]))
    for (const [former, member] of returned) {
      const holder = holders.get(member.address)
      const held = holder !== undefined && !removals.has(holder)
      if (joins.has(member.address) || (held && !gone(holder))) {
        removals.delete(former)
        continue
      }
      if (held) removals.add(holder)
      joins.set(member.address, member)
    }
    const staying = Electorate.of(this.#configuration).voters.filter(({ id }) => !removals.has(id))
    const absent = staying.filter(({ id }) => gone(id))
    const present = staying.length - absent.length + [...joins.values()].filter(isVoter).length
    if (present > 0 && present < classicQuorum(present + absent.length)) for (const { id } of absent) removals.add(id)
    const cut = normalizeCut(joins.values(), removals)
    return cutError(this.#configuration, cut) === undefined ? cut : undefined
  }
}
