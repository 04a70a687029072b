/**
 * The monitoring overlay (Rapid, ATC '18, section 4.1; rule M5).
 *
 * Mutations caught: a predecessor that observes already taken again; the successor taken for the predecessor; the places of a
 * joiner shifted by one.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextConfiguration, normalizeCut, type Configuration, type MemberId } from '../../../membership/configuration.ts'
import type { MembershipError } from '../../../membership/errors.ts'
import { hash32 } from '../../../membership/hash.ts'
import { Overlay } from '../../../membership/overlay.ts'
import { makeConfiguration, makeMember } from './fixtures.ts'

const idsOf = (configuration: Configuration): MemberId[] => configuration.members.map(({ id }) => id)

/** The same rule written as plainly as possible: sort each ring, walk backwards. */
function slowObservers (configuration: Configuration, ringCount: number, subject: MemberId): MemberId[] {
  const observers: MemberId[] = []
  for (let ring = 0; ring < ringCount; ring++) {
    const seat = (id: MemberId): number => hash32(id, BigInt(ring))
    const order = idsOf(configuration).sort((a, b) => seat(a) - seat(b))
    const at = order.indexOf(subject)
    for (let back = 1; back < order.length; back++) {
      const candidate = order[(at - back + order.length) % order.length]!
      if (observers.includes(candidate)) continue
      observers.push(candidate)
      break
    }
  }
  return observers.sort()
}

describe('overlay', () => {
  it('section 4.1: each member has min(K, N - 1) different observers, never itself', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 12 }), (size, ringCount) => {
      const configuration = makeConfiguration(size)
      const overlay = new Overlay(configuration, ringCount)
      for (const id of idsOf(configuration)) {
        const observers = overlay.observersOf(id)
        expect(new Set(observers).size).toBe(Math.min(ringCount, size - 1))
        expect(observers.length).toBe(Math.min(ringCount, size - 1))
        expect(observers).not.toContain(id)
      }
    }), { numRuns: 60 })
  })

  it('section 4.1: observers are the predecessors on the rings', () => {
    for (const [size, ringCount] of [[2, 10], [12, 10], [13, 3], [40, 10]] as const) {
      const configuration = makeConfiguration(size)
      const overlay = new Overlay(configuration, ringCount)
      for (const id of idsOf(configuration)) expect(overlay.observersOf(id)).toEqual(slowObservers(configuration, ringCount, id))
    }
  })

  it('M5: up to N = K + 1 everyone observes everyone', () => {
    for (let size = 1; size <= 11; size++) {
      const configuration = makeConfiguration(size)
      const overlay = new Overlay(configuration)
      for (const id of idsOf(configuration)) {
        const others = idsOf(configuration).filter(other => other !== id)
        expect(overlay.observersOf(id)).toEqual(others)
        expect(overlay.subjectsOf(id)).toEqual(others)
      }
    }
  })

  it('subjects are the inverse of observers', () => {
    const configuration = makeConfiguration(50)
    const overlay = new Overlay(configuration)
    for (const a of idsOf(configuration)) {
      for (const b of idsOf(configuration)) expect(overlay.subjectsOf(a).includes(b)).toBe(overlay.observersOf(b).includes(a))
    }
  })

  it('section 4.1: a joiner is reported by those that will observe it', () => {
    for (const size of [1, 2, 9, 10, 11, 12, 40]) {
      const configuration = makeConfiguration(size)
      const overlay = new Overlay(configuration)
      for (let i = 0; i < 20; i++) {
        const joiner = makeMember(`joiner-${i}`)
        const joined = new Overlay(nextConfiguration(configuration, normalizeCut([joiner], [])))
        expect(overlay.observersOfJoiner(joiner.id)).toEqual(joined.observersOf(joiner.id))
        expect(overlay.observersOfJoiner(joiner.id).length).toBe(Math.min(10, size))
      }
    }
  })

  it('a single join or removal leaves most of the overlay as it is', () => {
    const configuration = makeConfiguration(200)
    const before = new Overlay(configuration)
    const after = new Overlay(nextConfiguration(configuration, normalizeCut([makeMember('joiner')], [])))
    const changed = idsOf(configuration).filter(id => before.observersOf(id).join() !== after.observersOf(id).join())
    expect(changed.length).toBeLessThan(20)
  })

  it('nobody observes very many: the rings are an expander, not a star', () => {
    const configuration = makeConfiguration(1000)
    const overlay = new Overlay(configuration)
    const counts = idsOf(configuration).map(id => overlay.subjectsOf(id).length)
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(7)
    expect(Math.max(...counts)).toBeLessThanOrEqual(15)
  })

  it('strangers observe nobody, and wrong ring counts are refused', () => {
    const configuration = makeConfiguration(5)
    const overlay = new Overlay(configuration)
    const stranger = makeMember('stranger').id
    expect([overlay.observersOf(stranger), overlay.subjectsOf(stranger)]).toEqual([[], []])
    for (const ringCount of [0, -1, 1.5, 65, NaN]) {
      expect(() => new Overlay(configuration, ringCount)).toThrow(expect.objectContaining({ code: 'MEMBERSHIP_INVALID_OPTIONS' }) as MembershipError)
    }
  })
})
