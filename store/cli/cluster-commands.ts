/**
 * The commands that look at a cluster: `status`, `members`, `ring`.
 *
 * Owns nothing.
 */
import { partitionOf, type Placement } from '../../ring/index.ts'
import { type AgreedState, decodeAgreedState } from '../agreed-state.ts'
import type { ClusterView } from '../client-protocol.ts'
import type { NodeStatus } from '../node-status.ts'
import type { StoreId } from '../../membership/configuration.ts'
import { type Arguments, CLIENT_OPTIONS, type Command, EXIT } from './command.ts'
import { askStatus, reach, type StatusAnswer, withClient } from './connection.ts'
import { table } from './table.ts'

async function fetchView (given: Arguments): Promise<{ view: ClusterView, state: AgreedState }> {
  const view = await withClient(reach(given), async client => client.view!)
  return { view, state: decodeAgreedState(view.state) }
}

/** Says what two nodes disagree on: one cluster, one configuration per epoch, one placement per configuration. */
function disagreement (answers: readonly StatusAnswer[]): string | undefined {
  const first = new Map<number, { node: string, configurationId: string, placementDigest: string }>()
  for (const answer of answers) {
    if ('error' in answer || answer.status.epoch === 0) continue
    const { epoch, configurationId, placementDigest } = answer.status
    const other = first.get(epoch)
    if (other === undefined) first.set(epoch, { node: answer.node, configurationId, placementDigest })
    else if (other.configurationId !== configurationId) return `${other.node} and ${answer.node} have different configurations of epoch ${epoch}`
    else if (other.placementDigest !== placementDigest) return `${other.node} and ${answer.node} have different placements in epoch ${epoch}`
  }
  return undefined
}

/** What the handovers of a node wait for, in a few words. */
function waits ({ pending, graceLeftMs }: NodeStatus['transfers']): string {
  const words = Object.entries(pending).filter(([, count]) => count > 0)
    .map(([state, count]) => state === 'grace' && graceLeftMs !== undefined ? `${count} grace (${Math.ceil(graceLeftMs / 1000)} s)` : `${count} ${state}`)
  return words.length === 0 ? '-' : words.join(', ')
}

/** How the handovers of a node get on, in a few words. */
function gettingOn ({ handoversLeft, handoversPerSecond, leftMs, bytesPerSecond, standsStill }: NodeStatus['transfers']): string {
  if (handoversLeft === 0) return '-'
  if (standsStill !== undefined) {
    const { state, stores, forMs } = standsStill
    return `${handoversLeft} left, still for ${Math.round(forMs / 1000)} s: ${state}${stores.length === 0 ? '' : ` (${stores.join(', ')})`}`
  }
  const rates = `${handoversPerSecond.toFixed(1)}/s, ${(bytesPerSecond / 2 ** 20).toFixed(1)} MiB/s`
  return `${handoversLeft} left, ${rates}${leftMs === undefined ? '' : `, about ${Math.ceil(leftMs / 1000)} s`}`
}

function statusRow (answer: StatusAnswer): string[] {
  if ('error' in answer) return [answer.node, answer.error.code]
  const { state, membership, epoch, members, operationsInFlight, transfers } = answer.status
  const { seats, leading, settled, leftovers, unavailable } = answer.status.partitions
  const counts = [epoch, members, seats, leading, settled, leftovers, unavailable, operationsInFlight]
  return [answer.node, state, membership, ...counts.map(String), waits(transfers), gettingOn(transfers)]
}

export const statusCommand: Command = {
  name: 'status',
  usage: '',
  summary: 'what nodes say about themselves',
  positionals: [0, 0],
  options: { ...CLIENT_OPTIONS, all: { type: 'boolean', help: 'ask every member of the cluster' } },
  async run (given, terminal) {
    const target = reach(given)
    const nodes = given.flag('all')
      ? await withClient(target, async client => Object.values(client.view!.addresses).sort())
      : target.nodes
    const answers = await askStatus(nodes, target)
    const contradiction = disagreement(answers)
    if (given.flag('json')) {
      const plain = answers.map(answer => 'error' in answer
        ? { node: answer.node, error: { code: answer.error.code, message: answer.error.message } }
        : { node: answer.node, ...answer.status })
      terminal.out(JSON.stringify({ ok: contradiction === undefined && answers.every(answer => 'status' in answer), nodes: plain }))
    } else {
      const head = ['node', 'state', 'membership', 'epoch', 'members', 'seats', 'leading', 'settled', 'leftovers', 'unavailable', 'in flight', 'handovers wait for', 'progress']
      for (const line of table(head, answers.map(statusRow))) terminal.out(line)
    }
    for (const answer of answers) if ('error' in answer) terminal.error(`${answer.error.code}: ${answer.node}: ${answer.error.message}`)
    if (contradiction !== undefined) terminal.error(`MEMBERSHIP_CONFLICT: ${contradiction}`)
    return contradiction === undefined && answers.every(answer => 'status' in answer) ? EXIT.ok : EXIT.failed
  }
}

