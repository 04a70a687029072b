/**
 * A member as a process of its own, whose main thread blocks when told to; for worker.test.ts, which starts the built file.
 *
 * Standard input takes one JSON object per line, `{ blockMs, everyMs, times }` or `{ mark }`; standard output gives one per event. It ends
 * with the process that holds the other end of its input, unless it is blocked: no block is longer than BLOCK_MAX_MS.
 *
 * Each event says how much time this process had for its work until then, as membership counts it (`LocalClock`): on a machine that is
 * busy with other things that is less than what a watch says, and it is what the detectors promise to keep to.
 */
import { createInterface } from 'node:readline'
import {
  createJsonLog, createSystemClock, createSystemRandom, createWebSocketTransport, LocalClock, Membership, StandIn, windowedPing
} from 'coterie/membership'

export interface WorkerNodeArguments {
  readonly name: string
  /** Absent at the founder, which waits for `expect` members. */
  readonly seed?: string
  readonly expect: number
  readonly standIn: boolean
}

export interface BlockCommand {
  readonly blockMs: number
  readonly everyMs: number
  readonly times: number
}

/** Answered by an event of the same number. */
export interface MarkCommand {
  readonly mark: number
}

export type WorkerNodeEvent =
  | { readonly event: 'listening', readonly address: string }
  | { readonly event: 'view', readonly epoch: number, readonly names: readonly string[], readonly removed: readonly string[] }
  | { readonly event: 'status', readonly status: string }
  /** The main thread was blocked so many times, and each time ran for the rest of its period. */
  | { readonly event: 'blocked', readonly times: number }
  | { readonly event: 'mark', readonly mark: number }

/** An event as it is printed. */
export type WorkerNodeLine = WorkerNodeEvent & { readonly localMs: number }

const BLOCK_MAX_MS = 60_000
/** How often the time that this process had is looked at. */
const BEAT_MS = 50

async function main ({ name, seed, expect, standIn: withStandIn }: WorkerNodeArguments): Promise<void> {
  const [clock, random, log] = [createSystemClock(), createSystemRandom(), createJsonLog({ level: 'warn' })]
  const local = new LocalClock()
  const beat = (): void => {
    const now = clock.now()
    clock.setTimer(local.expect(local.read(now) + BEAT_MS) - now, beat)
  }
  beat()
  const tell = (event: WorkerNodeEvent): void => {
    process.stdout.write(JSON.stringify({ ...event, localMs: local.read(clock.now()) } satisfies WorkerNodeLine) + '\n')
  }
  const transport = createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 }, clock, random, log })
  await transport.start()
  tell({ event: 'listening', address: transport.address! })
  const standIn = withStandIn ? new StandIn({ clock, random, log }, { host: '127.0.0.1' }) : undefined
  await standIn?.start()
  const membership = new Membership({ environment: { clock, random, log, transport }, detector: standIn?.detector() ?? windowedPing }, {
    clusterName: 'workers',
    rejoin: false,
    ...(seed === undefined ? { found: true, expect } : { seeds: [seed] }),
    metadata: { tags: { name, ...standIn?.tags } }
  })
  membership.on('view-change', ({ configuration, removed }) => {
    const names = (members: typeof removed): string[] => members.map(member => member.metadata.tags['name']!).sort()
    tell({ event: 'view', epoch: configuration.epoch, names: names(configuration.members), removed: names(removed) })
  })
  membership.on('status', status => { tell({ event: 'status', status }) })

  const idle = new Int32Array(new SharedArrayBuffer(4))
  function block ({ blockMs, everyMs, times }: BlockCommand, done = 0): void {
    // A wait blocks the event loop as a computation would, and leaves the processor to others.
    Atomics.wait(idle, 0, 0, Math.min(blockMs, BLOCK_MAX_MS))
    setTimeout(() => {
      tell({ event: 'blocked', times: done + 1 })
      if (done + 1 < times) block({ blockMs, everyMs, times }, done + 1)
    }, everyMs - blockMs)
  }
  createInterface({ input: process.stdin })
    .on('line', line => {
      const command = JSON.parse(line) as BlockCommand | MarkCommand
      if ('mark' in command) tell({ event: 'mark', mark: command.mark })
      else block(command)
    })
    .on('close', () => { process.exit(0) })
  await membership.start()
}

await main(JSON.parse(process.argv[2]!) as WorkerNodeArguments)
