/**
 * Decides whether a history of puts, deletes and gets is linearizable: whether every operation can be given one moment between
 * its start and its end at which it happened, such that every get returns the value of the latest write before it. A write may
 * have a condition: it happens only where the register has the expected value. A value may expire: from a given time on it may
 * vanish by itself, once and for good.
 *
 * Herlihy and Wing, "Linearizability" (TOPLAS 1990) gives the property; it is local, so each key is checked alone. The search is
 * that of Wing and Gong (JPDC 1993) in Lowe's just-in-time form ("Testing for linearizability", 2017): it walks through the
 * starts and ends in order of time and keeps every configuration that is still possible (the value of the register, and which of
 * the pending operations have happened already), each once. An operation is made to happen only when its end, or the end of
 * another, demands it. Four facts about registers keep the configurations few. A pending get that would return the present
 * value may as well return now. Writes without a condition whose values nobody gets or expects all leave the same behind, and may
 * as well happen, unseen, just before the next write without a condition. A value that was written once does not go before the last
 * operation that found it has begun. Of pending writes that write the same on the same condition and never end, any stands for all.
 *
 * An operation without an end (its outcome is unknown) may have happened at any time after its start, or never. A condition that
 * failed is a get of what it met.
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
  /** A write that happens only where the register has this value. */
  readonly expected?: { readonly value: RegisterValue }
  /** From this time on the value of a put may vanish by itself. */
  readonly expiresAfter?: number
  /** The version that a put gave, or that a get found with a value. Not looked at here; see versions.ts. */
  readonly version?: number
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

/** What a write left behind that no operation found, and that does not expire. */
const UNSEEN = -1
/** No value: the register before the first write, and after a deletion. */
const NONE = 0

interface Step {
  readonly start: number
  readonly value: number
  readonly isWrite: boolean
  /** The value that a write with a condition must find. */
  readonly expected: number | undefined
  readonly end: number
}

interface Prepared {
  readonly steps: readonly Step[]
  /** When the last operation begins that found a value, for values that were written once. Until then none of them goes. */
  readonly neededUntil: ReadonlyMap<number, number>
  /** From when on a value may expire. */
  readonly expiries: ReadonlyMap<number, number>
}

/**
 * Small numbers for values; and a history that says the same with less: a write of unknown outcome that nobody saw can be left
 * out, since wherever it happened nothing would change; one that was seen, and alone wrote its value, ended no later than the
 * first operation that saw it did.
 */
function prepare (history: readonly HistoryOperation[]): Prepared {
  const numbers = new Map<RegisterValue, number>()
  const firstSeenBy = new Map<number, number>()
  const lastAskedAt = new Map<number, number>()
  const expiries = new Map<number, number>()
  const numberFor = (value: RegisterValue): number => {
    const number = numbers.get(value) ?? (value === undefined ? NONE : numbers.size + 1)
    numbers.set(value, number)
    return number
  }
  for (const operation of history) {
    const { start, end, expiresAfter } = operation
    const found = writes(operation) ? operation.expected : { value: valueOf(operation) }
    if (found !== undefined) {
      const number = numberFor(found.value)
      // A write of unknown outcome may have found what it expected, or not.
      if (end !== undefined) {
        firstSeenBy.set(number, Math.min(firstSeenBy.get(number) ?? Infinity, end))
        lastAskedAt.set(number, Math.max(lastAskedAt.get(number) ?? -Infinity, start))
      }
    }
    if (expiresAfter !== undefined) {
      const number = numberFor(valueOf(operation))
      numberFor(undefined)
      expiries.set(number, Math.min(expiries.get(number) ?? Infinity, expiresAfter))
    }
  }
  const numberOf = (operation: HistoryOperation): number => numbers.get(valueOf(operation)) ?? UNSEEN
  const writersOf = new Map<number, number>([[NONE, 1 + expiries.size]])
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
      if (value !== NONE && writersOf.get(value) === 1) end = Math.max(firstSeenBy.get(value) ?? Infinity, operation.start)
    }
    const { expected } = operation
    steps.push({ start: operation.start, value, isWrite, expected: expected === undefined ? undefined : numbers.get(expected.value)!, end })
  }
  const neededUntil = new Map([...lastAskedAt].filter(([value]) => writersOf.get(value) === 1))
  return { steps, neededUntil, expiries }
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

  /** Each value that the next write can leave behind where the register has `value`, with what has happened then. */
  * writesFrom (value: number, happened: bigint): Generator<{ value: number, happened: bigint }> {
    let unseen = 0n
    const seen: { value: number, bit: bigint }[] = []
    const endless = new Set<string>()
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const step = this.#slots[slot]
      const bit = 1n << BigInt(slot)
      if (step === undefined || !step.isWrite || (happened & bit) !== 0n) continue
      if (step.expected !== undefined && step.expected !== value) continue
      if (step.end === Infinity) {
        const name = `${step.value} ${step.expected}`
        if (endless.has(name)) continue
        endless.add(name)
      }
      if (step.expected !== undefined) yield { value: step.value, happened: happened | bit }
      else if (step.value === UNSEEN) unseen |= bit
      else seen.push({ value: step.value, bit })
    }
    if (unseen !== 0n) yield { value: UNSEEN, happened: happened | unseen }
    for (const { value, bit } of seen) yield { value, happened: happened | unseen | bit }
  }
}

function isLinearizable (history: readonly HistoryOperation[]): boolean {
  const { steps, neededUntil, expiries } = prepare(history)
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
    configurations = endOf(step, pending, configurations, {
      isNeeded: value => neededUntil.get(value)! > step.end,
      mayExpire: value => expiries.get(value)! <= step.end
    })
    if (configurations.size === 0) return false
    pending.close(step)
  }
  return true
}

interface Fate { readonly isNeeded: (value: number) => boolean, readonly mayExpire: (value: number) => boolean }

/** The configurations in which `step` has happened, with its slot cleared for the next operation. */
function endOf (step: Step, pending: Pending, before: Configurations, { isNeeded, mayExpire }: Fate): Configurations {
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
    for (const write of pending.writesFrom(top.value, top.happened)) visit(write.value, write.happened)
    if (mayExpire(top.value)) visit(NONE, top.happened)
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
