/**
 * Formation and a crash, with as many processes of the operating system as members, all on loopback: membership alone, default options.
 *
 * One process founds and expects all; once it listens, all others are started at once. What counts begins when the last one is up, since
 * starting a hundred programs takes a small machine longer than all that follows: from then until the last of them has the
 * configuration of all. Then a tenth of them is killed, and what counts ends when all survivors have the configuration without them.
 *
 * `npm run bench -- formation [--n 100] [--json]`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { agree, MemberProcess, waitFor } from './member-process.ts'

export interface FormationRow {
  readonly nodes: number
  /** Of the operating system. */
  readonly processes: number
  /** From the start of the first process until the last one listened. */
  readonly startMs: number
  /** From then until the last one had the configuration of all. */
  readonly ms: number
  /** Different cluster sizes that any process ever saw until then, the founder's own included. */
  readonly distinctSizes: number
  readonly crashed: number
  /** From the crash until the last survivor had the configuration of all survivors. */
  readonly crashMs: number
  /** View changes that any survivor saw after the crash. */
  readonly crashViewChanges: number
  /** Survivors that were removed. */
  readonly healthyRemovals: number
}

const LIMIT_MS = 120_000
/** Quiet time before the crash: every connection has its first answers. */
const SETTLE_MS = 8000
/** After the agreement: whether it was the last view change. */
const WATCH_MS = 3000

/** @throws {Error} when the processes do not become one cluster, or the survivors do not agree, in time. */
export async function formationBench (nodes: number): Promise<FormationRow[]> {
  const processes: MemberProcess[] = []
  const crashed = Math.floor(nodes / 10)
  try {
    const begunMs = Date.now()
    const founder = new MemberProcess(['127.0.0.1:0', '', String(nodes)])
    processes.push(founder)
    if (!await waitFor(() => founder.lines.length > 0, LIMIT_MS)) throw new Error('the founder did not start')
    const seed = founder.lines[0]!.address
    while (processes.length < nodes) processes.push(new MemberProcess(['127.0.0.1:0', seed, '']))
    const formedMs = await agree(processes, nodes, LIMIT_MS)
    if (formedMs === undefined) throw new Error(`${nodes} processes did not become one cluster within ${LIMIT_MS} ms`)
    const upMs = Math.max(...processes.map(({ lines }) => lines[0]!.atMs))
    const sizes = new Set(processes.flatMap(({ lines }) => lines.filter(({ epoch }) => epoch > 0).map(({ size }) => size)))
    await delay(SETTLE_MS)

    // Spread over the cluster, the founder not among them.
    const step = crashed === 0 ? 1 : Math.floor((nodes - 1) / crashed)
    const victims = Array.from({ length: crashed }, (_, index) => processes[1 + index * step]!)
    const survivors = processes.filter(process => !victims.includes(process))
    const epoch = founder.lines.at(-1)!.epoch
    const crashMs = Date.now()
    const gone = victims.map(victim => victim.kill())
    const agreedMs = await agree(survivors, nodes - crashed, LIMIT_MS)
    if (agreedMs === undefined) throw new Error(`the survivors of a crash of ${crashed} of ${nodes} did not agree within ${LIMIT_MS} ms`)
    await Promise.all(gone)
    await delay(WATCH_MS)
    const later = survivors.flatMap(({ lines }) => lines.filter(line => line.epoch > epoch))
    const dead = new Set(victims.map(({ lines }) => lines[0]!.address))
    return [{
      nodes, processes: processes.length, startMs: upMs - begunMs, ms: formedMs - upMs, distinctSizes: sizes.size, crashed,
      crashMs: crashed === 0 ? 0 : agreedMs - crashMs, crashViewChanges: new Set(later.map(line => line.epoch)).size,
      healthyRemovals: new Set(later.flatMap(({ removed }) => removed.filter(address => !dead.has(address)))).size
    }]
  } finally {
    await Promise.all(processes.map(process => process.kill()))
  }
}
