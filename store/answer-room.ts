/**
 * Room for the answers to clients: what is queued for one connection, and for all of them together, is bounded.
 *
 * Whoever asks for much, and takes it slowly or not at all, is told to ask again later; that costs a short answer, which needs no room. Long
 * answers leave an eighth free for those that are not, which overtake them on their way (each answer has a stream of its own). While
 * nothing else is queued an answer is always taken, however long it is.
 *
 * Pure, but that it asks connections how much they have queued.
 */
import type { Remote } from '../membership/environment/environment.ts'
import type { Answer } from './group/effects.ts'

/** Of one connection; less than transports queue for a peer (64 MiB), so that short answers without values always find a place. */
export const CONNECTION_ANSWER_BYTES_MAX = 56 * 1024 * 1024
/** An answer with more is long. */
const LONG_BYTES = 64 * 1024
/** What long answers may have of the room. */
const LONG_SHARE = 7 / 8
/** Connections that are remembered before those that have nothing queued are forgotten. */
const REMEMBERED_MAX = 1000

/** What an answer takes beside its keys and values, for each of them, about. */
const ITEM_BYTES = 16

/** Who is answered. */
export type Asker = Pick<Remote, 'connectionId' | 'queuedBytes'>

/** Bytes of keys and values in an answer, and a little for each; 0 for one that has neither, and is always sent. */
export function answerBytes (answer: Answer): number {
  const sum = (items: readonly (Uint8Array | null)[]): number => items.reduce((bytes, item) => bytes + (item?.length ?? 0) + ITEM_BYTES, 0)
  switch (answer.kind) {
    case 'values': return sum(answer.values)
    case 'page': return sum(answer.page.keys) + sum(answer.page.values)
    case 'changes': return answer.entries.reduce((bytes, { changes }) => bytes + sum(changes.flatMap(({ key, value }) => [key, value])), 0)
    default: return 0
  }
}

export class AnswerRoom {
  readonly #nodeBytesMax: number
  readonly #connectionBytesMax: number
  /** Connections that may have something queued, by their ids. */
  readonly #askers = new Map<number, Asker>()
  /** Invariant: nothing less than what all of them have queued. */
  #atMost = 0

  /** @param nodeBytesMax of all connections together */
  constructor (nodeBytesMax: number, connectionBytesMax = CONNECTION_ANSWER_BYTES_MAX) {
    this.#nodeBytesMax = nodeBytesMax
    this.#connectionBytesMax = connectionBytesMax
  }

  /** Whether an answer of so many bytes can be queued for a connection now. */
  fits (asker: Asker, bytes: number): boolean {
    const share = bytes > LONG_BYTES ? LONG_SHARE : 1
    const own = asker.queuedBytes()
    if (own > 0 && own + bytes > this.#connectionBytesMax * share) return false
    const limit = this.#nodeBytesMax * share
    if (this.#atMost + bytes <= limit) return true
    this.#measure()
    return this.#atMost === 0 || this.#atMost + bytes <= limit
  }

  /** An answer of so many bytes is about to be queued. */
  took (asker: Asker, bytes: number): void {
    if (this.#askers.size >= REMEMBERED_MAX && !this.#askers.has(asker.connectionId)) this.#measure()
    this.#askers.set(asker.connectionId, asker)
    this.#atMost += bytes
  }

  /** Asks all connections, and forgets those that have nothing queued. */
  #measure (): void {
    this.#atMost = 0
    for (const [id, asker] of this.#askers) {
      const queued = asker.queuedBytes()
      if (queued === 0) this.#askers.delete(id)
      else this.#atMost += queued
    }
  }
}
