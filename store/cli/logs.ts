/**
 * The logs of a node that runs in a terminal: JSON lines for machines, plain lines for people.
 *
 * Owns nothing.
 */
import { createJsonLog, type JsonLogOptions } from '../../membership/environment/system.ts'
import type { Log } from '../../membership/environment/environment.ts'

export { createJsonLog }

function text (value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null) return String(value)
  const { message, code } = value as { message?: unknown, code?: unknown }
  if (typeof message !== 'string') return JSON.stringify(value)
  return typeof code === 'string' ? `${code}: ${message}` : message
}

/** One line per event, `level: message (name=value ...)`. Takes the options of the JSON log, and writes what that would. */
export function createLineLog (options: Required<Pick<JsonLogOptions, 'level' | 'write'>>): Log {
  return createJsonLog({
    ...options,
    write: line => {
      const { level, message, time: _, ...fields } = JSON.parse(line) as Record<string, unknown>
      const details = Object.entries(fields).map(([name, value]) => `${name}=${text(value)}`).join(' ')
      options.write(details === '' ? `${text(level)}: ${text(message)}` : `${text(level)}: ${text(message)} (${details})`)
    }
  })
}
