/**
 * Decides whether a history of puts, deletes and gets is linearizable: whether every operation can be given one moment between
 * its start and its end at which it happened, such that every get returns the value of the latest write before it.
 *
 * Herlihy and Wing, "Linearizability" (TOPLAS 1990) gives the property; it is local, so each key is checked alone. The search is
 * that of Wing and Gong (JPDC 1993) in Lowe's just-in-time form ("Testing for linearizability", 2017): it walks through the
 * starts and ends in order of time and keeps every configuration that is still possible (the value of the register, and which of
 * the pending operations have happened already), each once. An operation is made to happen only when its end, or the end of
 * another, demands it. Four facts about registers keep the configurations few. A pending get that would return the present
 * value may as well return now. Writes whose values nobody gets all leave the same behind, and may as well happen, unseen, just
 * before the next write. A value that was written once is not overwritten before the last get that returns it has begun. Of
 * pending writes that write the same and never end, any stands for all.
 *
 * An operation without an end (its outcome is unknown) may have happened at any time after its start, or never.
 *
 * Pure.
 */

/** A value as it is compared: by identity. `undefined` is "no value". Give every put a value of its own: it makes errors visible. */
export type RegisterValue = string | number | undefined

export interface HistoryOperation {
  /** Who did it. For the report only: order comes from the times. */
  readonly process: number
  readonly key: string
  readonly kind: 'put' | 'del' | 'get'
  /** What a put wrote. */
  readonly input?: RegisterValue
  /** What a get returned. */
  readonly output?: RegisterValue
  readonly start: number
  /** Undefined when the outcome is unknown. An operation that starts when another ends counts as concurrent with it. */
  readonly end: number | undefined
  /** It certainly had no effect; nothing follows from it. */
  readonly definiteFailure?: boolean
}

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
    // A get without an answer, like anything that certainly did not happen, says nothing.
    if (operation.definiteFailure === true || (operation.kind === 'get' && operation.end === undefined)) continue
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

const writes = (operation: HistoryOperation): boolean => operation.kind !== 'get'

/** What a write leaves behind, or what a get saw. */
const valueOf = (operation: HistoryOperation): RegisterValue =>
  operation.kind === 'put' ? operation.input : operation.kind === 'get' ? operation.output : undefined

/** What a write left behind that no get returned. */
const UNSEEN = -1
/** No value: the register before the first write, and after a deletion. */
const NONE = 0

interface Step { readonly start: number, readonly value: number, readonly isWrite: boolean, readonly end: number }

interface Prepared {
  readonly steps: readonly Step[]
  /** When the last get of a value begins, for values that were written once. Until then none of them is overwritten. */
  readonly neededUntil: ReadonlyMap<number, number>
}

/**
 * Small numbers for values; and a history that says the same with less: a write of unknown outcome that nobody saw can be left
 * out, since wherever it happened nothing would change; one that was seen, and alone wrote its value, ended no later than the
 * first get that saw it did.
 */
function prepare (history: readonly HistoryOperation[]): Prepared {
  const numbers = new Map<RegisterValue, number>([[undefined, NONE]])
  const firstSeenBy = new Map<number, number>()
  const lastAskedAt = new Map<number, number>()
  for (const operation of history) {
    if (writes(operation)) continue
    const value = valueOf(operation)
    const number = numbers.get(value) ?? numbers.size
    numbers.set(value, number)
    firstSeenBy.set(number, Math.min(firstSeenBy.get(number) ?? Infinity, operation.end!))
    lastAskedAt.set(number, Math.max(lastAskedAt.get(number) ?? -Infinity, operation.start))
  }
  const numberOf = (operation: HistoryOperation): number => {
    const number = numbers.get(valueOf(operation))
    return number === undefined || !firstSeenBy.has(number) ? UNSEEN : number
  }
  const writersOf = new Map<number, number>([[NONE, 1]])
  for (const operation of history) {
    if (writes(operation)) writersOf.set(numberOf(operation), (writersOf.get(numberOf(operation)) ?? 0) + 1)
  }
  const steps: Step[] = []
  for (const operation of history) {
    const value = numberOf(operation)
    const isWrite = writes(operation)
    let end = operation.end ?? Infinity
    if (end === Infinity) {
      if (value === UNSEEN) continue
      if (value !== NONE && writersOf.get(value) === 1) end = Math.max(firstSeenBy.get(value)!, operation.start)
    }
    steps.push({ start: operation.start, value, isWrite, end })
  }
  const neededUntil = new Map([...lastAskedAt].filter(([value]) => writersOf.get(value) === 1))
  return { steps, neededUntil }
}

interface Event { readonly time: number, readonly isEnd: boolean, readonly step: Step }

/**
 * The possible states of the register: by value, the sets of pending operations that have happened. A set is a bitset over the
 * slots of the pending operations.
 */
type Configurations = Map<number, Set<bigint>>

