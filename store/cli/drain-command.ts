/**
 * `coterie drain`: has nodes move everything off their stores, and waits until that is done, or takes it back.
 *
 * Owns nothing. Ending the command ends the wait alone.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { StoreError } from '../errors.ts'
import type { NodeStatus } from '../node-status.ts'
import { CLIENT_OPTIONS, type Command, EXIT } from './command.ts'
import { askNodes, reach } from './connection.ts'

const LOOK_MS = 500

const left = ({ address, drain }: NodeStatus): string =>
  `${address}: ${drain!.state}; ${drain!.leading} partitions are led here, ${drain!.copies} copies are left`

export const drainCommand: Command = {
  name: 'drain',
  usage: '',
  summary: 'move all data off a node, so that it can be stopped without any interruption',
  positionals: [0, 0],
  options: {
    ...CLIENT_OPTIONS,
    undo: { type: 'boolean', help: 'take it back' },
    'no-wait': { type: 'boolean', help: 'end as soon as it is agreed on' }
  },
  async run (given, terminal) {
    const target = reach(given)
    const json = given.flag('json')
    let statuses = await askNodes(target, { drain: !given.flag('undo') })
    let said = ''
    while (!given.flag('undo') && !given.flag('no-wait') && statuses.some(({ drain }) => drain!.state !== 'drained')) {
      for (const { address, drain } of statuses) {
        if (drain!.blocked !== undefined) throw new StoreError('STORE_TOO_FEW_STORES', `${address} cannot be emptied: ${drain!.blocked}`, { definite: false })
        if (drain!.state === 'none') throw new StoreError('STORE_ABORTED', `the drain of ${address} was taken back`, { definite: false })
      }
      const lines = statuses.map(left).join('\n')
      if (!json && lines !== said) terminal.error(said = lines)
      await delay(LOOK_MS)
      statuses = await askNodes(target)
    }
    if (json) terminal.out(JSON.stringify({ ok: true, nodes: statuses.map(({ address, storeId, drain }) => ({ node: address, storeId, ...drain })) }))
    else for (const status of statuses) terminal.out(left(status))
    return EXIT.ok
  }
}