export const membersCommand: Command = {
  name: 'members',
  usage: '',
  summary: 'who is in the cluster',
  positionals: [0, 0],
  options: CLIENT_OPTIONS,
  async run (given, terminal) {
    const { view, state: { placement } } = await fetchView(given)
    const members = Object.entries(view.addresses).sort(([a], [b]) => a < b ? -1 : 1).map(([id, address]) => {
      const storeId = id as StoreId
      return {
        storeId,
        address,
        // Known from the placement, so not before the first one.
        ...(placement === undefined
          ? {}
          : { zone: placement.zoneOf(storeId), weight: placement.weightOf(storeId), incarnation: placement.incarnationOf(storeId) })
      }
    })
    const { clusterId, clusterName, epoch, configurationId } = view
    if (given.flag('json')) {
      terminal.out(JSON.stringify({ clusterId, clusterName, epoch, configurationId, members }))
      return EXIT.ok
    }
    terminal.out(`cluster ${clusterName} (${clusterId}), epoch ${epoch}, configuration ${configurationId}, ${members.length} members`)
    const rows = members.map(({ storeId, address, zone = '', weight = '', incarnation = '' }) => [storeId, address, zone, String(weight), String(incarnation)])
    for (const line of table(['store', 'address', 'zone', 'weight', 'starts'], rows)) terminal.out(line)
    return EXIT.ok
  }
}

interface StoreLoad { readonly storeId: StoreId, readonly address: string | undefined, seats: number, first: number }

/** Every store that has a seat, and every member without one; a store that is gone has no address. */
function loads (placement: Placement, view: ClusterView): StoreLoad[] {
  const stores = new Map<StoreId, StoreLoad>()
  const load = (storeId: StoreId): StoreLoad => {
    const known = stores.get(storeId)
    if (known !== undefined) return known
    const fresh = { storeId, address: view.addresses[storeId], seats: 0, first: 0 }
    stores.set(storeId, fresh)
    return fresh
  }
  for (const storeId of placement.stores) load(storeId)
  for (let index = 0; index < placement.partitions; index++) {
    placement.seats(index as Parameters<Placement['seats']>[0]).forEach((storeId, seat) => {
      load(storeId).seats++
      if (seat === 0) load(storeId).first++
    })
  }
  return [...stores.values()].sort((a, b) => a.storeId < b.storeId ? -1 : 1)
}

function violationCounts (placement: Placement): Record<string, number> {
  const counts: Record<string, number> = { zone: 0, replicas: 0, departed: 0 }
  for (const { kind } of placement.violations) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

interface Place { readonly key: string, readonly partition: number, readonly stores: readonly { storeId: StoreId, address: string | null }[] }

function placeOf (key: string, placement: Placement, view: ClusterView): Place {
  const partition = partitionOf(Buffer.from(key), placement.partitions)
  return { key, partition, stores: placement.seats(partition).map(storeId => ({ storeId, address: view.addresses[storeId] ?? null })) }
}

export const ringCommand: Command = {
  name: 'ring',
  usage: '[key ...]',
  summary: 'how partitions are placed, and which stores hold the keys given',
  positionals: [0, 1000],
  options: CLIENT_OPTIONS,
  async run (given, terminal) {
    const { view, state: { placement, genesisEpoch, expect } } = await fetchView(given)
    if (placement === undefined) {
      const members = Object.keys(view.addresses).length
      if (given.flag('json')) terminal.out(JSON.stringify({ epoch: view.epoch, members, expect, placement: null }))
      else terminal.out(`no placement yet: ${members} of ${expect} members are here`)
      return EXIT.ok
    }
    const { partitions, replicas, digest } = placement
    const keys = given.positionals.map(key => placeOf(key, placement, view))
    const violations = violationCounts(placement)
    const stores = loads(placement, view)
    if (given.flag('json')) {
      terminal.out(JSON.stringify({ epoch: view.epoch, genesisEpoch, partitions, replicas, digest, violations, stores, keys }))
      return EXIT.ok
    }
    if (keys.length > 0) {
      const rows = keys.flatMap(({ key, partition, stores: holders }) => holders.map(({ storeId, address }, index) =>
        [key, String(partition), index === 0 ? 'preferred leader' : 'replica', storeId, address ?? 'gone']))
      for (const line of table(['key', 'partition', 'role', 'store', 'address'], rows)) terminal.out(line)
      return EXIT.ok
    }
    terminal.out(`epoch ${view.epoch}: ${partitions} partitions of ${replicas} replicas, digest ${digest}`)
    terminal.out(`less safe than asked for: ${violations.zone} by zone, ${violations.replicas} by number of replicas, ${violations.departed} with a store that is gone`)
    const rows = stores.map(({ storeId, address, seats, first }) => [storeId, address ?? 'gone', String(seats), String(first)])
    for (const line of table(['store', 'address', 'seats', 'preferred leader of'], rows)) terminal.out(line)
    return EXIT.ok
  }
}
