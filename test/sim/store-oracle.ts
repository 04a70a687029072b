/**
 * The omniscient observer of a simulated store: sees every replica of every process after each event, remembers what was ever
 * committed or promised by anybody, and throws as soon as two memories disagree.
 *
 * Invariants, by their numbers in store/README.md: 16 (one group per generation), 20 (a promise that was sent never falls, restarts
 * included), 21 (a ballot is started at most once), 22 (a generation begins only when a majority of it holds all before it synced), 23
 * and 34 (whoever may answer under a lease is the last to have committed), 25 (what is committed is on the disks of a majority), 32 (no
 * group shrinks while enough stores live). In committed-history.ts: 18 (what is committed at a number stays so for ever, at every
 * store, across ballots and generations), 26 (each operation once), 36 (what expires by itself has expired). In sent-check.ts, of
 * messages: 17, 20, 25, and 30 (a copy is released only when the whole group is level). Linearizability, the ledger (29) and the
 * comparison of the data (19, also looked at when a copy is first said to be whole) follow at the end of a run.
 *
 * Owns: its memories.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Clock } from '../../membership/environment/environment.ts'
import { compareBallots, type Entry, type Group, majorityOf } from '../../store/group/history.ts'
import type { GroupMessage } from '../../store/group/messages.ts'
import type { Replica } from '../../store/group/replica.ts'
import { Leases } from '../../store/leases.ts'
import type { StoreNode } from '../../store/node.ts'
import type { CommittedHistory } from './committed-history.ts'
import { ballotText, PartitionMemory } from './partition-memory.ts'
import { SentCheck } from './sent-check.ts'
import type { SortedMap } from './sorted-map.ts'
import { type DiskContents, StoreDisks } from './store-disks.ts'

/** What the oracle looks at besides the messages. */
export interface OracleComponents extends DiskContents {
  /** The running nodes. */
  readonly nodes: () => Iterable<StoreNode>
  /** The clock that a node reads. */
  readonly clock: (node: StoreNode) => Clock
}

export class StoreOracle {
  readonly #partitions = new Map<number, PartitionMemory>()
  readonly #components: OracleComponents
  readonly #disks: StoreDisks
  readonly #sent: SentCheck
  /** Reads that were answered under a lease. */
  leasedReads = 0
  /** Where loss was accepted, by partition, and which stores were not given up. The test says so before it happens. */
  readonly givenUp = new Map<number, { readonly others: readonly StoreId[] }>()
  /** Committed entries that were lost with stores that were given up, or with the power of all. */
  lost = 0

