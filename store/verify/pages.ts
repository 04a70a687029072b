/**
 * Checks pages of scans as wholes: a page shows its partition at one moment, so whoever sees in it what one write left must see in
 * it, too, what earlier writes left of other keys, and of a batch either all or nothing. That each key for itself was so at some
 * moment of the scan follows from linearizability, and is checked there.
 *
 * A version is the place of a write in the history of the partition. So the highest version in a page tells how far the history had come, at
 * the least, when the page was read, and no key of it may show something that was overwritten, or deleted, up to there.
 * Of an absent key nothing is demanded here, since what took it away may have no version that anybody was told.
 *
 * Pure.
 */
import type { HistoryOperation, RegisterValue } from './history.ts'

/** The versions that a key is known to have had, which rise; and which value has which. */
interface Known { readonly versions: number[], readonly of: Map<RegisterValue, number> }

/** @returns what is wrong, or undefined. */
export function checkPages (operations: readonly HistoryOperation[]): string | undefined {
  const keys = new Map<string, Known>()
  const pages = new Map<number, HistoryOperation[]>()
  for (const operation of operations) {
    const { key, kind, version, end, definiteFailure, call } = operation
    if (end === undefined || definiteFailure === true) continue
    if (version !== undefined) {
      const known: Known = keys.get(key) ?? { versions: [], of: new Map() }
      keys.set(key, known)
      known.versions.push(version)
      const value = kind === 'put' ? operation.input : operation.output
      if (kind !== 'del' && value !== undefined) known.of.set(value, version)
    }
    if (call?.page !== true) continue
    const page = pages.get(call.number)
    if (page === undefined) pages.set(call.number, [operation])
    else page.push(operation)
  }
  for (const { versions } of keys.values()) versions.sort((a, b) => a - b)
  for (const page of pages.values()) {
    const wrong = contradiction(page, keys)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

function contradiction (page: readonly HistoryOperation[], keys: ReadonlyMap<string, Known>): string | undefined {
  const shown = page.flatMap(operation => {
    const version = operation.output === undefined ? undefined : keys.get(operation.key)?.of.get(operation.output)
    return version === undefined ? [] : [{ ...operation, version }]
  })
  const latest = shown.toSorted((a, b) => b.version - a.version)[0]
  for (const { key, output, version, end } of shown) {
    const later = keys.get(key)!.versions.find(other => other > version)
    if (later === undefined || later > latest!.version) continue
    return `a page that ended at ${end} has ${latest!.output} of ${latest!.key}, version ${latest!.version}, and ${output} of ${key}, ` +
      `version ${version}, although that key had version ${later} by then`
  }
  return undefined
}
