/**
 * Drives replicas by hand: every message is delivered, kept back, doubled or dropped by the test, every write to a disk completes when
 * the test says so, and a crash forgets whatever was not durable.
 *
 * Owns: the replicas, their disks, the messages under way.
 */
import type { StoreId } from '../../../membership/configuration.ts'
import type { Absence } from '../../../store/absences.ts'
import type { Operation, OperationId } from '../../../store/client-protocol.ts'
import { keyText } from '../../../store/group/copy.ts'
import type { Answer, DurableState, Effect, Expiring, StoreWrite } from '../../../store/group/effects.ts'
import { type Ballot, type Entry, type EntryBody, type Group, NO_BALLOT } from '../../../store/group/history.ts'
import { validateGroupMessage } from '../../../store/group/message-checks.ts'
import type { GroupMessage } from '../../../store/group/messages.ts'
import { type LeaseOptions, Leases } from '../../../store/leases.ts'
import { EVERYTHING, type ScanSpec } from '../../../store/scan-range.ts'
import type { PartitionView, ReplicaInput, ReplicaOptions } from '../../../store/group/replica-contract.ts'
import { Replica } from '../../../store/group/replica.ts'
import type { Durability } from '../../../store/group/synced-log.ts'

export const id = (name: string): StoreId => name as StoreId
export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
export const ballot = (epoch: number, attempt: number, store: string): Ballot => ({ epoch, attempt, store: id(store) })
export const put = (key: string, value: string): Operation => ({ kind: 'put', key: bytes(key), value: bytes(value) })

export const OPTIONS: ReplicaOptions = Object.freeze({
  retryMs: 100,
  takeoverMs: 1000,
  pauseMsMax: 200,
  patienceMs: 2000,
  rereplicateAfterMs: 0,
  applyDelayMs: 50,
  batchEntriesMax: 4,
  batchBytesMax: 4096,
  chunkBytes: 64,
  logEntriesMax: 16,
  logBytesMax: 100_000,
  expiryBatchMax: 3,
  expiryStampMs: 1000,
  waitingMax: 100
})

interface Disk {
  state: DurableState | undefined
  readonly logs: Map<number, Map<number, Entry>>
  readonly data: Map<number, Map<string, { value: Uint8Array, seq: number, expires?: number }>>
  /** The index of what expires, by copy. */
  readonly expiries: Map<number, Expiring[]>
}

interface Persist { readonly token: number, readonly writes: readonly StoreWrite[], readonly synced: boolean }

interface Store {
  readonly name: string
  disk: Disk
  replica: Replica
  /** Writes that are not durable yet, oldest first. */
  persists: Persist[]
  reads: (Effect & { kind: 'fetch' | 'scan' | 'range' | 'expiring' })[]
  up: boolean
  /** While set, nothing that is written becomes durable. */
  slow: boolean
}

export interface Envelope { readonly from: string, readonly to: string, readonly message: GroupMessage }
export type Matching = (envelope: Envelope) => boolean

/** Messages of these kinds, from and to these stores; a missing criterion matches everything. */
export function of (kinds: string, from?: string, to?: string): Matching {
  const names = kinds.split(' ')
  return ({ from: sender, to: receiver, message }) =>
    (kinds === '*' || names.includes(message.kind)) && (from === undefined || sender === from) && (to === undefined || receiver === to)
}

const ROUNDS_MAX = 2000

export class ReplicaNet {
  readonly stores = new Map<string, Store>()
  /** Sent and not delivered, oldest first. */
  wire: Envelope[] = []
  /** Everything ever sent. */
  readonly sent: Envelope[] = []
  readonly answers = new Map<number, Answer>()
  readonly faults: string[] = []
  readonly ledger: string[] = []
  /** The epochs that the ledger was told of. */
  readonly counted: number[] = []
  /** Messages that are lost from now on. */
  lost: Matching = () => false
  now = 0
  /** While it is a list, what the disk read of a range waits here until the test passes it on. */
  rangesRead: (() => void)[] | undefined
  readonly #options: ReplicaOptions
  readonly #genesis: readonly string[]
  readonly #leaseOptions: LeaseOptions | undefined
  readonly #durability: Durability
  /** The leases of each store's process, where the test has any. */
  readonly leases = new Map<string, Leases>()
  readonly #seatEpochs = new Map<string, number>()
  /** The incarnation of each store's process. */
  readonly #runs = new Map<string, number>()
  /** Every store that ever was in a configuration; since when it is gone. */
  readonly #absent = new Map<StoreId, Absence | undefined>()
  #tickets = 0
  #clientNumbers = 0
  #views = new Map<string, PartitionView>()

