/**
 * One member as a process of its own, for `cluster.ts`: joins, and prints a line of JSON for each view change that it sees.
 *
 * Its first line, of epoch 0, says that it is up.
 *
 * Usage: member.js ADDRESS SEED [EXPECT], where a founder is given the number of members to expect.
 */
import { createSystemClock, createSystemRandom, createWebSocketTransport, Membership, silentLog } from 'coterie/membership'
import type { MemberLine } from './cluster.ts'

const [address = '', seed = '', expect] = process.argv.slice(2)
const [host, port] = address.split(':') as [string, string]
const print = (line: MemberLine): void => { process.stdout.write(`${JSON.stringify(line)}\n`) }

const clock = createSystemClock()
const random = createSystemRandom()
const transport = createWebSocketTransport({ listen: { host, port: Number(port) }, clock, random })
await transport.start()
print({ atMs: clock.wallNow(), epoch: 0, id: '', size: 0, removed: [] })
const membership = new Membership({ environment: { clock, random, log: silentLog, transport } }, {
  clusterName: 'namespaces',
  seeds: expect === undefined ? [seed] : [],
  joinTimeoutMs: 600_000,
  ...expect === undefined ? {} : { found: true, expect: Number(expect), expectDeadlineMs: 120_000 }
})
membership.on('view-change', ({ configuration, removed }) => {
  const { epoch, id, members } = configuration
  print({ atMs: clock.wallNow(), epoch, id, size: members.length, removed: removed.map(member => member.address) })
})
membership.start().catch((error: unknown) => {
  process.stderr.write(`${address}: ${String(error)}\n`)
  process.exitCode = 1
})
