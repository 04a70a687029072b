/**
 * Multi-process cut detection (Rapid, ATC '18, section 4.2; rules M3, M5, M6, M7, M9; invariants 7, 8 and 9).
 *
 * Mutations caught: H lowered by one; L without its floor of two; implicit reports left out, or given to subjects below L;
 * unstable removals not waited for; the delay of joins counted anew; held addresses ignored; rivals admitted together;
 * everybody removed; a deadline in the past; no promotion; one turn of expiry where the end of one tally makes another end.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextConfiguration, type Configuration, type Cut, type Member, type MemberId, type StoreId } from '../../../membership/configuration.ts'
import { cutError } from '../../../membership/consensus-decision.ts'
import { CutDetector, type CutDetectorOptions } from '../../../membership/cut-detector.ts'
import { Overlay } from '../../../membership/overlay.ts'
import { scaleWatermarks } from '../../../membership/tally.ts'
import { SEEDS_SCALE as SCALE } from '../../sim/simulation.ts'
import { makeConfiguration, makeMember, makeRandom } from './fixtures.ts'

const UNSTABLE_MS = 2000
const WINDOW_MS = 100

class Fixture {
  readonly configuration: Configuration
  readonly overlay: Overlay
  readonly detector: CutDetector

  constructor (size: number, options: CutDetectorOptions = {}) {
    this.configuration = makeConfiguration(size)
    this.overlay = new Overlay(this.configuration)
    this.detector = new CutDetector(this.configuration, this.overlay, { unstableTimeoutMs: UNSTABLE_MS, batchWindowMs: WINDOW_MS, ...options })
  }

  id (index: number): MemberId { return this.configuration.members[index]!.id }

  /** The first `count` observers of a member report it, those in `except` left out. */
  remove (subject: MemberId, count = Infinity, except: readonly MemberId[] = []): void {
    const observers = this.overlay.observersOf(subject).filter(observer => !except.includes(observer))
    for (const observer of observers.slice(0, count)) this.detector.reportRemoval(observer, subject)
  }

  join (joiner: Member, count = Infinity): void {
    for (const observer of this.overlay.observersOfJoiner(joiner.id).slice(0, count)) this.detector.reportJoin(observer, joiner)
  }
}

/** Two members that do not observe each other, so that neither counts implicitly for the other. */
function strangers ({ configuration, overlay }: Fixture): [MemberId, MemberId] {
  const ids = configuration.members.map(({ id }) => id)
  const [a] = ids
  const b = ids.find(id => id !== a && !overlay.observersOf(a!).includes(id) && !overlay.observersOf(id).includes(a!))
  return [a!, b!]
}

const removalsOf = (cut: Cut | undefined): readonly MemberId[] | undefined => cut?.removals
const joinsOf = (cut: Cut | undefined): MemberId[] | undefined => cut?.joins.map(({ id }) => id)

describe('watermarks (rule M5)', () => {
  it('are 9 and 3 of 10, and scale to the observers there are', () => {
    const scaled = Array.from({ length: 10 }, (_, i) => {
      const { high, low } = scaleWatermarks(i + 1, 10, { high: 9, low: 3 })
      return [high, low]
    })
    expect(scaled).toEqual([[1, 1], [2, 2], [3, 2], [4, 2], [5, 2], [6, 2], [7, 3], [8, 3], [9, 3], [9, 3]])
  })

  it('must be ordered', () => {
    const wrong = [
      { highWatermark: 11 }, { lowWatermark: 0 }, { highWatermark: 2 }, { highWatermark: 8.5 }, { batchWindowMs: -1 }, { unstableTimeoutMs: 0 }
    ]
    for (const options of wrong) {
      expect(() => new Fixture(5, options)).toThrow(expect.objectContaining({ code: 'MEMBERSHIP_INVALID_OPTIONS' }) as Error)
    }
  })

  it('at N = 3 one broken link removes nobody', () => {
    const fixture = new Fixture(3)
    fixture.detector.reportRemoval(fixture.id(0), fixture.id(1))
    fixture.detector.reportRemoval(fixture.id(1), fixture.id(0))
    expect(fixture.detector.proposal(0)).toBeUndefined()
    fixture.detector.expire(3 * UNSTABLE_MS)
    expect(fixture.detector.proposal(3 * UNSTABLE_MS)).toBeUndefined()
  })

  it('of 2, 3 and 4 members the others remove the one that crashed', () => {
    for (const size of [2, 3, 4]) {
      const fixture = new Fixture(size)
      fixture.remove(fixture.id(0))
      expect(removalsOf(fixture.detector.proposal(0))).toEqual([fixture.id(0)])
    }
  })
})

