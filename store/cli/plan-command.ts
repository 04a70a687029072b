/**
 * `coterie plan`: what a change of the cluster would move, worked out here from the placement that the nodes agree on. Nothing is changed.
 *
 * Owns nothing.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { type FoldState, type RosterEntry, WEIGHT_MAX, whatIf } from '../../ring/index.ts'
import { decodeAgreedState } from '../agreed-state.ts'
import type { ClusterView } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import { type Arguments, CLIENT_OPTIONS, type Command, EXIT, UsageError } from './command.ts'
import { reach, withClient } from './connection.ts'
import { table } from './table.ts'

/** Nodes that one plan may add. */
const JOIN_MAX = 10_000

/** Stores by their ids or addresses. @throws {StoreError} STORE_INVALID_OPTIONS for one that is not in the cluster */
function storesOf (given: Arguments, option: string, { addresses }: ClusterView): StoreId[] {
  const byAddress = new Map(Object.entries(addresses).map(([store, address]) => [address, store]))
  return given.texts(option).map(name => {
    const store = byAddress.get(name) ?? (Object.hasOwn(addresses, name) ? name : undefined)
    if (store === undefined) throw new StoreError('STORE_INVALID_OPTIONS', `--${option}: '${name}' is neither the address nor the store id of a member`)
    return store as StoreId
  })
}

/** New stores, over the zones in turn. Their ids, which decide ties, are not those that real ones will have. */
function joiners (given: Arguments): RosterEntry[] {
  const count = given.integer('join') ?? 0
  const zones = given.texts('zone')
  if (count < 0 || count > JOIN_MAX) throw new UsageError(`--join must be from 0 to ${JOIN_MAX}`)
  const weight = given.integer('weight') ?? 1
  if (weight < 0 || weight > WEIGHT_MAX) throw new UsageError(`--weight must be from 0 to ${WEIGHT_MAX}`)
  return Array.from({ length: count }, (_, index): RosterEntry => ({
    storeId: `new-${index + 1}` as StoreId, incarnation: 1, metadata: { weight, zone: zones[index % zones.length] ?? '' }
  }))
}

export const planCommand: Command = {
  name: 'plan',
  usage: '',
  summary: 'what a change of the cluster would move, without making it',
  positionals: [0, 0],
  options: {
    ...CLIENT_OPTIONS,
    join: { type: 'string', value: 'n', help: 'so many nodes come, all at once' },
    zone: { type: 'string', multiple: true, value: 'name', help: 'the zone of those that come, repeatable: they take them in turn' },
    weight: { type: 'string', value: 'n', help: 'the weight of those that come (default 1)' },
    remove: { type: 'string', multiple: true, value: 'node', help: 'this node, by address or store id, is gone at once, repeatable' },
    drain: { type: 'string', multiple: true, value: 'node', help: 'this node is drained, repeatable' }
  },
  async run (given, terminal) {
    const join = joiners(given)
    if (join.length + given.texts('remove').length + given.texts('drain').length === 0) throw new UsageError('expected: --join, --remove or --drain')
    const view = await withClient(reach(given), async client => client.view!)
    const { placement } = decodeAgreedState(view.state)
    if (placement === undefined) throw new StoreError('NOT_READY', 'there is no placement yet')
    const change = { join, remove: storesOf(given, 'remove', view), drain: storesOf(given, 'drain', view) }
    // The placement of the agreed state is that of the fold.
    const { plan, load, fewestLiveReplicas, withoutMajority } = whatIf(placement as FoldState, change)
    const stores = load.map(({ store, replicas, leaders }) =>
      ({ storeId: store, address: view.addresses[store] ?? null, before: placement.partitionsOf(store).length, after: replicas, leaders }))
    const { epoch } = view
    const result = { moves: plan.moves.length, lowerBound: plan.lowerBound, leaderChanges: plan.leaderChanges, fewestLiveReplicas }
    if (given.flag('json')) {
      terminal.out(JSON.stringify({ epoch, ...result, withoutMajority: withoutMajority.length, stores }))
      return EXIT.ok
    }
    const { moves, lowerBound, leaderChanges } = result
    terminal.out(`from epoch ${epoch}: ${moves} copies of partitions move, ${lowerBound} at least; ${leaderChanges} partitions change their preferred leader`)
    terminal.out(`on the way no partition has fewer than ${fewestLiveReplicas} live replicas; ${withoutMajority.length} lose their majority`)
    const rows = stores.map(({ storeId, address, before, after, leaders }) => [storeId, address ?? 'new', String(before), String(after), String(leaders)])
    for (const line of table(['store', 'address', 'seats now', 'seats then', 'preferred leader of'], rows)) terminal.out(line)
    return EXIT.ok
  }
}
