/**
 * A configuration as one of its members sees it: indexed, with its overlay.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1. Computed once per configuration and process; what does not depend on who looks is
 * computed once per configuration, for all members that share a process.
 *
 * Pure.
 */
import type { Configuration, Member, MemberId, StoreId } from './configuration.ts'
import type { Address } from './environment/environment.ts'
import { Electorate } from './electorate.ts'
import { positionOf, type Position, type Sender } from './messages.ts'
import { Overlay } from './overlay.ts'

/** The members of a configuration by what they are asked for. */
interface Index {
  readonly byId: ReadonlyMap<MemberId, Member>
  readonly byAddress: ReadonlyMap<Address, Member>
  readonly byStore: ReadonlyMap<StoreId, Member>
}

const indexes = new WeakMap<Configuration, Index>()

function indexOf (configuration: Configuration): Index {
  let index = indexes.get(configuration)
  if (index !== undefined) return index
  const [byId, byAddress, byStore] = [new Map<MemberId, Member>(), new Map<Address, Member>(), new Map<StoreId, Member>()]
  for (const member of configuration.members) {
    byId.set(member.id, member)
    byAddress.set(member.address, member)
    byStore.set(member.storeId, member)
  }
  index = { byId, byAddress, byStore }
  indexes.set(configuration, index)
  return index
}

export class View {
  readonly configuration: Configuration
  /** This process, as this configuration has it. */
  readonly self: Member
  readonly overlay: Overlay
  /** Who votes. */
  readonly electorate: Electorate
  readonly position: Position
  readonly sender: Sender
  /** Distinct members that this process observes. */
  readonly subjects: readonly MemberId[]
  readonly #index: Index

  constructor (configuration: Configuration, self: Member, ringCount: number) {
    this.configuration = configuration
    this.#index = indexOf(configuration)
    this.self = this.#index.byId.get(self.id) ?? self
    this.overlay = Overlay.of(configuration, ringCount)
    this.electorate = Electorate.of(configuration)
    this.position = positionOf(configuration)
    this.sender = { id: self.id, address: self.address }
    this.subjects = this.overlay.subjectsOf(self.id)
  }

  get epoch (): number {
    return this.configuration.epoch
  }

  get size (): number {
    return this.configuration.members.length
  }

  /** So many voters can decide. */
  get majority (): number {
    return this.electorate.classicQuorum
  }

  /** Whether this process votes. */
  get votes (): boolean {
    return this.electorate.indexOf(this.self.id) >= 0
  }

  member (id: MemberId): Member | undefined {
    return this.#index.byId.get(id)
  }

  memberAt (address: Address): Member | undefined {
    return this.#index.byAddress.get(address)
  }

  holderOf (storeId: StoreId): Member | undefined {
    return this.#index.byStore.get(storeId)
  }

  /** Whether this process is among those who would report the joiner. */
  observesJoiner (joiner: MemberId): boolean {
    return this.overlay.observersOfJoiner(joiner).includes(this.self.id)
  }
}
