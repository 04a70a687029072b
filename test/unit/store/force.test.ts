/**
 * The order to give up on stores, who goes on by it, and what the agreed state makes of it (rule S12).
 *
 * Mutations caught: that the named stores were given up once is taken for the effect of an order; an order that is in effect is refused; a
 * store that was given up before is waited for; an order counts in any later configuration; or together with a newcomer; a store that was
 * given up is admitted; the least advanced copy goes on.
 */
import { describe, expect, test } from 'vitest'
import {
  foundingConfiguration, nextConfiguration, normalizeCut, type ClusterId, type Configuration, type Member, type MemberId, type StoreId
} from '../../../membership/configuration.ts'
import { type AgreedState, createAgreedStateFold } from '../../../store/agreed-state.ts'
import type { Membership } from '../../../membership/index.ts'
import { carryOutForce } from '../../../store/force/carry-out.ts'
import { type ForceOrder, ordersOf, validateOrder, withOrder } from '../../../store/force/order.ts'
import { planForce } from '../../../store/force/plan.ts'
import type { Survey, SurveyRow } from '../../../store/force/survey.ts'
import type { Position } from '../../../store/group/history.ts'
import { resolveNodeOptions } from '../../../store/options.ts'

const SETTINGS = { partitions: 64, replicas: 3, expect: 5 }
const store = (index: number): StoreId => `store ${index}` as StoreId

const member = (index: number, run = 1): Member => ({
  id: `member ${index}/${run}` as MemberId, address: `10.0.0.${index + 1}:7000`, storeId: store(index), incarnation: run,
  metadata: { zone: '', weight: 1, tags: { rack: 'a' } }, metadataVersion: 0
})

interface Chain { readonly configuration: Configuration, readonly state: AgreedState }

const fold = createAgreedStateFold()

/** Five members, two of which have gone since. */
function formed (): Chain {
  const founding = foundingConfiguration('c' as ClusterId, 'test', SETTINGS, member(0))
  const chain = follow({ configuration: founding, state: fold.initial(founding) }, [1, 2, 3, 4].map(index => member(index)), [])
  return follow(chain, [], [member(3).id, member(4).id])
}

type Ordered = readonly (readonly [member: number, order: ForceOrder])[]

function follow ({ configuration, state }: Chain, joins: Member[], removals: MemberId[], ordered: Ordered = []): Chain {
  const updates = ordered.map(([index, order]) => {
    const { id, metadata, metadataVersion } = configuration.members.find(({ storeId }) => storeId === store(index))!
    return { member: id, version: metadataVersion + 1, metadata: { ...metadata, tags: withOrder(metadata.tags, order) } }
  })
  const next = nextConfiguration(configuration, normalizeCut(joins, removals, updates))
  return { configuration: next, state: fold.next(state, next) }
}

const order = (epoch: number): ForceOrder => ({
  epoch,
  abandoned: [store(3), store(4)],
  survivors: [{ partition: 1, store: store(0), empty: false }, { partition: 40, store: store(2), empty: true }]
})

