/**
 * What a store says about its copies to whoever considers giving up on others: one row per partition that it knows anything of.
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Position } from '../group/history.ts'
import type { Replica } from '../group/replica.ts'
import type { Placement } from '../../ring/index.ts'

export interface SurveyRow {
  readonly partition: number
  /**
   * The latest group that this store knows: its generation, the epoch of the force that its history goes back to (0 for none), its members.
   * -1 and nobody at a store that has a seat and has not heard of any group.
   */
  readonly generation: number
  readonly forced: number
  readonly members: readonly StoreId[]
  /** Where its copy ends, if it has one; `level` as the copies of this generation count, and `settled` once all of it is durable. */
  readonly copy: { readonly last: Position, readonly commit: number, readonly level: boolean, readonly settled: boolean } | null
  /** What it acknowledged in that group may be missing: see group/doubt.ts. */
  readonly doubted?: true
  /** It leads that group, and needs nobody's promise any more. */
  readonly leads?: true
  /** Who has a seat by the placement, and who else had one not long ago. */
  readonly seats: readonly StoreId[]
  readonly former: readonly StoreId[]
}

export interface Survey {
  readonly storeId: StoreId
  readonly epoch: number
  readonly configurationId: string
  /** The stores of the configuration's members, each with its address. */
  readonly members: Readonly<Record<string, string>>
  /** Stores that were given up before. */
  readonly abandoned: readonly StoreId[]
  readonly rows: readonly SurveyRow[]
}

export function surveyRows (replicas: ReadonlyMap<number, Replica>, placement: Placement): SurveyRow[] {
  const rows: SurveyRow[] = []
  for (const [index, { group, copy, level, lastPosition, out, doubted, leader }] of replicas) {
    const partition = index as Parameters<Placement['seats']>[0]
    rows.push({
      partition,
      generation: group?.generation ?? -1,
      forced: group?.forced ?? 0,
      members: group?.members ?? [],
      copy: copy === undefined ? null : { last: lastPosition, commit: copy.commit, level, settled: !out.unsettled },
      ...doubted ? { doubted: true } : {},
      ...leader === undefined || leader.phase === 'sealing' || leader.phase === 'deferring' ? {} : { leads: true },
      seats: placement.seats(partition),
      former: placement.formerHolders(partition)
    })
  }
  return rows
}
