/**
 * One node as an operating-system process, started by the CLI as an operator would: it can be killed, stopped and continued.
 *
 * Owns: the process. Whoever starts one ends it; one that is left over dies with this process.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createSystemClock } from '../../membership/environment/system.ts'
import { PATIENCE_MS } from './eventually.ts'

/** The built CLI, whether this file is built itself or not: what is shipped is what runs. */
export const CLI = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../dist/store/cli/main.js' : '../cli/main.js', import.meta.url))

const clock = createSystemClock()

/** Lines of standard error that are kept for the report of a failure. */
const ERROR_LINES_MAX = 200

export interface NodeEvent {
  readonly event: 'joined' | 'ready' | 'left' | 'closed'
  readonly address: string
  readonly storeId: string
  readonly epoch: number
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface CliResult extends Exit {
  readonly stdout: string
  readonly stderr: string
}

/** Ends a process with the one that holds the other end of its input, however that one ends. */
const END_WITH_PARENT = 'data:text/javascript,process.stdin.on("end", () => process.exit(9)).resume().unref()'

function launch (nodeArgs: readonly string[], args: readonly string[]): ChildProcess {
  if (!existsSync(CLI)) throw new Error(`${CLI} is missing: run npm run build first`)
  return spawn(process.execPath, [...nodeArgs, CLI, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
}

/** Runs one command to its end. A command that does not end in time is killed, which its `signal` shows. */
export async function runCli (args: readonly string[], { input = '', timeoutMs = PATIENCE_MS } = {}): Promise<CliResult> {
  const child = launch([], args)
  const texts = { stdout: '', stderr: '' }
  child.stdout!.on('data', (data: Buffer) => { texts.stdout += data.toString() })
  child.stderr!.on('data', (data: Buffer) => { texts.stderr += data.toString() })
  // A command that never reads its input closes the pipe; what it says is in its output.
  child.stdin!.on('error', () => {})
  child.stdin!.end(input)
  const cancel = clock.setTimer(timeoutMs, () => { child.kill('SIGKILL') })
  try {
    return await new Promise(resolve => { child.once('close', (code, signal) => { resolve({ code, signal, ...texts }) }) })
  } finally {
    cancel()
  }
}

export class NodeProcess {
  readonly #child: ChildProcess
  readonly #exit: Promise<Exit>
  readonly #events: NodeEvent[] = []
  readonly #errors: string[] = []
  #notify: () => void = () => {}
  #ended = false

  /**
   * @param args what follows `coterie start --json`
   * @param nodeArgs options of Node.js itself
   */
  constructor (args: readonly string[], nodeArgs: readonly string[] = []) {
    const child = this.#child = launch([...nodeArgs, '--import', END_WITH_PARENT], ['start', '--json', ...args])
    createInterface({ input: child.stdout! }).on('line', line => {
      this.#events.push(JSON.parse(line) as NodeEvent)
      this.#notify()
    })
    createInterface({ input: child.stderr! }).on('line', line => {
      if (this.#errors.length < ERROR_LINES_MAX) this.#errors.push(line)
    })
    this.#exit = new Promise(resolve => {
      child.once('close', (code, signal) => {
        this.#ended = true
        resolve({ code, signal })
        this.#notify()
      })
    })
  }

  get errors (): string { return this.#errors.join('\n') }
  get pid (): number { return this.#child.pid! }
  get ended (): boolean { return this.#ended }

  /** Resolves with the first event of that kind. @throws when the process ends before it, or it does not come in time */
  async event (kind: NodeEvent['event'], timeoutMs = PATIENCE_MS): Promise<NodeEvent> {
    const deadline = clock.now() + timeoutMs
    for (;;) {
      const found = this.#events.find(({ event }) => event === kind)
      if (found !== undefined) return found
      if (this.#ended) throw new Error(`the node ended before it was ${kind}:\n${this.errors}`)
      const leftMs = deadline - clock.now()
      if (leftMs <= 0) throw new Error(`the node was not ${kind} within ${timeoutMs} ms:\n${this.errors}`)
      await new Promise<void>(resolve => {
        const cancel = clock.setTimer(leftMs, resolve)
        this.#notify = () => { cancel(); resolve() }
      })
    }
  }

  /** Sends a signal to this process, by its id. */
  signal (signal: NodeJS.Signals): void {
    if (!this.#ended) this.#child.kill(signal)
  }

  /** Resolves when the process is gone. @throws when it is not in time */
  async exit (timeoutMs = PATIENCE_MS): Promise<Exit> {
    let cancel = (): void => {}
    const late = new Promise<never>((_resolve, reject) => {
      cancel = clock.setTimer(timeoutMs, () => { reject(new Error(`the node did not end within ${timeoutMs} ms:\n${this.errors}`)) })
    })
    try {
      return await Promise.race([this.#exit, late])
    } finally {
      cancel()
    }
  }

  /** Ends it as a loss of power would, stopped or not. */
  async kill (): Promise<void> {
    this.signal('SIGKILL')
    await this.exit()
  }
}
