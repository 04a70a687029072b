/**
 * The values of keys in a copy: what is committed and not in the data yet comes from memory, the rest from the disk. Where they are long, an
 * answer has the first ones only.
 *
 * Pure: a part of the replica core.
 */
import { WIRE_LIMITS } from '../client-protocol.ts'
import type { Answer, Found, Outbox } from './effects.ts'
import type { Copy } from './copy.ts'
import type { Item } from './messages.ts'
import type { ReplicaInput } from './replica-contract.ts'

export type ReadRequest = ReplicaInput & { kind: 'read' }

export class Lookup {
  readonly request: ReadRequest
  readonly copy: Copy
  /** One per key; undefined while the disk is asked for it. */
  readonly #values: (Item | null | undefined)[]

  constructor (request: ReadRequest, copy: Copy) {
    this.request = request
    this.copy = copy
    this.#values = request.keys.map(key => {
      const pending = copy.pending(key)
      return pending === undefined ? undefined : pending.value === null ? null : { key, value: pending.value, seq: pending.seq }
    })
  }

  /** Asks the disk for what is missing. Returns the token of the question, or undefined when nothing is. */
  fetch (out: Outbox): number | undefined {
    const keys = this.request.keys.filter((_, index) => this.#values[index] === undefined)
    if (keys.length === 0) return undefined
    const token = out.token()
    out.push({ kind: 'fetch', token, copy: this.copy.number, keys, bytesMax: WIRE_LIMITS.readBytesMax })
    return token
  }

  /** What the disk has of the keys that it was asked for; perhaps of the first ones alone. */
  fetched (found: Found): void {
    let next = 0
    for (let index = 0; index < this.#values.length && next < found.length; index++) {
      if (this.#values[index] !== undefined) continue
      const item = found[next++]
      this.#values[index] = item == null ? null : { key: this.request.keys[index]!, ...item }
    }
  }

  /** The position is the present one: the disk may have been read after more was committed, and whoever has seen that must not go back. */
  answer (): Answer {
    const [values, versions]: [(Uint8Array | null)[], number[]] = [[], []]
    let bytes = 0
    for (const item of this.#values) {
      if (item === undefined || bytes >= WIRE_LIMITS.readBytesMax) break
      values.push(item?.value ?? null)
      versions.push(item?.seq ?? 0)
      bytes += item?.value.length ?? 0
    }
    return { kind: 'values', values, versions, seq: this.copy.commit }
  }
}
