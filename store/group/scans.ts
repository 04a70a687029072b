/**
 * Pages of ranges at the leader: what the disk has, and what is committed and not in the data yet, as one state.
 *
 * A scan comes here once a majority has confirmed the ballot, like a read. The disk is then read in one state of the data, at a
 * moment that nobody knows, while writes go on. From before that moment on the copy holds everything in memory that the data
 * lacked (`Copy.hold`); so when the answer of the disk is there, the newest committed value of every key that changed since is
 * in memory, and all other keys are as the disk has them. The page is the state of the partition at the commit point of that
 * moment: it has no part of a write without the rest of it, and nothing that is not committed.
 *
 * Pure: a part of the leader.
 */
import { after, isBelow, type KeyRange, type Page, type ScanSpec } from '../scan-range.ts'
import type { Copy } from './copy.ts'
import type { Leader } from './leader.ts'
import type { Item } from './messages.ts'
import type { ReplicaInput } from './replica-contract.ts'

export type ScanRequest = ReplicaInput & { kind: 'scan' }

export class Scans {
  readonly #leader: Leader
  /** Scans that wait until this leader serves. */
  #queue: ScanRequest[] = []
  readonly #unconfirmed = new Set<ScanRequest>()
  /** Scans that the disk is being read for. */
  readonly #open = new Map<number, { readonly request: ScanRequest, readonly release: () => void }>()

  constructor (leader: Leader) {
    this.#leader = leader
  }

  /** Scans that were not answered yet. */
  get pending (): number { return this.#queue.length + this.#unconfirmed.size + this.#open.size }

  request (request: ScanRequest): void {
    if (!this.#leader.serving) { this.#queue.push(request); return }
    this.#unconfirmed.add(request)
    this.#leader.confirmations.ask(() => {
      this.#unconfirmed.delete(request)
      this.#begin(request)
    })
  }

  #begin (request: ScanRequest): void {
    const { copy, replica: { out } } = this.#leader
    const token = out.token()
    this.#open.set(token, { request, release: copy.hold() })
    out.push({ kind: 'range', token, copy: copy.number, scan: request.scan })
  }

  /** The disk's part of a page. @param done there is no more in the data than `items` */
  ranged (token: number, items: readonly Item[], done: boolean): void {
    const open = this.#open.get(token)
    if (open === undefined) return
    this.#open.delete(token)
    const { copy, replica: { out } } = this.#leader
    const page = mergePage(open.request.scan, items, done, copy)
    open.release()
    out.respond(open.request.ticket, { kind: 'page', page, seq: copy.commit })
  }

  /** Serves what waited for the phase `serving`. */
  resume (now: number): void {
    const queue = this.#queue
    this.#queue = []
    for (const request of queue) this.#leader.request(now, request)
  }

  /** The lead is over. What the disk returns now may be of a copy that is gone. @returns scans that may be asked again elsewhere */
  stop (): ScanRequest[] {
    const requests = [...this.#open.values()].map(({ request, release }) => {
      release()
      return request
    })
    this.#open.clear()
    return requests
  }

  /** Gives up the scans that wait to be served or confirmed. Their confirmations are the leader's to drop. */
  takeUntouched (): ScanRequest[] {
    const scans = [...this.#unconfirmed, ...this.#queue]
    this.#unconfirmed.clear()
    this.#queue = []
    return scans
  }
}

/** Lays the changes that a copy holds in memory over what the disk had, as far as the disk was read. */
export function mergePage (scan: ScanSpec, items: readonly Item[], done: boolean, copy: Pick<Copy, 'changesWithin'>): Page {
  const { reverse } = scan
  const last = items.at(-1)
  // Beyond the last item that the disk gave there may be more in the data.
  const horizon = done || last === undefined ? null : after(last.key, reverse)
  const told: KeyRange = horizon === null ? scan : reverse ? { from: horizon, to: scan.to } : { from: scan.from, to: horizon }
  const changes = copy.changesWithin(told)
  if (reverse) changes.reverse()
  const keys: Uint8Array[] = []
  const values: Uint8Array[] = []
  let bytes = 0
  const page = (next: Uint8Array | null): Page => ({ keys, values, next })
  for (const { key, value } of merged(items, changes, reverse)) {
    if (keys.length > 0 && (keys.length >= scan.limit || bytes >= scan.bytesMax)) return page(after(keys.at(-1)!, reverse))
    keys.push(key)
    if (scan.values) values.push(value)
    bytes += key.length + (scan.values ? value.length : 0)
  }
  const remains = horizon !== null && (reverse ? Buffer.compare(scan.from, horizon) < 0 : isBelow(horizon, scan.to))
  return page(remains ? horizon : null)
}

type Change = ReturnType<Copy['changesWithin']>[number]

/** Both in the order of the scan, changes first where both have a key, without what is removed. */
function* merged (items: readonly Item[], changes: readonly Change[], reverse: boolean): Generator<{ key: Uint8Array, value: Uint8Array }> {
  let index = 0
  for (const change of changes) {
    for (; index < items.length; index++) {
      const order = Buffer.compare(items[index]!.key, change.key)
      if (reverse ? order <= 0 : order >= 0) break
      yield items[index]!
    }
    if (index < items.length && Buffer.compare(items[index]!.key, change.key) === 0) index++
    if (change.value !== null) yield { key: change.key, value: change.value }
  }
  for (; index < items.length; index++) yield items[index]!
}
