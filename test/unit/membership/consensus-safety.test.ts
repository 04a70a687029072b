/**
 * Fast Paxos under faults (Rapid, ATC '18, section 4.3; rules M1 to M4): thousands of seeded networks of 2 to 9 members.
 *
 * Safety is judged from the disks: whether or not anybody learned of it, no two values are ever chosen (invariants 3 to 6).
 * Liveness: once messages flow among a majority, everybody decides within a bound (invariant 10).
 *
 * Mutations caught: a fast quorum one smaller; a classic quorum of promises one smaller; members that voted counted as if they
 * had promised; a value thought impossible to have been chosen although it has just enough votes; a vote after a promise; the value of the
 * highest classic ballot ignored; messages sent before what they tell of is durable.
 */
import { describe, expect, it } from 'vitest'
import { normalizeCut, type Cut } from '../../../membership/configuration.ts'
import { classicQuorum } from '../../../membership/quorum.ts'
import { SEEDS_SCALE as SCALE } from '../../sim/simulation.ts'
import { Network, type Faults } from './consensus-network.ts'
import { makeConfiguration, makeMember, makeRandom } from './fixtures.ts'

const FAULTS_UNTIL_MS = 3000
/** The slowest of many thousands of seeds takes about a third of it. */
const DECIDED_WITHIN_MS = 10_000

const configurations = new Map(Array.from({ length: 29 }, (_, i) => [i + 2, makeConfiguration(i + 2)]))

interface Scenario { readonly seed: number, readonly size: number, readonly durable: boolean }

function runScenario ({ seed, size, durable }: Scenario): Network {
  const random = makeRandom(seed)
  const pick = (n: number): number => Math.floor(random() * n)
  const configuration = configurations.get(size)!
  const harsh: Faults = {
    loss: random() < 0.3 ? 0 : random() * 0.5,
    duplication: random() * 0.2,
    delayMaxMs: 1 + random() * (random() < 0.2 ? 600 : 30),
    diskMaxMs: random() < 0.5 ? 0 : random() * 60
  }
  // Coordinators that give each other no time get in each other's way, which is where most can go wrong.
  const hasty = { recoveryTimeoutMs: 1 + random() * 40, rankDelayMs: 1 + random() * 5, ballotTimeoutMs: 5 + random() * 20, retransmitMs: 20 }
  // In a duel everybody wants something else and half of all messages are lost, so that ballots are left half done.
  const isDuel = random() < 0.4
  if (isDuel) harsh.loss = 0.3 + random() * 0.4
  const proposals: Cut[] = Array.from({ length: isDuel ? size : 1 + pick(random() < 0.8 ? 3 : size) }, (_, i) => (
    normalizeCut([makeMember(`joiner-${i}`)], random() < 0.5 ? [] : [configuration.members[pick(size)]!.id])
  ))
  const network = new Network(configuration, random, harsh, isDuel || random() < 0.4 ? hasty : {})
  for (let i = 0; i < size; i++) {
    if (random() < 0.85) network.at(random() * (random() < 0.5 ? 20 : 1500), () => network.propose(i, proposals[pick(proposals.length)]!))
  }
  const crashes = pick(size + 1)
  const isRestart = durable && random() < 0.4
  const gone = new Set<number>()
  for (let n = 0; n < crashes; n++) {
    const i = pick(size)
    const atMs = random() * FAULTS_UNTIL_MS
    if (!durable && !gone.has(i) && gone.size + 1 > size - classicQuorum(size)) continue
    gone.add(i)
    network.at(atMs, () => network.crash(i))
    if (durable) network.at(atMs + random() * 1000, () => network.restart(i, isRestart))
    if (random() < 0.5) network.at(atMs + 300, () => { for (let j = 0; j < size; j++) network.suspect(j, [i]) })
  }
  for (let n = pick(4); n > 0; n--) {
    const [from, to] = [pick(size), pick(size)]
    network.at(random() * FAULTS_UNTIL_MS, () => network.setLink(from, to, false))
    network.at(FAULTS_UNTIL_MS, () => network.setLink(from, to, true))
  }
  // Those that come back answer for the process that they were, and decide what each of them offers, unless something may have been chosen.
  const offers = Array.from({ length: size }, (_, i) => normalizeCut([makeMember(`successor-${i}`)], []))
  if (isRestart) {
    if (random() < 0.6) {
      // All lose power while the first votes are on their way: what they chose is known to their disks alone.
      const atMs = 1 + random() * 40
      for (let i = 0; i < size; i++) {
        network.at(atMs, () => network.crash(i))
        const backMs = atMs + random() * 200
        network.at(backMs, () => network.restart(i, true))
        if (random() < 0.5) network.at(backMs + random() * 200, () => network.restore(i, offers[i]!))
      }
    }
    for (let n = pick(2 * size); n > 0; n--) {
      const i = pick(size)
      network.at(random() * FAULTS_UNTIL_MS, () => { if (network.isFormer(i)) network.restore(i, offers[i]!) })
    }
  }
  network.run(FAULTS_UNTIL_MS)

  // Heal: messages flow, whoever can come back does, and whoever is up has seen something to propose.
  Object.assign(network.faults, { loss: 0, duplication: 0 })
  for (let i = 0; i < size; i++) {
    if (durable) network.restart(i, isRestart)
    if (network.isUp(i) && network.isFormer(i)) network.restore(i, offers[i]!)
    else network.propose(i, proposals[0]!)
  }
  const allDecided = (): boolean => configuration.members.every((_, i) => !network.isUp(i) || network.decisionOf(i) !== undefined)
  network.run(FAULTS_UNTIL_MS + DECIDED_WITHIN_MS, allDecided)
  if (!allDecided()) throw new Error(`Invariant 10: a connected majority did not decide within ${DECIDED_WITHIN_MS} ms.`)
  return network
}

