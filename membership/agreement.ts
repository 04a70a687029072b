/**
 * Agreement: the consensus of one configuration, run on the outbox of a process.
 *
 * Rapid (Suresh et al., ATC '18), section 4.3. It carries out what `Consensus` asks for: its records become durable under tokens of the outbox
 * (rule M4), its timer is one of several that wake the process, a message that makes no sense is refused with a warning. Used by
 * members (`member-core.ts`) and by those that answer for the id of a former process (`restart-former.ts`).
 *
 * Pure: the time is an argument.
 */
import type { Configuration, MemberId } from './configuration.ts'
import { Consensus, type ConsensusInput, type ConsensusMessage, type ConsensusRecord, type Decision } from './consensus.ts'
import type { Outbox } from './effects.ts'
import { Electorate } from './electorate.ts'
import { MembershipError } from './errors.ts'
import type { MembershipTuning } from './tuning.ts'

export interface AgreementComponents {
  readonly configuration: Configuration
  /** The member that this process answers for: itself, or the one it was before it started again. */
  readonly self: MemberId
  /** It is the one it was before. @default false */
  readonly isFormer?: boolean
  /** What that member's former process left behind. */
  readonly durable?: ConsensusRecord | undefined
  readonly tuning: MembershipTuning
  readonly out: Pick<Outbox<unknown>, 'persist' | 'warn' | 'counters'>
}

export interface AgreementHost {
  send (to: MemberId, message: ConsensusMessage): void
  /** To every other member. */
  broadcast (message: ConsensusMessage): void
  /** Once. Make it durable before anyone hears of it. */
  decided (decision: Decision): void
}

export class Agreement {
  readonly #consensus: Consensus
  /** The index in the electorate of the member that this process answers for. */
  readonly #self: number
  readonly #out: AgreementComponents['out']
  readonly #host: AgreementHost
  /** Tokens of the outbox under which records become durable: the tokens of consensus. */
  readonly #records = new Map<number, number>()
  #timerAtMs = Infinity

  constructor ({ configuration, self, isFormer = false, durable, tuning, out }: AgreementComponents, host: AgreementHost) {
    const { recoveryTimeoutMs, recoveryRankDelayMs: rankDelayMs } = tuning
    const components = { configuration, self, isFormer, ...durable === undefined ? {} : { durable } }
    this.#consensus = new Consensus(components, { recoveryTimeoutMs, rankDelayMs })
    this.#self = Electorate.of(configuration).indexOf(self)
    this.#out = out
    this.#host = host
  }

  /** @throws {MembershipError} MEMBERSHIP_CONFLICT when members have broken the protocol: stop. */
  apply (now: number, input: ConsensusInput): void {
    const { counters } = this.#out
    const { votesKnown } = this.#consensus
    const effects = this.#consensus.apply(now, input)
    counters.votesHeard += this.#consensus.votesKnown - votesKnown
    for (const effect of effects) {
      switch (effect.kind) {
        case 'persist':
          this.#records.set(this.#out.persist({ kind: 'acceptor', record: effect.record }), effect.token)
          break
        case 'send':
          this.#host.send(effect.to, effect.message)
          break
        case 'broadcast':
          // Both are said to everybody once, and again to some.
          if (effect.message.kind === 'votes') counters.votesCast++
          else if (effect.message.kind === 'prepare') counters.ballotsBegun++
          this.#host.broadcast(effect.message)
          break
        case 'timer':
          this.#timerAtMs = effect.atMs
          break
        case 'decide':
          if (!effect.decision.fast && effect.decision.ballot.member === this.#self) counters.ballotsWon++
          this.#host.decided(effect.decision)
          break
      }
    }
  }

  /** What does not make sense in this configuration is refused; a member that votes twice is another matter, and stops us. */
  hear (now: number, from: MemberId, message: ConsensusMessage): void {
    try {
      this.apply(now, { kind: 'message', from, message })
    } catch (error) {
      if (!(error instanceof MembershipError) || error.code !== 'MEMBERSHIP_INVALID_MESSAGE') throw error
      this.#out.counters.messagesRefused++
      this.#out.warn('refused a message of consensus', { from, reason: error.message })
    }
  }

  /** A record is durable; tokens of others are ignored. */
  persisted (now: number, token: number): void {
    const record = this.#records.get(token)
    if (record === undefined) return
    this.#records.delete(token)
    this.apply(now, { kind: 'persisted', token: record })
  }

  advance (now: number): void {
    if (now < this.#timerAtMs) return
    this.#timerAtMs = Infinity
    this.apply(now, { kind: 'timer' })
  }

  get nextAtMs (): number {
    return this.#timerAtMs
  }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {
    this.#consensus.invariants()
  }
}
