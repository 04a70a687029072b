/**
 * A lean deterministic driver for thousands of members: the pure machine of membership, virtual time, one seed.
 *
 * The simulator of `test/sim` runs the production shells with their promises and copies every message; this one applies inputs to
 * `MembershipCore` and carries out the effects, so that thousands of processes fit into one. Records count as durable at once, as
 * without storage. Nothing validates messages: they are the objects that other cores made.
 *
 * Owns: virtual time, the processes, and a record of what each of them saw. It throws when two processes ever see two
 * configurations in one epoch.
 */
import { createHash } from 'node:crypto'
import type { BroadcasterFactory } from '../../../membership/broadcaster.ts'
import type { ClusterId, Configuration, Member, MemberId, StoreId } from '../../../membership/configuration.ts'
import type { DetectorFactory } from '../../../membership/detector/detector.ts'
import { windowedPing } from '../../../membership/detector/windowed-ping.ts'
import type { MembershipEffect } from '../../../membership/effects.ts'
import type { LinkEvent } from '../../../membership/environment/environment.ts'
import { SeededRandom } from '../../../membership/environment/seeded-random.ts'
import { gossip } from '../../../membership/gossip-broadcaster.ts'
import type { CoreInput } from '../../../membership/core-input.ts'
import { MembershipCore } from '../../../membership/membership-core.ts'
import type { MembershipMessage } from '../../../membership/messages.ts'
import { resolveOptions } from '../../../membership/options.ts'
import type { MembershipTuning } from '../../../membership/tuning.ts'
import type { Explanation, ViewChange } from '../../../membership/view-change.ts'
import { EventQueue, type SimulatedEvent } from '../../sim/event-queue.ts'
import { type Host, Links } from './links.ts'
import { Traffic } from './traffic.ts'

export interface DriverOptions {
  readonly seed: number
  /** Processes that form the cluster. */
  readonly nodes: number
  /** Processes at most. @default nodes */
  readonly processes?: number
  readonly tuning?: Partial<MembershipTuning>
  /** So many processes vote, the first ones; all others are agents. @default all of them */
  readonly voters?: number
  /** @default gossip */
  readonly broadcaster?: BroadcasterFactory
  /** @default windowedPing, the paper's, which need not be the default of a membership */
  readonly detector?: DetectorFactory
  /** See Links. @default false */
  readonly meshed?: boolean
  /** Whether to encode messages in order to count their bytes, which costs about as much as handling them. @default false */
  readonly countBytes?: boolean
}

/** A process came to live in another configuration. */
export interface Sighting {
  readonly atMs: number
  readonly process: number
  readonly epoch: number
  readonly size: number
}

/** What the cluster decided, once per epoch. */
export interface Step {
  readonly epoch: number
  readonly configuration: Configuration
  readonly joined: readonly Member[]
  readonly removed: readonly Member[]
  /** When the first and, so far, the last process entered it. */
  readonly firstMs: number
  lastMs: number
  /** Processes that entered it. */
  seen: number
  /** Why, from the view of the process that saw it first. */
  readonly reason: Explanation
}

export class Process implements Host {
  readonly index: number
  readonly address: string
  readonly self: Member
  readonly core: MembershipCore<undefined>
  readonly paused = false
  readonly held: SimulatedEvent[] = []
  alive = true
  dark = false
  ingressLoss = 0
  egressLoss = 0
  configuration: Configuration | undefined
  /** Set once it learned that it is no member any more. */
  removed = false
  wake: SimulatedEvent | undefined
  readonly #driver: Driver
  readonly tick: () => void

  constructor (driver: Driver, index: number, self: Member, core: MembershipCore<undefined>) {
    this.#driver = driver
    this.index = index
    this.self = self
    this.address = self.address
    this.core = core
    this.tick = () => { driver.feed(this, { kind: 'tick' }) }
  }

  deliver (from: Host, message: MembershipMessage): void {
    this.#driver.feed(this, { kind: 'message', peer: (from as Process).peer, message })
  }

  linkEvent (kind: LinkEvent['kind'], peer: Host): void {
    this.#driver.feed(this, { kind: 'link', event: { kind, address: peer.address } })
  }

  /** This process as others' machines see it. */
  get peer (): { readonly address: string, readonly connectionId: number } {
    return this.#peer ??= { address: this.address, connectionId: this.index }
  }

  #peer: { readonly address: string, readonly connectionId: number } | undefined
}

export class Driver {
  readonly random: SeededRandom
  readonly traffic: Traffic
  readonly processes: Process[] = []
  readonly sightings: Sighting[] = []
  /** By epoch. */
  readonly steps = new Map<number, Step>()
  /** What machines warned of, for reading when something is odd. */
  readonly warnings: string[] = []
  nowMs = 0
  /** Events run so far. */
  eventCount = 0
  readonly #options: DriverOptions
  readonly #queue = new EventQueue()
  readonly #links: Links
  readonly #byAddress = new Map<string, Process>()
  readonly #digest = createHash('sha256')
  readonly #ids: SeededRandom

  constructor (options: DriverOptions) {
    this.#options = options
    const root = new SeededRandom(options.seed)
    this.random = root.fork('scenario')
    this.#ids = root.fork('ids')
    this.traffic = new Traffic(options.processes ?? options.nodes)
    this.#links = new Links(this, this.#queue, root.fork('network'), this.traffic, options.meshed ?? false)
  }

  /** SHA-256 of all view changes so far: who, when, which. */
  get digest (): string {
    return this.#digest.copy().digest('hex')
  }

  /** Runs something at a time; never before now. */
  at (timeMs: number, run: () => void): void {
    this.#queue.add(Math.max(timeMs, this.nowMs), undefined, run)
  }

