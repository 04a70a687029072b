/**
 * What the disks of a cluster say together, and whether each process only says what its disk bears out (rule M4).
 *
 * Checked after every event: invariants 1 to 6 on the level of the disks, where a decision shows that nobody ever told of, and a
 * promise that was forgotten. Checked at every message of consensus: what it tells of its sender was durable before.
 *
 * Owns: nothing; it reads the disks of the simulation.
 */
import { compareBallots, isFast, type Ballot } from '../../membership/ballot.ts'
import { hasBit } from '../../membership/bitmap.ts'
import {
  cutDigest, type Configuration, type ConfigurationId, type Cut, type CutDigest, type Member, type MemberId, type StoreId
} from '../../membership/configuration.ts'
import type { ConsensusRecord } from '../../membership/consensus.ts'
import { verifyRecord } from '../../membership/decision-log.ts'
import { CHANNELS, type Transport } from '../../membership/environment/environment.ts'
import type { ConsensusEnvelope, DecisionRecord, MembershipMessage } from '../../membership/messages.ts'
import { classicQuorum, fastQuorum } from '../../membership/quorum.ts'
import type { Disk } from './disk.ts'

const key = (name: string): Uint8Array => Buffer.from(name)
const CONFIGURATION = key('configuration')
const ORIGIN = key('origin')
const ACCEPTOR = key('acceptor')

const parse = <Value>(bytes: Uint8Array | undefined): Value | undefined =>
  bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString('utf8')) as Value

const votersOf = ({ members }: Configuration): Member[] => members.filter(({ role }) => role !== 'agent')

/** One store's disk, as it was last seen. */
interface Watched {
  disk: Disk
  /** The member id of the process that runs on it. */
  runs: () => MemberId
  content: Disk['content'] | undefined
  configuration: Configuration | undefined
  record: ConsensusRecord | undefined
  bytes: Uint8Array | undefined
}

/** What the acceptors of one configuration did, as far as it was ever durable. */
interface Instance {
  readonly votes: Map<CutDigest, Set<MemberId>>
  readonly ballots: Map<string, { readonly ballot: Ballot, readonly digest: CutDigest, readonly by: Set<MemberId> }>
  chosen: { digest: CutDigest, ballot: Ballot } | undefined
}

export class DiskOracle {
  readonly #stores = new Map<StoreId, Watched>()
  readonly #violated: (what: string) => void
  /** By epoch; and by id. Everything that was ever durable anywhere. */
  readonly #epochs = new Map<number, Configuration>()
  readonly #byId = new Map<ConfigurationId, Configuration>()
  readonly #instances = new Map<ConfigurationId, Instance>()
  /** What the disk of a member said last, by configuration and member: also after its store went on. */
  readonly #records = new Map<string, ConsensusRecord>()

  /** Messages of consensus so far. */
  messages = 0

  constructor (violated: (what: string) => void) {
    this.#violated = violated
  }

