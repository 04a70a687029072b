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
import { isSameMetadata, type Member, type MemberId, type Update } from './configuration.ts'
import type { Overlay } from './overlay.ts'
import { recordDigest, type RecordDigest } from './record-digest.ts'

export type AlertStatus = 'join' | 'remove' | 'update'

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

/** The positions of the bits in a mask, ascending. */
export function bitsOf (mask: number): number[] {
  const bits: number[] = []
  for (let rest = mask >>> 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0) bits.push(31 - Math.clz32(rest & -rest))
  return bits
}

/** By attempt and, within it, by subject or record: their texts are looked up as they are, once per report that gossip brings. */
type Attempts = Map<number, Map<string, BookEntry>>

type BookEntry = Entry & { mask: number }

/** One bit for each. */
const maskOf = (observers: readonly MemberId[]): number => 2 ** observers.length - 1

/** The reports that one member knows of in one configuration. */
export class ReportBook {
  readonly #overlay: Overlay
  readonly #removals: Attempts = new Map()
  readonly #joins: Attempts = new Map()
  readonly #updates = new Map<MemberId, BookEntry>()
  /** All of them, in the order in which they came. Invariant: size <= ENTRIES_MAX, and no mask is empty or has bits beyond its observers. */
  readonly #entries = new Set<BookEntry>()

  constructor (overlay: Overlay) {
    this.#overlay = overlay
  }

  /** Merges a report. Undefined when it says nothing new, means nothing here, or names a record that was never told. */
  add (report: Report): News | undefined {
    if (report.update !== undefined) return this.#addUpdate(report.update)
    const { status, attempt, subject, record, observers } = report
    const attempts = status === 'join' ? this.#joins : this.#removals
    const key = (status === 'join' ? record : subject)!
    const known = attempts.get(attempt)?.get(key)
    const entry = known ?? this.#newEntry(report)
    if (entry === undefined) return undefined
    const fresh = (observers & maskOf(entry.observers) & ~entry.mask) >>> 0
    if (fresh === 0) return undefined
    if (known === undefined) {
      const ofAttempt = attempts.get(attempt) ?? new Map<string, BookEntry>()
      attempts.set(attempt, ofAttempt.set(key, entry))
      this.#entries.add(entry)
    }
    entry.mask = (entry.mask | fresh) >>> 0
    return { entry, fresh }
  }

  /** Whether a member says something else under a version that it has said before. */
  contradicts ({ member, version, metadata }: Update): boolean {
    const known = this.#updates.get(member)?.update
    return known?.version === version && !isSameMetadata(known.metadata, metadata)
  }

  entries (): Iterable<Entry> {
    return this.#entries
  }

  /** Undefined where there is no room, or the record is unknown. */
  #newEntry ({ status, attempt, subject, record, joiner }: Report): BookEntry | undefined {
    if (this.#entries.size >= ENTRIES_MAX) return undefined
    if (status !== 'join') {
      return { status, attempt, subject: subject!, joiner, update: undefined, observers: this.#overlay.observersOf(subject!), mask: 0 }
    }
    if (joiner === undefined || recordDigest(joiner) !== record) return undefined
    return { status, attempt, subject: joiner.id, joiner, update: undefined, observers: this.#overlay.observersOfJoiner(joiner.id), mask: 0 }
  }

  #addUpdate (update: Update): News | undefined {
    const { member, version } = update
    const known = this.#updates.get(member)
    if (known === undefined ? this.#entries.size >= ENTRIES_MAX : known.update!.version >= version) return undefined
    if (!this.#overlay.isMember(member)) return undefined
    const entry = { status: 'update', attempt: 0, subject: member, joiner: undefined, update, observers: [member], mask: OWN_BIT } as const
    if (known !== undefined) this.#entries.delete(known)
    this.#updates.set(member, entry)
    this.#entries.add(entry)
    return { entry, fresh: OWN_BIT }
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
