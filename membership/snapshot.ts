/**
 * Whole configurations as bytes: what a joiner receives, and what a member writes to its disk.
 *
 * The configuration is JSON, since it is read by people and by other versions too; the state of the fold is whatever bytes
 * the fold makes of it. A member encodes both once per configuration, however many joiners it serves.
 *
 * Pure.
 */
import { type Configuration } from './configuration.ts'
import { type Fold } from './fold.ts'
import { type Snapshot } from './messages.ts'
import { configuration } from './wire-checks.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })
const EMPTY = new Uint8Array(0)

export function encodeSnapshot<State> (value: Configuration, state: State, fold: Fold<State> | undefined): Snapshot {
  return { kind: 'snapshot', configuration: encoder.encode(JSON.stringify(value)), state: fold?.encode(state) ?? EMPTY }
}

export interface DecodedSnapshot<State> {
  readonly configuration: Configuration
  readonly state: State
}

/** Returns, rather than throws, why the bytes are no snapshot: the fold may be another version's. */
export function decodeSnapshot<State> (snapshot: Snapshot, fold: Fold<State> | undefined): DecodedSnapshot<State> | Error {
  try {
    const parsed: unknown = JSON.parse(decoder.decode(snapshot.configuration))
    // Without a fold there is no state: State is undefined then.
    return { configuration: configuration(parsed, 'configuration'), state: fold?.decode(snapshot.state) as State }
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}
