/**
 * The keys of a range in their order, merged from the pages of all partitions that may have some.
 *
 * A partition's keys are spread over the whole range, so the first key is known only once every partition has given its first
 * page. Pages are asked for when the merge needs them, and then for all partitions at once whose page is nearly used up: they
 * share frames, and partitions that hold equally many keys run out at about the same time. The first page of a partition is
 * small, each later one four times as large, so that who wants a few keys reads few.
 *
 * Each page is linearizable by itself, at the time it was read. The whole is no snapshot.
 */
import { isEmpty, isWithin, rest, successor, type KeyRange, type Page, type ScanSpec } from '../scan-range.ts'

/** Items of a partition's first page when no limit says how many are wanted, and of its largest. */
const FIRST_ITEMS = 16
const ITEMS_MAX = 1000
const GROWTH = 4
/** Bytes that the pages of one iterator hold together, about; only values that are larger than a page make it more. */
const PAGES_BYTES = 16 * 1024 * 1024
const PAGE_BYTES_MIN = 4 * 1024
const PAGE_BYTES_MAX = 1024 * 1024

export interface MergedScanComponents {
  /** The partitions that may have keys of the range. Asked when the first key is wanted. */
  readonly partitions: () => readonly number[]
  readonly fetch: (partition: number, scan: ScanSpec) => Promise<Page>
}

export interface MergedScanOptions extends KeyRange {
  readonly reverse: boolean
  readonly values: boolean
  /** How many items are wanted at most; the caller stops by itself. */
  readonly limit: number
}

/** Bytes of one page when so many partitions are read together. */
export const pageBytes = (partitions: number): number =>
  Math.max(PAGE_BYTES_MIN, Math.min(PAGE_BYTES_MAX, Math.floor(PAGES_BYTES / Math.max(1, partitions))))

/** What is known of one partition: items of its page from `index` on, and what lies beyond them. */
interface Source {
  readonly partition: number
  keys: readonly Uint8Array[]
  values: readonly Uint8Array[]
  index: number
  /** What is not read yet, or undefined when nothing is. */
  rest: KeyRange | undefined
  items: number
}

export class MergedScan {
  readonly #components: MergedScanComponents
  readonly #options: MergedScanOptions
  #bytesMax = 0
  #sources: Source[] = []
  /** A heap of the sources that have an item, the one with the next key first. */
  #heap: Source[] = []
  /** Some source has no item and is not at its end, so the next key is not known. */
  #dry = true

  constructor (components: MergedScanComponents, options: MergedScanOptions) {
    this.#components = components
    this.#options = options
    this.#begin(options)
  }

  #begin (range: KeyRange): void {
    const { limit } = this.#options
    const partitions = isEmpty(range) ? [] : this.#components.partitions()
    const { length } = partitions
    this.#bytesMax = pageBytes(length)
    // Hashing spreads keys evenly, so twice a partition's share is nearly always enough.
    const share = limit === Infinity ? FIRST_ITEMS : length === 1 ? limit : Math.ceil(2 * limit / length) + 2
    const items = Math.min(share, limit, ITEMS_MAX)
    this.#heap = []
    this.#sources = partitions.map(partition => ({ partition, keys: [], values: [], index: 0, rest: range, items }))
    this.#dry = this.#sources.length > 0
  }

  /** Goes on at a key, which must be in the range; otherwise there is nothing more. */
  seek (target: Uint8Array): void {
    const { reverse } = this.#options
    const within = isWithin(target, this.#options)
    const next = reverse ? successor(target) : target
    this.#begin(within ? rest(this.#options, reverse, next) : { from: target, to: target })
  }

  /** The next items, at least one and at most `size`; none at the end. */
  async take (size: number): Promise<[key: Uint8Array, value: Uint8Array | undefined][]> {
    const taken: [Uint8Array, Uint8Array | undefined][] = []
    while (taken.length < size) {
      if (this.#dry) {
        // What is known already is worth more than waiting for more.
        if (taken.length > 0) break
        await this.#refill()
        continue
      }
      const source = this.#heap[0]
      if (source === undefined) break
      taken.push([source.keys[source.index]!, source.values[source.index]])
      source.index++
      this.#advance(source)
    }
    return taken
  }

  /** Asks for the next pages of all partitions that soon have nothing left. */
  async #refill (): Promise<void> {
    const { reverse, values } = this.#options
    const wanting = this.#sources.filter(source => source.rest !== undefined && source.keys.length - source.index <= source.keys.length / 2)
    // All are waited for, so that no page comes to a scan that has gone on.
    const results = await Promise.allSettled(wanting.map(async source => {
      const { from, to } = source.rest!
      const page = await this.#components.fetch(source.partition, { from, to, reverse, values, limit: source.items, bytesMax: this.#bytesMax })
      source.items = Math.min(ITEMS_MAX, source.items * GROWTH)
      source.keys = [...source.keys.slice(source.index), ...page.keys]
      source.values = [...source.values.slice(source.index), ...page.values]
      source.index = 0
      source.rest = page.next === null ? undefined : rest({ from, to }, reverse, page.next)
    }))
    const failure = results.find(result => result.status === 'rejected')
    if (failure !== undefined) throw failure.reason
    this.#sources = this.#sources.filter(source => source.rest !== undefined || source.index < source.keys.length)
    this.#dry = this.#sources.some(source => source.index === source.keys.length)
    this.#heap = this.#sources.filter(source => source.index < source.keys.length)
    for (let place = (this.#heap.length >> 1) - 1; place >= 0; place--) this.#sink(place)
  }

  /** The first source of the heap has given its item. */
  #advance (source: Source): void {
    if (source.index === source.keys.length) {
      if (source.rest !== undefined) this.#dry = true
      const last = this.#heap.pop()!
      if (last === source) return
      this.#heap[0] = last
    }
    this.#sink(0)
  }

  #before (a: Source, b: Source): boolean {
    const order = Buffer.compare(a.keys[a.index]!, b.keys[b.index]!)
    return this.#options.reverse ? order > 0 : order < 0
  }

  #sink (place: number): void {
    const heap = this.#heap
    const source = heap[place]!
    for (;;) {
      let child = 2 * place + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++
      if (!this.#before(heap[child]!, source)) break
      heap[place] = heap[child]!
      place = child
    }
    heap[place] = source
  }
}
