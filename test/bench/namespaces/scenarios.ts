/**
 * The failures of the Rapid paper (Suresh et al., ATC '18, section 7) on real processes and the kernel's own packet filter: crashes, members
 * that hear nothing, members whose packets are lost, and links that come and go.
 *
 * Nobody who is healthy may ever be removed, whichever detector the members have. `npm run bench -- namespaces [--json]`, as root; some four
 * minutes per detector for fifty members. `--detector NAME` takes one of them, `--only TEXT` some of the scenarios.
 */
import { spawnSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { UsageError } from '../../program.ts'
import { agree, DETECTOR_NAMES, type DetectorName, type MemberLine } from '../processes/member-process.ts'
import { type Host, NamespaceCluster } from './cluster.ts'

export interface NamespaceRow {
  readonly scenario: string
  readonly detector: DetectorName
  readonly members: number
  readonly faulty: number
  /** From the start of the first process until the last one is up. */
  readonly startMs: number
  /** From then until all have the configuration of all. */
  readonly formationMs: number
  /** From the fault until all healthy members have a configuration without the faulty ones; absent when some faulty one stays. */
  readonly cutMs: number | undefined
  /** Configurations after the first complete one, as any healthy member saw them. */
  readonly viewChanges: number
  readonly sizes: string
  readonly faultyRemovals: number
  readonly healthyRemovals: number
}

interface Scenario {
  readonly name: string
  readonly faulty: number
  /** How long the fault lasts, and is watched, in seconds. */
  readonly seconds: number
  /** Rules of the faulty members' firewalls in that second; undefined leaves them as they are. */
  readonly rules?: (second: number) => readonly string[] | undefined
}

const DEAF = ['-A INPUT -i eth0 -j DROP']
const LOSSY = ['-A OUTPUT -o eth0 -m statistic --mode random --probability 0.8 -j DROP']
const FLIP_SECONDS = 20

const SCENARIOS: readonly Scenario[] = [
  { name: 'crash (SIGKILL)', faulty: 5, seconds: 10 },
  { name: 'all packets to them dropped', faulty: 2, seconds: 30, rules: second => second === 0 ? DEAF : undefined },
  { name: '80 % of their packets lost', faulty: 1, seconds: 40, rules: second => second === 0 ? LOSSY : undefined },
  {
    name: `packets to them dropped for ${FLIP_SECONDS} s of every ${2 * FLIP_SECONDS} s`,
    faulty: 2,
    seconds: 4 * FLIP_SECONDS,
    rules: second => second % FLIP_SECONDS !== 0 ? undefined : second % (2 * FLIP_SECONDS) === 0 ? DEAF : []
  }
]

const FORMATION_LIMIT_MS = 120_000
/** Quiet time before the fault: every connection has its first answers. */
const SETTLE_MS = 8000

const processesOf = (hosts: readonly Host[]): readonly Host['process'][] => hosts.map(({ process }) => process)

async function run (scenario: Scenario, detector: DetectorName, members: number): Promise<NamespaceRow> {
  const cluster = new NamespaceCluster(members, detector)
  try {
    const begunMs = Date.now()
    cluster.start()
    const formedMs = await agree(processesOf(cluster.hosts), members, FORMATION_LIMIT_MS)
    if (formedMs === undefined) throw new Error(`${members} processes did not become one cluster within ${FORMATION_LIMIT_MS} ms`)
    const upMs = Math.max(...cluster.hosts.map(({ process }) => process.lines[0]!.atMs))
    await delay(SETTLE_MS)
    // Spread over the cluster, the founder not among them.
    const step = Math.floor((members - 1) / scenario.faulty)
    const faulty = Array.from({ length: scenario.faulty }, (_, index) => cluster.hosts[1 + index * step]!)
    const healthy = cluster.hosts.filter(host => !faulty.includes(host))
    const epoch = healthy[0]!.process.lines.at(-1)!.epoch
    const faultMs = Date.now()
    if (scenario.rules === undefined) await Promise.all(faulty.map(({ process }) => process.kill()))
    let cutMs: number | undefined
    for (let second = 0; second < scenario.seconds; second++) {
      const rules = scenario.rules?.(second)
      if (rules !== undefined) for (const host of faulty) cluster.filter(host, rules)
      const agreedMs = await agree(processesOf(healthy), members - faulty.length, 900)
      if (agreedMs !== undefined) cutMs ??= agreedMs - faultMs
      await delay(Math.max(0, faultMs + (second + 1) * 1000 - Date.now()))
    }
    const later = new Map<number, MemberLine>()
    for (const { process } of healthy) for (const line of process.lines) if (line.epoch > epoch) later.set(line.epoch, line)
    const steps = [...later.values()].sort((a, b) => a.epoch - b.epoch)
    const removals = steps.flatMap(({ removed }) => removed)
    const bad = new Set(faulty.map(({ address }) => address))
    const faultyRemovals = removals.filter(address => bad.has(address)).length
    return {
      scenario: scenario.name, detector, members, faulty: scenario.faulty, startMs: upMs - begunMs, formationMs: formedMs - upMs, cutMs,
      viewChanges: steps.length, sizes: steps.map(({ size }) => size).join(' '), faultyRemovals, healthyRemovals: removals.length - faultyRemovals
    }
  } finally {
    await cluster.close()
  }
}

/** Says what is missing, instead of failing halfway. */
function checkMachine (): void {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root')
  for (const tool of ['ip', 'iptables']) {
    if (spawnSync(tool, ['-V']).error !== undefined) throw new Error(`this needs \`${tool}\`: on Debian, apt-get install iproute2 iptables`)
  }
}

/**
 * @param members how many processes
 * @param only takes the scenarios whose name has this text
 * @param detector takes one of the detectors, instead of each in turn
 */
export async function namespaceBench (members: number, only = '', detector?: string): Promise<NamespaceRow[]> {
  const detectors = DETECTOR_NAMES.filter(name => detector === undefined || name === detector)
  if (detectors.length === 0) throw new UsageError(`--detector must be one of ${DETECTOR_NAMES.join(', ')}, not ${detector}`)
  checkMachine()
  const rows: NamespaceRow[] = []
  for (const name of detectors) {
    for (const scenario of SCENARIOS) {
      if (!scenario.name.includes(only)) continue
      const row = await run(scenario, name, members)
      process.stderr.write(`${JSON.stringify(row)}\n`)
      rows.push(row)
    }
  }
  return rows
}
