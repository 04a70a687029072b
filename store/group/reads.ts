/**
 * The reads of a leader: each is answered with the committed values, at once under a lease, else when a majority has confirmed the ballot.
 *
 * Rules S7 and S10. Either way nobody else had committed anything when the values were taken. Where they come from the disk, the lease
 * is looked at again when they have come; what is no longer under a lease then waits for a confirmation after all.
 *
 * Pure: a part of the leader.
 */
import type { Answer, Found } from './effects.ts'
import type { Leader } from './leader.ts'
import { Lookup, type ReadRequest } from './lookup.ts'

/** A read whose missing values are being fetched from the disk. */
interface Fetch { readonly lookup: Lookup, readonly leased: boolean }

export class Reads {
  readonly #leader: Leader
  /** Reads that wait until this leader serves. */
  #queue: ReadRequest[] = []
  readonly #unconfirmed = new Set<ReadRequest>()
  readonly #fetches = new Map<number, Fetch>()
  /** Answers given under a lease. */
  leased = 0

  constructor (leader: Leader) {
    this.#leader = leader
  }

  /** Reads that were not answered yet. */
  get pending (): number { return this.#queue.length + this.#unconfirmed.size + this.#fetches.size }

  request (now: number, request: ReadRequest): void {
    if (!this.#leader.serving) { this.#queue.push(request); return }
    const { lease } = this.#leader
    lease.use(now)
    if (lease.valid(now)) this.#read(request, true)
    else this.#confirm(request, () => { this.#read(request, false) })
  }

  #confirm (request: ReadRequest, then: () => void): void {
    this.#unconfirmed.add(request)
    this.#leader.confirmations.ask(() => {
      this.#unconfirmed.delete(request)
      then()
    })
  }

  /** The values as of now, when nobody else leads. */
  #read (request: ReadRequest, leased: boolean): void {
    const { copy, replica: { out } } = this.#leader
    const fetch: Fetch = { lookup: new Lookup(request, copy), leased }
    const token = fetch.lookup.fetch(out)
    if (token === undefined) this.#answer(fetch)
    else this.#fetches.set(token, fetch)
  }

  fetched (now: number, token: number, found: Found): void {
    const fetch = this.#fetches.get(token)
    if (fetch === undefined) return
    this.#fetches.delete(token)
    const { lookup, leased } = fetch
    lookup.fetched(found)
    if (!leased || this.#leader.lease.valid(now)) this.#answer(fetch)
    else this.#confirm(lookup.request, () => { this.#answer({ lookup, leased: false }) })
  }

  #answer ({ lookup, leased }: Fetch): void {
    if (leased) this.leased++
    this.#leader.replica.out.respond(lookup.request.ticket, lookup.answer())
  }

  /** Serves what waited for the phase `serving`. */
  resume (now: number): void {
    const queue = this.#queue
    this.#queue = []
    for (const request of queue) this.#leader.request(now, request)
  }

  /** The lead is over. What the disk returns now may be of a copy that is gone: reads that wait for it are answered otherwise. */
  stop (answer: Answer): void {
    for (const { lookup } of this.#fetches.values()) this.#leader.replica.out.respond(lookup.request.ticket, answer)
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
