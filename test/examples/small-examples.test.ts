/**
 * Every example does what it says, ends by itself with exit code 0, and leaves nothing behind.
 *
 * Runs the built programs, as users do; `npm test` builds first.
 */
import { describe, expect, test } from 'vitest'
import { runProgram } from './run-program.ts'

const EXAMPLES: Readonly<Record<string, readonly (string | RegExp)[]>> = {
  'alternate-storage': ['three nodes keep their data in memory', 'still gives the same store', 'read 100 of 100 keys as they should be'],
  'observe-rebalance': [
    'configuration 3 has 4 members', /the plan: (\d+) moves, of which no plan could save any below \1;/, /d: (\d+) of \1 moves done, \d+ bytes received, 0 twice/,
    'configuration 4 has 3 members', /remove \w+: \d+ alerts/, '2000 of 2000 keys are still there'
  ],
  'membership-only': ['removed: eve (archive)', 'why, as ada knows it', 'removed: dan (worker)', 'ada, ben and cleo have the same configuration'],
  'own-data-store': ['200 entries, each at the one owner of its key', 'd: 8 partitions', 'nothing else moved', /b has crashed: .* and its \d+ entries are gone/]
}

describe('the examples', () => {
  test.each(Object.entries(EXAMPLES))('%s', async (name, expected) => {
    const run = await runProgram(`${name}.js`)
    expect(run.stderr).toBe('')
    for (const text of expected) expect(run.stdout).toMatch(text)
    expect(run).toMatchObject({ code: 0, leftBehind: [], alive: [] })
  })

  test('are found by name', async () => {
    const unknown = await runProgram('run.js', ['no-such-example'])
    expect(unknown.code).toBe(2)
    for (const name of Object.keys(EXAMPLES)) expect(unknown.stderr).toContain(name)
    const help = await runProgram('run.js', ['hundred-nodes', '--help'])
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining('--processes') as unknown })
  })
})
