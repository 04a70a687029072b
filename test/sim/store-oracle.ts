/**
 * The omniscient observer of a simulated store: sees every replica of every process after each event, remembers what was ever
 * committed or promised by anybody, and throws as soon as two memories disagree.
 *
 * Invariants, by their numbers in store/README.md: 16 (one group per generation), 17 and 18 (what is committed at a number stays
 * so for ever, at every store, across ballots and generations), 20 (a promise that was sent never falls, restarts included), 21 (a
 * ballot is started at most once), 22 (a generation begins only when a majority of it holds all before it synced), 23 and 34
 * (whoever may answer under a lease is the last to have committed), 25 (what is committed is on the disks of a majority), 26 (each
 * operation once), 29 (no transfer completes twice), 30 (a copy is released only when the whole group is level), 32 (no group
 * shrinks while enough stores live), 36 (what expires by itself has expired). Linearizability and the comparison of the data (19, also
 * looked at when a copy is first said to be whole) follow at the end of a run.
 *
 * Owns: its memories.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Clock } from '../../membership/environment/environment.ts'
import type { DurableState } from '../../store/group/effects.ts'
import { type Ballot, compareBallots, type Entry, type Group, majorityOf, operationName, timeOf } from '../../store/group/history.ts'
import type { Leader } from '../../store/group/leader.ts'
import type { GroupMessage } from '../../store/group/messages.ts'
import type { Replica } from '../../store/group/replica.ts'
import { Leases } from '../../store/leases.ts'
import type { StoreNode } from '../../store/node.ts'
import { copyOf, copyRange, decodeEntry, decodeExpiring, decodeState, decodeValue, expiryKey, logKey, ranges, stateKey, userKeyOf } from '../../store/storage/layout.ts'
import type { SortedMap } from './sorted-map.ts'

const ballotText = ({ epoch, attempt, store }: Ballot): string => `${epoch}.${attempt}.${store}`
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** An entry without its ballot, which changes when a later leader proposes it again, and without values, which compaction drops. */
function contentOf ({ body }: Entry): string {
  switch (body.kind) {
    case 'noop': return 'noop'
    case 'stop': return `stop ${JSON.stringify(body.next)}`
    case 'write': return `write ${operationName(body.id)}${body.failed === undefined ? '' : ` failed ${body.failed.operation}@${body.failed.version}`}`
  }
}

const contentOfValue = (seq: number, value: Uint8Array, expires: number | undefined): string =>
  `${seq}: ${hex(value)}${expires === undefined ? '' : ` until ${expires}`}`

/** What the oracle looks at besides the messages. */
export interface OracleComponents {
  /** The running nodes. */
  readonly nodes: () => Iterable<StoreNode>
  /** The clock that a node reads. */
  readonly clock: (node: StoreNode) => Clock
  /** What is on the disk of a store, whether or not it runs; undefined for one that was never heard of. */
  readonly disk: (store: StoreId) => SortedMap | undefined
  /** What of that would be there after a loss of power. */
  readonly synced: (store: StoreId) => SortedMap | undefined
}

class PartitionMemory {
  /** By sequence number. Holds the entry with its values as soon as one replica showed it. */
  readonly committed = new Map<number, { readonly content: string, entry: Entry }>()
  /** The epoch of the last force. */
  forced = 0
  readonly groups = new Map<number, string>()
  /** The same groups, by generation. */
  readonly chain: Group[] = []
  /** Groups that were compared already: a replica shows the same object event after event. */
  readonly comparedGroups = new WeakSet<Group>()
  /** The highest promise sent, by store and generation. */
  readonly promised = new Map<StoreId, Map<number, Ballot>>()
  /** Who started a ballot, by generation and ballot. */
  readonly ballots = new Map<string, object>()
  readonly leaders = new WeakSet<object>()
  /** Copies whose data was compared when they were first said to be whole, by store and copy number. */
  readonly taught = new Set<string>()
  /** Where each operation was committed. */
  readonly operations = new Map<string, number>()
  /** The highest ballot that has committed an entry of its own, in the newest generation in which one has. */
  served: { generation: number, ballot: Ballot } | undefined
  /** Answers that each leader gave under a lease, as of the last look. */
  readonly leased = new WeakMap<Leader, number>()
  /** The partition's time as the committed entries told it last. */
  time = 0
  /** The keys that have a value, in hexadecimal, with the time at which it expires. */
  readonly values = new Map<string, number | undefined>()
  /** How far the commits of a copy have been compared. */
  readonly compared = new WeakMap<object, number>()
}

