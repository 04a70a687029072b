/**
 * From one generation to the next: teach the stores that the placement wants, pause, propose the stop sign (rule S5).
 *
 * The stop sign s+1 is proposed only once a majority of the next group holds s durably, old members counted alike, so the next
 * group's first leader finds the whole state in any majority. Usually all of its live members hold it. Until the stop sign
 * is proposed a newer placement simply takes this one's place: learners that it still wants keep what they have.
 *
 * Pure.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Found } from './effects.ts'
import { graceOf } from './grace.ts'
import { type Group, majorityOf, sameMembers } from './history.ts'
import type { Leader } from './leader.ts'
import type { GroupMessage, Item } from './messages.ts'
import type { PartitionView } from './replica-contract.ts'
import { Teacher } from './teacher.ts'

/** How much longer than the first pause of a handover its later ones may get. */
const PAUSE_FACTOR_MAX = 16
/**
 * Once a majority of the next group and its first leader have everything, the others get so many milliseconds of the pause to come level,
 * too. Who does not is brought up to date by the next leader, while that serves.
 */
const STRAGGLERS_MS = 20

/**
 * What a handover waits for: the return of a store that is gone, by the clock (`grace`); a majority of the next group in the cluster; a
 * place for the snapshot among those that this store sends; its share of the bytes per second; an answer of a learner that has been
 * silent for `SILENT_MS`; the rest of the copy; the stop sign.
 */
export type HandoverState = 'grace' | 'majority' | 'place' | 'rate' | 'silent' | 'copying' | 'ending'

const NOBODY: ReadonlySet<StoreId> = new Set()

export class Handover {
  readonly #leader: Leader
  readonly #teachers = new Map<StoreId, Teacher>()
  /** Since when the next group is due: the end of the grace, if there is one. */
  #wantedSince: number
  #pausedAt = -Infinity
  /** How long the next pause may be: twice as long after each that came to nothing, for a machine that is slow. */
  #pauseMs: number
  /** No pause before this time: the last one came to nothing. */
  #retryAt = -Infinity
  /** The preferred leader was asked in this pause. */
  #asked = false
  /** In this pause an entry was logged that every store syncs, and with it what is before. */
  #marked = false
  #round = 0
  /** What `#inPlace` was asked for last, as it is with every message. */
  #compared: { readonly view?: PartitionView | undefined, readonly group?: Group | undefined, readonly inPlace: boolean } = { inPlace: false }

  constructor (leader: Leader) {
    this.#leader = leader
    this.#wantedSince = leader.startedAt
    this.#pauseMs = leader.replica.options.pauseMsMax
  }

