/**
 * Nodes that are operating-system processes: started by fork, driven by messages over its channel, killed by SIGKILL.
 *
 * Owns the child process.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { NodeStatus } from 'coterie'
import { type NodeEvent, type NodeFactory, type NodeHandle, NodeHistory, type NodeSpec } from './node-handle.ts'

/** What the parent asks of a child. */
export type Command = { readonly kind: 'start' } | { readonly kind: 'status', readonly request: number }

/** What a child tells its parent. */
export type Report =
  | { readonly kind: 'event', readonly event: NodeEvent }
  /** The program is loaded. */
  | { readonly kind: 'prepared' }
  | { readonly kind: 'started' }
  | { readonly kind: 'refused', readonly message: string }
  | { readonly kind: 'status', readonly request: number, readonly status: NodeStatus }

/** How long a child may take to end after its channel closed, before it is killed. */
const CLOSE_TIMEOUT_MS = 10_000

const ENTRY = fileURLToPath(new URL('./node-process.js', import.meta.url))

interface Waiter<T> { resolve (value: T): void, reject (error: Error): void }

class ProcessNode implements NodeHandle {
  readonly spec: NodeSpec
  readonly history = new NodeHistory()
  readonly #verbose: boolean
  #child: ChildProcess | undefined
  #exited: Promise<unknown> = Promise.resolve()
  #prepared: Promise<void> | undefined
  #waiting: Waiter<void> | undefined
  readonly #requests = new Map<number, Waiter<NodeStatus>>()
  #lastRequest = 0
  #ending = false

  constructor (spec: NodeSpec, verbose: boolean) {
    this.spec = spec
    this.#verbose = verbose
  }

  prepare (signal: AbortSignal): Promise<void> {
    return this.#prepared ??= this.#report(signal, () => { this.#fork() })
  }

  async start (signal: AbortSignal): Promise<void> {
    await this.prepare(signal)
    await this.#report(signal, () => { this.#send({ kind: 'start' }) })
  }

  #fork (): void {
    const child = this.#child = fork(ENTRY, [JSON.stringify(this.spec)], {
      stdio: ['ignore', 'ignore', this.#verbose ? 'inherit' : 'ignore', 'ipc'],
      serialization: 'advanced'
    })
    this.#exited = new Promise(resolve => {
      child.once('exit', resolve)
      // A process that could not be started never exits.
      child.once('error', error => { if (child.pid === undefined) resolve(error) })
    })
    child.on('message', report => { this.#receive(report as Report) })
    child.on('error', error => { this.#end(error) })
    child.on('exit', (code, killer) => { this.#end(new Error(`${this.spec.name} ended by ${killer ?? `exit code ${code}`}`)) })
  }

  /** Does something that the child will report the end of, and waits for that. */
  async #report (signal: AbortSignal, act: () => void): Promise<void> {
    signal.throwIfAborted()
    const abort = (): void => { this.#waiting?.reject(signal.reason as Error) }
    signal.addEventListener('abort', abort, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting = { resolve, reject }
        act()
      })
    } finally {
      signal.removeEventListener('abort', abort)
      this.#waiting = undefined
    }
  }

  status (): Promise<NodeStatus> {
    const request = ++this.#lastRequest
    return new Promise((resolve, reject) => {
      this.#requests.set(request, { resolve, reject })
      this.#send({ kind: 'status', request })
    })
  }

  async kill (): Promise<void> {
    this.#ending = true
    this.#child?.kill('SIGKILL')
    await this.#exited
  }

  async close (): Promise<void> {
    this.#ending = true
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    if (child.connected) child.disconnect()
    const timer = setTimeout(() => { child.kill('SIGKILL') }, CLOSE_TIMEOUT_MS)
    await this.#exited
    clearTimeout(timer)
  }

  abandon (): void {
    this.#child?.kill('SIGKILL')
  }

  #send (command: Command): void {
    // A channel that has closed reports it by the exit of its child.
    this.#child!.send(command, error => { if (error !== null) this.#end(error) })
  }

  #receive (report: Report): void {
    switch (report.kind) {
      case 'event': this.history.add(report.event); break
      case 'prepared':
      case 'started': this.#waiting?.resolve(); break
      case 'refused': this.#waiting?.reject(new Error(`${this.spec.name}: ${report.message}`)); break
      case 'status':
        this.#requests.get(report.request)?.resolve(report.status)
        this.#requests.delete(report.request)
        break
    }
  }

  #end (error: Error): void {
    if (!this.#ending) this.history.add({ kind: 'failed', message: error.message })
    this.#waiting?.reject(error)
    for (const request of this.#requests.values()) request.reject(error)
    this.#requests.clear()
  }
}

export function processNodes (verbose: boolean): NodeFactory {
  return spec => new ProcessNode(spec, verbose)
}
