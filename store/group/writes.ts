/**
 * Writes at the leader: admitted in the order in which they came, logged once each, answered when committed.
 *
 * Rule S9: a write that the log remembers is not logged again, it waits for what the log has; one that is older than the log's
 * memory is refused, since nobody knows whether it happened. While the leader does not serve, or pauses for a handover, writes wait.
 *
 * Pure: a part of the leader.
 */
import type { Operation } from '../client-protocol.ts'
import type { Answer, Ticket } from './effects.ts'
import { operationName } from './history.ts'
import type { Leader } from './leader.ts'
import type { ReplicaInput } from './replica.ts'

export type WriteRequest = ReplicaInput & { kind: 'write' }

export class Writes {
  readonly #leader: Leader
  /** Writes that wait for the phase `serving`. */
  #queue: WriteRequest[] = []
  /** Who is answered when an entry is committed, by its number. */
  readonly #waiters = new Map<number, Ticket[]>()
  #waiting = 0

  constructor (leader: Leader) {
    this.#leader = leader
  }

  /** Writes that were not answered yet. */
  get pending (): number { return this.#waiting + this.#queue.length }

  request (request: WriteRequest): void {
    if (this.#leader.phase === 'serving') this.#write(request)
    else this.#queue.push(request)
  }

  /** Appends a write unless the group remembers it (rule S9). */
  #write ({ ticket, id, operations }: WriteRequest): void {
    const { copy, replica: { out, view } } = this.#leader
    const before = copy.operation(operationName(id))
    if (before !== undefined) { this.#await(before, ticket); return }
    if (id.base < 0) {
      out.respond(ticket, { kind: 'error', code: 'BASE_REQUIRED', message: 'name the base of this write', definite: true, epoch: view!.epoch, seq: copy.commit })
    } else if (id.base < copy.floor) {
      const message = `the write was first sent at ${id.base}; this partition remembers writes after ${copy.floor}`
      out.respond(ticket, { kind: 'error', code: 'OPERATION_EXPIRED', message, definite: false, epoch: view!.epoch, seq: copy.commit })
    } else this.#await(this.#leader.append({ kind: 'write', id, operations: operations.map(detach) }), ticket)
  }

  /** Answers a write once its entry is committed. */
  #await (seq: number, ticket: Ticket): void {
    const { copy, replica } = this.#leader
    if (seq <= copy.commit) { replica.out.respond(ticket, { kind: 'written', seq }); return }
    const tickets = this.#waiters.get(seq)
    if (tickets === undefined) this.#waiters.set(seq, [ticket])
    else tickets.push(ticket)
    this.#waiting++
  }

  /** An entry is committed. */
  settle (seq: number): void {
    const tickets = this.#waiters.get(seq)
    if (tickets === undefined) return
    this.#waiters.delete(seq)
    this.#waiting -= tickets.length
    for (const ticket of tickets) this.#leader.replica.out.respond(ticket, { kind: 'written', seq })
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
    const queue = this.#queue
    this.#queue = []
    return queue
  }
}

/** A copy of the bytes of an operation: the frame they arrived in is not kept alive by the log. */
function detach (operation: Operation): Operation {
  return operation.kind === 'put'
    ? { kind: 'put', key: Uint8Array.from(operation.key), value: Uint8Array.from(operation.value) }
    : { kind: 'del', key: Uint8Array.from(operation.key) }
}