  /** A founder, or a process that joins through `seed`, the first one by default, from now on. @param expect see MembershipOptions.expect */
  start (role: 'found' | 'join', expect?: number, seed = this.processes[0]): Process {
    const index = this.processes.length
    const { tuning = {}, broadcaster = gossip, detector = windowedPing, voters = Infinity } = this.#options
    const address = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}:7000`
    const id = this.#ids.id()
    const self: Member = {
      id: id as MemberId, address, storeId: id as StoreId, incarnation: 1, metadata: { zone: '', weight: 1, tags: {} },
      metadataVersion: 0, ...index < voters ? {} : { role: 'agent' as const }
    }
    const seeds = role === 'found' ? [] : [seed!.address]
    const options = resolveOptions({
      joinTimeoutMs: 3_600_000, ...tuning, clusterName: 'bench', seeds, found: role === 'found', ...expect === undefined ? {} : { expect }
    })
    const core = new MembershipCore<undefined>({ self, options, fold: undefined, detector, broadcaster })
    const process = new Process(this, index, self, core)
    this.processes.push(process)
    this.#byAddress.set(address, process)
    if (role === 'found') this.feed(process, { kind: 'found', clusterId: this.#ids.id() as ClusterId, seeds })
    else this.feed(process, { kind: 'join', clusterId: undefined, seeds, timeoutMs: options.joinTimeoutMs })
    return process
  }

  /** Ends a process. @param silent its machine lost power: nobody hears of it. */
  crash (process: Process, silent = false): void {
    process.alive = false
    process.dark = silent
    this.#links.abandon(process)
  }

  /** Runs until a time, or until a condition holds that is looked at every so often. @returns whether it held */
  run (untilMs: number, until?: () => boolean, everyMs = 5): boolean {
    let lookMs = this.nowMs
    for (;;) {
      const next = this.#queue.peek()
      if (until !== undefined && (next === undefined || next.timeMs >= lookMs)) {
        if (until()) return true
        lookMs = (next?.timeMs ?? this.nowMs) + everyMs
      }
      if (next === undefined || next.timeMs > untilMs) {
        this.nowMs = untilMs
        return false
      }
      this.#queue.pop()
      if (next.run === undefined || next.owner?.alive === false) continue
      this.nowMs = next.timeMs
      this.eventCount++
      next.run()
    }
  }

  /** Whether all of these processes live in one and the same configuration, of exactly that many members. */
  agreed (processes: readonly Process[], size: number): boolean {
    const first = processes[0]?.configuration
    return first?.members.length === size && processes.every(({ configuration }) => configuration?.id === first.id)
  }

  /** One input, and the inputs that follow from its effects, in order. */
  feed (process: Process, input: CoreInput): void {
    const inputs: CoreInput[] = [input]
    for (let next = inputs.shift(); next !== undefined; next = inputs.shift()) {
      for (const effect of process.core.apply(this.nowMs, next)) this.#perform(process, effect, inputs)
    }
  }

  #perform (process: Process, effect: MembershipEffect<undefined>, inputs: CoreInput[]): void {
    switch (effect.kind) {
      case 'persist':
        inputs.push({ kind: 'persisted', token: effect.token })
        break
      case 'send':
        this.#send(process, effect.to, effect.message, this.#encode(effect.message, false))
        break
      case 'reply':
        this.#send(process, effect.peer.address!, effect.message, this.#encode(effect.message, false))
        break
      case 'send-to-all': {
        const encoded = this.#encode(effect.message, true)
        for (const to of effect.to) this.#send(process, to, effect.message, encoded)
        break
      }
      case 'wake':
        if (process.wake !== undefined) process.wake.run = undefined
        process.wake = this.#queue.add(effect.atMs, process, process.tick)
        break
      case 'view-change':
        this.#saw(process, effect.change)
        break
      case 'removed':
        process.removed = true
        break
      case 'warn':
        this.warnings.push(`${process.address} ${effect.message} ${JSON.stringify(effect.fields)}`)
        break
      case 'refused':
      case 'spent':
      case 'halt':
        throw new Error(`${process.address} stopped at ${this.nowMs} ms: ${effect.error.message}`, { cause: effect.error })
      case 'proposal':
      case 'status':
      case 'updated':
      case 'left':
        break
    }
  }

  #encode (message: MembershipMessage, shared: boolean): Uint8Array | undefined {
    return this.#options.countBytes === true ? this.traffic.encode(message, shared) : undefined
  }

  #send (from: Process, to: string, message: MembershipMessage, encoded: Uint8Array | undefined): void {
    const target = this.#byAddress.get(to)
    if (target === undefined) return
    const bytes = encoded === undefined ? 0 : this.traffic.bytesBetween(from.index, target.index, encoded)
    this.#links.send(from, target, message, bytes)
  }

  #saw (process: Process, { configuration, joined, removed, reason }: ViewChange<undefined>): void {
    const { epoch, id, members } = configuration
    process.configuration = configuration
    this.sightings.push({ atMs: this.nowMs, process: process.index, epoch, size: members.length })
    this.#digest.update(`${this.nowMs} ${process.index} ${epoch} ${id}\n`)
    const step = this.steps.get(epoch)
    if (step === undefined) {
      this.steps.set(epoch, { epoch, configuration, joined, removed, firstMs: this.nowMs, lastMs: this.nowMs, seen: 1, reason })
    } else {
      if (step.configuration.id !== id) throw new Error(`two configurations in epoch ${epoch}: ${step.configuration.id} and ${id} at ${process.address}`)
      step.lastMs = this.nowMs
      step.seen++
    }
  }
}
