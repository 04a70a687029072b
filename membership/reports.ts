/**
 * Reports: what is known of one subject's alerts, as one bit for each of its observers.
 *
 * Suresh et al. (USENIX ATC '18), section 4.2: an alert is one observer's word on one edge. Rule M11: the alerts about one subject merge
 * as a mask, as votes do, and a joiner's record travels once to each neighbour; after that its digest names it. So what a
 * member hears from ten neighbours costs it ten ORs, and what it passes on is a few bytes per subject.
 *
 * Bit i of a mask stands for the i-th observer that the overlay names, the same at every member of the configuration.
 *
 * Rule M13: an update is a member's word about itself. Its mask has one bit, the member's own, and a book keeps each member's newest
 * version; another content under a version that is known is a fault of that member and is not taken in.
 *
 * Pure.
 */
import { cutDigest, isSameMetadata, type Member, type MemberId, type Update } from './configuration.ts'
import type { AlertStatus } from './cut-detector.ts'
import type { Overlay } from './overlay.ts'

/** Names a joiner by its whole record (rule M3): two records with one id are two joiners. */
export type RecordDigest = string & { readonly brand?: 'record' }

/** One subject, and which of its observers reported it. */
export interface Report {
  readonly status: AlertStatus
  /** How often these observers had reported this subject in this configuration before: tallies that were emptied fill anew. */
  readonly attempt: number
  /** Of a removal. */
  readonly subject?: MemberId
  /** Of a join. */
  readonly record?: RecordDigest
  /** Of a join; left out for who has it already. */
  readonly joiner?: Member
  /** Of an update: what the member is to have from now on. */
  readonly update?: Update
  /** Bit i: the subject's i-th observer reported it. Of an update, 1. */
  readonly observers: number
}

/** Everything known of one subject and attempt. */
export interface Entry {
  readonly status: AlertStatus
  readonly attempt: number
  readonly subject: MemberId
  /** Set for a join. */
  readonly joiner: Member | undefined
  /** Set for an update. */
  readonly update: Update | undefined
  /** Whom the bits of the mask stand for. */
  readonly observers: readonly MemberId[]
  readonly mask: number
}

/** What a report added to an entry: the new bits. */
export interface News<E extends Entry = Entry> {
  readonly entry: E
  readonly fresh: number
}

/** The mask of an update: its member speaks for itself, and nobody else. */
const OWN_BIT = 1

/** Subjects and attempts remembered in one configuration; what is beyond them waits for the next one. */
const ENTRIES_MAX = 65_536

const digests = new WeakMap<Member, RecordDigest>()

export function recordDigest (joiner: Member): RecordDigest {
  let digest = digests.get(joiner)
  if (digest === undefined) {
    digest = cutDigest({ joins: [joiner], removals: [], updates: [] }) as string
    digests.set(joiner, digest)
  }
  return digest
}

/** The positions of the bits in a mask, ascending. */
export function bitsOf (mask: number): number[] {
  const bits: number[] = []
  for (let rest = mask >>> 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0) bits.push(31 - Math.clz32(rest & -rest))
  return bits
}

/** The reports that one member knows of in one configuration. */
export class ReportBook {
  readonly #overlay: Overlay
  /** Invariant: size <= ENTRIES_MAX, and no mask is empty or has bits beyond its observers. */
  readonly #entries = new Map<string, Entry & { mask: number }>()

  constructor (overlay: Overlay) {
    this.#overlay = overlay
  }

  /** Merges a report. Undefined when it says nothing new, means nothing here, or names a record that was never told. */
  add (report: Report): News | undefined {
    if (report.update !== undefined) return this.#addUpdate(report.update)
    const { status, attempt, subject, record, joiner, observers } = report
    const key = `${status} ${record ?? subject} ${attempt}`
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      if (this.#entries.size >= ENTRIES_MAX) return undefined
      if (status === 'join' && (joiner === undefined || recordDigest(joiner) !== record)) return undefined
      const known = status === 'join'
        ? { subject: joiner!.id, joiner, observers: this.#overlay.observersOfJoiner(joiner!.id) }
        : { subject: subject!, joiner: undefined, observers: this.#overlay.observersOf(subject!) }
      entry = { status, attempt, ...known, update: undefined, mask: 0 }
    }
    const all = 2 ** entry.observers.length - 1
    const fresh = (observers & all & ~entry.mask) >>> 0
    if (fresh === 0) return undefined
    if (entry.mask === 0) this.#entries.set(key, entry)
    entry.mask = (entry.mask | fresh) >>> 0
    return { entry, fresh }
  }

  /** Whether a member says something else under a version that it has said before. */
  contradicts ({ member, version, metadata }: Update): boolean {
    const known = this.#entries.get(`update ${member}`)?.update
    return known?.version === version && !isSameMetadata(known.metadata, metadata)
  }

  #addUpdate (update: Update): News | undefined {
    const { member, version } = update
    const key = `update ${member}`
    const known = this.#entries.get(key)?.update
    if (known === undefined ? this.#entries.size >= ENTRIES_MAX : known.version >= version) return undefined
    if (!this.#overlay.isMember(member)) return undefined
    const entry = { status: 'update', attempt: 0, subject: member, joiner: undefined, update, observers: [member], mask: OWN_BIT } as const
    this.#entries.set(key, entry)
    return { entry, fresh: OWN_BIT }
  }

  entries (): Iterable<Entry> {
    return this.#entries.values()
  }
}

/** Whom a report is about: a member, who would be one, or the one that reports. */
export type About = { readonly subject: MemberId } | { readonly joiner: Member } | { readonly update: Update }

/** The report of one observer. Undefined when it does not observe the subject. */
export function reportBy (observer: MemberId, overlay: Overlay, about: About, attempt: number): Report | undefined {
  if ('update' in about) return observer === about.update.member ? reportOfUpdate(about.update) : undefined
  const all = 'joiner' in about ? overlay.observersOfJoiner(about.joiner.id) : overlay.observersOf(about.subject)
  const index = all.indexOf(observer)
  if (index < 0) return undefined
  const observers = 2 ** index
  if ('joiner' in about) return { status: 'join', attempt, record: recordDigest(about.joiner), joiner: about.joiner, observers }
  return { status: 'remove', attempt, subject: about.subject, observers }
}

/** An entry as a report: of the bits in `observers`, with or without the record. */
export function reportOf ({ status, attempt, subject, joiner, update }: Entry, observers: number, withRecord: boolean): Report {
  if (update !== undefined) return reportOfUpdate(update)
  if (joiner === undefined) return { status, attempt, subject, observers }
  const record = recordDigest(joiner)
  return withRecord ? { status, attempt, record, joiner, observers } : { status, attempt, record, observers }
}

function reportOfUpdate (update: Update): Report {
  return { status: 'update', attempt: 0, update, observers: OWN_BIT }
}
