/**
 * A network of consensus cores in virtual time, with loss, duplication, reordering, slow disks, crashes and restarts, and an
 * observer that sees every disk and hence knows what was chosen even where nobody has learned of it.
 */
import { compareBallots, isFast, type Ballot } from '../../../membership/ballot.ts'
import { cutDigest, type Configuration, type Cut, type CutDigest, type MemberId } from '../../../membership/configuration.ts'
import {
  checkDecision, Consensus, validateConsensusMessage, validateConsensusRecord,
  type ConsensusEffect, type ConsensusInput, type ConsensusMessage, type ConsensusOptions, type ConsensusRecord, type Decision
} from '../../../membership/consensus.ts'
import { classicQuorum, fastQuorum } from '../../../membership/quorum.ts'

export interface Faults {
  /** Chance that a message is lost, and that it arrives twice. */
  loss: number
  duplication: number
  /** A message takes from 1 to this many milliseconds, and so messages overtake each other. */
  delayMaxMs: number
  /** A write takes from 0 to this many milliseconds. */
  diskMaxMs: number
}

export const CALM: Readonly<Faults> = { loss: 0, duplication: 0, delayMaxMs: 1, diskMaxMs: 0 }

interface Node {
  readonly id: MemberId
  core: Consensus | undefined
  /** It answers for the process that it was before. */
  isFormer: boolean
  /** Rises with each crash; events of earlier lives are dropped. */
  life: number
  /** What is durable, and what is being written, oldest first. */
  disk: ConsensusRecord | undefined
  readonly writing: ConsensusRecord[]
  timerAtMs: number | undefined
  decision: Decision | undefined
}

const digests = new WeakMap<Cut, CutDigest>()

/** The digest of a cut; each object is hashed once. */
function digestOf (cut: Cut): CutDigest {
  const known = digests.get(cut)
  if (known !== undefined) return known
  const digest = cutDigest(cut)
  digests.set(cut, digest)
  return digest
}

interface Event { readonly atMs: number, readonly order: number, readonly run: () => void }

/** A copy that shares no bytes with the message. What it shares otherwise is immutable. */
function copyOf (message: ConsensusMessage): ConsensusMessage {
  if (message.kind === 'accepted') return { ...message, bitmap: message.bitmap.slice() }
  if (message.kind !== 'votes') return message
  return { ...message, proposals: message.proposals.map(proposal => ({ ...proposal, bitmap: proposal.bitmap.slice() })) }
}

/** What all disks together say, checked as it changes. */
class Observer {
  readonly #configuration: Configuration
  readonly #votes = new Map<CutDigest, Set<MemberId>>()
  readonly #accepted = new Map<string, { readonly ballot: Ballot, readonly digest: CutDigest, readonly by: Set<MemberId> }>()
  readonly #last = new Map<MemberId, ConsensusRecord>()
  chosen: { readonly digest: CutDigest, readonly ballot: Ballot } | undefined

  constructor (configuration: Configuration) {
    this.#configuration = configuration
  }

  /** Sees a record become durable. */
  see (member: MemberId, record: ConsensusRecord): void {
    const last = this.#last.get(member)
    const vote = record.vote === null ? undefined : digestOf(record.vote)
    if (last !== undefined) {
      if (compareBallots(record.promised, last.promised) < 0) throw new Error(`Invariant 4: the promise of ${member} fell.`)
      if (last.vote !== null && digestOf(last.vote) !== vote) throw new Error(`Invariant 4: ${member} changed its vote.`)
      if (last.vote === null && vote !== undefined && !isFast(last.promised)) throw new Error(`Invariant 4: ${member} voted after a promise.`)
    }
    this.#last.set(member, record)
    const size = this.#configuration.members.length
    if (vote !== undefined) {
      const voters = this.#votes.get(vote) ?? new Set()
      this.#votes.set(vote, voters.add(member))
      if (voters.size >= fastQuorum(size)) this.#choose(vote, { round: 0, member: 0 })
    }
    if (record.accepted === null) return
    const { ballot, cut } = record.accepted
    const key = `${ballot.round}.${ballot.member}`
    const digest = digestOf(cut)
    const entry = this.#accepted.get(key) ?? { ballot, digest, by: new Set<MemberId>() }
    if (entry.digest !== digest) throw new Error(`Invariant 6: ballot ${key} has two values.`)
    this.#accepted.set(key, entry)
    entry.by.add(member)
    if (entry.by.size >= classicQuorum(size)) this.#choose(digest, ballot)
    if (this.chosen !== undefined && compareBallots(ballot, this.chosen.ballot) > 0 && digest !== this.chosen.digest) {
      throw new Error(`Invariant 5: ballot ${key} carries another value than the chosen one.`)
    }
  }

