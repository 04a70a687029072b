/**
 * What a copy that was away lacks, where the log knows the keys that changed meanwhile but not their values any more: the present
 * values of just these keys (rules S2 and S6).
 *
 * Compaction takes the values from old entries and leaves the keys, the change index. A delta from `from` carries the entries after
 * it without values, and for each key that they change its value after the last of them, or that it is gone. The learner takes
 * all of it in one batch or nothing, so its copy goes from one point of the history to another.
 *
 * The data is read while it changes. What the reading began with, `to`, and all that the log has beyond, decide: the log gives the
 * value of whatever changed after `to`.
 *
 * Pure.
 */
import { type Copy, keyText } from './copy.ts'
import type { Found } from './effects.ts'
import { BARE_BYTES_MAX, bareEntryBytes, changedBy, type Entry, entryBytes, withoutValues } from './history.ts'
import type { Item } from './messages.ts'

/** Keys that a delta tells of, at most: their bytes alone do not bound them, and a message has a million values, of which each item is nine. */
const DELTA_KEYS_MAX = 20_000

/** A delta that is being read. */
export interface DeltaPlan {
  readonly from: number
  /** The data has everything up to here. */
  readonly to: number
  /** What changed in between. */
  readonly keys: readonly Uint8Array[]
}

export interface Delta {
  readonly from: number
  /** All entries after `from`, without values. */
  readonly entries: readonly Entry[]
  readonly items: readonly Item[]
  readonly removed: readonly Uint8Array[]
}

/**
 * What to read for a learner that holds everything up to `from`. Undefined when the index does not reach back so far, or when it is more than
 * one message has, the values more than `bytesMax`: then a snapshot, in pieces, is the better way.
 */
export function planDelta (copy: Copy, from: number, bytesMax: number): DeltaPlan | undefined {
  const to = Math.max(copy.applied, from)
  if (from < copy.floor || to > copy.commit) return undefined
  const keys = new Map<string, Uint8Array>()
  let [bytes, bare] = [0, 0]
  for (let seq = to; seq > from; seq--) {
    const entry = copy.entry(seq)!
    const changed = changedBy(entry)
    if (changed === undefined) return undefined
    let last = false
    for (const key of changed.keys) {
      const name = keyText(key)
      if (keys.has(name)) continue
      keys.set(name, key)
      last = true
    }
    // An entry whose every key was written again later sends no value.
    if (last) bytes += changed.bytes
    bare += bareEntryBytes(entry)
    if (bytes > bytesMax || bare > BARE_BYTES_MAX || keys.size > DELTA_KEYS_MAX) return undefined
  }
  return { from, to, keys: [...keys.values()] }
}

/**
 * The delta, now that the values are here; it ends with what is committed by now. Undefined when compaction has overtaken the reading, or
 * more was written meanwhile than one message has, or values of more than `bytesMax`.
 */
export function composeDelta (
  copy: Copy, { from, to, keys }: DeltaPlan, values: Found, bytesMax: number
): Delta | undefined {
  if (from < copy.floor || to < copy.valueFloor) return undefined
  const found = new Map<string, { key: Uint8Array, seq: number, value: Uint8Array | null, expires: number | undefined }>()
  keys.forEach((key, index) => {
    const item = values[index]
    found.set(keyText(key), { key, seq: item?.seq ?? to, value: item?.value ?? null, expires: item?.expires })
  })
  // What was read may already have any of the changes after `to`; so all of them must be told that were committed by now.
  const later = copy.slice(to + 1, Infinity, Infinity, copy.commit)
  if (later.reduce((bytes, entry) => bytes + entryBytes(entry), 0) > bytesMax) return undefined
  for (const { seq, body } of later) {
    if (body.kind !== 'write') continue
    for (const operation of body.operations!) {
      const { value = null, expires } = operation.kind === 'put' ? operation : {}
      found.set(keyText(operation.key), { key: operation.key, seq, value, expires })
    }
  }
  const entries = [...copy.slice(from + 1, Infinity, Infinity, to), ...later].map(withoutValues)
  const bare = entries.reduce((sum, entry) => sum + entryBytes(entry), 0)
  if (bare > BARE_BYTES_MAX || found.size > DELTA_KEYS_MAX) return undefined
  const items: Item[] = []
  const removed: Uint8Array[] = []
  for (const { key, seq, value, expires } of found.values()) {
    if (value === null) removed.push(key)
    else items.push({ key, value, seq, ...expires === undefined ? {} : { expires } })
  }
  return { from, entries, items, removed }
}
