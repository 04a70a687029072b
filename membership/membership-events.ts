/** What a membership tells its user, as events. */
import type { EventEmitter } from 'node:events'
import type { Cut } from './configuration.ts'
import type { MembershipStatus } from './effects.ts'
import type { Log } from './environment/environment.ts'
import type { ViewChange } from './view-change.ts'

export interface MembershipEvents<State> {
  /** Once per epoch, in order, in the same turn in which it takes effect. */
  'view-change': [change: ViewChange<State>]
  /** What this process proposed; the cluster may decide otherwise. */
  proposal: [cut: Cut]
  /** The cluster removed this process. */
  removed: []
  /** True when a majority of the configuration got out of reach, false when it is back. */
  isolated: [isolated: boolean]
  status: [status: MembershipStatus]
  /** This process takes no further part, and why. */
  halted: [error: Error]
}

/** Emits an event. A listener that throws must not keep other listeners, nor the machine's other effects, from what is theirs. */
export function tellListeners<State, Name extends keyof MembershipEvents<State>> (
  emitter: EventEmitter<MembershipEvents<State>>, log: Log, name: Name, values: MembershipEvents<State>[Name]
): void {
  for (const listener of (emitter as EventEmitter).rawListeners(name)) {
    try {
      Reflect.apply(listener, emitter, values)
    } catch (error) {
      log.error({ error, event: name }, 'a listener failed')
    }
  }
}
