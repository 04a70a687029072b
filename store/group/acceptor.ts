/**
 * The obedient side of a replica: promises to candidates, follows the leader, confirms that it still does.
 *
 * Rules S3 and S4. A promise is durable before it is given, an acknowledgement speaks of durable entries only (rule S2; of what the operating
 * system has, where the store's option says so), and nothing
 * below the promise is obeyed; the epoch of a message plays no part. Appends work as in Raft (USENIX ATC '14, section 5.3).
 *
 * Pure: a part of the replica core.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Copy } from './copy.ts'
import type { StoreWrite } from './effects.ts'
import { type Ballot, compareBallots, type Entry, entryBytes } from './history.ts'
import type { GroupMessage } from './messages.ts'
import type { Replica } from './replica.ts'

export class Acceptor {
  readonly #replica: Replica
  #appliedAt = 0

  constructor (replica: Replica) {
    this.#replica = replica
  }

  #refuse (to: StoreId): void {
    const { out, group, promised } = this.#replica
    out.send(to, { kind: 'refused', generation: group!.generation, promised })
  }

  /**
   * True while this store obeys that ballot. What became durable together with a later promise or generation may have undone what an
   * answer to an earlier one would speak of.
   */
  #obeys (generation: number, ballot: Ballot): boolean {
    const { group, promised, ended } = this.#replica
    return !ended && group!.generation === generation && compareBallots(promised, ballot) === 0
  }

  /** Promises to accept nothing below `ballot`, and tells where its history ends. Both are durable before the answer goes out. */
  seal (now: number, from: StoreId, ballot: Ballot): void {
    const replica = this.#replica
    if (compareBallots(ballot, replica.promised) < 0) { this.#refuse(from); return }
    replica.sawBallot(now, ballot)
    replica.promise(ballot)
    const { group, lastPosition: last, level, copy } = replica
    const { generation } = group!
    const leases = replica.deposed.left(now, from)
    const doubted = replica.doubted ? { doubted: true } as const : {}
    const message = { kind: 'sealed', generation, ballot, last, level, commit: copy?.commit ?? 0, leases, ...doubted } as const
    replica.disk.persist([], () => {
      // Where an append of this ballot has undone that end meanwhile, its leader has a majority without this store, and hears from it otherwise.
      if (!this.#obeys(generation, ballot) || !this.#isOf(last.ballot, last.seq)) return
      replica.out.send(from, { ...message, lease: replica.leases.numberFor(from) })
    })
  }

  /**
   * Says that this store has promised nobody else since. That alone would stay true without the disk; but the answer names a lease, and a
   * store that starts again remembers by its promise alone that somebody may hold one (deposed.ts).
   */
  confirm (from: StoreId, message: GroupMessage & { kind: 'confirm' }): void {
    const replica = this.#replica
    const order = compareBallots(message.ballot, replica.promised)
    if (order < 0) this.#refuse(from)
    if (order !== 0) return
    const { generation, ballot } = message
    const answer = (): void => {
      if (this.#obeys(generation, ballot)) replica.out.send(from, { ...message, kind: 'confirmed', lease: replica.leases.numberFor(from) })
    }
    if (replica.disk.promiseDurable) answer()
    else replica.disk.persist([], answer)
  }

  append (now: number, from: StoreId, message: GroupMessage & { kind: 'append' }): void {
    const replica = this.#replica
    const { out } = replica
    const { ballot, prev, entries, generation } = message
    if (compareBallots(ballot, replica.promised) < 0) { this.#refuse(from); return }
    replica.sawBallot(now, ballot)
    const raised = compareBallots(ballot, replica.promised) > 0
    if (raised) replica.promise(ballot)
    replica.election.answered()
    const { copy } = replica
    if (copy === undefined || !replica.level) {
      if (raised) replica.disk.persist([])
      out.send(from, { kind: 'lagging', generation, ballot })
      return
    }
    const fits = prev.seq <= copy.commit || (prev.seq <= copy.last && compareBallots(replica.ballotAt(prev.seq)!, prev.ballot) === 0)
    if (!fits) {
      if (raised) replica.disk.persist([])
      out.send(from, { kind: 'mismatch', generation, ballot, run: replica.run, prev: prev.seq, commit: copy.commit })
      return
    }
    const writes = this.#log(copy, entries)
    const seq = prev.seq + entries.length
    const settled = message.settled > 0 && replica.seat.settle(message.settled)
    const commit = Math.max(copy.commit, Math.min(message.commit, seq))
    const levelled = replica.doubted && message.run === replica.run && commit >= message.commit && this.#isOf(ballot, seq)
    if (levelled) replica.doubted = false
    const acknowledge = (): void => {
      if (!this.#obeys(generation, ballot)) return
      const unsynced = replica.disk.syncedLog.covers(seq) ? {} : { unsynced: true } as const
      const lease = replica.leases.numberFor(from)
      out.send(from, { kind: 'appended', generation, ballot, run: replica.run, seq, commit, settled: message.settled, lease, ...unsynced })
    }
    if (raised || settled || levelled || writes.length > 0) replica.disk.log(writes, acknowledge)
    // What came before may still be on its way to the disk: an empty persist waits for that.
    else if (out.unsettled) out.persist([], acknowledge, false)
    else acknowledge()
    this.#advance(now, copy, commit)
  }

  /** True when the entry with this number was logged under a ballot. */
  #isOf (ballot: Ballot, seq: number): boolean {
    const own = this.#replica.ballotAt(seq)
    return own !== undefined && compareBallots(own, ballot) === 0
  }

  /** Logs what is new; an entry of another ballot and everything after it gives way. */
  #log (copy: Copy, entries: readonly Entry[]): StoreWrite[] {
    const writes: StoreWrite[] = []
    let bytes = 0
    for (const entry of entries) {
      if (entry.seq <= copy.commit) continue
      if (entry.seq <= copy.last) {
        if (compareBallots(copy.entry(entry.seq)!.ballot, entry.ballot) === 0) continue
        this.#replica.truncate(copy, entry.seq, writes)
      }
      copy.append(entry)
      writes.push({ kind: 'entry', copy: copy.number, entry })
      bytes += entryBytes(entry)
    }
    this.#replica.seat.caughtUp(bytes)
    return writes
  }

  /** Takes note of a commit point. A committed stop sign ends the generation. */
  #advance (now: number, copy: Copy, commit: number): void {
    if (commit <= copy.commit) return
    if (!copy.unapplied) this.#appliedAt = now
    copy.advanceCommit(commit)
    const body = copy.entry(commit)?.body
    if (body?.kind === 'stop' && body.next.generation > this.#replica.group!.generation) this.#replica.generations.adopt(now, body.next)
  }

  /** Committed entries ride to the data on the next persist that takes them; when none comes, they go by themselves. */
  tick (now: number): void {
    const { copy, leader, options } = this.#replica
    if (copy?.unapplied === true && leader === undefined && now - this.#appliedAt >= options.applyDelayMs) this.#replica.disk.applyCommitted()
  }
}
