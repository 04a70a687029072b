/**
 * The receiving end of a transfer: fills a new copy from a snapshot and the live tail, or brings the live copy up to date from a delta
 * or the tail.
 *
 * Rule S6: a learner receives committed entries only; where snapshot and tail speak of one key, the higher number wins, absences
 * included. A snapshot fills a new copy number, which becomes the live copy in one batch when all its pieces are in and the tail has
 * come to everything that they may tell of; until then it promises nothing to anybody, and a restart drops it. Rule S2 follows:
 * the live copy is a prefix of the history at every moment.
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { Copy, keyText } from './copy.ts'
import type { StoreWrite } from './effects.ts'
import { eraOf } from './forced.ts'
import { type Ballot, compareBallots, type Entry, NO_BALLOT } from './history.ts'
import { type GroupMessage, sameKey } from './messages.ts'
import type { PartitionView } from './replica-contract.ts'
import type { Replica } from './replica.ts'

type Teaching = GroupMessage & { kind: 'learn' | 'chunk' | 'delta' | 'tail' }

/** A snapshot that is not whole yet. */
interface Partial {
  readonly copy: Copy
  /** The entries up to here are in the snapshot by themselves; what the tail brings comes after. */
  readonly start: number
  /** The last key received; null before the first. */
  cursor: Uint8Array | null
  /** The pieces tell of entries up to here. Only with all of them is the copy a prefix of the history. */
  reach: number
  /**
   * The number of the newest change of a key that the tail brought: a piece may be older, if it is no change up to `told`.
   * So this is what comes in between two pieces or so, however long the whole takes.
   */
  readonly newest: Map<string, number>
  /** Where this copy stood after the last piece. The teacher was told of that before it read the next one, which has all up to there. */
  told: number
  /** The last piece is in: it becomes live as soon as it may. */
  scanned: boolean
}

export class Learner {
  readonly #replica: Replica
  #partial: Partial | undefined
  /** The highest right to teach seen so far; lower ones are refused. */
  #generation = -1
  #ballot: Ballot = NO_BALLOT
  /** The latest of that teacher's numbered messages that came in. */
  #round = 0
  #transfer = 0
  /** The epoch of the placement on which the last teacher acted. */
  placementEpoch = 0

  constructor (replica: Replica) {
    this.#replica = replica
  }

  get active (): boolean { return this.#partial !== undefined }

  /** Whether anybody may go on with a half copy here: this store is a member, or has a seat, or is said to have one by a placement to come. */
  #isWanted (view: PartitionView): boolean {
    const { isMember, self } = this.#replica
    return isMember || view.epoch < this.placementEpoch || view.seats.includes(self)
  }

