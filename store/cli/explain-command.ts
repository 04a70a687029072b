/**
 * `coterie explain`: why a configuration came about, as a node knows it: who reported what, who voted, how long it took.
 *
 * Owns nothing.
 */
import { formatExplanation } from '../../membership/index.ts'
import { StoreError } from '../errors.ts'
import type { NodeExplanation } from '../node-explanation.ts'
import { CLIENT_OPTIONS, type Command, EXIT, UsageError } from './command.ts'
import { askExplanation, askNodes, reach } from './connection.ts'

/** What membership says of it, with the addresses of those that are still there in place of their ids. */
const text = ({ addresses, ...explanation }: NodeExplanation): string =>
  Object.entries(addresses).reduce((text, [id, address]) => text.replaceAll(id, address), formatExplanation(explanation))

export const explainCommand: Command = {
  name: 'explain',
  usage: '[epoch]',
  summary: 'why a configuration came about, the present one or that of an epoch',
  positionals: [0, 1],
  options: CLIENT_OPTIONS,
  async run (given, terminal) {
    const [asked] = given.positionals
    if (asked !== undefined && !/^\d{1,15}$/.test(asked)) throw new UsageError(`expected: an epoch, not '${asked}'`)
    const target = reach(given)
    const node = target.nodes[0]!
    const epoch = asked === undefined ? (await askNodes({ ...target, nodes: [node] }))[0]!.epoch : Number(asked)
    const explanation = await askExplanation(node, target, epoch)
    if (explanation === null) throw new StoreError('STORE_INVALID_OPTIONS', `${node} did not see epoch ${epoch}, or has forgotten it`)
    if (given.flag('json')) terminal.out(JSON.stringify(explanation))
    else terminal.out(text(explanation))
    return EXIT.ok
  }
}
