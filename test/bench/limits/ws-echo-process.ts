/** A process of its own that answers every WebSocket frame with a frame of the same bytes: the other end for `raw-ws.ts`. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
server.on('connection', socket => {
  socket.binaryType = 'nodebuffer'
  socket.on('message', data => { socket.send(data, { binary: true }) })
})
await once(server, 'listening')
process.send?.((server.address() as AddressInfo).port)
process.on('disconnect', () => process.exit(0))
