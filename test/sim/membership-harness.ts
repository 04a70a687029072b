/**
 * Clusters of memberships in the simulator, with the invariants of membership checked after every view change.
 *
 * Owns: the processes it starts, and a record of every configuration that any of them ever saw.
 */
import { MembershipError, TransportError } from '../../membership/errors.ts'
import { Membership } from '../../membership/membership.ts'
import type { MembershipComponents } from '../../membership/membership-components.ts'
import type { MembershipOptions } from '../../membership/options.ts'
import type { Configuration, Cut, MemberId, StoreId } from '../../membership/configuration.ts'
import type { ViewChange } from '../../membership/view-change.ts'
import { classicQuorum, fastQuorum } from '../../membership/quorum.ts'
import { DiskOracle } from './membership-disks.ts'
import { Simulation, type SimulationOptions } from './simulation.ts'
import { tampered, type Tampering } from './tampering.ts'

/** Far more than any scenario here needs within one wait: beyond it something talks in circles. */
const EVENTS_MAX = 150_000

export const addressOf = (index: number): string => `10.0.${Math.floor(index / 250)}.${index % 250 + 1}:7000`

/** One process of the cluster under test. */
export interface Process {
  readonly address: string
  readonly membership: Membership<number>
  readonly changes: ViewChange<number>[]
  /** How often it was told that it was removed. */
  removals: number
  halted: Error | undefined
  started: Promise<void>
}

/** A fold whose state is a hash over every configuration: two processes with different histories cannot have the same. */
const fold: NonNullable<MembershipComponents<number>['fold']> = {
  initial: configuration => mix(17, configuration.id),
  next: (state, configuration) => mix(state, configuration.id),
  encode: state => Uint8Array.of(state & 255, (state >>> 8) & 255, (state >>> 16) & 255, state >>> 24),
  decode: bytes => {
    if (bytes.length !== 4) throw new Error('not a state')
    return (bytes[0]! | bytes[1]! << 8 | bytes[2]! << 16 | bytes[3]! << 24) >>> 0
  }
}

/** Whether two plain values have the same content. Thousands of processes compare what each has decoded for itself. */
function isSame (a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  const [before, after] = [a as Readonly<Record<string, unknown>>, b as Readonly<Record<string, unknown>>]
  for (const name in before) if (!isSame(before[name], after[name])) return false
  for (const name in after) if (!(name in before)) return false
  return true
}

function mix (state: number, text: string): number {
  let mixed = state >>> 0
  for (let i = 0; i < text.length; i++) mixed = Math.imul(mixed ^ text.charCodeAt(i), 0x01000193) >>> 0
  return mixed
}

export class MembershipCluster {
  readonly simulation: Simulation
  readonly processes = new Map<string, Process>()
  /** Every configuration seen by anyone, crashed processes included, by epoch (invariant 1). */
  readonly history = new Map<number, { configuration: Configuration, state: number }>()
  /** By store: as durable as a directory's identity. */
  readonly #incarnations = new Map<StoreId, number>()
  /** The stores that were carried to other machines, by their new addresses. */
  readonly #stores = new Map<string, StoreId>()
  readonly #oracle = new DiskOracle(what => { this.violations.push(what) })
  readonly #usedIds = new Set<MemberId>()

  /** @param options of a simulation of its own, or the simulation of another cluster, to live beside that. */
  constructor (options: SimulationOptions | Simulation) {
    this.simulation = options instanceof Simulation ? options : new Simulation(options)
  }

