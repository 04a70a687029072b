/**
 * Which addresses to dial next. A few attempts at a time: a process that means to reach a whole cluster in one turn would else
 * have thousands of handshakes under way, all of them late.
 *
 * Addresses above the own one go first, because the attempt of the lower address is the one that stays when two processes
 * dial each other (see link-table.ts): while they are dialled, most of the others have dialled this process.
 *
 * Pure.
 */
import { type Address } from '../environment/environment.ts'

export class DialQueue {
  readonly #above: Address[] = []
  readonly #below: Address[] = []

  push (to: Address, own: Address | undefined): void {
    if (own === undefined || to > own) this.#above.push(to)
    else this.#below.push(to)
  }

  shift (): Address | undefined {
    return this.#above.shift() ?? this.#below.shift()
  }
}
