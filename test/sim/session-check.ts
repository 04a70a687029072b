/**
 * Decides whether the session reads of clients kept their promise (store/README.md): each shows one position of its partition's
 * committed history, positions never go back within a client, and none is before a write that was acknowledged to that client.
 *
 * A value tells which positions it may come from: from the number that wrote it to the one before the next write of the key. The
 * lowest possible one is taken each time, so whatever is reported is a contradiction whichever position the replica was at.
 *
 * Pure.
 */

export interface ClientRead {
  readonly client: number
  readonly consistency: 'session' | 'stale'
  readonly partition: number
  readonly key: string
  readonly value: string | undefined
  readonly start: number
  readonly end: number
}

/** A put that was acknowledged to a client at a time. No two puts write the same value. */
export interface AcknowledgedPut {
  readonly client: number
  readonly partition: number
  readonly key: string
  readonly value: string
  readonly end: number
}

/** The committed writes of a key, in the order of their numbers. */
export type KeyHistory = (partition: number, key: string) => readonly { readonly seq: number, readonly value: string | undefined }[]

/** The lowest position at or after `floor` at which the key had the value; undefined when there is none. */
function lowestPosition (history: ReturnType<KeyHistory>, value: string | undefined, floor: number): number | undefined {
  for (let index = -1; index < history.length; index++) {
    const from = index < 0 ? 0 : history[index]!.seq
    const to = history[index + 1]?.seq ?? Infinity
    if (to > floor && (index < 0 ? undefined : history[index]!.value) === value) return Math.max(from, floor)
  }
  return undefined
}

/** Asks for each key once. */
function remembering (historyOf: KeyHistory): KeyHistory {
  const known = new Map<string, ReturnType<KeyHistory>>()
  return (partition, key) => {
    const name = `${partition}/${key}`
    let history = known.get(name)
    if (history === undefined) known.set(name, history = historyOf(partition, key))
    return history
  }
}

/** @param reads the session reads of one client do not overlap @returns what is wrong, or undefined */
export function checkSessions (reads: readonly ClientRead[], puts: readonly AcknowledgedPut[], history: KeyHistory): string | undefined {
  const historyOf = remembering(history)
  const floors = new Map<string, number>()
  const pending = [...puts].sort((a, b) => a.end - b.end)
  const raise = (client: number, partition: number, seq: number): void => {
    const name = `${client}/${partition}`
    floors.set(name, Math.max(floors.get(name) ?? 0, seq))
  }
  for (const read of [...reads].sort((a, b) => a.start - b.start)) {
    while (pending.length > 0 && pending[0]!.end < read.start) {
      const { client, partition, key, value } = pending.shift()!
      const written = historyOf(partition, key).find(write => write.value === value)
      if (written === undefined) return `the put of ${value} to ${key} was acknowledged and never committed`
      raise(client, partition, written.seq)
    }
    const session = read.consistency === 'session'
    const floor = session ? floors.get(`${read.client}/${read.partition}`) ?? 0 : 0
    const position = lowestPosition(historyOf(read.partition, read.key), read.value, floor)
    if (position === undefined) return `client ${read.client} read ${read.value} of ${read.key} (${read.consistency}), which no position from ${floor} on has`
    if (session) raise(read.client, read.partition, position)
  }
  return undefined
}
