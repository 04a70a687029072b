/**
 * Checks the versions that clients were told: each belongs to one value of its key, and whoever looks later sees no lower one.
 *
 * A version is the place of a write in the history of its partition, so this follows from linearizability and is much cheaper to
 * check; it also tells of a version that was made up.
 *
 * Pure.
 */
import type { HistoryOperation, RegisterValue } from './history.ts'

/** A put that was told its version, or a get that found one with a value. */
interface Observation { readonly version: number, readonly value: RegisterValue, readonly start: number, readonly end: number }

/** @returns what is wrong, or undefined. */
export function checkVersions (operations: readonly HistoryOperation[]): string | undefined {
  const keys = new Map<string, Observation[]>()
  for (const { key, kind, input, output, version, start, end } of operations) {
    if (version === undefined || end === undefined) continue
    const observation = { version, value: kind === 'put' ? input : output, start, end }
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
  const values = new Map<number, RegisterValue>()
  const versions = new Map<RegisterValue, number>()
  for (const { version, value } of observations) {
    if (values.has(version) && values.get(version) !== value) return `version ${version} is both of ${values.get(version)} and of ${value}`
    if (versions.has(value) && versions.get(value) !== version) return `${value} has both version ${versions.get(value)} and version ${version}`
    values.set(version, value)
    versions.set(value, version)
  }
  const byEnd = [...observations].sort((a, b) => a.end - b.end)
  let next = 0
  let highest = 0
  for (const { version, start } of [...observations].sort((a, b) => a.start - b.start)) {
    for (; next < byEnd.length && byEnd[next]!.end < start; next++) highest = Math.max(highest, byEnd[next]!.version)
    if (version < highest) return `version ${version} was found at ${start}, after version ${highest}`
  }
  return undefined
}
