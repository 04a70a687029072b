/**
 * What the programs of the tests have in common: numbers on the command line, and what is said to whoever got one wrong.
 *
 * A soak of `--seeds 1O0` must not pass because it ran none.
 */

/** The command line is wrong. */
export class UsageError extends Error {
  readonly code = 'USAGE'
}

/** @throws {UsageError} USAGE */
export function positiveInteger (name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new UsageError(`--${name} must be a positive integer, not '${text}'`)
  return value
}

/** Runs a program, which returns its exit code. What is wrong with the command line is said in one line, with code 2; any other error is thrown. */
export async function runProgram (main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main()
  } catch (error) {
    const { code, message } = error as { code?: unknown, message: string }
    if (!(error instanceof UsageError) && !String(code).startsWith('ERR_PARSE_ARGS_')) throw error
    process.stderr.write(`${message}\n`)
    process.exitCode = 2
  }
}
