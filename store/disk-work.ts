/**
 * What a store does on its disk beside its writes: reads for its replicas, and removing what is not needed any more.
 *
 * Fetches of few keys are done at once where that is quick (read-cost.ts), for a part of a turn at most. The others of a turn begin together,
 * those of few keys in questions that they share (key-reader.ts). An error of the disk ends the store, as a failed write does.
 *
 * Owns: the work under way.
 */
import type { Clock } from '../membership/environment/environment.ts'
import type { Effect, Found } from './group/effects.ts'
import type { ReplicaInput } from './group/replica-contract.ts'
import type { Copies } from './storage/copies.ts'
import { isLongRead, KEYS_AT_ONCE_MAX, type KeysWanted, questionsOf } from './storage/key-reader.ts'
import { ReadCost } from './storage/read-cost.ts'

export type DiskEffect = Effect & { kind: 'fetch' | 'scan' | 'range' | 'expiring' | 'forgetExpired' | 'deleteCopy' }

export interface DiskWorkHost {
  /** What was read, for the replica of a partition. */
  found (partition: number, input: ReplicaInput): void
  failed (cause: unknown): void
}

interface Fetch extends KeysWanted { readonly token: number }

/** Milliseconds of a turn in which fetches are done at once. */
const AT_ONCE_MS_MAX = 2

export class DiskWork {
  readonly #copies: Copies
  readonly #host: DiskWorkHost
  readonly #clock: Clock
  readonly #cost = new ReadCost()
  readonly #underWay = new Set<Promise<void>>()
  #fetches: Fetch[] = []
  #deletions = 0

  constructor (copies: Copies, clock: Clock, host: DiskWorkHost) {
    this.#copies = copies
    this.#clock = clock
    this.#host = host
  }

  /** Copies that are being deleted. */
  get deletions (): number { return this.#deletions }

  perform (partition: number, effect: DiskEffect): void {
    if (effect.kind === 'fetch') this.#fetches.push({ partition, ...effect })
    else this.#run(this.#work(partition, effect))
  }

  /** The end of a turn. What is read at once is handed on before this returns. */
  flush (): void {
    if (this.#fetches.length === 0) return
    const wanted = this.#fetches
    this.#fetches = []
    const fetches = this.#copies.answersAtOnce ? this.#fetchNow(wanted) : wanted
    for (const question of questionsOf(fetches.filter(fetch => !isLongRead(fetch)))) this.#run(this.#fetch(question))
    for (const fetch of fetches) if (isLongRead(fetch)) this.#run(this.#fetchInParts(fetch))
  }

  /** Does what is short as long as it is quick. Returns what is left. */
  #fetchNow (fetches: readonly Fetch[]): Fetch[] {
    const left: Fetch[] = []
    const found: (readonly [Fetch, Found])[] = []
    let now = this.#clock.now()
    const endsAt = now + AT_ONCE_MS_MAX
    for (const fetch of fetches) {
      const { length } = fetch.keys
      if (length > KEYS_AT_ONCE_MAX || now >= endsAt || !this.#cost.quick(now)) {
        left.push(fetch)
        continue
      }
      try {
        found.push([fetch, this.#copies.fetchNow(fetch)])
      } catch (error) {
        this.#host.failed(error)
        return []
      }
      const before = now
      now = this.#clock.now()
      this.#cost.took(now, (now - before) / length)
    }
    for (const [fetch, values] of found) this.#found(fetch, values)
    return left
  }

  #found ({ partition, token }: Fetch, values: Found): void {
    this.#host.found(partition, { kind: 'fetched', token, values })
  }

  async #fetch (fetches: readonly Fetch[]): Promise<void> {
    const found = await this.#copies.fetch(fetches)
    fetches.forEach((fetch, index) => { this.#found(fetch, found[index]!) })
  }

  async #fetchInParts (fetch: Fetch): Promise<void> {
    this.#found(fetch, await this.#copies.fetchFirst(fetch))
  }

  async #work (partition: number, effect: Exclude<DiskEffect, { kind: 'fetch' }>): Promise<void> {
    const { copy } = effect
    switch (effect.kind) {
      case 'scan': {
        const { token, after, bytesMax } = effect
        this.#host.found(partition, { kind: 'scanned', token, ...await this.#copies.scan(partition, copy, after, bytesMax) })
        return
      }
      case 'range': {
        const { token, scan } = effect
        this.#host.found(partition, { kind: 'ranged', token, ...await this.#copies.range(partition, copy, scan) })
        return
      }
      case 'expiring': {
        const { token, after, limit } = effect
        this.#host.found(partition, { kind: 'expiring', token, records: await this.#copies.expiring(partition, copy, after, limit) })
        return
      }
      case 'forgetExpired':
        await this.#copies.forgetExpired(partition, copy, effect.time)
        return
      case 'deleteCopy':
        this.#deletions++
        await this.#copies.delete(partition, copy)
        this.#deletions--
    }
  }

  #run (work: Promise<void>): void {
    const settled = work.catch((error: unknown) => { this.#host.failed(error) })
    this.#underWay.add(settled)
    void settled.finally(() => { this.#underWay.delete(settled) })
  }

  /** Begins nothing more; resolves when nothing uses the disk any more. */
  async stop (): Promise<void> {
    this.#copies.stop()
    await Promise.all(this.#underWay)
  }
}