describe('an order', () => {
  test('is carried by a member beside its other tags, in place of an earlier one', () => {
    const survivors = Array.from({ length: 900 }, (_, partition) => ({ partition, store: store(partition % 3), empty: partition % 7 === 0 }))
    const large: ForceOrder = { ...order(7), survivors }
    const tags = withOrder(withOrder({ rack: 'a' }, large), order(8))
    expect(tags.rack).toBe('a')
    expect(ordersOf({ members: [{ ...member(0), metadata: { zone: '', weight: 1, tags } }] })).toEqual([order(8)])
    expect(ordersOf({ members: [{ ...member(0), metadata: { zone: '', weight: 1, tags: withOrder({}, large) } }] })).toEqual([large])
    for (const value of Object.values(withOrder({}, large))) expect(value.length).toBeLessThanOrEqual(512)
    expect(validateOrder(JSON.parse(JSON.stringify(large)))).toEqual(large)
  })

  test('that is too long, cut off, or nonsense is refused, or none', () => {
    const survivors = Array.from({ length: 10_000 }, (_, partition) => ({ partition, store: store(0), empty: false }))
    expect(() => withOrder({}, { ...order(7), survivors })).toThrow(expect.objectContaining({ code: 'STORE_FORCE_REFUSED' }) as Error)
    const text = Object.values(withOrder({}, order(7))).join('')
    const carrying = (value: string): Member => ({ ...member(0), metadata: { zone: '', weight: 1, tags: { 'coterie.force.00': value } } })
    const read = (value: string): number => ordersOf({ members: [carrying(value)] }).length
    expect(read(text)).toBe(1)
    const nonsense = ['', ';;;', `${text};`, text.replace('store 0', 'store 3'), text.replace(':0', ':9'), text.slice(0, text.indexOf(':') + 1), `x${text}`]
    for (const wrong of nonsense) expect(read(wrong)).toBe(0)
    const changes = [{ survivors: [] }, { abandoned: [] }, { epoch: -1 }, { abandoned: [store(0)] }]
    for (const wrong of [null, {}, ...changes.map(change => ({ ...order(7), ...change }))]) {
      expect(() => validateOrder(wrong)).toThrow(expect.objectContaining({ code: 'STORE_INVALID_MESSAGE' }) as Error)
    }
    const invalid = expect.objectContaining({ code: 'STORE_INVALID_OPTIONS' }) as Error
    expect(() => resolveNodeOptions({ directory: 'x', tags: { 'coterie.force.00': text } })).toThrow(invalid)
  })
})