  constructor (components: OracleComponents) {
    this.#components = components
    this.#disks = new StoreDisks(components)
    this.#sent = new SentCheck({
      disks: this.#disks,
      find: (partition, matching) => this.#find(partition, matching),
      checkData: (partition, store) => { this.checkData(partition, store) }
    })
  }

  #memory (partition: number): PartitionMemory {
    let memory = this.#partitions.get(partition)
    if (memory === undefined) this.#partitions.set(partition, memory = new PartitionMemory())
    return memory
  }

  #find (partition: number, matching: (replica: Replica) => boolean): Replica | undefined {
    for (const node of this.#components.nodes()) {
      const replica = node.replicas.get(partition)
      if (replica !== undefined && matching(replica)) return replica
    }
    return undefined
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

  /** A store sent a message: what it says must be on its disk already, and what it promises may not fall any more. */
  sent (partition: number, store: StoreId, message: GroupMessage): void {
    this.#sent.check(partition, this.#memory(partition), store, message)
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
    if (leader !== undefined && !memory.leaders.has(leader) && this.#disks.hasPromised(partition, replica.self, group.generation, leader.ballot)) {
      memory.leaders.add(leader)
      const name = `${group.generation}/${ballotText(leader.ballot)}`
      const other = memory.ballots.get(name)
      if (other !== undefined && other !== leader) throw new Error(`invariant 21: ballot ${name} was started twice`)
      memory.ballots.set(name, leader)
    }
    if (copy === undefined) return
    const from = Math.max(memory.compared.get(copy) ?? 0, copy.floor)
    for (let seq = from + 1; seq <= copy.commit; seq++) this.#checkCommitted(partition, memory, copy.entry(seq)!, seq)
    memory.compared.set(copy, Math.max(from, copy.commit))
  }

  #checkCommitted (partition: number, memory: PartitionMemory, entry: Entry, seq: number): void {
    if (!memory.history.add(entry, seq)) return
    // A committed stop sign makes the next generation, whether or not anybody has stepped to it yet.
    if (entry.body.kind === 'stop') this.#checkGroup(partition, memory, entry.body.next)
    // That a forced generation begins is in the configuration, and on as many disks as that.
    if (entry.body.kind === 'stop' && entry.body.next.forced === entry.body.next.generation) return
    this.#checkMajority(partition, memory, seq)
  }

  /** Invariant 25, when an entry is first seen to be committed. The group is the one whose generation it is in. */
  #checkMajority (partition: number, { chain, history }: PartitionMemory, seq: number): void {
    const group = chain.findLast(group => group !== undefined && group.base < seq)
    if (group === undefined) return
    const content = history.contentAt(seq)!
    // Who acknowledged it may have lost its power since.
    const holders = group.members.filter(member => this.#disks.held(partition, member, seq, content))
    if (holders.length >= majorityOf(group.members.length)) return
    throw new Error(`invariant 25: number ${seq} (${content}) is committed and on ${holders.length} disks of generation ${group.generation}`)
  }

  #checkGroup (partition: number, memory: PartitionMemory, group: Group): void {
    memory.comparedGroups.add(group)
    const known = memory.chain[group.generation]
    if (known !== undefined) {
      const [one, other] = [JSON.stringify(known), JSON.stringify(group)]
      if (one !== other) throw new Error(`invariant 16: generation ${group.generation} is both ${one} and ${other}`)
      return
    }
    memory.chain[group.generation] = group
    if ((group.forced ?? 0) > memory.forced) {
      this.#checkForce(partition, memory, group)
      return
    }
    const before = memory.chain[group.generation - 1]
    if (before !== undefined && before.members.length > group.members.length) {
      throw new Error(`invariant 32: generation ${group.generation} has fewer members than the one before`)
    }
    const holders = group.base === 0 ? group.members : group.members.filter(member => this.#disks.keeps(partition, member, group.base - 1))
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
    const { history } = memory
    const given = this.givenUp.get(partition)
    if (given === undefined || group.members.length !== 1 || group.generation !== group.forced) {
      throw new Error(`generation ${group.generation} was forced, and nobody gave up on anything there`)
    }
    memory.forced = group.forced
    const kept = this.#lastHeld(partition, survivor, history)
    for (const [seq, { content }] of history.inOrder()) {
      if (seq <= kept) continue
      const holder = given.others.find(store => this.#disks.holds(partition, store, seq, content))
      if (holder !== undefined) throw new Error(`number ${seq} is lost, although ${holder} has it, which was not given up`)
      history.forget(seq)
      this.lost++
    }
    // What the survivor had logged and nobody knew to be committed counts from now on.
    for (const entry of this.#disks.entriesFrom(partition, survivor, kept + 1)) {
      if (entry.body.kind === 'stop') break
      history.accept(entry, entry.seq)
    }
    history.recount()
  }

  /** A store loses its power now. */
  losesPower (store: StoreId, content: SortedMap): void {
    this.#disks.losesPower(store, content)
  }

  /**
   * A majority of groups has lost its power, which may cost acknowledged writes: those that no disk of the group has any more are forgotten, and
   * their operations may happen anew. What a single disk has left must stay.
   */
  acceptLoss (): void {
    for (const [partition, { chain, history }] of this.#partitions) {
      const group = chain.at(-1)
      if (group === undefined) continue
      const kept = Math.max(...group.members.map(member => this.#lastHeld(partition, member, history)))
      for (const [seq] of history.inOrder()) {
        if (seq <= kept) continue
        history.forget(seq)
        this.lost++
      }
      history.recount()
    }
  }

  /** The last committed number up to which a store has everything on its disk. */
  #lastHeld (partition: number, store: StoreId, history: CommittedHistory): number {
    let last = 0
    for (const [seq, { content, entry }] of history.inOrder()) {
      if (!this.#disks.holds(partition, store, seq, content) && entry.body.kind !== 'stop') return last
      last = seq
    }
    return last
  }

  /**
   * Invariant 19: the data on a store's disk is what the history gives, each value with the number of the entry that wrote it, replayed to
   * the position that is beside it on the disk.
   */
  checkData (partition: number, store: StoreId): void {
    const state = this.#disks.state(partition, store)
    if (state?.copy === undefined) return
    const sorted = (map: Map<string, string>): string => JSON.stringify([...map].sort())
    if (sorted(this.#disks.data(partition, store, state.copy)) === sorted(this.#memory(partition).history.replay(state.applied))) return
    throw new Error(`invariant 19: partition ${partition} at ${store} has other data in copy ${state.copy} than its history gives at ${state.applied}`)
  }

  /** Names the first entry, value or record of the index on a store's disk that is in no live copy; undefined where none is. */
  strayOn (store: StoreId): string | undefined {
    return this.#disks.strayOn(store)
  }

  /** What was ever committed in a partition, by number; with the values, if any replica showed them. */
  committed (partition: number): ReadonlyMap<number, Entry> {
    return new Map(this.#memory(partition).history.inOrder().map(([seq, { entry }]) => [seq, entry]))
  }

  /** The committed writes of a key, in order; deletions have no value. */
  keyHistory (partition: number, key: string): { readonly seq: number, readonly value: string | undefined }[] {
    return this.#memory(partition).history.ofKey(key)
  }

  #sum (of: (memory: PartitionMemory) => number): number {
    return [...this.#partitions.values()].reduce((sum, memory) => sum + of(memory), 0)
  }

  /** Values that are there and will expire, in all partitions. */
  get expiring (): number { return this.#sum(({ history }) => history.expiring) }

  /** Values that were removed because their time was over. */
  get expired (): number { return this.#sum(({ history }) => history.expired) }

  /** Generations of all partitions together: how much was handed over. */
  get generations (): number { return this.#sum(({ chain }) => chain.filter(group => group !== undefined).length) }
}
