/**
 * Updating: a member's wish for other metadata, announced in each configuration until one of them holds it.
 *
 * Rule M13; not in the paper (Suresh et al., ATC '18), whose members are what they joined as. An update is a change of the
 * configuration like any other: it is told as an alert, enters a cut, and takes effect in one configuration at every process. The
 * member that wants it is its only source and stands behind it: its alert is repeated within a configuration, and when that
 * ends without it, announced anew in the next one.
 *
 * A member announces one update per configuration. What is asked for meanwhile is merged and waits for the next one, so that no two
 * versions of one member are under way at once. Each announcement has a version of its own, above all earlier ones, and none is made
 * in the first batch window of a configuration: by its own word alone it would be decided before several observers could tell of
 * those that wait to join, or have failed, and a member that updates again and again would keep them waiting.
 *
 * Pure: the time is an argument.
 */
import { isSameMetadata, type Metadata, type Update } from './configuration.ts'
import type { MembershipTuning } from './tuning.ts'
import type { View } from './view.ts'

export interface UpdatingHost {
  /** Tell the members of the present configuration. */
  announce (update: Update): void
  /** The present configuration holds what was asked for under these tokens. */
  held (tokens: readonly number[]): void
}

/** Fields to change, and who asked for it. */
interface Wish {
  readonly change: Partial<Metadata>
  readonly tokens: readonly number[]
}

const NOTHING: Wish = Object.freeze({ change: Object.freeze({}), tokens: Object.freeze([]) })

const merge = (earlier: Wish, later: Wish): Wish => ({ change: { ...earlier.change, ...later.change }, tokens: [...earlier.tokens, ...later.tokens] })

export class Updating {
  readonly #tuning: Pick<MembershipTuning, 'batchWindowMs'>
  readonly #host: UpdatingHost
  #view!: View
  /** Asked for, and not announced in this configuration. */
  #waiting: Wish = NOTHING
  /** Set once this configuration was told. */
  #announced: { readonly version: number, readonly wish: Wish } | undefined
  /** The highest version announced so far. Invariant: at least the one that the configuration has. */
  #version = 0
  /** Before this, nothing is announced in this configuration. */
  #openAtMs = Infinity

  constructor (tuning: Pick<MembershipTuning, 'batchWindowMs'>, host: UpdatingHost) {
    this.#tuning = tuning
    this.#host = host
  }

  /** @param change valid fields; they replace those of the present metadata. */
  ask (now: number, token: number, change: Partial<Metadata>): void {
    this.#waiting = merge(this.#waiting, { change, tokens: [token] })
    this.advance(now)
  }

  /** Begins a configuration of which this process is a member. */
  enter (now: number, view: View): void {
    const announced = this.#announced
    this.#view = view
    this.#version = Math.max(this.#version, view.self.metadataVersion)
    this.#announced = undefined
    this.#openAtMs = now + this.#tuning.batchWindowMs
    if (announced !== undefined) {
      if (view.self.metadataVersion >= announced.version) this.#host.held(announced.wish.tokens)
      else this.#waiting = merge(announced.wish, this.#waiting)
    }
  }

  /** Announces what is due. */
  advance (now: number): void {
    if (now >= this.nextAtMs) this.#announce()
  }

  get nextAtMs (): number {
    return this.#waiting.tokens.length > 0 && this.#announced === undefined ? this.#openAtMs : Infinity
  }

  #announce (): void {
    const wish = this.#waiting
    this.#waiting = NOTHING
    const { id, metadata } = this.#view.self
    const wanted = { ...metadata, ...wish.change }
    if (isSameMetadata(metadata, wanted)) {
      this.#host.held(wish.tokens)
      return
    }
    this.#version++
    this.#announced = { version: this.#version, wish }
    this.#host.announce({ member: id, version: this.#version, metadata: wanted })
  }
}