describe('section 4.2: stable cuts', () => {
  it('H reports make a subject stable, fewer do not', () => {
    const fixture = new Fixture(30)
    fixture.remove(fixture.id(0), 8)
    expect(fixture.detector.proposal(0)).toBeUndefined()
    expect(fixture.detector.tally(fixture.id(0))).toBe(8)
    fixture.remove(fixture.id(0), 9)
    expect(removalsOf(fixture.detector.proposal(0))).toEqual([fixture.id(0)])
  })

  it('whom only members accuse that are removed themselves is neither waited for, nor echoed, nor removed', () => {
    const fixture = new Fixture(60)
    const healthy = fixture.id(0)
    const faulty = fixture.overlay.observersOf(healthy).slice(0, 4)
    for (const observer of faulty) fixture.detector.reportRemoval(observer, healthy)
    expect(fixture.detector.proposal(0)).toBeUndefined()
    expect(fixture.detector.unstable().removals).toEqual([healthy])
    for (const member of faulty) fixture.remove(member, Infinity, faulty)
    // Those that observe each other count for each other.
    expect(removalsOf(fixture.detector.proposal(100))).toEqual([...faulty].sort())
    expect(fixture.detector.unstable().removals).toEqual([])
    expect(fixture.detector.overdue(3 * UNSTABLE_MS).removals).toEqual([])
    expect(fixture.detector.expire(3 * UNSTABLE_MS).promoted).toEqual([])
    expect(removalsOf(fixture.detector.proposal(3 * UNSTABLE_MS))).toEqual([...faulty].sort())
    // Credible accusers are another matter.
    fixture.remove(healthy, Infinity, faulty)
    expect(removalsOf(fixture.detector.proposal(3 * UNSTABLE_MS))).toEqual([...faulty, healthy].sort())
  })

  it('an unstable subject holds the cut back, and is then part of it', () => {
    const fixture = new Fixture(40)
    const [a, b] = strangers(fixture)
    fixture.remove(a)
    fixture.remove(b, 3)
    expect(fixture.detector.proposal(0)).toBeUndefined()
    expect(fixture.detector.unstable()).toEqual({ removals: [b], joins: [] })
    fixture.remove(b, 9)
    expect(removalsOf(fixture.detector.proposal(0))).toEqual([a, b].sort())
  })

  it('reports below L are noise, and hold nothing back', () => {
    const fixture = new Fixture(40)
    const [a, b] = strangers(fixture)
    fixture.remove(a)
    fixture.remove(b, 2)
    expect(removalsOf(fixture.detector.proposal(0))).toEqual([a])
  })

  it('a suspected observer counts as having reported its suspected subjects', () => {
    // The four dead members among eleven observe each other: six others and three implicit reports make nine each.
    const fixture = new Fixture(11)
    const dead = [0, 1, 2, 3].map(i => fixture.id(i))
    for (const subject of dead) fixture.remove(subject, Infinity, dead)
    expect(dead.map(subject => fixture.detector.tally(subject))).toEqual([10, 10, 10, 10])
    expect(removalsOf(fixture.detector.proposal(0))).toEqual(dead)
    expect(fixture.detector.explain()[0]).toMatchObject({ subject: dead[0], status: 'remove', implicit: dead.slice(1), high: 9, low: 3 })
  })

  it('implicit reports alone accuse nobody: below L a subject has none', () => {
    const fixture = new Fixture(11)
    const dead = [0, 1, 2, 3, 4, 5, 6, 7].map(i => fixture.id(i))
    for (const subject of dead) fixture.remove(subject, Infinity, dead)
    fixture.detector.reportRemoval(fixture.id(8), fixture.id(9))
    expect(fixture.detector.tally(fixture.id(9))).toBe(1)
    expect(removalsOf(fixture.detector.proposal(0))).toEqual(dead)
  })

  it('implicit reports count for joiners too', () => {
    const fixture = new Fixture(10)
    const dead = [fixture.id(0), fixture.id(1), fixture.id(2)]
    const joiner = makeMember('joiner')
    for (const observer of fixture.overlay.observersOfJoiner(joiner.id)) if (!dead.includes(observer)) fixture.detector.reportJoin(observer, joiner)
    expect(fixture.detector.tally(joiner.id)).toBe(7)
    for (const subject of dead) fixture.remove(subject, Infinity, dead)
    expect(fixture.detector.proposal(0)).toEqual({ joins: [joiner], removals: dead, updates: [] })
  })

  it('repeated reports, those of strangers, and those about non-members or members to join count for nothing', () => {
    const { configuration, detector, overlay } = new Fixture(30)
    const subject = configuration.members[0]!
    const [observer] = overlay.observersOf(subject.id)
    const stranger = configuration.members.find(({ id }) => id !== subject.id && !overlay.observersOf(subject.id).includes(id))!
    expect(detector.reportRemoval(observer!, subject.id)).toBe(true)
    expect(detector.reportRemoval(observer!, subject.id)).toBe(false)
    expect(detector.reportRemoval(stranger.id, subject.id)).toBe(false)
    expect(detector.reportRemoval(observer!, makeMember('nobody').id)).toBe(false)
    expect(detector.reportJoin(observer!, subject)).toBe(false)
    expect(detector.tally(subject.id)).toBe(1)
  })

  it('invariant 8: fewer than L bad observers remove nobody, whatever they report and however long it takes', () => {
    fc.assert(fc.property(fc.integer({ min: 3, max: 40 }), fc.integer({ min: 1, max: 1_000_000 }), (size, seed) => {
      const fixture = new Fixture(size)
      const random = makeRandom(seed)
      const { low } = scaleWatermarks(Math.min(10, size - 1), 10, { high: 9, low: 3 })
      const bad = Array.from({ length: low - 1 }, () => fixture.id(Math.floor(random() * size)))
      for (let now = 0; now < 100_000; now += 500 + random() * 3000) {
        for (const observer of bad) {
          for (const { id } of fixture.configuration.members) if (random() < 0.5) fixture.detector.reportRemoval(observer, id)
        }
        expect(fixture.detector.proposal(now)).toBeUndefined()
        expect(fixture.detector.expire(now).promoted).toEqual([])
        fixture.detector.invariants()
      }
    }), { numRuns: 25 * SCALE })
  })

  it('the order of reports does not matter', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 1_000_000 }), seed => {
      const random = makeRandom(seed)
      const reports: [MemberId, MemberId][] = []
      const { configuration, overlay } = new Fixture(25)
      for (const { id } of configuration.members.slice(0, 4)) for (const observer of overlay.observersOf(id)) reports.push([observer, id])
      const run = (order: [MemberId, MemberId][]): unknown => {
        const { detector } = new Fixture(25)
        for (const [observer, subject] of order.slice(0, 36)) detector.reportRemoval(observer, subject)
        return [detector.unstable(), configuration.members.map(({ id }) => detector.tally(id)), detector.proposal(0)]
      }
      const kept = reports.slice(0, 36)
      expect(run(kept.map(report => [random(), report] as const).sort((a, b) => a[0] - b[0]).map(([, report]) => report))).toEqual(run(kept))
    }), { numRuns: 25 * SCALE })
  })
})

