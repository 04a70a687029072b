/**
 * Checks the history of all keys, and explains the first that is not linearizable: what cannot be explained any more, and the least that
 * contradicts itself. Linearizability is local (Herlihy and Wing, TOPLAS 1990), so each key is checked alone.
 *
 * Pure.
 */
import { type HistoryOperation, type RegisterValue, valueOf, writes } from './history.ts'
import { isLinearizable } from './linearizability.ts'

export type CheckResult =
  | { readonly ok: true }
  | {
    readonly ok: false
    readonly key: string
    readonly reason: string
    /** Operations of that key which contradict each other by themselves; none can be left out. In order of their starts. */
    readonly operations: readonly HistoryOperation[]
  }

/** Checks every key. Reports the first key, in the order of their first operations, whose history is not linearizable. */
export function checkHistory (operations: readonly HistoryOperation[]): CheckResult {
  const keys = new Map<string, HistoryOperation[]>()
  for (const operation of operations) {
    // A get without an answer, or of a value that nobody knows, says nothing; nor does anything that certainly did not happen.
    if (operation.definiteFailure === true || (operation.kind === 'get' && (operation.end === undefined || operation.valueUnknown === true))) continue
    const history = keys.get(operation.key)
    if (history === undefined) keys.set(operation.key, [operation])
    else history.push(operation)
  }
  for (const [key, history] of keys) {
    if (isLinearizable(history)) continue
    const { offending, prefix } = earliestContradiction(history)
    return { ok: false, key, reason: describe(offending, prefix), operations: minimize(prefix) }
  }
  return { ok: true }
}

/** What was known of a history at a time: what began later is not in it, what ended later has not ended. */
function knownAt (time: number, history: readonly HistoryOperation[]): HistoryOperation[] {
  const known: HistoryOperation[] = []
  for (const operation of history) {
    if (operation.start > time) continue
    if (operation.end === undefined || operation.end <= time) known.push(operation)
    else if (writes(operation)) known.push({ ...operation, end: undefined })
  }
  return known
}

/** The first end at which a history that is not linearizable cannot be explained any more, and what was known then. */
function earliestContradiction (history: readonly HistoryOperation[]): { offending: HistoryOperation, prefix: HistoryOperation[] } {
  const ended = history.filter(operation => operation.end !== undefined).sort((a, b) => a.end! - b.end!)
  // What is linearizable stays so when its end is cut off, so that the first failure can be searched for by halves.
  let low = 0
  let high = ended.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isLinearizable(knownAt(ended[middle]!.end!, history))) low = middle + 1
    else high = middle
  }
  return { offending: ended[low]!, prefix: knownAt(ended[low]!.end!, history) }
}

function describe (offending: HistoryOperation, prefix: readonly HistoryOperation[]): string {
  const value = JSON.stringify(valueOf(offending)) ?? 'no value'
  const known = offending.kind !== 'get' || offending.output === undefined || prefix.some(other => other.kind === 'put' && other.input === offending.output)
  return known
    ? `the ${offending.kind} of ${value} that ended at ${offending.end} cannot be explained by any order of the operations`
    : `a get that ended at ${offending.end} returned ${value}, which nobody had begun to write`
}

/**
 * Leaves out operations as long as the rest still contradicts itself. A get may always be left out; a write only together with
 * everything that found its value, or else the rest would contradict itself for a reason that the history does not have.
 */
function minimize (history: readonly HistoryOperation[]): HistoryOperation[] {
  const sorted = [...history].sort((a, b) => a.start - b.start)
  const writersOf = new Map<RegisterValue, HistoryOperation[]>()
  for (const operation of sorted) {
    if (!writes(operation)) continue
    for (const value of operation.expiresAfter === undefined ? [valueOf(operation)] : [valueOf(operation), undefined]) {
      writersOf.set(value, [...(writersOf.get(value) ?? []), operation])
    }
  }
  const withSeenWrites = (chosen: readonly HistoryOperation[]): HistoryOperation[] => {
    const all = new Set(chosen)
    // What is added on the way is visited too.
    for (const operation of all) {
      const found = writes(operation) ? operation.expected : { value: valueOf(operation) }
      if (found !== undefined) for (const writer of writersOf.get(found.value) ?? []) all.add(writer)
    }
    return sorted.filter(operation => all.has(operation))
  }
  let kept = sorted
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < kept.length;) {
      const fewer = withSeenWrites([...kept.slice(0, at), ...kept.slice(at + size)])
      if (fewer.length < kept.length && !isLinearizable(fewer)) kept = fewer
      else at += size
    }
  }
  return kept
}
