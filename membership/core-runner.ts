/**
 * Runs the machine of a membership: inputs in the order of their arrival, records in the order in which they are to be durable,
 * messages on the transport, and the one timer.
 *
 * One machine is one member id, so a process that joins again runs another one; what was meant for the one before it is dropped.
 *
 * Owns: the receiver of the transport's membership channel, one timer, and the writes to the disk.
 */
import type { ChainStorage } from './chain-storage.ts'
import type { CoreInput } from './core-input.ts'
import { Counters } from './counters.ts'
import type { DurableRecord, MembershipEffect } from './effects.ts'
import { CHANNELS, type Address, type CancelTimer, type Environment, type Remote } from './environment/environment.ts'
import { MembershipError } from './errors.ts'
import { MembershipCore, type MachineComponents } from './membership-core.ts'
import { validateMessage } from './message-validation.ts'
import type { MembershipMessage } from './messages.ts'

type CarriedOut = 'persist' | 'send' | 'send-to-all' | 'reply' | 'warn' | 'wake'

/** An effect that is about the user. */
export type ReportedEffect<State> = Exclude<MembershipEffect<State>, { kind: CarriedOut }>

export interface CoreRunnerHost<State> {
  report (effect: ReportedEffect<State>): void
  /** Going on would be unsafe. */
  halt (error: Error): void
}

export class CoreRunner<State> {
  readonly #environment: Pick<Environment, 'clock' | 'transport' | 'log'>
  /** Of all machines that it runs. */
  readonly counters = new Counters()
  readonly #chain: ChainStorage<State> | undefined
  readonly #host: CoreRunnerHost<State>
  #core: MembershipCore<State> | undefined
  /** Inputs in order of arrival; a listener that calls back adds to it instead of re-entering the machine. */
  readonly #inputs: { core: MembershipCore<State>, input: CoreInput }[] = []
  #running = false
  #stopped = false
  #cancelWake: CancelTimer = () => {}
  #removeLinkListener: () => void = () => {}
  /** Addresses with an open connection: each new machine has to hear of them. */
  readonly #links = new Set<Address>()
  /** The last write; each one begins after the one before it. */
  #writes: Promise<void> = Promise.resolve()

  constructor (environment: Pick<Environment, 'clock' | 'transport' | 'log'>, chain: ChainStorage<State> | undefined, host: CoreRunnerHost<State>) {
    this.#environment = environment
    this.#chain = chain
    this.#host = host
  }

  /** The machine that runs now. */
  get core (): MembershipCore<State> | undefined {
    return this.#core
  }

  /** Addresses with an open connection, and clients. */
  get linksOpen (): number {
    return this.#links.size
  }

  get stopped (): boolean {
    return this.#stopped
  }

  /** Listens to the transport from now on. */
  attach (): void {
    const { transport } = this.#environment
    transport.receive(CHANNELS.membership, (message, remote) => { this.#receive(message, remote) })
    this.#removeLinkListener = transport.onLink(event => {
      this.counters.links[event.kind]++
      if (event.kind === 'opened') this.#links.add(event.address)
      else if (event.kind === 'closed') this.#links.delete(event.address)
      this.apply({ kind: 'link', event })
    })
  }

  /** Runs a new machine in the place of the one before. */
  run (parts: MachineComponents<State>): void {
    this.#core = new MembershipCore({ ...parts, counters: this.counters })
    for (const address of this.#links) this.apply({ kind: 'link', event: { kind: 'opened', address } })
  }

  /** The machine is done; another one may follow. */
  drop (): void {
    this.#cancelWake()
    this.#core = undefined
  }

  /** Nothing runs any more, and nothing is written that was not begun. */
  stop (): void {
    this.#stopped = true
    this.drop()
    this.#removeLinkListener()
  }

  /** Waits for the writes that were asked for. */
  async written (): Promise<void> {
    await this.#writes
  }

  apply (input: CoreInput): void {
    if (this.#core === undefined) return
    this.#inputs.push({ core: this.#core, input })
    if (this.#running) return
    this.#running = true
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        if (next.core === this.#core) this.#step(next.core, next.input)
      }
    } finally {
      this.#running = false
      this.#inputs.length = 0
    }
  }

  #receive (raw: unknown, remote: Remote): void {
    let message: MembershipMessage
    try {
      message = validateMessage(raw)
    } catch (error) {
      if (!(error instanceof MembershipError)) throw error
      this.counters.messagesRefused++
      this.#environment.log.warn({ from: remote.address, reason: error.message }, 'dropped a message')
      return
    }
    this.counters.messagesReceived[message.kind]++
    this.apply({ kind: 'message', peer: remote, message })
  }

  #step (core: MembershipCore<State>, input: CoreInput): void {
    let effects: MembershipEffect<State>[]
    try {
      effects = core.apply(this.#environment.clock.now(), input)
    } catch (cause) {
      // An assertion of the machine failed: nothing it says from here on can be trusted.
      this.#host.halt(cause instanceof Error ? cause : new Error(String(cause)))
      return
    }
    for (const effect of effects) {
      if (this.#core !== core) return
      this.#perform(core, effect)
    }
  }

  #perform (core: MembershipCore<State>, effect: MembershipEffect<State>): void {
    const { transport, clock, log } = this.#environment
    switch (effect.kind) {
      case 'persist':
        this.#persist(core, effect.token, effect.record)
        break
      case 'send':
        this.counters.messagesSent[effect.message.kind]++
        transport.send(effect.to, CHANNELS.membership, effect.message)
        break
      case 'send-to-all':
        this.counters.messagesSent[effect.message.kind] += effect.to.length
        transport.sendToAll(effect.to, CHANNELS.membership, effect.message)
        break
      case 'reply':
        this.counters.messagesSent[effect.message.kind]++
        ;(effect.peer as Remote).reply(effect.message)
        break
      case 'warn':
        log.warn(effect.fields, effect.message)
        break
      case 'wake':
        this.#cancelWake()
        this.#cancelWake = clock.setTimer(Math.max(0, effect.atMs - clock.now()), () => {
          if (this.#core === core) this.apply({ kind: 'tick' })
        })
        break
      default:
        this.#host.report(effect)
    }
  }

  #persist (core: MembershipCore<State>, token: number, record: DurableRecord<State>): void {
    const chain = this.#chain
    const done = (): void => { if (this.#core === core) this.apply({ kind: 'persisted', token }) }
    if (chain === undefined) {
      done()
      return
    }
    this.#writes = this.#writes.then(async () => {
      if (this.#stopped) return
      try {
        await chain.write(record)
        this.counters.recordsWritten++
      } catch (cause) {
        this.#host.halt(new MembershipError('MEMBERSHIP_STORAGE_FAILED', 'A record that must survive a restart could not be written.', { cause }))
        return
      }
      done()
    })
  }
}
