/**
 * Busy, dead and stuck processes, told apart (rule M10), with real processes and the default options.
 *
 * The first test is the control of the second: without stand-ins the same load costs a member its place. How long a verdict takes is
 * counted in the time that the observers had for their work: on a machine that is busy with other things a watch says nothing
 * about the detectors. What is waited for has long deadlines, since nothing is proven by how soon a program starts.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, test, type TestContext } from 'vitest'
import { eventually, PATIENCE_MS, pause } from '../../store/verify/eventually.ts'
import type { BlockCommand, MarkCommand, WorkerNodeArguments, WorkerNodeEvent, WorkerNodeLine } from './worker-node.ts'

const PROGRAM = fileURLToPath(new URL('../../dist/test/process/worker-node.js', import.meta.url))
const NODES = 5
const BLOCKED_MAX_MS = 15_000
/** Silence alone would take that long at least: four probes, one per second. What is faster is hard evidence. */
const SILENCE_VERDICT_MS = 3500

type View = WorkerNodeEvent & { event: 'view' }
/** A line, and when it came by the watch of the test. */
type Timed = WorkerNodeLine & { readonly atMs: number }

/** Owns the process; it ends with `kill`. */
class WorkerNode {
  readonly name: string
  readonly events: Timed[] = []
  readonly #child: ChildProcess
  #errors = ''
  #marks = 0

  constructor (options: WorkerNodeArguments) {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npm run build first`)
    this.name = options.name
    this.#child = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'pipe'] })
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      this.events.push({ ...JSON.parse(line) as WorkerNodeLine, atMs: performance.now() })
    })
    this.#child.stderr!.on('data', (data: Buffer) => { this.#errors += data.toString() })
    // Written to after its death, the pipe says so; the test looks at the events.
    this.#child.stdin!.on('error', () => {})
  }

  get views (): View[] {
    return this.events.filter(event => event.event === 'view')
  }

  /** Waits for the first event like that. @throws when it does not come in time */
  async told (what: Partial<WorkerNodeEvent>): Promise<WorkerNodeLine> {
    const wanted = Object.entries(what)
    const like = (event: Record<string, unknown>): boolean => wanted.every(([name, value]) => event[name] === value)
    let found: WorkerNodeLine | undefined
    await eventually(PATIENCE_MS, () => {
      found = this.events.find(event => like({ ...event }))
      const soFar = this.events.map(event => JSON.stringify(event)).join('\n')
      return Promise.resolve(found === undefined ? `${this.name} has not told ${JSON.stringify(what)}, but\n${soFar}\n${this.#errors}` : undefined)
    })
    return found!
  }

  block (command: BlockCommand): void {
    this.#command(command)
  }

  /** The time that this process has had until now. */
  async localMs (): Promise<number> {
    const mark = ++this.#marks
    this.#command({ mark })
    return (await this.told({ event: 'mark', mark })).localMs
  }

  #command (command: BlockCommand | MarkCommand): void {
    this.#child.stdin!.write(JSON.stringify(command) + '\n')
  }

  /** When it learned that a member was removed. */
  sawRemoval (name: string): Timed | undefined {
    return this.events.find(event => event.event === 'view' && event.removed.includes(name))
  }

  async kill (): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = new Promise(resolve => { this.#child.once('close', resolve) })
    this.#child.kill('SIGKILL')
    await closed
  }
}

/** A cluster whose processes end with the test. */
async function formed (context: TestContext, standIn: boolean): Promise<WorkerNode[]> {
  const nodes: WorkerNode[] = []
  context.onTestFinished(async () => { await Promise.all(nodes.map(node => node.kill())) })
  const launch = (seed?: string): void => {
    nodes.push(new WorkerNode({ name: `n${nodes.length}`, expect: NODES, standIn, ...(seed === undefined ? {} : { seed }) }))
  }
  launch()
  const listening = await nodes[0]!.told({ event: 'listening' })
  while (nodes.length < NODES) launch((listening as WorkerNodeLine & { event: 'listening' }).address)
  await eventually(PATIENCE_MS, () => Promise.resolve(nodes.every(node => node.views.at(-1)?.names.length === NODES) ? undefined : 'the cluster has not formed'))
  return nodes
}

/** The time that each of them has had until now. */
async function clocks (nodes: readonly WorkerNode[]): Promise<number[]> {
  return await Promise.all(nodes.map(node => node.localMs()))
}

/**
 * Waits until all witnesses saw the removal.
 * @returns when the first one did, by the watch of the test, and how long the quickest took since then in its own time.
 */
async function removal (name: string, witnesses: readonly WorkerNode[], sinceMs: readonly number[]): Promise<{ atMs: number, tookMs: number }> {
  await eventually(PATIENCE_MS, () => {
    const missing = witnesses.filter(node => node.sawRemoval(name) === undefined)
    return Promise.resolve(missing.length === 0 ? undefined : `${missing.map(node => node.name).join()} did not see the removal of ${name}`)
  })
  const seen = witnesses.map(node => node.sawRemoval(name)!)
  return { atMs: Math.min(...seen.map(({ atMs }) => atMs)), tookMs: Math.min(...seen.map(({ localMs }, index) => localMs - sinceMs[index]!)) }
}

describe.concurrent('with the default options', () => {
  test('without stand-ins a member whose main thread is blocked for 3 s in every 5 s is removed', async context => {
    const nodes = await formed(context, false)
    const busy = nodes[NODES - 1]!
    const others = nodes.filter(node => node !== busy)
    busy.block({ blockMs: 3000, everyMs: 5000, times: 6 })
    await removal(busy.name, others, await clocks(others))
  })

  test('with stand-ins it stays, blames nobody, and is removed all the same when it is killed', async context => {
    const { expect } = context
    const nodes = await formed(context, true)
    const busy = nodes[NODES - 1]!
    const others = nodes.filter(node => node !== busy)
    const views = nodes.map(node => node.views.length)
    busy.block({ blockMs: 3000, everyMs: 5000, times: 5 })
    await busy.told({ event: 'blocked', times: 5 })
    expect(nodes.map(node => node.views.length), 'no view change').toEqual(views)
    expect(nodes.flatMap(node => node.events).filter(event => event.event === 'status' && event.status === 'isolated')).toEqual([])

    // Killed amid a block, while its stand-in answers for it.
    busy.block({ blockMs: 3000, everyMs: 3000, times: 1 })
    await pause(1000)
    const killedMs = await clocks(others)
    await busy.kill()
    expect((await removal(busy.name, others, killedMs)).tookMs).toBeLessThan(SILENCE_VERDICT_MS)
  })

  test('with stand-ins a member whose main thread never comes back is removed after 15 s', async context => {
    const { expect } = context
    const nodes = await formed(context, true)
    const stuck = nodes[NODES - 1]!
    const others = nodes.filter(node => node !== stuck)
    const stuckMs = performance.now()
    const stuckLocalMs = await clocks(others)
    stuck.block({ blockMs: 60_000, everyMs: 60_000, times: 1 })
    const { atMs, tookMs } = await removal(stuck.name, others, stuckLocalMs)
    // The excuse is for real time, of which the stand-in of the stuck one tells.
    expect(atMs - stuckMs).toBeGreaterThan(BLOCKED_MAX_MS)
    expect(tookMs).toBeLessThan(BLOCKED_MAX_MS + 10_000)
    for (const node of others) expect(node.views.at(-1)!.names).toEqual(others.map(({ name }) => name).sort())
  })
})
