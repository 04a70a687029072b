/**
 * The monitoring overlay: who observes whom in one configuration.
 *
 * Rapid (Suresh et al., ATC '18), section 4.1: the members stand on K pseudo-random rings, and on each ring a member observes
 * its successor. The union of the rings is an expander, so the correct members keep watch over any set of faulty ones.
 *
 * Deviation: where the predecessor of a member on a ring observes that member already, on an earlier ring, the next one
 * further back takes its place. So each member has exactly min(K, N - 1) different observers, and watermarks that count
 * distinct observers (rule M5) mean the same for every member; up to N = K + 1 everyone observes everyone.
 *
 * Pure: a function of the member ids and K. Every process computes the same overlay.
 */
import { memberIndex, type Configuration, type MemberId } from './configuration.ts'
import { MembershipError } from './errors.ts'
import { hash32 } from './hash.ts'

/** K of the paper: monitoring rings. */
export const RING_COUNT = 10

const RING_COUNT_MAX = 64

/**
 * A place on a ring is hash * 2^21 + member index, exact in a double: a typed array of places sorts natively, by hash, ties by
 * member id. 2^21 is therefore also the most members that a configuration can have.
 */
const PLACES_PER_HASH = 2 ** 21

/** Overlays of the last configurations of this process. */
const RECENT_MAX = 4
const recent: Overlay[] = []

/** Joiners whose observers are remembered, per overlay. */
const JOINERS_MAX = 16_384

export class Overlay {
  /** K. */
  readonly ringCount: number
  readonly #configuration: Configuration
  /** Per ring the places of all members. Invariant: each array ascends, and holds every member index once. */
  readonly #rings: readonly Float64Array[]
  /** Row i holds the indexes of member i's observers. Invariant: each row ascends, without i itself. */
  readonly #observers: Uint32Array
  readonly #observersPerMember: number
  /** Member i observes `#subjects[#subjectsFrom[i]]` up to, not including, `#subjects[#subjectsFrom[i + 1]]`. Ascending. */
  readonly #subjects: Uint32Array
  readonly #subjectsFrom: Uint32Array
  /** Observers by member, as they were asked for. Invariant: the keys are members. */
  readonly #observersOf = new Map<MemberId, readonly MemberId[]>()
  /** Observers by joiner. Invariant: size <= JOINERS_MAX. */
  readonly #observersOfJoiner = new Map<MemberId, readonly MemberId[]>()

