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
import { type HistoryOperation, type RegisterValue, valueOf, writes } from './history.ts'

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

/** Whether the history of one key is linearizable. Nothing in it may have failed for certain. */
export function isLinearizable (history: readonly HistoryOperation[]): boolean {
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
