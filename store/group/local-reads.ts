/**
 * Reads that any replica answers by itself, with what it knows to be committed: `stale` and `session` reads (rule S10).
 *
 * A read names the least position that it is content with. A replica that does not know that everything up to there is committed
 * sends the reader on, to the leader first; it does not wait, since a follower may hear of a commit point much later than the
 * next hop takes. A copy that is not level answers nothing.
 *
 * Pure: a part of the replica core.
 */
import type { Found } from './effects.ts'
import { Lookup, type ReadRequest } from './lookup.ts'
import type { Replica } from './replica.ts'

export class LocalReads {
  readonly #replica: Replica
  /** Bounded by the operations that a node has in progress. */
  readonly #fetches = new Map<number, Lookup>()

  constructor (replica: Replica) {
    this.#replica = replica
  }

  /** Returns false when this replica cannot answer it. */
  request (request: ReadRequest): boolean {
    const { copy, isMember, level, out, ended } = this.#replica
    if (ended || request.after === undefined || copy?.readable !== true || !isMember || !level || copy.commit < request.after) return false
    const lookup = new Lookup(request, copy)
    const token = lookup.fetch(out)
    if (token === undefined) out.respond(request.ticket, lookup.answer())
    else this.#fetches.set(token, lookup)
    return true
  }

  /** Returns false when it was not asked for from here; else `again` is called if the copy has been replaced meanwhile. */
  fetched (token: number, found: Found, again: (request: ReadRequest) => void): boolean {
    const lookup = this.#fetches.get(token)
    if (lookup === undefined) return false
    this.#fetches.delete(token)
    if (lookup.copy !== this.#replica.copy) {
      again(lookup.request)
      return true
    }
    lookup.fetched(found)
    this.#replica.out.respond(lookup.request.ticket, lookup.answer())
    return true
  }
}
