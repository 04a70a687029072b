/** Members, configurations and chance for the tests of the membership cores. */
import { createHash } from 'node:crypto'
import {
  compareMembers, foundingConfiguration, type ClusterId, type Configuration, type ConfigurationId, type Member, type MemberId, type StoreId
} from '../../../membership/configuration.ts'

/** A member whose id is a hash of its name, so that its places in orders and on rings look random. */
export function makeMember (name: string, change: Partial<Member> = {}): Member {
  const id = createHash('sha256').update(name).digest('hex').slice(0, 32)
  return {
    id: id as MemberId,
    address: `${name}:7000`,
    storeId: `store-${id}` as StoreId,
    incarnation: 1,
    metadata: { zone: '', weight: 1, tags: {} },
    metadataVersion: 0,
    ...change
  }
}

/** A configuration of `size` members, at an epoch above 1. Different tags give different members and ids. */
export function makeConfiguration (size: number, tag = 'member'): Configuration {
  const members = Array.from({ length: size }, (_, i) => makeMember(`${tag}-${i}`)).sort(compareMembers)
  const founding = foundingConfiguration('cluster' as ClusterId, 'test', {}, members[0]!)
  const id = createHash('sha256').update(`${tag}/${size}`).digest('hex').slice(0, 32)
  return { ...founding, epoch: 7, id: id as ConfigurationId, members }
}

/** Uniform numbers in [0, 1), from a seed: Mulberry32. */
export function makeRandom (seed: number): () => number {
  let state = (seed * 0x9E3779B1) >>> 0
  return () => {
    state = (state + 0x6D2B79F5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