describe('M6: joins and removals do not block each other', () => {
  it('an unstable join delays a cut by one batch window, once', () => {
    const fixture = new Fixture(30)
    fixture.join(makeMember('slow'), 5)
    fixture.remove(fixture.id(0))
    expect(fixture.detector.proposal(1000)).toBeUndefined()
    expect(fixture.detector.deadline()).toBe(1000 + WINDOW_MS)
    fixture.join(makeMember('slower'), 5)
    expect(fixture.detector.proposal(1000 + WINDOW_MS - 1)).toBeUndefined()
    expect(removalsOf(fixture.detector.proposal(1000 + WINDOW_MS))).toEqual([fixture.id(0)])
    fixture.join(makeMember('late'), 5)
    expect(removalsOf(fixture.detector.proposal(1000 + WINDOW_MS))).toEqual([fixture.id(0)])
    expect(fixture.detector.delayedAddresses()).toEqual(['slow:7000', 'slower:7000'])
  })

  it('an address that had its delay in an earlier configuration has none again', () => {
    const fixture = new Fixture(30, { delayedAddresses: ['slow:7000'] })
    fixture.join(makeMember('slow'), 5)
    fixture.remove(fixture.id(0))
    expect(removalsOf(fixture.detector.proposal(0))).toEqual([fixture.id(0)])
  })

  it('joins that become stable within the window enter the same cut', () => {
    const fixture = new Fixture(100)
    const joiners = Array.from({ length: 20 }, (_, i) => makeMember(`joiner-${i}`))
    for (const joiner of joiners) fixture.join(joiner, 6)
    fixture.join(joiners[0]!)
    expect(fixture.detector.proposal(0)).toBeUndefined()
    for (const joiner of joiners) fixture.join(joiner)
    expect(joinsOf(fixture.detector.proposal(10))).toEqual(joiners.map(({ id }) => id).sort())
  })

  it('a join waits for an unstable removal, but only until that is promoted', () => {
    const fixture = new Fixture(30)
    const joiner = makeMember('joiner')
    fixture.join(joiner)
    fixture.remove(fixture.id(0), 4)
    expect(fixture.detector.proposal(0)).toBeUndefined()
    fixture.detector.expire(2 * UNSTABLE_MS)
    expect(fixture.detector.proposal(2 * UNSTABLE_MS)).toEqual({ joins: [joiner], removals: [fixture.id(0)], updates: [] })
  })

  it('an unstable join is reinforced after one timeout and void after two; later reports count afresh', () => {
    const fixture = new Fixture(30)
    const joiner = makeMember('joiner')
    fixture.join(joiner, 5)
    fixture.detector.proposal(0)
    expect(fixture.detector.overdue(UNSTABLE_MS - 1).joins).toEqual([])
    expect(fixture.detector.overdue(UNSTABLE_MS).joins).toEqual([joiner])
    expect(fixture.detector.overdue(UNSTABLE_MS).joins).toEqual([])
    expect(fixture.detector.expire(2 * UNSTABLE_MS - 1).voided).toEqual([])
    expect(fixture.detector.expire(2 * UNSTABLE_MS).voided).toEqual([joiner])
    expect(fixture.detector.tally(joiner.id)).toBe(0)
    fixture.join(joiner)
    expect(joinsOf(fixture.detector.proposal(2 * UNSTABLE_MS))).toEqual([joiner.id])
  })
})

