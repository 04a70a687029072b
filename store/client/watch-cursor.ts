/**
 * Where a watch stands: a position in the history of each partition that it watches, and how to write that down as a cursor.
 *
 * A cursor is wanted for each event and used for few, so an event only marks its place: in a segment, which is an array of positions
 * and the list of the steps since. Reading a cursor walks the steps up to the mark.
 *
 * Pure.
 */
import { StoreError } from '../errors.ts'

const VERSION = 1
/** Steps of one segment, at least; as many as there are partitions if these are more. */
const SEGMENT_STEPS_MIN = 256

/** What a cursor is for; one of another watch is refused. */
export interface WatchScope {
  readonly clusterId: string
  readonly prefix: Uint8Array
  readonly partitions: readonly number[]
}

export interface WatchPlace {
  /** By the order of the scope's partitions: everything up to here was delivered. */
  readonly positions: Float64Array
  /**
   * How many changes of the entry after its position were delivered, by the same order, where some were. More than one partition may have
   * such an entry: one that a watch was resumed in the middle of may be answered after others have begun.
   */
  readonly skips: ReadonlyMap<number, number>
}

interface Step { readonly index: number, readonly position: number, readonly skip: number }
interface Segment { readonly base: WatchPlace, readonly steps: Step[] }

/** The place after the first `count` steps of a segment. */
function placeIn ({ base, steps }: Segment, count: number): WatchPlace {
  const positions = Float64Array.from(base.positions)
  const skips = new Map(base.skips)
  for (let step = 0; step < count; step++) {
    const { index, position, skip } = steps[step]!
    positions[index] = position
    if (skip > 0) skips.set(index, skip)
    else skips.delete(index)
  }
  return { positions, skips }
}

export class WatchProgress {
  readonly #scope: WatchScope
  #segment: Segment

  constructor (scope: WatchScope, base: WatchPlace) {
    this.#scope = scope
    this.#segment = { base, steps: [] }
  }

  /** Everything of a partition up to `position` was delivered, and so many changes of the entry after it. */
  advance (index: number, position: number, skip = 0): void {
    const { steps } = this.#segment
    if (steps.length >= Math.max(SEGMENT_STEPS_MIN, this.#scope.partitions.length)) {
      this.#segment = { base: placeIn(this.#segment, steps.length), steps: [] }
    }
    this.#segment.steps.push({ index, position, skip })
  }

  /** @returns reads the cursor of this moment, at any time later */
  mark (): () => string {
    const segment = this.#segment
    const count = segment.steps.length
    return () => encodeCursor(this.#scope, placeIn(segment, count))
  }
}

function* digits (value: number): Generator<number> {
  for (; value >= 128; value = Math.floor(value / 128)) yield 128 + value % 128
  yield value
}

export function encodeCursor ({ clusterId, prefix, partitions }: WatchScope, { positions, skips }: WatchPlace): string {
  const id = Buffer.from(clusterId)
  const bytes = [VERSION, ...digits(id.length), ...id, ...digits(prefix.length), ...prefix]
  bytes.push(...digits(partitions.length), ...digits(partitions[0] ?? 0), ...digits(skips.size))
  for (const [index, skip] of [...skips].sort(([a], [b]) => a - b)) bytes.push(...digits(index), ...digits(skip))
  for (const position of positions) bytes.push(...digits(position))
  return Buffer.from(bytes).toString('base64url')
}

/** @throws {StoreError} STORE_INVALID_OPTIONS when it is no cursor, or one of another cluster, another prefix or a later version */
export function decodeCursor (cursor: string, { clusterId, prefix, partitions }: WatchScope): WatchPlace {
  const fail = (why: string): never => { throw new StoreError('STORE_INVALID_OPTIONS', `since is not a cursor of this watch: ${why}`) }
  const bytes = Buffer.from(cursor, 'base64url')
  if (cursor === '' || bytes.toString('base64url') !== cursor) return fail('not a cursor')
  let at = 0
  const number = (): number => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const digit = bytes[at++] ?? fail('it is cut off')
      value += (digit & 127) * factor
      if (!Number.isSafeInteger(value)) return fail('a position out of range')
      if (digit < 128) return value
    }
  }
  const part = (): Buffer => {
    const length = number()
    if (at + length > bytes.length) return fail('it is cut off')
    return bytes.subarray(at, at += length)
  }
  if (bytes[at++] !== VERSION) return fail('of another version')
  if (part().toString() !== clusterId) return fail('of another cluster')
  if (!part().equals(prefix)) return fail('of another prefix')
  if (number() !== partitions.length || number() !== (partitions[0] ?? 0)) return fail('of other partitions')
  const skips = new Map<number, number>()
  let before = -1
  for (let left = number(); left > 0; left--) {
    const [index, skip] = [number(), number()]
    if (index <= before || index >= partitions.length || skip === 0) return fail('a partition out of range')
    skips.set(before = index, skip)
  }
  const positions = Float64Array.from(partitions, number)
  if (at !== bytes.length) return fail('it is too long')
  return { positions, skips }
}
