/**
 * What an operator can get wrong when starting a node: each mistake is answered by an error with a stable code that says what to
 * do, and leaves nothing open behind it.
 *
 * Mutations caught: the directory's cluster name is not compared; the parent directory's errors pass as they come from the system.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NodeOptions } from '../../store/options.ts'
import { connect } from '../../store/client/client.ts'
import { runCli } from '../../store/verify/node-process.ts'
import { failure, Nodes } from './nodes.ts'

let nodes: Nodes

beforeEach(async () => { nodes = await Nodes.create() })
afterEach(async () => { await nodes.close() })

/** An address on which nobody listens, and nobody will soon: the port was ours just now. */
async function deadAddress (): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as { port: number }
  await new Promise(resolve => { server.close(resolve) })
  return `127.0.0.1:${port}`
}

describe('options', () => {
  const wrong: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    ['an unknown option', { directoy: 'x' }, /unknown option 'directoy'/],
    ['an unknown tuning option', { replication: { retries: 3 } }, /unknown option 'replication.retries'/],
    ['a tuning option by the name of what every object has', { replication: { toString: 3 } as never }, /unknown option 'replication.toString'/],
    ['no directory', { directory: '' }, /directory/],
    ['a directory that is no path', { directory: 7 }, /directory/],
    ['listen without a port', { listen: 'localhost' }, /listen must be 'host:port'/],
    ['a port beyond 65535', { listen: '127.0.0.1:70000' }, /listen/],
    ['a seed that is no address', { seeds: ['somewhere'] }, /seed/],
    ['seeds that are no list', { seeds: '127.0.0.1:1' }, /seeds/],
    ['partitions that are no power of two', { found: true, partitions: 100 }, /power of two/],
    ['partitions beyond the limit', { found: true, partitions: 131_072 }, /partitions/],
    ['no replicas', { found: true, replicas: 0 }, /replicas/],
    ['a fractional weight', { weight: 1.5 }, /weight/],
    ['expect without found', { expect: 3 }, /expect/],
    ['a stand-in that is no port', { standIn: { port: 70_000 } }, /standIn.port/],
    ['a stand-in that is neither on nor off', { standIn: 'yes' }, /standIn/],
    ['an empty cluster name', { clusterName: '' }, /clusterName/]
  ]
  test.each(wrong)('%s is refused before anything starts', (_name, options, message) => {
    expect(() => nodes.create(options as Partial<NodeOptions>)).toThrow(expect.objectContaining({ code: 'STORE_INVALID_OPTIONS', message: expect.stringMatching(message) as unknown }))
  })

  const wrongMembership: readonly (readonly [string, Partial<NodeOptions>])[] = [
    ['an unknown option of the membership', { found: true, membership: { probes: 3 } as never }],
    ['a preset that does not exist', { found: true, membership: { preset: 'mars' as 'lan' } }],
    ['a time that is none', { found: true, membership: { joinTimeoutMs: -1 } }],
    ['neither seeds nor found', {}],
    ['too long a zone', { found: true, zone: 'z'.repeat(129) }]
  ]
  test.each(wrongMembership)('%s is refused', async (_name, options) => {
    expect((await failure(nodes.start(options))).code).toBe('MEMBERSHIP_INVALID_OPTIONS')
  })
})

