/**
 * The weight of a store while drains are asked for, taken back, and asked for again before the first is agreed on: the last request counts.
 *
 * Mutations caught: taking a drain back forgets the weight when it is agreed on, although another drain was asked for meanwhile; a second drain
 * takes the weight 0 for the one to give back; a weight that is set after a drain was taken back is kept instead of asked for; a weight
 * that is not agreed on yet when a drain is asked for is forgotten.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Membership } from '../../../membership/index.ts'
import type { AgreedState } from '../../../store/agreed-state.ts'
import { Drain } from '../../../store/drain.ts'

/** A member's weight: what was asked for is agreed on when the test says so, all of it at once, the last counts. */
class Bench {
  readonly self = { metadata: { weight: 3 } }
  readonly drain: Drain
  #asked: { readonly weight: number, readonly resolve: () => void }[] = []

  constructor () {
    const membership = {
      self: this.self,
      state: {},
      configuration: { members: [] },
      update: ({ weight }: { weight: number }) => new Promise<void>(resolve => { this.#asked.push({ weight, resolve }) })
    } as unknown as Membership<AgreedState>
    this.drain = new Drain({ membership, clock: undefined as never, self: 'a' as never, replicas: new Map(), stopped: () => false })
  }

  /** As `StoreNode.update`. */
  weigh (weight: number): void {
    if (!this.drain.keep(weight)) this.#asked.push({ weight, resolve: () => {} })
  }

  async agree (): Promise<void> {
    const asked = this.#asked
    this.#asked = []
    this.self.metadata.weight = asked.at(-1)?.weight ?? this.self.metadata.weight
    for (const { resolve } of asked) resolve()
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  }
}

const step = fc.oneof(fc.constantFrom('drain', 'undo', 'agree'), fc.integer({ min: 1, max: 9 }))

test('the last of several requests counts, however they overlap, and taking back gives what was owed last', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 12 }), async steps => {
    const bench = new Bench()
    let [drained, weight] = [false, 3]
    const requests: Promise<void>[] = []
    for (const taken of steps) {
      if (taken === 'agree') await bench.agree()
      else if (typeof taken === 'number') bench.weigh(weight = taken)
      else {
        drained = taken === 'drain'
        requests.push(drained ? bench.drain.begin() : bench.drain.undo())
      }
    }
    await bench.agree()
    expect(bench.self.metadata.weight).toBe(drained ? 0 : weight)
    await Promise.all(requests)
    const undone = bench.drain.undo()
    await bench.agree()
    await undone
    expect(bench.self.metadata.weight).toBe(weight)
  }), { numRuns: 1000 })
})
