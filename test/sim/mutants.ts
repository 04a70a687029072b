/**
 * Breaks the replication core on purpose, one rule at a time, and runs the store's scenario until a seed notices: `npm run mutants`.
 *
 *     --limit N      seeds per mutant (60); one that survives them all is an error
 *     --only TEXT    mutants whose name contains this
 *     --workers W    processes (one per core)
 *
 * Prints one line per mutant: its name, the seed that caught it, how many seeds that took, and what was seen. A scenario that does
 * not notice a broken rule proves nothing about the rule, so a survivor is a reason to sharpen the scenario or the oracle. For rules that the
 * scenario does not look at, a test is named in the list, and run in its place.
 *
 * Run it in the root of the repository, after a build. Owns: copies of the build, or of the sources, in a temporary directory, removed at the end.
 */
import { fork, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import ts from 'typescript'
import type { CancelTimer } from '../../membership/environment/environment.ts'
import { createSystemClock } from '../../membership/environment/system.ts'
import { positiveInteger, runProgram, UsageError } from '../program.ts'
import { MUTANTS, type Mutant } from './mutant-list.ts'

const DURATION_MS = 20_000
/**
 * A seed, or a test that is started from nothing, takes no longer than this in real time on a machine that is slow and busy; one that does is
 * stuck, which is a way to be caught.
 */
const STUCK_MS = 600_000

const clock = createSystemClock()

type Report = { readonly seed: number, readonly error?: string }

/** Where the compiled program is, and so what a copy must contain. */
const BUILD = resolve(fileURLToPath(import.meta.url), '../../..')
/** Where the sources are. */
const ROOT = process.cwd()

/** The changed source. @throws {Error} when the mutation does not fit it. */
function mutatedSource ({ name, file, find, replace }: Mutant): string {
  const source = readFileSync(join(ROOT, file), 'utf8')
  if (source.split(find).length !== 2) throw new Error(`mutant '${name}': ${file} must have this exactly once: ${find}`)
  return source.replace(find, () => replace)
}

/** A copy of the sources with one file changed. @throws as `mutatedSource` */
function mutateSources (directory: string, mutant: Mutant): void {
  for (const name of ['membership', 'ring', 'store', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts']) {
    cpSync(join(ROOT, name), join(directory, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, mutant.file), mutatedSource(mutant))
}

/** Runs a test in such a copy. @returns what it said when it failed */
function runTest (directory: string, test: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const args = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', test, '--maxWorkers=1']
    const child = spawn(process.execPath, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, NO_COLOR: '1' } })
    let output = ''
    const collect = (chunk: Buffer): void => { output += chunk.toString() }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    // With the workers that it started, which a test that never ends would keep.
    const cancel = clock.setTimer(STUCK_MS, () => { process.kill(-child.pid!, 'SIGKILL') })
    child.on('error', reject)
    child.on('exit', code => {
      cancel()
      if (code === 0) resolve(undefined)
      else if (code === null) resolve(`no end within ${STUCK_MS} ms`)
      // A run in which nothing was tested has not caught anything.
      else if (!/ failed/.test(output)) reject(new Error(`${test} could not be run:\n${output}`))
      else resolve(/^.*Error: .*$/m.exec(output)?.[0] ?? 'it failed')
    })
  })
}

/** A copy of the build in which one file is compiled from a changed source. @throws as `mutatedSource` */
function mutate (directory: string, mutant: Mutant): void {
  for (const folder of ['membership', 'ring', 'store', 'test']) {
    cpSync(join(BUILD, folder), join(directory, folder), { recursive: true, filter: path => !/\.(map|d\.ts)$/.test(path) })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  const compilerOptions: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true
  }
  const { outputText } = ts.transpileModule(mutatedSource(mutant), { compilerOptions, fileName: mutant.file })
  writeFileSync(join(directory, mutant.file.replace(/\.ts$/, '.js')), outputText)
}

/** Runs seeds in a child process of the mutated copy until one fails. */
function runUntilCaught (directory: string, limit: number): Promise<Report | undefined> {
  return new Promise((resolve, reject) => {
    const child = fork(join(directory, 'test/sim/soak.js'), ['--worker'], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    let seed = 0
    let cancel: CancelTimer = () => {}
    const end = (report: Report | undefined): void => {
      cancel()
      child.removeAllListeners()
      child.kill('SIGKILL')
      resolve(report)
    }
    const next = (): void => {
      cancel()
      if (seed === limit) { end(undefined); return }
      seed++

      cancel = clock.setTimer(STUCK_MS, () => { end({ seed, error: `no end within ${STUCK_MS} ms` }) })
      child.send({ seed, durationMs: DURATION_MS })
    }
    child.on('message', (report: Report) => { if (report.error === undefined) next(); else end(report) })
    child.on('exit', code => { end({ seed, error: `the process ended with code ${code}` }) })
    child.on('error', reject)
    next()
  })
}

async function bySeeds (directory: string, mutant: Mutant, limit: number): Promise<string> {
  mutate(directory, mutant)
  const caught = await runUntilCaught(directory, limit)
  return caught === undefined ? `SURVIVED ${limit} seeds` : `caught by seed ${caught.seed}, ${caught.seed} seeds needed: ${firstLine(caught.error)}`
}

async function byTest (directory: string, mutant: Mutant, test: string): Promise<string> {
  mutateSources(directory, mutant)
  const said = await runTest(directory, test)
  return said === undefined ? `SURVIVED ${test}` : `caught by ${test}: ${firstLine(said)}`
}

async function main (): Promise<number> {
  const { values } = parseArgs({
    options: {
      limit: { type: 'string', default: '60' },
      only: { type: 'string', default: '' },
      workers: { type: 'string', default: String(availableParallelism()) }
    }
  })
  const limit = positiveInteger('limit', values.limit)
  const workers = positiveInteger('workers', values.workers)
  const queue = MUTANTS.filter(({ name }) => name.includes(values.only))
  const count = queue.length
  if (count === 0) throw new UsageError(`--only: no mutant has '${values.only}' in its name`)
  const survivors: string[] = []
  const base = mkdtempSync(join(tmpdir(), 'coterie-mutants-'))
  const work = async (): Promise<void> => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const directory = mkdtempSync(join(base, 'mutant-'))
      const how = mutant.test === undefined ? await bySeeds(directory, mutant, limit) : await byTest(directory, mutant, mutant.test)
      rmSync(directory, { recursive: true, force: true })
      if (how.startsWith('SURVIVED')) survivors.push(mutant.name)
      process.stdout.write(`${mutant.rule.padEnd(4)} ${mutant.name}, ${how}\n`)
    }
  }
  try {
    await Promise.all(Array.from({ length: workers }, work))
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
  process.stdout.write(`${count - survivors.length} of ${count} mutants caught\n`)
  return survivors.length > 0 ? 1 : 0
}

const firstLine = (text = ''): string => text.split('\n')[0]!.slice(0, 140)

await runProgram(main)