describe('the command line', () => {
  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no command', [], /Usage/],
    ['an unknown command', ['stat'], /unknown command 'stat'/],
    ['an unknown option', ['start', '--directroy', 'x'], /--directroy/],
    ['an option without its value', ['start', '--directory'], /--directory/],
    ['no directory', ['start'], /--directory is required/],
    ['a number that is none', ['start', '--directory', 'x', '--found', '--expect', 'three'], /--expect must be an integer/],
    ['a tag without a value', ['start', '--directory', 'x', '--tag', 'a'], /--tag must be name=value/],
    ['a bad value', ['start', '--directory', 'x', '--found', '--partitions', '100'], /STORE_INVALID_OPTIONS: partitions must be a power of two/],
    ['a durability that there is not', ['start', '--directory', 'x', '--found', '--durability', 'none'], /STORE_INVALID_OPTIONS: durability must be/],
    ['a key too many', ['get', 'a', 'b'], /expected: coterie get <key>/],
    ['a value twice', ['put', 'a', 'b', '--stdin'], /either as an argument or by --stdin/],
    ['a node that is no address', ['get', 'a', '--node', 'here'], /STORE_INVALID_OPTIONS: --node must be 'host:port', not 'here'/],
    ['a node whose port there is not', ['get', 'a', '--node', '127.0.0.1:99999'], /STORE_INVALID_OPTIONS: --node must be 'host:port', not '127.0.0.1:99999'/],
    ['a time without its unit', ['put', 'a', 'b', '--ttl', '30'], /--ttl must be a time with its unit/],
    ['a plan of nothing', ['plan'], /expected: --join, --remove or --drain/],
    ['an epoch that is none', ['explain', 'now'], /expected: an epoch/],
    ['a node to leave that is not named as one', ['leave', 'n1'], /expected: coterie leave/]
  ]
  test.each(wrong)('%s: exit code 2 and a message', async (_name, args, message) => {
    const result = await runCli(args)
    expect(result).toMatchObject({ code: 2, signal: null, stdout: '' })
    expect(result.stderr).toMatch(message)
    expect(result.stderr).not.toMatch(/^ {4}at /m)
  })

  test('no node answers: exit code 1 and STORE_NO_SEED', async () => {
    const result = await runCli(['get', 'a', '--node', await deadAddress(), '--deadline-ms', '300'])
    expect(result).toMatchObject({ code: 1, signal: null, stdout: '' })
    expect(result.stderr).toMatch(/^STORE_NO_SEED: /)
  })

  test('a key without a value: exit code 3', async () => {
    const { address } = await nodes.found()
    expect(await runCli(['get', 'a', '--node', address])).toMatchObject({ code: 3, stdout: '' })
    expect(await runCli(['put', 'a', '--stdin', '--node', address], { input: 'from a pipe\n' })).toMatchObject({ code: 0 })
    expect(await runCli(['get', 'a', '--raw', '--node', address])).toMatchObject({ code: 0, stdout: 'from a pipe\n' })
  })
})

describe('addresses', () => {
  test('a port in use', async () => {
    const { address } = await nodes.found()
    expect(await failure(nodes.found({ listen: address }))).toEqual({ code: 'TRANSPORT_ADDRESS_IN_USE', message: expect.stringContaining(address) as unknown })
  })

  test('a port in use, by the command line: exit code 1', async () => {
    const { address } = await nodes.found()
    const result = await runCli(['start', '--found', '--directory', nodes.directory(), '--listen', address])
    expect(result).toMatchObject({ code: 1, signal: null, stdout: '' })
    expect(result.stderr).toMatch(/^TRANSPORT_ADDRESS_IN_USE: /m)
  })

  test('a directory is free again after a start that failed', async () => {
    const { address } = await nodes.found()
    const directory = nodes.directory()
    await failure(nodes.found({ listen: address, directory }))
    await nodes.found({ directory })
  })

  test('an address that is not of this machine', async () => {
    expect((await failure(nodes.found({ listen: '203.0.113.1:7000' }))).code).toBe('TRANSPORT_ADDRESS_INVALID')
  })

  test('a seed that does not answer: MEMBERSHIP_JOIN_TIMEOUT, in time', async () => {
    const seed = await deadAddress()
    const begun = performance.now()
    const { code } = await failure(nodes.start({ seeds: [seed], membership: { joinTimeoutMs: 500 } }))
    expect(code).toBe('MEMBERSHIP_JOIN_TIMEOUT')
    // The preset says 20 s, and a slow machine takes some seconds to start a node.
    expect(performance.now() - begun).toBeLessThan(15_000)
  })

  test('a client whose seeds do not answer: STORE_NO_SEED', async () => {
    const { code, message } = await failure(connect([await deadAddress()], { deadlineMs: 300 }))
    expect(code).toBe('STORE_NO_SEED')
    expect(message).toContain('127.0.0.1')
  })

  test('a client whose seed is something else: STORE_NO_SEED', async () => {
    const server = createServer(socket => { socket.on('error', () => {}).resume().end('HTTP/1.1 200 OK\r\n\r\n') })
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    const { port } = server.address() as { port: number }
    try {
      expect((await failure(connect([`127.0.0.1:${port}`], { deadlineMs: 300 }))).code).toBe('STORE_NO_SEED')
    } finally {
      await new Promise(resolve => { server.close(resolve) })
    }
  })
})

