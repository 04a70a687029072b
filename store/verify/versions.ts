/**
 * Checks the versions that clients were told: each belongs to one value of its key, and whoever looks later sees no lower one.
 *
 * A version is the place of a write in the history of its partition, so this follows from linearizability and is much cheaper to
 * check; it also tells of a version that was made up.
 *
 * Pure.
 */
import type { HistoryOperation, RegisterValue } from './history.ts'

/** A write that was told its version, or a get that found one with a value; without it where a condition failed on it. A deletion has none. */
interface Observation {
  readonly version: number
  readonly of: 'value' | 'nothing' | 'unknown'
  readonly value: RegisterValue
  readonly start: number
  readonly end: number
}

/** @returns what is wrong, or undefined. */
export function checkVersions (operations: readonly HistoryOperation[]): string | undefined {
  const keys = new Map<string, Observation[]>()
  for (const { key, kind, input, output, version, valueUnknown, start, end } of operations) {
    if (version === undefined || end === undefined) continue
    const of = kind === 'del' ? 'nothing' : valueUnknown === true ? 'unknown' : 'value'
    const observation: Observation = { version, of, value: kind === 'put' ? input : output, start, end }
    const observations = keys.get(key)
    if (observations === undefined) keys.set(key, [observation])
    else observations.push(observation)
  }
  for (const [key, observations] of keys) {
    const wrong = contradiction(observations)
    if (wrong !== undefined) return `key ${key}: ${wrong}`
  }
  return undefined
}

function contradiction (observations: readonly Observation[]): string | undefined {
  const names = new Map<number, string>()
  const versions = new Map<RegisterValue, number>()
  const name = ({ of, value }: Observation): string => of === 'nothing' ? 'a deletion' : String(value)
  for (const observation of observations) {
    const { version, of, value } = observation
    if (of === 'unknown') continue
    const named = names.get(version) ?? name(observation)
    if (named !== name(observation)) return `version ${version} is both of ${named} and of ${name(observation)}`
    if (of === 'value' && (versions.get(value) ?? version) !== version) return `${value} has both version ${versions.get(value)} and version ${version}`
    names.set(version, named)
    if (of === 'value') versions.set(value, version)
  }
  const deleted = observations.find(({ version, of }) => of === 'unknown' && names.get(version) === 'a deletion')
  if (deleted !== undefined) return `version ${deleted.version} is of a deletion, and a condition met it at ${deleted.end} as that of a value`
  const byEnd = [...observations].sort((a, b) => a.end - b.end)
  let next = 0
  let highest = 0
  for (const { version, start } of [...observations].sort((a, b) => a.start - b.start)) {
    for (; next < byEnd.length && byEnd[next]!.end < start; next++) highest = Math.max(highest, byEnd[next]!.version)
    if (version < highest) return `version ${version} was found at ${start}, after version ${highest}`
  }
  return undefined
}