  /**
   * The overlay of a configuration that this process may have computed already: members that share a process, as in tests and
   * simulations, share it, and so do configurations that differ in the metadata of their members alone.
   */
  static of (configuration: Configuration, ringCount: number): Overlay {
    const index = recent.findIndex(overlay => overlay.ringCount === ringCount && hasSameMembers(overlay.#configuration, configuration))
    const overlay = recent[index] ?? new Overlay(configuration, ringCount)
    if (index >= 0) recent.splice(index, 1)
    recent.unshift(overlay)
    if (recent.length > RECENT_MAX) recent.pop()
    return overlay
  }

  /**
   * @param ringCount K, from 1 to 64.
   * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS
   */
  constructor (configuration: Configuration, ringCount: number = RING_COUNT) {
    if (!Number.isInteger(ringCount) || ringCount < 1 || ringCount > RING_COUNT_MAX) {
      throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', `The ring count must be an integer from 1 to ${RING_COUNT_MAX}, not ${ringCount}.`)
    }
    const memberCount = configuration.members.length
    if (memberCount > PLACES_PER_HASH) {
      throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', `A configuration has at most ${PLACES_PER_HASH} members, not ${memberCount}.`)
    }
    this.#configuration = configuration
    this.ringCount = ringCount
    this.#rings = Array.from({ length: ringCount }, (_, ring) => ringOf(configuration, ring))
    this.#observersPerMember = Math.max(0, Math.min(ringCount, memberCount - 1))
    this.#observers = this.#computeObservers()
    const inverse = invert(this.#observers, memberCount, this.#observersPerMember)
    this.#subjects = inverse.subjects
    this.#subjectsFrom = inverse.from
  }

  /** The min(K, N - 1) different members that observe `subject`, sorted. Empty for who is no member. */
  observersOf (subject: MemberId): readonly MemberId[] {
    let observers = this.#observersOf.get(subject)
    if (observers === undefined) {
      observers = this.#rowOf(subject)
      if (observers.length > 0) this.#observersOf.set(subject, observers)
    }
    return observers
  }

  isMember (id: MemberId): boolean {
    return memberIndex(this.#configuration, id) >= 0
  }

  #rowOf (subject: MemberId): readonly MemberId[] {
    const index = memberIndex(this.#configuration, subject)
    if (index < 0) return []
    const first = index * this.#observersPerMember
    return this.#idsOf(this.#observers.subarray(first, first + this.#observersPerMember))
  }

  /** The members that `observer` observes, sorted: about K of them. Empty for who is no member. */
  subjectsOf (observer: MemberId): readonly MemberId[] {
    const index = memberIndex(this.#configuration, observer)
    if (index < 0) return []
    return this.#idsOf(this.#subjects.subarray(this.#subjectsFrom[index]!, this.#subjectsFrom[index + 1]!))
  }

  /**
   * The min(K, N) different members that would observe `joiner` if it alone joined, sorted: they report it (section 4.1).
   * For who is a member already, its observers.
   */
  observersOfJoiner (joiner: MemberId): readonly MemberId[] {
    if (memberIndex(this.#configuration, joiner) >= 0) return this.observersOf(joiner)
    let observers = this.#observersOfJoiner.get(joiner)
    if (observers === undefined) {
      observers = this.#predecessorsOf(joiner)
      if (this.#observersOfJoiner.size >= JOINERS_MAX) this.#observersOfJoiner.clear()
      this.#observersOfJoiner.set(joiner, observers)
    }
    return observers
  }

  #predecessorsOf (joiner: MemberId): readonly MemberId[] {
    const { members } = this.#configuration
    const wanted = Math.min(this.ringCount, members.length)
    const index = firstAbove(members, joiner)
    const observers: number[] = []
    for (let ring = 0; observers.length < wanted; ring++) {
      const places = this.#rings[ring]!
      // Only members whose index is below the joiner's would stand before it where the hashes are equal.
      const position = firstNotBelow(places, hash32(joiner, BigInt(ring)) * PLACES_PER_HASH + index)
      addPredecessor(observers, places, position, -1)
    }
    return this.#idsOf(observers.sort((a, b) => a - b))
  }

  #idsOf (indexes: Iterable<number>): readonly MemberId[] {
    return Array.from(indexes, index => this.#configuration.members[index]!.id)
  }

  #computeObservers (): Uint32Array {
    const memberCount = this.#configuration.members.length
    const perMember = this.#observersPerMember
    const rows = new Uint32Array(memberCount * perMember)
    if (perMember === 0) return rows
    const positions = this.#rings.map(places => {
      const position = new Uint32Array(memberCount)
      places.forEach((place, i) => { position[place % PLACES_PER_HASH] = i })
      return position
    })
    const observers: number[] = []
    for (let subject = 0; subject < memberCount; subject++) {
      observers.length = 0
      for (let ring = 0; observers.length < perMember; ring++) {
        addPredecessor(observers, this.#rings[ring]!, positions[ring]![subject]!, subject)
      }
      rows.set(observers.sort((a, b) => a - b), subject * perMember)
    }
    return rows
  }
}

function hasSameMembers (a: Configuration, b: Configuration): boolean {
  if (a === b) return true
  return a.members.length === b.members.length && a.members.every((member, index) => member.id === b.members[index]!.id)
}

function ringOf (configuration: Configuration, ring: number): Float64Array {
  const seed = BigInt(ring)
  const places = new Float64Array(configuration.members.length)
  configuration.members.forEach((member, index) => { places[index] = hash32(member.id, seed) * PLACES_PER_HASH + index })
  return places.sort()
}

/** Adds the first member before `position`, going backwards, that is neither in `observers` nor `subject`. There must be one. */
function addPredecessor (observers: number[], places: Float64Array, position: number, subject: number): void {
  for (let back = 1; back <= places.length; back++) {
    const index = places[(position - back + places.length) % places.length]! % PLACES_PER_HASH
    if (index === subject || observers.includes(index)) continue
    observers.push(index)
    return
  }
  throw new Error('Overlay: a ring has no further member to observe the subject.')
}

/** The index that a joiner would have among members sorted by id. */
function firstAbove (members: Configuration['members'], joiner: MemberId): number {
  let low = 0
  let high = members.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (members[middle]!.id > joiner) high = middle
    else low = middle + 1
  }
  return low
}

/** The first position whose place is not below `place`; the length when there is none. */
function firstNotBelow (places: Float64Array, place: number): number {
  let low = 0
  let high = places.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (places[middle]! < place) low = middle + 1
    else high = middle
  }
  return low
}

/** From the rows of observers per subject to the subjects per observer. */
function invert (observers: Uint32Array, memberCount: number, perMember: number): { subjects: Uint32Array, from: Uint32Array } {
  const from = new Uint32Array(memberCount + 1)
  for (const observer of observers) from[observer + 1]!++
  for (let i = 0; i < memberCount; i++) from[i + 1]! += from[i]!
  const next = from.slice()
  const subjects = new Uint32Array(observers.length)
  for (let subject = 0; subject < memberCount; subject++) {
    for (let i = subject * perMember; i < (subject + 1) * perMember; i++) subjects[next[observers[i]!]!++] = subject
  }
  return { subjects, from }
}