describe('M3: who holds an address or a store id', () => {
  it.each(['address', 'storeId'] as const)('a joiner on a held %s enters only with the removal of its holder', key => {
    const fixture = new Fixture(30)
    const holder = fixture.configuration.members[0]!
    const joiner = makeMember('restarted', { [key]: holder[key], incarnation: 2 })
    fixture.join(joiner)
    expect(fixture.detector.proposal(0)).toBeUndefined()
    fixture.remove(holder.id)
    expect(fixture.detector.proposal(0)).toEqual({ joins: [joiner], removals: [holder.id], updates: [] })
  })

  it('where the holder stays, the joiner is void after two timeouts', () => {
    const fixture = new Fixture(30)
    const joiner = makeMember('rival', { address: fixture.configuration.members[0]!.address })
    fixture.join(joiner)
    expect(fixture.detector.proposal(0)).toBeUndefined()
    expect(fixture.detector.expire(2 * UNSTABLE_MS).voided).toEqual([joiner])
  })

  it('two records with one id are two joiners, and of rivals for one store the highest incarnation enters', () => {
    const fixture = new Fixture(30)
    const [older, newer] = [1, 2].map(incarnation => makeMember(`run-${incarnation}`, { storeId: 'disk' as StoreId, incarnation }))
    const other = makeMember('run-2', { storeId: 'disk' as StoreId, incarnation: 2, address: 'elsewhere:1' })
    fixture.join(older!)
    fixture.join(newer!, 5)
    fixture.join(other, 5)
    expect(fixture.detector.tally(newer!.id)).toBe(5)
    fixture.join(newer!)
    expect(fixture.detector.proposal(WINDOW_MS)).toBeUndefined()
    expect(fixture.detector.proposal(2 * WINDOW_MS)).toEqual({ joins: [newer], removals: [], updates: [] })
  })
})

