/**
 * What a store does on its disk beside its writes: reads for its replicas, and removing what is not needed any more.
 *
 * The fetches of a turn begin together, those of few keys in questions that they share (key-reader.ts). An error of the disk ends the store, as
 * a failed write does.
 *
 * Owns: the work under way.
 */
import type { Effect } from './group/effects.ts'
import type { ReplicaInput } from './group/replica-contract.ts'
import type { Copies } from './storage/copies.ts'
import { isLongRead, type KeysWanted, questionsOf } from './storage/key-reader.ts'

export type DiskEffect = Effect & { kind: 'fetch' | 'scan' | 'range' | 'expiring' | 'forgetExpired' | 'deleteCopy' }

export interface DiskWorkHost {
  /** What was read, for the replica of a partition. */
  found (partition: number, input: ReplicaInput): void
  failed (cause: unknown): void
}

interface Fetch extends KeysWanted { readonly token: number }

export class DiskWork {
  readonly #copies: Copies
  readonly #host: DiskWorkHost
  readonly #underWay = new Set<Promise<void>>()
  #fetches: Fetch[] = []
  #deletions = 0

  constructor (copies: Copies, host: DiskWorkHost) {
    this.#copies = copies
    this.#host = host
  }

  /** Copies that are being deleted. */
  get deletions (): number { return this.#deletions }

  perform (partition: number, effect: DiskEffect): void {
    if (effect.kind === 'fetch') this.#fetches.push({ partition, ...effect })
    else this.#run(this.#work(partition, effect))
  }

  /** The end of a turn. */
  flush (): void {
    if (this.#fetches.length === 0) return
    const fetches = this.#fetches
    this.#fetches = []
    for (const question of questionsOf(fetches.filter(fetch => !isLongRead(fetch)))) this.#run(this.#fetch(question))
    for (const fetch of fetches) if (isLongRead(fetch)) this.#run(this.#fetchInParts(fetch))
  }

  async #fetch (fetches: readonly Fetch[]): Promise<void> {
    const found = await this.#copies.fetch(fetches)
    fetches.forEach(({ partition, token }, index) => { this.#host.found(partition, { kind: 'fetched', token, values: found[index]! }) })
  }

  async #fetchInParts (fetch: Fetch): Promise<void> {
    this.#host.found(fetch.partition, { kind: 'fetched', token: fetch.token, values: await this.#copies.fetchFirst(fetch) })
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