  /** Follows a store's disk, and what the process that starts on it says. */
  watch (store: StoreId, disk: Disk, transport: Transport, runs: () => MemberId): Transport {
    // What a process was writing when it crashed is its own doing.
    this.look()
    const before = this.#stores.get(store)
    const watched: Watched = before === undefined
      ? { disk, runs, content: undefined, configuration: undefined, record: undefined, bytes: undefined }
      : Object.assign(before, { disk, runs })
    this.#stores.set(store, watched)
    const hear = (channel: number, message: unknown): void => {
      if (channel === CHANNELS.membership) this.#hear(store, watched, message as MembershipMessage)
    }
    return new Proxy(transport, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        const method = value.bind(target) as (...values: unknown[]) => unknown
        if (name !== 'send' && name !== 'sendToAll') return method
        return (to: unknown, channel: number, message: unknown) => {
          hear(channel, message)
          return method(to, channel, message)
        }
      }
    })
  }

  /** What voters of a configuration have voted for or accepted: one of these was chosen, or may be where nothing was. */
  cutsIn ({ id }: Configuration): Cut[] {
    const cuts = new Map<CutDigest, Cut>()
    for (const [key, { vote, accepted }] of this.#records) {
      if (key.startsWith(`${id} `)) for (const cut of [vote, accepted?.cut ?? null]) if (cut !== null) cuts.set(cutDigest(cut), cut)
    }
    return [...cuts.values()]
  }

  /** Sees what changed on any disk. @throws {Error} when it cannot have. */
  look (): void {
    for (const [store, watched] of this.#stores) {
      const { content } = watched.disk
      if (content === watched.content) continue
      watched.content = content
      this.#seeConfiguration(store, watched)
      const bytes = content.get(ACCEPTOR)
      if (bytes === watched.bytes) continue
      watched.bytes = bytes
      watched.record = parse<ConsensusRecord>(bytes)
      if (watched.record !== undefined) this.#seeRecord(store, watched, watched.record)
    }
  }

  #seeConfiguration (store: StoreId, watched: Watched): void {
    const configuration = parse<Configuration>(watched.content!.get(CONFIGURATION))
    if (configuration === undefined || configuration.id === watched.configuration?.id) return
    if (watched.configuration !== undefined && configuration.epoch <= watched.configuration.epoch) throw new Error(`Invariant 2: ${store} went back to epoch ${configuration.epoch}`)
    watched.configuration = configuration
    const known = this.#epochs.get(configuration.epoch)
    if (known !== undefined && known.id !== configuration.id) throw new Error(`Invariant 1: two configurations are durable in epoch ${configuration.epoch}`)
    this.#epochs.set(configuration.epoch, configuration)
    this.#byId.set(configuration.id, configuration)
    const origin = parse<DecisionRecord>(watched.content!.get(ORIGIN))
    const previous = origin === undefined ? undefined : this.#byId.get(origin.previousId)
    if (origin === undefined || previous === undefined) return
    if (previous.epoch + 1 !== configuration.epoch) throw new Error(`Invariant 2: epoch ${configuration.epoch} follows epoch ${previous.epoch}`)
    // Throws unless a quorum of the configuration before decided it (invariant 3).
    verifyRecord(previous, origin)
    const chosen = this.#instances.get(previous.id)?.chosen
    if (chosen?.digest !== cutDigest(origin.cut)) throw new Error(`Invariant 3: epoch ${configuration.epoch} was decided, and the disks do not bear it out`)
  }

  #memberOf (store: StoreId, configuration: Configuration): MemberId | undefined {
    return configuration.members.find(({ storeId }) => storeId === store)?.id
  }

  #seeRecord (store: StoreId, watched: Watched, record: ConsensusRecord): void {
    const configuration = this.#byId.get(record.configurationId)
    const member = configuration === undefined ? undefined : this.#memberOf(store, configuration)
    if (configuration === undefined || member === undefined) throw new Error(`${store} takes part in a configuration that it does not have, or is not in`)
    const last = this.#records.get(`${configuration.id} ${member}`)
    const vote = record.vote === null ? undefined : cutDigest(record.vote)
    const before = last === undefined || last.vote === null ? undefined : cutDigest(last.vote)
    if (last !== undefined && compareBallots(record.promised, last.promised) < 0) throw new Error(`Invariant 4: the promise of ${member} fell`)
    if (before !== undefined && vote !== before) throw new Error(`Invariant 4: ${member} changed its vote`)
    if (before === undefined && vote !== undefined) {
      if (last !== undefined && !isFast(last.promised)) throw new Error(`Invariant 4: ${member} voted after a promise`)
      if (watched.runs() !== member) throw new Error(`Rule M4: ${watched.runs()} cast a vote as ${member}, which it was before it started again`)
    }
    this.#records.set(`${configuration.id} ${member}`, record)
    this.#count(configuration, member, vote, record)
  }

  #count (configuration: Configuration, member: MemberId, vote: CutDigest | undefined, record: ConsensusRecord): void {
    const instance = this.#instances.get(configuration.id) ?? { votes: new Map(), ballots: new Map(), chosen: undefined }
    this.#instances.set(configuration.id, instance)
    const voters = votersOf(configuration)
    if (!voters.some(({ id }) => id === member)) throw new Error(`Rule M13: ${member} is an agent and takes part in consensus`)
    if (vote !== undefined) {
      const by = instance.votes.get(vote) ?? new Set()
      instance.votes.set(vote, by.add(member))
      if (by.size >= fastQuorum(voters.length)) this.#choose(configuration, instance, vote, { round: 0, member: 0 })
    }
    if (record.accepted === null) return
    const { ballot, cut } = record.accepted
    const name = `${ballot.round}.${ballot.member}`
    const digest = cutDigest(cut)
    const entry = instance.ballots.get(name) ?? { ballot, digest, by: new Set<MemberId>() }
    if (entry.digest !== digest) throw new Error(`Invariant 6: ballot ${name} of epoch ${configuration.epoch} has two values`)
    instance.ballots.set(name, entry)
    entry.by.add(member)
    if (entry.by.size >= classicQuorum(voters.length)) this.#choose(configuration, instance, digest, ballot)
    if (instance.chosen !== undefined && compareBallots(ballot, instance.chosen.ballot) > 0 && digest !== instance.chosen.digest) {
      throw new Error(`Invariant 5: ballot ${name} of epoch ${configuration.epoch} carries another value than the chosen one`)
    }
  }

  #choose (configuration: Configuration, instance: Instance, digest: CutDigest, ballot: Ballot): void {
    if (instance.chosen !== undefined && instance.chosen.digest !== digest) throw new Error(`Invariant 5: two values were chosen in epoch ${configuration.epoch}`)
    if (instance.chosen === undefined || compareBallots(ballot, instance.chosen.ballot) < 0) instance.chosen = { digest, ballot }
  }

  /** What a process says of itself in consensus must be on its disk, or on what its disk went on to. */
  #hear (store: StoreId, watched: Watched, message: MembershipMessage): void {
    if (!('sender' in message)) return
    this.look()
    if (message.position.epoch > (watched.configuration?.epoch ?? 0)) {
      this.#violated(`Rule M4: ${store} tells of epoch ${message.position.epoch}, which is not on its disk`)
    }
    if (message.kind !== 'consensus') return
    this.messages++
    const configuration = this.#byId.get(message.position.configurationId)
    if (configuration === undefined) return this.#violated(`${store} speaks of a configuration that is durable nowhere`)
    const member = this.#speaker(store, configuration, message)
    const record = this.#records.get(`${configuration.id} ${member}`)
    const gap = member === undefined ? 'it is not in that configuration' : this.#unborne(configuration, member, record, message)
    if (gap !== undefined) this.#violated(`Rule M4: ${store} says in epoch ${configuration.epoch} what its disk does not: ${gap}`)
  }

  /**
   * Whose word a message is. Votes and acceptances are merged on their way, so whoever passes them on says them, too; of what is passed on as
   * it is, only the first sender says anything. A process that has started again speaks for what its store was, too.
   */
  #speaker (store: StoreId, configuration: Configuration, { sender, message }: ConsensusEnvelope): MemberId | undefined {
    const isMerged = message.kind === 'votes' || message.kind === 'accepted'
    const isOthers = !isMerged && configuration.members.some(({ id, storeId }) => id === sender.id && storeId !== store)
    return isOthers ? sender.id : this.#memberOf(store, configuration)
  }

  #unborne (configuration: Configuration, member: MemberId, record: ConsensusRecord | undefined, { message }: ConsensusEnvelope): string | undefined {
    const index = votersOf(configuration).findIndex(({ id }) => id === member)
    const vote = record?.vote == null ? undefined : cutDigest(record.vote)
    const promised = (ballot: Ballot): boolean => record !== undefined && compareBallots(record.promised, ballot) >= 0
    switch (message.kind) {
      case 'votes':
        return message.proposals.some(({ digest, bitmap }) => hasBit(bitmap, index) && digest !== vote) ? 'a vote' : undefined
      case 'prepare':
      case 'promise':
        if (message.kind === 'promise' && message.vote !== null && message.vote !== vote) return 'the vote of a promise'
        return promised(message.ballot) ? undefined : 'a promise'
      case 'accepted':
        return hasBit(message.bitmap, index) && !(record?.accepted != null && compareBallots(record.accepted.ballot, message.ballot) >= 0)
          ? 'an acceptance'
          : undefined
      default:
        return undefined
    }
  }
}
