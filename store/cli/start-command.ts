/**
 * `coterie start`: runs one node in this process until it is told to end or its store fails.
 *
 * SIGINT and SIGTERM close it cleanly; to the cluster that is a crash, and a later start with the same directory returns. A node that was
 * asked to leave ends by itself.
 *
 * Owns: the node.
 */
import { createJsonLog, createLineLog } from './logs.ts'
import { createNode, type KillableNode, setAside } from '../start-node.ts'
import type { NodeOptions } from '../options.ts'
import { type Arguments, codeOf, type Command, DEFAULT_ADDRESS, describe, EXIT, exitCodeOf, type Terminal, UsageError } from './command.ts'

/** Tags as they are given on a command line. @throws {UsageError} */
export function parseTags (tags: readonly string[]): Record<string, string> {
  return Object.fromEntries(tags.map(tag => {
    const equals = tag.indexOf('=')
    if (equals < 1) throw new UsageError(`--tag must be name=value, not '${tag}'`)
    return [tag.slice(0, equals), tag.slice(equals + 1)]
  }))
}

/** Leaves out what was not given, so that the node's own defaults hold. */
const present = <T extends object>(values: { [Name in keyof T]: T[Name] | undefined }): Partial<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>

function standIn (given: Arguments): NonNullable<NodeOptions['standIn']> {
  const port = given.integer('stand-in-port')
  return port === undefined ? given.flag('stand-in') : { port }
}

function nodeOptions (given: Arguments): NodeOptions {
  const directory = given.text('directory')
  if (directory === undefined) throw new UsageError('--directory is required: where this node keeps its data')
  return {
    listen: given.text('listen') ?? DEFAULT_ADDRESS,
    directory,
    seeds: given.texts('seed'),
    found: given.flag('found'),
    tags: parseTags(given.texts('tag')),
    standIn: standIn(given),
    replication: present<NonNullable<NodeOptions['replication']>>({ rereplicateAfterMs: given.integer('rereplicate-after-ms') }),
    membership: present<NonNullable<NodeOptions['membership']>>({
      preset: given.text('preset') as 'lan' | undefined,
      joinTimeoutMs: given.integer('join-timeout-ms')
    }),
    ...present<Pick<NodeOptions, 'advertise' | 'clusterName' | 'expect' | 'partitions' | 'replicas' | 'zone' | 'weight' | 'role' | 'durability'>>({
      advertise: given.text('advertise'),
      clusterName: given.text('cluster'),
      expect: given.integer('expect'),
      partitions: given.integer('partitions'),
      replicas: given.integer('replicas'),
      zone: given.text('zone'),
      weight: given.integer('weight'),
      role: given.text('role') as 'voter' | undefined,
      durability: given.text('durability') as 'sync' | undefined
    })
  }
}

/** Says what happens to the node, one line per event. */
class Reporter {
  readonly #node: KillableNode
  readonly #terminal: Terminal
  readonly #json: boolean
  #joined = false
  #ready = false

  constructor (node: KillableNode, terminal: Terminal, json: boolean) {
    this.#node = node
    this.#terminal = terminal
    this.#json = json
  }

  /** A node may be ready in the very turn in which it joins: the lines come in this order all the same. */
  joined (): void {
    this.#joined = true
    const { address, storeId, epoch, members, clusterId } = this.#node.status()
    this.#say({ event: 'joined', address, storeId, clusterId, epoch, members }, `joined at ${address}: store ${storeId}, epoch ${epoch}, ${members} members`)
    if (this.#ready) this.#sayReady()
  }

  ready (): void {
    this.#ready = true
    if (this.#joined) this.#sayReady()
  }

  left (): void {
    this.#say({ event: 'left', address: this.#node.address }, 'left the cluster')
  }

  closed (): void {
    this.#say({ event: 'closed', address: this.#node.address }, 'closed')
  }

  #sayReady (): void {
    const { address, epoch, partitions: { total, seats } } = this.#node.status()
    this.#say({ event: 'ready', address, epoch, partitions: total, seats }, `ready at ${address}: replica of ${seats} of ${total} partitions`)
  }

  #say (event: Readonly<Record<string, unknown>>, line: string): void {
    this.#terminal.out(this.#json ? JSON.stringify(event) : line)
  }
}

