/**
 * A dumb twin of the shares: water-filling by bisection in floating point, written without looking at the exact one. And the
 * rules that every placement of the fold must keep, checked from outside.
 */
import { expect } from 'vitest'
import type { StoreId } from '../../../membership/configuration.ts'
import type { Placement, Roster, RosterEntry } from '../../../ring/index.ts'
import { counts, groupBy, partitionIndexes } from './rosters.ts'

const domain = (member: RosterEntry): string => member.metadata.zone === '' ? `\0${member.storeId}` : member.metadata.zone

/** Each weighted store's share of seats, replicas per partition, and the most seats a zone may have in a partition. */
export function modelShares (
  members: readonly RosterEntry[], partitions: number, replicasWanted: number
): { shares: Map<StoreId, number>, replicas: number, depth: number } {
  const active = members.filter(member => member.metadata.weight > 0)
  const replicas = Math.min(replicasWanted, active.length)
  const zones = groupBy(active, domain)
  let depth = 1
  while ([...zones.values()].reduce((room, list) => room + Math.min(depth, list.length), 0) < replicas) depth++
  const zoneTotal = (list: RosterEntry[], level: number): number =>
    list.reduce((sum, { metadata: { weight } }) => sum + Math.min(partitions, level * weight), 0)
  const bisect = (wanted: number, at: (level: number) => number): number => {
    let [low, high] = [0, partitions * 2]
    for (let step = 0; step < 200; step++) {
      const middle = (low + high) / 2
      if (at(middle) < wanted) low = middle
      else high = middle
    }
    return high
  }
  const total = (candidate: number): number =>
    [...zones.values()].reduce((sum, list) => sum + Math.min(depth * partitions, zoneTotal(list, candidate)), 0)
  const level = bisect(replicas * partitions, total)
  const shares = new Map<StoreId, number>()
  for (const list of zones.values()) {
    const own = zoneTotal(list, level) > depth * partitions ? bisect(depth * partitions, candidate => zoneTotal(list, candidate)) : level
    for (const { storeId, metadata: { weight } } of list) shares.set(storeId, Math.min(partitions, own * weight))
  }
  return { shares, replicas, depth }
}

const SLACK = 1e-6

/** Collects what is wrong: one assertion for thousands of conditions, as an assertion for each would take minutes. */
class Problems {
  readonly #found: string[] = []

  check (holds: boolean, problem: () => string): void {
    if (!holds && this.#found.length < 10) this.#found.push(problem())
  }

  expectNone (): void {
    expect(this.#found).toEqual([])
  }
}

/** Balance, distinct zones, order and epochs of one placement. */
export function expectRules (placement: Placement, { epoch, members }: Roster): void {
  const { shares, replicas, depth } = modelShares(members, placement.partitions, placement.replicas)
  const problems = new Problems()
  expect(placement.epoch).toBe(epoch)
  expect(placement.stores).toEqual(members.map(member => member.storeId).sort())
  const held = counts(placement)
  const within = (what: string, count: number, share: number): void => {
    const fits = count >= Math.floor(share + SLACK) && count <= Math.ceil(share - SLACK)
    problems.check(fits, () => `${what}: ${count} for a share of ${share}`)
  }
  for (const [store, share] of shares) {
    const { seats, leads } = held.get(store)!
    within(`seats of ${store}`, seats, share)
    within(`leads of ${store}`, leads, share / replicas)
  }
  const zoneOf = new Map(members.filter(member => member.metadata.weight > 0).map(member => [member.storeId, domain(member)]))
  const crowded = new Set(placement.violations.filter(violation => violation.kind === 'zone').map(violation => violation.partition))
  for (const partition of partitionIndexes(placement)) {
    const seats = placement.seats(partition)
    const problem = (text: string) => () => `partition ${partition}, seats ${seats.join()}: ${text}`
    const active = seats.filter(store => zoneOf.has(store))
    problems.check(active.length === replicas, problem(`${active.length} of ${replicas} replicas`))
    problems.check(active.every((store, index) => store === seats[index]), problem('stores with weight do not come first'))
    problems.check(new Set(seats).size === seats.length, problem('a store twice'))
    problems.check(seats.length <= placement.replicas, problem('too many seats'))
    const most = Math.max(0, ...[...groupBy(active, store => zoneOf.get(store)!).values()].map(list => list.length))
    problems.check(most <= depth, problem(`${most} seats in one zone, at most ${depth} allowed`))
    problems.check(crowded.has(partition) === (most > 1), problem('a shared zone goes unreported, or the reverse'))
    const epochs = placement.seatEpochs(partition)
    problems.check(epochs.length === seats.length && epochs.every(since => since >= 1 && since <= epoch), problem(`epochs ${epochs.join()}`))
    problems.check(placement.formerHolders(partition).every(store => !seats.includes(store)), problem('a holder is a former holder'))
  }
  problems.expectNone()
}

/** What two placements in a row must have in common (rule R2): epochs of seats, the size of groups, former holders. */
export function expectStep (before: Placement, after: Placement): void {
  const problems = new Problems()
  const present = new Set(after.stores)
  for (const partition of partitionIndexes(after)) {
    const [old, seats] = [before.seats(partition), after.seats(partition)]
    const [oldEpochs, epochs] = [before.seatEpochs(partition), after.seatEpochs(partition)]
    const problem = (text: string) => () => `partition ${partition}, seats ${old.join()} then ${seats.join()}: ${text}`
    problems.check(seats.length >= old.length, problem('the group shrank'))
    for (const [index, store] of seats.entries()) {
      const held = old.indexOf(store)
      problems.check(epochs[index] === (held === -1 ? after.epoch : oldEpochs[held]), problem(`${store} has its seat since ${epochs[index]}`))
      problems.check(held !== -1 || present.has(store), problem(`${store} got a seat while gone`))
    }
    const former = after.formerHolders(partition)
    problems.check(old.every(store => seats.includes(store) || former.includes(store)), problem(`former holders ${former.join()}`))
  }
  problems.expectNone()
}