function add (configurations: Configurations, value: number, happened: bigint): boolean {
  const sets = configurations.get(value)
  if (sets === undefined) {
    configurations.set(value, new Set([happened]))
    return true
  }
  if (sets.has(happened)) return false
  sets.add(happened)
  return true
}

/** The pending operations, each in a slot: a bit of the bitsets. */
class Pending {
  readonly #slots: (Step | undefined)[] = []
  readonly #slotOf = new Map<Step, number>()

  open (step: Step): void {
    let slot = this.#slots.indexOf(undefined)
    if (slot === -1) slot = this.#slots.length
    this.#slots[slot] = step
    this.#slotOf.set(step, slot)
  }

  bit (step: Step): bigint {
    return 1n << BigInt(this.#slotOf.get(step)!)
  }

  close (step: Step): void {
    this.#slots[this.#slotOf.get(step)!] = undefined
    this.#slotOf.delete(step)
  }

  /** With every get that would return the present value made to return: it changes nothing, so it can do no harm. */
  settleGets (value: number, happened: bigint): bigint {
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const step = this.#slots[slot]
      if (step !== undefined && !step.isWrite && step.value === value) happened |= 1n << BigInt(slot)
    }
    return happened
  }

  /** Each value that the next write can leave behind, with what has happened then. */
  * writesFrom (happened: bigint): Generator<{ value: number, happened: bigint }> {
    let unseen = 0n
    const seen: { value: number, bit: bigint }[] = []
    const endless = new Set<number>()
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const step = this.#slots[slot]
      const bit = 1n << BigInt(slot)
      if (step === undefined || !step.isWrite || (happened & bit) !== 0n) continue
      if (step.value === UNSEEN) {
        unseen |= bit
        continue
      }
      if (step.end === Infinity) {
        if (endless.has(step.value)) continue
        endless.add(step.value)
      }
      seen.push({ value: step.value, bit })
    }
    if (unseen !== 0n) yield { value: UNSEEN, happened: happened | unseen }
    for (const { value, bit } of seen) yield { value, happened: happened | unseen | bit }
  }
}

function isLinearizable (history: readonly HistoryOperation[]): boolean {
  const { steps, neededUntil } = prepare(history)
  const events: Event[] = []
  for (const step of steps) {
    events.push({ time: step.start, isEnd: false, step })
    if (step.end !== Infinity) events.push({ time: step.end, isEnd: true, step })
  }
  events.sort((a, b) => a.time - b.time || Number(a.isEnd) - Number(b.isEnd))
  const pending = new Pending()
  let configurations: Configurations = new Map([[NONE, new Set([0n])]])
  for (const { isEnd, step } of events) {
    if (!isEnd) {
      pending.open(step)
      continue
    }
    configurations = endOf(step, pending, configurations, value => neededUntil.get(value)! > step.end)
    if (configurations.size === 0) return false
    pending.close(step)
  }
  return true
}

/** The configurations in which `step` has happened, with its slot cleared for the next operation. */
function endOf (step: Step, pending: Pending, before: Configurations, isNeeded: (value: number) => boolean): Configurations {
  const bit = pending.bit(step)
  const after: Configurations = new Map()
  const visited: Configurations = new Map()
  const stack: { value: number, happened: bigint }[] = []
  const visit = (value: number, happened: bigint): void => {
    const settled = pending.settleGets(value, happened)
    if ((settled & bit) !== 0n) add(after, value, settled & ~bit)
    else if (add(visited, value, settled)) stack.push({ value, happened: settled })
  }
  for (const [value, sets] of before) for (const happened of sets) visit(value, happened)
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (isNeeded(top.value)) continue
    for (const write of pending.writesFrom(top.happened)) visit(write.value, write.happened)
  }
  return after
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
  // A pending write can always happen, so it is a get that fails. (Of several operations that end at once, any may be named.)
  const value = JSON.stringify(valueOf(offending)) ?? 'no value'
  const known = offending.kind !== 'get' || offending.output === undefined || prefix.some(other => other.kind === 'put' && other.input === offending.output)
  return known
    ? `the ${offending.kind} of ${value} that ended at ${offending.end} cannot be explained by any order of the operations`
    : `a get that ended at ${offending.end} returned ${value}, which nobody had begun to write`
}

/**
 * Leaves out operations as long as the rest still contradicts itself. A get may always be left out; a write only together with
 * every get that saw its value, or else the rest would contradict itself for a reason that the history does not have.
 */
function minimize (history: readonly HistoryOperation[]): HistoryOperation[] {
  const sorted = [...history].sort((a, b) => a.start - b.start)
  const writersOf = new Map<RegisterValue, HistoryOperation[]>()
  for (const operation of sorted) {
    if (writes(operation)) writersOf.set(valueOf(operation), [...(writersOf.get(valueOf(operation)) ?? []), operation])
  }
  const withSeenWrites = (chosen: readonly HistoryOperation[]): HistoryOperation[] => {
    const all = new Set(chosen)
    for (const operation of chosen) {
      if (!writes(operation)) for (const writer of writersOf.get(valueOf(operation)) ?? []) all.add(writer)
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