describe('M7 and M9: time ends what reports do not', () => {
  it('a removal between L and H is reinforced after one timeout and promoted after two (invariant 9)', () => {
    const fixture = new Fixture(30)
    fixture.remove(fixture.id(0), 3)
    fixture.detector.proposal(500)
    expect(fixture.detector.deadline()).toBe(500 + UNSTABLE_MS)
    expect(fixture.detector.overdue(500 + UNSTABLE_MS).removals).toEqual([fixture.id(0)])
    expect(fixture.detector.deadline()).toBe(500 + 2 * UNSTABLE_MS)
    expect(fixture.detector.expire(499 + 2 * UNSTABLE_MS).promoted).toEqual([])
    expect(fixture.detector.expire(500 + 2 * UNSTABLE_MS).promoted).toEqual([fixture.id(0)])
    expect(removalsOf(fixture.detector.proposal(500 + 2 * UNSTABLE_MS))).toEqual([fixture.id(0)])
    expect(fixture.detector.deadline()).toBeUndefined()
  })

  it('below L reports lapse after ten timeouts, and the observer may report again', () => {
    const fixture = new Fixture(30)
    fixture.remove(fixture.id(0), 2)
    fixture.detector.proposal(0)
    expect(fixture.detector.expire(10 * UNSTABLE_MS - 1).lapsed).toEqual([])
    const observers = fixture.overlay.observersOf(fixture.id(0)).slice(0, 2)
    expect(fixture.detector.expire(10 * UNSTABLE_MS).lapsed).toEqual([{ subject: fixture.id(0), observers }])
    expect(fixture.detector.reportRemoval(observers[0]!, fixture.id(0))).toBe(true)
  })

  it('a cut never removes everybody: of two that accuse each other nobody goes, and the accusations lapse', () => {
    const fixture = new Fixture(2)
    fixture.remove(fixture.id(0))
    fixture.detector.overdue(-1000)
    fixture.remove(fixture.id(1))
    expect(fixture.detector.proposal(0)).toBeUndefined()
    expect(fixture.detector.deadline()).toBe(2 * UNSTABLE_MS)
    expect(fixture.detector.expire(2 * UNSTABLE_MS - 1).lapsed).toEqual([])
    expect(fixture.detector.expire(2 * UNSTABLE_MS).lapsed.map(({ subject }) => subject)).toEqual([fixture.id(0), fixture.id(1)])
    expect(fixture.detector.deadline()).toBeUndefined()
    fixture.remove(fixture.id(0))
    expect(removalsOf(fixture.detector.proposal(2 * UNSTABLE_MS))).toEqual([fixture.id(0)])
  })
})

describe('random scripts', () => {
  it('invariants 7 and 9: every proposal is valid, no removal stays unstable beyond three timeouts, deadlines are kept', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 1_000_000 }), (size, seed) => {
      const random = makeRandom(seed)
      const { configuration, detector, overlay } = new Fixture(size)
      const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
      const joiners = Array.from({ length: 4 }, (_, i) => makeMember(`joiner-${i}`, {
        incarnation: i,
        ...(random() < 0.5 ? { address: pick(configuration.members).address } : {}),
        ...(random() < 0.3 ? { storeId: pick(configuration.members).storeId } : {})
      }))
      const unstableSince = new Map<MemberId, number>()
      const eager = random() < 0.5
      for (let now = 0; now < 40_000; now += random() * 800) {
        for (let i = 0; i < (eager ? 12 : 3); i++) {
          const { id } = pick(configuration.members)
          if (random() < 0.5 && size > 1) detector.reportRemoval(pick(overlay.observersOf(id)), id)
          const joiner = pick(joiners)
          detector.reportJoin(pick(overlay.observersOfJoiner(joiner.id)), joiner)
          if (random() > 0.1) continue
          detector.reportUpdate({ member: pick(configuration.members).id, version: Math.floor(random() * 4), metadata: joiner.metadata })
        }
        const proposal = detector.proposal(now)
        if (proposal !== undefined) {
          expect(cutError(configuration, proposal)).toBeUndefined()
          expect(nextConfiguration(configuration, proposal).members.length).toBeGreaterThan(0)
        }
        detector.expire(now)
        detector.overdue(now)
        detector.proposal(now)
        expect(detector.deadline() ?? Infinity).toBeGreaterThan(now)
        const { removals } = detector.unstable()
        for (const id of unstableSince.keys()) if (!removals.includes(id)) unstableSince.delete(id)
        for (const id of removals) {
          if (!unstableSince.has(id)) unstableSince.set(id, now)
          expect(now - unstableSince.get(id)!).toBeLessThanOrEqual(3 * UNSTABLE_MS)
        }
        detector.invariants()
      }
    }), { numRuns: 60 * SCALE, examples: [[16, 8]] })
  })
})
