/**
 * Runs suites that were written for tape under vitest: abstract-level ships its own test suite in that form.
 *
 * Of tape it has what those suites use: plans, ends, promises, subtests, and the handful of assertions.
 */
import assert from 'node:assert/strict'
import { test } from 'vitest'

export interface TapeTest {
  plan (count: number): void
  end (): void
  is (actual: unknown, expected: unknown, message?: string): void
  isNot (actual: unknown, expected: unknown, message?: string): void
  same (actual: unknown, expected: unknown, message?: string): void
  ok (value: unknown, message?: string): void
  notOk (value: unknown, message?: string): void
  pass (message?: string): void
  fail (message?: unknown): void
  ifError (error: unknown, message?: string): void
  throws (action: () => void, expected?: ((error: unknown) => boolean), message?: string): void
  doesNotThrow (action: () => void, message?: string): void
  comment (message: string): void
  test (name: string, body: TapeBody): void
}
export type TapeBody = (t: TapeTest) => unknown
export type Tape = ((name: string, body: TapeBody) => void) & { skip: (name: string, body: TapeBody) => void }

/** Settles when the body's plan is fulfilled, its `end` called, or its promise resolved, whichever of them it relies on. */
async function run (body: TapeBody): Promise<void> {
  const subtests: TapeBody[] = []
  await new Promise<void>((resolve, reject) => {
    let planned: number | undefined
    let count = 0
    let ended = false
    let returned = false
    let isPromise = false
    const settle = (): void => {
      if (planned !== undefined && count > planned) reject(new Error(`${count} assertions, but the plan was ${planned}`))
      else if (!returned) return
      else if (planned !== undefined ? count === planned : ended || isPromise || subtests.length > 0) resolve()
    }
    const asserting = (check: () => void): void => {
      count++
      try {
        check()
      } catch (error) {
        reject(error as Error)
      }
      settle()
    }
    const t: TapeTest = {
      plan: number => { planned = number },
      end: () => { ended = true; settle() },
      is: (actual, expected, message) => asserting(() => assert.equal(actual, expected, message)),
      isNot: (actual, expected, message) => asserting(() => assert.notEqual(actual, expected, message)),
      same: (actual, expected, message) => asserting(() => assert.deepEqual(actual, expected, message)),
      ok: (value, message) => asserting(() => assert.ok(value, message)),
      notOk: (value, message) => asserting(() => assert.ok(!value, message)),
      pass: () => asserting(() => {}),
      fail: message => asserting(() => { throw message instanceof Error ? message : new Error(String(message ?? 'failed')) }),
      ifError: (error, message) => asserting(() => assert.ok(error === null || error === undefined, message ?? String(error))),
      throws: (action, expected) => asserting(() => expected === undefined ? assert.throws(action) : assert.throws(action, expected)),
      doesNotThrow: action => asserting(() => assert.doesNotThrow(action)),
      comment: () => {},
      test: (_name, subtest) => { subtests.push(subtest); count++; settle() }
    }
    const finish = (): void => { returned = true; settle() }
    try {
      const result = body(t)
      isPromise = typeof (result as PromiseLike<unknown> | undefined)?.then === 'function'
      if (isPromise) (result as Promise<unknown>).then(finish, reject)
      else finish()
    } catch (error) {
      reject(error as Error)
    }
  })
  for (const subtest of subtests) await run(subtest)
}

/** What tape's `test` is to such a suite. */
export const tape: Tape = Object.assign(
  (name: string, body: TapeBody) => { test(name, () => run(body)) },
  { skip: (name: string, body: TapeBody) => { test.skip(name, () => run(body)) } }
)
