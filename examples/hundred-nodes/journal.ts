/**
 * What was written, so that whatever is read can be judged: a read must return the last acknowledged value or a later one.
 *
 * Every value names its key and a number that rises with each write of that key, and only one writer writes a key at a time.
 * A read may return the number that was acknowledged (or read) last before it began, or any higher one started before it ended.
 * A write that failed indefinitely may still take effect at any later time, so its value is right from then on; one that
 * failed definitely must never be seen.
 *
 * Pure.
 */

/** What a read turned out to be: `lost` is an acknowledged write that is gone, `wrong` a value that nobody can have written. */
export type Verdict = 'right' | 'lost' | 'wrong'

export interface Write {
  readonly value: string
  acknowledged (): void
  failed (definite: boolean): void
}

interface KeyRecord {
  /** The number of the last write that began. Invariant: floor <= started. */
  started: number
  /** The highest number that was acknowledged or read; 0 before the first. */
  floor: number
  writing: boolean
  /** Writes that certainly did not happen. */
  readonly refused: Set<number>
  /** Writes of which nobody knows. */
  readonly unknown: Set<number>
}

/** Bytes of a value: a hundred, as benchmarks of key-value stores use them. */
const VALUE_BYTES = 100

export class Journal {
  readonly #records = new Map<string, KeyRecord>()

  get keys (): string[] {
    return [...this.#records.keys()]
  }

  /** Begins the next write of a key. */
  write (key: string): Write {
    const record = this.#record(key)
    if (record.writing) throw new Error(`two writers write '${key}' at once, so that its values could not be judged`)
    const number = ++record.started
    record.writing = true
    return {
      value: `${key}#${number}#`.padEnd(VALUE_BYTES, '.'),
      acknowledged: () => {
        record.writing = false
        record.floor = Math.max(record.floor, number)
      },
      failed: definite => {
        record.writing = false
        ;(definite ? record.refused : record.unknown).add(number)
      }
    }
  }

  /** Begins a read of a key; the function that it returns judges what was read, once. */
  read (key: string): (value: string | undefined) => Verdict {
    const record = this.#record(key)
    const { floor } = record
    return value => {
      if (value === undefined) return floor === 0 ? 'right' : 'lost'
      const [name, digits] = value.split('#')
      const number = Number(digits)
      if (name !== key || !(number >= 1 && number <= record.started) || record.refused.has(number)) return 'wrong'
      if (record.unknown.has(number)) return 'right'
      record.floor = Math.max(record.floor, number)
      return number >= floor ? 'right' : 'lost'
    }
  }

  #record (key: string): KeyRecord {
    let record = this.#records.get(key)
    if (record === undefined) {
      record = { started: 0, floor: 0, writing: false, refused: new Set(), unknown: new Set() }
      this.#records.set(key, record)
    }
    return record
  }
}
