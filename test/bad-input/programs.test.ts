/**
 * The programs of the tests and benchmarks given what they do not take: they say so in one line and end with code 2. One that ran nothing must
 * not look like one that passed.
 *
 * Mutations that this catches: numbers are taken as they come; `mutants` goes on without any mutant; `bench` without any row.
 */
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'

const run = (program: string, args: readonly string[]): ReturnType<typeof spawnSync> =>
  spawnSync(process.execPath, [resolve('dist/test', program), ...args], { encoding: 'utf8', timeout: 30_000, killSignal: 'SIGKILL' })

test.each([
  ['sim/soak.js', ['--seeds', '1O0'], /^--seeds must be a positive integer, not '1O0'\n$/u],
  ['sim/soak.js', ['--seeds', '0'], /^--seeds must be a positive integer, not '0'\n$/u],
  ['sim/soak.js', ['--seed', ''], /^--seed must be a positive integer, not ''\n$/u],
  ['sim/soak.js', ['--durability', 'none'], /^--durability must be sync or os, not 'none'\n$/u],
  ['sim/soak.js', ['--sedes', '3'], /^Unknown option '--sedes'.*\n$/u],
  ['sim/mutants.js', ['--limit=-1'], /^--limit must be a positive integer, not '-1'\n$/u],
  ['sim/mutants.js', ['--workers', '1.5'], /^--workers must be a positive integer, not '1.5'\n$/u],
  ['sim/mutants.js', ['--only', 'no mutant is called that'], /^--only: no mutant has 'no mutant is called that' in its name\n$/u],
  ['bench/main.js', ['formation', '--n', 'many'], /^--n must be a positive integer, not 'many'\n$/u],
  ['bench/main.js', ['failover', '--only', 'nothing'], /^--only must be one of kill, drain, .*, not nothing\n$/u],
  ['bench/main.js', ['namespaces', '--detector', 'nobody'], /^--detector must be one of .*, not nobody\n$/u],
  ['bench/main.js', ['membership', '--only', 'nothing'], /^--only: no scenario of membership has 'nothing' in its name\n$/u],
  ['bench/main.js', ['nothing'], /^usage: .*\n$/u]
])('%s %j', (program, args, said) => {
  const { status, stdout, stderr } = run(program, args)
  expect(stderr).toMatch(said)
  expect([status, stdout]).toEqual([2, ''])
})
