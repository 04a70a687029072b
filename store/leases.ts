/**
 * Leases between stores: for a stated time the granter lets nobody else commit where it obeys the holder (rule S7).
 *
 * One lease per (granter, holder) serves all partitions that both are in, so its cost is messages per pair of stores, and only
 * while somebody reads. The holder counts from when it *asked*, shortened by the bound on how far clocks drift apart; the granter
 * counts from when it answered. A lease has a number, which renewals keep. When the granter promises some partition to another
 * leader, the next grant has another number (`revoke`): a leader counts a granter only while the lease it has is the one that the
 * granter named when it last obeyed that leader's ballot, so a renewal never revives a right that was taken away. The idea of
 * binding many leaders' leases to one numbered promise per pair of nodes is that of CockroachDB's store liveness.
 *
 * A store that starts does not remember what it granted: for one lease after it has its directory for itself, when no earlier process of it
 * runs any more, `forgottenUntil` stands for all of it.
 *
 * The monotonic clock of a suspended machine may stand still, so a lease ends, too, when the wall clock says that its time is over;
 * a wall clock that jumps forward costs a round of confirmation, one that jumps back nothing.
 *
 * Pure.
 */
import type { StoreId } from '../membership/configuration.ts'
import { StoreError } from './errors.ts'

export interface LeaseOptions {
  /**
   * How long a lease lasts from the granter's answer on, in milliseconds; 0 grants none, and every read is confirmed by a majority.
   * A new leader waits for what is left of the last one's leases. A store that is started with a shorter one than before must
   * have been down for as long as the longer one.
   */
  readonly leaseMs: number
  /** The bound on how much faster one store's monotonic clock runs than another's, in per cent. */
  readonly leaseDriftPercent: number
  /**
   * A lease is asked for, or renewed, once so many reads within a third of `leaseMs` would have done with it. Fewer are cheaper to confirm
   * one by one: a round costs a message to each member and back, and so does a renewal.
   */
  readonly leaseReadsMin: number
}

/** What a replica needs to know of its store's leases. */
export interface ReplicaLeases {
  readonly options: LeaseOptions
  /** Leases of an earlier run of this store, given to whoever, end here at the latest. */
  readonly forgottenUntil: number
  /** The number of the lease that this store gives, or will give, to another. What acknowledges a ballot names it. */
  numberFor (holder: StoreId): number
  /** Something that `holder` may count on is promised to somebody else. Returns when the leases it has been given end. */
  revoke (holder: StoreId): number
  /** The number of the lease that this store has of another, if it has one that is valid. */
  holds (now: number, granter: StoreId): number | undefined
  /** Reads would do with a lease of this store: it is asked for, and renewed as long as this is repeated. */
  use (now: number, granter: StoreId): void
}

/** For replicas that have none. */
export const NO_LEASES: ReplicaLeases = Object.freeze({
  options: Object.freeze({ leaseMs: 0, leaseDriftPercent: 0, leaseReadsMin: 1 }),
  forgottenUntil: -Infinity,
  numberFor: () => 0,
  revoke: () => -Infinity,
  holds: () => undefined,
  use: () => {}
})

export type LeaseMessage =
  /** Holder to granter. `request` is a fresh number, so that an answer to an earlier process is not taken for one to this. */
  | { readonly kind: 'ask', readonly request: number }
  /** Lease `lease` lasts `ms` milliseconds more, or again. */
  | { readonly kind: 'grant', readonly request: number, readonly lease: number, readonly ms: number }

/** The longest lease that is believed, in milliseconds. */
export const LEASE_MS_MAX = 60_000
/** A lease is renewed when so much of it has passed since it was last asked for. */
const RENEW_FRACTION = 1 / 3
/** Questions to one granter whose answers still count. Older ones are of no use: renewals are a third of a lease apart. */
const ASKED_MAX = 4

interface Held {
  readonly request: number
  readonly lease: number
  /** By the monotonic clock. */
  readonly until: number
  /** The wall clock minus the monotonic one, when it was asked for. */
  readonly offset: number
}

interface Use {
  usedAt: number
  askedAt: number
  /** Reads that would do with the lease, since `since`. */
  reads: number
  since: number
  /** By request number, oldest first. Invariant: at most ASKED_MAX. */
  readonly asked: Map<number, { readonly at: number, readonly offset: number }>
}

export class Leases implements ReplicaLeases {
  readonly options: LeaseOptions
  readonly forgottenUntil: number
  readonly #given = new Map<StoreId, { lease: number, until: number }>()
  readonly #held = new Map<StoreId, Held>()
  readonly #uses = new Map<StoreId, Use>()
  /** Numbers leases and requests; begins at random, so that those of two runs are not the same. */
  #number: number
  #offset = 0
  /** Nobody is to be asked before. */
  #dueAt = Infinity

  /**
   * @param aloneSince since when no earlier process of this store runs
   * @param nonce a random number of this run, at most 2^48
   */
  constructor (aloneSince: number, nonce: number, options: LeaseOptions) {
    this.options = options
    this.forgottenUntil = aloneSince + options.leaseMs
    this.#number = nonce
  }

