/**
 * What the main job can be told on its command line: options, defaults, and the limits within which it makes sense.
 *
 * Pure.
 */
import { parseArgs } from 'node:util'

export interface Options {
  /** Processes that form the cluster. */
  readonly nodes: number
  /** Nodes that join at once. */
  readonly join: number
  /** Nodes, all of one rack, that crash at once. */
  readonly crash: number
  /** Keys that are written, and read back after every change. */
  readonly keys: number
  /** Q: partitions of the ring; a power of two. */
  readonly partitions: number
  /** R: replicas of each partition. */
  readonly replicas: number
  /** Racks that the first `nodes` are spread over; those that join bring racks of the same size. */
  readonly zones: number
  /** Every node is an operating-system process of its own. */
  readonly processes: boolean
  readonly json: boolean
  readonly verbose: boolean
}

/** The command line is wrong; the message says how. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly code = 'EXAMPLE_USAGE'
}

/** Nodes of a rack, where `--zones` says nothing else. */
const RACK_NODES = 10

export const HELP = `Usage: npm start -- [options]

Forms a cluster, writes and reads it, lets nodes join at once and a rack crash at once, and checks that nothing is lost.

  --nodes N        nodes that form the cluster (100)
  --zones Z        racks they are spread over (one per ten nodes, and more racks than replicas)
  --join J         nodes that join at once (two racks)
  --crash C        nodes of one rack that crash at once (a whole rack)
  --keys M         keys to write (20000)
  --partitions Q   partitions of the ring, a power of two (1024)
  --replicas R     replicas of each partition (3)
  --processes      every node is a process of its own, and crashes by SIGKILL
  --json           the summary as one line of JSON, the last of stdout; what people read goes to stderr
  --verbose        show what the nodes log
  --help           show this
`

function integer (name: string, text: string | undefined, fallback: number, minimum: number, maximum: number): number {
  if (text === undefined) return fallback
  const value = /^\d+$/.test(text) ? Number(text) : NaN
  if (!(value >= minimum && value <= maximum)) throw new UsageError(`--${name} must be an integer from ${minimum} to ${maximum}, not '${text}'`)
  return value
}

function parse (argv: readonly string[]): Record<string, string | boolean | undefined> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      args: [...argv],
      options: {
        nodes: text, zones: text, join: text, crash: text, keys: text, partitions: text, replicas: text,
        processes: flag, json: flag, verbose: flag, help: flag
      }
    }).values
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/**
 * @returns undefined when help was asked for.
 * @throws {UsageError} EXAMPLE_USAGE naming the first option that is unknown or out of its range.
 */
export function parseOptions (argv: readonly string[]): Options | undefined {
  const values = parse(argv)
  if (values.help === true) return undefined
  const number = (name: string, fallback: number, minimum: number, maximum: number): number =>
    integer(name, values[name] as string | undefined, fallback, minimum, maximum)

  const nodes = number('nodes', 100, 1, 1000)
  const replicas = number('replicas', 3, 1, 16)
  const partitions = number('partitions', 1024, 1, 65_536)
  if ((partitions & (partitions - 1)) !== 0) throw new UsageError(`--partitions must be a power of two, not ${partitions}`)
  if (nodes < replicas) throw new UsageError(`--nodes must be at least --replicas: ${replicas} replicas of a partition are ${replicas} nodes`)
  // One rack more than there are replicas: when a rack is lost, every partition can still have each replica in a rack of its own.
  const zones = number('zones', Math.min(nodes, Math.max(Math.ceil(nodes / RACK_NODES), replicas + 1)), 1, nodes)
  const rack = Math.floor(nodes / zones)
  const join = number('join', 2 * rack, 0, 1000)
  const crash = number('crash', replicas < 3 ? 0 : rack, 0, 1000)
  if (crash > rackSize(nodes, zones)) {
    throw new UsageError(`--crash must be at most ${rackSize(nodes, zones)}, the nodes of one of ${zones} racks: of two racks at once, some partitions would lose a majority`)
  }
  if (crash > 0 && replicas < 3) throw new UsageError(`--crash needs at least 3 replicas, for a majority of ${replicas} does not survive a crash`)
  if (crash > 0 && zones < replicas) throw new UsageError(`--crash needs at least as many racks as replicas: a rack of ${zones} would hold two replicas of a partition`)
  return {
    nodes,
    join,
    crash,
    keys: number('keys', 20_000, 1, 10_000_000),
    partitions,
    replicas,
    zones,
    processes: values.processes === true,
    json: values.json === true,
    verbose: values.verbose === true
  }
}

/** The nodes of the largest of the first racks. */
export function rackSize (nodes: number, zones: number): number {
  return Math.ceil(nodes / zones)
}

/** The rack of the node number `index`, counted from 0: the first nodes fill the first racks evenly, the joiners further ones. */
export function rackOf (index: number, { nodes, zones, join }: Pick<Options, 'nodes' | 'zones' | 'join'>): string {
  if (index < nodes) return `rack-${Math.floor(index * zones / nodes) + 1}`
  const racks = Math.ceil(join / rackSize(nodes, zones))
  return `rack-${zones + Math.floor((index - nodes) * racks / join) + 1}`
}