/** Runs the seeds from 1 to `count` and names the first that fails. */
function runSeeds (count: number, scenarioOf: (seed: number) => Scenario): { fast: number } {
  const summary = { fast: 0 }
  for (let seed = 1; seed <= count; seed++) {
    const scenario = scenarioOf(seed)
    try {
      const network = runScenario(scenario)
      if (network.observer.chosen?.ballot.round === 0) summary.fast++
    } catch (cause) {
      throw new Error(`Failed with ${JSON.stringify(scenario)}: ${String(cause)}`, { cause })
    }
  }
  return summary
}

describe('consensus under faults', () => {
  it('M1, M4: with storage, members crash and restart and at most one value is ever chosen; then all decide it', () => {
    const { fast } = runSeeds(1200 * SCALE, seed => ({ seed, size: 2 + seed % 8, durable: true }))
    // The scenarios reach both ways of deciding, or they would prove little.
    expect(fast).toBeGreaterThan(60 * SCALE)
    expect(fast).toBeLessThan(1080 * SCALE)
  })

  it('M1, M2: without storage, a minority crashes for good and the rest decides one value', () => {
    const { fast } = runSeeds(800 * SCALE, seed => ({ seed: seed + 100_000, size: 3 + seed % 7, durable: false }))
    expect(fast).toBeGreaterThan(40 * SCALE)
    expect(fast).toBeLessThan(720 * SCALE)
  })

  it('the same holds among 30 members', () => {
    runSeeds(10 * SCALE, seed => ({ seed: seed + 200_000, size: 30, durable: seed % 2 === 0 }))
  })

  it('the same seed gives the same run', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const [a, b] = [runScenario({ seed, size: 7, durable: true }), runScenario({ seed, size: 7, durable: true })]
      expect([a.now, [...a.delivered], a.observer.chosen]).toEqual([b.now, [...b.delivered], b.observer.chosen])
    }
  })
})
