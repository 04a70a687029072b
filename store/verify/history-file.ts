/**
 * The history of a run as JSON lines, for checkers other than ours: one operation per line, in the order of their starts within a round.
 *
 * `{ process, type, key, input, output, start, end, expires, outcome }`: who; `put`, `del` or `get`; what was written or read, null for no value;
 * nanoseconds of the monotonic clock of this process. `end` is null where no answer came; `expires` is the time from
 * which on a value that was put may vanish by itself, null for never. `outcome` is `ok`, `failed` (it certainly had
 * no effect) or `unknown` (it may have happened at any time after its start). A batch is one line for each of its keys.
 *
 * Owns the file.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { StoreError } from '../errors.ts'
import type { HistoryOperation } from './history.ts'

const NS_PER_MS = 1e6

const nanoseconds = (milliseconds: number): number => Math.round(milliseconds * NS_PER_MS)

/** One operation as a line, without its end. */
export function historyLine (operation: HistoryOperation): string {
  const { process, kind, key, input = null, output = null, start, end, expiresAfter, definiteFailure } = operation
  return JSON.stringify({
    process,
    type: kind,
    key,
    input,
    output,
    start: nanoseconds(start),
    end: end === undefined ? null : nanoseconds(end),
    expires: expiresAfter === undefined ? null : nanoseconds(expiresAfter),
    outcome: definiteFailure === true ? 'failed' : end === undefined ? 'unknown' : 'ok'
  })
}

export class HistoryFile {
  readonly #file: FileHandle

  private constructor (file: FileHandle) {
    this.#file = file
  }

  /** Begins the file anew. @throws {StoreError} STORE_INVALID_OPTIONS when it cannot be written */
  static async create (path: string): Promise<HistoryFile> {
    try {
      return new HistoryFile(await open(path, 'w'))
    } catch (cause) {
      throw new StoreError('STORE_INVALID_OPTIONS', `the history cannot be written to ${path}`, { cause })
    }
  }

  async append (operations: readonly HistoryOperation[]): Promise<void> {
    if (operations.length > 0) await this.#file.write(operations.map(operation => `${historyLine(operation)}\n`).join(''))
  }

  async close (): Promise<void> {
    await this.#file.close()
  }
}
