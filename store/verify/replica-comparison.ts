/**
 * Compares what the disks of a cluster hold, after all its nodes have ended at rest: every member of a partition's group has the same data,
 * byte by byte, its log and its data say the same, and nobody has a copy, or a part of one, that is not of use.
 *
 * The same rules as the simulator's oracle looks at in the end (invariant 19 in store/README.md, and that no other copy is left). It
 * knows the whole history; here there is what logs have of it: the data of a copy must be what the entries of its log did last to each
 * key, and where the positions of two copies differ, the log brings the older one to where the newest is.
 *
 * Pure, but for reading the directories it is given.
 */
import { StoreError } from '../errors.ts'
import { encodeBody } from '../group/body-codec.ts'
import { changedBy, type Entry, type Group, operationName } from '../group/history.ts'
import type { StoredPartition } from '../storage/stored-copies.ts'
import { hex, indexed, type StoppedDirectory, type StoredValue } from './stopped-directory.ts'

/** A node that has ended. */
export interface ComparedNode {
  readonly name: string
  readonly directory: StoppedDirectory
}

export interface ReplicaComparison {
  /** What did not hold, in words. */
  readonly problems: readonly string[]
  /** Copies, values and entries of logs that were compared. */
  readonly copies: number
  readonly values: number
  readonly entries: number
}

/** One copy, brought to the position at which all are compared. */
interface Replica {
  readonly name: string
  readonly log: readonly Entry[]
  readonly data: Map<string, StoredValue>
}

/**
 * @param nodes all that are members, and any that have left in order, which must have nothing any more
 * @param partitions how many there are; of each, the whole latest group must be among the nodes
 */
export async function compareReplicas (nodes: readonly ComparedNode[], partitions: number): Promise<ReplicaComparison> {
  const problems: string[] = []
  const counts = { copies: 0, values: 0, entries: 0 }
  for (let partition = 0; partition < partitions; partition++) {
    const replicas = await replicasOf(partition, nodes, problem => { problems.push(`partition ${partition}: ${problem}`) })
    const [first, ...others] = replicas
    for (const other of others) {
      const wrong = differenceOfData(first!, other) ?? differenceOfLogs(first!, other)
      if (wrong !== undefined) problems.push(`partition ${partition}: ${wrong}`)
    }
    counts.copies += replicas.length
    for (const { data, log } of replicas) {
      counts.values += data.size
      counts.entries += log.length
    }
  }
  for (const { name, directory } of nodes) {
    for (const stray of await directory.strays()) problems.push(`${name} still has ${stray}, which is no live copy`)
  }
  return { problems, ...counts }
}

/** The latest group that any node knows of a partition. */
function latestGroup (partition: number, nodes: readonly ComparedNode[]): Group | undefined {
  return nodes.reduce<Group | undefined>((latest, { directory }) => {
    const group = directory.partitions.get(partition)?.state.group
    return group === undefined || (latest !== undefined && latest.generation >= group.generation) ? latest : group
  }, undefined)
}

/** The copies of a partition, each brought to the highest position that the data of one has. */
async function replicasOf (partition: number, nodes: readonly ComparedNode[], problem: (words: string) => void): Promise<Replica[]> {
  const group = latestGroup(partition, nodes)
  if (group === undefined) {
    problem('no node has a group of it')
    return []
  }
  const missing = group.members.filter(member => !nodes.some(({ directory }) => directory.storeId === member))
  if (missing.length > 0) problem(`its group names ${missing.join()}, which is no node`)
  const members: { readonly node: ComparedNode, readonly stored: StoredPartition, readonly copy: number }[] = []
  for (const node of nodes) {
    const stored = node.directory.partitions.get(partition)
    const copy = stored?.state.copy
    if (!group.members.some(member => member === node.directory.storeId)) {
      if (copy !== undefined) problem(`${node.name} keeps copy ${copy} of it, and is not in its group`)
    } else if (stored === undefined || copy === undefined) {
      problem(`${node.name} has no copy of it`)
    } else {
      if (JSON.stringify(stored.state.group) !== JSON.stringify(group)) problem(`${node.name} is in ${groupInWords(stored.state.group)}, and not in ${groupInWords(group)}`)
      members.push({ node, stored, copy })
    }
  }
  const to = Math.max(0, ...members.map(({ stored }) => stored.state.applied))
  const replicas: Replica[] = []
  for (const { node: { name, directory }, stored: { state, entries }, copy } of members) {
    try {
      const data = await directory.data(partition, copy)
      const wrong = contradictionOfLog(data, entries, state.applied) ?? contradictionOfIndex(data, await directory.index(partition, copy)) ??
        replay(data, entries, state.applied, to)
      if (wrong !== undefined) problem(`${name} ${wrong}`)
      else replicas.push({ name, log: entries.filter(({ seq }) => seq <= to), data })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      problem(`${name} cannot be read: ${error.code}: ${error.message}`)
    }
  }
  return replicas
}

