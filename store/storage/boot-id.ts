/**
 * Names the time since this machine was started, so that a store can tell the end of its process from a loss of power.
 *
 * Linux has a random id of each boot; containers share it with their host. Elsewhere there is none that can be trusted: the time of the start
 * changes with the wall clock.
 *
 * Owns nothing.
 */
import { readFileSync } from 'node:fs'

const FILE = '/proc/sys/kernel/random/boot_id'

/** Undefined where the operating system does not tell, for whatever reason: who does not know the boot takes each for another one. */
export function readBootId (): string | undefined {
  try {
    const id = readFileSync(FILE, 'latin1').trim()
    return id === '' ? undefined : id
  } catch {
    return undefined
  }
}
