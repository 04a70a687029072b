/**
 * The configurations that a process saw: the last one, why each came about, and the iterations that follow them.
 *
 * Owns: the streams that are open, and their listeners on signals.
 */
import { ChangeStream } from './change-stream.ts'
import type { Explanation, ViewChange } from './view-change.ts'

/** Epochs that `explain` remembers. */
const EXPLANATIONS_MAX = 128

export class ViewFeed<State> {
  #last: ViewChange<State> | undefined
  /** By epoch, oldest first. Invariant: size <= EXPLANATIONS_MAX. */
  readonly #explanations = new Map<number, Explanation>()
  readonly #streams = new Set<ChangeStream<ViewChange<State>>>()

  get last (): ViewChange<State> | undefined {
    return this.#last
  }

  explain (epoch: number): Explanation | undefined {
    return this.#explanations.get(epoch)
  }

  /** A view change took effect. The streams are told by `push`, after those who listen to events. */
  enter (change: ViewChange<State>): void {
    this.#last = change
    this.#explanations.set(change.configuration.epoch, change.reason)
    if (this.#explanations.size > EXPLANATIONS_MAX) this.#explanations.delete(this.#explanations.keys().next().value!)
  }

  push (change: ViewChange<State>): void {
    for (const stream of this.#streams) stream.push(change)
  }

  /** What is pushed from now on, until the signal, `end`, or the loop that consumes it. */
  open (signal: AbortSignal | undefined): ChangeStream<ViewChange<State>> {
    const end = (): void => { stream.end() }
    const stream = new ChangeStream<ViewChange<State>>(() => {
      this.#streams.delete(stream)
      signal?.removeEventListener('abort', end)
    })
    this.#streams.add(stream)
    signal?.addEventListener('abort', end, { once: true })
    if (signal?.aborted === true) stream.end()
    return stream
  }

  end (): void {
    for (const stream of [...this.#streams]) stream.end()
  }
}
