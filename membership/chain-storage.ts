/**
 * What a member writes to its disk: its acceptor record, and the configuration it was last in.
 *
 * Rule M4: promises, accepted values and votes are durable before anyone hears of them, decisions before they take effect. Without
 * a database nothing is kept, and a majority that is lost is lost for good.
 *
 * Owns: three keys of the database it is given.
 */
import { type Configuration } from './configuration.ts'
import { type ConsensusRecord } from './consensus-messages.ts'
import { type DurableRecord } from './effects.ts'
import { type Database } from './environment/environment.ts'
import { type Fold } from './fold.ts'
import { decodeSnapshot, encodeSnapshot } from './snapshot.ts'

const CONFIGURATION_KEY = 'configuration'
const STATE_KEY = 'state'
const ACCEPTOR_KEY = 'acceptor'

const KEY_ENCODING = 'utf8'
const VALUE_ENCODING = 'view'

/** What an earlier process of this directory left behind. */
export interface StoredChain<State> {
  readonly configuration: Configuration
  readonly state: State
  /** For `configuration`, or undefined when it took part in nothing there. */
  readonly acceptor: ConsensusRecord | undefined
}

export class ChainStorage<State> {
  readonly #database: Database
  readonly #fold: Fold<State> | undefined

  constructor (database: Database, fold: Fold<State> | undefined) {
    this.#database = database
    this.#fold = fold
  }

  /** Undefined for a directory that was never in a cluster. @throws when what is stored cannot be read. */
  async load (): Promise<StoredChain<State> | undefined> {
    const [configuration, state, acceptor] = await this.#database.getMany(
      [CONFIGURATION_KEY, STATE_KEY, ACCEPTOR_KEY], { keyEncoding: KEY_ENCODING, valueEncoding: VALUE_ENCODING }
    )
    if (configuration === undefined) return undefined
    const decoded = decodeSnapshot({ kind: 'snapshot', configuration, state: state ?? new Uint8Array(0) }, this.#fold)
    if (decoded instanceof Error) throw decoded
    const record = acceptor === undefined ? undefined : JSON.parse(Buffer.from(acceptor).toString('utf8')) as ConsensusRecord
    return { ...decoded, acceptor: record?.configurationId === decoded.configuration.id ? record : undefined }
  }

  /** Resolves once the record survives a loss of power. */
  async write (record: DurableRecord<State>): Promise<void> {
    const options = { keyEncoding: KEY_ENCODING, valueEncoding: VALUE_ENCODING, sync: true }
    if (record.kind === 'acceptor') {
      await this.#database.batch([{ type: 'put', key: ACCEPTOR_KEY, value: Buffer.from(JSON.stringify(record.record)) }], options)
      return
    }
    const { configuration, state } = encodeSnapshot(record.configuration, record.state, this.#fold)
    await this.#database.batch([
      { type: 'put', key: CONFIGURATION_KEY, value: configuration },
      { type: 'put', key: STATE_KEY, value: state },
      { type: 'del', key: ACCEPTOR_KEY }
    ], options)
  }
}