  /** Starts a process at an address, or starts it again; on its disk, if it is to be durable. */
  start (address: string, options: Partial<MembershipOptions> = {}, durable = false, tampering: Tampering = {}): Process {
    const host = this.simulation.host(address)
    const environment = host.running ? host.environment : host.restart()
    const store = this.#storeAt(address)
    const incarnation = (this.#incarnations.get(store) ?? 0) + 1
    this.#incarnations.set(store, incarnation)
    const transport = durable
      ? this.#oracle.watch(store, host.disk('membership'), environment.transport, () => membership.self.id)
      : environment.transport
    const membership: Membership<number> = new Membership<number>({
      environment: { ...environment, transport: tampered(transport, tampering) },
      fold,
      ...durable ? { storage: environment.storage('membership') } : {},
      nextIncarnation: async () => {
        const next = this.#incarnations.get(store)! + 1
        this.#incarnations.set(store, next)
        return next
      }
    }, { clusterName: 'test', seeds: [addressOf(0), addressOf(1)], storeId: store, incarnation, ...options })
    const process: Process = { address, membership, changes: [], removals: 0, halted: undefined, started: Promise.resolve() }
    membership.on('view-change', change => { this.#observe(process, change) })
    membership.on('removed', () => { process.removals++ })
    membership.on('halted', error => { process.halted = error })
    process.started = environment.transport.start().then(() => membership.start())
    process.started.catch((error: unknown) => { this.expectCode('start', error) })
    this.processes.set(address, process)
    return process
  }

  /** A founder that expects `count` processes, and the others, started in the order of a shuffle. */
  startAll (count: number, options: Partial<MembershipOptions> = {}): Process[] {
    const order = Array.from({ length: count }, (_, index) => index)
    for (let i = order.length - 1; i > 0; i--) {
      const j = this.simulation.random.below(i + 1)
      ;[order[i], order[j]] = [order[j]!, order[i]!]
    }
    const started = order.map(index => index === 0
      ? this.start(addressOf(0), { ...options, found: true, expect: count })
      : this.start(addressOf(index), options))
    return started.sort((a, b) => a.address < b.address ? -1 : 1)
  }

  async form (count: number, options: Partial<MembershipOptions> = {}): Promise<Process[]> {
    const processes = this.startAll(count, options)
    await this.simulation.settle(Promise.all(processes.map(process => process.started)), 60_000)
    return processes
  }

  crash (address: string, silent = false): void {
    this.simulation.host(address).crash({ silent })
    this.processes.delete(address)
  }

  #storeAt (address: string): StoreId {
    return this.#stores.get(address) ?? `store ${address}` as StoreId
  }

  /** Puts the disk of a machine that is down into a new machine at another address. */
  move (from: string, to: string): void {
    const { simulation } = this
    simulation.host(to).mount('membership', simulation.host(from).unmount('membership'))
    this.#stores.set(to, this.#storeAt(from))
  }

  /** Messages that durable processes sent to agree on something. */
  get consensusMessages (): number {
    return this.#oracle.messages
  }

  /** Looks at the disks after each event. Call it once, where processes are durable. */
  watchDisks (): void {
    this.simulation.addInvariant(() => { this.#oracle.look() })
  }

  /** The cuts on the disks of a configuration's voters, any of which may make the next one. Only of durable processes. */
  cutsOnDisks (configuration: Configuration): Cut[] {
    this.#oracle.look()
    return this.#oracle.cutsIn(configuration)
  }

  get live (): Process[] {
    return [...this.processes.values()]
  }

  /** Whether every live process is in one and the same configuration, which holds exactly them. */
  converged (size = this.processes.size): boolean {
    const views = this.live.map(({ membership }) => membership.status === 'member' ? membership.configuration : undefined)
    const first = views[0]
    return first !== undefined && first.members.length === size && views.every(view => view?.id === first.id)
  }

  /** Runs until `converged`. @throws when that takes longer than `limitMs` of virtual time. */
  async converge (size = this.processes.size, limitMs = 60_000): Promise<number> {
    const begunMs = this.simulation.nowMs
    const end = await this.simulation.run({ untilMs: begunMs + limitMs, until: () => this.converged(size), everyMs: 5, maxEvents: EVENTS_MAX })
    if (end !== 'condition') {
      const states = this.live.map(({ address, membership: m }) => {
        const place = m.status === 'idle' || this.processes.get(address)!.changes.length === 0 ? 'nowhere' : `epoch ${m.configuration.epoch} of ${m.configuration.members.map(x => x.address).join(' ')}`
        return `${address} ${m.status} ${place}`
      })
      throw new Error(`no convergence to ${size} within ${limitMs} ms:\n${states.join('\n')}\n${this.simulation.failureReport()}`)
    }
    return this.simulation.nowMs - begunMs
  }

  /** The highest epoch that anyone saw. */
  get epoch (): number {
    return Math.max(0, ...this.history.keys())
  }

  #observe (process: Process, change: ViewChange<number>): void {
    const { configuration, previous, cut, gap, state, removed, joined, updated, reason } = change
    const fail = (what: string): never => {
      throw Object.assign(new Error(`${what}: ${process.address} at epoch ${configuration.epoch}\n${this.simulation.failureReport()}`), { fatal: true })
    }
    const check = (condition: boolean, what: string): void => {
      if (!condition) {
        this.violations.push(what)
        fail(what)
      }
    }
    process.changes.push(change)
    const known = this.history.get(configuration.epoch)
    if (known === undefined) {
      this.history.set(configuration.epoch, { configuration, state })
    } else {
      check(known.configuration.id === configuration.id, 'invariant 1: two configurations in one epoch')
      check(isSame(known.configuration.members, configuration.members), 'invariant 1: two member lists in one epoch')
      check(known.state === state, 'invariant 27: two states in one epoch')
    }
    if (previous !== undefined) check(configuration.epoch === previous.epoch + 1 || gap, 'invariant 2: an epoch was skipped')
    if (previous !== undefined) check(configuration.epoch > previous.epoch, 'invariant 2: an epoch came twice')
    if (cut !== undefined && previous !== undefined) {
      const members = new Set(previous.members.map(member => member.id))
      const electorate = previous.members.filter(({ role }) => role !== 'agent').length
      check(reason.voters.every(voter => members.has(voter)), 'invariant 3: a voter is no member')
      check(previous.members.every(({ id, role }) => role !== 'agent' || !reason.voters.includes(id)), 'invariant 3: an agent voted')
      const quorum = reason.fast === true ? fastQuorum(electorate) : classicQuorum(electorate)
      check(reason.voters.length >= quorum, 'invariant 3: too few votes')
      check(removed.length === cut.removals.length && removed.every(member => members.has(member.id)), 'invariant 7: removed no member')
      const held = new Map(configuration.members.map(member => [member.id, member]))
      check(updated.length === cut.updates.length, 'invariant 7: members were updated that the cut does not name')
      for (const { member, version, metadata } of cut.updates) {
        const [before, after] = [previous.members.find(({ id }) => id === member), held.get(member)]
        check(before !== undefined && before.metadataVersion < version, 'rule M13: a version that does not rise')
        check(after?.metadataVersion === version && JSON.stringify(after.metadata) === JSON.stringify(metadata), 'rule M13: an update without effect')
        check(updated.some(({ id }) => id === member), 'rule M13: an update that is not told')
      }
      if (known === undefined) {
        check(joined.every(member => !this.#usedIds.has(member.id)), 'invariant 7: a used id joined')
      }
    }
    // Who sees what was seen before has nothing new to be checked.
    if (known !== undefined) return
    for (const member of configuration.members) this.#usedIds.add(member.id)
    check(configuration.members.some(({ role }) => role !== 'agent'), 'invariant 7: a configuration without voters')
    check(new Set(configuration.members.map(member => member.address)).size === configuration.members.length, 'invariant 7: an address twice')
    check(new Set(configuration.members.map(member => member.storeId)).size === configuration.members.length, 'invariant 7: a store id twice')
  }

  /** What was violated. Listeners' errors are caught by the membership, so tests look here. */
  readonly violations: string[] = []

  /** Refusing is part of many lives, failing in a way that nobody foresaw is not: such an error is a violation. */
  expectCode (call: string, error: unknown): void {
    if (!(error instanceof MembershipError || error instanceof TransportError)) this.violations.push(`${call} rejected with ${String(error)}`)
  }

  /** Ends all processes, so that nothing keeps running after a test. @throws when any invariant was violated. */
  finish (): void {
    for (const { address, halted } of this.live) if (halted !== undefined) throw new Error(`${address} halted: ${halted.message}`, { cause: halted })
    if (this.violations.length > 0) throw new Error(`${this.violations.join('; ')}\n${this.simulation.failureReport()}`)
  }
}
