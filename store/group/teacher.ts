/**
 * The sending end of a transfer, one per store that the leader brings up to date: a delta where the change index reaches back to what the
 * learner has, otherwise a snapshot in pieces; and the live tail.
 *
 * One piece of the snapshot is under way at a time, beside a bounded window of tail entries. Nothing is remembered of what was
 * sent: whenever the learner is silent it is asked where it stands, durably, and the transfer goes on from there; so a transfer
 * survives lost messages and a change of the leader alike (rules S6, S11).
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Memory } from './copy.ts'
import { composeDelta, type DeltaPlan, planDelta } from './delta.ts'
import type { Found } from './effects.ts'
import type { HandoverState } from './handover.ts'
import { entryBytes } from './history.ts'
import type { Leader } from './leader.ts'
import { type GroupMessage, type Item, sameKey } from './messages.ts'
import { RoundTrip } from './round-trip.ts'

/** A transfer holds nobody up, so its questions may get rare where answers take long. */
const DELAY_FACTOR_MAX = 32
/** A delta is one message, and one batch at the learner: it may be as large as so many pieces of a snapshot, about. */
const DELTA_CHUNKS_MAX = 16

/** Messages of the tail under way to a learner, at most; each has `batchBytesMax`, or one entry that is larger. */
const TAILS_MAX = 4

/** A learner that has not answered for so long is said to be silent. */
const SILENT_MS = 3000

/** Of all pieces but the first. */
const NO_MEMORY: Memory = Object.freeze({ entries: Object.freeze([]), floor: 0, time: 0 })

export class Teacher {
  readonly target: StoreId
  /** The incarnation of the target's process: what this teacher knows is about that one. */
  readonly run: number
  readonly #leader: Leader
  readonly #transfer: number
  /** True while this teacher holds one of the node's places for transfers: until the learner's copy is whole. */
  #placed = false
  #whole = false
  /** The learner's durable position; -1 when it has none. */
  #position = -1
  #cursor: Uint8Array | null = null
  #sentTail = 0
  /** Where the messages of the tail end that the learner has not answered. Invariant: at most TAILS_MAX, ascending. */
  #tails: number[] = []
  /** The number of the last question or piece sent. What the learner said before it got that one is old, and counts for nothing. */
  #round = Infinity
  #askedAt = -Infinity
  #progressAt = -Infinity
  /** When the question or piece number `#round` was sent; undefined once it is answered. */
  #unansweredSince: number | undefined
  readonly #roundTrip: RoundTrip
  #resync = true
  #scan: { readonly token: number, readonly after: Uint8Array | null, readonly start: number } | undefined
  /** A delta whose values are being read. */
  #delta: { readonly token: number, readonly plan: DeltaPlan } | undefined
  /** What the learner said it lacks, waiting for the data to reach its position. */
  #wanted: { readonly after: Uint8Array | null } | undefined

  constructor (leader: Leader, target: StoreId, transfer: number) {
    this.#leader = leader
    this.target = target
    this.run = leader.replica.view!.live.get(target)!
    this.#transfer = transfer
    this.#roundTrip = new RoundTrip(leader.replica.options.retryMs, DELAY_FACTOR_MAX, leader.replica.slowness)
  }

