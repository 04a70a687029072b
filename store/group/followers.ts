/**
 * The leader's view of its followers: what each has durably, what was sent to it, and the commit point that follows.
 *
 * Raft's replication (USENIX ATC '14, section 5.3 and figure 8): appends carry the position before them; an entry counts as
 * committed only once one of the leader's own ballot is durable at a majority. Appends are pipelined within a window.
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { SLOW_BYTES_PER_MS } from '../pace.ts'
import { entryBytes, majorityOf } from './history.ts'
import type { Leader } from './leader.ts'
import type { GroupMessage } from './messages.ts'
import { RoundTrip } from './round-trip.ts'

/** No further append goes to a follower while it has not acknowledged so many batches, in entries or in bytes. */
const WINDOW_BATCHES = 4
/** Writes may be waiting for what was lost, so however slow a follower was, it is not given much longer. */
const DELAY_FACTOR_MAX = 8

/** The commit point travels with the next append; when so many times `retryMs` passed without one, it travels alone. */
const TELL_RETRIES = 3

/** A class, so that all of them have one shape: their fields are read and written with every message. */
class Follower {
  /** The incarnation of its process. What an earlier one acknowledged is not counted: a disk may have lost it between the two. */
  run: number
  /** Durable there and equal to the leader's history, up to here; -1 before its first acknowledgement. */
  match = -1
  /** Of that, what survives a loss of power there. Invariant: `synced <= match`. */
  synced = -1
  /** The next entry to send. Invariant: `next > match`. */
  next: number
  /**
   * Where its history meets the leader's is not known, or a message was lost: one append at a time is under way, whose answer tells.
   * Otherwise appends are pipelined. Without this, each of many appends behind a lost one would have all of them sent again.
   */
  probing = true
  /** It knows that everything up to here is committed. */
  told = 0
  /** When it was last sent anything. */
  sentAt = -Infinity
  /** The highest epoch whose placement it knows to be carried out. */
  settled = 0
  /** When it last acknowledged something new, or was sent something while it had acknowledged everything. */
  progressAt = -Infinity
  readonly roundTrip: RoundTrip
  /** It must be taught before it can follow. */
  lagging: boolean

  /** Of a new process nothing is known but where to begin to compare. */
  constructor (run: number, next: number, roundTrip: RoundTrip, lagging = false) {
    this.run = run
    this.next = next
    this.roundTrip = roundTrip
    this.lagging = lagging
  }
}

export class Followers {
  readonly #leader: Leader
  readonly #followers = new Map<StoreId, Follower>()
  /** The leader's own history is durable up to here. */
  durable = 0

  constructor (leader: Leader) {
    this.#leader = leader
    const { group, self, view } = leader.replica
    for (const member of group!.members) if (member !== self) this.#followers.set(member, this.#fresh(view!.live.get(member) ?? 0, 1))
  }

