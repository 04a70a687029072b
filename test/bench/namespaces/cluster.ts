/**
 * A cluster of real processes, each in a network namespace of its own, on one bridge: what a switch and fifty hosts would be.
 *
 * Needs root, `ip` and `iptables`. Owns: the namespaces, whose names begin with `ct-`, and the processes in them.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** What a member prints: a configuration that it has from now on, and whom it lacks of the one before; first that it is up, as epoch 0. */
export interface MemberLine {
  readonly atMs: number
  readonly epoch: number
  readonly id: string
  readonly size: number
  readonly removed: readonly string[]
}

interface Host {
  readonly namespace: string
  readonly address: string
  readonly lines: MemberLine[]
  process: ChildProcess
}

const PORT = 7000
const HUB = 'ct-hub'
const MEMBER = fileURLToPath(new URL('./member.js', import.meta.url))
const POLL_MS = 20

const ip = (command: string): void => { execFileSync('ip', command.split(' ')) }

export class NamespaceCluster {
  readonly hosts: Host[] = []
  readonly #size: number

  constructor (size: number) {
    this.#size = size
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
      this.hosts.push(this.#run(namespace, `${host}:${PORT}`, index === 0 ? [String(this.#size)] : []))
    }
  }

  #run (namespace: string, address: string, more: readonly string[]): Host {
    const process = spawn('ip', ['netns', 'exec', namespace, globalThis.process.execPath, MEMBER, address, `10.99.0.1:${PORT}`, ...more], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const host: Host = { namespace, address, lines: [], process }
    createInterface({ input: process.stdout! }).on('line', line => { host.lines.push(JSON.parse(line) as MemberLine) })
    return host
  }

  /** Rules of the host's own firewall; none at all to clear them. */
  filter (host: Host, rules: readonly string[]): void {
    ip(`netns exec ${host.namespace} iptables -F`)
    for (const rule of rules) ip(`netns exec ${host.namespace} iptables ${rule}`)
  }

  /** Waits until all of some hosts have one configuration of that size. @returns when the last one got it, or undefined when time is up. */
  async agree (hosts: readonly Host[], size: number, limitMs: number): Promise<number | undefined> {
    const endMs = Date.now() + limitMs
    while (Date.now() < endMs) {
      const last = hosts.map(({ lines }) => lines.at(-1))
      if (last.every(line => line !== undefined && line.id === last[0]!.id && line.size === size)) return Math.max(...last.map(line => line!.atMs))
      await delay(POLL_MS)
    }
    return undefined
  }

  /** Ends every process, by its number, and deletes the namespaces. */
  async close (): Promise<void> {
    for (const { process } of this.hosts) {
      if (process.exitCode !== null || process.signalCode !== null) continue
      const exited = once(process, 'exit')
      process.kill('SIGKILL')
      await exited
    }
    for (const namespace of [...this.hosts.map(({ namespace }) => namespace), HUB]) ip(`netns del ${namespace}`)
  }
}
