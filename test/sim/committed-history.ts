/**
 * What was ever committed in one partition, as the simulator's oracle remembers it: invariants 18, 26 and 36 of store/README.md, and the
 * replay that the data is compared with.
 *
 * Pure.
 */
import { type Entry, operationName, timeOf } from '../../store/group/history.ts'

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** An entry without its ballot, which changes when a later leader proposes it again, and without values, which compaction drops. */
export function contentOf ({ body }: Entry): string {
  switch (body.kind) {
    case 'noop': return 'noop'
    case 'stop': return `stop ${JSON.stringify(body.next)}`
    case 'write': return `write ${operationName(body.id)}${body.failed === undefined ? '' : ` failed ${body.failed.operation}@${body.failed.version}`}`
  }
}

/** A value as it is compared: with the number of the entry that wrote it, and when it expires. */
export const contentOfValue = (seq: number, value: Uint8Array, expires: number | undefined): string =>
  `${seq}: ${hex(value)}${expires === undefined ? '' : ` until ${expires}`}`

interface Committed { readonly content: string, entry: Entry }

export class CommittedHistory {
  /** By sequence number. Holds the entry with its values as soon as one replica showed it. */
  readonly #committed = new Map<number, Committed>()
  /** Where each operation was committed. */
  readonly #operations = new Map<string, number>()
  /** The partition's time as the committed entries told it last. */
  #time = 0
  /** The keys that have a value, in hexadecimal, with the time at which it expires. */
  readonly #values = new Map<string, number | undefined>()
  /** Values that were removed because their time was over. */
  expired = 0

  /** Values that are there and will expire. */
  get expiring (): number {
    let count = 0
    for (const expires of this.#values.values()) if (expires !== undefined) count++
    return count
  }

  /** What was committed at a number, as `contentOf` says it. */
  contentAt (seq: number): string | undefined {
    return this.#committed.get(seq)?.content
  }

  inOrder (): readonly (readonly [seq: number, committed: Readonly<Committed>])[] {
    return [...this.#committed].sort(([a], [b]) => a - b)
  }

  /**
   * An entry is committed at a number, as a replica says: invariants 18 (so it stays for ever) and 26 (each operation once).
   * @returns true when nobody said so before
   */
  add (entry: Entry, seq: number): boolean {
    const content = contentOf(entry)
    const known = this.#committed.get(seq)
    if (known !== undefined) {
      if (known.content !== content) throw new Error(`invariant 18: number ${seq} was committed as ${known.content}, and now as ${content}`)
      if (known.entry.body.kind === 'write' && known.entry.body.operations === null) known.entry = entry
      return false
    }
    if (entry.body.kind === 'write') {
      const name = operationName(entry.body.id)
      const first = this.#operations.get(name)
      if (first !== undefined) throw new Error(`invariant 26: operation ${name} was committed at ${first} and at ${seq}`)
    }
    this.accept(entry, seq)
    this.#checkExpiry(entry)
    return true
  }

  /** An entry counts from now on, by force. Call `recount` at the end. */
  accept (entry: Entry, seq: number): void {
    this.#committed.set(seq, { content: contentOf(entry), entry })
    if (entry.body.kind === 'write') this.#operations.set(operationName(entry.body.id), seq)
  }

  /** The loss of an entry was accepted; its operation may happen anew. Call `recount` at the end. */
  forget (seq: number): void {
    const entry = this.#committed.get(seq)?.entry
    this.#committed.delete(seq)
    if (entry?.body.kind === 'write') this.#operations.delete(operationName(entry.body.id))
  }

  /** What expires, and the time, as the entries that are left tell it. */
  recount (): void {
    const { expired } = this
    this.#time = 0
    this.#values.clear()
    for (const [, { entry }] of this.inOrder()) this.#checkExpiry(entry)
    this.expired = expired
  }

  /**
   * Invariant 36: what a leader removes by itself is the value of a put whose time, as the history counts it, is over; the time never
   * falls; and what such an entry says to be swept is gone.
   */
  #checkExpiry (entry: Entry): void {
    const { seq, body } = entry
    const time = timeOf(entry)
    if (time !== undefined && time < this.#time) throw new Error(`invariant 36: the time is ${time} at ${seq}, and was ${this.#time}`)
    this.#time = time ?? this.#time
    if (body.kind !== 'write') return
    if (body.operations === null) throw new Error(`the oracle never saw the values of ${seq}`)
    for (const operation of body.operations) {
      const key = hex(operation.key)
      if (body.swept !== undefined) this.#checkRemoval(seq, key)
      if (operation.kind === 'put') this.#values.set(key, operation.expires)
      else this.#values.delete(key)
    }
    if (body.swept === undefined) return
    for (const [key, expires] of this.#values) {
      if (expires === undefined || expires > body.swept) continue
      const name = Buffer.from(key, 'hex').toString()
      throw new Error(`invariant 36: number ${seq} says that ${body.swept} is swept; ${name} expires at ${expires} and is still there`)
    }
  }

  #checkRemoval (seq: number, key: string): void {
    const expires = this.#values.get(key)
    if (expires === undefined || expires > this.#time) {
      const what = this.#values.has(key) ? `expires at ${expires}` : 'has no value'
      throw new Error(`invariant 36: number ${seq} removes ${Buffer.from(key, 'hex').toString()} at ${this.#time}, which ${what}`)
    }
    this.expired++
  }

  /** What the data must be after the entry `to`: the replay of everything committed. By key, in hexadecimal. */
  replay (to: number): Map<string, string> {
    const data = new Map<string, string>()
    for (const [seq, { entry: { body } }] of this.inOrder()) {
      if (body.kind !== 'write' || seq > to) continue
      if (body.operations === null) throw new Error(`the oracle never saw the values of ${seq}`)
      for (const operation of body.operations) {
        if (operation.kind === 'put') data.set(hex(operation.key), contentOfValue(seq, operation.value, operation.expires))
        else data.delete(hex(operation.key))
      }
    }
    return data
  }

  /** The committed writes of a key, in order; deletions have no value. */
  ofKey (key: string): { readonly seq: number, readonly value: string | undefined }[] {
    const history: { seq: number, value: string | undefined }[] = []
    const name = hex(Buffer.from(key))
    for (const [seq, { entry: { body } }] of this.inOrder()) {
      if (body.kind !== 'write') continue
      if (body.operations === null) throw new Error(`the oracle never saw the values of ${seq}`)
      const last = body.operations.findLast(operation => hex(operation.key) === name)
      if (last !== undefined) history.push({ seq, value: last.kind === 'put' ? Buffer.from(last.value).toString() : undefined })
    }
    return history
  }
}
