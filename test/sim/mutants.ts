/**
 * Breaks the replication core on purpose, one rule at a time, and runs the store's scenario until a seed notices: `npm run mutants`.
 *
 *     --limit N      seeds per mutant (60); one that survives them all is an error
 *     --only TEXT    mutants whose name contains this
 *     --workers W    processes (one per core)
 *
 * Prints one line per mutant: its name, the seed that caught it, how many seeds that took, and what was seen. A scenario that does
 * not notice a broken rule proves nothing about the rule, so a survivor is a reason to sharpen the scenario or the oracle.
 *
 * Run it in the root of the repository, after a build. Owns: copies of the build in a temporary directory, removed at the end.
 */
import { fork } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import ts from 'typescript'
import type { CancelTimer } from '../../membership/environment/environment.ts'
import { createSystemClock } from '../../membership/environment/system.ts'
import { MUTANTS, type Mutant } from './mutant-list.ts'

const DURATION_MS = 20_000
/** A seed that runs longer than this in real time is stuck, which is a way to be caught. */
const SEED_TIMEOUT_MS = 120_000

const clock = createSystemClock()

type Report = { readonly seed: number, readonly error?: string }

/** Where the compiled program is, and so what a copy must contain. */
const BUILD = resolve(fileURLToPath(import.meta.url), '../../..')

/** A copy of the build in which one file is compiled from a changed source. @throws {Error} when the mutation does not fit the source. */
function mutate (directory: string, { name, file, find, replace }: Mutant): void {
  for (const folder of ['membership', 'ring', 'store', 'test']) {
    cpSync(join(BUILD, folder), join(directory, folder), { recursive: true, filter: path => !/\.(map|d\.ts)$/.test(path) })
  }
  const root = process.cwd()
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  const source = readFileSync(join(root, file), 'utf8')
  if (source.split(find).length !== 2) throw new Error(`mutant '${name}': ${file} must have this exactly once: ${find}`)
  const compilerOptions: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true
  }
  const { outputText } = ts.transpileModule(source.replace(find, () => replace), { compilerOptions, fileName: file })
  writeFileSync(join(directory, file.replace(/\.ts$/, '.js')), outputText)
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

      cancel = clock.setTimer(SEED_TIMEOUT_MS, () => { end({ seed, error: `no end within ${SEED_TIMEOUT_MS} ms` }) })
      child.send({ seed, durationMs: DURATION_MS })
    }
    child.on('message', (report: Report) => { if (report.error === undefined) next(); else end(report) })
    child.on('exit', code => { end({ seed, error: `the process ended with code ${code}` }) })
    child.on('error', reject)
    next()
  })
}

async function main (): Promise<void> {
  const { values } = parseArgs({
    options: {
      limit: { type: 'string', default: '60' },
      only: { type: 'string', default: '' },
      workers: { type: 'string', default: String(availableParallelism()) }
    }
  })
  const limit = Number(values.limit)
  const queue = MUTANTS.filter(({ name }) => name.includes(values.only))
  const count = queue.length
  const survivors: string[] = []
  const base = mkdtempSync(join(tmpdir(), 'coterie-mutants-'))
  const work = async (): Promise<void> => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const directory = mkdtempSync(join(base, 'mutant-'))
      mutate(directory, mutant)
      const caught = await runUntilCaught(directory, limit)
      rmSync(directory, { recursive: true, force: true })
      if (caught === undefined) survivors.push(mutant.name)
      const how = caught === undefined ? `SURVIVED ${limit} seeds` : `caught by seed ${caught.seed}, ${caught.seed} seeds needed: ${firstLine(caught.error)}`
      process.stdout.write(`${mutant.rule.padEnd(4)} ${mutant.name}, ${how}\n`)
    }
  }
  try {
    await Promise.all(Array.from({ length: Number(values.workers) }, work))
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
  process.stdout.write(`${count - survivors.length} of ${count} mutants caught\n`)
  if (survivors.length > 0) process.exitCode = 1
}

const firstLine = (text = ''): string => text.split('\n')[0]!.slice(0, 140)

await main()
