/**
 * The ring without our store: a cache of one's own, sharded over a cluster by `Sharder`, driven by `Membership`.
 *
 * Every process holds the entries of its partitions in a Map. When the cluster changes, the sharder tells each process which partitions it
 * gets and from whom, and which it gives up and to whom: the old owner then sends the entries to the new one. Of a process that
 * crashed nothing can be sent, and its entries are gone, as befits a cache (whoever needs them to survive needs replicas: that is
 * what the store is for).
 *
 * The fold is what makes it work: membership carries the placement along, so that a process that joins late starts from the
 * same one as everybody else.
 *
 * Run it: npm run example -- own-data-store
 */
import {
  CHANNELS, createSystemClock, createSystemRandom, createWebSocketTransport, Membership, silentLog, type StoreId, type WebSocketTransport
} from 'coterie/membership'
import { foldPlacement, type FoldState, type PartitionIndex, partitionOf, placementFold, Sharder } from 'coterie/ring'
import { setTimeout as delay } from 'node:timers/promises'

const PARTITIONS = 32
const KEYS = 200
const DEADLINE_MS = 20_000
const placement = placementFold(foldPlacement, { partitions: PARTITIONS, replicas: 1 })

/** The entries of one partition, on their way to its new owner. */
interface Parcel { readonly partition: number, readonly entries: readonly (readonly [string, string])[] }

class CacheNode {
  readonly name: string
  readonly #transport: WebSocketTransport
  readonly #membership: Membership<FoldState>
  readonly #sharder: Sharder
  readonly #entries = new Map<PartitionIndex, Map<string, string>>()
  #received = 0
  #sent = 0

  constructor (name: string, seeds: readonly string[], expect?: number) {
    this.name = name
    const environment = { clock: createSystemClock(), random: createSystemRandom(), log: silentLog }
    this.#transport = createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 }, ...environment })
    // A process that keeps nothing on a disk needs no lasting identity; here its name serves.
    const storeId = name as StoreId
    this.#membership = new Membership({ environment: { ...environment, transport: this.#transport }, fold: placement }, {
      clusterName: 'cache', preset: 'test', storeId, ...(expect === undefined ? { seeds } : { found: true, expect })
    })
    this.#sharder = new Sharder({
      self: storeId,
      acquire: partition => { if (!this.#entries.has(partition)) this.#entries.set(partition, new Map()) },
      release: (partition, to) => { this.#hand(partition, to) }
    }, { partitions: PARTITIONS })
    this.#membership.on('view-change', ({ state }) => { this.#sharder.restore(state) })
  }

  async start (): Promise<void> {
    await this.#transport.start()
    this.#transport.receive(CHANNELS.bulk, message => { this.#unpack(message as Parcel) })
    await this.#membership.start()
  }

  get address (): string { return this.#transport.address! }
  get epoch (): number { return this.#membership.configuration.epoch }
  get held (): number { return this.#sharder.held.size }
  get size (): number { return [...this.#entries.values()].reduce((sum, entries) => sum + entries.size, 0) }

  /** The owner's own entries; undefined where this process is not the owner of the key. */
  entriesFor (key: string): Map<string, string> | undefined {
    const partition = partitionOf(key, PARTITIONS)
    return this.#sharder.held.has(partition) ? this.#entries.get(partition) : undefined
  }

  #hand (partition: PartitionIndex, to: StoreId | undefined): void {
    const entries = this.#entries.get(partition)
    this.#entries.delete(partition)
    const target = this.#membership.configuration.members.find(member => member.storeId === to)
    if (entries === undefined || target === undefined) return
    this.#sent++
    this.#transport.send(target.address, CHANNELS.bulk, { partition, entries: [...entries] } satisfies Parcel)
  }

  #unpack ({ partition, entries }: Parcel): void {
    this.#received++
    // The parcel may arrive before this process knows that the partition is its own, or after somebody wrote to it: newer wins.
    const mine = this.#entries.get(partition as PartitionIndex) ?? new Map<string, string>()
    this.#entries.set(partition as PartitionIndex, mine)
    for (const [key, value] of entries) if (!mine.has(key)) mine.set(key, value)
  }

  toString (): string {
    return `${this.name}: ${this.held} partitions, ${this.size} entries; handed over ${this.#sent} partitions, took over ${this.#received}`
  }

  async crash (): Promise<void> {
    this.#transport.kill()
    await this.#membership.close()
  }

  async close (): Promise<void> {
    await this.#membership.close()
    await this.#transport.close()
  }
}

const nodes: CacheNode[] = []

async function until (what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`${what} did not happen within ${DEADLINE_MS} ms`)
    await delay(20)
  }
}

const agreed = (epoch: number) => (): boolean => nodes.every(node => node.epoch >= epoch)
const entries = (): number => nodes.reduce((sum, node) => sum + node.size, 0)

function show (title: string): void {
  console.log(`\n${title}`)
  for (const node of nodes) console.log(`  ${node.toString()}`)
}

async function main (): Promise<void> {
  const first = new CacheNode('a', [], 3)
  nodes.push(first)
  await first.start()
  nodes.push(...['b', 'c'].map(name => new CacheNode(name, [first.address])))
  await Promise.all(nodes.slice(1).map(node => node.start()))
  await until('the formation', agreed(2))

  for (let index = 0; index < KEYS; index++) {
    const owners = nodes.map(node => node.entriesFor(`key ${index}`)).filter(found => found !== undefined)
    if (owners.length !== 1) throw new Error(`key ${index} has ${owners.length} owners`)
    owners[0]!.set(`key ${index}`, `value ${index}`)
  }
  show(`${KEYS} entries, each at the one owner of its key`)

  const joiner = new CacheNode('d', [first.address])
  await joiner.start()
  nodes.push(joiner)
  await until('the handover', () => agreed(3)() && entries() === KEYS)
  show('d has joined: it took its share from the others, and nothing else moved')

  const crashed = nodes.splice(1, 1)[0]!
  const lost = crashed.size
  await crashed.crash()
  await until('the removal', () => agreed(4)() && entries() === KEYS - lost)
  show(`b has crashed: its partitions have new owners, and its ${lost} entries are gone`)
  if (nodes.reduce((sum, node) => sum + node.held, 0) !== PARTITIONS) process.exitCode = 1
}

try {
  await main()
} finally {
  await Promise.all(nodes.map(node => node.close()))
}