  /** Drops a half copy whose seat is gone. A whole copy stays until a leader releases it: it may have been counted on. */
  viewChanged (view: PartitionView): void {
    if (this.#partial !== undefined && !this.#isWanted(view)) this.#drop(this.#partial)
  }

  /**
   * Drops a half copy that nobody goes on with: its first piece was on its way when the seat went, its generation ended without this store,
   * or the live copy has come by it with appends.
   */
  tick (): void {
    const partial = this.#partial
    if (partial === undefined) return
    const { view, copy, disk } = this.#replica
    const isOvertaken = copy !== undefined && copy.commit >= partial.copy.commit
    if (!isOvertaken && (view === undefined || this.#isWanted(view))) return
    this.#drop(partial)
    disk.persist([])
  }

  receive (now: number, from: StoreId, message: Teaching): void {
    if (!this.#obeys(now, from, message)) return
    switch (message.kind) {
      case 'learn': this.#learn(from, message); return
      case 'chunk': this.#chunk(from, message); return
      case 'delta': this.#delta(from, message); return
      case 'tail': this.#tail(from, message); return
    }
  }

  /** A learner is taught in the generation that it knows, by the highest ballot in it that it has heard of. */
  #obeys (now: number, from: StoreId, message: Teaching): boolean {
    const replica = this.#replica
    const { generation, ballot } = message
    const known = replica.group?.generation ?? -1
    if (generation < known) { replica.out.send(from, { kind: 'chain', group: replica.group! }); return false }
    if (generation > known) {
      if (message.kind !== 'learn') { replica.out.send(from, { kind: 'unknown', generation: known }); return false }
      replica.generations.adopt(now, message.group, ballot)
      // A history that a force has ended is taught to nobody.
      if (replica.group?.generation !== generation) return false
    }
    const own = this.#generation === generation ? this.#ballot : NO_BALLOT
    const fence = compareBallots(replica.promised, own) > 0 ? replica.promised : own
    if (compareBallots(ballot, fence) < 0) {
      replica.out.send(from, { kind: 'refused', generation, promised: fence })
      return false
    }
    // A leader that is taught by somebody else leads no more: its copy may be replaced under it.
    replica.sawBallot(now, ballot)
    if (this.#generation !== generation || compareBallots(ballot, own) > 0) this.#round = 0
    this.#generation = generation
    this.#ballot = ballot
    if (message.kind !== 'tail') this.#round = Math.max(this.#round, message.round)
    return true
  }

  #learn (from: StoreId, message: GroupMessage & { kind: 'learn' }): void {
    const { view, out, isMember, seat, copy, group } = this.#replica
    if (view?.epoch === message.placementEpoch && view.digest !== message.digest) {
      out.push({ kind: 'fault', message: `the placement of epoch ${view.epoch} has digest ${view.digest} here and ${message.digest} at ${from}` })
      return
    }
    // It is no second time where the partition was forced since: the copy ends in a history that did not go on.
    if (!isMember && seat.completed && seat.epoch === message.transfer && copy !== undefined && eraOf(copy.commit) === eraOf(group!.base)) {
      out.ledger(message.transfer, 'duplicates')
      out.push({ kind: 'fault', message: `transfer of epoch ${message.transfer} is complete and was asked for again by ${from}` })
      return
    }
    this.#replica.leftover.keep()
    this.#transfer = message.transfer
    this.placementEpoch = message.placementEpoch
    this.#report(from)
  }

  /**
   * Says where this learner stands, once it is durable: not only the entries but also that they are committed, since a copy that
   * later misses a generation keeps only what it knows to be committed.
   */
  #report (to: StoreId): void {
    const replica = this.#replica
    const live = replica.copy
    if (this.#partial !== undefined && live !== undefined && live.commit >= this.#partial.copy.commit) this.#drop(this.#partial)
    const partial = this.#partial
    const message: GroupMessage = {
      kind: 'learned',
      generation: this.#generation,
      ballot: this.#ballot,
      round: this.#round,
      position: partial?.copy.commit ?? live?.commit ?? -1,
      whole: partial === undefined && live !== undefined,
      scanned: partial?.scanned === true,
      cursor: partial?.cursor ?? null
    }
    replica.disk.persist([], () => { replica.out.send(to, message) })
  }

  #chunk (from: StoreId, message: GroupMessage & { kind: 'chunk' }): void {
    const writes: StoreWrite[] = []
    if (message.after === null) {
      if (!this.#begin(message, writes)) { this.#report(from); return }
    }
    const partial = this.#partial
    if (partial === undefined || !sameKey(partial.cursor, message.after)) { this.#report(from); return }
    for (const [key, seq] of partial.newest) if (seq <= partial.told) partial.newest.delete(key)
    partial.told = partial.copy.commit
    let bytes = 0
    for (const item of message.items) {
      bytes += item.key.length + item.value.length
      const key = keyText(item.key)
      if ((partial.newest.get(key) ?? 0) >= item.seq) continue
      writes.push({ kind: 'item', copy: partial.copy.number, ...item })
    }
    partial.cursor = message.items.at(-1)?.key ?? partial.cursor
    partial.reach = Math.max(partial.reach, message.reach)
    this.#count(bytes)
    partial.scanned = message.done
    const durable = partial.copy.incoming()
    this.#finish(partial, writes)
    this.#replica.disk.persist(writes, durable)
    this.#report(from)
  }

  /** Begins a new snapshot, unless the message is an echo of the one that is being received. */
  #begin (message: GroupMessage & { kind: 'chunk' }, writes: StoreWrite[]): boolean {
    const { start, floor, memory, time } = message
    const before = this.#partial
    if (before !== undefined && before.copy.commit >= start) return before.start === start && before.copy.floor === floor && before.cursor === null
    const live = this.#replica.copy
    // An echo of the first piece of a snapshot that is whole by now, or was overtaken.
    if (live !== undefined && live.commit >= start) return false
    if (memory.length !== start - floor || memory.some((entry, index) => entry.seq !== floor + 1 + index)) {
      this.#replica.out.push({ kind: 'fault', message: `a snapshot at ${start} came with ${memory.length} entries after ${floor}` })
      return false
    }
    if (before !== undefined) {
      this.#drop(before)
      this.#replica.out.ledger(this.#ledgerEpoch(), 'restarted')
    }
    const copy = new Copy(this.#replica.nextCopy++, floor, start, memory, this.#replica.options, time)
    if (!this.#replica.seat.completed) this.#replica.out.ledger(this.#ledgerEpoch(), 'snapshots')
    for (const entry of memory) writes.push({ kind: 'entry', copy: copy.number, entry })
    this.#partial = { copy, start, cursor: null, reach: start, newest: new Map(), told: start, scanned: false }
    return true
  }

  /**
   * Makes a whole snapshot live, unless the live copy has all of it already.
   *
   * A live copy may end in entries that it acknowledged and that are not known to be committed here. The snapshot's end is
   * committed: where the live copy has the same entry there, it has the same history up to there, and more, which was perhaps
   * counted on; so it stays. Where it ends before, or has another entry there, nothing of what it has beyond can ever be committed.
   */
  #finish (partial: Partial, writes: StoreWrite[]): void {
    if (!partial.scanned || partial.copy.commit < partial.reach) return
    const replica = this.#replica
    const live = replica.copy
    const end = partial.copy.commit
    this.#partial = undefined
    const common = live !== undefined && live.last >= end &&
      (live.commit >= end || compareBallots(live.entry(end)!.ballot, partial.copy.entry(end)!.ballot) === 0)
    if (common) {
      live.advanceCommit(end)
      replica.disk.doom(partial.copy)
    } else replica.generations.makeLive(partial.copy, writes)
    replica.seat.levelled()
  }

  /** Brings the live copy from the end of its commits to the end of the delta, in one batch (rule S2). */
  #delta (from: StoreId, { from: start, entries, items, removed }: GroupMessage & { kind: 'delta' }): void {
    const replica = this.#replica
    const copy = replica.copy
    const end = entries.at(-1)
    if (this.#partial !== undefined || copy?.commit !== start || end === undefined) { this.#report(from); return }
    // As at the end of a snapshot: with the same entry at the end the copy has all of it, with its values.
    if (copy.last >= end.seq && compareBallots(copy.entry(end.seq)!.ballot, end.ballot) === 0) copy.advanceCommit(end.seq)
    else {
      // Older values first: what is committed here and not in the data yet goes there in this batch.
      const writes: StoreWrite[] = copy.unapplied ? copy.takeApplied() : []
      if (copy.last > start) replica.truncate(copy, start + 1, writes)
      copy.skip(entries)
      for (const entry of entries) writes.push({ kind: 'entry', copy: copy.number, entry })
      let bytes = 0
      for (const key of removed) {
        bytes += key.length
        writes.push({ kind: 'item', copy: copy.number, key, value: null, seq: end.seq })
      }
      for (const item of items) {
        bytes += item.key.length + item.value.length
        writes.push({ kind: 'item', copy: copy.number, ...item })
      }
      this.#count(bytes)
      replica.disk.persist(writes, copy.incoming())
    }
    replica.seat.levelled()
    this.#report(from)
  }

  #tail (from: StoreId, message: GroupMessage & { kind: 'tail' }): void {
    const partial = this.#partial
    const copy = partial?.copy ?? this.#replica.copy
    // A level member is brought up to date by appends; its uncommitted entries are not the tail's to touch.
    const appends = partial === undefined && this.#replica.isMember && this.#replica.level
    if (copy === undefined || appends || message.from > copy.commit) { this.#report(from); return }
    const writes: StoreWrite[] = []
    let bytes = 0
    for (const entry of message.entries) {
      if (entry.seq <= copy.commit) continue
      copy.append(entry)
      writes.push({ kind: 'entry', copy: copy.number, entry })
      bytes += this.#replay(copy, entry, partial, writes)
      copy.installed(entry.seq)
    }
    this.#count(bytes)
    // The log of the live copy forgets by itself; this one would have the whole tail in the end.
    if (partial !== undefined) writes.push(...partial.copy.compact())
    if (partial === undefined) this.#replica.seat.levelled()
    else this.#finish(partial, writes)
    if (writes.length > 0) this.#replica.disk.persist(writes, copy.incoming())
    this.#report(from)
  }

  /** Writes what an entry changes. Over a piece of the snapshot that is newer, too: the tail brings that change as well before the copy counts. */
  #replay (copy: Copy, entry: Entry, partial: Partial | undefined, writes: StoreWrite[]): number {
    if (entry.body.kind !== 'write') return 0
    let bytes = 0
    for (const operation of entry.body.operations ?? []) {
      bytes += operation.key.length + (operation.kind === 'put' ? operation.value.length : 0)
      partial?.newest.set(keyText(operation.key), entry.seq)
      const expires = operation.kind === 'put' && operation.expires !== undefined ? { expires: operation.expires } : {}
      writes.push({ kind: 'item', copy: copy.number, key: operation.key, value: operation.kind === 'put' ? operation.value : null, seq: entry.seq, ...expires })
    }
    return bytes
  }

  /** What came in belongs to a history that has ended. */
  forget (): void {
    if (this.#partial !== undefined) this.#drop(this.#partial)
  }

  #drop (partial: Partial): void {
    this.#partial = undefined
    this.#replica.disk.doom(partial.copy)
  }

  /** The epoch under which the ledger counts what comes in. */
  #ledgerEpoch (): number {
    return this.#transfer
  }

  #count (bytes: number): void {
    if (bytes > 0) this.#replica.out.ledger(this.#ledgerEpoch(), this.#replica.seat.completed ? 'repaired' : 'bytes', bytes)
  }
}
