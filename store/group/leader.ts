/**
 * The leader of a group for one ballot: seals a majority, adopts its most advanced history, serves, and gives up when outranked.
 *
 * Phases: `sealing` (collecting promises) -> `deferring` (somebody else's history is better: it is asked to lead), or
 * `recovering` (replicating an entry of its own, rule S3) -> `serving` <-> `pausing` -> `stopping` (see handover.ts). The first leader of
 * a generation goes from `sealing` to `serving` as soon as its disk knows of it: the generation is its promise, see `inherit`.
 * The promises that it collects are in seals.ts, reads in reads.ts, scans in scans.ts, the rounds that confirm that it still leads in
 * confirmations.ts.
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { Confirmations } from './confirmations.ts'
import type { Copy } from './copy.ts'
import type { Answer, Found, StoreWrite } from './effects.ts'
import { Expiry } from './expiry.ts'
import { Feed } from './feed.ts'
import { Followers } from './followers.ts'
import { Handover } from './handover.ts'
import { type Ballot, compareBallots, type Entry, type EntryBody } from './history.ts'
import type { GroupMessage, Item } from './messages.ts'
import { ReadLease } from './read-lease.ts'
import { Reads } from './reads.ts'
import { unavailable } from './redirect.ts'
import { Releases } from './releases.ts'
import type { ReplicaInput } from './replica-contract.ts'
import type { Replica } from './replica.ts'
import { RoundTrip } from './round-trip.ts'
import { Scans } from './scans.ts'
import { Seals } from './seals.ts'
import { Writes } from './writes.ts'

/** Questions that are not answered are repeated after `retryMs`, then twice as long, up to this many times as long. */
const RETRY_FACTOR_MAX = 4

export type Request = ReplicaInput & { kind: 'write' | 'read' | 'scan' | 'watch' }

export type Phase = 'sealing' | 'deferring' | 'recovering' | 'serving' | 'pausing' | 'stopping'

export class Leader {
  readonly replica: Replica
  readonly ballot: Ballot
  readonly startedAt: number
  readonly followers: Followers
  readonly handover: Handover
  readonly confirmations: Confirmations
  readonly lease: ReadLease
  readonly reads: Reads
  readonly scans: Scans
  readonly expiry: Expiry
  readonly feed: Feed
  readonly writes: Writes
  readonly releases: Releases
  phase: Phase = 'sealing'
  readonly #generation: number
  /** The newest view after whose coming a majority confirmed this ballot, and so that its generation goes on. */
  confirmedEpoch = 0
  /** The view in which this ballot began: whoever seals it does so after that view came. */
  readonly #firstEpoch: number
  readonly #seals: Seals
  #sentAt = -Infinity
  /** When to ask again for promises and confirmations. */
  readonly #patience: RoundTrip
  /** The first entry of this ballot; nothing adopted counts before it is committed. */
  #firstOwn = Infinity
  /** Entries up to here were given to the disk. */
  #persisting = 0
  /** Members that were told of this generation by this leader, because they asked. */
  readonly #introduced = new Set<StoreId>()
  #changed = false

