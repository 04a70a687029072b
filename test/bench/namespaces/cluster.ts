/**
 * A cluster of real processes, each in a network namespace of its own, on one bridge: what a switch and fifty hosts would be.
 *
 * Needs root, `ip` and `iptables`. Owns: the namespaces, whose names begin with `ct-`, and the processes in them.
 */
import { execFileSync } from 'node:child_process'
import { type DetectorName, MemberProcess } from '../processes/member-process.ts'

export interface Host {
  readonly namespace: string
  readonly address: string
  readonly process: MemberProcess
}

const PORT = 7000
const HUB = 'ct-hub'

const ip = (command: string): void => { execFileSync('ip', command.split(' ')) }

export class NamespaceCluster {
  readonly hosts: Host[] = []
  readonly #size: number
  readonly #detector: DetectorName

  constructor (size: number, detector: DetectorName) {
    this.#size = size
    this.#detector = detector
  }

  /** Makes the namespaces and starts a member in each, all at once. */
  start (): void {
    ip(`netns add ${HUB}`)
    ip(`-n ${HUB} link add bridge type bridge`)
    ip(`-n ${HUB} link set bridge up`)
    for (let index = 0; index < this.#size; index++) {
      const namespace = `ct-${index}`
      const host = `10.99.${index >> 8}.${(index & 255) + 1}`
      ip(`netns add ${namespace}`)
      ip(`link add ct-v${index} netns ${HUB} type veth peer name eth0 netns ${namespace}`)
      ip(`-n ${HUB} link set ct-v${index} master bridge up`)
      ip(`-n ${namespace} addr add ${host}/16 dev eth0`)
      ip(`-n ${namespace} link set eth0 up`)
      ip(`-n ${namespace} link set lo up`)
      const address = `${host}:${PORT}`
      const args = index === 0 ? [address, '', String(this.#size)] : [address, `10.99.0.1:${PORT}`, '']
      this.hosts.push({ namespace, address, process: new MemberProcess([...args, this.#detector], ['ip', 'netns', 'exec', namespace]) })
    }
  }

  /** Rules of the host's own firewall; none at all to clear them. */
  filter (host: Host, rules: readonly string[]): void {
    ip(`netns exec ${host.namespace} iptables -F`)
    for (const rule of rules) ip(`netns exec ${host.namespace} iptables ${rule}`)
  }

  /** Ends every process, by its number, and deletes the namespaces. */
  async close (): Promise<void> {
    await Promise.all(this.hosts.map(({ process }) => process.kill()))
    for (const namespace of [...this.hosts.map(({ namespace }) => namespace), HUB]) ip(`netns del ${namespace}`)
  }
}