export class StoreOracle {
  readonly #partitions = new Map<number, PartitionMemory>()
  readonly #components: OracleComponents
  /** Reads that were answered under a lease. */
  leasedReads = 0
  /** Values that were removed because their time was over. */
  expired = 0
  /** Where loss was accepted, by partition, and which stores were not given up. The test says so before it happens. */
  readonly givenUp = new Map<number, { readonly others: readonly StoreId[] }>()
  /** Committed entries that were lost with stores that were given up, or with the power of all. */
  lost = 0
  /** What was on the disks of stores before they lost their power last. */
  readonly #former = new Map<StoreId, SortedMap>()

  constructor (components: OracleComponents) {
    this.#components = components
  }

  #memory (partition: number): PartitionMemory {
    let memory = this.#partitions.get(partition)
    if (memory === undefined) this.#partitions.set(partition, memory = new PartitionMemory())
    return memory
  }

  /** What was ever committed in a partition, by number; with the values, if any replica showed them. */
  committed (partition: number): ReadonlyMap<number, Entry> {
    return new Map(this.#inOrder(partition).map(([seq, { entry }]) => [seq, entry]))
  }

  /** Looks at every replica of every running node. */
  check (): void {
    for (const node of this.#components.nodes()) for (const [partition, replica] of node.replicas) this.#noteServing(this.#memory(partition), replica)
    for (const node of this.#components.nodes()) {
      for (const [partition, replica] of node.replicas) {
        try {
          replica.invariants()
          this.#checkReplica(partition, this.#memory(partition), replica)
          this.#checkLease(this.#memory(partition), node, replica)
        } catch (cause) {
          throw new Error(`partition ${partition} at ${node.address} (${replica.self.slice(0, 6)}): ${(cause as Error).message}`, { cause })
        }
      }
    }
  }

  #noteServing (memory: PartitionMemory, { group, leader }: Replica): void {
    if (group === undefined || leader === undefined || !leader.serving) return
    const { generation } = group
    const { served } = memory
    if (served !== undefined && (generation - served.generation || compareBallots(leader.ballot, served.ballot)) <= 0) return
    memory.served = { generation, ballot: leader.ballot }
  }

  /**
   * Invariants 23 and 34, in true time: while a leader may answer by its leases, if its process went on at this moment, no later one has
   * committed anything, and no later generation has begun; and so it was whenever one has answered.
   */
  #checkLease (memory: PartitionMemory, node: StoreNode, { group, leader, leases }: Replica): void {
    if (group === undefined || leader === undefined || !(leases instanceof Leases)) return
    const answered = leader.reads.leased - (memory.leased.get(leader) ?? 0)
    memory.leased.set(leader, leader.reads.leased)
    this.leasedReads += answered
    const clock = this.#components.clock(node)
    const now = clock.now()
    leases.tell(now, clock.wallNow())
    if (answered === 0 && !leader.lease.valid(now)) return
    const { served, chain } = memory
    const what = answered > 0 ? 'answered under' : 'has'
    const name = `${group.generation}/${ballotText(leader.ballot)}`
    if (chain.length > group.generation + 1) throw new Error(`invariant 34: the leader of ${name} ${what} a lease, and generation ${chain.length - 1} has begun`)
    if (served?.generation !== group.generation || compareBallots(served.ballot, leader.ballot) <= 0) return
    throw new Error(`invariant 23: the leader of ${name} ${what} a lease, and ${served.generation}/${ballotText(served.ballot)} has committed an entry`)
  }

  #checkReplica (partition: number, memory: PartitionMemory, replica: Replica): void {
    const { group, copy, leader } = replica
    // What a force has ended is no part of the history any more.
    if (group === undefined || (group.forced ?? 0) < memory.forced) return
    if (!memory.comparedGroups.has(group)) this.#checkGroup(partition, memory, group)
    const sent = memory.promised.get(replica.self)?.get(group.generation)
    if (sent !== undefined && compareBallots(replica.promised, sent) < 0) {
      throw new Error(`invariant 20: promised ${ballotText(sent)} in generation ${group.generation}, and now only ${ballotText(replica.promised)}`)
    }
    // A ballot is begun when the disk knows of it. Before, nobody hears of it, and a process that ends has not begun it.
    if (leader !== undefined && !memory.leaders.has(leader) && this.#hasPromised(partition, replica.self, group.generation, leader.ballot)) {
      memory.leaders.add(leader)
      const name = `${group.generation}/${ballotText(leader.ballot)}`
      const other = memory.ballots.get(name)
      if (other !== undefined && other !== leader) throw new Error(`invariant 21: ballot ${name} was started twice`)
      memory.ballots.set(name, leader)
    }
    if (copy === undefined) return
    const from = Math.max(memory.compared.get(copy) ?? 0, copy.floor)
    for (let seq = from + 1; seq <= copy.commit; seq++) this.#compare(partition, memory, copy.entry(seq)!, seq)
    memory.compared.set(copy, Math.max(from, copy.commit))
  }

  #checkGroup (partition: number, memory: PartitionMemory, group: Group): void {
    memory.comparedGroups.add(group)
    const text = JSON.stringify(group)
    const known = memory.groups.get(group.generation)
    if (known !== undefined && known !== text) throw new Error(`invariant 16: generation ${group.generation} is both ${known} and ${text}`)
    if (known !== undefined) return
    memory.groups.set(group.generation, text)
    memory.chain[group.generation] = group
    if ((group.forced ?? 0) > memory.forced) {
      this.#checkForce(partition, memory, group)
      return
    }
    const before = memory.groups.get(group.generation - 1)
    if (before !== undefined && (JSON.parse(before) as Group).members.length > group.members.length) {
      throw new Error(`invariant 32: generation ${group.generation} has fewer members than the one before`)
    }
    const holders = group.base === 0 ? group.members : group.members.filter(member => this.#keeps(partition, member, group.base - 1))
    if (holders.length < majorityOf(group.members.length)) {
      throw new Error(`invariant 22: generation ${group.generation} began while only ${holders.length} of its ${group.members.length} members held ${group.base - 1}`)
    }
  }

  /**
   * A partition was forced: the loss of what only the given-up stores had was accepted, of this partition and of nothing else. Whatever was
   * committed and is on the disk of a store that was not given up stays; the rest is forgotten, and its operations may happen anew.
   */
  #checkForce (partition: number, memory: PartitionMemory, group: Group): void {
    const [survivor] = group.members as [StoreId]
    const given = this.givenUp.get(partition)
    if (given === undefined || group.members.length !== 1 || group.generation !== group.forced) {
      throw new Error(`generation ${group.generation} was forced, and nobody gave up on anything there`)
    }
    memory.forced = group.forced!
    const kept = this.#lastHeld(partition, survivor, memory)
    for (const [seq, { content, entry }] of this.#inOrder(partition).map(([seq]) => [seq, memory.committed.get(seq)!] as const)) {
      if (seq <= kept) continue
      const holder = given.others.find(store => this.#holds(partition, store, seq, content))
      if (holder !== undefined) throw new Error(`number ${seq} is lost, although ${holder} has it, which was not given up`)
      memory.committed.delete(seq)
      if (entry.body.kind === 'write') memory.operations.delete(operationName(entry.body.id))
      this.lost++
    }
    // What the survivor had logged and nobody knew to be committed counts from now on.
    const state = this.#state(partition, this.#components.disk(survivor))
    for (let seq = kept + 1; state?.copy !== undefined; seq++) {
      const record = this.#components.disk(survivor)!.get(logKey(partition, state.copy, seq))
      if (record === undefined) break
      const entry = decodeEntry(logKey(partition, state.copy, seq), record)
      if (entry.body.kind === 'stop') break
      memory.committed.set(seq, { content: contentOf(entry), entry })
      if (entry.body.kind === 'write') memory.operations.set(operationName(entry.body.id), seq)
    }
    this.#recount(partition, memory)
  }

  /** What expires, and the time, as the committed entries that are left tell it. */
  #recount (partition: number, memory: PartitionMemory): void {
    const { expired } = this
    memory.time = 0
    memory.values.clear()
    for (const [, { entry }] of this.#inOrder(partition)) this.#checkExpiry(memory, entry)
    this.expired = expired
  }

  /** A store loses its power now. */
  losesPower (store: StoreId, content: SortedMap): void {
    this.#former.set(store, content)
  }

  /**
   * A majority of groups has lost its power, which may cost acknowledged writes: those that no disk of the group has any more are forgotten, and
   * their operations may happen anew. What a single disk has left must stay.
   */
  acceptLoss (): void {
    for (const [partition, memory] of this.#partitions) {
      const group = memory.chain.at(-1)
      if (group === undefined) continue
      const kept = Math.max(...group.members.map(member => this.#lastHeld(partition, member, memory)))
      for (const [seq, { entry }] of memory.committed) {
        if (seq <= kept) continue
        memory.committed.delete(seq)
        if (entry.body.kind === 'write') memory.operations.delete(operationName(entry.body.id))
        this.lost++
      }
      this.#recount(partition, memory)
    }
  }

  /** The last committed number up to which a store has everything on its disk. */
  #lastHeld (partition: number, store: StoreId, memory: PartitionMemory): number {
    let last = 0
    for (const [seq, { entry }] of this.#inOrder(partition)) {
      if (!this.#holds(partition, store, seq, memory.committed.get(seq)!.content) && entry.body.kind !== 'stop') return last
      last = seq
    }
    return last
  }

  /** True when a store has a number durably: in its data, or as an entry of its log (with `content`, this one). */
  #holds (partition: number, store: StoreId, seq: number, content: string | undefined, disk = this.#components.disk(store)): boolean {
    const state = this.#state(partition, disk)
    if (state?.copy === undefined) return false
    if (seq <= state.applied) return true
    const key = logKey(partition, state.copy, seq)
    const entry = disk!.get(key)
    return entry !== undefined && (content === undefined || contentOf(decodeEntry(key, entry)) === content)
  }

  /** True when a store has a number, and keeps it when it loses its power. */
  #keeps (partition: number, store: StoreId, seq: number): boolean {
    return this.#holds(partition, store, seq, undefined, this.#components.synced(store))
  }

  /** Invariant 25, when an entry is first seen to be committed. The group is the one whose generation it is in. */
  #checkMajority (partition: number, { chain }: PartitionMemory, seq: number, content: string): void {
    const group = chain.findLast(group => group !== undefined && group.base < seq)
    if (group === undefined) return
    // Who acknowledged it may have lost its power since.
    const held = (member: StoreId): boolean => this.#holds(partition, member, seq, content) ||
      (this.#former.has(member) && this.#holds(partition, member, seq, content, this.#former.get(member)))
    const holders = group.members.filter(held)
    if (holders.length >= majorityOf(group.members.length)) return
    throw new Error(`invariant 25: number ${seq} (${content}) is committed and on ${holders.length} disks of generation ${group.generation}`)
  }

  #compare (partition: number, memory: PartitionMemory, entry: Entry, seq: number): void {
    const content = contentOf(entry)
    const known = memory.committed.get(seq)
    if (known !== undefined) {
      if (known.content !== content) throw new Error(`invariant 18: number ${seq} was committed as ${known.content}, and now as ${content}`)
      if (known.entry.body.kind === 'write' && known.entry.body.operations === null) known.entry = entry
      return
    }
    if (entry.body.kind === 'write') {
      const name = operationName(entry.body.id)
      const first = memory.operations.get(name)
      if (first !== undefined) throw new Error(`invariant 26: operation ${name} was committed at ${first} and at ${seq}`)
      memory.operations.set(name, seq)
    }
    memory.committed.set(seq, { content, entry })
    this.#checkExpiry(memory, entry)
    // A committed stop sign makes the next generation, whether or not anybody has stepped to it yet.
    if (entry.body.kind === 'stop') this.#checkGroup(partition, memory, entry.body.next)
    // That a forced generation begins is in the configuration, and on as many disks as that.
    if (entry.body.kind === 'stop' && entry.body.next.forced === entry.body.next.generation) return
    this.#checkMajority(partition, memory, seq, content)
  }

  /**
   * Invariant 36: what a leader removes by itself is the value of a put whose time, as the history counts it, is over; the time never
   * falls; and what such an entry says to be swept is gone.
   */
  #checkExpiry (memory: PartitionMemory, { seq, body }: Entry): void {
    const time = timeOf({ seq, body } as Entry)
    if (time !== undefined && time < memory.time) throw new Error(`invariant 36: the time is ${time} at ${seq}, and was ${memory.time}`)
    memory.time = time ?? memory.time
    if (body.kind !== 'write') return
    if (body.operations === null) throw new Error(`the oracle never saw the values of ${seq}`)
    const { values } = memory
    for (const operation of body.operations) {
      const key = hex(operation.key)
      if (body.swept !== undefined) {
        const expires = values.get(key)
        if (expires === undefined || expires > memory.time) {
          throw new Error(`invariant 36: number ${seq} removes ${Buffer.from(operation.key).toString()} at ${memory.time}, which ${values.has(key) ? `expires at ${expires}` : 'has no value'}`)
        }
        this.expired++
      }
      if (operation.kind === 'put') values.set(key, operation.expires)
      else values.delete(key)
    }
    if (body.swept === undefined) return
    for (const [key, expires] of values) {
      if (expires !== undefined && expires <= body.swept) throw new Error(`invariant 36: number ${seq} says that ${body.swept} is swept; ${Buffer.from(key, 'hex').toString()} expires at ${expires} and is still there`)
    }
  }

  /** Values that are there and will expire, in all partitions. */
  get expiring (): number {
    let count = 0
    for (const { values } of this.#partitions.values()) for (const expires of values.values()) if (expires !== undefined) count++
    return count
  }

  /** A store sent a message: what it says must be on its disk already, and what it promises may not fall any more. */
  sent (partition: number, store: StoreId, message: GroupMessage): void {
    const memory = this.#memory(partition)
    switch (message.kind) {
      case 'seal':
        this.#checkPromise(partition, store, message)
        return
      case 'sealed':
        this.#checkPromise(partition, store, message)
        this.#checkDurable(partition, store, message.kind, message.last.seq)
        this.#promises(memory, store, message)
        return
      case 'appended':
        this.#checkPromise(partition, store, message)
        this.#checkDurable(partition, store, message.kind, message.seq, message.unsynced === true ? this.#components.disk(store) : undefined)
        this.#checkPrefix(partition, store, message)
        this.#promises(memory, store, message)
        return
      case 'learned':
        if (!message.whole) return
        this.#checkDurable(partition, store, message.kind, message.position)
        this.#checkTaught(partition, store, memory)
        return
      case 'release': this.#checkRelease(partition, memory, message.generation); return
      default:
    }
  }

  #state (partition: number, disk: SortedMap | undefined): DurableState | undefined {
    const key = stateKey(partition)
    const record = disk?.get(key)
    return record === undefined ? undefined : decodeState(key, record)
  }

  /** Invariants 20 and 21: a ballot is promised durably before anybody hears of it. */
  #checkPromise (partition: number, store: StoreId, { kind, generation, ballot }: GroupMessage & { kind: 'seal' | 'sealed' | 'appended' }): void {
    if (this.#hasPromised(partition, store, generation, ballot)) return
    throw new Error(`invariant 20: partition ${partition} at ${store} sent '${kind}' with ballot ${ballotText(ballot)}, which its disk has not promised`)
  }

  /** Whether the disk of a store obeys nothing below a ballot. One that has stepped to a later generation keeps no promise of this one. */
  #hasPromised (partition: number, store: StoreId, generation: number, ballot: Ballot): boolean {
    const state = this.#state(partition, this.#components.synced(store))
    if (state?.group === undefined || state.group.generation < generation) return false
    return state.group.generation > generation || compareBallots(state.promised, ballot) >= 0
  }

  /** Invariant 25: a store says of nothing that it has it before its disk does. */
  #checkDurable (partition: number, store: StoreId, kind: string, seq: number, disk = this.#components.synced(store)): void {
    if (seq <= 0 || this.#holds(partition, store, seq, undefined, disk)) return
    throw new Error(`invariant 25: partition ${partition} at ${store} sent '${kind}' for ${seq}, which its disk does not have`)
  }

  /** Looks at the data of a copy once, when it is said to be whole. */
  #checkTaught (partition: number, store: StoreId, { taught }: PartitionMemory): void {
    const name = `${store}/${this.#state(partition, this.#components.disk(store))?.copy}`
    if (taught.has(name)) return
    taught.add(name)
    this.checkData(partition, store)
  }

  /**
   * Invariant 19: the data on a store's disk is what the history gives, each value with the number of the entry that wrote it, replayed to
   * the position that is beside it on the disk.
   */
  checkData (partition: number, store: StoreId): void {
    const state = this.#state(partition, this.#components.disk(store))
    if (state?.copy === undefined) return
    const range = copyRange('data', partition, state.copy)
    const found = new Map<string, string>()
    for (const [key, record] of this.#components.disk(store)!.entries(undefined, false)) {
      if (Buffer.compare(key, range.gte) < 0 || Buffer.compare(key, range.lt) >= 0) continue
      const { value, seq, expires } = decodeValue(key, record)
      found.set(hex(userKeyOf(key)), contentOfValue(seq, value, expires))
      if (expires === undefined) continue
      const index = expiryKey(partition, state.copy, expires, userKeyOf(key))
      const indexed = this.#components.disk(store)!.get(index)
      if (indexed === undefined || decodeExpiring(index, indexed).seq !== seq) throw new Error(`invariant 19: partition ${partition} at ${store} has a value of ${seq} that expires at ${expires}, which its index does not name`)
    }
    const sorted = (map: Map<string, string>): string => JSON.stringify([...map].sort())
    if (sorted(found) === sorted(this.#replay(partition, state.applied))) return
    throw new Error(`invariant 19: partition ${partition} at ${store} has other data in copy ${state.copy} than its history gives at ${state.applied}`)
  }

  /** Names the first entry, value or record of the index on a store's disk that is in no live copy; undefined where none is. */
  strayOn (store: StoreId): string | undefined {
    const disk = this.#components.disk(store)
    if (disk === undefined) return undefined
    const live = new Map<number, number | undefined>()
    for (const kind of ['logs', 'data', 'expiries'] as const) {
      const { gte, lt } = ranges[kind]
      for (const [key] of disk.entries(gte, false)) {
        if (Buffer.compare(key, lt) >= 0) break
        const { partition, copy } = copyOf(key)
        if (!live.has(partition)) live.set(partition, this.#state(partition, disk)?.copy)
        if (live.get(partition) !== copy) return `${kind} of copy ${copy} of partition ${partition}, whose live copy is ${live.get(partition)}`
      }
    }
    return undefined
  }

  #replica (partition: number, matching: (replica: Replica) => boolean): Replica | undefined {
    for (const node of this.#components.nodes()) {
      const replica = node.replicas.get(partition)
      if (replica !== undefined && matching(replica)) return replica
    }
    return undefined
  }

  /** Invariant 17: what a follower acknowledges to a leader is the leader's history. */
  #checkPrefix (partition: number, store: StoreId, { generation, ballot, seq }: GroupMessage & { kind: 'appended' }): void {
    const same = (replica: Replica): boolean => replica.group?.generation === generation
    const now = (own: Ballot | undefined): boolean => own !== undefined && compareBallots(own, ballot) === 0
    const leader = this.#replica(partition, replica => same(replica) && now(replica.leader?.ballot))
    const follower = this.#replica(partition, replica => same(replica) && replica.self === store && now(replica.promised))
    if (leader?.copy === undefined || follower?.copy === undefined) return
    for (let next = Math.max(leader.copy.floor, follower.copy.commit) + 1; next <= Math.min(seq, leader.copy.last); next++) {
      const [ours, theirs] = [leader.copy.entry(next), follower.copy.entry(next)]
      if (ours === undefined || theirs === undefined || compareBallots(ours.ballot, theirs.ballot) === 0) continue
      throw new Error(`invariant 17: ${store} acknowledged ${seq} to ${leader.self}, but has another entry at ${next}`)
    }
  }

  #promises ({ promised }: PartitionMemory, store: StoreId, { generation, ballot }: GroupMessage & { kind: 'sealed' | 'appended' }): void {
    let generations = promised.get(store)
    if (generations === undefined) promised.set(store, generations = new Map())
    const before = generations.get(generation)
    if (before === undefined || compareBallots(ballot, before) > 0) generations.set(generation, ballot)
  }

  /** Invariant 30. */
  #checkRelease (partition: number, { chain }: PartitionMemory, generation: number): void {
    const group = chain[generation]!
    const missing = group.members.find(member => !this.#keeps(partition, member, group.base - 1))
    if (missing !== undefined) throw new Error(`invariant 30: a copy may go, but ${missing} has not reached the base of generation ${generation}`)
  }

  /** What the data of a partition must be after the entry `to`: the replay of everything committed. By key, in hexadecimal. */
  #replay (partition: number, to: number): Map<string, string> {
    const data = new Map<string, string>()
    this.#inOrder(partition).forEach(([seq, { entry }]) => {
      if (entry.body.kind !== 'write' || seq > to) return
      if (entry.body.operations === null) throw new Error(`the oracle never saw the values of ${seq}`)
      for (const operation of entry.body.operations) {
        if (operation.kind === 'put') data.set(hex(operation.key), contentOfValue(seq, operation.value, operation.expires))
        else data.delete(hex(operation.key))
      }
    })
    return data
  }

  #inOrder (partition: number): [number, { readonly entry: Entry }][] {
    return [...this.#memory(partition).committed].sort(([a], [b]) => a - b)
  }

  /** The committed writes of a key, in order; deletions have no value. */
  keyHistory (partition: number, key: string): { readonly seq: number, readonly value: string | undefined }[] {
    const history: { seq: number, value: string | undefined }[] = []
    const name = hex(Buffer.from(key))
    this.#inOrder(partition).forEach(([seq, { entry: { body } }]) => {
      if (body.kind !== 'write') return
      if (body.operations === null) throw new Error(`the oracle never saw the values of ${seq}`)
      const last = body.operations.findLast(operation => hex(operation.key) === name)
      if (last !== undefined) history.push({ seq, value: last.kind === 'put' ? Buffer.from(last.value).toString() : undefined })
    })
    return history
  }

  /** Generations of all partitions together: how much was handed over. */
  get generations (): number {
    let count = 0
    for (const memory of this.#partitions.values()) count += memory.groups.size
    return count
  }

  /** Entries committed in all partitions together. */
  get entries (): number {
    let count = 0
    for (const memory of this.#partitions.values()) count += memory.operations.size
    return count
  }
}
