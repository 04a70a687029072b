/** Has connections flushed once per turn of the event loop, after everything that is ready: so all messages of a turn share one frame. */
import { onNextTurn } from '../environment/system.ts'
import type { Connection } from './connection.ts'

export class FlushSchedule {
  #dirty: Connection[] = []

  add (connection: Connection): void {
    if (connection.dirty) return
    connection.dirty = true
    this.#dirty.push(connection)
    if (this.#dirty.length === 1) onNextTurn(() => { this.#flush() })
  }

  #flush (): void {
    const dirty = this.#dirty
    this.#dirty = []
    for (const connection of dirty) {
      connection.dirty = false
      connection.flush()
    }
  }
}
