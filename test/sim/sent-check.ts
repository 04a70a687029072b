/**
 * What a store may say to another: what it promises is promised on its disk, what it says that it has is there, what it acknowledges is the
 * leader's history, and a copy may go only when all others have what they need. Invariants 17, 20, 25 and 30 of store/README.md.
 *
 * Owns nothing; remembers what was promised.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { type Ballot, compareBallots } from '../../store/group/history.ts'
import type { GroupMessage } from '../../store/group/messages.ts'
import type { Replica } from '../../store/group/replica.ts'
import { ballotText, type PartitionMemory } from './partition-memory.ts'
import type { StoreDisks } from './store-disks.ts'

export interface SentCheckComponents {
  readonly disks: StoreDisks
  /** A replica of a partition at a running store for which this holds. */
  readonly find: (partition: number, matching: (replica: Replica) => boolean) => Replica | undefined
  /** Compares the data of a store's copy with the replay of the history. */
  readonly checkData: (partition: number, store: StoreId) => void
}

export class SentCheck {
  readonly #components: SentCheckComponents

  constructor (components: SentCheckComponents) {
    this.#components = components
  }

  check (partition: number, memory: PartitionMemory, store: StoreId, message: GroupMessage): void {
    switch (message.kind) {
      case 'seal':
        this.#checkPromise(partition, store, message)
        return
      case 'sealed':
        this.#checkPromise(partition, store, message)
        this.#checkDurable(partition, store, message.kind, message.last.seq, false)
        this.#promises(memory, store, message)
        return
      case 'appended':
        this.#checkPromise(partition, store, message)
        this.#checkDurable(partition, store, message.kind, message.seq, message.unsynced === true)
        this.#checkPrefix(partition, store, message)
        this.#promises(memory, store, message)
        return
      case 'learned':
        if (!message.whole) return
        this.#checkDurable(partition, store, message.kind, message.position, false)
        this.#checkTaught(partition, store, memory)
        return
      case 'release': this.#checkRelease(partition, memory, message.generation); return
      default:
    }
  }

  /** Invariants 20 and 21: a ballot is promised durably before anybody hears of it. */
  #checkPromise (partition: number, store: StoreId, { kind, generation, ballot }: GroupMessage & { kind: 'seal' | 'sealed' | 'appended' }): void {
    if (this.#components.disks.hasPromised(partition, store, generation, ballot)) return
    throw new Error(`invariant 20: partition ${partition} at ${store} sent '${kind}' with ballot ${ballotText(ballot)}, which its disk has not promised`)
  }

  /** Invariant 25: a store says of nothing that it has it before its disk does, synced unless it says otherwise. */
  #checkDurable (partition: number, store: StoreId, kind: string, seq: number, unsynced: boolean): void {
    const { disks } = this.#components
    if (seq <= 0 || (unsynced ? disks.holds(partition, store, seq) : disks.keeps(partition, store, seq))) return
    throw new Error(`invariant 25: partition ${partition} at ${store} sent '${kind}' for ${seq}, which its disk does not have`)
  }

  /** Looks at the data of a copy once, when it is said to be whole. */
  #checkTaught (partition: number, store: StoreId, { taught }: PartitionMemory): void {
    const { disks, checkData } = this.#components
    const name = `${store}/${disks.state(partition, store)?.copy}`
    if (taught.has(name)) return
    taught.add(name)
    checkData(partition, store)
  }

  /** Invariant 17: what a follower acknowledges to a leader is the leader's history. */
  #checkPrefix (partition: number, store: StoreId, { generation, ballot, seq }: GroupMessage & { kind: 'appended' }): void {
    const { find } = this.#components
    const same = (replica: Replica): boolean => replica.group?.generation === generation
    const now = (own: Ballot | undefined): boolean => own !== undefined && compareBallots(own, ballot) === 0
    const leader = find(partition, replica => same(replica) && now(replica.leader?.ballot))
    const follower = find(partition, replica => same(replica) && replica.self === store && now(replica.promised))
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
    const missing = group.members.find(member => !this.#components.disks.keeps(partition, member, group.base - 1))
    if (missing !== undefined) throw new Error(`invariant 30: a copy may go, but ${missing} has not reached the base of generation ${generation}`)
  }
}
