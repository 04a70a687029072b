/**
 * Members that are processes of their own, as the process that started them sees them.
 *
 * Owns: the process, which ends with `kill`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** The failure detectors that a member may be given. */
export const DETECTOR_NAMES = ['phiAccrual', 'windowedPing'] as const
export type DetectorName = typeof DETECTOR_NAMES[number]

/** What a member prints: a configuration that it has from now on, and whom it lacks of the one before; first that it is up, as epoch 0. */
export interface MemberLine {
  /** By the clock of the machine, which all processes share. */
  readonly atMs: number
  readonly address: string
  readonly epoch: number
  readonly id: string
  readonly size: number
  readonly removed: readonly string[]
}

const PROGRAM = fileURLToPath(new URL('./member.js', import.meta.url))
const POLL_MS = 20

export class MemberProcess {
  readonly lines: MemberLine[] = []
  readonly #child: ChildProcess

  /** @param args what member.ts is given @param wrapper a command that runs the program somewhere else, such as `ip netns exec NAME` */
  constructor (args: readonly string[], wrapper: readonly string[] = []) {
    const [command, ...rest] = [...wrapper, process.execPath, PROGRAM, ...args] as [string, ...string[]]
    this.#child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout! }).on('line', line => { this.lines.push(JSON.parse(line) as MemberLine) })
  }

  get pid (): number | undefined {
    return this.#child.pid
  }

  /** Ends it as a crash does. Resolves once it is gone. */
  async kill (): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}

/** Waits until something is so. @returns false when time is up. */
export async function waitFor (isSo: () => boolean, limitMs: number): Promise<boolean> {
  const endMs = Date.now() + limitMs
  while (!isSo()) {
    if (Date.now() >= endMs) return false
    await delay(POLL_MS)
  }
  return true
}

/** Waits until all have one configuration of that size. @returns when the last one got it, or undefined when time is up. */
export async function agree (processes: readonly MemberProcess[], size: number, limitMs: number): Promise<number | undefined> {
  let agreedMs: number | undefined
  await waitFor(() => {
    const last = processes.map(({ lines }) => lines.at(-1))
    if (!last.every(line => line !== undefined && line.id === last[0]!.id && line.size === size)) return false
    agreedMs = Math.max(...last.map(line => line!.atMs))
    return true
  }, limitMs)
  return agreedMs
}
