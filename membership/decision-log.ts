/**
 * The log of the last decisions: how a member that missed some sees the same sequence of configurations, late.
 *
 * Rule M12; the paper (section 4.3) leaves catching up to the implementation. A decision is passed on with its ballot and
 * voters, and whoever receives it checks that it follows the configuration it is in and that its quorum holds there.
 *
 * Pure.
 */
import { isFast } from './ballot.ts'
import { cutDigest, nextConfiguration, type Configuration, type MemberId } from './configuration.ts'
import { checkDecision, type Decision } from './consensus-decision.ts'
import { MembershipError } from './errors.ts'
import type { DecisionRecord, Position } from './messages.ts'

/** Decisions that a member remembers. A member that is further behind gets a whole configuration. */
export const LOG_LENGTH_MAX = 128

export class DecisionLog {
  /** Oldest first. Invariant: each one's previousId is the id of the one before it; length <= LOG_LENGTH_MAX. */
  #records: DecisionRecord[] = []

  append (record: DecisionRecord): void {
    const last = this.#records.at(-1)
    if (last !== undefined && last.id !== record.previousId) this.#records = []
    this.#records.push(record)
    if (this.#records.length > LOG_LENGTH_MAX) this.#records.shift()
  }

  /** The decisions that followed a position, oldest first; empty when the log does not reach back to it. */
  since (position: Position, countMax: number): DecisionRecord[] {
    const start = this.#records.findIndex(record => record.previousId === position.configurationId)
    return start < 0 ? [] : this.#records.slice(start, start + countMax)
  }

  /** The id that an epoch is known to have, or undefined. */
  idOf (epoch: number): string | undefined {
    return this.#records.find(record => record.epoch === epoch)?.id
  }

  /** Whether a decision in the log removed that member. Ids are used once: nobody with it comes back. */
  hasRemoved (member: MemberId): boolean {
    return this.#records.some(({ cut }) => cut.removals.includes(member))
  }
}

/** A decision as it is told and stored: with the configurations that it leads from and to. */
export function recordOf (previous: Configuration, next: Configuration, { cut, ballot, voters }: Decision): DecisionRecord {
  return { previousId: previous.id, epoch: next.epoch, id: next.id, cut, ballot, voters }
}

/**
 * The decision that a record claims was taken in `configuration`.
 * @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE when its quorum, its cut or the id it leads to do not check.
 */
export function verifyRecord (configuration: Configuration, record: DecisionRecord): Decision {
  const { cut, ballot, voters } = record
  const decision: Decision = { cut, digest: cutDigest(cut), ballot, voters, fast: isFast(ballot) }
  checkDecision(configuration, decision)
  const next = nextConfiguration(configuration, cut)
  if (record.previousId !== configuration.id || record.epoch !== next.epoch || record.id !== next.id) {
    throw new MembershipError('MEMBERSHIP_INVALID_MESSAGE', `A decision for epoch ${record.epoch} does not follow configuration ${configuration.id}.`)
  }
  return decision
}