  constructor (replica: Replica, ballot: Ballot, now: number) {
    this.replica = replica
    this.ballot = ballot
    this.startedAt = now
    this.#generation = replica.group!.generation
    this.#firstEpoch = replica.view!.epoch
    this.#patience = new RoundTrip(replica.options.retryMs, RETRY_FACTOR_MAX, replica.slowness)
    this.followers = new Followers(this)
    this.handover = new Handover(this)
    this.confirmations = new Confirmations(this, this.#patience)
    this.lease = new ReadLease(this)
    this.reads = new Reads(this)
    this.scans = new Scans(this)
    this.expiry = new Expiry(this)
    this.feed = new Feed(this)
    this.writes = new Writes(this)
    this.releases = new Releases(this)
    this.#seals = new Seals(this)
  }

  get copy (): Copy { return this.replica.copy! }
  get serving (): boolean { return this.phase === 'serving' || this.phase === 'pausing' }

  /** The epoch whose placement this group carries out, or 0 while it differs from the placement. */
  get settledEpoch (): number { return this.handover.settledEpoch }

  /**
   * Leads from the beginning of its generation. All who take part in that have promised this ballot, which is its lowest, so that nobody has
   * logged anything in it; and what it begins from is committed, all of it, and here. So there is nothing to ask for or to adopt: it serves.
   * Its first entry tells the others that somebody leads.
   */
  inherit (now: number): void {
    const { copy, replica } = this
    if (copy.last !== replica.group!.base) throw new Error(`invariant: generation ${replica.group!.generation} begins at ${replica.group!.base}, not ${copy.last}`)
    this.followers.durable = this.#persisting = copy.last
    this.#firstOwn = copy.last + 1
    this.expiry.begin(now)
    this.append({ kind: 'noop' })
    this.phase = 'serving'
    this.followers.inherit(now)
    this.resume(now)
    this.handover.progress(now)
  }

  /**
   * A member heard of this generation only now: what it was sent before was nothing to it. It is sent again at once, and once: where the
   * generation, too, was lost on the way, the tick repeats it, or every answer would make the next ones.
   */
  introduced (now: number, member: StoreId): void {
    if (!this.replica.group!.members.includes(member) || this.#introduced.has(member)) return
    this.#introduced.add(member)
    if (this.phase === 'sealing') {
      if (this.#seals.begun) this.#seals.askOne(member)
    } else if (this.phase !== 'deferring') {
      this.followers.introduced(now, member)
      this.confirmations.introduced(member)
    }
  }

  /** Asks all members for their promise; the own one is durable already. */
  seal (now: number): void {
    this.#seals.begin(now)
    this.#ask(now)
    this.#elect(now)
  }

  #ask (now: number): void {
    this.#sentAt = now
    this.#seals.ask()
  }

  /** With enough promises, the store with the most advanced history leads: this one, or one that is asked to. */
  #elect (now: number): void {
    const { group, self, out } = this.replica
    if (this.phase !== 'sealing' || !this.#seals.begun) return
    if (!this.#seals.sufficient) { this.#refuse(this.#seals.awaited()); return }
    const best = this.#seals.best()
    if (best === undefined) return
    this.#sentAt = now
    if (best !== self) {
      this.phase = 'deferring'
      out.send(best, { kind: 'nominate', generation: group!.generation, seen: this.ballot, held: 0 })
      return
    }
    this.phase = 'recovering'
    const { answers } = this.#seals
    for (const { leases = [] } of answers.values()) this.lease.wait(now, leases.filter(({ holder }) => !answers.has(holder)))
    out.wake(this.lease.waitMs(now))
    this.#recover(now)
  }

  #recover (now: number): void {
    const { copy, replica } = this
    for (const { level, commit } of this.#seals.answers.values()) if (level && commit > copy.commit && commit <= copy.last) copy.advanceCommit(commit)
    const final = copy.last > copy.commit ? copy.entry(copy.last)!.body : undefined
    const stops = final?.kind === 'stop' && final.next.generation > replica.group!.generation
    // An adopted stop sign is proposed again, at its own number: nothing of this generation comes after it (invariant 22).
    if (stops) copy.truncate(copy.last)
    const adopted = copy.last
    this.followers.durable = this.#persisting = adopted
    this.#firstOwn = adopted + 1
    replica.doubted = false
    if (stops) this.phase = 'stopping'
    this.expiry.begin(now)
    this.append(stops ? final : { kind: 'noop' })
    this.followers.begin(now, this.#seals.answers, adopted)
    this.flush(now)
  }

  /** Numbers and logs an entry; the flush sends it. */
  append (body: EntryBody): Entry {
    const entry: Entry = { seq: this.copy.last + 1, ballot: this.ballot, body }
    this.copy.append(entry)
    this.#changed = true
    return entry
  }

  /** The log should go back to after this number: the entry that a follower or a learner has last stays, since appends name its ballot. */
  needed (): number {
    return Math.max(0, Math.min(this.followers.needed(), this.handover.needed()) - 1)
  }

  request (now: number, request: Request): void {
    const { options, out, view } = this.replica
    if (this.writes.pending + this.reads.pending + this.scans.pending >= options.waitingMax) {
      const message = `${options.waitingMax} operations wait at this partition`
      out.respond(request.ticket, { kind: 'error', code: 'STORE_OVERLOADED', message, definite: true, epoch: view!.epoch })
      return
    }
    const missing = this.replica.missingMajority() ?? (this.phase === 'sealing' ? this.#seals.awaited() : undefined)
    if (missing !== undefined) out.respond(request.ticket, unavailable(this.replica, missing))
    else if (request.kind === 'write') this.writes.request(request)
    else if (request.kind === 'scan') this.scans.request(request)
    else if (request.kind === 'watch') this.feed.request(request)
    else this.reads.request(now, request)
  }

  /** Answers what had no effect yet while the partition waits for stores. */
  #refuse (waitingFor: readonly StoreId[] | undefined): void {
    if (waitingFor === undefined) return
    for (const { ticket } of this.#takeUntouched()) this.replica.out.respond(ticket, unavailable(this.replica, waitingFor))
  }

  /** The end of a turn: one append per follower, one persist, one round of confirmation for everything that came in. */
  flush (now: number): void {
    if (this.#changed) {
      this.#changed = false
      const { copy } = this
      const last = copy.last
      const writes: StoreWrite[] = []
      for (let seq = this.#persisting + 1; seq <= last; seq++) writes.push({ kind: 'entry', copy: copy.number, entry: copy.entry(seq)! })
      this.#persisting = last
      this.followers.replicate(now)
      this.replica.disk.log(writes, () => { this.followers.durable = Math.max(this.followers.durable, last) })
    }
    if (this.serving) this.confirmations.flush(now)
  }

  fetched (now: number, token: number, found: Found): void {
    if (!this.handover.fetched(now, token, found) && !this.writes.fetched(token, found)) this.reads.fetched(now, token, found)
  }

  receive (now: number, from: StoreId, message: GroupMessage): void {
    if (!('ballot' in message) || compareBallots(message.ballot, this.ballot) !== 0) return
    switch (message.kind) {
      case 'sealed':
        if (!this.replica.group!.members.includes(from)) return
        this.lease.acknowledged(from, message.lease)
        if (this.phase !== 'sealing') { this.progress(now); return }
        this.#seals.add(from, message)
        this.#elect(now)
        return
      case 'confirmed':
        this.lease.acknowledged(from, message.lease)
        this.confirmations.confirmed(now, from, message)
        return
      case 'appended':
        this.lease.acknowledged(from, message.lease)
        this.followers.appended(now, from, message)
        break
      case 'mismatch': this.followers.mismatch(now, from, message); break
      case 'lagging':
        if (!this.followers.isLagging(from)) {
          this.followers.lagging(from)
          this.handover.tick(now)
        }
        break
      case 'learned': this.handover.learned(now, from, message); break
      default: return
    }
    if (this.phase === 'sealing' || this.phase === 'deferring') return
    this.followers.replicate(now)
    this.progress(now)
  }

  /** Advances the commit point, answers what it settles, and moves the handover on. */
  progress (now: number): void {
    if (this.phase === 'sealing' || this.phase === 'deferring') return
    const { copy, replica } = this
    const committed = copy.commit < copy.last ? Math.min(this.followers.committed(), copy.last) : copy.commit
    if (committed > copy.commit && committed >= this.#firstOwn && !this.lease.waits(now)) {
      const from = copy.commit + 1
      copy.advanceCommit(committed)
      for (let seq = from; seq <= committed; seq++) this.writes.settle(copy.entry(seq)!)
      this.feed.committed()
      const body = copy.entry(committed)!.body
      if (body.kind === 'stop' && body.next.generation > replica.group!.generation) {
        this.handover.announce(body.next)
        replica.generations.adopt(now, body.next)
        return
      }
      this.handover.committed(now)
    }
    if (this.confirmedEpoch < this.#firstEpoch && copy.commit >= this.#firstOwn) this.#began(now)
    this.handover.progress(now)
  }

  /** The first entry of this ballot is committed: a majority obeyed it, so it does the same for the view as a round of confirmation. */
  #began (now: number): void {
    const recovered = this.phase === 'recovering'
    if (recovered) this.phase = 'serving'
    this.confirmedEpoch = this.#firstEpoch
    this.#confirmView()
    if (recovered) this.resume(now)
  }

  /** Serves what waited for the phase `serving`. */
  resume (now: number): void {
    this.reads.resume(now)
    this.scans.resume(now)
    this.feed.resume(now)
    this.writes.resume(now)
    this.flush(now)
  }

  scanned (now: number, token: number, items: readonly Item[], done: boolean): void {
    this.handover.scanned(now, token, items, done)
  }

  /** Has the ballot confirmed in the present view, if that came after the seals. */
  #confirmView (): void {
    const { epoch } = this.replica.view!
    if (this.serving && epoch > this.confirmedEpoch) this.confirmations.ask(() => { this.confirmedEpoch = Math.max(this.confirmedEpoch, epoch) })
  }

  viewChanged (now: number): void {
    this.#refuse(this.replica.missingMajority())
    if (this.phase !== 'sealing' && this.phase !== 'deferring') this.followers.viewChanged(now)
    this.#confirmView()
    this.flush(now)
    this.handover.viewChanged(now)
    this.progress(now)
  }

  /** True when nothing is being written, moved or released, nothing will expire, and every member that is there has all of it and knows it. */
  get quiet (): boolean {
    return this.phase === 'serving' && this.releases.idle && this.writes.pending === 0 && this.handover.idle && this.followers.idle && this.expiry.idle
  }

  /** True when no tick has anything to do here before something else happens. */
  get idle (): boolean {
    return this.quiet && this.reads.pending + this.scans.pending === 0 && this.confirmations.idle && this.feed.idle
  }

  tick (now: number): void {
    if (this.phase === 'sealing' || this.phase === 'deferring') {
      // Before the own promise is durable nobody may hear of this ballot.
      if (now - this.#sentAt < this.#patience.delayMs || !this.#seals.begun) return
      this.#patience.missed()
      if (this.phase === 'sealing') { this.#ask(now); this.#elect(now) } else this.replica.stepDown(now, true)
      return
    }
    this.followers.tick(now)
    this.handover.tick(now)
    this.confirmations.tick(now)
    this.feed.tick(now)
    this.expiry.tick(now)
    this.releases.progress(now)
    if (this.copy.unapplied) this.replica.disk.applyCommitted()
    this.progress(now)
  }

  /** Ends this leadership. Returns the requests that may simply be asked again elsewhere; answers the others. */
  stop (): Request[] {
    this.handover.stop()
    const { view } = this.replica
    for (const holder of this.releases.stop()) this.replica.sendOn(holder, this.#generation)
    const answer: Answer = { kind: 'error', code: 'NOT_LEADER', message: 'the lead went to another store', definite: false, epoch: view!.epoch }
    this.writes.stop(answer)
    this.reads.stop({ ...answer, definite: true })
    return [...this.scans.stop(), ...this.#takeUntouched()]
  }

  /** Gives up the requests that had no effect yet: unconfirmed reads, and what waits for the phase `serving`. */
  #takeUntouched (): Request[] {
    this.confirmations.clear()
    this.expiry.clear()
    this.releases.clear()
    return [...this.reads.takeUntouched(), ...this.scans.takeUntouched(), ...this.feed.takeUntouched(), ...this.writes.takeUntouched()]
  }
}
