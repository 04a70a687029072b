/**
 * `coterie verify` as a user runs it: its report, its exit code, and a history file that another checker can judge.
 *
 * Mutations that were tried and are caught here: a history line without its outcome; at the end each key read with the value of another
 * (the command then names the key, and exits with 1).
 * Mutations that were tried on nodes, and that the command found in six seconds of work, with what it said in the end: a write happens
 * although its condition fails; conditions are not looked at; a failed condition names another version; a scan leaves out its last key now
 * and then; (of the disks) a value is replaced on one of them, checksum included; old copies are not deleted, under churn.
 * What each check can find is shown in test/unit/store/verify-workload.test.ts and verify-disks.test.ts.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { checkHistory } from '../../store/verify/checker.ts'
import { PATIENCE_MS } from '../../store/verify/eventually.ts'
import type { HistoryOperation } from '../../store/verify/history.ts'
import { checkVersions } from '../../store/verify/versions.ts'
import { runCli } from '../../store/verify/node-process.ts'
import type { VerifyReport } from '../../store/verify/report.ts'

const directories: string[] = []

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
})

interface Line {
  readonly process: number
  readonly type: HistoryOperation['kind']
  readonly key: string
  readonly input: string | null
  readonly output: string | null
  readonly start: number
  readonly end: number | null
  readonly expires: number | null
  readonly condition: { readonly value: string | null } | null
  readonly version: number | null
  readonly action: string
  readonly call: number | null
  readonly outcome: 'ok' | 'failed' | 'unknown'
}

const operationOf = ({ process, type, key, input, output, start, end, expires, condition, version, outcome }: Line): HistoryOperation => ({
  process,
  key,
  kind: type,
  ...input === null ? {} : { input },
  ...output === null ? {} : { output },
  start,
  end: end ?? undefined,
  ...expires === null ? {} : { expiresAfter: expires },
  ...condition === null ? {} : { expected: { value: condition.value ?? undefined } },
  ...version === null ? {} : { version },
  ...type === 'get' && outcome === 'unknown' ? { valueUnknown: true } : {},
  ...outcome === 'failed' ? { definiteFailure: true } : {}
})

test('a cluster of processes is verified, and every operation is in the history file', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'coterie-verify-'))
  directories.push(directory)
  const path = join(directory, 'history.jsonl')
  const { code, stdout, stderr } = await runCli(['verify', '--nodes', '3', '--minutes', '0.05', '--json', '--history', path])
  expect(code, stderr).toBe(0)
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as VerifyReport
  expect(report).toMatchObject({ ok: true, problems: [], duplicates: 0, failedDefinite: 0, failedIndefinite: 0 })
  // Three replicas of 64 partitions.
  expect(report.copies).toBe(3 * 64)
  expect(report.values).toBeGreaterThan(0)
  expect(Math.min(report.conditionsHeld, report.conditionsFailed, report.scans)).toBeGreaterThan(0)
  const lines = (await readFile(path, 'utf8')).trim().split('\n').map(line => JSON.parse(line) as Line)
  for (const { outcome } of lines) expect(['ok', 'failed', 'unknown']).toContain(outcome)
  const history = lines.map(operationOf)
  expect(history.length).toBeGreaterThanOrEqual(report.operations)
  expect(checkHistory(history)).toEqual({ ok: true })
  expect(checkVersions(history)).toBeUndefined()
  for (const action of ['put', 'putFor', 'get', 'putIf', 'delIf', 'batchIf', 'scan', 'scanTag']) expect(lines.map(line => line.action)).toContain(action)
  // Nothing failed but conditions: each such call says what it met, which is not what was asked for.
  const failed = lines.filter(({ outcome }) => outcome === 'failed')
  expect(new Set(failed.map(({ process, call }) => `${process} ${call}`)).size).toBe(report.conditionsFailed)
  for (const { process, call } of failed) {
    const [met, ...others] = lines.filter(line => line.call === call && line.process === process && line.type === 'get')
    expect(others).toEqual([])
    const asked = failed.find(line => line.call === call && line.process === process && line.key === met!.key)!
    if (met!.outcome === 'ok') expect(asked.condition!.value).not.toBe(met!.output)
  }
  expect(report.expiring).toBeGreaterThan(0)
  // Values are gone that nobody deleted.
  expect(checkHistory(history.map(({ expiresAfter: _, ...operation }) => operation))).toMatchObject({ ok: false })
  const read = history.findIndex(({ kind, output }) => kind === 'get' && output !== undefined)
  const wrong = history.map((operation, index) => index === read ? { ...operation, output: 'never written' } : operation)
  expect(checkHistory(wrong)).toMatchObject({ ok: false, key: history[read]!.key })
})

test('a cluster is verified while a node leaves, and while others are killed as far as there is time', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'coterie-verify-'))
  directories.push(directory)
  const path = join(directory, 'history.jsonl')
  // With this seed one node leaves first; then one is killed and starts again, unless the machine is so slow that the time is over by then.
  const args = ['verify', '--nodes', '5', '--minutes', '0.5', '--churn', '--seed', '14', '--json', '--history', path]
  const { code, stdout, stderr } = await runCli(args, { timeoutMs: 2 * PATIENCE_MS })
  expect(code, stderr).toBe(0)
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as VerifyReport
  expect(report).toMatchObject({ ok: true, problems: [], duplicates: 0 })
  expect(report.events.leave).toBeGreaterThan(0)
  expect(report.succeeded).toBeGreaterThan(0)
  const history = (await readFile(path, 'utf8')).trim().split('\n').map(line => operationOf(JSON.parse(line) as Line))
  expect(history.length).toBeGreaterThanOrEqual(report.operations)
  expect(checkHistory(history)).toEqual({ ok: true })
})

test('what it cannot do it says before it starts anything', async () => {
  expect(await runCli(['verify', '--nodes', '2'])).toMatchObject({ code: 2, stdout: '' })
  expect(await runCli(['verify', '--minutes', 'soon'])).toMatchObject({ code: 2, stdout: '' })
  const unwritable = await runCli(['verify', '--history', '/nowhere/history.jsonl'])
  expect(unwritable).toMatchObject({ code: 2, stdout: '' })
  expect(unwritable.stderr).toContain('STORE_INVALID_OPTIONS')
})
