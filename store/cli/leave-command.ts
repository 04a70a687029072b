/**
 * `coterie leave`: has nodes move everything off their stores, leave the cluster and end their processes, and waits until that is so.
 *
 * Owns nothing. Ending the command ends the wait alone.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { StoreError, STORE_ERROR_CODES, type StoreErrorCode } from '../errors.ts'
import type { NodeStatus } from '../node-status.ts'
import { CLIENT_OPTIONS, type Command, EXIT } from './command.ts'
import { askNodes, askStatus, reach, type Reach, withClient } from './connection.ts'

const LOOK_MS = 200
/** A node that is there answers at once; one that does not within this time is asked again before it counts as gone. */
const ANSWER_MS = 1000

const codes: readonly string[] = STORE_ERROR_CODES

function describeStep ({ address, drain, leaving }: NodeStatus): string {
  if (leaving?.state !== 'draining') return `${address}: ${leaving?.state ?? 'asked'}`
  return `${address}: draining; ${drain!.leading} partitions are led here, ${drain!.copies} copies are left`
}

/** @throws {StoreError} when a node stays */
function checkLeaving ({ address, leaving }: NodeStatus): void {
  if (leaving?.state !== 'failed') return
  const code = codes.includes(leaving.code ?? '') ? leaving.code as StoreErrorCode : 'STORE_FAILED'
  throw new StoreError(code, `${address} stays: ${leaving.message}`, { definite: false })
}

/** Stores of these that are members still, by what `target` says. */
async function membersAmong (stores: ReadonlySet<string>, target: Reach): Promise<string[]> {
  return await withClient(target, client => Promise.resolve(Object.keys(client.view!.addresses).filter(store => stores.has(store))))
}

export const leaveCommand: Command = {
  name: 'leave',
  usage: '',
  summary: 'take a node out of the cluster: move all data off it, have it leave, and end its process',
  positionals: [0, 0],
  options: {
    ...CLIENT_OPTIONS,
    now: { type: 'boolean', help: 'do not move anything first: to the others it is a crash that was announced' }
  },
  async run (given, terminal) {
    const target = reach(given)
    const json = given.flag('json')
    const members = await withClient(target, client => Promise.resolve(client.view!.addresses))
    const asked = await askNodes(target, { leave: given.flag('now') ? 'now' : 'drained' })
    const stores = new Set<string>(asked.map(({ storeId }) => storeId))
    const others = Object.entries(members).filter(([store]) => !stores.has(store)).map(([, address]) => address)
    const nodes = new Map(target.nodes.map((node, index) => [node, asked[index]!]))
    let said = ''
    let silences = 0
    while (nodes.size > 0) {
      for (const status of nodes.values()) checkLeaving(status)
      const lines = [...nodes.values()].map(describeStep).join('\n')
      if (!json && lines !== said) terminal.error(said = lines)
      await delay(LOOK_MS)
      const silent: string[] = []
      for (const answer of await askStatus([...nodes.keys()], { ...target, deadlineMs: Math.min(ANSWER_MS, target.deadlineMs) })) {
        if ('status' in answer && answer.status.state !== 'closed') nodes.set(answer.node, answer.status)
        else silent.push(answer.node)
      }
      silences = silent.length === 0 ? 0 : silences + 1
      if (silent.length === 0) continue
      // It may have ended, or only be slow to answer: the others know.
      const still = others.length === 0 ? [] : await membersAmong(stores, { ...target, nodes: others })
      for (const node of silent) if (!still.includes(nodes.get(node)!.storeId)) nodes.delete(node)
      if (still.length > 0 && silences > target.deadlineMs / LOOK_MS) {
        throw new StoreError('STORE_DEADLINE_EXCEEDED', `${silent.join(', ')} does not answer, and is still a member`, { definite: false })
      }
    }
    if (json) terminal.out(JSON.stringify({ ok: true, nodes: asked.map(({ address, storeId }) => ({ node: address, storeId })) }))
    else for (const { address } of asked) terminal.out(`${address}: left`)
    return EXIT.ok
  }
}