describe('the plan', () => {
  const [a, b, c, d] = [store(0), store(1), store(2), store(3)] as const
  const lost = [store(4), store(5), store(6)]
  const group = [a, b, ...lost]
  const at = (attempt: number, seq: number): Position => ({ ballot: { epoch: 2, attempt, store: lost[0]! }, seq })
  const copy = (last: Position, commit: number, level = true): SurveyRow['copy'] => ({ last, commit, level, settled: true })
  const row = (held: SurveyRow['copy'], change: Partial<SurveyRow> = {}): SurveyRow =>
    ({ partition: 7, generation: 3, forced: 0, members: group, copy: held, seats: [a, b, c, d], former: [], ...change })

  /** Who goes on when these stores say so; c and d are there and hold nothing unless they are named. */
  function chosen (rows: Readonly<Record<string, SurveyRow | undefined>>, given: readonly StoreId[] = []): unknown {
    const all = [a, b, c, d]
    const members = Object.fromEntries(all.map(name => [name, 'x:1']))
    const surveys = all.map((storeId): Survey => {
      const said = rows[storeId]
      // One more partition, which all of the lost ones held and nobody is asked about.
      const known = row(copy(at(1, 1), 1), { partition: 1, members: [a, b, c, d, ...lost] })
      return { storeId, epoch: 9, configurationId: 'id', members, abandoned: given, rows: said === undefined ? [known] : [known, said] }
    })
    const plan = planForce(surveys, lost)
    return plan.partitions.length > 0 ? plan.partitions[0] : plan.refused[0]?.reason
  }

  test('goes on with the history that ends in the highest ballot, then with the longest, as an election would', () => {
    expect(chosen({ [a]: row(copy(at(1, 30), 10)), [b]: row(copy(at(2, 20), 10)) })).toMatchObject({ survivor: b, position: 20, empty: false, lost })
    expect(chosen({ [a]: row(copy(at(2, 30), 10)), [b]: row(copy(at(2, 20), 19)) })).toMatchObject({ survivor: a, position: 30 })
  })

  test('prefers a level copy of the latest group; of others the one that knows most to be committed', () => {
    expect(chosen({ [a]: row(copy(at(9, 90), 5, false)), [b]: row(copy(at(1, 20), 10)) })).toMatchObject({ survivor: b })
    const former = { generation: 2, members: [a, b, c] }
    expect(chosen({ [a]: row(copy(at(9, 90), 5), former), [b]: row(copy(at(1, 20), 10)) })).toMatchObject({ survivor: b })
    expect(chosen({ [a]: row(copy(at(9, 90), 5), former), [b]: row(copy(at(1, 20), 12), former), [c]: row(null) })).toMatchObject({ survivor: b })
    // A later force outranks any generation.
    const later = { generation: 4, forced: 4 }
    expect(chosen({ [a]: row(copy(at(1, 5), 5), later), [b]: row(copy(at(9, 90), 90), { generation: 5 }) })).toMatchObject({ survivor: a })
  })

  test('begins with nothing where nobody has a copy, also where nobody even knows the group', () => {
    expect(chosen({ [a]: row(null), [c]: row(null) })).toMatchObject({ survivor: a, empty: true, position: 0 })
    const unknown = { generation: -1, members: [], seats: [c, d], former: [lost[0]!] }
    expect(chosen({ [c]: row(null, unknown) })).toMatchObject({ survivor: c, empty: true })
    expect(chosen({ [c]: row(null, { ...unknown, former: [] }) })).toBeUndefined()
  })

  test('goes on with what has a majority, of which too many lost their power to lead without the lost ones, unless one leads', () => {
    const members = [a, b, lost[0]!]
    const weak = row(copy(at(1, 7), 5), { members, doubted: true })
    const sure = row(copy(at(1, 6), 5), { members })
    expect(chosen({ [a]: weak, [b]: sure })).toMatchObject({ survivor: a })
    expect(chosen({ [a]: weak, [b]: { ...sure, leads: true } })).toBeUndefined()
    expect(chosen({ [a]: { ...sure }, [b]: sure })).toBeUndefined()
    // Without a majority nobody leads, whatever he says.
    expect(chosen({ [a]: row(copy(at(1, 5), 5), { members: [a, ...lost], leads: true }) })).toMatchObject({ survivor: a })
  })

  test('leaves alone what has a majority, and refuses what is changing or what another may hold', () => {
    expect(chosen({ [a]: row(copy(at(1, 5), 5), { members: [a, b, lost[0]!] }) })).toBeUndefined()
    expect(chosen({ [a]: row({ ...copy(at(1, 5), 5)!, settled: false }) })).toContain('changing')
    for (const change of [{ members: [a, ...lost, store(9)] }, { seats: [a, store(9)] }, { former: [store(9)] }]) {
      expect(chosen({ [a]: row(copy(at(1, 5), 5), change) })).toContain(store(9))
      // Unless it was given up before.
      expect(chosen({ [a]: row(copy(at(1, 5), 5), change) }, [store(9)])).toMatchObject({ survivor: a })
    }
  })
})

/** A member of that chain, as far as carrying out an order goes; `deliver` is how its update comes to be agreed on. */
function memberOf (chain: Chain, deliver: (chain: Chain, order: ForceOrder) => Chain): Membership<AgreedState> {
  return {
    get configuration () { return chain.configuration },
    get state () { return chain.state },
    self: member(1),
    async update ({ tags = {} }: { tags?: Record<string, string> }) {
      chain = deliver(chain, ordersOf({ members: [{ ...member(1), metadata: { zone: '', weight: 1, tags } }] })[0]!)
    }
  } as unknown as Membership<AgreedState>
}

