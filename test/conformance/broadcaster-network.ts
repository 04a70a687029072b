/**
 * A cluster of broadcasters of one configuration, on a network that a test commands: it delivers, loses, doubles and delays
 * messages, runs each broadcaster when it asks for it, and watches what each of them sends and promises.
 *
 * Messages are encoded when they are sent and decoded for each receiver, as on the wire. What a member knows is what it originated
 * and what was delivered to it.
 *
 * Pure: the time is the network's own.
 */
import { bitIndexes } from '../../membership/bitmap.ts'
import type { Broadcaster, BroadcasterFactory, BroadcastMessage } from '../../membership/broadcaster.ts'
import type { MemberId } from '../../membership/configuration.ts'
import type { ConsensusMessage } from '../../membership/consensus-messages.ts'
import { validateMessage } from '../../membership/message-validation.ts'
import { LAN, type MembershipTuning } from '../../membership/tuning.ts'
import { bitsOf, type Report } from '../../membership/reports.ts'
import { decodeMessage, encodeMessage } from '../../membership/transport/message-codec.ts'
import { View } from '../../membership/view.ts'
import { EventQueue } from '../sim/event-queue.ts'
import { makeConfiguration } from '../unit/membership/fixtures.ts'

/** More than that in one network, and something talks in circles. */
const SENDS_MAX = 20_000
/** One hop, unless the link says otherwise. */
const DELAY_MS = 1

/** After how long copies of a message arrive: none for a lost one, several for duplicates. */
export type Link = (from: number, to: number) => readonly number[]

export const reliable: Link = () => [DELAY_MS]

export interface Sent {
  readonly from: number
  readonly to: readonly MemberId[]
  readonly message: BroadcastMessage
  readonly atMs: number
}

/** What a message tells of one fact. A joiner's report means nothing to a member that was never told the record. */
interface Fact {
  readonly text: string
  readonly record?: string
}

/** What a message tells, as one text per fact, so that what is merged on the way can be compared. */
export function factsOf (message: BroadcastMessage): string[] {
  return detailsOf(message).map(({ text }) => text)
}

function detailsOf (message: BroadcastMessage): Fact[] {
  return message.kind === 'alerts' ? message.reports.flatMap(factsOfReport) : factsOfConsensus(message.message).map(text => ({ text }))
}

function factsOfConsensus (inner: ConsensusMessage): string[] {
  switch (inner.kind) {
    case 'votes':
      return inner.proposals.flatMap(({ digest, bitmap, cut }) => {
        return [...bitIndexes(bitmap).map(bit => `vote ${digest} ${bit}`), ...cut === undefined ? [] : [`cut ${digest}`]]
      })
    case 'accepted':
      return bitIndexes(inner.bitmap).map(bit => `accepted ${inner.ballot.round} ${inner.ballot.member} ${inner.digest} ${bit}`)
    case 'prepare':
      return [`prepare ${inner.ballot.round} ${inner.ballot.member}`]
    default:
      return [`${inner.kind} is not broadcast`]
  }
}

function factsOfReport ({ status, attempt, subject, record, joiner, observers }: Report): Fact[] {
  const told = joiner === undefined ? [] : [{ text: `record ${record}` }]
  return [...told, ...bitsOf(observers).map(bit => ({
    text: `${status} ${record ?? subject} ${attempt} ${bit}`,
    ...status === 'join' && record !== undefined ? { record } : {}
  }))]
}

const received = (bytes: Uint8Array): BroadcastMessage => validateMessage(decodeMessage(bytes)) as BroadcastMessage

export class BroadcastNetwork {
  readonly views: readonly View[]
  readonly broadcasters: readonly Broadcaster[]
  /** By member. */
  readonly known: readonly Set<string>[]
  /** All that was originated, as facts. */
  readonly told = new Set<string>()
  readonly sent: Sent[] = []
  /** Each delivery, in order. */
  readonly delivered: { readonly to: number, readonly via: MemberId, readonly bytes: Uint8Array }[] = []
  readonly tuning: MembershipTuning
  link: Link = reliable
  now = 0
  readonly #index: ReadonlyMap<MemberId, number>
  readonly #events = new EventQueue()
  #another = 0
  /** Messages that are somebody else's, as they were when they were handed over. */
  #frozen: { readonly what: string, readonly message: BroadcastMessage, readonly bytes: Uint8Array }[] | undefined