  /** The group is as the placement wants it. */
  get #inPlace (): boolean {
    const { view, group } = this.#leader.replica
    if (view !== this.#compared.view || group !== this.#compared.group) {
      this.#compared = { view, group, inPlace: view!.epoch >= group!.epoch && sameMembers(view!.seats, group!.members) }
    }
    return this.#compared.inPlace
  }

  /**
   * The epoch whose placement this group certainly carries out, or 0. Equal members do not suffice: a store that returns is given
   * its former seats, so the placement may equal a group that has ended, or is about to. The generation must go on: no stop sign
   * is logged, and a majority confirmed it after the view came.
   */
  get settledEpoch (): number {
    const { serving, confirmedEpoch, replica: { view } } = this.#leader
    return serving && confirmedEpoch >= view!.epoch && this.#inPlace ? view!.epoch : 0
  }

  /** What is in the way of the placement, and which stores that is about; undefined where the group is the placement's. */
  waitsFor (now: number): { readonly state: HandoverState, readonly stores: readonly StoreId[], readonly until?: number } | undefined {
    const { group, view, options } = this.#leader.replica
    if (this.#inPlace || view!.epoch < group!.epoch) return undefined
    if (this.#heldBack(now).size > 0) {
      const stores = group!.members.filter(store => !view!.live.has(store))
      return { state: 'grace', stores, until: graceOf(now, group!, view!, options.rereplicateAfterMs)!.until }
    }
    const missing = view!.seats.filter(store => !view!.live.has(store))
    if (view!.seats.length - missing.length < majorityOf(view!.seats.length)) return { state: 'majority', stores: missing }
    const taught = [...this.#teachers.values()]
    for (const state of ['silent', 'place', 'rate', 'copying'] as const) {
      const stores = taught.filter(teacher => teacher.state(now) === state).map(({ target }) => target)
      if (stores.length > 0) return { state, stores }
    }
    return { state: 'ending', stores: [] }
  }

  /** True for a store that holds, or is to hold, this partition by this leader's knowledge. */
  wants (store: StoreId): boolean {
    const { view, group } = this.#leader.replica
    return view!.seats.includes(store) || group!.members.includes(store) || this.#teachers.has(store) || view!.epoch < group!.epoch
  }

  /** Every member of this generation has reached its base, durably: older copies are not needed any more. */
  allLevel (): boolean {
    const { group } = this.#leader.replica
    return group!.members.every(member => this.#leader.followers.holds(member) >= group!.base)
  }

  /** True while somebody is brought up to date, from the data. */
  get teaching (): boolean { return this.#teachers.size > 0 }

  /** Numbers the questions and pieces that this leader sends to learners. */
  nextRound (): number {
    return ++this.#round
  }

  /** The lowest number that somebody is being taught from, which the log should go back to. */
  needed (): number {
    let needed = Infinity
    for (const teacher of this.#teachers.values()) needed = Math.min(needed, teacher.needed)
    return needed
  }

  viewChanged (now: number): void {
    this.#wantedSince = now
    this.#retryAt = -Infinity
    this.#pauseMs = this.#leader.replica.options.pauseMsMax
    this.tick(now)
  }

  /** True when the placement is carried out, its preferred leader leads, and nobody is being taught. */
  get idle (): boolean {
    return this.#teachers.size === 0 && this.settledEpoch > 0 && this.#preferred === this.#leader.replica.self
  }

  /** Who shall lead the group: its first live member (rule S4). */
  get #preferred (): StoreId | undefined {
    const { group, view } = this.#leader.replica
    return group!.members.find(member => view!.live.has(member))
  }

  tick (now: number): void {
    if (this.settledEpoch > 0) this.#leader.replica.seat.carriedOut(this.settledEpoch)
    this.#chooseLearners(now)
    for (const teacher of this.#teachers.values()) teacher.tick(now)
  }

  /**
   * Stores that the placement wants, and whose copying waits because a member of the group may return (grace.ts). Those that are being
   * taught already go on.
   */
  #heldBack (now: number): ReadonlySet<StoreId> {
    const { group, view, options } = this.#leader.replica
    const grace = graceOf(now, group!, view!, options.rereplicateAfterMs)
    if (grace === undefined) return NOBODY
    return new Set(view!.seats.filter((store, index) =>
      !group!.members.includes(store) && !this.#teachers.has(store) && view!.seatEpochs[index]! >= grace.epoch))
  }

  #chooseLearners (now: number): void {
    const { replica, followers, phase } = this.#leader
    if (phase === 'sealing' || phase === 'deferring') return
    const view = replica.view!
    const group = replica.group!
    const needed = new Map<StoreId, number>()
    for (const member of group.members) if (member !== replica.self && followers.isLagging(member)) needed.set(member, group.epoch)
    // A leader that has not heard of the configuration that made its group follows no older placement.
    if (view.epoch >= group.epoch && this.#leader.serving) {
      const heldBack = this.#heldBack(now)
      view.seats.forEach((store, index) => {
        if ((!group.members.includes(store) && !heldBack.has(store)) || needed.has(store)) needed.set(store, view.seatEpochs[index]!)
      })
    }
    for (const [store, teacher] of this.#teachers) {
      // Of another process of the learner it is not known whether it has what the last one had.
      if (needed.has(store) && view.live.get(store) === teacher.run) continue
      teacher.close()
      this.#teachers.delete(store)
    }
    for (const [store, transfer] of needed) {
      if (view.live.has(store) && !this.#teachers.has(store)) this.#teachers.set(store, new Teacher(this.#leader, store, transfer))
    }
  }

  learned (now: number, from: StoreId, message: GroupMessage & { kind: 'learned' }): void {
    const teacher = this.#teachers.get(from)
    if (teacher === undefined) return
    teacher.learned(now, message)
    const { replica, followers } = this.#leader
    if (!replica.group!.members.includes(from) || teacher.holds < 0) return
    followers.taught(now, from, teacher.holds)
    if (followers.isLagging(from)) return
    teacher.close()
    this.#teachers.delete(from)
  }

  scanned (now: number, token: number, items: readonly Item[], done: boolean): void {
    for (const teacher of this.#teachers.values()) if (teacher.scanned(now, token, items, done)) return
  }

  /** Values were read. Returns false when no teacher waits for them. */
  fetched (now: number, token: number, values: Found): boolean {
    for (const teacher of this.#teachers.values()) if (teacher.fetched(now, token, values)) return true
    return false
  }

  committed (now: number): void {
    for (const teacher of this.#teachers.values()) teacher.committed(now)
  }

  #holds (store: StoreId): number {
    const { replica, followers } = this.#leader
    return replica.group!.members.includes(store) ? followers.holds(store) : this.#teachers.get(store)?.holds ?? -1
  }

  /** True when a store has everything up to here, and keeps it when its machine loses its power. What learners report is synced. */
  #hasSynced (store: StoreId, seq: number): boolean {
    const { replica, followers } = this.#leader
    return replica.group!.members.includes(store) ? followers.hasSynced(store, seq) : this.#holds(store) >= seq
  }

  progress (now: number): void {
    const leader = this.#leader
    const { replica, phase } = leader
    if (phase !== 'serving' && phase !== 'pausing') return
    const view = replica.view!
    if (view.epoch < replica.group!.epoch || view.seats.length === 0) return
    const goal = this.#inPlace ? this.#lead(now) : this.#next(now)
    if (leader.phase !== 'pausing') return
    const expired = now - this.#pausedAt >= this.#pauseMs
    if (goal !== undefined && leader.copy.commit === leader.copy.last && goal(expired)) return
    if (goal !== undefined && !expired) return
    leader.phase = 'serving'
    this.#retryAt = now + 4 * this.#pauseMs
    this.#pauseMs = Math.min(2 * this.#pauseMs, PAUSE_FACTOR_MAX * replica.options.pauseMsMax)
    leader.resume(now)
  }

  #pause (now: number): void {
    if (this.#leader.phase !== 'serving' || now < this.#retryAt) return
    this.#leader.phase = 'pausing'
    this.#pausedAt = now
    this.#asked = this.#marked = false
    this.#leader.replica.out.wake(STRAGGLERS_MS)
    this.#leader.replica.out.wake(this.#pauseMs)
  }

  /** The group is as the placement wants it. If its first live member is another, that one shall lead (rule S4). */
  #lead (now: number): (() => boolean) | undefined {
    const leader = this.#leader
    const { group, self, out } = leader.replica
    const preferred = this.#preferred
    if (preferred === undefined || preferred === self) return undefined
    const { copy, followers } = leader
    if (followers.holds(preferred) >= copy.commit) this.#pause(now)
    return () => {
      if (followers.holds(preferred) < copy.last || this.#asked) return false
      this.#asked = true
      out.send(preferred, { kind: 'nominate', generation: group!.generation, seen: leader.ballot, held: 0 })
      return false
    }
  }

  /** Pauses when the next group is near, and says what is left to do then. */
  #next (now: number): ((expired: boolean) => boolean) | undefined {
    const leader = this.#leader
    const { copy, replica } = leader
    if (this.#heldBack(now).size > 0) {
      this.#wantedSince = now
      return undefined
    }
    const { live, seats } = replica.view!
    const majority = majorityOf(seats.length)
    const present = seats.filter(store => live.has(store))
    if (present.length < majority) return undefined
    const near = (store: StoreId): boolean => this.#holds(store) >= 0 && this.#holds(store) >= copy.commit - replica.options.batchEntriesMax
    const impatient = now - this.#wantedSince >= replica.options.patienceMs
    if (present.every(near) || (impatient && present.filter(near).length >= majority)) this.#pause(now)
    return expired => {
      const holders = present.filter(store => this.#hasSynced(store, copy.last))
      if (holders.length < present.length) this.#mark(now, present)
      if (holders.length < majority) return false
      const waited = holders.includes(present[0]!) ? now - this.#pausedAt >= STRAGGLERS_MS : expired
      if (holders.length < present.length && !impatient && !waited) return false
      this.#propose(now)
      return true
    }
  }

  /**
   * Has the stores that acknowledge before they sync do so, once in a pause: the next group must find what it begins from after a loss of
   * power, too, and of an entry that is no write they say that they have it when it is synced (see synced-log.ts).
   */
  #mark (now: number, present: readonly StoreId[]): void {
    const leader = this.#leader
    const { last } = leader.copy
    if (this.#marked || !present.some(store => this.#holds(store) >= last && !this.#hasSynced(store, last))) return
    this.#marked = true
    leader.append({ kind: 'noop' })
    leader.flush(now)
  }

  #propose (now: number): void {
    const leader = this.#leader
    const { group, view } = leader.replica
    const seq = leader.copy.last
    const next: Group = {
      generation: group!.generation + 1,
      members: view!.seats,
      base: seq + 1,
      previous: { ballot: leader.replica.ballotAt(seq)!, seq },
      epoch: view!.epoch,
      ...(group!.forced === undefined ? {} : { forced: group!.forced })
    }
    leader.phase = 'stopping'
    leader.append({ kind: 'stop', next })
    leader.flush(now)
  }

  /** The stop sign is committed: everybody concerned hears of the next group. */
  announce (next: Group): void {
    const { group, out, self } = this.#leader.replica
    for (const store of new Set([...group!.members, ...next.members])) if (store !== self) out.send(store, { kind: 'chain', group: next })
  }

  stop (): void {
    for (const teacher of this.#teachers.values()) teacher.close()
    this.#teachers.clear()
  }
}
