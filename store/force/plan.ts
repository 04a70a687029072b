/**
 * Who goes on, and what is lost, if an operator gives up on stores that will not come back (rule S12).
 *
 * Of each partition whose latest known group has no majority without them, or too few that are not doubted (see group/doubt.ts), the
 * store with the most advanced copy goes on alone; the placement's other stores are taught by it. The plan needs the word of every member
 * of one configuration, and of every other store that may hold something of the partition either its word or that it is given up too:
 * whoever is merely away might know of a later group, or have more of the history, and nobody gave up on that.
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { StoreError } from '../errors.ts'
import { suffices } from '../group/doubt.ts'
import { comparePositions, majorityOf } from '../group/history.ts'
import { fits, type ForceOrder, type Survivor } from './order.ts'
import type { Survey, SurveyRow } from './survey.ts'

/** One partition that the order sets going again. */
export interface ForcedPartition {
  readonly partition: number
  readonly survivor: StoreId
  /** No copy is left: everything in the partition is lost. */
  readonly empty: boolean
  /** The number of the last write that the survivor has; what the lost stores have after it is lost. */
  readonly position: number
  /** Who is given up of those that may have held it. */
  readonly lost: readonly StoreId[]
}

export interface ForcePlan {
  readonly order: ForceOrder
  readonly partitions: readonly ForcedPartition[]
  /** Partitions that the stores given up stop as well, and that cannot be forced now. */
  readonly refused: readonly { readonly partition: number, readonly reason: string }[]
  /** Further partitions, for which an order of their own is needed, since one is limited in length. */
  readonly more: number
}

interface Said { readonly from: StoreId, readonly row: SurveyRow }

/** The later of two groups of one partition has the later force in its history, or else the higher generation. */
const compareGroups = (a: SurveyRow, b: SurveyRow): number => a.forced - b.forced || a.generation - b.generation

/**
 * The more advanced of two copies. Level ones of the latest group end as leaders are elected by; any other copy is a prefix of the
 * history as far as it knows it to be committed.
 */
function compareCopies (latest: SurveyRow, a: SurveyRow, b: SurveyRow): number {
  const level = (row: SurveyRow): boolean => compareGroups(row, latest) === 0 && row.copy!.level
  if (level(a) !== level(b)) return Number(level(a)) - Number(level(b))
  return level(a) ? comparePositions(a.copy!.last, b.copy!.last) : a.copy!.commit - b.copy!.commit
}

const refuse = (message: string): never => { throw new StoreError('STORE_FORCE_REFUSED', message) }

/** @throws {StoreError} STORE_FORCE_REFUSED */
function check (surveys: readonly Survey[], abandoned: readonly StoreId[]): void {
  const [first] = surveys
  if (first === undefined) return refuse('nobody was asked')
  const members = Object.keys(first.members).sort().join()
  const asked = surveys.map(({ storeId }) => storeId as string).sort().join()
  if (asked !== members || surveys.some(({ configurationId }) => configurationId !== first.configurationId)) {
    return refuse('the members were not all asked in one configuration: try again')
  }
  const known = new Set(surveys.flatMap(({ rows }) => rows.flatMap(({ members, seats, former }) => [...members, ...seats, ...former])))
  for (const store of abandoned) {
    const address = first.members[store]
    if (address !== undefined) refuse(`store ${store} is in the cluster, at ${address}: it is not lost`)
    if (!known.has(store)) refuse(`nobody knows a store ${store} that holds anything`)
  }
}

/**
 * @param surveys of all members of one configuration
 * @throws {StoreError} STORE_FORCE_REFUSED when one is missing or of another configuration, or when a store is in the cluster or unknown
 */
export function planForce (surveys: readonly Survey[], abandoned: readonly StoreId[]): ForcePlan {
  check(surveys, abandoned)
  const { epoch } = surveys[0]!
  const live = new Set(surveys.map(({ storeId }) => storeId))
  const lost = new Set([...abandoned, ...surveys[0]!.abandoned])
  const byPartition = new Map<number, Said[]>()
  for (const { storeId, rows } of surveys) {
    for (const row of rows) {
      const said = byPartition.get(row.partition)
      if (said === undefined) byPartition.set(row.partition, [{ from: storeId, row }])
      else said.push({ from: storeId, row })
    }
  }
  const partitions: ForcedPartition[] = []
  const refused: { partition: number, reason: string }[] = []
  const survivors: Survivor[] = []
  let more = 0
  for (const [partition, said] of [...byPartition].sort(([a], [b]) => a - b)) {
    const latest = said.map(({ row }) => row).reduce((a, b) => compareGroups(a, b) >= 0 ? a : b)
    const { members } = latest
    // Nobody who is left has been in any group of it: who had a seat tells whether the lost ones were.
    const unknown = members.length === 0
    if (unknown && ![...latest.seats, ...latest.former].some(store => lost.has(store))) continue
    if (!unknown && goesOn(said, latest, lost)) continue
    const chosen = choose(said, latest, live, lost)
    if (typeof chosen === 'string') {
      refused.push({ partition, reason: chosen })
      continue
    }
    survivors.push({ partition, store: chosen.store, empty: chosen.empty })
    if (!fits({ epoch, abandoned, survivors })) {
      survivors.pop()
      more++
      continue
    }
    const { store: survivor, empty, position } = chosen
    const holders = new Set([...members, ...latest.seats, ...latest.former])
    partitions.push({ partition, survivor, empty, position, lost: [...holders].filter(store => lost.has(store)) })
  }
  return { order: { epoch, abandoned: [...abandoned].sort(), survivors }, partitions, refused, more }
}

/** Whether the latest group has a leader, or can have one, without those who are lost. */
function goesOn (said: readonly Said[], latest: SurveyRow, lost: ReadonlySet<StoreId>): boolean {
  const ofLatest = new Map(said.filter(({ row }) => compareGroups(row, latest) === 0).map(({ from, row }) => [from, row]))
  const left = latest.members.filter(member => !lost.has(member))
  if (left.length < majorityOf(latest.members.length)) return false
  return suffices(left.map(member => ofLatest.get(member) ?? {}), latest.members.length) || left.some(member => ofLatest.get(member)?.leads === true)
}

/** Who goes on with a partition; or why nobody can be told yet. */
function choose (
  said: readonly Said[], latest: SurveyRow, live: ReadonlySet<StoreId>, lost: ReadonlySet<StoreId>
): Omit<Survivor, 'partition'> & { readonly position: number } | string {
  const { members, seats, former } = latest
  const away = [...new Set([...members, ...seats, ...former])].filter(store => !live.has(store) && !lost.has(store))
  if (away.length > 0) return `it may be held by ${away.join(', ')} too, which are away: start them, or give up on them as well`
  const copies = said.filter(({ row }) => row.copy !== null)
  if (copies.some(({ row }) => !row.copy!.settled)) return 'its copies are changing: try again'
  if (copies.length === 0) {
    const heir = seats.find(store => live.has(store))
    return heir === undefined ? 'nobody has a seat in it: add a node' : { store: heir, empty: true, position: 0 }
  }
  const best = copies.reduce((a, b) => compareCopies(latest, a.row, b.row) >= 0 ? a : b)
  return { store: best.from, empty: false, position: best.row.copy!.last.seq }
}