  constructor (factory: BroadcasterFactory, size: number, tuning: MembershipTuning = LAN) {
    this.tuning = tuning
    const configuration = makeConfiguration(size)
    this.views = configuration.members.map(member => new View(configuration, member, tuning.ringCount))
    this.#index = new Map(configuration.members.map(({ id }, index) => [id, index]))
    this.known = this.views.map(() => new Set<string>())
    this.broadcasters = this.views.map((view, from) => factory(view, tuning, (to, message) => { this.#send(from, to, message) }))
    for (const index of this.views.keys()) this.#watch(index)
  }

  get size (): number {
    return this.views.length
  }

  originate (from: number, message: BroadcastMessage): void {
    for (const fact of factsOf(message)) {
      this.told.add(fact)
      this.known[from]!.add(fact)
    }
    this.#freeze('originated', message)
    this.#call(from, broadcaster => { broadcaster.originate(this.now, message) })
  }

  relay (to: number, via: MemberId | undefined, message: BroadcastMessage): void {
    this.#freeze('delivered', message)
    this.#call(to, broadcaster => { broadcaster.relay(this.now, via, message) })
  }

  /** Everything that was delivered so far arrives once more. */
  repeatDeliveries (): void {
    for (const { to, via, bytes } of [...this.delivered]) this.relay(to, via, received(bytes))
  }

  flush (index: number): void {
    this.broadcasters[index]!.flush()
    this.#watch(index)
  }

  /** Goes on until a time, or until nothing is under way and nobody waits for anything. */
  run (untilMs = Infinity): void {
    for (;;) {
      const next = Math.min(this.#events.peek()?.timeMs ?? Infinity, ...this.broadcasters.map(({ nextAtMs }) => nextAtMs))
      if (next === Infinity || next > untilMs) {
        if (untilMs !== Infinity) this.now = untilMs
        return
      }
      this.now = Math.max(this.now, next)
      while ((this.#events.peek()?.timeMs ?? Infinity) <= this.now) this.#events.pop()!.run?.()
      // Those that are due, and one more at any rate, which is to do nothing before its time.
      const another = this.#another++ % this.size
      for (const [index, { nextAtMs }] of this.broadcasters.entries()) if (nextAtMs <= this.now || index === another) this.#advance(index)
    }
  }

  /** What of all that was originated a member does not know, without what `ignored` names. */
  missing (index: number, ignored = /^$/): string[] {
    return [...this.told].filter(fact => !ignored.test(fact) && !this.known[index]!.has(fact))
  }

  /** What members know that nobody ever said. */
  get inventions (): string[] {
    return [...new Set(this.known.flatMap(facts => [...facts].filter(fact => !this.told.has(fact))))]
  }

  /** Messages that arrive at somebody, a frame to ten counted as ten. */
  get frames (): number {
    return this.sent.reduce((sum, { to }) => sum + to.length, 0)
  }

  /** From now on, messages are remembered as they are when they are handed over. */
  freeze (): void {
    this.#frozen = []
  }

  /** @throws when a message was changed by who sent it, or by who was handed it. */
  verifyFrozen (): void {
    for (const { what, message, bytes } of this.#frozen!) {
      if (Buffer.compare(encodeMessage(message), bytes) !== 0) throw new Error(`a message was changed after it was ${what}: ${JSON.stringify(message)}`)
    }
  }

  #freeze (what: string, message: BroadcastMessage): void {
    this.#frozen?.push({ what, message, bytes: encodeMessage(message) })
  }

  /** As a member does: whatever happens, what is due is done afterwards. */
  #call (index: number, input: (broadcaster: Broadcaster) => void): void {
    input(this.broadcasters[index]!)
    this.#watch(index)
    this.#advance(index)
  }

  #advance (index: number): void {
    const broadcaster = this.broadcasters[index]!
    const dueAtMs = broadcaster.nextAtMs
    const sentBefore = this.sent.length
    broadcaster.advance(this.now)
    this.#watch(index)
    const something = this.sent.length > sentBefore || broadcaster.nextAtMs !== dueAtMs
    if (dueAtMs > this.now && something) throw new Error(`advanced at ${this.now} ms it did something that was due at ${dueAtMs} ms`)
    if (dueAtMs <= this.now && !something) throw new Error(`it asked to be advanced at ${dueAtMs} ms, and had nothing to do`)
    if (broadcaster.nextAtMs <= this.now) throw new Error(`advanced at ${this.now} ms, it wants to be advanced at ${broadcaster.nextAtMs} ms`)
  }

  #watch (index: number): void {
    if (Number.isNaN(this.broadcasters[index]!.nextAtMs)) throw new Error('nextAtMs is not a number')
  }

  #send (from: number, to: readonly MemberId[], message: BroadcastMessage): void {
    if (this.sent.length >= SENDS_MAX) throw new Error(`more than ${SENDS_MAX} messages were sent by ${this.now} ms`)
    const self = this.views[from]!
    if (to.includes(self.self.id)) throw new Error('it sends to itself')
    if (new Set(to).size < to.length) throw new Error('it sends one message twice to somebody')
    const receivers = to.map(id => this.#index.get(id))
    if (receivers.includes(undefined)) throw new Error('it sends to somebody who is no member')
    const { position } = message
    if (position.epoch !== self.position.epoch || position.configurationId !== self.position.configurationId) throw new Error('it sends in the name of another configuration')
    if (this.#index.get(message.sender.id) === undefined) throw new Error('it sends in the name of somebody who is no member')
    // What a receiver would drop is as good as not sent.
    validateMessage(message)
    this.sent.push({ from, to: [...to], message, atMs: this.now })
    this.#freeze('sent', message)
    const bytes = encodeMessage(message)
    const facts = detailsOf(received(bytes))
    for (const receiver of receivers) for (const delayMs of this.link(from, receiver!)) this.#deliver(from, receiver!, bytes, facts, delayMs)
  }

  #deliver (from: number, to: number, bytes: Uint8Array, facts: readonly Fact[], delayMs: number): void {
    this.#events.add(this.now + delayMs, undefined, () => {
      const message = received(bytes)
      const via = this.views[from]!.self.id
      this.#learn(to, facts)
      this.delivered.push({ to, via, bytes })
      this.relay(to, via, message)
    })
  }

  #learn (to: number, facts: readonly Fact[]): void {
    const known = this.known[to]!
    for (const { text, record } of facts) if (record === undefined || known.has(`record ${record}`)) known.add(text)
  }
}
