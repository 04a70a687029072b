/**
 * `coterie update`: changes the weight, the zone and the tags of a running node, and waits until the cluster has agreed on it.
 *
 * Owns nothing.
 */
import type { Metadata } from '../../membership/configuration.ts'
import { checkMetadata } from '../../membership/metadata-checks.ts'
import { type Arguments, CLIENT_OPTIONS, type Command, EXIT, UsageError } from './command.ts'
import { askNodes, reach } from './connection.ts'
import { parseTags } from './start-command.ts'

/** What the command line asks for. @throws {UsageError}; {MembershipError} MEMBERSHIP_INVALID_OPTIONS */
function asked (given: Arguments): Partial<Metadata> {
  const [weight, zone, tags] = [given.integer('weight'), given.text('zone'), given.texts('tag')]
  if (weight === undefined && zone === undefined && tags.length === 0) throw new UsageError('expected: --weight, --zone or --tag')
  return checkMetadata({
    ...weight === undefined ? {} : { weight }, ...zone === undefined ? {} : { zone }, ...tags.length === 0 ? {} : { tags: parseTags(tags) }
  })
}

export const updateCommand: Command = {
  name: 'update',
  usage: '',
  summary: 'change the weight, zone or tags of a running node, until it ends',
  positionals: [0, 0],
  options: {
    ...CLIENT_OPTIONS,
    weight: { type: 'string', value: 'n', help: 'share of the data relative to other nodes' },
    zone: { type: 'string', value: 'name', help: 'failure domain' },
    tag: { type: 'string', multiple: true, value: 'name=value', help: 'metadata of your own, repeatable; replaces all that there are' }
  },
  async run (given, terminal) {
    const statuses = await askNodes(reach(given), { update: asked(given) })
    if (given.flag('json')) terminal.out(JSON.stringify({ ok: true, nodes: statuses.map(({ address, storeId, epoch }) => ({ node: address, storeId, epoch })) }))
    else for (const { address, epoch } of statuses) terminal.out(`${address}: agreed on by epoch ${epoch}`)
    return EXIT.ok
  }
}
