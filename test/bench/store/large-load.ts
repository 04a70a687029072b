/**
 * A process of its own that writes and reads large values without a pause, one after the other: the load of `large-values.ts`.
 *
 * Told by its parent: `{ addresses, keys, valueBytes }` once, then `'start'` and `'stop'`, which it answers with how many values it moved.
 */
import { connect } from '../../../store/index.ts'
import { LargeValues } from './large-load-loop.ts'

interface Setup { readonly addresses: readonly string[], readonly keys: readonly string[], readonly valueBytes: number }

const [setup] = await new Promise<[Setup]>(resolve => { process.once('message', (message: Setup) => { resolve([message]) }) })
const client = await connect<string, Uint8Array>(setup.addresses, { valueEncoding: 'view', deadlineMs: 60_000 })
const load = new LargeValues(client, setup.keys, setup.valueBytes)
process.on('message', (message: 'start' | 'stop') => {
  if (message === 'start') load.start()
  else void load.stop().then(moved => process.send!(moved))
})
process.on('disconnect', () => process.exit(0))
process.send!('ready')
