/**
 * The watch feed of a leader: answers who asks for the changes after a position with those that are committed, or waits for some.
 *
 * Each change is in one entry of the log, and the log is the history, so whoever asks again from where the last answer ended has
 * every change once and in order, whichever store leads. Where the log has dropped the values of a change that was asked for, or the
 * entry itself, the answer is WATCH_TOO_OLD: nothing is passed over. A poll is confirmed like a read, so that a leader which was
 * deposed and does not know it keeps nobody waiting for changes that others commit.
 *
 * Pure: a part of the leader.
 */
import type { ChangedEntry } from '../client-protocol.ts'
import { keyText } from './copy.ts'
import type { Answer } from './effects.ts'
import { changedBy, type Entry } from './history.ts'
import type { Leader } from './leader.ts'
import type { ReplicaInput } from './replica-contract.ts'

export type WatchRequest = ReplicaInput & { kind: 'watch' }

/** Polls that wait at one partition. Beyond it, STORE_OVERLOADED. */
const WAITERS_MAX = 1000
/** A poll that met nothing for so large a part of the log is answered, so that whoever asked does not fall behind the log's end. */
const SKIPPED_PART = 4

/** An answer ends with the entry that gives it so many changes: it is one message, which has a million values, of which a change is five. */
const CHANGES_MAX = 10_000

/** A poll that waits. */
interface Waiter {
  readonly request: WatchRequest
  /** Nothing up to here was asked for. */
  seen: number
  /** When it is answered without a change; known from the first tick on. */
  until: number
}

export class Feed {
  readonly #leader: Leader
  /** Polls that wait until this leader serves. */
  #queue: WatchRequest[] = []
  readonly #unconfirmed = new Set<WatchRequest>()
  readonly #waiters = new Set<Waiter>()

  constructor (leader: Leader) {
    this.#leader = leader
  }

  request (request: WatchRequest): void {
    if (this.#queue.length + this.#unconfirmed.size + this.#waiters.size >= WAITERS_MAX) {
      this.#refuse(request, 'STORE_OVERLOADED', `${WAITERS_MAX} watchers wait at this partition`)
      return
    }
    if (!this.#leader.serving) { this.#queue.push(request); return }
    this.#unconfirmed.add(request)
    this.#leader.confirmations.ask(() => {
      this.#unconfirmed.delete(request)
      this.#begin(request)
    })
  }

  #begin (request: WatchRequest): void {
    const { commit } = this.#leader.copy
    const { after } = request.watch
    if (after < 0) this.#answer(request, [], commit)
    else if (after > commit) this.#refuse(request, 'STORE_INVALID_OPTIONS', `the cursor names position ${after} of a partition whose history ends at ${commit}`)
    else {
      const waiter = { request, seen: after, until: Infinity }
      this.#waiters.add(waiter)
      this.#look(waiter)
    }
  }

  /** Answers a waiter if something that it asked for is committed. */
  #look (waiter: Waiter): void {
    const { copy, replica: { options } } = this.#leader
    const { request } = waiter
    const { after, prefix, bytesMax } = request.watch
    if (waiter.seen < copy.floor) { this.#tooOld(waiter); return }
    const found: ChangedEntry[] = []
    let [bytes, changes] = [0, 0]
    while (waiter.seen < copy.commit && bytes < bytesMax && changes < CHANGES_MAX) {
      const entry = copy.entry(waiter.seen + 1)!
      const changed = changesOf(entry, prefix)
      if (changed === undefined) {
        // What was found before it is whole. Whoever asks for the rest is told then.
        if (found.length > 0) break
        this.#tooOld(waiter)
        return
      }
      waiter.seen++
      if (changed.changes.length === 0) continue
      found.push(changed)
      changes += changed.changes.length
      for (const { key, value } of changed.changes) bytes += key.length + (value?.length ?? 0)
    }
    if (found.length === 0 && waiter.seen - after < options.logEntriesMax / SKIPPED_PART) return
    this.#waiters.delete(waiter)
    this.#answer(request, found, waiter.seen)
  }

  #tooOld (waiter: Waiter): void {
    this.#waiters.delete(waiter)
    const { after } = waiter.request.watch
    this.#refuse(waiter.request, 'WATCH_TOO_OLD', `the changes after ${after} are not all remembered any more; this partition has the values after ${this.#leader.copy.valueFloor}`)
  }

  #answer ({ ticket }: WatchRequest, entries: readonly ChangedEntry[], upTo: number): void {
    this.#leader.replica.out.respond(ticket, { kind: 'changes', entries, upTo, seq: this.#leader.copy.commit })
  }

  #refuse ({ ticket }: WatchRequest, code: (Answer & { kind: 'error' })['code'], message: string): void {
    const { out, view } = this.#leader.replica
    out.respond(ticket, { kind: 'error', code, message, definite: true, epoch: view!.epoch })
  }

  /** The commit point has advanced. Called before anything newly committed can lose its values. */
  committed (): void {
    for (const waiter of [...this.#waiters]) this.#look(waiter)
  }

  /** Answers those who have waited long enough, so that they know that they are not forgotten, and how far they are. */
  tick (now: number): void {
    for (const waiter of [...this.#waiters]) {
      if (waiter.until === Infinity) waiter.until = now + waiter.request.watch.waitMs
      if (now < waiter.until) continue
      this.#waiters.delete(waiter)
      this.#answer(waiter.request, [], waiter.seen)
    }
  }

  get idle (): boolean { return this.#waiters.size + this.#unconfirmed.size + this.#queue.length === 0 }

  /** Serves what waited for the phase `serving`. */
  resume (now: number): void {
    const queue = this.#queue
    this.#queue = []
    for (const request of queue) this.#leader.request(now, request)
  }

  /** Gives up everything; all of it may be asked again elsewhere. Confirmations are the leader's to drop. */
  takeUntouched (): WatchRequest[] {
    const requests = [...this.#unconfirmed, ...this.#queue, ...[...this.#waiters].map(({ request }) => request)]
    this.#unconfirmed.clear()
    this.#queue = []
    this.#waiters.clear()
    return requests
  }
}

const startsWith = (key: Uint8Array, prefix: Uint8Array): boolean =>
  key.length >= prefix.length && Buffer.compare(key.subarray(0, prefix.length), prefix) === 0

/**
 * What an entry changes of the keys with a prefix: of several operations on one key the last, in the order of these. Undefined when
 * it changes, or may change, such keys, and their values are not in the log any more.
 */
export function changesOf (entry: Entry, prefix: Uint8Array): ChangedEntry | undefined {
  const { seq, body } = entry
  if (body.kind !== 'write') return { seq, changes: [] }
  const expired = body.swept === undefined ? {} : { expired: true } as const
  if (body.operations === null) {
    const changed = changedBy(entry)
    return changed === undefined || changed.keys.some(key => startsWith(key, prefix)) ? undefined : { seq, changes: [] }
  }
  const last = new Map<string, ChangedEntry['changes'][number]>()
  for (const operation of body.operations) {
    if (!startsWith(operation.key, prefix)) continue
    const name = keyText(operation.key)
    last.delete(name)
    last.set(name, { key: operation.key, value: operation.kind === 'put' ? operation.value : null })
  }
  return { seq, ...expired, changes: [...last.values()] }
}