  #fresh (run: number, next: number, lagging = false): Follower {
    const { options, slowness } = this.#leader.replica
    return new Follower(run, next, new RoundTrip(options.retryMs, DELAY_FACTOR_MAX, slowness), lagging)
  }

  /**
   * A member's process is another one than before: it is compared with the leader's history anew, and hears the commit point. Until it
   * has answered it counts for nothing.
   */
  #restarted (now: number, member: StoreId, run: number): Follower {
    const { copy } = this.#leader
    const follower = this.#fresh(run, copy.last + 1, this.isLagging(member))
    this.#followers.set(member, follower)
    this.#send(now, member, follower)
    return follower
  }

  /** Whose answer this is, if it counts. A new process may answer before the leader hears of the configuration that it is in. */
  #answering (now: number, from: StoreId, run: number): Follower | undefined {
    const follower = this.#followers.get(from)
    if (follower === undefined || run < follower.run) return undefined
    return run > follower.run ? this.#restarted(now, from, run) : follower
  }

  viewChanged (now: number): void {
    const { live } = this.#leader.replica.view!
    for (const [member, { run }] of this.#followers) if ((live.get(member) ?? 0) > run) this.#restarted(now, member, live.get(member)!)
  }

  /** Starts to replicate a history adopted up to `adopted`: from the end of the shorter one, where both usually meet. */
  begin (now: number, sealed: ReadonlyMap<StoreId, GroupMessage & { kind: 'sealed' }>, adopted: number): void {
    for (const [member, follower] of this.#followers) {
      const answer = sealed.get(member)
      follower.run = Math.max(follower.run, this.#leader.replica.view!.live.get(member) ?? 0)
      follower.next = Math.min(answer?.last.seq ?? adopted, adopted) + 1
      follower.lagging = answer !== undefined && !answer.level
      this.#send(now, member, follower)
    }
  }

  /**
   * Begins with the generation, where the history of each member that is level ends: nobody has to be asked where it does. One that is not
   * level says so.
   */
  inherit (now: number): void {
    for (const follower of this.#followers.values()) {
      follower.next = this.#leader.replica.group!.base + 1
      follower.probing = false
      follower.progressAt = now
    }
  }

  /** A member has heard of this generation only now, and dropped what it was sent before. */
  introduced (now: number, member: StoreId): void {
    const follower = this.#followers.get(member)
    if (follower === undefined || follower.match >= 0) return
    follower.probing = true
    follower.next = this.#leader.replica.group!.base + 1
    this.#send(now, member, follower)
  }

  /** What a member holds durably of the leader's history; -1 when unknown. */
  holds (member: StoreId): number {
    if (member === this.#leader.replica.self) return this.durable
    const follower = this.#followers.get(member)
    return follower === undefined || follower.lagging ? -1 : follower.match
  }

  /** True when a member has everything up to here, and keeps it when its machine loses its power. */
  hasSynced (member: StoreId, seq: number): boolean {
    if (this.holds(member) < seq) return false
    const { self, disk } = this.#leader.replica
    return member === self ? disk.syncedLog.covers(seq) : this.#followers.get(member)!.synced >= seq
  }

  isLagging (member: StoreId): boolean {
    return this.#followers.get(member)?.lagging === true
  }

  /** The highest number that a majority of the group has durably. */
  committed (): number {
    const { group } = this.#leader.replica
    // Sorted while it is filled: there are few, and they are asked for with every acknowledgement.
    const held: number[] = []
    for (const member of group!.members) {
      const seq = this.holds(member)
      let index = held.push(seq) - 1
      for (; index > 0 && held[index - 1]! < seq; index--) held[index] = held[index - 1]!
      held[index] = seq
    }
    return held[majorityOf(group!.members.length) - 1]!
  }

  /** The lowest number that a live follower has, which the log should go back to. */
  needed (): number {
    const { live } = this.#leader.replica.view!
    let needed = Infinity
    for (const [member, { match, lagging }] of this.#followers) if (!lagging && match >= 0 && live.has(member)) needed = Math.min(needed, match)
    return needed
  }

  /** Sends every follower what it lacks, within its window. */
  replicate (now: number): void {
    const { copy } = this.#leader
    for (const [member, follower] of this.#followers) {
      while (!follower.probing && !follower.lagging && follower.next <= copy.last && this.#hasRoom(follower)) {
        if (!this.#send(now, member, follower)) break
      }
    }
  }

  /** True while a follower may be sent more than it has not acknowledged. */
  #hasRoom ({ match, next }: Follower): boolean {
    const { copy, replica: { options: { batchEntriesMax, batchBytesMax } } } = this.#leader
    return next - match <= WINDOW_BATCHES * batchEntriesMax && copy.bytesBetween(match, next - 1) < WINDOW_BATCHES * batchBytesMax
  }

  /** Sends the next entries, or, without any, an empty append that tells the commit point. Returns false when nothing was sent. */
  #send (now: number, member: StoreId, follower: Follower): boolean {
    const { replica, copy, ballot, settledEpoch } = this.#leader
    const { batchEntriesMax, batchBytesMax } = replica.options
    if (follower.lagging || !replica.view!.live.has(member)) return false
    const prev = follower.next - 1
    if (!this.#reaches(prev)) { follower.lagging = true; return false }
    if (follower.probing || follower.match >= prev) follower.progressAt = now
    follower.sentAt = now
    const entries = copy.slice(follower.next, batchEntriesMax, batchBytesMax)
    replica.out.send(member, {
      kind: 'append',
      generation: replica.group!.generation,
      ballot,
      run: follower.run,
      prev: { ballot: replica.ballotAt(prev)!, seq: prev },
      entries,
      commit: copy.commit,
      settled: settledEpoch
    })
    if (!follower.probing) follower.next += entries.length
    return true
  }

  /** True when entries after `prev` can be sent as appends: the position is known and nothing after it has lost its values. */
  #reaches (prev: number): boolean {
    const { replica, copy } = this.#leader
    return prev >= copy.valueFloor && replica.ballotAt(prev) !== undefined
  }

  /** An acknowledgement, perhaps an old one: what it says stays true, since it speaks of what is durable under this very ballot. */
  appended (now: number, from: StoreId, { run, seq, commit, settled, unsynced }: GroupMessage & { kind: 'appended' }): void {
    const { copy } = this.#leader
    const follower = this.#answering(now, from, run)
    if (follower === undefined || seq > copy.last) return
    follower.told = Math.max(follower.told, commit)
    follower.settled = Math.max(follower.settled, settled)
    if (seq >= copy.valueFloor) follower.lagging = false
    if (seq > follower.match) {
      if (follower.progressAt > -Infinity) follower.roundTrip.answered(now - follower.progressAt)
      follower.match = seq
      follower.progressAt = now
    }
    if (unsynced === undefined) follower.synced = Math.max(follower.synced, seq)
    if (seq >= follower.next - 1) follower.probing = false
    follower.next = Math.max(follower.next, follower.match + 1)
  }

  /** The follower could not use the append after `prev`. */
  mismatch (now: number, from: StoreId, { run, prev, commit }: GroupMessage & { kind: 'mismatch' }): void {
    const follower = this.#answering(now, from, run)
    // A process loses nothing that it acknowledged under this ballot: the message is an old one.
    if (follower === undefined || prev <= follower.match) return
    if (follower.probing && prev !== follower.next - 1) return
    follower.probing = true
    follower.next = Math.max(follower.match, Math.min(commit, this.#leader.copy.last)) + 1
    this.#send(now, from, follower)
  }

  lagging (from: StoreId): void {
    const follower = this.#followers.get(from)
    if (follower !== undefined) follower.lagging = true
  }

  /** A lagging member was taught up to a position of this generation that appends can go on from. */
  taught (now: number, member: StoreId, position: number): void {
    const follower = this.#followers.get(member)
    if (follower === undefined || position < this.#leader.replica.group!.base || !this.#reaches(position)) return
    follower.lagging = false
    follower.match = Math.max(follower.match, position)
    follower.synced = Math.max(follower.synced, position)
    follower.next = follower.match + 1
    follower.probing = true
    this.#send(now, member, follower)
  }

  /** Sends again what was not acknowledged in time, and the commit point where nothing else carries it. */
  tick (now: number): void {
    const { replica, copy } = this.#leader
    for (const [member, follower] of this.#followers) {
      if (follower.lagging || !replica.view!.live.has(member)) continue
      const { delayMs } = follower.roundTrip
      const overdueMs = now - follower.progressAt - delayMs
      const late = overdueMs >= 0 && overdueMs >= this.#transferMs(follower)
      const untold = follower.told < copy.commit && now - follower.sentAt >= Math.max(delayMs, TELL_RETRIES * replica.options.retryMs)
      if (follower.match < copy.last && late) {
        if (follower.progressAt > -Infinity) follower.roundTrip.missed()
        follower.probing = true
        if (follower.match >= 0) follower.next = follower.match + 1
        this.#send(now, member, follower)
      } else if (untold || (late && follower.settled < this.#seatEpoch(member))) this.#send(now, member, follower)
    }
  }

  /** How long the entries under way to a follower take on a slow link, or to a slow disk: one append, or all that it has not acknowledged. */
  #transferMs ({ match, next, probing }: Follower): number {
    const { copy, replica } = this.#leader
    const { batchEntriesMax, batchBytesMax } = replica.options
    const bytes = probing
      ? copy.slice(Math.max(next, copy.floor + 1), batchEntriesMax, batchBytesMax).reduce((sum, entry) => sum + entryBytes(entry), 0)
      : copy.bytesBetween(match, next - 1)
    return Math.floor(bytes / SLOW_BYTES_PER_MS)
  }

  /** True when every member that is there has everything, and knows it. */
  get idle (): boolean {
    const { replica, copy } = this.#leader
    for (const [member, follower] of this.#followers) {
      if (!replica.view!.live.has(member)) continue
      if (follower.lagging || follower.match < copy.last || follower.told < copy.commit || follower.settled < this.#seatEpoch(member)) return false
    }
    return true
  }

  /** The epoch of a member's seat, once the placement that gave it is this group; else 0. */
  #seatEpoch (member: StoreId): number {
    const { view } = this.#leader.replica
    if (this.#leader.settledEpoch === 0) return 0
    const index = view!.seats.indexOf(member)
    return index < 0 ? 0 : view!.seatEpochs[index]!
  }
}
