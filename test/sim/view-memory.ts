/**
 * What the stores of a simulation were told about the cluster: every configuration with its placement, by epoch, and every member of a
 * store. Throws as soon as two stores, or a store and what it said of another before, disagree.
 *
 * Invariants, by their numbers in store/README.md: 27 (equal epochs mean equal configurations and equal placements) and 31 (a store id has
 * one member; its incarnation rises).
 *
 * Owns: its memories.
 */
import type { Configuration, MemberId, StoreId } from '../../membership/configuration.ts'
import type { AgreedState } from '../../store/agreed-state.ts'
import type { ViewChange } from '../../membership/view-change.ts'

/** The latest member that a store was, as far as it was seen. */
interface Latest { readonly epoch: number, readonly member: MemberId, readonly incarnation: number }

export class ViewMemory {
  readonly #views = new Map<number, string>()
  readonly #latest = new Map<StoreId, Latest>()

  /** A store was told of a configuration. @throws {Error} when an invariant is violated */
  saw ({ configuration, state }: ViewChange<AgreedState>): void {
    const { epoch, id } = configuration
    const view = `configuration ${id} with the placement ${state.placement?.digest ?? 'that is not made yet'}`
    const known = this.#views.get(epoch)
    if (known === view) return
    if (known !== undefined) throw new Error(`invariant 27: epoch ${epoch} is ${known}, and ${view}`)
    this.#views.set(epoch, view)
    this.#checkStores(configuration)
  }

  #checkStores ({ epoch, members }: Configuration): void {
    const stores = new Set(members.map(({ storeId }) => storeId))
    if (stores.size !== members.length) throw new Error(`invariant 31: ${members.length} members of epoch ${epoch} have ${stores.size} store ids`)
    for (const { storeId, id, incarnation } of members) {
      const before = this.#latest.get(storeId)
      // A store may hear late of a configuration that the others have left behind and nobody else told of.
      if (before !== undefined && before.epoch > epoch) continue
      if (before !== undefined && (before.member === id ? incarnation !== before.incarnation : incarnation <= before.incarnation)) {
        throw new Error(`invariant 31: store ${storeId} is member ${id} with incarnation ${incarnation} in epoch ${epoch}, ` +
          `and was ${before.member} with ${before.incarnation} in epoch ${before.epoch}`)
      }
      this.#latest.set(storeId, { epoch, member: id, incarnation })
    }
  }
}
