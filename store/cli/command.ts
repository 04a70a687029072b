/**
 * What a command of the CLI is, and how its arguments are read: options are declared once, and the parser and the help text both
 * come from that declaration.
 *
 * Pure.
 */
import { parseArgs } from 'node:util'

/** What the process tells its caller. Scripts rely on these. */
export const EXIT = Object.freeze({
  ok: 0,
  /** The command failed; standard error has `CODE: message`. */
  failed: 1,
  /** The command line is wrong, or asks for something that this version does not offer. Trying again is of no use. */
  usage: 2,
  /** `get` found no value. */
  absent: 3
})

/** Where a command writes, and how it learns that it shall end. */
export interface Terminal {
  /** One line of standard output. */
  out (line: string): void
  /** Bytes of standard output, as they are. */
  write (bytes: Uint8Array): void
  /** One line of standard error. */
  error (line: string): void
  /** All of standard input. @throws {StoreError} STORE_INVALID_VALUE when it is longer than `bytesMax` */
  input (bytesMax: number): Promise<Uint8Array>
  /**
   * From this call on a request to end (SIGINT, SIGTERM) does not end the process but aborts the signal: for commands that have
   * something to close. The others end as any process does.
   */
  interruption (): AbortSignal
}

export interface OptionSpec {
  readonly type: 'string' | 'boolean'
  /** It may be given several times. */
  readonly multiple?: boolean
  /** What the help text calls its value. */
  readonly value?: string
  readonly help: string
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

export interface Command {
  readonly name: string
  /** Its positional arguments, for the help text. */
  readonly usage: string
  readonly summary: string
  /** How many positional arguments it takes. */
  readonly positionals: readonly [minimum: number, maximum: number]
  readonly options: OptionSpecs
  /** False for a command that takes whatever it is given. @default true */
  readonly strict?: boolean
  /** @returns the exit code. @throws errors with a `code` */
  run (given: Arguments, terminal: Terminal): Promise<number>
}

/** The command line is wrong. The message says how. */
export class UsageError extends Error {}

/** The options and positional arguments that were given, checked against the declaration. */
export class Arguments {
  readonly positionals: readonly string[]
  readonly #values: Readonly<Record<string, unknown>>

  /** @throws {UsageError} */
  constructor (command: Command, args: readonly string[]) {
    const options = Object.fromEntries(Object.entries({ ...command.options, ...COMMON })
      .map(([name, { type, multiple = false }]) => [name, { type, multiple }]))
    try {
      const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: command.strict ?? true })
      this.#values = values
      this.positionals = positionals
    } catch (error) {
      throw new UsageError((error as Error).message)
    }
    const [minimum, maximum] = command.positionals
    if (this.flag('help') || (this.positionals.length >= minimum && this.positionals.length <= maximum)) return
    throw new UsageError(`expected: coterie ${command.name} ${command.usage}`.trimEnd() + `; ${this.positionals.length} arguments were given`)
  }

  flag (name: string): boolean {
    return this.#values[name] === true
  }

  text (name: string): string | undefined {
    return this.#values[name] as string | undefined
  }

  texts (name: string): readonly string[] {
    return (this.#values[name] as string[] | undefined) ?? []
  }

  /** A decimal integer. Its range is the business of whoever takes it. @throws {UsageError} */
  integer (name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    if (!/^-?\d{1,15}$/.test(text)) throw new UsageError(`--${name} must be an integer, not '${text}'`)
    return Number(text)
  }
}

const UNITS_MS = Object.freeze({ ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 })

/** A time with its unit, such as `30s`, in milliseconds. @throws {UsageError} */
export function milliseconds (name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const [, number, unit] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? []
  if (number === undefined) throw new UsageError(`--${name} must be a time with its unit, such as 500ms, 30s, 10m, 12h or 7d, not '${text}'`)
  return Number(number) * UNITS_MS[unit as keyof typeof UNITS_MS]
}

/** What every command takes. */
export const COMMON: OptionSpecs = Object.freeze({
  help: { type: 'boolean', help: 'show this text' }
})

/** Where a node listens, and where the other commands look for one. */
export const DEFAULT_ADDRESS = '127.0.0.1:7000'

/** What every command takes that talks to a running cluster. */
export const CLIENT_OPTIONS: OptionSpecs = Object.freeze({
  node: { type: 'string', multiple: true, value: 'host:port', help: `a node to ask, repeatable (default ${DEFAULT_ADDRESS})` },
  json: { type: 'boolean', help: 'answer with one JSON object on the last line' },
  'deadline-ms': { type: 'string', value: 'n', help: 'give up after n milliseconds (default 10000)' }
})

/** The code of an error: its own, or that of what was wrapped into it. */
export function codeOf (error: unknown): string {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as { code?: unknown }
    if (typeof code === 'string' && code !== 'LEVEL_DATABASE_NOT_OPEN') return code
  }
  return 'UNEXPECTED'
}

/** An error as one line, `CODE: message`. What nobody foresaw comes with its stack, which is all there is to know about it. */
export function describe (error: unknown): string {
  const code = codeOf(error)
  if (!(error instanceof Error)) return `${code}: ${String(error)}`
  return code === 'UNEXPECTED' ? `${code}: ${error.stack ?? error.message}` : `${code}: ${error.message}`
}

const USAGE_CODES = new Set(['STORE_INVALID_OPTIONS', 'STORE_NOT_SUPPORTED', 'MEMBERSHIP_INVALID_OPTIONS', 'TRANSPORT_ADDRESS_INVALID'])

export const exitCodeOf = (error: unknown): number => USAGE_CODES.has(codeOf(error)) ? EXIT.usage : EXIT.failed
