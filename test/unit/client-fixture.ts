/**
 * A client with everything around it in the test's hands: a clock that stands still, and a transport that only notes what is sent.
 */
import { nextConfiguration, normalizeCut, foundingConfiguration, type ClusterId, type Configuration, type Member, type MemberId, type StoreId } from '../../membership/configuration.ts'
import type { Address, Clock, LinkEvent, Transport } from '../../membership/environment/environment.ts'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { nextTurn, silentLog } from '../../membership/environment/system.ts'
import { partitionOf, type PartitionIndex } from '../../ring/index.ts'
import { createAgreedStateFold, type AgreedState } from '../../store/agreed-state.ts'
import type { ClientRequest, ClusterView } from '../../store/client-protocol.ts'
import { Client, type ClientOptions } from '../../store/client/client.ts'

export const PARTITIONS = 8

/** Time passes only when told to. */
export class ManualClock implements Clock {
  #now = 1000
  #timers: { at: number, callback: () => void }[] = []

  now (): number { return this.#now }
  wallNow (): number { return this.#now }

  setTimer (delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, callback }
    this.#timers.push(timer)
    return () => { this.#timers = this.#timers.filter(other => other !== timer) }
  }

  get timers (): number { return this.#timers.length }

  /** Fires what is due, in order, with promises settled in between. */
  async advance (milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds
    for (;;) {
      const due = this.#timers.filter(timer => timer.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter(timer => timer !== due)
      this.#now = Math.max(this.#now, due.at)
      due.callback()
      await nextTurn()
    }
    this.#now = end
    await nextTurn()
  }
}

export interface Sent { readonly to: Address, readonly message: ClientRequest }

/** Notes what is sent; answers come from the test. */
export class NotingTransport implements Transport {
  readonly address = undefined
  /** What was sent and not taken by the test yet. */
  sent: Sent[] = []
  /** Questions for the next view, which wait and are nobody's work. */
  held: Sent[] = []
  /** Where a connection was asked for, beyond what sending does. */
  dialled: Address[] = []
  started = 0
  closed = 0
  onSend: ((sent: Sent) => void) | undefined
  #receiver: ((message: unknown) => void) | undefined
  readonly #listeners = new Set<(event: LinkEvent) => void>()

  async start (): Promise<void> { this.started++ }
  send (to: Address, _channel: number, message: unknown): void {
    const sent = { to, message: message as ClientRequest }
    if (sent.message.kind === 'view' && sent.message.after !== undefined) this.held.push(sent)
    else if (this.onSend === undefined) this.sent.push(sent)
    else this.onSend(sent)
  }

  sendToAll (to: readonly Address[], channel: number, message: unknown): void {
    for (const address of to) this.send(address, channel, message)
  }

  receive (_channel: number, receiver: (message: unknown, from: never) => void): void { this.#receiver = receiver as (message: unknown) => void }
  onLink (listener: (event: LinkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  isBusy (): boolean { return false }
  queuedBytes (): number { return 0 }
  connect (to: Address): void { this.dialled.push(to) }
  async close (): Promise<void> { this.closed++ }

  deliver (message: unknown): void { this.#receiver?.(message) }
  link (kind: LinkEvent['kind'], address: Address): void { for (const listener of [...this.#listeners]) listener({ kind, address }) }
}

export const member = (name: string): Member => ({
  id: name as MemberId, address: `${name}:1`, storeId: `store-${name}` as StoreId, incarnation: 1, metadata: { zone: '', weight: 1, tags: {} },
  metadataVersion: 0
})

/** A cluster as far as a client sees it: epochs, members, placement. */
export class FakeCluster {
  readonly #fold = createAgreedStateFold()
  configuration: Configuration
  state: AgreedState

  constructor (names: readonly string[], options: { expect?: number, replicas?: number } = {}) {
    const [first, ...others] = names.map(member)
    const settings = { partitions: PARTITIONS, replicas: options.replicas ?? 3, expect: options.expect ?? names.length }
    this.configuration = foundingConfiguration('c1' as ClusterId, 'test', settings, first!)
    this.state = this.#fold.initial(this.configuration)
    if (others.length > 0) this.change(others.map(other => other.address.split(':')[0]!), [])
  }

  change (joins: readonly string[], removals: readonly string[]): void {
    this.configuration = nextConfiguration(this.configuration, normalizeCut(joins.map(member), removals as MemberId[]))
    this.state = this.#fold.next(this.state, this.configuration)
  }

  get epoch (): number { return this.configuration.epoch }

  view (changes: Partial<ClusterView> = {}): ClusterView {
    return {
      clusterId: this.configuration.clusterId,
      clusterName: 'test',
      epoch: this.epoch,
      configurationId: this.configuration.id,
      addresses: Object.fromEntries(this.configuration.members.map(({ storeId, address }) => [storeId, address])),
      state: this.#fold.encode(this.state),
      ...changes
    }
  }

  partitionOf (key: string): PartitionIndex { return partitionOf(key, PARTITIONS) }

  /** The addresses that a client should ask for a key, in order. */
  seats (key: string): Address[] {
    return this.state.placement!.seats(this.partitionOf(key)).map(storeId => `${storeId.slice('store-'.length)}:1`)
  }
}

export class Fixture {
  readonly clock = new ManualClock()
  readonly transport = new NotingTransport()
  readonly warnings: string[] = []
  readonly client: Client
  readonly cluster: FakeCluster

  constructor (cluster: FakeCluster, options: ClientOptions & { seeds?: readonly Address[] } = {}) {
    this.cluster = cluster
    const log = { ...silentLog, warn: (_fields: unknown, message: string) => { this.warnings.push(message) } }
    this.client = new Client({ transport: this.transport, clock: this.clock, random: new SeededRandom(7), log }, { seeds: ['a:1'], ...options })
  }

  /** A client that has its first view. */
  static async open (cluster = new FakeCluster(['a', 'b', 'c']), options: ClientOptions & { seeds?: readonly Address[] } = {}): Promise<Fixture> {
    const fixture = new Fixture(cluster, options)
    const opened = fixture.client.open()
    await fixture.turn()
    fixture.answer(fixture.takeOne('view'), { kind: 'view', view: cluster.view() })
    await opened
    return fixture
  }

  turn (): Promise<void> { return nextTurn() }

  /** What was sent since the last take. */
  async take (): Promise<Sent[]> {
    await this.turn()
    const { sent } = this.transport
    this.transport.sent = []
    return sent
  }

  takeOne (kind: ClientRequest['kind']): Sent {
    const { sent } = this.transport
    this.transport.sent = []
    if (sent.length !== 1 || sent[0]!.message.kind !== kind) throw new Error(`expected one ${kind}, sent were ${JSON.stringify(sent)}`)
    return sent[0]!
  }

  /** The one request sent since the last take. */
  async one (kind: 'read' | 'write' | 'view' | 'status' | 'watch'): Promise<Sent> {
    await this.turn()
    return this.takeOne(kind)
  }

  answer (sent: Sent, response: Record<string, unknown>): void {
    this.transport.deliver({ request: sent.message.request, ...response })
  }

  refuse (sent: Sent, code: string, more: Record<string, unknown> = {}): void {
    this.answer(sent, { kind: 'error', code, message: `because ${code}`, definite: code !== 'OPERATION_EXPIRED', epoch: this.cluster.epoch, ...more })
  }
}

/** How a promise ended, for looking at it without waiting. */
export function watch<T> (promise: Promise<T>): { state: 'pending' | 'done' | 'failed', value?: T, error?: unknown } {
  const watched: { state: 'pending' | 'done' | 'failed', value?: T, error?: unknown } = { state: 'pending' }
  promise.then(value => { Object.assign(watched, { state: 'done', value }) }, (error: unknown) => { Object.assign(watched, { state: 'failed', error }) })
  return watched
}

export const bytes = (text: string): Uint8Array => Buffer.from(text)
export const written = (seq: number): Record<string, unknown> => ({ kind: 'written', seq })
export const values = (seq: number, ...texts: (string | null)[]): Record<string, unknown> =>
  ({ kind: 'values', seq, values: texts.map(text => text === null ? null : bytes(text)), versions: texts.map(() => seq) })
export const write = (sent: Sent): Extract<ClientRequest, { kind: 'write' }> => sent.message as Extract<ClientRequest, { kind: 'write' }>
export const hint = (name: string): Record<string, unknown> => ({ storeId: member(name).storeId, address: member(name).address })

export const read = (sent: Sent): Extract<ClientRequest, { kind: 'read' }> => sent.message as Extract<ClientRequest, { kind: 'read' }>

/** A fixture that knows the position of the key's partition, so that writes are sent with a base at once. */
export async function withBase (key = 'k', options: ConstructorParameters<typeof Fixture>[1] = {}): Promise<Fixture> {
  const fixture = await Fixture.open(undefined, options)
  const got = fixture.client.get(key)
  fixture.answer(await fixture.one('read'), values(10, null))
  await got
  return fixture
}