  /** What the clocks say. To be told before anything else of a turn. */
  tell (now: number, wall: number): void {
    this.#offset = wall - now
  }

  numberFor (holder: StoreId): number {
    return this.#give(holder).lease
  }

  #give (holder: StoreId): { lease: number, until: number } {
    let given = this.#given.get(holder)
    if (given === undefined) this.#given.set(holder, given = { lease: ++this.#number, until: -Infinity })
    return given
  }

  revoke (holder: StoreId): number {
    const given = this.#give(holder)
    given.lease = ++this.#number
    return Math.max(given.until, this.forgottenUntil)
  }

  holds (now: number, granter: StoreId): number | undefined {
    const held = this.#held.get(granter)
    if (held === undefined) return undefined
    // The time that has passed is the longer one of what the two clocks say.
    return now + Math.max(0, this.#offset - held.offset) < held.until ? held.lease : undefined
  }

  use (now: number, granter: StoreId): void {
    if (this.options.leaseMs === 0) return
    let use = this.#uses.get(granter)
    if (use === undefined) this.#uses.set(granter, use = { usedAt: now, askedAt: -Infinity, reads: 0, since: now, asked: new Map() })
    use.usedAt = now
    if (now - use.since >= this.#renewMs) {
      use.since = now
      use.reads = 0
    }
    use.reads++
    this.#dueAt = Math.min(this.#dueAt, this.#worthwhile(now, use) ? now : Math.max(now, use.askedAt) + this.#renewMs)
  }

  get #renewMs (): number { return this.options.leaseMs * RENEW_FRACTION }

  #worthwhile (now: number, { reads, askedAt }: Use): boolean {
    return reads >= this.options.leaseReadsMin && now - askedAt >= this.#renewMs
  }

  /** Who is to be asked for a lease now. A granter that nobody used for the length of a lease is asked no more. */
  due (now: number): { readonly to: StoreId, readonly message: LeaseMessage }[] {
    if (now < this.#dueAt) return []
    const { leaseMs } = this.options
    const messages: { to: StoreId, message: LeaseMessage }[] = []
    this.#dueAt = Infinity
    for (const [granter, use] of this.#uses) {
      if (now - use.usedAt > leaseMs) { this.#uses.delete(granter); continue }
      if (this.#worthwhile(now, use)) {
        use.askedAt = use.since = now
        use.reads = 0
        const request = ++this.#number
        use.asked.set(request, { at: now, offset: this.#offset })
        for (const oldest of use.asked.keys()) if (use.asked.size > ASKED_MAX) use.asked.delete(oldest)
        messages.push({ to: granter, message: { kind: 'ask', request } })
      }
      this.#dueAt = Math.min(this.#dueAt, now + this.#renewMs)
    }
    return messages
  }

  /** Returns the answer, if there is one. */
  receive (now: number, from: StoreId, message: LeaseMessage): LeaseMessage | undefined {
    if (message.kind === 'grant') {
      this.#granted(from, message)
      return undefined
    }
    const { leaseMs } = this.options
    if (leaseMs === 0) return undefined
    const given = this.#give(from)
    given.until = now + leaseMs
    return { kind: 'grant', request: message.request, lease: given.lease, ms: leaseMs }
  }

  #granted (from: StoreId, { request, lease, ms }: LeaseMessage & { kind: 'grant' }): void {
    const asked = this.#uses.get(from)?.asked.get(request)
    const before = this.#held.get(from)
    if (asked === undefined || (before !== undefined && before.request > request)) return
    const until = asked.at + ms * (1 - this.options.leaseDriftPercent / 100)
    this.#held.set(from, { request, lease, until, offset: asked.offset })
  }

  /** Forgets what is over and concerns none of the present members. */
  changeView (now: number, live: ReadonlySet<StoreId>): void {
    // The removal of a holder does not end its lease: it may be alive.
    for (const [holder, { until }] of this.#given) if (until <= now && !live.has(holder)) this.#given.delete(holder)
    for (const [granter, { until }] of this.#held) if (until <= now && !live.has(granter)) this.#held.delete(granter)
  }
}

const fail = (): never => { throw new StoreError('STORE_INVALID_MESSAGE', 'not a valid message about leases') }

const natural = (value: unknown, maximum: number): number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= maximum ? value : fail()

/** What arrived from another store, checked. @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateLeaseMessage (value: unknown): LeaseMessage {
  if (typeof value !== 'object' || value === null) return fail()
  const message = value as Record<string, unknown>
  const request = natural(message.request, Number.MAX_SAFE_INTEGER)
  switch (message.kind) {
    case 'ask': return { kind: 'ask', request }
    case 'grant': return { kind: 'grant', request, lease: natural(message.lease, Number.MAX_SAFE_INTEGER), ms: natural(message.ms, LEASE_MS_MAX) }
    default: return fail()
  }
}
