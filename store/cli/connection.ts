/**
 * How the commands reach a cluster: as any client does, or, to ask a node that is no member yet for its status, node by node.
 *
 * Owns: the client, for the time of one command.
 */
import { createSystemClock, createSystemRandom, silentLog } from '../../membership/environment/system.ts'
import { createWebSocketTransport } from '../../membership/transport/websocket.ts'
import { checkAddress } from '../address-check.ts'
import { type Client, connect } from '../client/client.ts'
import type { CallPayload } from '../client/call.ts'
import { callDeadlineMs, fillSessionOptions } from '../client/options.ts'
import { Runner } from '../client/runner.ts'
import type { NodeChange } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import type { Survey } from '../force/survey.ts'
import type { NodeExplanation } from '../node-explanation.ts'
import type { NodeStatus } from '../node-status.ts'
import { type Arguments, DEFAULT_ADDRESS } from './command.ts'

export interface Reach {
  readonly nodes: readonly string[]
  readonly deadlineMs: number
}

/** @throws {UsageError}; {StoreError} STORE_INVALID_OPTIONS */
export function reach (given: Arguments): Reach {
  const nodes = given.texts('node').length === 0 ? [DEFAULT_ADDRESS] : given.texts('node')
  for (const node of nodes) checkAddress('--node', node)
  return { nodes, deadlineMs: callDeadlineMs({ deadlineMs: given.integer('deadline-ms') }, 10_000) }
}

/** Runs `work` with a client of the cluster, and closes it. @throws {StoreError} STORE_NO_SEED and what `work` throws */
export async function withClient<T> ({ nodes, deadlineMs }: Reach, work: (client: Client<string, Buffer>) => Promise<T>): Promise<T> {
  return await closing(await connect<string, Buffer>(nodes, { deadlineMs, valueEncoding: 'buffer' }), work)
}

/** The same with keys as they are, byte for byte. @throws as `withClient` */
export async function withBytesClient<T> ({ nodes, deadlineMs }: Reach, work: (client: Client<Buffer, Buffer>) => Promise<T>): Promise<T> {
  return await closing(await connect<Buffer, Buffer>(nodes, { deadlineMs, keyEncoding: 'buffer', valueEncoding: 'buffer' }), work)
}

async function closing<K, T> (client: Client<K, Buffer>, work: (client: Client<K, Buffer>) => Promise<T>): Promise<T> {
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

export type StatusAnswer = Answered<NodeStatus>

type Answered<T> = { readonly node: string, readonly status: T } | { readonly node: string, readonly error: StoreError }

/** Puts one question to each node, about itself, all at once. */
async function askEach<T> (
  nodes: readonly string[], target: Reach, question: Omit<CallPayload & { kind: 'status' }, 'kind' | 'address'>
): Promise<Answered<T>[]> {
  return await withRunner(nodes, target, runner => Promise.all(nodes.map(async (node): Promise<Answered<T>> => {
    try {
      const answer = await runner.perform({ kind: 'status', address: node, ...question }, -1, 0, undefined)
      return { node, status: (answer as { status?: unknown }).status as T }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      return { node, error }
    }
  })))
}

/** Why a node is in the configuration of an epoch; null where it does not know. @throws {StoreError} when it does not answer */
export async function askExplanation (node: string, target: Reach, epoch: number): Promise<NodeExplanation | null> {
  return await withRunner([node], target, async runner => {
    const answer = await runner.perform({ kind: 'status', address: node, explain: epoch }, -1, 0, undefined)
    return (answer as { status?: unknown }).status as NodeExplanation | null
  })
}

/** Runs `work` with what talks to nodes without a view of their cluster. */
async function withRunner<T> (nodes: readonly string[], { deadlineMs }: Reach, work: (runner: Runner) => Promise<T>): Promise<T> {
  const clock = createSystemClock()
  const transport = createWebSocketTransport({ clock, log: silentLog })
  await transport.start()
  const runner = new Runner({ transport, clock, random: createSystemRandom(), log: silentLog }, fillSessionOptions({ seeds: nodes, deadlineMs }))
  try {
    return await work(runner)
  } finally {
    runner.close()
    await transport.close()
  }
}

/**
 * Asks each node for its status, all at once; with `change`, has it change that about itself before it answers. It needs no view of
 * the cluster: a node that is still joining answers, too.
 */
export async function askStatus (nodes: readonly string[], target: Reach, change?: NodeChange): Promise<StatusAnswer[]> {
  return await askEach<NodeStatus>(nodes, target, change === undefined ? {} : { change })
}

/** What the stores of nodes know of each partition. @throws {StoreError} of the first node that does not answer */
export async function askSurveys (nodes: readonly string[], target: Reach): Promise<Survey[]> {
  return (await askEach<Survey>(nodes, target, { survey: true })).map(answer => {
    if ('error' in answer) throw answer.error
    return answer.status
  })
}

/** The same, of the nodes that were named. @throws {StoreError} of the first node that does not answer, or that refuses */
export async function askNodes (target: Reach, change?: NodeChange): Promise<NodeStatus[]> {
  return (await askStatus(target.nodes, target, change)).map(answer => {
    if ('error' in answer) throw answer.error
    return answer.status
  })
}
