/**
 * The reads of a leader: each is answered with the values that are committed once a majority has confirmed the ballot after it came.
 *
 * Pure: a part of the leader.
 */
import type { Answer, Ticket } from './effects.ts'
import type { Leader } from './leader.ts'
import type { Item } from './messages.ts'
import type { ReplicaInput } from './replica.ts'

export type ReadRequest = ReplicaInput & { kind: 'read' }

/** A read whose missing values are being fetched from the disk. */
interface Fetch { readonly ticket: Ticket, readonly keys: readonly Uint8Array[], readonly values: (Item | null | undefined)[], readonly seq: number }

export class Reads {
  readonly #leader: Leader
  /** Reads that wait until this leader serves. */
  #queue: ReadRequest[] = []
  readonly #unconfirmed = new Set<ReadRequest>()
  readonly #fetches = new Map<number, Fetch>()

  constructor (leader: Leader) {
    this.#leader = leader
  }

  /** Reads that were not answered yet. */
  get pending (): number { return this.#queue.length + this.#unconfirmed.size + this.#fetches.size }

  request (request: ReadRequest): void {
    if (!this.#leader.serving) { this.#queue.push(request); return }
    this.#unconfirmed.add(request)
    this.#leader.confirmations.ask(() => {
      this.#unconfirmed.delete(request)
      this.#read(request)
    })
  }

  /** The values as of now: a majority has just confirmed that nobody else leads. */
  #read ({ ticket, keys }: ReadRequest): void {
    const { copy, replica: { out } } = this.#leader
    const values = keys.map(key => {
      const pending = copy.pending(key)
      return pending === undefined ? undefined : pending.value === null ? null : { key, value: pending.value, seq: pending.seq }
    })
    const fetch: Fetch = { ticket, keys, values, seq: copy.commit }
    const missing = keys.filter((_, index) => values[index] === undefined)
    if (missing.length === 0) { this.#answer(fetch); return }
    const token = out.token()
    this.#fetches.set(token, fetch)
    out.push({ kind: 'fetch', token, copy: copy.number, keys: missing })
  }

  fetched (token: number, found: readonly ({ value: Uint8Array, seq: number } | null)[]): void {
    const fetch = this.#fetches.get(token)
    if (fetch === undefined) return
    this.#fetches.delete(token)
    let next = 0
    for (let index = 0; index < fetch.values.length; index++) {
      if (fetch.values[index] !== undefined) continue
      const item = found[next++]
      fetch.values[index] = item == null ? null : { key: fetch.keys[index]!, ...item }
    }
    this.#answer(fetch)
  }

  #answer ({ ticket, values, seq }: Fetch): void {
    this.#leader.replica.out.respond(ticket, {
      kind: 'values', values: values.map(item => item?.value ?? null), versions: values.map(item => item?.seq ?? 0), seq
    })
  }

  /** Serves what waited for the phase `serving`. */
  resume (): void {
    const queue = this.#queue
    this.#queue = []
    for (const request of queue) this.#leader.request(request)
  }

  /** The lead is over. What the disk returns now may be of a copy that is gone: reads that wait for it are answered otherwise. */
  stop (answer: Answer): void {
    for (const { ticket } of this.#fetches.values()) this.#leader.replica.out.respond(ticket, answer)
    this.#fetches.clear()
  }

  /** Gives up the reads that wait to be served or confirmed. Their confirmations are the leader's to drop. */
  takeUntouched (): ReadRequest[] {
    const reads = [...this.#unconfirmed, ...this.#queue]
    this.#unconfirmed.clear()
    this.#queue = []
    return reads
  }
}
