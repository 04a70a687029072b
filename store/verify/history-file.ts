/**
 * The history of a run as JSON lines, for checkers other than ours: one operation per line, in the order of their starts within a round.
 *
 * `{ process, type, key, input, output, start, end, expires, condition, version, action, call, outcome }`:
 *
 * - `process`: who.
 * - `type`, `key`, `input`, `output`: `put`, `del` or `get` of that key; what was written or read, null for no value.
 * - `start`, `end`: nanoseconds of the monotonic clock of this process. `end` is null where no answer came.
 * - `expires`: the time from which on a value that was put may vanish by itself, null for never.
 * - `condition`: null, or `{ value }`: the write happens only where the key has that value; null for none.
 * - `version`: what the write gave, or the value that was read had; null where nobody said.
 * - `action`, `call`: what the client was asked for, and a number: the lines of one call have the same, with the prefix of the key. A batch, a
 *   `getMany` and a scan are one line for each key, those included that a scan did not have. The lines of a `scanTag` are
 *   one moment of one partition; what is written in one partition by a `batchIf` is, too.
 * - `outcome`: `ok`; `failed`, it certainly had no effect; `unknown`, a write that may have happened at any time after its start or never,
 *   and a read without an answer. A call whose condition did not hold is its writes, `failed`, and a `get` of what the condition met, at
 *   the same times; if nobody was told which value has the version that it met, that is `unknown` with a version and an end.
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
  const { process, kind, key, input = null, output = null, start, end, expiresAfter, version = null, call } = operation
  const { expected, valueUnknown, definiteFailure } = operation
  return JSON.stringify({
    process,
    type: kind,
    key,
    input,
    output,
    start: nanoseconds(start),
    end: end === undefined ? null : nanoseconds(end),
    expires: expiresAfter === undefined ? null : nanoseconds(expiresAfter),
    condition: expected === undefined ? null : { value: expected.value ?? null },
    version,
    action: call?.action ?? kind,
    call: call?.number ?? null,
    outcome: definiteFailure === true ? 'failed' : end === undefined || valueUnknown === true ? 'unknown' : 'ok'
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
