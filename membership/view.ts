/**
 * A configuration as one of its members sees it: indexed, with its overlay.
 *
 * Suresh et al. (USENIX ATC '18), section 4.1. Computed once per configuration and process.
 *
 * Pure.
 */
import { type Configuration, type Member, type MemberId, type StoreId } from './configuration.ts'
import { type Address } from './environment/environment.ts'
import { positionOf, type Position, type Sender } from './messages.ts'
import { Overlay } from './overlay.ts'
import { classicQuorum } from './quorum.ts'

export class View {
  readonly configuration: Configuration
  readonly self: Member
  readonly overlay: Overlay
  readonly position: Position
  readonly sender: Sender
  /** Distinct members that this process observes. */
  readonly subjects: readonly MemberId[]
  readonly #byId = new Map<MemberId, Member>()
  readonly #byAddress = new Map<Address, Member>()
  readonly #byStore = new Map<StoreId, Member>()

  constructor (configuration: Configuration, self: Member, ringCount: number) {
    this.configuration = configuration
    this.self = self
    this.overlay = Overlay.of(configuration, ringCount)
    this.position = positionOf(configuration)
    this.sender = { id: self.id, address: self.address }
    this.subjects = this.overlay.subjectsOf(self.id)
    for (const member of configuration.members) {
      this.#byId.set(member.id, member)
      this.#byAddress.set(member.address, member)
      this.#byStore.set(member.storeId, member)
    }
  }

  get epoch (): number {
    return this.configuration.epoch
  }

  get size (): number {
    return this.configuration.members.length
  }

  get majority (): number {
    return classicQuorum(this.size)
  }

  member (id: MemberId): Member | undefined {
    return this.#byId.get(id)
  }

  memberAt (address: Address): Member | undefined {
    return this.#byAddress.get(address)
  }

  holderOf (storeId: StoreId): Member | undefined {
    return this.#byStore.get(storeId)
  }

  /** Whether this process is among those who would report the joiner. */
  observesJoiner (joiner: MemberId): boolean {
    return this.overlay.observersOfJoiner(joiner).includes(this.self.id)
  }
}
