/**
 * Writes at the leader: admitted in the order in which they came, logged once each, answered when committed.
 *
 * Rule S9: a write that the log remembers is not logged again, it waits for what the log has; one that is older than the log's
 * memory is refused, since nobody knows whether it happened. While the leader does not serve, or pauses for a handover, writes wait.
 * Conditions are decided when the write is logged, and the entry remembers how (see conditions.ts).
 *
 * Pure: a part of the leader.
 */
import type { Operation } from '../client-protocol.ts'
import { Conditions } from './conditions.ts'
import type { Answer, Found, Ticket } from './effects.ts'
import type { Entry, EntryBody } from './history.ts'
import type { Leader } from './leader.ts'
import type { ReplicaInput } from './replica-contract.ts'

export type WriteRequest = ReplicaInput & { kind: 'write' }

export class Writes {
  readonly #leader: Leader
  readonly #conditions: Conditions
  /** Writes that wait for the phase `serving`. */
  #queue: WriteRequest[] = []
  /** Writes whose conditions wait for the disk. */
  readonly #reading = new Set<WriteRequest>()
  /** Who is answered when an entry is committed, by its number. */
  readonly #waiters = new Map<number, Ticket[]>()
  #waiting = 0

  constructor (leader: Leader) {
    this.#leader = leader
    this.#conditions = new Conditions(leader)
  }

  /** Writes that were not answered yet. */
  get pending (): number { return this.#waiting + this.#queue.length + this.#reading.size }

  request (request: WriteRequest): void {
    if (this.#leader.phase === 'serving') this.#write(request)
    else this.#queue.push(request)
  }

  /** Appends a write unless the group remembers it (rule S9). */
  #write (request: WriteRequest): void {
    const { ticket, id, operations } = request
    const { copy, replica: { out, view } } = this.#leader
    const before = copy.operation(id)
    if (before !== undefined) { this.#await(before, ticket); return }
    if (id.base < 0) {
      out.respond(ticket, { kind: 'error', code: 'BASE_REQUIRED', message: 'name the base of this write', definite: true, epoch: view!.epoch, seq: copy.commit })
    } else if (id.base < copy.floor) {
      const message = `the write was first sent at ${id.base}; this partition remembers writes after ${copy.floor}`
      out.respond(ticket, { kind: 'error', code: 'OPERATION_EXPIRED', message, definite: false, epoch: view!.epoch, seq: copy.commit })
    } else if (id.base > copy.last) {
      // So much of the history was lost (see doubt.ts). Logged below its base, the write would be forgotten before its base is.
      const message = `the write was first sent at ${id.base}; the history of this partition ends at ${copy.last} now`
      out.respond(ticket, { kind: 'error', code: 'OPERATION_EXPIRED', message, definite: false, epoch: view!.epoch, seq: copy.commit })
    } else {
      const unknown = this.#conditions.unknown(operations)
      if (unknown.length === 0) this.#log(request)
      else this.#read(request, unknown)
    }
  }

  /** Asks the disk for the versions that the conditions of a write need. By then the write may be remembered, or the leader pause. */
  #read (request: WriteRequest, keys: readonly Uint8Array[]): void {
    this.#reading.add(request)
    this.#conditions.read(keys, () => {
      this.#reading.delete(request)
      this.request(request)
    })
  }

  #log ({ ticket, id, operations }: WriteRequest): void {
    const failed = this.#conditions.failed(operations)
    const entry = this.append(failed === undefined ? { kind: 'write', id, ...this.#leader.expiry.changes(operations) } : { kind: 'write', id, operations: [], failed })
    this.#await(entry.seq, ticket)
  }

  /** Logs a write, whoever wants it. */
  append (body: EntryBody & { kind: 'write' }): Entry {
    const entry = this.#leader.append(body)
    this.#conditions.appended(entry)
    return entry
  }

  /**
   * Those of some operations whose conditions hold, in the moment in which `then` is called and may log them. Forgotten, silently, with
   * `takeUntouched`.
   */
  holding (operations: readonly Operation[], then: (holding: readonly Operation[]) => void): void {
    this.#conditions.read(operations.map(({ key }) => key), () => { then(operations.filter(operation => this.#conditions.holds(operation))) })
  }

  /** The disk answered. Returns false when it was not for a write. */
  fetched (token: number, found: Found): boolean {
    return this.#conditions.fetched(token, found)
  }

  /** Answers a write once its entry is committed. */
  #await (seq: number, ticket: Ticket): void {
    const { copy } = this.#leader
    if (seq <= copy.commit) { this.#answer(copy.entry(seq)!, ticket); return }
    const tickets = this.#waiters.get(seq)
    if (tickets === undefined) this.#waiters.set(seq, [ticket])
    else tickets.push(ticket)
    this.#waiting++
  }

  #answer ({ seq, body }: Entry, ticket: Ticket): void {
    const { out, view } = this.#leader.replica
    const failed = body.kind === 'write' ? body.failed : undefined
    if (failed === undefined) { out.respond(ticket, { kind: 'written', seq }); return }
    const { operation, version } = failed
    const message = `the condition of operation ${operation} did not hold: its key ${version === 0 ? 'had no value' : `had version ${version}`}`
    out.respond(ticket, { kind: 'error', code: 'CONDITION_FAILED', message, definite: true, epoch: view!.epoch, seq, failed })
  }

  /** An entry is committed. */
  settle (entry: Entry): void {
    const { seq } = entry
    this.#conditions.committed(entry)
    const tickets = this.#waiters.get(seq)
    if (tickets === undefined) return
    this.#waiters.delete(seq)
    this.#waiting -= tickets.length
    for (const ticket of tickets) this.#answer(entry, ticket)
  }

  /** Serves what waited for the phase `serving`. */
  resume (now: number): void {
    const queue = this.#queue
    this.#queue = []
    for (const request of queue) this.#leader.request(now, request)
  }

  /** The lead is over: whether the writes that were logged are ever committed is another leader's business. */
  stop (answer: Answer): void {
    for (const tickets of this.#waiters.values()) for (const ticket of tickets) this.#leader.replica.out.respond(ticket, answer)
    this.#waiters.clear()
    this.#waiting = 0
  }

  /** Gives up the writes that had no effect yet. */
  takeUntouched (): WriteRequest[] {
    const requests = [...this.#reading, ...this.#queue]
    this.#conditions.clear()
    this.#reading.clear()
    this.#queue = []
    return requests
  }
}
