/** A process of its own that answers every message on the client channel: the other end for `transport.ts`. */
import { CHANNELS } from '../../../membership/environment/environment.ts'
import { createWebSocketTransport } from '../../../membership/transport/websocket.ts'

const transport = createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 } })
transport.receive(CHANNELS.client, (message, from) => from.reply(message))
await transport.start()
process.send?.(transport.address)
process.on('disconnect', () => process.exit(0))
