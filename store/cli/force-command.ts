/**
 * `coterie force`: gives up on stores that are lost for good, so that the partitions that wait for them go on without what only they had.
 *
 * Says what that would mean and changes nothing, unless `--accept-loss` is given. The order names what the plan showed and takes effect in
 * the very next configuration or not at all.
 *
 * Owns nothing.
 */
import type { StoreId } from '../../membership/configuration.ts'
import { StoreError } from '../errors.ts'
import { type ForcePlan, planForce } from '../force/plan.ts'
import type { Survey } from '../force/survey.ts'
import { CLIENT_OPTIONS, type Command, EXIT, type Terminal, UsageError } from './command.ts'
import { askNodes, askSurveys, reach, type Reach, withClient } from './connection.ts'

const WARNING = [
  'Make sure that none of these stores runs, and that none can be started again: one that is merely cut off may go on answering its clients.',
  'They are refused for ever afterwards. Give --accept-loss to carry this out.'
]

const refuse = (message: string): never => { throw new StoreError('STORE_FORCE_REFUSED', message) }

/** Asks every member. @throws {StoreError} of the first that does not answer */
async function surveyAll (target: Reach): Promise<Survey[]> {
  const addresses = await withClient(target, async client => Object.values(client.view!.addresses).sort())
  return await askSurveys(addresses, target)
}

function describePlan ({ partitions, refused, more, order }: ForcePlan, terminal: Terminal): void {
  terminal.out(`Giving up on ${order.abandoned.join(', ')} in epoch ${order.epoch}:`)
  for (const { partition, survivor, empty, position } of partitions) {
    terminal.out(empty
      ? `partition ${partition}: no copy is left. EVERYTHING in it is lost; store ${survivor} begins with nothing`
      : `partition ${partition}: store ${survivor} goes on with what it has, up to ${position}; what the lost ones have after that is lost`)
  }
  for (const { partition, reason } of refused) terminal.out(`partition ${partition}: cannot be forced: ${reason}`)
  if (more > 0) terminal.out(`${more} further partitions follow in orders of their own`)
}

export const forceCommand: Command = {
  name: 'force',
  usage: '',
  summary: 'give up on stores that are lost for good, with what only they had',
  positionals: [0, 0],
  options: {
    ...CLIENT_OPTIONS,
    store: { type: 'string', multiple: true, value: 'id', help: 'a store to give up on, repeatable; PARTITION_UNAVAILABLE names those that are missed' },
    'accept-loss': { type: 'boolean', help: 'carry it out; without it, only say what would be lost' }
  },
  async run (given, terminal) {
    const stores = [...new Set(given.texts('store'))].sort() as StoreId[]
    if (stores.length === 0) throw new UsageError('--store is required: which stores to give up on')
    const target = reach(given)
    const carryOut = given.flag('accept-loss')
    const json = given.flag('json')
    const done: ForcePlan['partitions'][number][] = []
    for (;;) {
      const surveys = await surveyAll(target)
      const plan = planForce(surveys, stores)
      const { partitions, refused, more, order } = plan
      if (!json) describePlan(plan, terminal)
      if (!carryOut || partitions.length === 0) {
        if (carryOut && refused.length > 0) refuse(`partition ${refused[0]!.partition} cannot be forced: ${refused[0]!.reason}`)
        if (!json) for (const line of partitions.length > 0 ? WARNING : ['No partition waits for them: nothing is to be done.']) terminal.out(line)
        else terminal.out(JSON.stringify({ ok: true, carriedOut: carryOut, epoch: order.epoch, stores, partitions, refused, more }))
        return EXIT.ok
      }
      if (refused.length > 0) refuse(`nothing was changed: partition ${refused[0]!.partition} cannot be forced: ${refused[0]!.reason}`)
      const [address] = Object.values(surveys[0]!.members)
      await askNodes({ ...target, nodes: [address!] }, { force: order })
      done.push(...partitions)
      if (!json) terminal.out(`carried out in epoch ${order.epoch + 1}`)
      if (more > 0) continue
      if (json) terminal.out(JSON.stringify({ ok: true, carriedOut: true, epoch: order.epoch + 1, stores, partitions: done, refused: [], more: 0 }))
      return EXIT.ok
    }
  }
}
