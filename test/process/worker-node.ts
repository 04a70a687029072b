/**
 * A member as a process of its own, whose main thread blocks when told to; for worker.test.ts, which starts the built file.
 *
 * Standard input takes one JSON object per line, `{ blockMs, everyMs, times }`; standard output gives one per event. It ends with the
 * process that holds the other end of its input, unless it is blocked: no block is longer than BLOCK_MAX_MS.
 */
import { createInterface } from 'node:readline'
import {
  createJsonLog, createSystemClock, createSystemRandom, createWebSocketTransport, Membership, StandIn, windowedPing
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

export type WorkerNodeEvent =
  | { readonly event: 'listening', readonly address: string }
  | { readonly event: 'view', readonly epoch: number, readonly names: readonly string[], readonly removed: readonly string[] }
  | { readonly event: 'status', readonly status: string }
  /** The main thread was blocked so many times, and each time ran for the rest of its period. */
  | { readonly event: 'blocked', readonly times: number }

const BLOCK_MAX_MS = 60_000

function tell (event: WorkerNodeEvent): void {
  process.stdout.write(JSON.stringify(event) + '\n')
}

async function main ({ name, seed, expect, standIn: withStandIn }: WorkerNodeArguments): Promise<void> {
  const [clock, random, log] = [createSystemClock(), createSystemRandom(), createJsonLog({ level: 'warn' })]
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
    .on('line', line => { block(JSON.parse(line) as BlockCommand) })
    .on('close', () => { process.exit(0) })
  await membership.start()
}

await main(JSON.parse(process.argv[2]!) as WorkerNodeArguments)
