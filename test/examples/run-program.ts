/** Runs a built program as a process of its own, in a temporary directory of its own, so that what it leaves behind is seen. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** Names in the directory for temporary files when the program had ended. */
  readonly leftBehind: readonly string[]
  /** Processes that still lived then and had been given that directory: children of the program. */
  readonly alive: readonly number[]
}

/** Processes whose environment names `directory` as the place for temporary files. */
async function processesOf (directory: string): Promise<number[]> {
  const alive: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const environment = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '')
    if (environment.split('\0').includes(`TMPDIR=${directory}`)) alive.push(Number(name))
  }
  return alive
}

/** Called with the running program, and with all that it has written, at every new piece of output. */
export type Drive = (child: ChildProcess, output: string) => void

export async function runProgram (program: string, args: readonly string[] = [], drive: Drive = () => {}): Promise<Run> {
  const directory = await mkdtemp(join(tmpdir(), 'coterie-test-examples-'))
  try {
    const path = fileURLToPath(new URL(`../../dist/examples/${program}`, import.meta.url))
    const child = spawn(process.execPath, [path, ...args], { env: { ...process.env, TMPDIR: directory }, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; drive(child, stdout + stderr) })
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; drive(child, stdout + stderr) })
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    const alive = process.platform === 'linux' ? await processesOf(directory) : []
    return { code, stdout, stderr, leftBehind: await readdir(directory), alive }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
