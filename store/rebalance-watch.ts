/**
 * Looks once a second how the rebalance gets on at this store, and tells it as long as there is something to do, and once when there is not.
 *
 * Owns: one timer, from `start` to `stop`.
 */
import type { CancelTimer, Clock } from '../membership/environment/environment.ts'
import { type PendingHandovers, pendingHandovers } from './pending-handovers.ts'
import type { PartitionHost } from './partition-host.ts'
import { LOOK_MS, Progress, type ProgressStatus } from './progress.ts'
import type { TransferStatus } from './transfer-schedule.ts'

/** What a store has to say of the handovers of the partitions that it leads. */
export type TransfersStatus = TransferStatus & PendingHandovers & ProgressStatus

/** What a node says that has not opened its store yet. */
export const NO_TRANSFERS: TransfersStatus = Object.freeze({
  running: 0,
  waiting: 0,
  bytesPerSecond: 0,
  bytesPerSecondMax: 0,
  bytesSent: 0,
  ...pendingHandovers(0, []),
  handoversLeft: 0,
  handoversPerSecond: 0
})

export class RebalanceWatch {
  readonly #clock: Clock
  readonly #host: Pick<PartitionHost, 'schedule' | 'replicas'>
  readonly #tell: (status: TransfersStatus) => void
  readonly #progress = new Progress()
  #busy = false
  #cancel: CancelTimer = () => {}

  /** @param tell is called once a second while something is left to hand over, and once when nothing is any more */
  constructor (clock: Clock, host: Pick<PartitionHost, 'schedule' | 'replicas'>, tell: (status: TransfersStatus) => void) {
    this.#clock = clock
    this.#host = host
    this.#tell = tell
  }

  start (): void {
    this.#cancel = this.#clock.setTimer(LOOK_MS, () => {
      this.start()
      const status = this.look()
      const busy = status.handoversLeft > 0 || status.pending.grace > 0
      if (busy || this.#busy) this.#tell(status)
      this.#busy = busy
    })
  }

  stop (): void {
    this.#cancel()
  }

  look (): TransfersStatus {
    const now = this.#clock.now()
    const sent = this.#host.schedule.status(now)
    const pending = pendingHandovers(now, this.#host.replicas.values())
    return { ...sent, ...pending, ...this.#progress.look(now, pending, sent.bytesSent) }
  }
}
