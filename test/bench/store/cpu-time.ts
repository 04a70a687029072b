/** CPU time of other processes, from the proc file system of Linux. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Fields of /proc/PID/stat after the name in parentheses: user and system time, in clock ticks. */
const USER_FIELD = 11
const SYSTEM_FIELD = 12

let ticksPerSecond: number | undefined

/** Milliseconds of CPU that a process has used so far; undefined where the system does not say. */
export function cpuTimeMs (pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined
  ticksPerSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[USER_FIELD]) + Number(fields[SYSTEM_FIELD])) / ticksPerSecond * 1000
}
