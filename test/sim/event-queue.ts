/**
 * The events of virtual time: a binary heap ordered by (time, sequence), so that equal times run in the order they were added.
 *
 * Pure.
 */

/** Whoever an event happens to. Its events are dropped when it is dead and held while it is paused. */
export interface EventOwner {
  readonly alive: boolean
  readonly paused: boolean
  /** Events that came due during the pause, in order. */
  readonly held: SimulatedEvent[]
}

export interface SimulatedEvent {
  timeMs: number
  /** Invariant: unique, and rising in the order of `add`. */
  sequence: number
  readonly owner: EventOwner | undefined
  /** Undefined once cancelled. */
  run: (() => void) | undefined
}

const before = (a: SimulatedEvent, b: SimulatedEvent): boolean => a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.sequence < b.sequence)

export class EventQueue {
  /** Invariant: no element comes before its parent, which is at (index - 1) >> 1. */
  readonly #heap: SimulatedEvent[] = []
  #sequence = 0

  get size (): number {
    return this.#heap.length
  }

  peek (): SimulatedEvent | undefined {
    return this.#heap[0]
  }

  add (timeMs: number, owner: EventOwner | undefined, run: () => void): SimulatedEvent {
    const event: SimulatedEvent = { timeMs, sequence: 0, owner, run }
    this.#push(event)
    return event
  }

  /** Adds an event that was popped and held, as the latest of its new time. */
  addAgain (timeMs: number, event: SimulatedEvent): void {
    event.timeMs = timeMs
    this.#push(event)
  }

  #push (event: SimulatedEvent): void {
    event.sequence = this.#sequence++
    const heap = this.#heap
    let index = heap.length
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = event
  }

  pop (): SimulatedEvent | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
    return first
  }
}
