/**
 * View changes as an async iterable, for consumers that prefer `for await` to events.
 *
 * Owns: one bounded queue per iteration.
 */
import { MembershipError } from './errors.ts'

/** Values that a consumer may lag behind before its iteration fails: it would lose some otherwise. */
export const CHANGES_QUEUED_MAX = 1024

export class ChangeStream<Value> implements AsyncIterableIterator<Value> {
  readonly #queue: Value[] = []
  readonly #onEnd: () => void
  #waiting: { resolve: (result: IteratorResult<Value>) => void, reject: (error: unknown) => void } | undefined
  #ended = false
  #error: unknown

  /** @param onEnd called once, when nothing more is wanted. */
  constructor (onEnd: () => void) {
    this.#onEnd = onEnd
  }

  push (value: Value): void {
    if (this.#ended) return
    if (this.#waiting !== undefined) {
      this.#waiting.resolve({ done: false, value })
      this.#waiting = undefined
    } else if (this.#queue.length >= CHANGES_QUEUED_MAX) {
      this.#queue.length = 0
      this.end(new MembershipError('MEMBERSHIP_CLOSED', `This consumer is more than ${CHANGES_QUEUED_MAX} view changes behind.`))
    } else {
      this.#queue.push(value)
    }
  }

  /** What is queued is still delivered; then the iteration ends, or fails with the error. */
  end (error?: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined && error === undefined) waiting.resolve({ done: true, value: undefined })
    else waiting?.reject(error)
    this.#onEnd()
  }

  async next (): Promise<IteratorResult<Value>> {
    const value = this.#queue.shift()
    if (value !== undefined) return { done: false, value }
    if (this.#ended) {
      const error = this.#error
      this.#error = undefined
      if (error !== undefined) throw error
      return { done: true, value: undefined }
    }
    if (this.#waiting !== undefined) throw new MembershipError('MEMBERSHIP_CLOSED', 'One iteration has one consumer: next() is pending already.')
    return await new Promise((resolve, reject) => { this.#waiting = { resolve, reject } })
  }

  async return (): Promise<IteratorResult<Value>> {
    this.#queue.length = 0
    this.end()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator] (): this {
    return this
  }
}
