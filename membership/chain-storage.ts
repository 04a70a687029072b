/**
 * What a member writes to its disk: its acceptor record, and the configuration it was last in.
 *
 * Rule M4: promises, accepted values and votes are durable before anyone hears of them, decisions before they take effect. Without
 * a database nothing is kept, and a majority that is lost is lost for good.
 *
 * Owns: four keys of the database it is given.
 */
import { validateConsensusRecord } from './consensus.ts'
import type { DurableRecord, Kept } from './effects.ts'
import type { Database } from './environment/environment.ts'
import type { Fold } from './fold.ts'
import { validateDecisionRecord } from './message-validation.ts'
import { decodeSnapshot, encodeSnapshot } from './snapshot.ts'

const CONFIGURATION_KEY = 'configuration'
const STATE_KEY = 'state'
const ORIGIN_KEY = 'origin'
const ACCEPTOR_KEY = 'acceptor'

const KEY_ENCODING = 'utf8'
const VALUE_ENCODING = 'view'

const encode = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))

function decode<Value> (bytes: Uint8Array | undefined, validate: (value: unknown) => Value): Value | undefined {
  return bytes === undefined ? undefined : validate(JSON.parse(Buffer.from(bytes).toString('utf8')))
}

export class ChainStorage<State> {
  readonly #database: Database
  readonly #fold: Fold<State> | undefined

  constructor (database: Database, fold: Fold<State> | undefined) {
    this.#database = database
    this.#fold = fold
  }

  /** Undefined for a directory that was never in a cluster. @throws when what is stored cannot be read. */
  async load (): Promise<Kept<State> | undefined> {
    const [configuration, state, origin, acceptor] = await this.#database.getMany(
      [CONFIGURATION_KEY, STATE_KEY, ORIGIN_KEY, ACCEPTOR_KEY], { keyEncoding: KEY_ENCODING, valueEncoding: VALUE_ENCODING }
    )
    if (configuration === undefined) return undefined
    const decoded = decodeSnapshot({ kind: 'snapshot', configuration, state: state ?? new Uint8Array(0) }, this.#fold)
    if (decoded instanceof Error) throw decoded
    const record = decode(acceptor, validateConsensusRecord)
    return {
      ...decoded,
      origin: decode(origin, validateDecisionRecord),
      acceptor: record?.configurationId === decoded.configuration.id ? record : undefined
    }
  }

  /** Resolves once the record survives a loss of power. */
  async write (record: DurableRecord<State>): Promise<void> {
    const options = { keyEncoding: KEY_ENCODING, valueEncoding: VALUE_ENCODING, sync: true }
    if (record.kind === 'acceptor') {
      await this.#database.batch([{ type: 'put', key: ACCEPTOR_KEY, value: encode(record.record) }], options)
      return
    }
    const { origin } = record
    const { configuration, state } = encodeSnapshot(record.configuration, record.state, this.#fold)
    await this.#database.batch([
      { type: 'put', key: CONFIGURATION_KEY, value: configuration },
      { type: 'put', key: STATE_KEY, value: state },
      origin === undefined ? { type: 'del', key: ORIGIN_KEY } : { type: 'put', key: ORIGIN_KEY, value: encode(origin) },
      { type: 'del', key: ACCEPTOR_KEY }
    ], options)
  }
}
