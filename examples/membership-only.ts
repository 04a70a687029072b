/**
 * Membership alone: a cluster of processes that know who is in it, with metadata of their own and a failure detector of their own.
 *
 * The detector below has no patience: three unanswered probes in a row are enough. Whatever it says, one detector alone removes
 * nobody: most of the observers of a member have to agree, and then a quorum decides.
 *
 * The members here are workers of some service, each with a role in its tags. They share this process, but each has a port
 * and could as well be on another machine.
 *
 * Run it: npm run example -- membership-only
 */
import {
  createSystemClock, createSystemRandom, createWebSocketTransport, type Detector, type DetectorFactory, formatExplanation, type LinkEvidence,
  Membership, type MembershipTuning, silentLog, type WebSocketTransport
} from 'coterie/membership'
import { once } from 'node:events'

const FAILURES_MAX = 3

/** Counts unanswered probes. Pure: membership tells it the time, sends the probes it asks for, and hands it the answers. */
class Impatient implements Detector {
  readonly #tuning: MembershipTuning
  nextAtMs: number
  #sequence = 0
  /** When the probe that is not answered yet was sent. */
  #sentAtMs: number | undefined
  #failures = 0

  constructor (firstProbeAtMs: number, tuning: MembershipTuning) {
    this.nextAtMs = firstProbeAtMs
    this.#tuning = tuning
  }

  poll (now: number): number | undefined {
    if (now < this.nextAtMs) return undefined
    if (this.#sentAtMs !== undefined) {
      const dueMs = this.#sentAtMs + this.#tuning.probeTimeoutMs
      if (now < dueMs) {
        this.nextAtMs = dueMs
        return undefined
      }
      this.#failures++
    }
    this.#sentAtMs = now
    this.nextAtMs = now + this.#tuning.probeIntervalMs
    return ++this.#sequence
  }

  replied (_now: number, sequence: number): void {
    if (sequence !== this.#sequence) return
    this.#sentAtMs = undefined
    this.#failures = 0
  }

  link (_now: number, _evidence: LinkEvidence): void {
    // Connections come and go; only answers count here.
  }

  succeeded (): void {
    this.#failures = FAILURES_MAX
  }

  get failing (): boolean { return this.#failures > 0 }
  get faulty (): boolean { return this.#failures >= FAILURES_MAX }
}

const impatient: DetectorFactory = (_subject, firstProbeAtMs, tuning) => new Impatient(firstProbeAtMs, tuning)

interface Worker { readonly name: string, readonly transport: WebSocketTransport, readonly membership: Membership }
const workers: Worker[] = []

async function start (name: string, role: string, seeds: readonly string[]): Promise<Worker> {
  const [clock, random, log] = [createSystemClock(), createSystemRandom(), silentLog]
  const transport = createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 }, clock, random, log })
  await transport.start()
  const membership = new Membership({ environment: { clock, random, log, transport }, detector: impatient }, {
    clusterName: 'workers',
    preset: 'test',
    ...(seeds.length === 0 ? { found: true, expect: 5 } : { seeds }),
    metadata: { zone: 'here', tags: { name, role } }
  })
  const worker = { name, transport, membership }
  workers.push(worker)
  membership.on('view-change', ({ configuration, joined, removed }) => {
    const names = (members: typeof joined): string => members.map(member => `${member.metadata.tags.name} (${member.metadata.tags.role})`).sort().join(', ')
    console.log(`${name} sees configuration ${configuration.epoch}, ${configuration.id.slice(0, 8)}, of ${configuration.members.length}` +
      `${joined.length > 0 ? `; joined: ${names(joined)}` : ''}${removed.length > 0 ? `; removed: ${names(removed)}` : ''}`)
  })
  await membership.start()
  return worker
}

async function main (): Promise<void> {
  const first = await start('ada', 'scheduler', [])
  const seeds = [first.transport.address!]
  await Promise.all([['ben', 'worker'], ['cleo', 'worker'], ['dan', 'worker'], ['eve', 'archive']].map(([name, role]) => start(name!, role!, seeds)))

  const eve = workers.find(({ name }) => name === 'eve')!
  console.log('\neve falls silent')
  // Waited for at every survivor: each sees the same configuration, by itself.
  const removal = Promise.all(workers.filter(worker => worker !== eve).map(({ membership }) => once(membership, 'view-change')))
  eve.transport.kill()
  await eve.membership.close()
  await removal
  console.log(`\nwhy, as ada knows it:\n${formatExplanation(first.membership.explain(first.membership.configuration.epoch)!)}`)

  console.log('\ndan leaves')
  const dan = workers.find(({ name }) => name === 'dan')!
  await dan.membership.leave()
  const ids = new Set(workers.filter(worker => worker !== eve && worker !== dan).map(({ membership }) => membership.configuration.id))
  console.log(`\n${ids.size === 1 ? 'ada, ben and cleo have the same configuration' : 'THE SURVIVORS DISAGREE'}`)
  if (ids.size !== 1) process.exitCode = 1
}

try {
  await main()
} finally {
  for (const { membership, transport } of workers) {
    await membership.close()
    await transport.close()
  }
}
