/**
 * The leader's view of its followers: what each has durably, what was sent to it, and the commit point that follows.
 *
 * Raft's replication (USENIX ATC '14, section 5.3 and figure 8): appends carry the position before them; an entry counts as
 * committed only once one of the leader's own ballot is durable at a majority. Appends are pipelined within a window.
 *
 * Pure.
 */
import { type StoreId } from '../../membership/configuration.ts'
import { compareBallots, type Entry, majorityOf } from './history.ts'
import { type Leader } from './leader.ts'
import { type GroupMessage } from './messages.ts'

interface Follower {
  /** Durable there and equal to the leader's history, up to here. */
  match: number
  /** The next entry to send. Invariant: `next > match`. */
  next: number
  /** The commit point last told. */
  told: number
  /** The highest epoch whose placement it knows to be carried out. */
  settled: number
  progressAt: number
  /** It must be taught before it can follow. */
  lagging: boolean
}

export class Followers {
  readonly #leader: Leader
  readonly #followers = new Map<StoreId, Follower>()
  /** The leader's own history is durable up to here. */
  durable = 0

  constructor (leader: Leader) {
    this.#leader = leader
    const { group, self } = leader.replica
    for (const member of group!.members) {
      if (member !== self) this.#followers.set(member, { match: -1, next: 1, told: 0, settled: 0, progressAt: -Infinity, lagging: false })
    }
  }

  /** Starts to replicate from a follower's sealed position. */
  begin (sealed: ReadonlyMap<StoreId, GroupMessage & { kind: 'sealed' }>): void {
    const { copy, replica } = this.#leader
    for (const [member, follower] of this.#followers) {
      const answer = sealed.get(member)
      const ballot = answer?.level === true && answer.last.seq <= copy.last ? replica.ballotAt(answer.last.seq) : undefined
      const equal = ballot !== undefined && compareBallots(answer!.last.ballot, ballot) === 0
      // Where the end of its history is part of ours all of it is; else only what it knows to be committed is certain.
      follower.next = (answer === undefined ? copy.last : equal ? answer.last.seq : Math.min(answer.commit, copy.last)) + 1
      follower.lagging = answer !== undefined && !answer.level
    }
  }

  /** What a member holds durably of the leader's history; -1 when unknown. */
  holds (member: StoreId): number {
    if (member === this.#leader.replica.self) return this.durable
    const follower = this.#followers.get(member)
    return follower === undefined || follower.lagging ? -1 : follower.match
  }

  isLagging (member: StoreId): boolean {
    return this.#followers.get(member)?.lagging === true
  }

  /** The highest number that a majority of the group has durably. */
  committed (): number {
    const { group } = this.#leader.replica
    const held = group!.members.map(member => this.holds(member)).sort((a, b) => b - a)
    return held[majorityOf(group!.members.length) - 1]!
  }

  /** Sends every follower what it lacks, within its window. */
  replicate (now: number): void {
    for (const [member, follower] of this.#followers) this.#send(now, member, follower, false)
  }

  /** Sends new entries within the window; with `always`, at least an empty append that tells the commit point. */
  #send (now: number, member: StoreId, follower: Follower, always: boolean): void {
    const { replica, copy } = this.#leader
    const { batchEntriesMax, batchBytesMax } = replica.options
    if (follower.lagging || !replica.view!.live.has(member)) return
    let wanted = always
    while (wanted || (follower.next <= copy.last && follower.next - Math.max(follower.match, 0) <= 4 * batchEntriesMax)) {
      if (!this.#reaches(follower.next - 1)) { follower.lagging = true; return }
      if (follower.match >= follower.next - 1) follower.progressAt = now
      const entries = copy.slice(follower.next, batchEntriesMax, batchBytesMax)
      this.#append(member, follower, entries)
      follower.next += entries.length
      wanted = false
    }
  }

  /** True when entries after `prev` can be sent as appends: the position is known and nothing after it has lost its values. */
  #reaches (prev: number): boolean {
    const { replica, copy } = this.#leader
    return prev >= copy.valueFloor && replica.ballotAt(prev) !== undefined
  }

  #append (member: StoreId, follower: Follower, entries: readonly Entry[]): void {
    const { replica, copy, ballot } = this.#leader
    follower.told = copy.commit
    const prev = { ballot: replica.ballotAt(follower.next - 1)!, seq: follower.next - 1 }
    replica.out.send(member, {
      kind: 'append', generation: replica.group!.generation, ballot, prev, entries, commit: copy.commit, settled: this.#leader.settledEpoch
    })
  }

  appended (now: number, from: StoreId, { seq, settled }: GroupMessage & { kind: 'appended' }): void {
    const follower = this.#followers.get(from)
    const { copy } = this.#leader
    if (follower === undefined || seq > copy.last) return
    follower.settled = Math.max(follower.settled, settled)
    if (seq >= copy.valueFloor) follower.lagging = false
    if (seq > follower.match) {
      follower.match = seq
      follower.progressAt = now
    }
    follower.next = Math.max(follower.next, follower.match + 1)
  }

  mismatch (now: number, from: StoreId, commit: number): void {
    const follower = this.#followers.get(from)
    if (follower === undefined) return
    follower.next = Math.max(follower.match, Math.min(commit, this.#leader.copy.last)) + 1
    follower.progressAt = now
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
    follower.next = follower.match + 1
    this.#send(now, member, follower, true)
  }

  /** Sends again what was not acknowledged in time, and the commit point where nothing else carries it. */
  tick (now: number): void {
    const { replica, copy } = this.#leader
    for (const [member, follower] of this.#followers) {
      if (follower.lagging || !replica.view!.live.has(member)) continue
      const unacknowledged = follower.match < copy.last
      const late = now - follower.progressAt >= replica.options.retryMs
      const untold = follower.told < copy.commit || follower.settled < this.#seatEpoch(member)
      if (unacknowledged && late) {
        if (follower.match >= 0) follower.next = follower.match + 1
        follower.progressAt = now
        this.#send(now, member, follower, true)
      } else if (untold && (late || follower.told < copy.commit)) {
        follower.progressAt = now
        this.#send(now, member, follower, true)
      }
    }
  }

  /** The epoch of a member's seat, once the placement that gave it is this group; else 0. */
  #seatEpoch (member: StoreId): number {
    const { view } = this.#leader.replica
    if (this.#leader.settledEpoch === 0) return 0
    const index = view!.seats.indexOf(member)
    return index < 0 ? 0 : view!.seatEpochs[index]!
  }
}
