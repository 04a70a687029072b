/**
 * The seat that the placement gives this store in the partition, and whether the transfer that it stands for is complete.
 *
 * Rule S11: a transfer has an id (epoch, partition, receiver) and is carried out once. The state record says that it is complete, in the batch
 * that completes it.
 *
 * Pure: a part of the replica core.
 */
import type { DurableState } from './effects.ts'
import type { PartitionView } from './replica-contract.ts'
import type { Replica } from './replica.ts'

export class Seat {
  readonly #replica: Replica
  #seat: DurableState['seat']

  constructor (replica: Replica) {
    this.#replica = replica
  }

  /** Takes up what an earlier run left. */
  restore (seat: DurableState['seat']): void {
    this.#seat = seat
  }

  /** For the state record. */
  get recorded (): DurableState['seat'] { return this.#seat }
  /** True when the transfer that gives this store its seat is complete. */
  get completed (): boolean { return this.#seat?.completed === true }
  get epoch (): number | undefined { return this.#seat?.epoch }

  /** Another configuration. Returns whether the seat is another one. */
  changeView ({ seats, seatEpochs, genesis }: PartitionView): boolean {
    const { out, self } = this.#replica
    const index = seats.indexOf(self)
    const epoch = index < 0 ? undefined : seatEpochs[index]!
    if (epoch === this.#seat?.epoch) return false
    if (this.#seat !== undefined && !this.#seat.completed) out.ledger(this.#seat.epoch, 'superseded')
    const isGenesis = epoch === genesis.epoch
    this.#seat = epoch === undefined ? undefined : { epoch, completed: isGenesis }
    if (epoch !== undefined && !isGenesis) out.ledger(epoch, 'planned')
    return true
  }

  /** The placement of `epoch` is carried out here, so the transfer of this seat is complete (rule S11). Returns whether that is new. */
  settle (epoch: number): boolean {
    if (this.#seat === undefined || this.#seat.completed || this.#seat.epoch > epoch) return false
    this.#seat = { ...this.#seat, completed: true }
    this.#replica.out.ledger(this.#seat.epoch, 'done')
    return true
  }

  /** The live copy may have become level, which completes the transfer. Returns whether it has. */
  levelled (): boolean {
    const { group, level, isMember } = this.#replica
    return group !== undefined && level && isMember && this.settle(group.epoch)
  }

  /** This store leads, and its group carries out the placement of `epoch`. */
  carriedOut (epoch: number): void {
    if (this.settle(epoch)) this.#replica.disk.persist([])
  }

  /** So much of the log came from the leader. While the transfer of this seat is not complete, it is what a returning store missed. */
  caughtUp (bytes: number): void {
    if (bytes > 0 && this.#seat?.completed === false) this.#replica.out.ledger(this.#seat.epoch, 'delta', bytes)
  }
}
