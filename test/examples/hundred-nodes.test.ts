/**
 * The main job, small: what it promises on its command line, in its summary, and about what it leaves behind.
 *
 * Runs the built program, as users do; `npm test` builds first.
 */
import { describe, expect, test } from 'vitest'
import type { Summary } from '../../examples/hundred-nodes/summary.ts'
import { runProgram } from './run-program.ts'

const PROGRAM = 'hundred-nodes/main.js'
const SMALL = ['--nodes', '12', '--join', '4', '--crash', '2', '--keys', '500', '--partitions', '64']

function summaryOf (stdout: string): Summary {
  const lines = stdout.trimEnd().split('\n')
  expect(lines).toHaveLength(1)
  return JSON.parse(lines[0]!) as Summary
}

describe('the main job', () => {
  test.each([['in one process', []], ['with a process for each node', ['--processes']]])('keeps its promises %s', async (_where, extra) => {
    const run = await runProgram(PROGRAM, [...SMALL, ...extra, '--json'])
    const summary = summaryOf(run.stdout)
    expect(summary).toMatchObject({
      ok: true,
      problems: [],
      nodes: 12,
      formation: { configurations: 1, distinctSizes: [12] },
      load: { keys: 500, verified: 500, failed: 0 },
      join: { nodes: 4, lost: 0, violations: 0, unavailablePartitions: 0, plan: { duplicates: 0 } },
      crash: { nodes: 2, lost: 0, violations: 0, unavailablePartitions: 0, plan: { duplicates: 0 } },
      sameConfigurationsEverywhere: true
    })
    expect(summary.formation.ms).toBeGreaterThan(0)
    for (const change of [summary.join, summary.crash]) {
      expect(change.viewChanges).toBeGreaterThanOrEqual(1)
      expect(change.viewChanges).toBeLessThanOrEqual(2)
      expect(change.distinctSizes).toHaveLength(change.viewChanges)
      expect(change.balancedMs).toBeGreaterThanOrEqual(change.convergedMs)
      expect(change.plan.moves).toBeGreaterThanOrEqual(change.plan.lowerBound)
      expect(change.plan.moves).toBe(change.plan.done + change.plan.superseded)
      expect(change.plan.done).toBeGreaterThan(0)
      expect(change.plan.bytes).toBeGreaterThan(0)
      // The loaded keys, and the probe keys of the traffic.
      expect(change.verified).toBeGreaterThan(500)
      expect(change.writes).toBeGreaterThan(0)
      expect(change.reads).toBeGreaterThan(0)
      expect(change.longestGapMs).toBeGreaterThan(0)
      expect([change.failedDefinite, change.failedIndefinite].every(Number.isInteger)).toBe(true)
    }
    expect(summary.join.distinctSizes.at(-1)).toBe(16)
    expect(summary.crash.distinctSizes.at(-1)).toBe(14)
    expect(run).toMatchObject({ code: 0, leftBehind: [], alive: [] })
  })

  test('prints a summary for people, and where to go next', async () => {
    const run = await runProgram(PROGRAM, ['--nodes', '3', '--join', '0', '--crash', '0', '--keys', '50', '--partitions', '16'])
    expect(run.stdout).toMatch('Everything held.')
    expect(run.stdout).toMatch('Where to go next')
    // No terminal, no control characters: a log file stays readable.
    expect(run.stdout).not.toMatch('\u001b')
    expect(run).toMatchObject({ code: 0, stderr: '', leftBehind: [] })
  })

  test.each([['in one process', []], ['with a process for each node', ['--processes']]])('leaves nothing behind after Ctrl-C %s', async (_where, extra) => {
    let interrupted = false
    const run = await runProgram(PROGRAM, [...SMALL, '--keys', '1000000', ...extra], (child, output) => {
      if (interrupted || !output.includes('a client writes')) return
      interrupted = true
      child.kill('SIGINT')
    })
    expect(run.stdout).toMatch('ended by SIGINT')
    expect(run).toMatchObject({ code: 130, leftBehind: [], alive: [] })
  })

  test.each([
    [['--nodes', 'many'], '--nodes must be an integer'],
    [['--colour', 'red'], '--colour'],
    [['extra'], 'extra'],
    [['--partitions', '100'], '--partitions must be a power of two'],
    [['--nodes', '2'], '--nodes must be at least --replicas'],
    [['--nodes', '12', '--crash', '6'], '--crash must be at most 3'],
    [['--replicas', '2', '--crash', '1'], '--crash needs at least 3 replicas']
  ])('refuses %j', async (args, message) => {
    const run = await runProgram(PROGRAM, args)
    expect(run).toMatchObject({ code: 2, stdout: '', leftBehind: [] })
    expect(run.stderr).toContain(message)
    expect(run.stderr).toContain('Usage:')
  })
})
