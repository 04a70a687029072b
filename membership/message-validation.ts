/**
 * Validates every message of the membership channel: what passes is exactly of the declared shape, with every list bounded.
 *
 * Pure.
 */
import { ROUND_MAX, type Ballot } from './ballot.ts'
import type { ClusterId, ConfigurationId } from './configuration.ts'
import { validateConsensusMessage } from './consensus.ts'
import type {
  DecisionRecord, JoinAsk, MembershipMessage, Position, Sender
} from './messages.ts'
import type { RecordDigest } from './record-digest.ts'
import type { Report } from './reports.ts'
import {
  MEMBERS_MAX, address, bytes, cut, fields, flag, id, invalid, list, member, memberIds, natural, settings, text, update, type Fields
} from './wire-checks.ts'

/** Reports in one message; those beyond travel in another. */
export const REPORTS_MAX = 4096
/** A bit for each of the 32 observers that a subject can have at most. */
const OBSERVERS_MASK_MAX = 2 ** 32 - 1
/** Processes that came back, in one message of another one. */
export const RETURNED_MAX = 64
/** Decisions in one message. */
export const DECISIONS_MAX = 128
const ADDRESSES_MAX = 64
const SNAPSHOT_BYTES_MAX = 256 * 1024 * 1024

function position (value: unknown): Position {
  const raw = fields(value, 'position')
  return {
    clusterId: text(raw['clusterId'], 'position.clusterId', 64) as ClusterId,
    epoch: natural(raw['epoch'], 'position.epoch'),
    configurationId: text(raw['configurationId'], 'position.configurationId', 64) as ConfigurationId
  }
}

function sender (value: unknown): Sender {
  const raw = fields(value, 'sender')
  return { id: id(raw['id'], 'sender.id'), address: address(raw['address'], 'sender.address') }
}

function fromMember (raw: Fields): { sender: Sender, position: Position } {
  return { sender: sender(raw['sender']), position: position(raw['position']) }
}

function joinAsk (value: unknown): JoinAsk {
  const raw = fields(value, 'ask')
  return {
    kind: 'join-ask',
    protocol: natural(raw['protocol'], 'protocol'),
    clusterName: text(raw['clusterName'], 'clusterName', 128),
    clusterId: text(raw['clusterId'], 'clusterId', 64) as ClusterId,
    settings: settings(raw['settings'], 'settings'),
    member: member(raw['member'], 'member'),
    founding: flag(raw['founding'], 'founding')
  }
}

function report (value: unknown): Report {
  const raw = fields(value, 'report')
  const observers = natural(raw['observers'], 'report.observers', OBSERVERS_MASK_MAX)
  const attempt = natural(raw['attempt'], 'report.attempt')
  switch (raw['status']) {
    case 'remove':
      return { status: 'remove', attempt, subject: id(raw['subject'], 'report.subject'), observers }
    case 'join': {
      const record = id<RecordDigest>(raw['record'], 'report.record')
      if (raw['joiner'] === undefined) return { status: 'join', attempt, record, observers }
      return { status: 'join', attempt, record, joiner: member(raw['joiner'], 'report.joiner'), observers }
    }
    case 'update':
      // The one bit is that of the member itself.
      if (observers !== 1) invalid('an update is reported by another than its member')
      return { status: 'update', attempt, update: update(raw['update'], 'report.update'), observers }
    default:
      return invalid('a report is neither of a join nor of a removal nor of an update')
  }
}

function ballot (value: unknown): Ballot {
  const raw = fields(value, 'ballot')
  return { round: natural(raw['round'], 'ballot.round', ROUND_MAX), member: natural(raw['member'], 'ballot.member', MEMBERS_MAX) }
}

/**
 * @returns a fresh value of exactly the declared shape.
 * @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE
 */
export function validateDecisionRecord (value: unknown): DecisionRecord {
  const raw = fields(value, 'decision')
  return {
    previousId: id(raw['previousId'], 'decision.previousId'),
    epoch: natural(raw['epoch'], 'decision.epoch'),
    id: id(raw['id'], 'decision.id'),
    cut: cut(raw['cut'], 'decision.cut'),
    ballot: ballot(raw['ballot']),
    voters: memberIds(raw['voters'], 'decision.voters')
  }
}

/**
 * @returns a fresh value of exactly the declared shape.
 * @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE
 */
export function validateMessage (value: unknown): MembershipMessage {
  const raw = fields(value, 'message')
  switch (raw['kind'] as MembershipMessage['kind']) {
    case 'probe':
      return { kind: 'probe', ...fromMember(raw), to: id(raw['to'], 'to'), sequence: natural(raw['sequence'], 'sequence') }
    case 'probe-reply':
      return {
        kind: 'probe-reply', ...fromMember(raw), member: member(raw['member'], 'member'),
        clusterName: text(raw['clusterName'], 'clusterName', 128), to: id(raw['to'], 'to'), sequence: natural(raw['sequence'], 'sequence')
      }
    case 'join-ask':
      return joinAsk(raw)
    case 'join-request':
      return { kind: 'join-request', ask: joinAsk(raw['ask']), position: position(raw['position']) }
    case 'join-observers':
      return { kind: 'join-observers', position: position(raw['position']), observers: list(raw['observers'], 'observers', ADDRESSES_MAX, address) }
    case 'join-held':
      return {
        kind: 'join-held', clusterId: id(raw['clusterId'], 'clusterId'),
        held: natural(raw['held'], 'held'), expected: natural(raw['expected'], 'expected')
      }
    case 'join-redirect':
      return { kind: 'join-redirect', addresses: list(raw['addresses'], 'addresses', ADDRESSES_MAX, address) }
    case 'join-refused':
      return {
        kind: 'join-refused', reason: text(raw['reason'], 'reason', 1024), retry: flag(raw['retry'], 'retry'), spent: flag(raw['spent'], 'spent')
      }
    case 'admitted':
      return { kind: 'admitted', position: position(raw['position']), member: id(raw['member'], 'member'), offer: flag(raw['offer'], 'offer') }
    case 'snapshot':
      return {
        kind: 'snapshot',
        configuration: bytes(raw['configuration'], 'configuration', SNAPSHOT_BYTES_MAX),
        state: bytes(raw['state'], 'state', SNAPSHOT_BYTES_MAX)
      }
    case 'fetch-decisions':
      return { kind: 'fetch-decisions', ...fromMember(raw), gap: flag(raw['gap'], 'gap') }
    case 'decisions':
      return { kind: 'decisions', ...fromMember(raw), decisions: list(raw['decisions'], 'decisions', DECISIONS_MAX, validateDecisionRecord) }
    case 'alerts':
      return { kind: 'alerts', ...fromMember(raw), reports: list(raw['reports'], 'reports', REPORTS_MAX, report) }
    case 'leave':
      return { kind: 'leave', ...fromMember(raw) }
    case 'consensus':
      return { kind: 'consensus', ...fromMember(raw), message: validateConsensusMessage(raw['message']) }
    case 'returned':
      return {
        kind: 'returned', ...fromMember(raw), member: member(raw['member'], 'member'),
        others: list(raw['others'], 'others', RETURNED_MAX, member), answer: flag(raw['answer'], 'answer')
      }
    case 'present':
      return { kind: 'present', ...fromMember(raw), others: list(raw['others'], 'others', RETURNED_MAX, member) }
    default:
      return invalid('its kind is unknown')
  }
}
