/**
 * The conditions of writes, decided by the leader against the end of its log.
 *
 * A write is decided in the moment in which it gets its number: the version of a key is that of the last entry before it in the
 * log, committed or not. The entry carries what was decided, and whoever asked is answered when it is committed, hence after
 * everything that the decision rests on (rule S10). If any of that is never committed, neither is the decision. So a
 * write with conditions is one entry whether they hold or not, as a transaction in etcd is.
 *
 * A version that is neither in the log's end nor on its way to the data has to be read from the disk. Writes of that key go on
 * meanwhile; they are noted here, since the disk may return what was there before them.
 *
 * Pure: a part of the leader.
 */
import type { Operation } from '../client-protocol.ts'
import type { FailedCondition } from '../errors.ts'
import { keyText } from './copy.ts'
import type { Found } from './effects.ts'
import type { Entry } from './history.ts'
import type { Leader } from './leader.ts'

/** A key that is being read. Invariant: `readers >= 1`. */
interface Reading {
  readers: number
  /** The version at the end of the log, once known: from the disk, or from an entry that was logged since. */
  version: number | undefined
}

export class Conditions {
  readonly #leader: Leader
  /** By key: the version at the end of the log, where entries of this leader that are not committed yet change it. */
  readonly #uncommitted = new Map<string, { readonly seq: number, readonly version: number }>()
  readonly #reading = new Map<string, Reading>()
  readonly #fetches = new Map<number, { readonly keys: readonly Uint8Array[], readonly then: () => void }>()

  constructor (leader: Leader) {
    this.#leader = leader
  }

  /** The version of a key at the end of the log, 0 where it has no value; undefined where the disk must be asked. */
  #version (key: Uint8Array): number | undefined {
    const text = keyText(key)
    const uncommitted = this.#uncommitted.get(text)
    if (uncommitted !== undefined) return uncommitted.version
    const pending = this.#leader.copy.pending(key)
    if (pending !== undefined) return pending.value === null ? 0 : pending.seq
    return this.#reading.get(text)?.version
  }

  /** The keys whose versions must be read before `failed` can tell. */
  unknown (operations: readonly Operation[]): Uint8Array[] {
    return operations.flatMap(({ key, ifVersion }) => ifVersion !== undefined && this.#version(key) === undefined ? [key] : [])
  }

  /** The first condition that does not hold now, at the end of the log. */
  failed (operations: readonly Operation[]): FailedCondition | undefined {
    for (const [operation, { key, ifVersion }] of operations.entries()) {
      if (ifVersion === undefined) continue
      const version = this.#version(key)!
      if (version !== ifVersion) return { operation, version }
    }
    return undefined
  }

  /** Whether the condition of an operation holds, whose key is being read. */
  holds ({ key, ifVersion }: Operation): boolean {
    return this.#version(key) === ifVersion
  }

  /** Reads the versions of keys, then calls `then`, in which `failed` and `holds` know them. Forgotten, silently, with `clear`. */
  read (keys: readonly Uint8Array[], then: () => void): void {
    const { copy, replica: { out } } = this.#leader
    for (const key of keys) {
      const text = keyText(key)
      const reading = this.#reading.get(text)
      // What is known now may leave the memory meanwhile, and the disk may be read before it has it.
      if (reading === undefined) this.#reading.set(text, { readers: 1, version: this.#version(key) })
      else reading.readers++
    }
    const token = out.token()
    this.#fetches.set(token, { keys, then })
    out.push({ kind: 'fetch', token, copy: copy.number, keys })
  }

  /** The disk answered. Returns false when nobody here asked. */
  fetched (token: number, found: Found): boolean {
    const fetch = this.#fetches.get(token)
    if (fetch === undefined) return false
    this.#fetches.delete(token)
    const readings = fetch.keys.map(key => this.#reading.get(keyText(key))!)
    readings.forEach((reading, index) => { reading.version ??= found[index]?.seq ?? 0 })
    fetch.then()
    fetch.keys.forEach((key, index) => { if (--readings[index]!.readers === 0) this.#reading.delete(keyText(key)) })
    return true
  }

  /** An entry was logged. */
  appended ({ seq, body }: Entry): void {
    if (body.kind !== 'write') return
    for (const change of body.operations!) {
      const text = keyText(change.key)
      const version = change.kind === 'put' ? seq : 0
      this.#uncommitted.set(text, { seq, version })
      const reading = this.#reading.get(text)
      if (reading !== undefined) reading.version = version
    }
  }

  /** An entry is committed: from now on the copy knows. */
  committed ({ seq, body }: Entry): void {
    if (body.kind !== 'write') return
    for (const { key } of body.operations!) {
      const text = keyText(key)
      if (this.#uncommitted.get(text)?.seq === seq) this.#uncommitted.delete(text)
    }
  }

  /** Forgets what is being read. */
  clear (): void {
    this.#fetches.clear()
    this.#reading.clear()
  }
}
