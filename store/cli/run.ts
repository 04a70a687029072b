/**
 * Runs one command line: finds the command, reads its arguments, turns what goes wrong into `CODE: message` and an exit code.
 *
 * Owns nothing; what it does to the world it does through the `Terminal`.
 */
import { createRequire } from 'node:module'
import { type Command, COMMON, describe, EXIT, exitCodeOf, Arguments, type OptionSpecs, type Terminal, UsageError } from './command.ts'
import { membersCommand, ringCommand, statusCommand } from './cluster-commands.ts'
import { delCommand, getCommand, putCommand } from './data-commands.ts'
import { drainCommand } from './drain-command.ts'
import { explainCommand } from './explain-command.ts'
import { leaveCommand } from './leave-command.ts'
import { planCommand } from './plan-command.ts'
import { scanCommand, watchCommand } from './range-commands.ts'
import { forceCommand } from './force-command.ts'
import { startCommand } from './start-command.ts'
import { updateCommand } from './update-command.ts'
import { verifyCommand } from './verify-command.ts'

export const COMMANDS: readonly Command[] = [
  startCommand,
  statusCommand,
  membersCommand,
  ringCommand,
  drainCommand,
  leaveCommand,
  forceCommand,
  updateCommand,
  getCommand,
  putCommand,
  delCommand,
  scanCommand,
  watchCommand,
  planCommand,
  verifyCommand,
  explainCommand
]

const aligned = (rows: readonly (readonly [string, string])[]): string[] => {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, help]) => `  ${name.padEnd(width)}  ${help}`)
}

const optionRows = (options: OptionSpecs): (readonly [string, string])[] =>
  Object.entries(options).map(([name, { value, help }]) => [value === undefined ? `--${name}` : `--${name} <${value}>`, help])

export function generalHelp (): string {
  return [
    'Usage: coterie <command> [options]',
    '',
    'Commands:',
    ...aligned(COMMANDS.map(({ name, usage, summary }) => [`${name} ${usage}`.trimEnd(), summary])),
    '',
    'coterie <command> --help tells the options of a command.',
    `Exit codes: ${EXIT.ok} done, ${EXIT.failed} failed (CODE: message on standard error), ${EXIT.usage} wrong command line or not offered, ${EXIT.absent} no such key.`
  ].join('\n')
}

function commandHelp (command: Command): string {
  return [
    `Usage: coterie ${command.name} ${command.usage}`.trimEnd() + ' [options]',
    '',
    `${command.summary[0]!.toUpperCase()}${command.summary.slice(1)}.`,
    '',
    'Options:',
    ...aligned(optionRows({ ...command.options, ...COMMON }))
  ].join('\n')
}

function version (): string {
  // The package's own name resolves to its own package.json, from the sources as from the build.
  return (createRequire(import.meta.url)('coterie/package.json') as { version: string }).version
}

/** @returns the exit code. Never throws. */
export async function run (args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined) {
    terminal.error(generalHelp())
    return EXIT.usage
  }
  if (name === '--help' || name === 'help') {
    terminal.out(generalHelp())
    return EXIT.ok
  }
  if (name === '--version') {
    terminal.out(version())
    return EXIT.ok
  }
  const command = COMMANDS.find(known => known.name === name)
  if (command === undefined) {
    terminal.error(`unknown command '${name}'; the commands are ${COMMANDS.map(known => known.name).join(', ')}`)
    return EXIT.usage
  }
  return await runCommand(command, rest, terminal)
}

async function runCommand (command: Command, args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const given = new Arguments(command, args)
    if (given.flag('help')) {
      terminal.out(commandHelp(command))
      return EXIT.ok
    }
    return await command.run(given, terminal)
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.error(`coterie ${command.name}: ${error.message}`)
      terminal.error(`coterie ${command.name} --help tells its options`)
      return EXIT.usage
    }
    terminal.error(describe(error))
    return exitCodeOf(error)
  }
}
