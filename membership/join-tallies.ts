/**
 * The tallies of joiners, sorted by what a cut can do with each: so that a wave of a thousand joins costs each report its own tally
 * alone, and not all of them.
 *
 * Rapid (Suresh et al., ATC '18), section 4.2. Rule M3: a joiner is its whole record, and whose address or store id a member
 * holds enters only with the removal of that member; of rivals for one id, address or store id the highest incarnation enters.
 *
 * Pure: time is an argument.
 */
import type { Accusations } from './accusations.ts'
import { memberIndex, type Configuration, type Member, type MemberId, type StoreId } from './configuration.ts'
import type { Address } from './environment/environment.ts'
import type { Overlay } from './overlay.ts'
import { recordDigest, type RecordDigest } from './record-digest.ts'
import { bySubject, JoinTally, scaleWatermarks, type Watermarks } from './tally.ts'

/** More joiners than this at once are ignored until others have been admitted. */
export const JOINERS_MAX = 16_384

/**
 * Noise: below L, or above it by condemned members alone. Held: stable, and a member that stays holds the joiner's address or store id.
 * Ready: stable, and free to enter.
 */
export type JoinState = 'noise' | 'unstable' | 'held' | 'ready'

export class JoinTallies {
  readonly #configuration: Configuration
  readonly #overlay: Overlay
  readonly #watermarks: Watermarks
  readonly #accusations: Accusations
  /** Invariant: at most JOINERS_MAX, each with at least one report. */
  readonly #tallies = new Map<RecordDigest, JoinTally>()
  /** Invariant: as of `#version` these are the tallies of that state. */
  readonly #ready = new Set<JoinTally>()
  readonly #unstable = new Set<JoinTally>()
  /** The version of the accusations by which the tallies are sorted. */
  #version: number
  readonly #grown = new Set<JoinTally>()
  #addressHolders: Map<Address, MemberId> | undefined
  #storeHolders: Map<StoreId, MemberId> | undefined

  constructor (configuration: Configuration, overlay: Overlay, watermarks: Watermarks, accusations: Accusations) {
    this.#configuration = configuration
    this.#overlay = overlay
    this.#watermarks = watermarks
    this.#accusations = accusations
    this.#version = accusations.version
  }

  /** True when the tally changed. Reports by non-observers, about members, and beyond JOINERS_MAX joiners are ignored. */
  report (observer: MemberId, joiner: Member): boolean {
    const record = recordDigest(joiner)
    const tally = this.#tallies.get(record) ?? this.#newTally(joiner)
    if (tally?.report(observer) !== true) return false
    if (tally.reporters.size === 1) this.#tallies.set(record, tally)
    this.#grown.add(tally)
    this.#sort(tally)
    return true
  }

  tallies (): IterableIterator<JoinTally> {
    return this.#tallies.values()
  }

  /** The joins that a cut could hold now. */
  get ready (): ReadonlySet<JoinTally> {
    this.#update()
    return this.#ready
  }

  get unstable (): ReadonlySet<JoinTally> {
    this.#update()
    return this.#unstable
  }

  stateOf (tally: JoinTally): JoinState {
    if (tally.isStable(this.#accusations.suspects)) return this.isHeld(tally.joiner) ? 'held' : 'ready'
    return this.#accusations.isUnstable(tally) ? 'unstable' : 'noise'
  }

  /** Whether a member that stays holds the joiner's address or store id. */
  isHeld ({ address, storeId }: Member): boolean {
    this.#addressHolders ??= new Map(this.#configuration.members.map(member => [member.address, member.id]))
    this.#storeHolders ??= new Map(this.#configuration.members.map(member => [member.storeId, member.id]))
    const { condemned } = this.#accusations
    const holders = [this.#addressHolders.get(address), this.#storeHolders.get(storeId)]
    return holders.some(holder => holder !== undefined && !condemned.has(holder))
  }

  /** The joiners that enter together: of rivals the highest incarnation, ties by the digest of the record. Empty if none is ready. */
  admissible (): Member[] {
    const candidates = Array.from(this.ready, ({ joiner }) => ({ record: recordDigest(joiner), joiner }))
    candidates.sort((a, b) => b.joiner.incarnation - a.joiner.incarnation || (a.record < b.record ? -1 : 1))
    const taken = new Set<string>()
    return candidates.flatMap(({ joiner }) => {
      const claims = [`id ${joiner.id}`, `address ${joiner.address}`, `store ${joiner.storeId}`]
      if (claims.some(claim => taken.has(claim))) return []
      for (const claim of claims) taken.add(claim)
      return joiner
    })
  }

  /** Those that grew since time was last noticed. */
  get grown (): Iterable<JoinTally> {
    return this.#grown
  }

  /** Dates what happened since the last call. Returns the tallies that it happened to. */
  notice (now: number): JoinTally[] {
    const grown = [...this.#grown]
    for (const tally of grown) {
      tally.firstAtMs ??= now
      if (tally.suspected) tally.unstableSinceMs ??= now
    }
    this.#grown.clear()
    return grown
  }

  forget (tallies: readonly JoinTally[]): void {
    for (const tally of tallies) {
      this.#tallies.delete(recordDigest(tally.joiner))
      for (const set of [this.#ready, this.#unstable, this.#grown]) set.delete(tally)
    }
  }

  /** Those that `predicate` holds for, sorted by id. */
  filter (predicate: (tally: JoinTally) => boolean): JoinTally[] {
    return [...this.#tallies.values()].filter(predicate).sort(bySubject)
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    for (const [state, set] of [['ready', this.ready], ['unstable', this.unstable]] as const) {
      for (const tally of this.#tallies.values()) {
        if (set.has(tally) !== (this.stateOf(tally) === state)) throw new Error(`JoinTallies: ${tally.subject} is not sorted as ${state}.`)
      }
      for (const { joiner } of set) if (!this.#tallies.has(recordDigest(joiner))) throw new Error(`JoinTallies: the forgotten ${joiner.id} is ${state}.`)
    }
  }

  /** Undefined where there is no room, or the joiner is a member already. */
  #newTally (joiner: Member): JoinTally | undefined {
    if (this.#tallies.size >= JOINERS_MAX || memberIndex(this.#configuration, joiner.id) >= 0) return undefined
    const observers = this.#overlay.observersOfJoiner(joiner.id)
    return new JoinTally(joiner, observers, scaleWatermarks(observers.length, this.#overlay.ringCount, this.#watermarks))
  }

  #update (): void {
    const { version } = this.#accusations
    if (version === this.#version) return
    this.#version = version
    for (const tally of this.#tallies.values()) this.#sort(tally)
  }

  #sort (tally: JoinTally): void {
    const state = this.stateOf(tally)
    if (state === 'ready') this.#ready.add(tally)
    else this.#ready.delete(tally)
    if (state === 'unstable') this.#unstable.add(tally)
    else this.#unstable.delete(tally)
  }
}