describe('joining', () => {
  test.each([['partitions', { partitions: 16 }], ['replicas', { replicas: 2 }]])('a joiner with other %s is refused with the reason', async (name, settings) => {
    const { address } = await nodes.found()
    const { code, message } = await failure(nodes.start({ seeds: [address], ...settings }))
    expect(code).toBe('MEMBERSHIP_JOIN_REFUSED')
    expect(message).toContain(name)
  })

  test('a joiner of a cluster of another name is refused with the reason', async () => {
    const { address } = await nodes.found({ clusterName: 'one' })
    const { code, message } = await failure(nodes.start({ seeds: [address], clusterName: 'two' }))
    expect(code).toBe('MEMBERSHIP_JOIN_REFUSED')
    expect(message).toMatch(/one|two/)
  })

  test('who founds a cluster that one of its seeds belongs to already is refused', async () => {
    const { address } = await nodes.found()
    await nodes.start({ seeds: [address] })
    expect((await failure(nodes.found({ seeds: [address] }))).code).toBe('MEMBERSHIP_ALREADY_FOUNDED')
  })

  test('of two founders of one cluster at one time, one founds it and the other joins', async () => {
    const [a, b] = [await deadAddress(), await deadAddress()]
    const started = await Promise.all([nodes.found({ listen: a, seeds: [b] }), nodes.found({ listen: b, seeds: [a] })])
    const ids = started.map(node => node.status().clusterId)
    expect(ids[0]).toBe(ids[1])
    expect(started.map(node => node.status().members)).toEqual([2, 2])
  })

  test('with seeds of two clusters of one name a founder is refused, and a joiner ends up in one of them', async () => {
    const one = await nodes.found()
    const two = await nodes.found()
    await Promise.all([one, two].map(({ address }) => nodes.start({ seeds: [address] })))
    const { code } = await failure(nodes.found({ seeds: [one.address, two.address] }))
    expect(code).toBe('MEMBERSHIP_ALREADY_FOUNDED')
    const joiner = await nodes.start({ seeds: [one.address, two.address] })
    const chosen = [one, two].find(node => node.status().clusterId === joiner.status().clusterId)
    expect(chosen?.status().members).toBe(3)
    expect((chosen === one ? two : one).status().members).toBe(2)
  })
})

describe('directories', () => {
  test('a directory of another cluster', async () => {
    const directory = nodes.directory()
    await (await nodes.found({ directory, clusterName: 'one' })).close()
    const { code, message } = await failure(nodes.found({ directory, clusterName: 'two' }))
    expect(code).toBe('STORE_DIRECTORY_INVALID')
    expect(message).toContain('belongs to cluster \'one\'')
  })

  test('a directory that a node of this process has open', async () => {
    const directory = nodes.directory()
    await nodes.found({ directory })
    expect((await failure(nodes.found({ directory }))).code).toBe('STORE_DIRECTORY_LOCKED')
  })

  test('a directory that another process has open, by the command line: exit code 1', async () => {
    const directory = nodes.directory()
    await nodes.found({ directory })
    const result = await runCli(['start', '--found', '--directory', directory, '--listen', '127.0.0.1:0'])
    expect(result).toMatchObject({ code: 1, signal: null, stdout: '' })
    expect(result.stderr).toMatch(/^STORE_DIRECTORY_LOCKED: /m)
  })

  test('a file in the place of the directory', async () => {
    const file = nodes.directory()
    await writeFile(file, 'not a directory')
    expect((await failure(nodes.found({ directory: file }))).code).toBe('STORE_DIRECTORY_INVALID')
    expect((await failure(nodes.found({ directory: `${file}/below` }))).code).toBe('STORE_DIRECTORY_INVALID')
  })

  test('a directory full of other things', async () => {
    const directory = nodes.directory()
    await mkdir(directory)
    await writeFile(`${directory}/CURRENT`, 'MANIFEST-000001\n')
    await writeFile(`${directory}/notes.txt`, 'mine')
    expect((await failure(nodes.found({ directory }))).code).toBe('STORE_DIRECTORY_INVALID')
  })
})
