/**
 * Reports: what is known of one subject's alerts, as one bit for each of its observers.
 *
 * Suresh et al. (USENIX ATC '18), section 4.2: an alert is one observer's word on one edge. Rule M11: the alerts about one subject merge
 * as a mask, as votes do, and a joiner's record travels once to each neighbour; after that its digest names it. So what a
 * member hears from ten neighbours costs it ten ORs, and what it passes on is a few bytes per subject.
 *
 * Bit i of a mask stands for the i-th observer that the overlay names, the same at every member of the configuration.
 *
 * Pure.
 */
import { cutDigest, type Member, type MemberId } from './configuration.ts'
import { type AlertStatus } from './cut-detector.ts'
import { type Overlay } from './overlay.ts'

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
  /** Bit i: the subject's i-th observer reported it. */
  readonly observers: number
}

/** Everything known of one subject and attempt. */
export interface Entry {
  readonly status: AlertStatus
  readonly attempt: number
  readonly subject: MemberId
  /** Set for a join. */
  readonly joiner: Member | undefined
  /** Whom the bits of the mask stand for. */
  readonly observers: readonly MemberId[]
  readonly mask: number
}

/** What a report added to an entry: the new bits. */
export interface News<E extends Entry = Entry> {
  readonly entry: E
  readonly fresh: number
}

/** Subjects and attempts remembered in one configuration; what is beyond them waits for the next one. */
const ENTRIES_MAX = 65_536

const digests = new WeakMap<Member, RecordDigest>()

export function recordDigest (joiner: Member): RecordDigest {
  let digest = digests.get(joiner)
  if (digest === undefined) {
    digest = cutDigest({ joins: [joiner], removals: [] }) as string
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
  add ({ status, attempt, subject, record, joiner, observers }: Report): News | undefined {
    const key = `${status} ${record ?? subject} ${attempt}`
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      if (this.#entries.size >= ENTRIES_MAX) return undefined
      if (status === 'join' && (joiner === undefined || recordDigest(joiner) !== record)) return undefined
      const known = status === 'join'
        ? { subject: joiner!.id, joiner, observers: this.#overlay.observersOfJoiner(joiner!.id) }
        : { subject: subject!, joiner: undefined, observers: this.#overlay.observersOf(subject!) }
      entry = { status, attempt, ...known, mask: 0 }
    }
    const all = 2 ** entry.observers.length - 1
    const fresh = (observers & all & ~entry.mask) >>> 0
    if (fresh === 0) return undefined
    if (entry.mask === 0) this.#entries.set(key, entry)
    entry.mask = (entry.mask | fresh) >>> 0
    return { entry, fresh }
  }

  entries (): Iterable<Entry> {
    return this.#entries.values()
  }
}

/** Whom a report is about: a member, or who would be one. */
export type About = { readonly subject: MemberId } | { readonly joiner: Member }

/** The report of one observer. Undefined when it does not observe the subject. */
export function reportBy (observer: MemberId, overlay: Overlay, about: About, attempt: number): Report | undefined {
  const all = 'joiner' in about ? overlay.observersOfJoiner(about.joiner.id) : overlay.observersOf(about.subject)
  const index = all.indexOf(observer)
  if (index < 0) return undefined
  const observers = 2 ** index
  if ('joiner' in about) return { status: 'join', attempt, record: recordDigest(about.joiner), joiner: about.joiner, observers }
  return { status: 'remove', attempt, subject: about.subject, observers }
}

/** An entry as a report: of the bits in `observers`, with or without the record. */
export function reportOf ({ status, attempt, subject, joiner }: Entry, observers: number, withRecord: boolean): Report {
  if (joiner === undefined) return { status, attempt, subject, observers }
  const record = recordDigest(joiner)
  return withRecord ? { status, attempt, record, joiner, observers } : { status, attempt, record, observers }
}
