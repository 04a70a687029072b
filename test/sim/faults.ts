/**
 * What the simulated network does to messages: delays, losses, duplicates and the like, for all of it or for some links.
 *
 * Pure, but for the numbers it draws from the generator it is given.
 */
import type { Address } from '../../membership/environment/environment.ts'

export interface LinkFaults {
  /** Shortest one-way delay of a message. @default 0.5 */
  readonly latencyMs: number
  /** The delay is longer by up to this much, uniformly. @default 0.5 */
  readonly jitterMs: number
  /** Probability that a message vanishes. @default 0 */
  readonly lossProbability: number
  /** Probability that a message arrives a second time, later. A transport never does that: for cores that must stay safe under it. @default 0 */
  readonly duplicateProbability: number
  /** Probability that a message is overtaken by later ones. A transport never does that either. @default 0 */
  readonly reorderProbability: number
  /** How much later a duplicate or an overtaken message arrives, at most. @default 50 */
  readonly reorderMs: number
  /** Probability that sending a message breaks the connection instead, with all that is under way on it. @default 0 */
  readonly resetProbability: number
  /** Bytes that the link takes per millisecond; what is beyond queues at the sender. @default Infinity */
  readonly bandwidthBytesPerMs: number
  /** Nothing passes. @default false */
  readonly blocked: boolean
}

export const NO_FAULTS: LinkFaults = Object.freeze({
  latencyMs: 0.5,
  jitterMs: 0.5,
  lossProbability: 0,
  duplicateProbability: 0,
  reorderProbability: 0,
  reorderMs: 50,
  resetProbability: 0,
  bandwidthBytesPerMs: Infinity,
  blocked: false
})

const both = (a: number, b: number): number => 1 - (1 - a) * (1 - b)

/** Several rules for one message: probabilities of independent faults add up, the rest is the latest's word. */
function combine (base: LinkFaults, rule: Partial<LinkFaults>): LinkFaults {
  return {
    ...base,
    ...rule,
    lossProbability: both(base.lossProbability, rule.lossProbability ?? 0),
    blocked: base.blocked || rule.blocked === true
  }
}

export class FaultTable {
  #everywhere: LinkFaults
  readonly #egress = new Map<Address, Partial<LinkFaults>>()
  readonly #ingress = new Map<Address, Partial<LinkFaults>>()
  readonly #links = new Map<Address, Map<Address, Partial<LinkFaults>>>()
  /** Rises with each change, so that whoever caches a result knows when it is old. */
  version = 0

  constructor (everywhere: Partial<LinkFaults>) {
    this.#everywhere = { ...NO_FAULTS, ...everywhere }
  }

  /** What happens to messages from one host to another. */
  between (from: Address, to: Address): LinkFaults {
    let faults = this.#everywhere
    const rules = [this.#egress.get(from), this.#ingress.get(to), this.#links.get(from)?.get(to)]
    for (const rule of rules) if (rule !== undefined) faults = combine(faults, rule)
    return faults
  }

  /** Changes the faults of the whole network. */
  setEverywhere (faults: Partial<LinkFaults>): void {
    this.#everywhere = { ...this.#everywhere, ...faults }
    this.version++
  }

  /** Sets the faults of everything a host sends. An empty object takes them away. */
  setEgress (host: Address, faults: Partial<LinkFaults>): void {
    this.#egress.set(host, faults)
    this.version++
  }

  /** Sets the faults of everything a host receives. An empty object takes them away. */
  setIngress (host: Address, faults: Partial<LinkFaults>): void {
    this.#ingress.set(host, faults)
    this.version++
  }

  /** Sets the faults of one direction of one link. An empty object takes them away. */
  setLink (from: Address, to: Address, faults: Partial<LinkFaults>): void {
    let links = this.#links.get(from)
    if (links === undefined) {
      links = new Map()
      this.#links.set(from, links)
    }
    links.set(to, faults)
    this.version++
  }

  /** Nothing passes from any of `from` to any of `to`; the other direction is untouched. */
  block (from: readonly Address[], to: readonly Address[]): void {
    for (const source of from) for (const target of to) if (source !== target) this.setLink(source, target, { blocked: true })
  }

  /** Nothing passes between the groups, in either direction. */
  partition (...groups: readonly (readonly Address[])[]): void {
    for (const from of groups) for (const to of groups) if (from !== to) this.block(from, to)
  }

  /** Takes away every rule for hosts and links, and every loss, duplicate, overtaking and reset; the delays stay. */
  heal (): void {
    this.#egress.clear()
    this.#ingress.clear()
    this.#links.clear()
    const { latencyMs, jitterMs, bandwidthBytesPerMs } = this.#everywhere
    this.#everywhere = { ...NO_FAULTS, latencyMs, jitterMs, bandwidthBytesPerMs }
    this.version++
  }
}
