/**
 * One store's part in one partition: promises, follows, learns, leads, and steps from generation to generation.
 *
 * The replication within a generation is Raft's log (Ongaro, Ousterhout: "In Search of an Understandable Consensus Algorithm",
 * USENIX ATC '14) with the ballots of Paxos and one change: nobody campaigns. The agreed configuration elects, by each
 * group's own order (rule S4), so that one membership decision replaces thousands of elections. Generations follow one another by stop
 * signs (rule S5), as in Lamport, Malkhi and Zhou's reconfiguration.
 *
 * Pure: `apply(now, input)` returns effects; no clock, chance or I/O.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { NO_LEASES, type ReplicaLeases } from '../leases.ts'
import { NOT_SLOW, type Slowness } from '../pace.ts'
import { Acceptor } from './acceptor.ts'
import { Copy } from './copy.ts'
import { Deposed } from './deposed.ts'
import { type DurableState, type Effect, type Found, Outbox, type StoreWrite } from './effects.ts'
import { Election } from './election.ts'
import { carryOver, type Decree, forcedCopy, forcedGroup } from './forced.ts'
import { type Ballot, compareBallots, type Entry, type Group, inheritedBallot, majorityOf, NO_BALLOT, type Position } from './history.ts'
import { Leader, type Request } from './leader.ts'
import { Learner } from './learner.ts'
import { LocalReads } from './local-reads.ts'
import type { GroupMessage } from './messages.ts'
import { redirect } from './redirect.ts'
import type { PartitionView, ReplicaComponents, ReplicaInput, ReplicaOptions } from './replica-contract.ts'
import { SyncedLog } from './synced-log.ts'

export class Replica {
  readonly self: StoreId
  readonly options: ReplicaOptions
  readonly transfers: ReplicaComponents['transfers']
  readonly leases: ReplicaLeases
  readonly slowness: Slowness
  readonly out = new Outbox()
  view: PartitionView | undefined
  group: Group | undefined
  /** Invariant: never falls within a generation, restarts included. */
  promised: Ballot = NO_BALLOT
  /** The highest ballot heard of in this generation; at least `promised`. */
  seen: Ballot = NO_BALLOT
  copy: Copy | undefined
  leader: Leader | undefined
  readonly learner: Learner
  readonly election: Election
  readonly deposed: Deposed
  readonly #acceptor: Acceptor
  readonly #localReads: LocalReads
  nextCopy = 1
  /** The incarnation under which this store was last a member. What it acknowledges names it. */
  run = 0
  /** Entries that this store acknowledged in this generation may be missing here (see doubt.ts). */
  doubted = false
  readonly syncedLog: SyncedLog
  #seat: DurableState['seat']
  #nonce: number
  #now = 0
  /** The open question whether the live copy may go, or 0 when no answer to it counts any more. */
  #held = 0
  /** The state record as the disk has it, or will have it when what was persisted is durable. */
  #recorded: DurableState | undefined
  /** Copies to delete once the state record that no longer names them is durable. */
  #doomed: number[] = []
  /** The state record as the disk has it for certain. */
  #durable: DurableState | undefined

  constructor ({ self, durable, transfers, nonce, leases = NO_LEASES, slowness = NOT_SLOW, durability = 'sync' }: ReplicaComponents, options: ReplicaOptions) {
    this.self = self
    this.#nonce = nonce
    this.options = options
    this.transfers = transfers
    this.leases = leases
    this.slowness = slowness
    this.deposed = new Deposed(self, leases, durable?.state.promised ?? NO_BALLOT)
    this.learner = new Learner(this)
    this.election = new Election(this)
    this.#acceptor = new Acceptor(this)
    this.#localReads = new LocalReads(this)
    if (durable !== undefined) this.#restore(durable)
    this.syncedLog = new SyncedLog(durability, this.copy)
  }

  /** Takes up what an earlier run left. */
  #restore ({ state, entries }: NonNullable<ReplicaComponents['durable']>): void {
    this.#recorded = this.#durable = state
    this.group = state.group
    this.promised = this.seen = state.promised
    this.nextCopy = state.nextCopy
    this.#seat = state.seat
    this.doubted = state.doubted === true
    if (state.copy !== undefined) this.copy = new Copy(state.copy, state.floor, state.applied, entries, this.options, state.time)
  }

  apply (now: number, input: ReplicaInput): Effect[] {
    this.#now = now
    switch (input.kind) {
      case 'view': this.#changeView(now, input.view); break
      case 'message': this.#receive(now, input.from, input.message); break
      case 'persisted': this.out.persisted(input.token); this.leader?.progress(now); break
      case 'fetched': this.#fetched(now, input.token, input.values); break
      case 'scanned': this.leader?.scanned(now, input.token, input.items, input.done); break
      case 'ranged': this.leader?.scans.ranged(input.token, input.items, input.done); break
      case 'expiring': this.leader?.expiry.found(input.token, input.records); break
      case 'write': case 'read': case 'scan': case 'watch': this.#request(now, input); break
      case 'flush': this.leader?.flush(now); break
      case 'tick': this.#tick(now); break
    }
    return this.out.take()
  }

  /** True when the disk has the present promise. */
  get promiseDurable (): boolean {
    return this.#durable?.group === this.group && compareBallots(this.#durable?.promised ?? NO_BALLOT, this.promised) === 0
  }

  /** The partition was forced, and this store has not heard of what came of it: what it holds is no part of the history any more. */
  get ended (): boolean {
    return (this.view?.forced?.epoch ?? 0) > (this.group?.forced ?? 0)
  }

  get isMember (): boolean { return this.group?.members.includes(this.self) === true }

  /** True when this store holds the whole state that the present generation began from. */
  get level (): boolean {
    return this.group !== undefined && this.copy !== undefined && this.copy.commit >= this.group.base
  }

  /** The ballot of an entry, as this generation counts: everything up to its base has none. Undefined where it was forgotten. */
  ballotAt (seq: number): Ballot | undefined {
    if (this.group !== undefined && seq <= this.group.base) return NO_BALLOT
    return this.copy?.entry(seq)?.ballot
  }

  get lastPosition (): Position {
    const seq = this.copy?.last ?? 0
    return { ballot: this.ballotAt(seq) ?? NO_BALLOT, seq }
  }

  durableState (): DurableState {
    return {
      group: this.group,
      promised: this.promised,
      copy: this.copy?.number,
      nextCopy: this.nextCopy,
      floor: this.copy?.floor ?? 0,
      time: this.copy?.floorTime ?? 0,
      applied: this.copy?.applied ?? 0,
      seat: this.#seat,
      ...this.doubted ? { doubted: true } : {}
    }
  }

  /** Makes writes durable together with the state record, and brings whatever is committed to the data. */
  persist (writes: readonly StoreWrite[], then: () => void = () => {}): void {
    this.#persist(this.#withData(writes), then, true)
  }

  /** Brings whatever is committed to the data. */
  applyCommitted (): void {
    this.#persist(this.#withData([]), () => {}, false)
  }

  #withData (writes: readonly StoreWrite[]): readonly StoreWrite[] {
    return this.copy?.unapplied === true ? [...writes, ...this.copy.takeApplied()] : writes
  }

  /**
   * Logs entries, as durably as the store's option says. What is committed goes to the data with one of the next persists, a tick later:
   * together, and each key once.
   * A learner waits for the data, and so does whoever has to keep too much of it in memory.
   */
  log (writes: readonly StoreWrite[], then: () => void): void {
    const { copy, leader, options } = this
    const later = copy !== undefined && copy.commit - copy.applying < options.batchEntriesMax && leader?.handover.teaching !== true
    this.#persist(later ? writes : this.#withData(writes), then, false)
  }

  #persist (writes: readonly StoreWrite[], then: () => void, synced: boolean): void {
    const copy = this.copy
    const applied = copy?.applying ?? 0
    const compacted = copy?.compact(this.leader?.needed()) ?? []
    const state: DurableState = { ...this.durableState(), applied }
    const says = this.#recorded === undefined ? 'more' : compareStates(state, this.#recorded)
    const record: StoreWrite[] = says === 'the same' ? [] : [{ kind: 'state', state }]
    const sync = synced || says === 'more' || this.syncedLog.mustSync(writes)
    const settled = this.syncedLog.issue(copy, writes)
    this.#recorded = state
    const doomed = this.#doomed
    this.#doomed = []
    this.out.persist([...record, ...writes, ...compacted], () => {
      if (sync) settled()
      copy?.applyDone(applied)
      this.#durable = state
      const swept = copy?.takeSwept() ?? 0
      if (swept > 0) this.out.push({ kind: 'forgetExpired', copy: copy!.number, time: swept })
      for (const number of doomed) this.out.push({ kind: 'deleteCopy', copy: number })
      then()
    }, sync)
  }

  /** Has a copy deleted after the next persist, whose state record must not name it (rule S6: by its number, which is never used again). */
  doom (copy: Copy): void {
    this.#doomed.push(copy.number)
  }

  /** The members of the group that the configuration does not have, if they are so many that no majority is left. */
  missingMajority (): StoreId[] | undefined {
    const { group, view } = this
    if (group === undefined || view === undefined) return undefined
    const missing = group.members.filter(member => !view.live.has(member))
    return group.members.length - missing.length < majorityOf(group.members.length) ? missing : undefined
  }

  /** Steps to a newer generation (rule S5), in which a ballot may be known already. */
  adopt (now: number, group: Group, seen: Ballot = NO_BALLOT): void {
    const before = this.group
    if (before !== undefined && group.generation <= before.generation) return
    const force = group.forced ?? 0
    if (force < (this.view?.forced?.epoch ?? 0)) return
    // What was coming in belongs to a history that has ended. The copy stays until it is replaced: see forced.ts.
    if (force > (before?.forced ?? 0)) this.learner.forget()
    const copy = this.copy
    const writes: StoreWrite[] = []
    const stop = group.base - 1
    if (copy !== undefined && copy.commit < group.base) {
      // The copy holds all that the new generation begins from when its history has the very entry before the stop sign.
      const reaches = group.generation === (before?.generation ?? -1) + 1 && copy.last >= stop &&
        compareBallots(this.ballotAt(stop) ?? NO_BALLOT, group.previous.ballot) === 0
      if (copy.commit >= stop || reaches) this.#endWith(copy, group, writes)
    }
    // What is left beyond the commit point belongs to a generation that has ended, and its ballots mean nothing in this one.
    if (copy !== undefined && copy.last > copy.commit) this.truncate(copy, copy.commit + 1, writes)
    this.#enter(now, group, seen, writes)
  }

  /** Goes on with the partition as the configuration has decided by force, if it names this store; any other one stops here. */
  #obeyDecree (now: number, decree: Decree): void {
    this.stepDown(now)
    this.learner.forget()
    // What the log has counts as committed from now on, and may be read: it must be on the disk, as after a restart it would not count else.
    if (decree.store === this.self) this.persist([], () => { if (this.ended && this.view!.forced!.epoch === decree.epoch) this.#goOn(now, decree) })
  }

  /** Goes on alone, with what this store has. */
  #goOn (now: number, decree: Decree): void {
    const group = forcedGroup(decree)
    if (decree.empty) {
      if (this.copy !== undefined) this.doom(this.copy)
      const { copy, writes } = forcedCopy(this.nextCopy++, group, this.options)
      this.copy = copy
      this.#enter(now, group, NO_BALLOT, writes)
    } else if (this.copy !== undefined) {
      const { copy, writes } = carryOver(this.copy, group, this.options)
      this.copy = copy
      this.#enter(now, group, NO_BALLOT, writes)
    } else this.out.push({ kind: 'fault', message: `the partition was forced to go on with the copy of this store, which has none` })
  }

  /** Begins the generation of a group that this store has not been in before. */
  #enter (now: number, group: Group, seen: Ballot, writes: StoreWrite[]): void {
    const leader = this.leader
    this.leader = undefined
    this.#takeUp(group, seen)
    this.deposed.clear()
    this.#held = 0
    this.election.heard()
    if (this.level && this.isMember) this.settle(group.epoch)
    this.persist(writes)
    this.election.inherit(now)
    this.election.lead(now)
    this.election.nominate(now)
    for (const request of leader?.stop() ?? []) this.#request(now, request)
  }

  /** Promises the generation's lowest ballot with it. */
  #takeUp (group: Group, seen: Ballot): void {
    this.group = group
    this.doubted = false
    this.promised = inheritedBallot(group)
    this.seen = compareBallots(seen, this.promised) > 0 ? seen : this.promised
  }

  /** Ends a copy with the stop sign of a generation: everything before it is committed, and nothing of that generation follows. */
  #endWith (copy: Copy, group: Group, writes: StoreWrite[]): void {
    if (copy.last >= group.base) this.truncate(copy, group.base, writes)
    copy.advanceCommit(group.base - 1)
    const entry: Entry = { seq: group.base, ballot: group.previous.ballot, body: { kind: 'stop', next: group } }
    copy.append(entry)
    copy.advanceCommit(group.base)
    writes.push({ kind: 'entry', copy: copy.number, entry })
  }

  /** Undoes the entries of a copy from `from` on. */
  truncate (copy: Copy, from: number, writes: StoreWrite[]): void {
    const last = copy.last
    copy.truncate(from)
    if (copy === this.copy) this.syncedLog.cut(from)
    writes.push({ kind: 'dropEntries', copy: copy.number, from, to: last })
  }

  /** A snapshot is whole: its copy takes the place of the live one (rule S6). */
  makeLive (copy: Copy, writes: StoreWrite[]): void {
    const { group } = this
    if (this.copy !== undefined) this.doom(this.copy)
    this.copy = copy
    if (group !== undefined && group.base > 0 && copy.commit === group.base - 1) this.#endWith(copy, group, writes)
  }

  /** The live copy was taught further: it may have become level, which completes the transfer. */
  taught (): void {
    if (this.group !== undefined && this.level && this.isMember) this.settle(this.group.epoch)
  }

  /** This store leads, and its group carries out the placement of `epoch`. */
  carriedOut (epoch: number): void {
    if (this.settle(epoch)) this.persist([])
  }

  /** So much of the log came from the leader. While the transfer of this seat is not complete, it is what a returning store missed. */
  caughtUp (bytes: number): void {
    if (bytes > 0 && this.#seat?.completed === false) this.out.ledger(this.#seat.epoch, 'delta', bytes)
  }

  /** A teacher came: no earlier answer may delete the copy that it builds on. */
  keepCopy (): void {
    this.#held = 0
  }

  /** True when the transfer that gives this store its seat is complete. */
  get seatCompleted (): boolean { return this.#seat?.completed === true }
  get seatEpoch (): number | undefined { return this.#seat?.epoch }

  /** The placement of `epoch` is carried out here, so the transfer of this seat is complete (rule S11). Returns whether that is new. */
  settle (epoch: number): boolean {
    if (this.#seat === undefined || this.#seat.completed || this.#seat.epoch > epoch) return false
    this.#seat = { ...this.#seat, completed: true }
    this.out.ledger(this.#seat.epoch, 'done')
    return true
  }

  #changeView (now: number, view: PartitionView): void {
    this.view = view
    this.run = view.live.get(this.self) ?? this.run
    const writes: StoreWrite[] = []
    let changed = false
    // Rule S1: generation 0 is the placement of the genesis epoch; a store in it that has no record yet holds all of its history: nothing.
    const begins = this.group === undefined && view.forced === undefined && view.genesis.members.includes(this.self)
    if (begins) {
      this.#takeUp(view.genesis, NO_BALLOT)
      this.copy ??= new Copy(this.nextCopy++, 0, 0, [], this.options)
      changed = true
    }
    const index = view.seats.indexOf(this.self)
    const epoch = index < 0 ? undefined : view.seatEpochs[index]!
    if (epoch !== this.#seat?.epoch) {
      if (this.#seat !== undefined && !this.#seat.completed) this.out.ledger(this.#seat.epoch, 'superseded')
      const genesis = epoch === view.genesis.epoch
      this.#seat = epoch === undefined ? undefined : { epoch, completed: genesis }
      if (epoch !== undefined && !genesis) this.out.ledger(epoch, 'planned')
      changed = true
    }
    if (this.group !== undefined && this.level && this.isMember && this.settle(this.group.epoch)) changed = true
    if (this.ended) this.#obeyDecree(now, view.forced!)
    this.learner.viewChanged(view)
    if (changed || this.#doomed.length > 0) this.persist(writes)
    this.election.heard()
    if (begins) this.election.inherit(now)
    this.election.lead(now)
    this.leader?.viewChanged(now)
    this.election.viewChanged(now)
  }

  /** Gives up the lead: somebody has a higher ballot, or a better history. Takes it again with a higher ballot if `again`. */
  stepDown (now: number, again = false): void {
    const leader = this.leader
    this.leader = undefined
    if (again) this.election.lead(now, true)
    for (const request of leader?.stop() ?? []) this.#request(now, request)
  }

  /** A ballot was seen; if it is above all known ones, its store leads, as far as this one knows. */
  sawBallot (now: number, ballot: Ballot): void {
    if (compareBallots(ballot, this.seen) <= 0) return
    this.seen = ballot
    this.election.heard()
    if (this.leader !== undefined) this.stepDown(now)
  }

  /** Tells a store that asked this one, in a generation, who is to be asked now. */
  sendOn (to: StoreId, generation: number): void {
    if (this.group!.generation > generation) this.out.send(to, { kind: 'chain', group: this.group! })
    else this.out.send(to, { kind: 'refused', generation, promised: this.seen })
  }

  /** Promises to obey nothing below this ballot. Durable with the next persist. */
  promise (ballot: Ballot): void {
    this.deposed.promised(this.promised, ballot)
    this.promised = ballot
  }

  /** Starts to lead with a ballot above all that were seen. It is durable before anyone hears of it: each is started once, ever. */
  begin (now: number, ballot: Ballot): void {
    const leader = this.#begin(now, ballot)
    this.persist([], () => { if (this.leader === leader) leader.seal(now) })
  }

  /** Starts to lead with the ballot that everybody promised with the generation, in the very step in which this store takes that up. */
  inherit (now: number, ballot: Ballot): void {
    const leader = this.#begin(now, ballot)
    this.persist([], () => { if (this.leader === leader) leader.inherit(now) })
  }

  #begin (now: number, ballot: Ballot): Leader {
    this.promise(ballot)
    this.seen = ballot
    return this.leader = new Leader(this, ballot, now)
  }

  #receive (now: number, from: StoreId, message: GroupMessage): void {
    switch (message.kind) {
      case 'chain': this.adopt(now, message.group); return
      case 'unknown':
        if (this.group === undefined || this.group.generation <= message.generation) return
        this.out.send(from, { kind: 'chain', group: this.group })
        this.leader?.introduced(now, from)
        return
      case 'learn': case 'chunk': case 'delta': case 'tail': this.learner.receive(now, from, message); return
      default:
    }
    const generation = this.group?.generation ?? -1
    if (this.ended && message.generation <= generation) return
    if (message.generation > generation) { this.out.send(from, { kind: 'unknown', generation }); return }
    if (message.generation < generation) {
      if (message.kind !== 'release') this.out.send(from, { kind: 'chain', group: this.group! })
      return
    }
    switch (message.kind) {
      case 'seal': this.#acceptor.seal(now, from, message.ballot); return
      case 'append': this.#acceptor.append(now, from, message); return
      case 'confirm': this.#acceptor.confirm(from, message); return
      case 'refused': this.#refused(now, message.promised); return
      case 'nominate': this.election.nominated(now, from, message.seen, message.held); return
      case 'leading': this.election.leading(now, message.ballot); return
      case 'release': this.#released(message.held); return
      default: this.leader?.receive(now, from, message)
    }
  }

  /** Somebody promised more than this store has heard of, unless the answer is an old one. */
  #refused (now: number, promised: Ballot): void {
    const isNews = compareBallots(promised, this.seen) > 0
    this.sawBallot(now, promised)
    this.election.lead(now)
    // Otherwise a store that is refused for what everybody knows would ask again at once, for ever.
    if (isNews) this.election.sentOn(now)
  }

  #released (held: number): void {
    if (held !== this.#held || this.copy === undefined || !this.holdsLeftover) return
    this.#held = 0
    this.doom(this.copy)
    this.copy = undefined
    this.persist([])
  }

  /** True when a whole copy is here that neither the group nor the placement gives this store, as far as it can know. */
  get holdsLeftover (): boolean {
    const { view, self, isMember, copy, learner } = this
    return copy !== undefined && !isMember && view !== undefined && !view.seats.includes(self) && view.epoch >= learner.placementEpoch
  }

  /**
   * The number of the open question whether the leftover may go. It stays the same until it is answered, or until a teacher comes,
   * so that a slow answer counts, and an answer from before the copy was needed again does not.
   */
  askToRelease (): number {
    if (this.#held === 0) this.#held = ++this.#nonce
    return this.#held
  }

  /** True when no tick has anything to do before something else happens. */
  get idle (): boolean {
    return this.copy?.unapplied !== true && (this.leader ?? this.election).idle
  }

  #tick (now: number): void {
    this.leader?.tick(now)
    this.#acceptor.tick(now)
    this.election.tick(now)
  }

  /** When the input came that is being handled. */
  get now (): number { return this.#now }

  #request (now: number, request: Request): void {
    if (request.kind === 'read' && this.#localReads.request(request)) return
    if (this.leader !== undefined) { this.leader.request(now, request); return }
    this.out.respond(request.ticket, redirect(this, now))
  }

  #fetched (now: number, token: number, values: Found): void {
    if (!this.#localReads.fetched(token, values, request => { this.#request(now, request) })) this.leader?.fetched(now, token, values)
  }

  /** Throws when an invariant of this replica's own state is broken; for tests and simulations, after each step. */
  invariants (): void {
    this.copy?.invariants()
    if (compareBallots(this.promised, this.seen) > 0) throw new Error('invariant: seen >= promised')
    if (this.leader !== undefined && compareBallots(this.leader.ballot, this.seen) !== 0) throw new Error('invariant: a leader has seen no higher ballot')
    if (this.copy !== undefined && !(this.isMember && this.level) && this.copy.last > this.copy.commit) {
      throw new Error('invariant: only a level member has entries that are not committed')
    }
    if (this.leader !== undefined && !this.isMember) throw new Error('invariant: only a member leads')
  }
}

/** What a state record says that the last one did not: nothing; only how far log and data have come, which others know as well; or more. */
function compareStates (a: DurableState, b: DurableState): 'the same' | 'positions' | 'more' {
  const same = a.group === b.group && compareBallots(a.promised, b.promised) === 0 && a.copy === b.copy && a.nextCopy === b.nextCopy &&
    a.seat === b.seat && a.doubted === b.doubted
  if (!same) return 'more'
  return a.floor === b.floor && a.time === b.time && a.applied === b.applied ? 'the same' : 'positions'
}
