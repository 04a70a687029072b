/**
 * Which connection leads to whom: one link per address, with the connections that lead there.
 *
 * When two processes dial each other at once, the connection dialled by the lower address wins before either carries a
 * message: the side with the higher address takes the incoming one and gives up its own, the other side defers its answer to
 * the incoming one until its own has opened or failed. So nothing queued is lost, nothing is overtaken, and one connection is
 * left. A second connection to the same process under another name for it is given up likewise; one from a later process
 * at the same address replaces those to its predecessor.
 *
 * Pure: it tells the transport what to do with the connections.
 */
import type { Address } from '../environment/environment.ts'
import type { Connection } from './connection.ts'
import type { Outbox } from './outbox.ts'

export interface Link {
  readonly address: Address
  /** What was sent while the attempt to connect waits for its turn. Set only without `dial` and `open`. */
  waiting: Outbox | undefined
  /** The attempt to connect that is under way. */
  dial: Connection | undefined
  /** A connection whose hello is answered only if the dial fails. */
  deferred: Connection | undefined
  /** Open connections. The first one carries what is sent; others take over when it is gone. */
  open: Connection[]
}

/** What becomes of a connection whose other side said who it is. */
export type Verdict =
  | { readonly kind: 'open', readonly replaced: readonly Connection[], readonly superseded: Connection | undefined }
  | { readonly kind: 'defer' }
  | { readonly kind: 'alias', readonly existing: Connection }
  | { readonly kind: 'refuse', readonly reason: string }

export class LinkTable {
  readonly #links = new Map<Address, Link>()

  get (address: Address): Link | undefined {
    return this.#links.get(address)
  }

  obtain (address: Address): Link {
    let link = this.#links.get(address)
    if (link === undefined) {
      link = { address, waiting: undefined, dial: undefined, deferred: undefined, open: [] }
      this.#links.set(address, link)
    }
    return link
  }

  forgetIfUnused (link: Link): void {
    const { waiting, dial, deferred, open } = link
    if (waiting === undefined && dial === undefined && deferred === undefined && open.length === 0) this.#links.delete(link.address)
  }

  clear (): void {
    this.#links.clear()
  }

  /** Judges a connection that this side accepted from a process that listens. */
  judgeAccepted (connection: Connection, address: Address, own: Address | undefined): Verdict {
    if (address === own) return { kind: 'refuse', reason: `says it is ${address}, which is this process` }
    const link = this.obtain(address)
    const { dial } = link
    if (dial !== undefined && own !== undefined && own < address) {
      return { kind: 'defer' }
    }
    return { kind: 'open', replaced: link.open.filter(old => old.hello?.run !== connection.hello?.run), superseded: dial }
  }

  /** Judges a connection that this side dialled. */
  judgeDialled (connection: Connection, address: Address | undefined, own: Address | undefined): Verdict {
    if (address === undefined) return { kind: 'refuse', reason: 'listens, but has no address' }
    if (address === own) return { kind: 'refuse', reason: `is this process, ${address}` }
    const known = this.#links.get(address)
    const existing = known?.open.find(other => other.hello?.run === connection.hello?.run)
    if (existing !== undefined) return { kind: 'alias', existing }
    return { kind: 'open', replaced: known?.open ?? [], superseded: undefined }
  }
}
