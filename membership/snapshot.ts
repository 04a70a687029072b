/**
 * Whole configurations as bytes: what a joiner receives, and what a member writes to its disk.
 *
 * The configuration is JSON, since it is read by people and by other versions too; the state of the fold is whatever bytes
 * the fold makes of it. A member encodes both once per configuration, however many joiners it serves. Members that share a
 * process, as in tests and simulations, share the bytes of one configuration object, and what one and the same byte array holds.
 *
 * Pure.
 */
import type { Configuration } from './configuration.ts'
import type { Fold } from './fold.ts'
import type { Snapshot } from './messages.ts'
import { configuration } from './wire-checks.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })
const EMPTY = new Uint8Array(0)

/** Bytes and configurations that belong together. Neither ever changes. */
const encoded = new WeakMap<Configuration, Uint8Array>()
const decoded = new WeakMap<Uint8Array, Configuration>()

export function encodeSnapshot<State> (value: Configuration, state: State, fold: Fold<State> | undefined): Snapshot {
  let bytes = encoded.get(value)
  if (bytes === undefined) {
    bytes = encoder.encode(JSON.stringify(value))
    encoded.set(value, bytes)
  }
  return { kind: 'snapshot', configuration: bytes, state: fold?.encode(state) ?? EMPTY }
}

export interface DecodedSnapshot<State> {
  readonly configuration: Configuration
  readonly state: State
}

/** Returns, rather than throws, why the bytes are no snapshot: the fold may be another version's. */
export function decodeSnapshot<State> (snapshot: Snapshot, fold: Fold<State> | undefined): DecodedSnapshot<State> | Error {
  try {
    // Without a fold there is no state: State is undefined then.
    return { configuration: decodeConfiguration(snapshot.configuration), state: fold?.decode(snapshot.state) as State }
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function decodeConfiguration (bytes: Uint8Array): Configuration {
  let known = decoded.get(bytes)
  if (known === undefined) {
    known = configuration(JSON.parse(decoder.decode(bytes)), 'configuration')
    decoded.set(bytes, known)
    encoded.set(known, bytes)
  }
  return known
}
