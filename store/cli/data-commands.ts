/**
 * The commands that read and write: `get`, `put`, `del`.
 *
 * Owns nothing.
 */
import { WIRE_LIMITS } from '../client-protocol.ts'
import { CLIENT_OPTIONS, type Command, EXIT, milliseconds, UsageError } from './command.ts'
import { reach, withClient } from './connection.ts'

const IF_VERSION = { 'if-version': { type: 'string', value: 'n', help: 'only if the key has this version, as get --json shows it' } } as const

/** Bytes as JSON can carry them: as text where they are text, else as base64, and it says so. */
export function jsonValue (bytes: Buffer): { value: string, encoding: 'utf8' | 'base64' } {
  const text = bytes.toString('utf8')
  return Buffer.from(text, 'utf8').equals(bytes) ? { value: text, encoding: 'utf8' } : { value: bytes.toString('base64'), encoding: 'base64' }
}

export const getCommand: Command = {
  name: 'get',
  usage: '<key>',
  summary: 'read one key, linearizably',
  positionals: [1, 1],
  options: { ...CLIENT_OPTIONS, raw: { type: 'boolean', help: 'write the value as it is, without a newline after it' } },
  async run (given, terminal) {
    const key = given.positionals[0]!
    const target = reach(given)
    const entry = await withClient(target, client => client.getEntry(key))
    if (given.flag('json')) {
      const { version } = entry ?? {}
      const found = entry !== undefined
      terminal.out(JSON.stringify(found ? { key, found, ...jsonValue(entry.value), version } : { key, found, value: null }))
    } else if (entry === undefined) {
      terminal.error(`no value for '${key}'`)
    } else {
      terminal.write(entry.value)
      if (!given.flag('raw')) terminal.out('')
    }
    return entry === undefined ? EXIT.absent : EXIT.ok
  }
}

export const putCommand: Command = {
  name: 'put',
  usage: '<key> [value]',
  summary: 'set one key',
  positionals: [1, 2],
  options: {
    ...CLIENT_OPTIONS,
    stdin: { type: 'boolean', help: 'take the value from standard input, byte for byte' },
    ...IF_VERSION,
    'if-absent': { type: 'boolean', help: 'only if the key has no value' },
    ttl: { type: 'string', value: 'time', help: 'delete the key after this time, unless it is written again: 500ms, 30s, 10m, 12h, 7d' }
  },
  async run (given, terminal) {
    const [key, argument] = given.positionals as [string, string?]
    if ((argument === undefined) !== given.flag('stdin')) throw new UsageError('give the value either as an argument or by --stdin')
    const target = reach(given)
    const value = argument === undefined ? Buffer.from(await terminal.input(WIRE_LIMITS.valueBytesMax)) : Buffer.from(argument)
    const options = { ifVersion: given.integer('if-version'), ...given.flag('if-absent') ? { ifAbsent: true } : {}, ttlMs: milliseconds('ttl', given.text('ttl')) }
    const version = await withClient(target, client => client.putEntry(key, value, options))
    if (given.flag('json')) terminal.out(JSON.stringify({ key, bytes: value.length, written: true, version }))
    return EXIT.ok
  }
}

export const delCommand: Command = {
  name: 'del',
  usage: '<key>',
  summary: 'delete one key',
  positionals: [1, 1],
  options: { ...CLIENT_OPTIONS, ...IF_VERSION },
  async run (given, terminal) {
    const key = given.positionals[0]!
    const target = reach(given)
    await withClient(target, client => client.del(key, { ifVersion: given.integer('if-version') }))
    if (given.flag('json')) terminal.out(JSON.stringify({ key, deleted: true }))
    return EXIT.ok
  }
}
