/**
 * Checks consensus messages and records that came from elsewhere: what passes has exactly the declared shape.
 *
 * Whether bitmaps and ballots fit the configuration is checked by `Consensus`, which knows how many members there are.
 *
 * Pure.
 */
import { ROUND_MAX, type Ballot } from './ballot.ts'
import { countBits, type Bitmap } from './bitmap.ts'
import type { ConfigurationId, CutDigest } from './configuration.ts'
import type { ConsensusMessage, ConsensusRecord, ProposalVotes } from './consensus-messages.ts'
import { MEMBERS_MAX, bytes, cut, fields, id, invalid, list, natural } from './wire-checks.ts'

/** Proposals in one message of votes; an honest sender names the most voted ones. */
export const PROPOSALS_MAX = 64

function ballot (value: unknown, what: string): Ballot {
  const raw = fields(value, what)
  return { round: natural(raw['round'], `${what}.round`, ROUND_MAX), member: natural(raw['member'], `${what}.member`, MEMBERS_MAX - 1) }
}

function classicBallot (value: unknown, what: string): Ballot {
  const checked = ballot(value, what)
  return checked.round > 0 ? checked : invalid(`${what} is the fast round`)
}

function bitmap (value: unknown, what: string): Bitmap {
  const checked = bytes(value, what, Math.ceil(MEMBERS_MAX / 8))
  return countBits(checked) > 0 ? checked : invalid(`${what} is empty`)
}

const digest = (value: unknown, what: string): CutDigest => id<CutDigest>(value, what)

const optionalCut = (value: unknown): Pick<ProposalVotes, 'cut'> => value === undefined ? {} : { cut: cut(value, 'cut') }

function proposalVotes (value: unknown): ProposalVotes {
  const raw = fields(value, 'proposal')
  return { digest: digest(raw['digest'], 'digest'), ...optionalCut(raw['cut']), bitmap: bitmap(raw['bitmap'], 'bitmap') }
}

/**
 * @returns a fresh value of exactly the declared shape.
 * @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE
 */
export function validateConsensusMessage (value: unknown): ConsensusMessage {
  const raw = fields(value, 'message')
  const header = { configurationId: id<ConfigurationId>(raw['configurationId'], 'configurationId'), epoch: natural(raw['epoch'], 'epoch') }
  switch (raw['kind'] as ConsensusMessage['kind']) {
    case 'votes':
      return { kind: 'votes', ...header, proposals: list(raw['proposals'], 'proposals', PROPOSALS_MAX, proposalVotes) }
    case 'prepare':
      return { kind: 'prepare', ...header, ballot: classicBallot(raw['ballot'], 'ballot') }
    case 'promise': {
      const accepted = raw['accepted'] === null ? null : fields(raw['accepted'], 'accepted')
      return {
        kind: 'promise',
        ...header,
        ballot: classicBallot(raw['ballot'], 'ballot'),
        vote: raw['vote'] === null ? null : digest(raw['vote'], 'vote'),
        accepted: accepted === null
          ? null
          : { ballot: classicBallot(accepted['ballot'], 'accepted.ballot'), digest: digest(accepted['digest'], 'accepted.digest') }
      }
    }
    case 'accept':
      return {
        kind: 'accept', ...header, ballot: classicBallot(raw['ballot'], 'ballot'), digest: digest(raw['digest'], 'digest'), ...optionalCut(raw['cut'])
      }
    case 'accepted':
      return {
        kind: 'accepted',
        ...header,
        ballot: classicBallot(raw['ballot'], 'ballot'),
        digest: digest(raw['digest'], 'digest'),
        bitmap: bitmap(raw['bitmap'], 'bitmap')
      }
    case 'reject':
      return { kind: 'reject', ...header, ballot: classicBallot(raw['ballot'], 'ballot'), promised: classicBallot(raw['promised'], 'promised') }
    case 'fetch':
      return { kind: 'fetch', ...header, digest: digest(raw['digest'], 'digest') }
    case 'value':
      return { kind: 'value', ...header, digest: digest(raw['digest'], 'digest'), cut: cut(raw['cut'], 'cut') }
    default:
      return invalid('its kind is unknown')
  }
}

/**
 * A record as it was read back from storage.
 * @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE
 */
export function validateConsensusRecord (value: unknown): ConsensusRecord {
  const raw = fields(value, 'record')
  const accepted = raw['accepted'] === null ? null : fields(raw['accepted'], 'accepted')
  return {
    configurationId: id<ConfigurationId>(raw['configurationId'], 'configurationId'),
    epoch: natural(raw['epoch'], 'epoch'),
    promised: ballot(raw['promised'], 'promised'),
    vote: raw['vote'] === null ? null : cut(raw['vote'], 'vote'),
    accepted: accepted === null
      ? null
      : { ballot: classicBallot(accepted['ballot'], 'accepted.ballot'), cut: cut(accepted['cut'], 'accepted.cut') }
  }
}
