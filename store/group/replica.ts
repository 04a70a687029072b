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
import { Generations } from './generations.ts'
import { type Ballot, compareBallots, type Group, majorityOf, NO_BALLOT, type Position } from './history.ts'
import { Leader, type Request } from './leader.ts'
import { Learner } from './learner.ts'
import { Leftover } from './leftover.ts'
import { LocalReads } from './local-reads.ts'
import type { GroupMessage } from './messages.ts'
import { redirect } from './redirect.ts'
import type { PartitionView, ReplicaComponents, ReplicaInput, ReplicaOptions } from './replica-contract.ts'
import { ReplicaDisk } from './replica-disk.ts'
import { Seat } from './seat.ts'

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
  readonly disk: ReplicaDisk
  readonly generations: Generations
  readonly seat: Seat
  readonly leftover: Leftover
  #now = 0

  constructor ({ self, durable, transfers, nonce, leases = NO_LEASES, slowness = NOT_SLOW, durability = 'sync' }: ReplicaComponents, options: ReplicaOptions) {
    this.self = self
    this.options = options
    this.transfers = transfers
    this.leases = leases
    this.slowness = slowness
    this.deposed = new Deposed(self, leases, durable?.state.promised ?? NO_BALLOT)
    this.learner = new Learner(this)
    this.election = new Election(this)
    this.#acceptor = new Acceptor(this)
    this.#localReads = new LocalReads(this)
    this.generations = new Generations(this)
    this.seat = new Seat(this)
    this.leftover = new Leftover(this, nonce)
    if (durable !== undefined) this.#restore(durable)
    this.disk = new ReplicaDisk(this, durability, durable?.state)
  }

  /** Takes up what an earlier run left. */
  #restore ({ state, entries }: NonNullable<ReplicaComponents['durable']>): void {
    this.group = state.group
    this.promised = this.seen = state.promised
    this.nextCopy = state.nextCopy
    this.seat.restore(state.seat)
    this.doubted = state.doubted === true
    if (state.copy !== undefined) this.copy = new Copy(state.copy, state.floor, state.applied, entries, this.options, state.time)
  }

  apply (now: number, input: ReplicaInput): readonly Effect[] {
    this.#now = now
    switch (input.kind) {
      case 'view': this.#changeView(now, input.view); break
      case 'message': this.#receive(now, input.from, input.message); break
      case 'persisted': this.out.persisted(input.token); this.leader?.progress(now); break
      case 'fetched': this.#fetched(now, input.token, input.values); break
      case 'scanned': this.leader?.scanned(now, input.token, input.items, input.done); break
      case 'ranged': this.leader?.scans.ranged(input.token, input.items, input.done); break
      case 'expiring': this.leader?.expiry.found(input.token, input.records); break
      case 'write': case 'read': case 'scan': case 'watch': this.request(now, input); break
      case 'flush': this.leader?.flush(now); break
      case 'tick': this.#tick(now); break
    }
    return this.out.take()
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

  /** @param applied the data has, or will have with the batch that brings this record, everything up to here */
  durableState (applied = this.copy?.applied ?? 0): DurableState {
    const state = {
      group: this.group,
      promised: this.promised,
      copy: this.copy?.number,
      nextCopy: this.nextCopy,
      floor: this.copy?.floor ?? 0,
      time: this.copy?.floorTime ?? 0,
      applied,
      seat: this.seat.recorded
    }
    return this.doubted ? { ...state, doubted: true } : state
  }

  /** The members of the group that the configuration does not have, if they are so many that no majority is left. */
  missingMajority (): StoreId[] | undefined {
    const { group, view } = this
    if (group === undefined || view === undefined) return undefined
    const { members } = group
    let live = 0
    for (const member of members) if (view.live.has(member)) live++
    return live < majorityOf(members.length) ? members.filter(member => !view.live.has(member)) : undefined
  }

  /** Undoes the entries of a copy from `from` on. */
  truncate (copy: Copy, from: number, writes: StoreWrite[]): void {
    const last = copy.last
    copy.truncate(from)
    if (copy === this.copy) this.disk.syncedLog.cut(from)
    writes.push({ kind: 'dropEntries', copy: copy.number, from, to: last })
  }

  #changeView (now: number, view: PartitionView): void {
    this.view = view
    this.run = view.live.get(this.self) ?? this.run
    let changed = false
    // Rule S1: generation 0 is the placement of the genesis epoch; a store in it that has no record yet holds all of its history: nothing.
    const begins = this.group === undefined && view.forced === undefined && view.genesis.members.includes(this.self)
    if (begins) {
      this.generations.takeUp(view.genesis, NO_BALLOT)
      this.copy ??= new Copy(this.nextCopy++, 0, 0, [], this.options)
      changed = true
    }
    if (this.seat.changeView(view)) changed = true
    if (this.seat.levelled()) changed = true
    if (this.ended) this.generations.obeyDecree(now, view.forced!)
    this.learner.viewChanged(view)
    if (changed || this.disk.dooms) this.disk.persist([])
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
    for (const request of leader?.stop() ?? []) this.request(now, request)
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
    this.disk.persist([], () => { if (this.leader === leader) leader.seal(now) })
  }

  /** Starts to lead with the ballot that everybody promised with the generation, in the very step in which this store takes that up. */
  inherit (now: number, ballot: Ballot): void {
    const leader = this.#begin(now, ballot)
    this.disk.persist([], () => { if (this.leader === leader) leader.inherit(now) })
  }

  #begin (now: number, ballot: Ballot): Leader {
    this.promise(ballot)
    this.seen = ballot
    return this.leader = new Leader(this, ballot, now)
  }

  #receive (now: number, from: StoreId, message: GroupMessage): void {
    switch (message.kind) {
      case 'chain': this.generations.adopt(now, message.group); return
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
      case 'release': this.leftover.released(message.held); return
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

  /** True when nothing changes here by itself, as far as this store knows: neither its history, nor its data, nor which copies it has. */
  get quiet (): boolean {
    const { copy, disk, out, learner, leader, election } = this
    if (copy?.unapplied === true || disk.dooms || out.unsettled || learner.active) return false
    return leader?.quiet ?? election.idle
  }

  /** True when no tick has anything to do before something else happens. */
  get idle (): boolean {
    return this.copy?.unapplied !== true && (this.leader ?? this.election).idle
  }

  #tick (now: number): void {
    this.leader?.tick(now)
    this.#acceptor.tick(now)
    this.learner.tick()
    this.election.tick(now)
  }

  /** When the input came that is being handled. */
  get now (): number { return this.#now }

  /** A client's request, which came now or waited for a leader that is one no more. */
  request (now: number, request: Request): void {
    if (request.kind === 'read' && this.#localReads.request(request)) return
    if (this.leader !== undefined) { this.leader.request(now, request); return }
    this.out.respond(request.ticket, redirect(this, now))
  }

  #fetched (now: number, token: number, values: Found): void {
    if (!this.#localReads.fetched(token, values, request => { this.request(now, request) })) this.leader?.fetched(now, token, values)
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
