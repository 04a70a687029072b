/**
 * Values that expire: the leader counts the partition's time, and removes by entries of the log what is due.
 *
 * The partition has a time of its own, in milliseconds, which is a part of its history: whatever a leader logs about values that expire
 * tells it. Within one lead it runs with the leader's monotonic clock; the next leader goes on from what the history told last. So of
 * any two entries the times differ by no more than what passed between them, whoever logged them, and whatever wall clocks say: a value
 * may be removed later than it should be, never earlier. What passes without a leader, or since the history was last told, does not
 * count; so while values wait to expire a leader tells the time now and then.
 *
 * What expired is there until an entry removes it, and gone when that is committed, like with any deletion; nobody looks at a clock to
 * answer a read. The leader finds what is due in an index on its disk (see ../storage/expiry-index.ts), whose records may be out of
 * date; so an entry removes only versions that are still the last ones at the end of the log. Nothing is missed: a look is at the time
 * up to `time` once the data has all that was logged until then, and whatever is logged later expires after `time`.
 *
 * Pure: a part of the leader.
 */
import type { Operation } from '../client-protocol.ts'
import type { Expiring } from './effects.ts'
import { type Change, CHANGED_KEYS_BYTES_MAX, ownOperation } from './history.ts'
import type { Leader } from './leader.ts'

/**
 * Times to live are rounded up to steps of which they have so many at least. A key that is written again and again leaves a record in
 * the index each time; the records of one step are one.
 */
const STEPS_MIN = 32

/** One look at the index. */
type Look =
  /** Until the data has all entries up to `seq`, which were logged by `time`. */
  | { readonly kind: 'applying', readonly seq: number, readonly time: number }
  | { readonly kind: 'reading', readonly token: number, readonly time: number }
  /** The versions of what is due are being read. */
  | { readonly kind: 'checking' }
  /** Until the entries up to `seq`, which remove it, are committed. */
  | { readonly kind: 'removing', readonly seq: number }

export class Expiry {
  readonly #leader: Leader
  /** The partition's time when this leader adopted its history, and when that was. */
  #base = 1
  #since = 0
  /** The time that the history told last. */
  #told = 0
  /** The last entry that was logged for that alone. */
  #stamp = 0
  /** Nothing expires before. */
  #earliest = Infinity
  /** The same for what was logged since the present look began. */
  #later = Infinity
  #look: Look | undefined
  /** What the index has up to here was dealt with. */
  #after: Expiring | null = null

  constructor (leader: Leader) {
    this.#leader = leader
  }

  /** The history is adopted. */
  begin (now: number): void {
    const { time } = this.#leader.copy
    this.#told = time
    this.#base = Math.max(1, time)
    this.#since = now
    // Where the time was never told, nothing expires.
    this.#earliest = time === 0 ? Infinity : 0
  }

  #time (now: number): number {
    return this.#base + Math.floor(now - this.#since)
  }

  /** What operations do that are logged now, with a copy of their bytes: the frame they arrived in is not kept alive by the log. */
  changes (operations: readonly Operation[]): { readonly operations: readonly Change[], readonly time?: number } {
    let time: number | undefined
    const changes = operations.map((operation): Change => {
      const key = new Uint8Array(operation.key)
      if (operation.kind === 'del') return { kind: 'del', key }
      const value = new Uint8Array(operation.value)
      if (operation.ttlMs === undefined) return { kind: 'put', key, value }
      time ??= this.#tell(this.#leader.replica.now)
      const expires = expiryOf(time, operation.ttlMs)
      this.#earliest = Math.min(this.#earliest, expires)
      this.#later = Math.min(this.#later, expires)
      return { kind: 'put', key, value, expires }
    })
    return time === undefined ? { operations: changes } : { operations: changes, time }
  }

  /** The time that goes with what is logged now. */
  #tell (now: number): number {
    return this.#told = this.#time(now)
  }

  /** True when nothing that this leader knows of will expire. */
  get idle (): boolean { return this.#earliest === Infinity && this.#look === undefined }

  tick (now: number): void {
    const leader = this.#leader
    const { copy, replica: { out, options } } = leader
    if (leader.phase !== 'serving') return
    const time = this.#time(now)
    if (this.#look?.kind === 'removing' && copy.commit >= this.#look.seq) this.#look = undefined
    if (this.#look === undefined && time >= this.#earliest) {
      this.#look = { kind: 'applying', seq: copy.last, time }
      this.#later = Infinity
    }
    if (this.#look?.kind === 'applying' && copy.applied >= this.#look.seq) {
      const token = out.token()
      // One more than is taken, to know when the next is due.
      out.push({ kind: 'expiring', token, copy: copy.number, after: this.#after, limit: options.expiryBatchMax + 1 })
      this.#look = { kind: 'reading', token, time: this.#look.time }
    }
    // Not again and again while nothing is committed.
    if (this.#earliest < Infinity && time - this.#told >= options.expiryStampMs && copy.commit >= this.#stamp) {
      this.#stamp = leader.append({ kind: 'noop', time: this.#tell(now) }).seq
      leader.flush(now)
    }
  }

  /** What the index has next. */
  found (token: number, records: readonly Expiring[]): void {
    const look = this.#look
    if (look?.kind !== 'reading' || look.token !== token) return
    const { replica: { options }, writes } = this.#leader
    const due = records.filter(({ expires }) => expires <= look.time).slice(0, options.expiryBatchMax)
    const next = records[due.length]?.expires ?? Infinity
    this.#earliest = Math.min(next, this.#later)
    this.#look = undefined
    if (due.length === 0) return
    this.#look = { kind: 'checking' }
    writes.holding(due.map(({ key, seq }) => ({ kind: 'del', key, ifVersion: seq })), holding => {
      if (this.#leader.phase !== 'serving') { this.clear(); return }
      this.#remove(holding.map(({ key }) => key), Math.min(look.time, next - 1))
      this.#after = due.at(-1)!
    })
  }

  /** Logs that keys are gone, and with the last of them that everything is that expires up to `swept`. */
  #remove (keys: readonly Uint8Array[], swept: number): void {
    const { writes, copy, replica: { now } } = this.#leader
    const time = this.#tell(now)
    let operations: Change[] = []
    let bytes = 0
    const log = (upTo: number): void => {
      writes.append({ kind: 'write', id: ownOperation(copy.last + 1), operations, time, swept: upTo })
      operations = []
      bytes = 0
    }
    for (const key of keys) {
      // As many as the change index can remember, so that a store that was away is brought up to date by a delta.
      if (operations.length > 0 && bytes + key.length > CHANGED_KEYS_BYTES_MAX) log(0)
      operations.push({ kind: 'del', key })
      bytes += key.length
    }
    log(swept)
    this.#look = { kind: 'removing', seq: copy.last }
  }

  /** Gives up the look that is under way, to begin another one. */
  clear (): void {
    if (this.#look === undefined) return
    this.#look = undefined
    this.#earliest = 0
  }
}

/** The time at which a value expires that is logged at `time`. */
export function expiryOf (time: number, ttlMs: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(ttlMs / STEPS_MIN)))
  return Math.ceil((time + ttlMs) / step) * step
}
