/**
 * A decision: the cut that one configuration agreed on, with the quorum that proves it.
 *
 * Decisions travel to members that missed them, which apply one only when its quorum checks (rule M12, invariant 3).
 *
 * Pure.
 */
import { compareBallots, FAST_BALLOT, isFast, type Ballot } from './ballot.ts'
import { cutDigest, isVoter, memberIndex, type Configuration, type Cut, type CutDigest, type MemberId } from './configuration.ts'
import { Electorate } from './electorate.ts'
import { MembershipError } from './errors.ts'

export interface Decision {
  readonly cut: Cut
  readonly digest: CutDigest
  /** The fast round, or the classic ballot in which it was accepted. */
  readonly ballot: Ballot
  /** At least f fast voters, or at least c acceptors of `ballot`. In the order of `configuration.members`. */
  readonly voters: readonly MemberId[]
  /** Decided by fast votes, without a coordinator. */
  readonly fast: boolean
}

/**
 * Checks that `decision` is one that `configuration` can have taken: its digest names its cut, and its voters are a quorum of
 * different members for its kind of ballot.
 * @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE
 */
export function checkDecision (configuration: Configuration, decision: Decision): void {
  const refuse = (why: string): never => {
    throw new MembershipError('MEMBERSHIP_INVALID_MESSAGE', `Not a decision of epoch ${configuration.epoch}: ${why}.`)
  }
  const { ballot, cut, digest, fast, voters } = decision
  const electorate = Electorate.of(configuration)
  if (digest !== cutDigest(cut)) refuse('its digest does not name its cut')
  if (fast !== isFast(ballot)) refuse('its ballot is not of the kind it says')
  if (fast ? compareBallots(ballot, FAST_BALLOT) !== 0 : ballot.member >= electorate.size) refuse('nobody owns its ballot')
  if (new Set(voters).size !== voters.length) refuse('a voter is listed twice')
  for (const voter of voters) if (electorate.indexOf(voter) < 0) refuse(`its voter ${voter} has no vote`)
  const quorum = fast ? electorate.fastQuorum : electorate.classicQuorum
  if (voters.length < quorum) refuse(`${voters.length} voters are fewer than the quorum of ${quorum}`)
  const invalid = cutError(configuration, cut)
  if (invalid !== undefined) refuse(invalid)
}

/** Why `cut` cannot follow `configuration` (invariant 7), as a clause, or undefined when it can. */
export function cutError (configuration: Configuration, cut: Cut): string | undefined {
  if (cut.joins.length + cut.removals.length + cut.updates.length === 0) return 'its cut changes nothing'
  const removed = new Set<string>(cut.removals)
  if (removed.size !== cut.removals.length) return 'it removes a member twice'
  for (const id of cut.removals) if (memberIndex(configuration, id) < 0) return `it removes ${id}, who is no member`
  const staysVoter = Electorate.of(configuration).voters.some(({ id }) => !removed.has(id))
  if (!staysVoter && !cut.joins.some(isVoter)) return 'it leaves no voter'
  const updated = new Set<string>()
  for (const { member, version } of cut.updates) {
    const record = configuration.members[memberIndex(configuration, member)]
    if (record === undefined || removed.has(member)) return `it updates ${member}, who is no member any more`
    if (updated.has(member)) return `it updates ${member} twice`
    if (version <= record.metadataVersion) return `it updates ${member} to version ${version}, which has ${record.metadataVersion}`
    updated.add(member)
  }
  const ids = new Set<string>()
  const addresses = new Set<string>()
  const stores = new Set<string>()
  for (const member of configuration.members) {
    ids.add(member.id)
    if (removed.has(member.id)) continue
    addresses.add(member.address)
    stores.add(member.storeId)
  }
  for (const { id, address, storeId } of cut.joins) {
    if (ids.has(id)) return `the id of its joiner ${id} is taken`
    if (addresses.has(address)) return `the address of its joiner ${id} is held`
    if (stores.has(storeId)) return `the store id of its joiner ${id} is held`
    ids.add(id)
    addresses.add(address)
    stores.add(storeId)
  }
  return undefined
}