const groupInWords = (group: Group | undefined): string => group === undefined
  ? 'no generation'
  : `generation ${group.generation} of ${group.members.join()} from ${group.base} on`

const inWords = (stored: StoredValue | undefined): string => stored === undefined
  ? 'nothing'
  : `${hex(stored.value)} of ${stored.seq}${stored.expires === undefined ? '' : ` until ${stored.expires}`}`

const keyInWords = (key: string): string => JSON.stringify(Buffer.from(key, 'hex').toString())

/** Whether data at `applied` is what the entries of the log up to there did last to each key that they changed. */
function contradictionOfLog (data: ReadonlyMap<string, StoredValue>, log: readonly Entry[], applied: number): string | undefined {
  const last = new Map<string, { readonly seq: number, readonly stored?: StoredValue | undefined, readonly known: boolean }>()
  for (const entry of log) {
    if (entry.seq > applied || entry.body.kind !== 'write') continue
    const { seq, body: { operations } } = entry
    // Of an entry whose keys were forgotten nothing is known; whatever it changed may have any number from there on.
    for (const key of changedBy(entry)?.keys ?? []) last.set(hex(key), { seq, known: false })
    for (const operation of operations ?? []) {
      last.set(hex(operation.key), { seq, known: true, stored: operation.kind === 'put' ? { seq, value: operation.value, expires: operation.expires } : undefined })
    }
  }
  const forgotten = log.findLast(entry => changedBy(entry) === undefined)?.seq ?? 0
  for (const [key, { seq, stored, known }] of last) {
    const found = data.get(key)
    const right = known
      ? inWords(found) === inWords(stored)
      : found === undefined || found.seq === seq
    if (right || seq < forgotten) continue
    return `has ${inWords(found)} at ${keyInWords(key)}, where entry ${seq} of its log left ${known ? inWords(stored) : 'that number or nothing'}`
  }
  return undefined
}

function contradictionOfIndex (data: ReadonlyMap<string, StoredValue>, index: ReadonlySet<string>): string | undefined {
  for (const [key, { seq, expires }] of data) {
    if (expires !== undefined && !index.has(indexed(key, { seq, expires }))) return `has ${keyInWords(key)} of ${seq}, which expires at ${expires}, and its index does not name it`
  }
  return undefined
}

/** Brings data from one position to another; says in words why it cannot. */
function replay (data: Map<string, StoredValue>, log: readonly Entry[], applied: number, to: number): string | undefined {
  for (let seq = applied + 1; seq <= to; seq++) {
    const entry = log.find(other => other.seq === seq)
    if (entry === undefined) return `lacks the entries from ${seq} to ${to}, which another copy has in its data`
    if (entry.body.kind !== 'write') continue
    if (entry.body.operations === null) return `has lost the values of entry ${seq}, and its data is only at ${applied}`
    for (const operation of entry.body.operations) {
      if (operation.kind === 'put') data.set(hex(operation.key), { seq, value: operation.value, expires: operation.expires })
      else data.delete(hex(operation.key))
    }
  }
  return undefined
}

function differenceOfData (a: Replica, b: Replica): string | undefined {
  for (const key of new Set([...a.data.keys(), ...b.data.keys()])) {
    const [ours, theirs] = [inWords(a.data.get(key)), inWords(b.data.get(key))]
    if (ours !== theirs) return `at ${keyInWords(key)} ${a.name} has ${ours}, and ${b.name} has ${theirs}`
  }
  return undefined
}

/** An entry without its ballot, which changes when a later leader proposes it again, and without values where compaction may have dropped them. */
function contentOf ({ body }: Entry, whole: boolean): string {
  if (whole || body.kind !== 'write') return hex(encodeBody(body))
  return `write ${operationName(body.id)}${body.failed === undefined ? '' : ` failed ${body.failed.operation}@${body.failed.version}`}`
}

const isWhole = ({ body }: Entry): boolean => body.kind !== 'write' || body.operations !== null

function differenceOfLogs (a: Replica, b: Replica): string | undefined {
  const theirs = new Map(b.log.map(entry => [entry.seq, entry]))
  for (const entry of a.log) {
    const other = theirs.get(entry.seq)
    if (other === undefined) continue
    const whole = isWhole(entry) && isWhole(other)
    if (contentOf(entry, whole) !== contentOf(other, whole)) return `entry ${entry.seq} is another one in the log of ${a.name} than in that of ${b.name}`
  }
  return undefined
}