async function start (given: Arguments, terminal: Terminal): Promise<number> {
  const options = nodeOptions(given)
  const repair = given.flag('repair')
  // A founder without its directory would found another cluster.
  if (repair && (options.found === true || options.seeds?.length === 0)) throw new UsageError('--repair needs a --seed, and no --found')
  try {
    return await run(given, options, terminal)
  } catch (error) {
    if (!repair || codeOf(error) !== 'STORE_DIRECTORY_DAMAGED') throw error
    terminal.error(`${describe(error)}; moved to ${setAside(options.directory)}, starting as a new store`)
    return await run(given, options, terminal)
  }
}

async function run (given: Arguments, options: NodeOptions, terminal: Terminal): Promise<number> {
  const write = (line: string): void => { terminal.error(line) }
  const log = given.flag('json-log') ? createJsonLog({ level: 'info', write }) : createLineLog({ level: 'warn', write })
  const node = createNode(options, { log })
  const reporter = new Reporter(node, terminal, given.flag('json'))
  node.on('ready', () => { reporter.ready() })
  node.on('view-change', ({ configuration, joined, removed }) => {
    log.info({ epoch: configuration.epoch, members: configuration.members.length, joined: joined.length, removed: removed.length }, 'view change')
  })
  const interrupted = terminal.interruption()
  // Listened to from the beginning: a store can fail in the turn in which it joins.
  const ended = new Promise<Error | undefined>(resolve => {
    node.on('failed', resolve)
    node.on('left', () => { reporter.left(); resolve(undefined) })
    interrupted.addEventListener('abort', () => { resolve(undefined) }, { once: true })
    if (interrupted.aborted) resolve(undefined)
  })
  try {
    await node.start(interrupted)
    reporter.joined()
    const failure = await ended
    if (failure !== undefined) {
      terminal.error(describe(failure))
      return exitCodeOf(failure)
    }
  } catch (error) {
    if (!interrupted.aborted) throw error
  } finally {
    await node.close()
  }
  reporter.closed()
  return EXIT.ok
}

export const startCommand: Command = {
  name: 'start',
  usage: '',
  summary: 'run a node',
  positionals: [0, 0],
  options: {
    directory: { type: 'string', value: 'path', help: 'where it keeps its data; required' },
    listen: { type: 'string', value: 'host:port', help: `where to listen (default ${DEFAULT_ADDRESS}; port 0 takes a free one)` },
    advertise: { type: 'string', value: 'host:port', help: 'what others connect to, where it differs from --listen' },
    cluster: { type: 'string', value: 'name', help: 'only nodes that name the same cluster meet (default coterie)' },
    seed: { type: 'string', multiple: true, value: 'host:port', help: 'a member to join through, repeatable' },
    found: { type: 'boolean', help: 'found the cluster; exactly one node does so, and a directory does it once' },
    expect: { type: 'string', value: 'n', help: 'founder: admit the first n nodes in one view change (default 1)' },
    partitions: { type: 'string', value: 'n', help: 'founder: how many partitions, a power of two (default 1024)' },
    replicas: { type: 'string', value: 'n', help: 'founder: how many replicas of each partition (default 3)' },
    repair: { type: 'boolean', help: 'move a damaged directory aside and start as a new store, which is taught by the others' },
    zone: { type: 'string', value: 'name', help: 'failure domain' },
    weight: { type: 'string', value: 'n', help: 'share of the data relative to other nodes (default 1)' },
    role: { type: 'string', value: 'name', help: 'voter, or agent: holds data and leaves the membership to the voters (default voter)' },
    durability: { type: 'string', value: 'name', help: 'sync: a write is acknowledged once it is on the disk; os: once the operating system has it (default sync)' },
    tag: { type: 'string', multiple: true, value: 'name=value', help: 'metadata of your own, repeatable' },
    'stand-in': { type: 'boolean', help: 'a second thread, with a UDP port, tells the others that this node is busy and not dead' },
    'stand-in-port': { type: 'string', value: 'n', help: 'the same, at that port' },
    preset: { type: 'string', value: 'name', help: 'timing of the membership: lan, wan or test (default lan)' },
    'join-timeout-ms': { type: 'string', value: 'n', help: 'give up joining after n milliseconds (default 60000)' },
    'rereplicate-after-ms': { type: 'string', value: 'n', help: 'copy the data of a crashed node to others after n milliseconds (default 60000)' },
    json: { type: 'boolean', help: 'report events as JSON lines' },
    'json-log': { type: 'boolean', help: 'log JSON lines, view changes included, instead of warnings as text' }
  },
  run: start
}