  /** What this transfer waits for; `ending` when the copy is whole. */
  state (now: number): HandoverState {
    if (this.#whole) return 'ending'
    if (!this.#placed) return 'place'
    if (this.throttled(now)) return 'rate'
    return this.#unansweredSince !== undefined && now - this.#unansweredSince >= SILENT_MS ? 'silent' : 'copying'
  }

  /** The position that the learner holds durably as a whole copy, or -1. */
  get holds (): number { return this.#whole ? this.#position : -1 }

  get #deltaBytesMax (): number { return DELTA_CHUNKS_MAX * this.#leader.replica.options.chunkBytes }

  /** The entries after this number are still to be sent, as far as it is known. */
  get needed (): number { return Math.min(this.#scan?.after === null ? this.#scan.start : Infinity, this.#position >= 0 ? this.#position : Infinity) }

  tick (now: number): void {
    const { replica } = this.#leader
    if (!replica.view!.live.has(this.target)) return
    if (!this.#placed && !this.#whole) {
      if (!replica.transfers.acquire(this, this.#liveReplicas)) return
      this.#placed = true
    }
    // What waits for its turn is not lost: asking again would only say so.
    if (this.throttled(now)) this.#progressAt = now
    // An answer counts only for the last question, so the next one must not come before the answer can.
    const { delayMs } = this.#roundTrip
    const waits = !this.#whole || this.#position < this.#leader.copy.commit
    const reading = this.#scan !== undefined || this.#delta !== undefined
    if (waits && now - this.#progressAt >= delayMs && now - this.#askedAt >= delayMs && !reading) this.#ask(now)
    else this.#continue(now)
  }

  /** Members of the group that are there and have everything: what is left if no copy is added. */
  get #liveReplicas (): number {
    const { replica, followers } = this.#leader
    return replica.group!.members.filter(member => replica.view!.live.has(member) && !followers.isLagging(member)).length
  }

  /** The next piece waits because this store sends enough already. */
  throttled (now: number): boolean {
    return this.#wanted !== undefined && this.#scan === undefined && !this.#leader.replica.transfers.ready(now)
  }

  #ask (now: number): void {
    const { replica, ballot } = this.#leader
    if (this.#unansweredSince !== undefined) this.#roundTrip.missed()
    this.#askedAt = now
    this.#unansweredSince = now
    this.#resync = true
    this.#round = this.#leader.handover.nextRound()
    const { view, group } = replica
    replica.out.send(this.target, {
      kind: 'learn',
      generation: group!.generation,
      ballot,
      round: this.#round,
      group: group!,
      transfer: this.#transfer,
      placementEpoch: view!.epoch,
      digest: view!.digest
    })
  }

  learned (now: number, { round, position, whole, scanned, cursor }: GroupMessage & { kind: 'learned' }): void {
    if (round < this.#round) return
    if (this.#unansweredSince !== undefined) this.#roundTrip.answered(now - this.#unansweredSince)
    this.#unansweredSince = undefined
    const { copy } = this.#leader
    // Reports that say nothing new are no progress: a lost piece of the tail is noticed even while later ones are answered.
    if (this.#resync || position > this.#position || !sameKey(cursor, this.#cursor)) this.#progressAt = now
    this.#position = position
    this.#cursor = cursor
    if (this.#resync) {
      this.#sentTail = position
      this.#tails = []
    }
    this.#tails = this.#tails.filter(end => end > position)
    this.#resync = false
    // A member goes on by appends, which name the ballot of the entry before them.
    const reaches = position >= copy.valueFloor && this.#leader.replica.ballotAt(position) !== undefined
    this.#whole = whole && reaches
    if (this.#whole) this.close()
    else if (whole && this.#readDelta()) return
    else if (!reaches || !scanned) this.#wanted = { after: reaches ? cursor : null }
    this.#continue(now)
  }

  /** Reads what changed since the learner's position. Returns false when that is not known, or so much that a snapshot is better. */
  #readDelta (): boolean {
    if (this.#delta !== undefined || this.#scan !== undefined) return true
    const { replica, copy } = this.#leader
    const plan = planDelta(copy, this.#position, this.#deltaBytesMax)
    if (plan === undefined) return false
    const token = replica.out.token()
    this.#delta = { token, plan }
    replica.out.push({ kind: 'fetch', token, copy: copy.number, keys: plan.keys })
    return true
  }

  /** The values of a delta were read. Returns false when they were not for this teacher. */
  fetched (now: number, token: number, values: Found): boolean {
    const delta = this.#delta
    if (delta?.token !== token) return false
    this.#delta = undefined
    const { replica, copy, ballot } = this.#leader
    const message = composeDelta(copy, delta.plan, values, this.#deltaBytesMax)
    // So much is being written that a snapshot, beside which the tail can go on, is better.
    if (message === undefined) {
      this.#wanted = { after: null }
      this.#continue(now)
      return true
    }
    this.#progressAt = now
    this.#unansweredSince = now
    this.#round = this.#leader.handover.nextRound()
    this.#resync = true
    replica.transfers.spend(now, message.items.reduce((bytes, { key, value }) => bytes + key.length + value.length, 0))
    replica.out.send(this.target, { kind: 'delta', generation: replica.group!.generation, ballot, round: this.#round, ...message })
    return true
  }

  /** Sends what the learner lacks and can take: the next piece of the snapshot, the tail. */
  #continue (now: number): void {
    const { replica, copy } = this.#leader
    const wanted = this.#wanted
    // Resuming at a key is sound only if the data here has everything that the learner's tail already brought it.
    const resumable = wanted !== undefined && (wanted.after === null || copy.applied >= this.#position)
    if (resumable && this.#scan === undefined && replica.transfers.ready(now)) {
      this.#wanted = undefined
      const token = replica.out.token()
      this.#scan = { token, after: wanted.after, start: copy.applied }
      replica.out.push({ kind: 'scan', token, copy: copy.number, after: wanted.after, bytesMax: replica.options.chunkBytes })
    }
    this.committed(now)
  }

  /** Entries were committed: passes them on. */
  committed (now: number): void {
    const { replica, copy, ballot } = this.#leader
    const { batchEntriesMax, batchBytesMax } = replica.options
    if (this.#resync || this.#position < copy.valueFloor || this.#sentTail >= copy.commit) return
    if (this.#tails.length >= TAILS_MAX) return
    const from = Math.max(this.#sentTail, this.#position)
    const entries = copy.slice(from + 1, batchEntriesMax, batchBytesMax, copy.commit)
    this.#sentTail = from + entries.length
    this.#tails.push(this.#sentTail)
    replica.transfers.spend(now, entries.reduce((bytes, entry) => bytes + entryBytes(entry), 0))
    replica.out.send(this.target, { kind: 'tail', generation: replica.group!.generation, ballot, from, entries })
  }

  /** A piece of the snapshot was read. Returns false when it was not for this teacher. */
  scanned (now: number, token: number, items: readonly Item[], done: boolean): boolean {
    const scan = this.#scan
    if (scan?.token !== token) return false
    this.#scan = undefined
    const { replica, copy, ballot } = this.#leader
    const first = scan.after === null
    // Compaction overtook the beginning: read again from a later one.
    if (first && scan.start < copy.valueFloor) {
      this.#wanted = { after: null }
      this.#continue(now)
      return true
    }
    this.#progressAt = now
    this.#unansweredSince = now
    this.#round = this.#leader.handover.nextRound()
    this.#wanted = undefined
    if (first) this.#resync = true
    const memory = first ? copy.memory(scan.start) : NO_MEMORY
    replica.transfers.spend(now, items.reduce((bytes, { key, value }) => bytes + key.length + value.length, 0))
    replica.out.send(this.target, {
      kind: 'chunk',
      generation: replica.group!.generation,
      ballot,
      round: this.#round,
      after: scan.after,
      items,
      done,
      reach: copy.commit,
      start: first ? scan.start : 0,
      floor: memory.floor,
      time: memory.time,
      memory: memory.entries
    })
    return true
  }

  /** Gives back the place for a transfer, or the wish for one. */
  close (): void {
    this.#leader.replica.transfers.release(this)
    this.#placed = false
  }
}
