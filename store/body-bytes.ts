/**
 * The bytes of the entries that one turn of a store is about: each body is encoded once, or kept as it was received, for whoever logs it or
 * sends it on in that turn.
 *
 * Invariant: empty between turns.
 */
import { encodeBody } from './group/body-codec.ts'
import type { EntryBody } from './group/history.ts'

export class BodyBytes {
  readonly #known = new Map<EntryBody, Uint8Array>()

  get size (): number { return this.#known.size }

  of (body: EntryBody): Uint8Array {
    let bytes = this.#known.get(body)
    if (bytes === undefined) this.#known.set(body, bytes = encodeBody(body))
    return bytes
  }

  /** A body came as these bytes. */
  received (body: EntryBody, bytes: Uint8Array): void {
    this.#known.set(body, bytes)
  }

  /** The end of a turn. */
  clear (): void {
    this.#known.clear()
  }
}
