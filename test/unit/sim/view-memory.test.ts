/**
 * The memory of what stores were told must be able to find two configurations, or two placements, of one epoch, and stores with two members.
 *
 * Mutations caught: each of its checks left out.
 */
import { expect, test } from 'vitest'
import type { Configuration } from '../../../membership/configuration.ts'
import type { ViewChange } from '../../../membership/view-change.ts'
import type { AgreedState } from '../../../store/agreed-state.ts'
import { ViewMemory } from '../../sim/view-memory.ts'

interface Told {
  readonly epoch?: number
  readonly id?: string
  readonly digest?: string
  readonly members?: readonly (readonly [store: string, id: string, incarnation: number])[]
}

/** What a store is told, as far as the memory looks at it. */
function told ({ epoch = 1, id = 'first', digest = 'even', members = [['a', 'a1', 1], ['b', 'b1', 1]] }: Told): ViewChange<AgreedState> {
  const configuration = { epoch, id, members: members.map(([storeId, member, incarnation]) => ({ storeId, id: member, incarnation })) }
  return { configuration: configuration as unknown as Configuration, state: { placement: { digest } } } as unknown as ViewChange<AgreedState>
}

test('the same, told again, late or with a store that has started again, violates nothing', () => {
  const memory = new ViewMemory()
  memory.saw(told({}))
  memory.saw(told({}))
  memory.saw(told({ epoch: 3, id: 'third', members: [['a', 'a2', 2], ['b', 'b1', 1]] }))
  memory.saw(told({ epoch: 2, id: 'second' }))
})

test.each<[what: string, first: Told, second: Told, violated: RegExp]>([
  ['another configuration of an epoch', {}, { id: 'other' }, /invariant 27/],
  ['another placement of an epoch', {}, { digest: 'odd' }, /invariant 27/],
  ['two members of a store', {}, { epoch: 2, members: [['a', 'a1', 1], ['a', 'a2', 2]] }, /invariant 31: 2 members/],
  ['another member of a store with the same incarnation', {}, { epoch: 2, members: [['a', 'a2', 1]] }, /invariant 31: store a/],
  ['a member with another incarnation', {}, { epoch: 2, members: [['a', 'a1', 2]] }, /invariant 31: store a/]
])('%s is found', (_, first, second, violated) => {
  const memory = new ViewMemory()
  memory.saw(told(first))
  expect(() => { memory.saw(told(second)) }).toThrow(violated)
})