describe('carrying an order out', () => {
  const refused = { code: 'STORE_FORCE_REFUSED', definite: true }
  const atOnce = (chain: Chain, wanted: ForceOrder): Chain => follow(chain, [], [], [[1, wanted]])
  const late = (chain: Chain, wanted: ForceOrder): Chain => atOnce(follow(chain, [], []), wanted)

  test('ends when it is in effect; sent again, it is in effect already', async () => {
    const chain = formed()
    let updates = 0
    const membership = memberOf(chain, (from, wanted) => { updates++; return atOnce(from, wanted) })
    await carryOutForce(membership, order(chain.configuration.epoch))
    await carryOutForce(membership, order(chain.configuration.epoch))
    expect(updates).toBe(1)
  })

  test('is refused when it came too late, also where the same stores were given up for other partitions before', async () => {
    const chain = formed()
    await expect(carryOutForce(memberOf(chain, late), order(chain.configuration.epoch))).rejects.toMatchObject(refused)
    const before = atOnce(chain, order(chain.configuration.epoch))
    const rest = { ...order(before.configuration.epoch), survivors: [{ partition: 2, store: store(1), empty: false }] }
    await expect(carryOutForce(memberOf(before, late), rest)).rejects.toMatchObject(refused)
    await carryOutForce(memberOf(before, atOnce), rest)
  })

  test('is refused where another order counted, and where the cluster is another already', async () => {
    const chain = formed()
    const { epoch } = chain.configuration
    const mine: ForceOrder = { epoch, abandoned: [store(3)], survivors: [{ partition: 1, store: store(1), empty: false }] }
    const both = (from: Chain): Chain => follow(from, [], [], [[0, order(epoch)], [1, mine]])
    await expect(carryOutForce(memberOf(chain, both), mine)).rejects.toMatchObject(refused)
    await expect(carryOutForce(memberOf(follow(chain, [], []), atOnce), mine)).rejects.toMatchObject(refused)
  })
})

describe('the agreed state', () => {
  test('follows an order in the configuration after the one that it was planned on, and hands it to joiners', () => {
    const before = formed()
    const { epoch } = before.configuration
    const after = follow(before, [], [], [[1, order(epoch)]])
    expect(after.state.abandoned).toEqual([store(3), store(4)])
    expect([...after.state.forced]).toEqual([
      [1, { epoch: epoch + 1, era: 1, store: store(0), empty: false }], [40, { epoch: epoch + 1, era: 1, store: store(2), empty: true }]
    ])
    const decoded = fold.decode(Uint8Array.from(fold.encode(after.state)))
    expect(decoded.abandoned).toEqual(after.state.abandoned)
    expect([...decoded.forced]).toEqual([...after.state.forced])
    expect(fold.objection!(after.state, member(3, 9))).toContain('given up')
    expect(fold.objection!(after.state, member(5))).toBeUndefined()
    // The tags stay, and mean nothing any more; another force of the partition begins another era.
    const later = follow(after, [], [])
    expect([...later.state.forced]).toEqual([...after.state.forced])
    const again = follow(later, [], [], [[2, order(later.configuration.epoch)]])
    expect(again.state.forced.get(1)).toEqual({ epoch: later.configuration.epoch + 1, era: 2, store: store(0), empty: false })
  })

  test('does not follow an order that comes late, or together with a newcomer, or names who is there or goes', () => {
    const before = formed()
    const { epoch } = before.configuration
    const none = (chain: Chain): void => { expect([chain.state.abandoned, [...chain.state.forced]]).toEqual([[], []]) }
    none(follow(before, [], [], [[1, order(epoch - 1)]]))
    none(follow(before, [], [], [[1, order(epoch + 1)]]))
    none(follow(before, [member(6)], [], [[1, order(epoch)]]))
    none(follow(before, [member(3, 2)], [], [[1, order(epoch)]]))
    none(follow(before, [], [], [[1, { ...order(epoch), abandoned: [store(1), store(3)] }]]))
    none(follow(before, [], [member(2).id], [[1, order(epoch)]]))
    none(follow(before, [], [], [[1, { ...order(epoch), survivors: [{ partition: 64, store: store(0), empty: false }] }]]))
  })

  test('of two orders follows one', () => {
    const before = formed()
    const { epoch } = before.configuration
    const other: ForceOrder = { epoch, abandoned: [store(3)], survivors: [{ partition: 2, store: store(1), empty: false }] }
    const after = follow(before, [], [], [[1, order(epoch)], [2, other]])
    expect([after.state.abandoned, [...after.state.forced.keys()]]).toEqual([[store(3), store(4)], [1, 40]])
  })
})