  /** @param leases without them, every read is confirmed */
  constructor (genesis: string, options: Partial<ReplicaOptions> = {}, leases?: LeaseOptions, durability: Durability = 'sync') {
    this.#durability = durability
    this.#leaseOptions = leases
    this.#options = { ...OPTIONS, ...options }
    this.#genesis = genesis.split('')
    for (const store of genesis) this.#seatEpochs.set(store, 1)
  }

  /** A store in `names` per letter. Each exists from its first view on. */
  view (epoch: number, live: string, seats: string, at = live): void {
    const genesis: Group = { generation: 0, members: this.#genesis.map(id), base: 0, previous: { ballot: NO_BALLOT, seq: 0 }, epoch: 1 }
    // A seat counts from the epoch that gave it; it is lost with the first placement that does not have it.
    for (const store of this.#seatEpochs.keys()) if (!seats.includes(store)) this.#seatEpochs.delete(store)
    for (const store of seats) if (!this.#seatEpochs.has(store)) this.#seatEpochs.set(store, epoch)
    const view: PartitionView = {
      epoch,
      live: new Map(live.split('').map(store => [id(store), this.#run(store)])),
      seats: seats.split('').map(id),
      seatEpochs: seats.split('').map(store => this.#seatEpochs.get(store)!),
      digest: `placement ${seats}`,
      departed: this.#departed(epoch, live),
      genesis
    }
    for (const name of at) {
      if (!this.stores.has(name)) this.#create(name)
      this.#views.set(name, view)
      this.input(name, { kind: 'view', view })
    }
  }

  /** Who is not in the configuration, and was in an earlier one. */
  #departed (epoch: number, live: string): ReadonlyMap<StoreId, Absence> {
    for (const store of live) this.#absent.set(id(store), undefined)
    for (const [store, absence] of this.#absent) if (!live.includes(store)) this.#absent.set(store, absence ?? { epoch, since: this.now })
    return new Map([...this.#absent].filter((entry): entry is [StoreId, Absence] => entry[1] !== undefined))
  }

  #run (name: string): number {
    return this.#runs.get(name) ?? 1
  }

  #create (name: string): void {
    const disk: Disk = { state: undefined, logs: new Map(), data: new Map(), expiries: new Map() }
    this.stores.set(name, { name, disk, replica: this.#replica(name, disk), persists: [], reads: [], up: true, slow: false })
  }

  #replica (name: string, { state, logs }: Disk): Replica {
    const transfers = { acquire: () => true, release: () => {}, ready: () => true, spend: () => {} }
    const nonce = 1000 * (this.now + 1)
    const entries = state?.copy === undefined ? [] : [...logs.get(state.copy)?.values() ?? []].sort((a, b) => a.seq - b.seq)
    const leases = this.#leaseOptions === undefined ? undefined : new Leases(this.now, nonce, this.#leaseOptions)
    if (leases !== undefined) this.leases.set(name, leases)
    const components = { self: id(name), transfers, nonce, durability: this.#durability, ...leases === undefined ? {} : { leases } }
    return new Replica(state === undefined ? components : { ...components, durable: { state, entries } }, this.#options)
  }

  /** Has a store ask for the leases that its reads would do with; those that are up and can be reached grant them at once. */
  renewLeases (holder: string, granters: string): void {
    const leases = this.leases.get(holder)!
    for (const { to, message } of leases.due(this.now)) {
      if (!granters.includes(to) || !this.store(to).up) continue
      const answer = this.leases.get(to)!.receive(this.now, id(holder), message)
      if (answer !== undefined) leases.receive(this.now, to, answer)
    }
  }

  store (name: string): Store { return this.stores.get(name)! }
  replica (name: string): Replica { return this.store(name).replica }

  /** The name of the store that serves, if exactly one does. */
  get leader (): string | undefined {
    const serving = [...this.stores.values()].filter(({ up, replica }) => up && replica.leader?.serving === true)
    return serving.length === 1 ? serving[0]!.name : undefined
  }

  input (name: string, input: ReplicaInput): void {
    const store = this.store(name)
    if (!store.up) return
    const effects = store.replica.apply(this.now, input)
    store.replica.invariants()
    for (const effect of effects) this.#perform(store, effect)
  }

  #perform (store: Store, effect: Effect): void {
    switch (effect.kind) {
      case 'persist': store.persists.push(effect); return
      case 'send': {
        const envelope = { from: store.name, to: effect.to as string, message: validateGroupMessage(structuredClone(effect.message)) }
        this.sent.push(envelope)
        if (!this.lost(envelope)) this.wire.push(envelope)
        return
      }
      case 'respond': this.answers.set(effect.ticket, effect.answer); return
      case 'fetch': case 'scan': case 'range': case 'expiring': store.reads.push(effect); return
      case 'forgetExpired': {
        const { expiries } = store.disk
        expiries.set(effect.copy, (expiries.get(effect.copy) ?? []).filter(({ expires }) => expires > effect.time))
        return
      }
      case 'deleteCopy': for (const kind of ['logs', 'data', 'expiries'] as const) store.disk[kind].delete(effect.copy); return
      case 'fault': this.faults.push(`${store.name}: ${effect.message}`); return
      case 'wake': return // Ticks come every 50 ms here.
      case 'ledger':
        this.ledger.push(`${store.name} ${effect.field} ${effect.amount}`)
        this.counted.push(effect.epoch)
    }
  }

  /** A message as if it had just arrived. */
  receive (from: string, to: string, message: GroupMessage): void {
    this.input(to, { kind: 'message', from: id(from), message })
  }

  /** Takes messages off the wire without delivering them. */
  take (matching: Matching): Envelope[] {
    const taken = this.wire.filter(matching)
    this.wire = this.wire.filter(envelope => !matching(envelope))
    return taken
  }

  deliver (envelopes: readonly Envelope[]): void {
    for (const { from, to, message } of envelopes) if (this.stores.get(to)?.up === true) this.receive(from, to, message)
  }

  /** Everything that a store wrote so far becomes durable. */
  sync (name: string): void {
    const store = this.store(name)
    for (const persist of store.persists.splice(0)) {
      for (const write of persist.writes) this.#write(store.disk, write)
      this.input(name, { kind: 'persisted', token: persist.token })
    }
  }

  #write (disk: Disk, write: StoreWrite): void {
    switch (write.kind) {
      case 'state': disk.state = write.state; return
      case 'entry': filed(disk.logs, write.copy).set(write.entry.seq, write.entry); return
      case 'dropEntries': for (let seq = write.from; seq <= write.to; seq++) disk.logs.get(write.copy)?.delete(seq); return
      case 'item':
        if (write.value === null) disk.data.get(write.copy)?.delete(keyText(write.key))
        else {
          const { key, value, seq, expires } = write
          filed(disk.data, write.copy).set(keyText(key), { value, seq, ...expires === undefined ? {} : { expires } })
          if (expires === undefined) return
          const others = (disk.expiries.get(write.copy) ?? []).filter(record => placeOf(record) !== placeOf({ expires, key, seq }))
          disk.expiries.set(write.copy, [...others, { expires, key, seq }].sort((a, b) => placeOf(a) < placeOf(b) ? -1 : 1))
        }
    }
  }

  #read (store: Store): void {
    for (const effect of store.reads.splice(0)) {
      if (effect.kind === 'expiring') {
        const { after, limit } = effect
        const records = (store.disk.expiries.get(effect.copy) ?? []).filter(record => after === null || placeOf(record) > placeOf(after))
        this.input(store.name, { kind: 'expiring', token: effect.token, records: records.slice(0, limit) })
        continue
      }
      const data = store.disk.data.get(effect.copy) ?? new Map<string, { value: Uint8Array, seq: number, expires?: number }>()
      if (effect.kind === 'fetch') {
        this.input(store.name, { kind: 'fetched', token: effect.token, values: effect.keys.map(key => data.get(keyText(key)) ?? null) })
        continue
      }
      if (effect.kind === 'range') {
        const { from, to, reverse, limit } = effect.scan
        const keys = [...data.keys()].filter(key => key >= keyText(from) && (to === null || key < keyText(to))).sort()
        if (reverse) keys.reverse()
        const items = keys.slice(0, limit).map(key => ({ key: Uint8Array.from(Buffer.from(key, 'latin1')), ...data.get(key)! }))
        const done = keys.length <= limit
        this.#deliverRange(() => { this.input(store.name, { kind: 'ranged', token: effect.token, items, done }) })
        continue
      }
      const after = effect.after === null ? '' : keyText(effect.after)
      const keys = [...data.keys()].filter(key => key > after).sort()
      const items = keys.slice(0, 2).map(key => ({ key: Uint8Array.from(Buffer.from(key, 'latin1')), ...data.get(key)! }))
      this.input(store.name, { kind: 'scanned', token: effect.token, items, done: keys.length <= 2 })
    }
  }

  #deliverRange (deliver: () => void): void {
    if (this.rangesRead === undefined) deliver()
    else this.rangesRead.push(deliver)
  }

  /** Ends the turn at every store; what was written becomes durable, except at slow stores. */
  turn (): void {
    for (const store of this.stores.values()) {
      if (!store.up) continue
      this.input(store.name, { kind: 'flush' })
      if (!store.slow) this.sync(store.name)
      if (store.reads.length === 0) continue
      this.#read(store)
      this.input(store.name, { kind: 'flush' })
    }
  }

  /** Delivers everything, in order, until nothing is under way any more, but for what `hold` holds back. */
  settle (hold: Matching = () => false): void {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.turn()
      const next = this.wire.findIndex(envelope => !hold(envelope))
      const idle = [...this.stores.values()].every(({ persists, reads, slow, up }) => !up || slow || (persists.length === 0 && reads.length === 0))
      if (next < 0 && idle) return
      if (next >= 0) this.deliver(this.wire.splice(next, 1))
    }
    throw new Error(`a storm: nothing is at rest after ${ROUNDS_MAX} messages; the last are ${JSON.stringify(this.sent.slice(-6).map(brief))}`)
  }

  /** So much later, everybody looks at what is late. Nothing is delivered. */
  tick (ms: number): void {
    this.now += ms
    for (const name of this.stores.keys()) this.input(name, { kind: 'tick' })
  }

  /** Lets time pass in steps of 50 ms, and everything settle in between. */
  pass (ms: number, hold?: Matching): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now += 50
      for (const name of this.stores.keys()) this.input(name, { kind: 'tick' })
      this.settle(hold)
    }
  }

  /** What the disk of a store holds now, for `rollBack`. */
  snapshot (name: string): Disk {
    return structuredClone(this.store(name).disk)
  }

  /** The disk of a store that is down goes back to what it once held: it loses what it had synced since. */
  rollBack (name: string, disk: Disk): void {
    this.store(name).disk = disk
  }

  /** Power off: what is not durable is lost, so are the messages to it. */
  crash (name: string): void {
    const store = this.store(name)
    store.up = false
    store.persists = []
    store.reads = []
    this.take(of('*', undefined, name))
  }

  /** A new process on what is left on the disk. The others hear of it with the next view. */
  restart (name: string): void {
    const store = this.store(name)
    const view = this.#views.get(name)!
    this.#runs.set(name, this.#run(name) + 1)
    this.#views.set(name, { ...view, live: new Map([...view.live, [id(name), this.#run(name)]]) })
    store.replica = this.#replica(name, store.disk)
    store.up = true
    this.input(name, { kind: 'view', view: this.#views.get(name)! })
  }

  /** A client writes at a store. Returns the ticket. */
  write (name: string, key: string, value: string, operation: OperationId = this.operation(this.replica(name).copy?.commit)): number {
    const ticket = ++this.#tickets
    this.input(name, { kind: 'write', ticket, id: operation, operations: [put(key, value)] })
    return ticket
  }

  /** A client writes a value that expires. */
  writeFor (name: string, key: string, value: string, ttlMs: number): number {
    const ticket = ++this.#tickets
    const operation = { kind: 'put' as const, key: bytes(key), value: bytes(value), ttlMs }
    this.input(name, { kind: 'write', ticket, id: this.operation(this.replica(name).copy?.commit), operations: [operation] })
    return ticket
  }

  /** A client writes several keys at once; null removes one. */
  batch (name: string, values: Record<string, string | null>): number {
    const ticket = ++this.#tickets
    const operations = Object.entries(values).map(([key, value]): Operation => value === null ? { kind: 'del', key: bytes(key) } : put(key, value))
    this.input(name, { kind: 'write', ticket, id: this.operation(this.replica(name).copy?.commit), operations })
    return ticket
  }

  operation (base = 0): OperationId {
    return { client: 'client', number: ++this.#clientNumbers, base }
  }

  /** @param after any replica may answer that has everything up to there */
  read (name: string, key: string, after?: number): number {
    const ticket = ++this.#tickets
    this.input(name, { kind: 'read', ticket, keys: [bytes(key)], ...after === undefined ? {} : { after } })
    return ticket
  }

  scan (name: string, scan: Partial<ScanSpec> = {}): number {
    const ticket = ++this.#tickets
    this.input(name, { kind: 'scan', ticket, scan: { ...EVERYTHING, reverse: false, limit: 100, bytesMax: 10_000, values: true, ...scan } })
    return ticket
  }

  /** The answer to a ticket in a few words: `written 3`, `value x`, `none`, an error's code, or `waits`. */
  answer (ticket: number): string {
    const answer = this.answers.get(ticket)
    switch (answer?.kind) {
      case undefined: return 'waits'
      case 'page': return answer.page.keys.map((key, index) => `${keyText(key)}=${keyText(answer.page.values[index]!)}`).join(' ')
      case 'written': return `written ${answer.seq}`
      case 'values': return answer.values[0] == null ? 'none' : `value ${Buffer.from(answer.values[0]).toString()}`
      case 'error': return answer.code
      default: return answer!.kind
    }
  }

  /** The log of a store's live copy: `1 noop`, `2 x=1`, ... */
  log (name: string): string[] {
    const { copy } = this.replica(name)
    const lines: string[] = []
    for (let seq = (copy?.floor ?? 0) + 1; seq <= (copy?.last ?? 0); seq++) lines.push(`${seq} ${bodyText(copy!.entry(seq)!.body)}`)
    return lines
  }

  /** The durable data of a store's live copy. */
  data (name: string): Record<string, string> {
    const { disk } = this.store(name)
    const found = disk.data.get(disk.state?.copy ?? -1) ?? new Map<string, { value: Uint8Array }>()
    return Object.fromEntries([...found].sort().map(([key, { value }]) => [key, Buffer.from(value).toString()]))
  }
}

/** The order of the index of what expires. */
const placeOf = ({ expires, key }: Expiring): string => `${String(expires).padStart(15, '0')} ${keyText(key)}`

/** What is filed under a copy's number. */
function filed<Key, Value> (maps: Map<number, Map<Key, Value>>, copy: number): Map<Key, Value> {
  let map = maps.get(copy)
  if (map === undefined) maps.set(copy, map = new Map())
  return map
}

export function bodyText (body: EntryBody): string {
  if (body.kind === 'noop') return 'noop'
  if (body.kind === 'stop') return `stop ${body.next.generation} ${body.next.members.join('')}`
  if (body.operations === null) return 'forgotten'
  const text = body.operations.map(operation => `${keyText(operation.key)}=${operation.kind === 'put' ? keyText(operation.value) : ''}`).join(' ')
  return body.swept === undefined ? text : `expired ${text}`
}

export const brief = ({ from, to, message }: Envelope): string => `${from}>${to} ${message.kind}`
