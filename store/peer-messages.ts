/**
 * What one store says to another in one turn of the event loop, as one message of the transport.
 *
 * Hundreds of partitions say nearly the same in a turn, so the cluster, the sender and the ballots are told once, and the kinds that every
 * write needs (`append`, `appended`) travel as lists of numbers instead of objects with names. All others go as they are.
 *
 * A packed message is `[partition, 0, message]`, or one of
 *
 *     [partition, 1, generation, ballot, previous ballot, previous seq, commit, settled, entries, run]    append
 *     [partition, 2, generation, ballot, run, seq, commit, settled, lease or null, true if unsynced]      appended
 *
 * with ballots as indexes into the table of the packet. The entries are `[ballot, body, ballot, body, ...]`, numbered from the one after the
 * previous on, each body as the bytes that the log has (see group/body-codec.ts).
 *
 * Pure.
 */
import type { BodyBytes } from './body-bytes.ts'
import { StoreError } from './errors.ts'
import { decodeBody } from './group/body-codec.ts'
import { type Ballot, compareBallots, type Entry, type EntryBody } from './group/history.ts'
import { integer, MESSAGE_LIMITS, name, validateAppend, validateBallot, validateGroupMessage, validateTrue } from './group/message-checks.ts'
import type { GroupMessage } from './group/messages.ts'

/** All that one store sends another in a turn, or as much of it as fits. */
export interface Packet {
  readonly ballots: readonly Ballot[]
  readonly messages: readonly unknown[]
}

export interface Addressed { readonly partition: number, readonly message: GroupMessage }

const PLAIN = 0
const APPEND = 1
const APPENDED = 2

/** Partitions are counted in 16 bits. */
const PARTITIONS_MAX = 65_536
/** Messages in one packet, at most: a few for each partition. */
export const PACKET_MESSAGES_MAX = 4 * PARTITIONS_MAX

const fail = (what: string): never => { throw new StoreError('STORE_INVALID_MESSAGE', `not a valid packet: ${what}`) }

export class PacketBuilder {
  readonly #ballots: Ballot[] = []
  readonly #messages: unknown[] = []
  readonly #bodies: BodyBytes

  constructor (bodies: BodyBytes) {
    this.#bodies = bodies
  }

  add (partition: number, message: GroupMessage): void {
    this.#messages.push(this.#pack(partition, message))
  }

  build (): Packet {
    return { ballots: this.#ballots, messages: this.#messages }
  }

  #pack (partition: number, message: GroupMessage): unknown[] {
    switch (message.kind) {
      case 'append': {
        const { generation, ballot, run, prev, commit, settled, entries } = message
        const packed: unknown[] = []
        for (const entry of entries) packed.push(this.#ballot(entry.ballot), this.#bodies.of(entry.body))
        return [partition, APPEND, generation, this.#ballot(ballot), this.#ballot(prev.ballot), prev.seq, commit, settled, packed, run]
      }
      case 'appended': {
        const { generation, ballot, run, seq, commit, settled, lease, unsynced } = message
        const packed: unknown[] = [partition, APPENDED, generation, this.#ballot(ballot), run, seq, commit, settled, lease ?? null]
        if (unsynced !== undefined) packed.push(unsynced)
        return packed
      }
      default: return [partition, PLAIN, message]
    }
  }

  /** A turn knows few ballots, most of them of the store itself; the last one named is the likeliest. */
  #ballot (ballot: Ballot): number {
    const ballots = this.#ballots
    for (let index = ballots.length - 1; index >= 0; index--) {
      const known = ballots[index]!
      if (known === ballot || compareBallots(known, ballot) === 0) return index
    }
    return ballots.push(ballot) - 1
  }
}

/**
 * What arrived from another store, checked.
 * @param bodies takes the bytes of the entries, for the log; of a packet that is refused it keeps nothing, for no turn may follow
 * @param partitions how many there are
 * @throws {StoreError} STORE_INVALID_MESSAGE
 */
export function unpack (value: unknown, bodies: BodyBytes, partitions = PARTITIONS_MAX): Addressed[] {
  const { ballots, messages } = (value ?? {}) as { readonly ballots?: unknown, readonly messages?: unknown }
  if (!Array.isArray(ballots) || !Array.isArray(messages)) return fail('no lists')
  if (messages.length > PACKET_MESSAGES_MAX) return fail('too many messages')
  const table = ballots.map(validateBallot)
  try {
    return messages.map(message => unpackMessage(table, message, bodies, partitions))
  } catch (error) {
    bodies.clear()
    throw error
  }
}

function unpackMessage (table: readonly Ballot[], value: unknown, bodies: BodyBytes, partitions: number): Addressed {
  if (!Array.isArray(value)) return fail('a message')
  const partition = integer(value[0], 'a partition')
  if (partition >= partitions) return fail('a partition')
  switch (value[1]) {
    case PLAIN: return { partition, message: validateGroupMessage(value[2]) }
    case APPEND: {
      const packed: unknown = value[8]
      if (!Array.isArray(packed) || packed.length % 2 !== 0 || packed.length > 2 * MESSAGE_LIMITS.entriesMax) return fail('entries')
      const seq = integer(value[5], 'a sequence number')
      const entries: Entry[] = []
      for (let index = 0; index < packed.length; index += 2) {
        entries.push({ seq: seq + 1 + entries.length, ballot: ballotAt(table, packed[index]), body: unpackBody(packed[index + 1], bodies) })
      }
      return {
        partition,
        message: validateAppend({
          kind: 'append',
          generation: integer(value[2], 'a generation'),
          ballot: ballotAt(table, value[3]),
          run: integer(value[9], 'an incarnation'),
          prev: { ballot: ballotAt(table, value[4]), seq },
          entries,
          commit: integer(value[6], 'a commit'),
          settled: integer(value[7], 'an epoch')
        })
      }
    }
    case APPENDED: {
      const lease = value[8] === null ? {} : { lease: name(value[8], 'the number of a lease') }
      const unsynced = value[9] === undefined ? {} : { unsynced: validateTrue(value[9], 'unsynced') }
      return {
        partition,
        message: {
          kind: 'appended',
          generation: integer(value[2], 'a generation'),
          ballot: ballotAt(table, value[3]),
          run: integer(value[4], 'an incarnation'),
          seq: integer(value[5], 'a sequence number'),
          commit: integer(value[6], 'a commit'),
          settled: integer(value[7], 'an epoch'),
          ...lease,
          ...unsynced
        }
      }
    }
    default: return fail('the kind of a message')
  }
}

function unpackBody (value: unknown, bodies: BodyBytes): EntryBody {
  if (!(value instanceof Uint8Array)) return fail('an entry')
  const body = decodeBody(value)
  bodies.received(body, value)
  return body
}

const ballotAt = (table: readonly Ballot[], index: unknown): Ballot => (typeof index === 'number' ? table[index] : undefined) ?? fail('a ballot')
