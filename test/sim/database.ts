/**
 * An `abstract-level` database on a simulated disk: LevelDB as far as a caller can tell, in virtual time.
 *
 * Owns: nothing but its lock on the disk.
 */
import { AbstractIterator, AbstractLevel, AbstractSnapshot, type AbstractDatabaseOptions } from 'abstract-level'
import type { Disk, Operation } from './disk.ts'
import type { EventOwner } from './event-queue.ts'
import { compareBytes, type Entry, type SortedMap } from './sorted-map.ts'

const BYTES = Object.freeze({ keyEncoding: 'view', valueEncoding: 'view' })
const MANIFEST = Object.freeze({
  encodings: { view: true }, seek: true, has: true, explicitSnapshots: true, permanence: true,
  createIfMissing: false, errorIfExists: false
})
/** The types of abstract-level do not have `getSync` yet. */
const READS_AT_ONCE = Object.freeze({ ...MANIFEST, getSync: true })

/** `clear` removes this many keys per batch: it is not atomic, in LevelDB neither. */
const CLEAR_KEYS_PER_BATCH = 100

interface ReadOptions { readonly snapshot?: SimulatedSnapshot }
interface WriteOptions { readonly sync?: boolean }
interface RangeOptions extends ReadOptions {
  readonly gt?: Uint8Array
  readonly gte?: Uint8Array
  readonly lt?: Uint8Array
  readonly lte?: Uint8Array
  readonly reverse: boolean
  readonly limit: number
}

/** The declared constructor takes nothing, but the documented one needs to know the snapshot's owner. */
const Snapshot = AbstractSnapshot as unknown as new (options: object) => AbstractSnapshot

class SimulatedSnapshot extends Snapshot {
  readonly content: SortedMap

  constructor (content: SortedMap, options: object) {
    super(options)
    this.content = content
  }
}

class LevelError extends Error {
  readonly code: string

  constructor (code: string, message: string) {
    super(message)
    this.code = code
  }
}

const copyOf = (bytes: Uint8Array): Uint8Array => Uint8Array.prototype.slice.call(bytes)

/** Whether a key is in a range. */
function within (key: Uint8Array, { gt, gte, lt, lte }: RangeOptions): boolean {
  return (gte === undefined || compareBytes(key, gte) >= 0) && (gte !== undefined || gt === undefined || compareBytes(key, gt) > 0) &&
    (lte === undefined || compareBytes(key, lte) <= 0) && (lte !== undefined || lt === undefined || compareBytes(key, lt) < 0)
}

/** The entries of a range, in its order, from `target` on if there is one. */
function* range (content: SortedMap, options: RangeOptions, target?: Uint8Array): Generator<Entry, void, void> {
  if (target !== undefined && !within(target, options)) return
  const start = target ?? (options.reverse ? options.lte ?? options.lt : options.gte ?? options.gt)
  let entered = false
  for (const entry of content.entries(start, options.reverse)) {
    if (within(entry[0], options)) {
      entered = true
      yield entry
    } else if (entered || compareBytes(entry[0], start ?? entry[0]) !== 0) {
      return
    }
  }
}

class SimulatedIterator extends AbstractIterator<SimulatedLevel, Uint8Array, Uint8Array> {
  readonly #level: SimulatedLevel
  readonly #content: SortedMap
  readonly #options: RangeOptions
  #entries: Generator<Entry, void, void>

  constructor (level: SimulatedLevel, content: SortedMap, options: RangeOptions) {
    super(level, options as object as ConstructorParameters<typeof AbstractIterator<SimulatedLevel, Uint8Array, Uint8Array>>[1])
    this.#level = level
    this.#content = content
    this.#options = options
    this.#entries = range(content, options)
  }

