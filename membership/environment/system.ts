/**
 * The production environment's clock, randomness and log: the one file of the layers that touches the machine's own.
 *
 * Owns: real timers.
 */
import { randomBytes } from 'node:crypto'
import type { Clock, Log, Random } from './environment.ts'

/** The longest delay a Node.js timer takes; a longer one would fire at once. */
const TIMER_DELAY_MAX_MS = 2 ** 31 - 1
/** Random bytes are drawn from the system in blocks of this size, which is much cheaper than one by one. */
const RANDOM_BLOCK_BYTES = 4096

export interface SystemClockOptions {
  /** Timers do not keep the process alive. @default false */
  readonly unref?: boolean
}

/**
 * Time of this machine. `performance.now()` reads CLOCK_MONOTONIC on Linux, which stands still while a machine is suspended: a
 * process that relies on leases must compare it with the wall clock, which does not.
 */
export function createSystemClock (options: SystemClockOptions = {}): Clock {
  return {
    now: () => performance.now(),
    wallNow: () => Date.now(),
    setTimer (delayMs, callback) {
      const deadlineMs = performance.now() + delayMs
      let timer: NodeJS.Timeout
      // A platform timer may fire a fraction of a millisecond early, and cannot hold a very long delay: whatever is left is
      // waited for in another leg.
      const arm = (): void => {
        const leftMs = Math.max(0, Math.ceil(deadlineMs - performance.now()))
        timer = setTimeout(fire, Math.min(leftMs, TIMER_DELAY_MAX_MS))
        if (options.unref === true) timer.unref()
      }
      const fire = (): void => {
        if (performance.now() < deadlineMs) arm()
        else callback()
      }
      arm()
      return () => clearTimeout(timer)
    }
  }
}

/** Randomness of the operating system, fit for ids that nobody must guess. */
export function createSystemRandom (): Random {
  let block = Buffer.alloc(0)
  let offset = 0
  const take = (count: number): Buffer => {
    if (offset + count > block.length) {
      block = randomBytes(RANDOM_BLOCK_BYTES)
      offset = 0
    }
    offset += count
    return block.subarray(offset - count, offset)
  }
  return {
    next () {
      const bytes = take(8)
      return ((bytes.readUInt32LE(0) >>> 5) * 0x4000000 + (bytes.readUInt32LE(4) >>> 6)) / 0x20000000000000
    },
    id: () => take(16).toString('hex')
  }
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

export interface JsonLogOptions {
  /** Lines below this level are dropped. @default 'info' */
  readonly level?: LogLevel
  /** Takes one line without its newline. @default writes to standard error */
  readonly write?: (line: string) => void
  /** Fields that every line carries. */
  readonly fields?: Readonly<Record<string, unknown>>
}

/** Errors and big integers, which JSON leaves out or refuses, as something a reader can use. */
function jsonValue (_name: string, value: unknown): unknown {
  if (value instanceof Error) {
    const { code } = value as { code?: unknown }
    return { name: value.name, code, message: value.message, stack: value.stack, cause: value.cause }
  }
  return typeof value === 'bigint' ? value.toString() : value
}

/** One JSON object per line: time, level, message, fields. */
export function createJsonLog (options: JsonLogOptions = {}): Log {
  const write = options.write ?? ((line: string) => { process.stderr.write(line + '\n') })
  const threshold = LEVELS.indexOf(options.level ?? 'info')
  const at = (level: LogLevel): Log['debug'] => {
    if (LEVELS.indexOf(level) < threshold) return () => {}
    return (fields, message) => {
      const head = { time: new Date(Date.now()).toISOString(), level, message }
      let line: string
      try {
        line = JSON.stringify({ ...head, ...options.fields, ...fields }, jsonValue)
      } catch (error) {
        // A field that cannot be written (a cycle) must not take the line, or the caller, with it.
        line = JSON.stringify({ ...head, logError: String(error) })
      }
      write(line)
    }
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** A log that drops everything. */
export const silentLog: Log = Object.freeze({ debug () {}, info () {}, warn () {}, error () {} })

/** Runs the callback after everything that is already ready in this turn of the event loop, its promises included. */
export function onNextTurn (callback: () => void): void {
  setImmediate(callback)
}

/** Resolves in the next turn of the event loop, when every promise that was ready has been acted upon. */
export function nextTurn (): Promise<void> {
  return new Promise(resolve => { setImmediate(resolve) })
}

/**
 * Resolves when every promise that was ready has been acted upon, within the present turn of the event loop: for a part of what the
 * next turn costs, and nothing that waits for the system gets on meanwhile. Only for callers that are asynchronous functions themselves.
 */
export function promisesActedUpon (): Promise<void> {
  return new Promise(resolve => { process.nextTick(resolve) })
}
