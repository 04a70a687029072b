/**
 * Leaving the cluster, asked for by this process or over the wire: once per node, and the status tells how far it is.
 *
 * `draining` until nothing is left here, then `leaving` until the others know; then the node is closed. A drain that cannot end, or was taken
 * back, leaves the node running (`failed`), and it may be asked again. Who cannot wait any longer asks it to leave at once, which
 * ends the wait for the drain.
 *
 * Owns nothing; ends the node by what it was given.
 */
import type { Log } from '../membership/environment/environment.ts'
import type { Membership } from '../membership/index.ts'
import type { LeaveMode } from './client-protocol.ts'
import type { Drain } from './drain.ts'
import { StoreError } from './errors.ts'
import { JointSignal } from './joint-signal.ts'

export interface DepartureStatus {
  readonly state: 'draining' | 'leaving' | 'failed'
  /** Why it failed. */
  readonly code?: string
  readonly message?: string
}

export interface DepartureComponents {
  readonly membership: Pick<Membership<never>, 'leave'>
  readonly drain: Pick<Drain, 'beforeLeaving'>
  readonly log: Log
  /** The others know that this node is gone. */
  readonly left: () => void
  /** Stops the node. */
  readonly close: () => Promise<void>
  /** Leaving failed after nobody waited for it any more, and the node is closed. */
  readonly failed: (error: Error) => void
}

export interface LeaveOptions {
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

export class Departure {
  readonly #components: DepartureComponents
  #status: DepartureStatus | undefined
  /** The node is closed. */
  #over = false
  /** Ends the wait for the drain. Set while there is one. */
  #hurry: AbortController | undefined

  constructor (components: DepartureComponents) {
    this.#components = components
  }

  /** Undefined while nobody has asked. */
  get status (): DepartureStatus | undefined { return this.#status }

  get #underWay (): boolean { return this.#status !== undefined && this.#status.state !== 'failed' }

  /** Resolves when the node has left and is closed. @throws as `StoreNode.leave` */
  async leave (mode: LeaveMode, options: LeaveOptions = {}): Promise<void> {
    const { membership, left, close } = this.#components
    if (this.#over) return
    if (this.#underWay) {
      this.#hasten(mode)
      throw new StoreError('STORE_CLOSED', 'this node is leaving already')
    }
    if (mode === 'drained') await this.#drain(options.signal)
    this.#status = { state: 'leaving' }
    try {
      await membership.leave(options)
      left()
    } finally {
      this.#over = true
      await close()
    }
  }

  /** Begins to leave, and waits for nothing; the status tells what comes of it. Asked again, it goes on as it was, or leaves at once. */
  request (mode: LeaveMode): void {
    if (this.#underWay) {
      this.#hasten(mode)
      return
    }
    this.leave(mode).catch((error: unknown) => {
      this.#components.log.warn({ error }, 'this node was asked to leave, and could not')
      if (this.#status?.state !== 'failed') this.#components.failed(error as Error)
    })
  }

  #hasten (mode: LeaveMode): void {
    if (mode === 'now') this.#hurry?.abort()
  }

  async #drain (signal: AbortSignal | undefined): Promise<void> {
    const hurry = this.#hurry = new AbortController()
    this.#status = { state: 'draining' }
    try {
      const ending = new JointSignal(signal === undefined ? [hurry.signal] : [signal, hurry.signal])
      await ending.during(either => this.#components.drain.beforeLeaving({ signal: either }))
    } catch (error) {
      if (hurry.signal.aborted && signal?.aborted !== true) return
      const { code, message } = error as { code?: unknown, message: string }
      this.#status = { state: 'failed', message, ...typeof code === 'string' ? { code } : {} }
      throw error
    } finally {
      this.#hurry = undefined
    }
  }
}