  #choose (digest: CutDigest, ballot: Ballot): void {
    if (this.chosen !== undefined && this.chosen.digest !== digest) throw new Error('Invariant 5: two values were chosen.')
    if (this.chosen === undefined || compareBallots(ballot, this.chosen.ballot) < 0) this.chosen = { digest, ballot }
  }
}

export class Network {
  readonly configuration: Configuration
  readonly faults: Faults
  readonly observer: Observer
  readonly proposed = new Set<CutDigest>()
  /** Every message delivered, by kind. */
  readonly delivered = new Map<string, number>()
  now = 0
  readonly #random: () => number
  readonly #options: ConsensusOptions
  readonly #nodes: Node[]
  readonly #events: Event[] = []
  readonly #cut = new Set<string>()
  #order = 0
  #steps = 0

  constructor (configuration: Configuration, random: () => number, faults: Readonly<Faults> = CALM, options: ConsensusOptions = {}) {
    this.configuration = configuration
    this.faults = { ...faults }
    this.observer = new Observer(configuration)
    this.#random = random
    this.#options = options
    this.#nodes = configuration.members.map(({ id }) => ({
      id, core: new Consensus({ configuration, self: id }, options), isFormer: false, life: 0, disk: undefined, writing: [], timerAtMs: undefined,
      decision: undefined
    }))
  }

  at (atMs: number, run: () => void): void {
    // A sorted insert: there are a few hundred events at a time.
    const event = { atMs: Math.max(atMs, this.now), order: this.#order++, run }
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#events[middle]!.atMs > event.atMs) low = middle + 1
      else high = middle
    }
    this.#events.splice(low, 0, event)
  }

  /** Runs until `untilMs`, or until `done`, or until nothing is left to happen. */
  run (untilMs: number, done: () => boolean = () => false): void {
    for (let event = this.#events.at(-1); event !== undefined && event.atMs <= untilMs && !done(); event = this.#events.at(-1)) {
      this.#events.pop()
      this.now = event.atMs
      event.run()
    }
  }

  propose (index: number, cut: Cut): void {
    if (this.#nodes[index]!.core === undefined) return
    this.proposed.add(digestOf(cut))
    this.#apply(index, { kind: 'propose', cut })
  }

  /** Whether the process that runs answers for a former one. */
  isFormer (index: number): boolean { return this.#nodes[index]!.isFormer }

  /** A former self decides what it offers, unless something may have been chosen. */
  restore (index: number, cut: Cut): void {
    if (this.#nodes[index]!.core === undefined) return
    this.proposed.add(digestOf(cut))
    this.#apply(index, { kind: 'offer', cut })
    this.#apply(index, { kind: 'recover' })
  }

  suspect (index: number, members: readonly number[]): void {
    this.#apply(index, { kind: 'suspects', members: new Set(members.map(member => this.#nodes[member]!.id)) })
  }

  isUp (index: number): boolean { return this.#nodes[index]!.core !== undefined }
  decisionOf (index: number): Decision | undefined { return this.#nodes[index]!.decision }
  core (index: number): Consensus { return this.#nodes[index]!.core! }

  /** Loses memory and a random suffix of the writes that are not finished. */
  crash (index: number): void {
    const node = this.#nodes[index]!
    node.core = undefined
    node.life++
    const kept = Math.floor(this.#random() * (node.writing.length + 1))
    for (const record of node.writing.splice(0).slice(0, kept)) this.#store(node, record)
  }

  /** Comes back with what is on disk. @param isFormer as another process, which answers for the one it was (rule M4) */
  restart (index: number, isFormer = false): void {
    const node = this.#nodes[index]!
    if (node.core !== undefined) return
    const durable = node.disk === undefined ? {} : { durable: validateConsensusRecord(structuredClone(node.disk)) }
    node.core = new Consensus({ configuration: this.configuration, self: node.id, isFormer, ...durable }, this.#options)
    node.isFormer = isFormer
    node.timerAtMs = undefined
    // A former self waits until it is told to recover.
    if (node.decision === undefined && !isFormer) this.#apply(index, { kind: 'timer' })
  }

  /** Cuts or mends one direction of one link. */
  setLink (from: number, to: number, up: boolean): void {
    if (up) this.#cut.delete(`${from}>${to}`)
    else this.#cut.add(`${from}>${to}`)
  }

  #apply (index: number, input: ConsensusInput): void {
    const node = this.#nodes[index]!
    if (node.core === undefined || node.decision !== undefined) return
    const effects = node.core.apply(this.now, input)
    // Checking costs more than the step itself does; every few steps find a break as well, since most of them last.
    if (this.#steps++ % 8 === 0 || node.core.decision !== undefined) node.core.invariants()
    for (const effect of effects) this.#carryOut(index, node, effect)
  }

  #carryOut (index: number, node: Node, effect: ConsensusEffect): void {
    const { life } = node
    const ifAlive = (run: () => void) => () => { if (node.life === life) run() }
    switch (effect.kind) {
      case 'persist': {
        node.writing.push(effect.record)
        const finish = (): void => {
          // Writes become durable in order: a later one is never finished before an earlier one.
          for (let i = node.writing.indexOf(effect.record); i >= 0; i--) this.#store(node, node.writing.shift()!)
          this.#apply(index, { kind: 'persisted', token: effect.token })
        }
        return this.at(this.now + this.#random() * this.faults.diskMaxMs, ifAlive(finish))
      }
      case 'send': return this.#transmit(index, this.#nodes.findIndex(({ id }) => id === effect.to), effect.message)
      case 'broadcast': return this.#nodes.forEach((_, to) => { if (to !== index) this.#transmit(index, to, effect.message) })
      case 'timer':
        node.timerAtMs = effect.atMs
        return this.at(effect.atMs, ifAlive(() => {
          if (node.timerAtMs !== effect.atMs) return
          node.timerAtMs = undefined
          this.#apply(index, { kind: 'timer' })
        }))
      case 'decide': return this.#decide(node, effect.decision)
    }
  }

  #transmit (from: number, to: number, message: ConsensusMessage): void {
    if (this.#random() < this.faults.loss || this.#cut.has(`${from}>${to}`)) return
    const sent = copyOf(message)
    const copies = this.#random() < this.faults.duplication ? 2 : 1
    for (let i = 0; i < copies; i++) {
      this.at(this.now + 1 + this.#random() * (this.faults.delayMaxMs - 1), () => this.#arrive(from, to, copyOf(sent)))
    }
  }

  #arrive (from: number, to: number, received: unknown): void {
    const node = this.#nodes[to]!
    if (node.core === undefined) return
    const message = validateConsensusMessage(received)
    this.delivered.set(message.kind, (this.delivered.get(message.kind) ?? 0) + 1)
    const { decision } = node
    if (decision !== undefined) {
      // Whoever is behind gets the decision as the reply (rule M2).
      if (this.#random() >= this.faults.loss && !this.#cut.has(`${to}>${from}`)) {
        this.at(this.now + 1, () => { if (this.isUp(from)) this.#decide(this.#nodes[from]!, decision) })
      }
      return
    }
    this.#apply(to, { kind: 'message', from: this.#nodes[from]!.id, message })
  }

  #store (node: Node, record: ConsensusRecord): void {
    node.disk = record
    this.observer.see(node.id, record)
  }

  #decide (node: Node, decision: Decision): void {
    if (node.decision !== undefined) return
    checkDecision(this.configuration, decision)
    if (!this.proposed.has(decision.digest)) throw new Error('A value was decided that nobody proposed.')
    for (const other of this.#nodes) {
      if (other.decision !== undefined && other.decision.digest !== decision.digest) throw new Error('Invariant 1: two decisions.')
    }
    if (this.observer.chosen?.digest !== decision.digest) throw new Error('Invariant 3: a decision that the disks do not bear out.')
    node.decision = decision
  }
}