  #take (count: number): [Uint8Array, Uint8Array][] {
    const taken: [Uint8Array, Uint8Array][] = []
    while (taken.length < count) {
      const { value } = this.#entries.next()
      if (value === undefined) break
      taken.push([copyOf(value[0]), copyOf(value[1])])
    }
    return taken
  }

  async _next (): Promise<[Uint8Array, Uint8Array] | undefined> {
    return (await this._nextv(1))[0]
  }

  _nextv (size: number): Promise<[Uint8Array, Uint8Array][]> {
    return this.#level.read(() => this.#take(size))
  }

  _all (): Promise<[Uint8Array, Uint8Array][]> {
    return this.#level.read(() => this.#take(this.limit - this.count))
  }

  _seek (target: Uint8Array): void {
    this.#entries = range(this.#content, this.#options, target)
  }
}

export class SimulatedLevel extends AbstractLevel<string | Buffer | Uint8Array, Uint8Array, Uint8Array> {
  readonly #disk: Disk
  readonly #owner: EventOwner

  constructor (disk: Disk, owner: EventOwner, options: AbstractDatabaseOptions<Uint8Array, Uint8Array> = BYTES) {
    super(disk.readsAtOnce ? READS_AT_ONCE : MANIFEST, options)
    this.#disk = disk
    this.#owner = owner
  }

  read<Result> (look: () => Result): Promise<Result> {
    return this.#disk.read(this.#owner, look)
  }

  #content (options: ReadOptions): SortedMap {
    return options.snapshot?.content ?? this.#disk.content
  }

  async _open (): Promise<void> {
    if (!this.#disk.lock(this.#owner)) throw new LevelError('LEVEL_LOCKED', `${this.#disk.name} is open already`)
  }

  async _close (): Promise<void> {
    await this.#disk.idle()
    this.#disk.unlock()
  }

  #copyOfValue (key: Uint8Array, content: SortedMap): Uint8Array | undefined {
    const value = content.get(key)
    return value === undefined ? undefined : copyOf(value)
  }

  _get (key: Uint8Array, options: ReadOptions): Promise<Uint8Array | undefined> {
    return this.read(() => this.#copyOfValue(key, this.#content(options)))
  }

  _getSync (key: Uint8Array, options: ReadOptions): Uint8Array | undefined {
    return this.#disk.readNow(() => this.#copyOfValue(key, this.#content(options)))
  }

  _getMany (keys: Uint8Array[], options: ReadOptions): Promise<(Uint8Array | undefined)[]> {
    return this.read(() => keys.map(key => this.#copyOfValue(key, this.#content(options))))
  }

  _has (key: Uint8Array, options: ReadOptions): Promise<boolean> {
    return this.read(() => this.#content(options).get(key) !== undefined)
  }

  _hasMany (keys: Uint8Array[], options: ReadOptions): Promise<boolean[]> {
    return this.read(() => keys.map(key => this.#content(options).get(key) !== undefined))
  }

  _put (key: Uint8Array, value: Uint8Array, options: WriteOptions): Promise<void> {
    return this.#write([{ type: 'put', key: copyOf(key), value: copyOf(value) }], options)
  }

  _del (key: Uint8Array, options: WriteOptions): Promise<void> {
    return this.#write([{ type: 'del', key: copyOf(key) }], options)
  }

  _batch (operations: readonly Operation[], options: WriteOptions): Promise<void> {
    return this.#write(operations.map(operation => operation.type === 'put'
      ? { type: 'put', key: copyOf(operation.key), value: copyOf(operation.value) }
      : { type: 'del', key: copyOf(operation.key) }), options)
  }

  #write (operations: readonly Operation[], options: WriteOptions): Promise<void> {
    return this.#disk.write(this.#owner, operations, options.sync ?? false)
  }

  async _clear (options: RangeOptions & WriteOptions): Promise<void> {
    let left = options.limit < 0 ? Infinity : options.limit
    let batch: Operation[] = []
    for (const [key] of range(this.#content(options), options)) {
      if (left-- <= 0) break
      batch.push({ type: 'del', key })
      if (batch.length === CLEAR_KEYS_PER_BATCH) {
        await this.#write(batch, options)
        batch = []
      }
    }
    if (batch.length > 0) await this.#write(batch, options)
  }

  _iterator (options: RangeOptions): SimulatedIterator {
    return new SimulatedIterator(this, this.#content(options), options)
  }

  _snapshot (options: object): SimulatedSnapshot {
    return new SimulatedSnapshot(this.#disk.content, options)
  }
}
