/**
 * One member as a process of its own, for `member-process.ts`: joins, and prints a line of JSON for each view change that it sees.
 *
 * Its first line, of epoch 0, says that it is up, and where.
 *
 * Usage: member.js ADDRESS SEED EXPECT [DETECTOR], where a founder is given the number of members to expect, and no seed (''), all others '';
 * and DETECTOR is one of DETECTORS below.
 */
import { createSystemClock, createSystemRandom, createWebSocketTransport, Membership, phiAccrual, silentLog, windowedPing } from 'coterie/membership'
import type { DetectorName, MemberLine } from './member-process.ts'

const DETECTORS = { phiAccrual: phiAccrual(), windowedPing }

const [listen = '', seed = '', expect = '', detector = 'phiAccrual'] = process.argv.slice(2)
const [host, port] = listen.split(':') as [string, string]

const clock = createSystemClock()
const random = createSystemRandom()
const transport = createWebSocketTransport({ listen: { host, port: Number(port) }, clock, random })
await transport.start()
const address = transport.address!
const print = (line: Omit<MemberLine, 'atMs' | 'address'>): void => {
  process.stdout.write(`${JSON.stringify({ atMs: clock.wallNow(), address, ...line })}\n`)
}
print({ epoch: 0, id: '', size: 0, removed: [] })
const membership = new Membership({
  environment: { clock, random, log: silentLog, transport }, detector: DETECTORS[detector as DetectorName]
}, {
  clusterName: 'bench',
  seeds: expect === '' ? [seed] : [],
  joinTimeoutMs: 600_000,
  ...expect === '' ? {} : { found: true, expect: Number(expect), expectDeadlineMs: 120_000 }
})
membership.on('view-change', ({ configuration, removed }) => {
  const { epoch, id, members } = configuration
  print({ epoch, id, size: members.length, removed: removed.map(member => member.address) })
})
membership.start().catch((error: unknown) => {
  process.stderr.write(`${address}: ${String(error)}\n`)
  process.exitCode = 1
})
