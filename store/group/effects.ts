/**
 * What the replica core asks its shell to do, and what it remembers across restarts.
 *
 * The order is fixed: effects are carried out in the order given, except that a `persist` completes later. Persists of one
 * replica complete in the order given, each as one atomic batch, synced unless it says otherwise. Whatever must not be said before it is durable is
 * emitted by the core only after the matching `persisted` input, so a shell can send at once.
 *
 * Pure: types, and the collector that a core fills while it handles one input.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { NodeResponse } from '../client-protocol.ts'
import type { ScanSpec } from '../scan-range.ts'
import type { Ballot, Entry, Group } from './history.ts'
import type { GroupMessage, Item } from './messages.ts'

/** The one small record per partition that a store keeps besides log and data. Synced whenever it says anything new but positions. */
export interface DurableState {
  /** The latest committed generation that this store knows. It outlives the data for ever (rule S1). */
  readonly group: Group | undefined
  /** The highest ballot promised in that generation. */
  readonly promised: Ballot
  /** The live copy, or undefined for a store that holds none. */
  readonly copy: number | undefined
  /** Copy numbers are never reused: the next one to give out. */
  readonly nextCopy: number
  /** The log of the live copy begins right after this number. */
  readonly floor: number
  /** The partition's time as the history up to the floor told it last; 0 for never (see expiry.ts). */
  readonly time: number
  /** The data of the live copy is the history replayed to here. */
  readonly applied: number
  /** The epoch since which the placement gives this store a seat here (the transfer's id), and whether that transfer is complete. */
  readonly seat: { readonly epoch: number, readonly completed: boolean } | undefined
  /** Entries that this store acknowledged in this generation may be missing: it lost its power (see doubt.ts). */
  readonly doubted?: true
}

export type StoreWrite =
  | { readonly kind: 'state', readonly state: DurableState }
  | { readonly kind: 'entry', readonly copy: number, readonly entry: Entry }
  /** Removes the entries from `from` to `to`, both included. */
  | { readonly kind: 'dropEntries', readonly copy: number, readonly from: number, readonly to: number }
  /** `value` null removes the key. A value that expires goes into the index too. */
  | { readonly kind: 'item', readonly copy: number, readonly key: Uint8Array, readonly value: Uint8Array | null, readonly seq: number, readonly expires?: number }

/** A record of the index of what expires: at `expires` the version `seq` of a key, unless the key has another one by then. */
export interface Expiring { readonly expires: number, readonly key: Uint8Array, readonly seq: number }

/**
 * `planned`: seats that an epoch gave to this store. `done`: those that it holds. `superseded`: those that a later epoch took away
 * before. `snapshots`: copies that were begun from nothing; `restarted`: those of them that had to begin again. `bytes`: keys and
 * values that came by snapshot and tail. `delta`: bytes of the log that came to a copy that was here before, as with a store that
 * returns. `repaired`: bytes taught to a store that had its seat already. `duplicates`: must be 0.
 */
export type LedgerField = 'planned' | 'done' | 'superseded' | 'snapshots' | 'restarted' | 'repaired' | 'duplicates' | 'bytes' | 'delta'

/** Names a request at the shell, so that the answer finds its way. */
export type Ticket = number

/** What the disk has, in the order of the keys that it was asked for, from the first one on. */
export type Found = readonly (Omit<Item, 'key'> | null)[]

type ResponseBody<Response> = Response extends { readonly request: number } ? Omit<Response, 'request'> : never
export type Answer = ResponseBody<NodeResponse>

export type Effect =
  /** `synced`: with everything before it. Otherwise it is enough that it survives the end of the process (see synced-log.ts). */
  | { readonly kind: 'persist', readonly token: number, readonly writes: readonly StoreWrite[], readonly synced: boolean }
  | { readonly kind: 'send', readonly to: StoreId, readonly message: GroupMessage }
  | { readonly kind: 'respond', readonly ticket: Ticket, readonly answer: Answer }
  /** Read keys of a copy; the `fetched` input answers. With `bytesMax` it may answer for the first ones alone, if those have so many bytes. */
  | { readonly kind: 'fetch', readonly token: number, readonly copy: number, readonly keys: readonly Uint8Array[], readonly bytesMax?: number }
  /** Read the items of a copy after a key, up to about `bytesMax`; the `scanned` input answers. */
  | { readonly kind: 'scan', readonly token: number, readonly copy: number, readonly after: Uint8Array | null, readonly bytesMax: number }
  /** Read the items of a range of a copy, from one state of the data, as far as the page goes; the `ranged` input answers. */
  | { readonly kind: 'range', readonly token: number, readonly copy: number, readonly scan: ScanSpec }
  /** Read the index of what expires in a copy, in its order: what comes after `after`, up to `limit`; the `expiring` input answers. */
  | { readonly kind: 'expiring', readonly token: number, readonly copy: number, readonly after: Expiring | null, readonly limit: number }
  /** Remove what the index of a copy has up to a time, at leisure. It only says where to look. */
  | { readonly kind: 'forgetExpired', readonly copy: number, readonly time: number }
  /** Delete a copy, data and log, at leisure. Its number is never used again. */
  | { readonly kind: 'deleteCopy', readonly copy: number }
  /** Something is due in so many milliseconds, which a `tick` then does: between two regular ones. */
  | { readonly kind: 'wake', readonly inMs: number }
  /** Something that must never happen was seen; the shell says so loudly. */
  | { readonly kind: 'fault', readonly message: string }
  | { readonly kind: 'ledger', readonly epoch: number, readonly field: LedgerField, readonly amount: number }

const NO_EFFECTS: readonly Effect[] = []

export class Outbox {
  #effects: Effect[] = []
  #nextToken = 1
  /** What is not known to be durable yet, in the order in which it was persisted, which is that in which it becomes so. */
  readonly #unsettled: { readonly token: number, readonly then: () => void }[] = []

  /** Takes what was collected since the last call. */
  take (): readonly Effect[] {
    if (this.#effects.length === 0) return NO_EFFECTS
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** Makes writes durable, as one batch, then calls `then` (in the turn of the `persisted` input). */
  persist (writes: readonly StoreWrite[], then: () => void, synced: boolean): void {
    const token = this.#nextToken++
    this.#unsettled.push({ token, then })
    this.#effects.push({ kind: 'persist', token, writes, synced })
  }

  persisted (token: number): void {
    const first = this.#unsettled.shift()
    if (first?.token !== token) throw new Error(`invariant: ${token} is durable before ${first?.token}`)
    first.then()
  }

  /** True while something that was persisted is not known to be durable yet. */
  get unsettled (): boolean { return this.#unsettled.length > 0 }

  token (): number {
    return this.#nextToken++
  }

  send (to: StoreId, message: GroupMessage): void {
    this.#effects.push({ kind: 'send', to, message })
  }

  respond (ticket: Ticket, answer: Answer): void {
    this.#effects.push({ kind: 'respond', ticket, answer })
  }

  /** Asks for a tick in so many milliseconds; for none if there is nothing to wait for. */
  wake (inMs: number): void {
    if (inMs > 0) this.#effects.push({ kind: 'wake', inMs })
  }

  ledger (epoch: number, field: LedgerField, amount = 1): void {
    this.#effects.push({ kind: 'ledger', epoch, field, amount })
  }

  push (effect: Effect): void {
    this.#effects.push(effect)
  }
}
