/**
 * The order to give up on stores: which are lost for good, and who goes on alone with each partition that has no majority without them.
 *
 * Rule S12. An order is agreed on as part of a configuration: a member carries it in its metadata, in tags whose names are reserved, so
 * that every process sees it in the same epoch, and a joiner receives what came of it with the fold (agreed-state.ts). It was planned on
 * what all members said in one configuration and takes effect in the very next one or never: whatever changed in between, it was not
 * part of what the operator saw.
 *
 * Pure.
 */
import type { Configuration, StoreId } from '../../membership/configuration.ts'
import { StoreError } from '../errors.ts'

/** Tags whose names begin so are the store's own. */
export const RESERVED_TAGS = 'coterie.'

const PREFIX = `${RESERVED_TAGS}force.`
/** Characters of one tag's value; membership takes up to 512. */
const PART_CHARACTERS = 500
/** Tags that an order may take; membership takes 64, and the user has some. */
const PARTS_MAX = 48
/** Stores that an order can name, as lost or as going on. */
const STORES_MAX = 256

/** Who goes on with a partition. */
export interface Survivor {
  readonly partition: number
  readonly store: StoreId
  /** True: nobody has a copy, and it begins with nothing. */
  readonly empty: boolean
}

export interface ForceOrder {
  /** The epoch of the configuration on which it was planned. */
  readonly epoch: number
  /** Sorted. */
  readonly abandoned: readonly StoreId[]
  /** One per partition, ascending. */
  readonly survivors: readonly Survivor[]
}

function encode ({ epoch, abandoned, survivors }: ForceOrder): string {
  const stores = [...new Set(survivors.map(({ store }) => store))]
  const seats = survivors.map(({ partition, store, empty }) => `${partition.toString(36)}${empty ? '!' : ':'}${stores.indexOf(store).toString(36)}`)
  return [epoch, abandoned.join(), stores.join(), seats.join()].join(';')
}

/** Whether an order is short enough to be carried. */
export function fits (order: ForceOrder): boolean {
  return encode(order).length <= PART_CHARACTERS * PARTS_MAX && order.abandoned.length <= STORES_MAX
}

/**
 * A member's tags with this order in place of an earlier one.
 * @throws {StoreError} STORE_FORCE_REFUSED when it does not fit
 */
export function withOrder (tags: Readonly<Record<string, string>>, order: ForceOrder): Record<string, string> {
  if (!fits(order)) throw new StoreError('STORE_FORCE_REFUSED', 'the order names too many partitions or stores: give it in parts')
  const kept = Object.entries(tags).filter(([name]) => !name.startsWith(PREFIX))
  const text = encode(order)
  const parts: [string, string][] = []
  for (let from = 0; from < text.length; from += PART_CHARACTERS) {
    parts.push([`${PREFIX}${String(parts.length).padStart(2, '0')}`, text.slice(from, from + PART_CHARACTERS)])
  }
  return Object.fromEntries([...kept, ...parts])
}

const NATURAL = /^[0-9a-z]{1,11}$/

/** Undefined for anything that is no order: every process must come to the same result, whatever a member's tags say. */
function decode (text: string): ForceOrder | undefined {
  const [epoch = '', abandoned = '', stores = '', seats = '', ...rest] = text.split(';')
  const names = stores.split(',') as StoreId[]
  const lost = abandoned.split(',') as StoreId[]
  if (rest.length > 0 || !/^\d{1,15}$/.test(epoch) || abandoned === '' || stores === '' || seats === '') return undefined
  if (new Set(lost).size !== lost.length || lost.length > STORES_MAX || names.some(store => lost.includes(store))) return undefined
  const survivors: Survivor[] = []
  for (const seat of seats.split(',')) {
    const separator = seat.includes('!') ? '!' : ':'
    const [partition = '', index = ''] = seat.split(separator)
    const store = NATURAL.test(index) ? names[Number.parseInt(index, 36)] : undefined
    const number = NATURAL.test(partition) ? Number.parseInt(partition, 36) : -1
    if (store === undefined || number <= (survivors.at(-1)?.partition ?? -1)) return undefined
    survivors.push({ partition: number, store, empty: separator === '!' })
  }
  return { epoch: Number(epoch), abandoned: lost, survivors }
}

/** The orders that the members of a configuration carry, in the order of the members. */
export function ordersOf ({ members }: Pick<Configuration, 'members'>): ForceOrder[] {
  const orders: ForceOrder[] = []
  for (const { metadata: { tags } } of members) {
    const names = Object.keys(tags).filter(name => name.startsWith(PREFIX)).sort()
    if (names.length === 0) continue
    const order = decode(names.map(name => tags[name]!).join(''))
    if (order !== undefined) orders.push(order)
  }
  return orders
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** Checks an order that came over the wire. @throws {StoreError} STORE_INVALID_MESSAGE */
export function validateOrder (value: unknown): ForceOrder {
  const fail = (): never => { throw new StoreError('STORE_INVALID_MESSAGE', 'not an order to give up on stores') }
  if (!isRecord(value) || !Array.isArray(value.abandoned) || !Array.isArray(value.survivors)) return fail()
  const store = (name: unknown): StoreId => typeof name === 'string' && /^[^,;]{1,128}$/.test(name) ? name as StoreId : fail()
  const natural = (number: unknown): number => typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : fail()
  const survivors = value.survivors.map((item: unknown): Survivor =>
    isRecord(item) ? { partition: natural(item.partition), store: store(item.store), empty: item.empty === true } : fail())
  const order = { epoch: natural(value.epoch), abandoned: value.abandoned.map(store), survivors }
  // What the others would make of it must be just this.
  return JSON.stringify(decode(encode(order))) === JSON.stringify(order) ? order : fail()
}
