/**
 * The transports of membership, each against the conformance suite; and what is the WebSocket transport's own: strangers on the
 * port, limits, priorities.
 *
 * Mutations caught here: two sides that dial each other both answer; the outbox of an attempt that is given up is dropped; an
 * alias opens a second connection; channels in the wrong order; bulk data without a mark; a frame that is not checked; decoded
 * bytes that alias the frame; a stranger without a hello who is never closed; pongs that do not count as signs of life;
 * messages before the hello is answered; a memory transport that dies unnoticed; all of a long message in one turn; answers in one stream; an
 * answer that is longer than a frame; attempts that keep their turn for as long as they last.
 */
import { createServer as createHttpServer, get } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { CHANNELS, type Address, type LinkEvent, type Log, type Transport } from '../../membership/environment/environment.ts'
import { nextTurn } from '../../membership/environment/system.ts'
import { FrameDecoder, FrameEncoder } from '../../membership/transport/frame-codec.ts'
import { encodeMessage } from '../../membership/transport/message-codec.ts'
import { createMemoryHub, type MemoryTransport } from '../../membership/transport/memory.ts'
import { createWebSocketTransport, type WebSocketTransport } from '../../membership/transport/websocket.ts'
import type { WebSocketTransportOptions } from '../../membership/transport/websocket-options.ts'
import { PATIENCE_MS } from '../../store/verify/eventually.ts'
import { transportConformance } from '../conformance/transport.ts'
import { Simulation } from '../sim/simulation.ts'

const until = (condition: () => boolean): Promise<void> =>
  vi.waitFor(() => { if (!condition()) throw new Error('the condition does not hold') }, { timeout: PATIENCE_MS, interval: 1 })

async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  await new Promise<void>(resolve => { server.close(() => resolve()) })
  return port
}

transportConformance('WebSocket transport', {
  create: (address?: Address) => createWebSocketTransport({ listen: { host: '127.0.0.1', port: address === undefined ? 0 : Number(address.split(':')[1]) } }),
  createClient: () => createWebSocketTransport(),
  freeAddress: async () => `127.0.0.1:${await freePort()}`,
  kill: (transport: Transport) => (transport as WebSocketTransport).kill(),
  until
})

const hub = createMemoryHub()
let memoryPort = 1000
transportConformance('memory transport', {
  create: (address = `memory:${memoryPort++}`) => hub.transport(address),
  createClient: () => hub.transport(),
  freeAddress: () => `memory:${memoryPort++}`,
  kill: (transport: Transport) => (transport as MemoryTransport).kill(),
  until
})

const simulation = new Simulation({ seed: 1 })
let simulatedPort = 1000
const names = new Map<Transport, string>()
transportConformance('simulated transport', {
  create: (address = `simulated:${simulatedPort++}`) => {
    const host = simulation.host(address)
    const { transport } = host.environment
    names.set(transport, address)
    return transport
  },
  createClient: () => {
    const name = `client ${simulatedPort++}`
    const { transport } = simulation.client(name)
    names.set(transport, name)
    return transport
  },
  freeAddress: () => `simulated:${simulatedPort++}`,
  addressesAreUnique: true,
  kill: (transport: Transport) => simulation.host(names.get(transport)!).crash(),
  until: async condition => {
    await simulation.run({ until: condition })
    if (!condition()) throw new Error('the condition does not hold')
  }
})

test('decoded bytes do not keep, or change with, the frame they came in', () => {
  const message = encodeMessage(new Uint8Array([1, 2, 3]))
  const frame = new FrameEncoder().encode([{ channel: CHANNELS.store, bytes: message }], message.length + 1)
  const [channel, bytes] = new FrameDecoder(1024).decode(frame) as [number, Uint8Array]
  expect(channel).toBe(CHANNELS.store)
  frame.fill(0)
  expect([...bytes]).toEqual([1, 2, 3])
  expect(bytes.buffer).not.toBe(frame.buffer)
})

describe('WebSocket transport, long messages', () => {
  const LONG = 8 * 1024 * 1024
  const open: WebSocketTransport[] = []
  afterEach(async () => { await Promise.all(open.splice(0).map(transport => transport.close())) })

  /** Two transports that are connected, the second of which notes what arrives; a string as it is, bytes by their number. */
  async function pair () {
    const [a, b] = [createWebSocketTransport(), createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 } })]
    open.push(a, b)
    const arrived: unknown[] = []
    b.receive(CHANNELS.store, message => { arrived.push(message instanceof Uint8Array ? message.length : message) })
    await Promise.all([a.start(), b.start()])
    a.send(b.address!, CHANNELS.store, 'connected')
    await until(() => arrived.length === 1)
    arrived.length = 0
    return { a, b, to: b.address!, arrived }
  }

  test('what is short overtakes 8 MiB in another stream, and stays behind it in its own', async () => {
    const { a, to, arrived } = await pair()
    a.send(to, CHANNELS.store, new Uint8Array(LONG), 1)
    a.send(to, CHANNELS.store, 'behind', 1)
    a.send(to, CHANNELS.store, 'other', 2)
    a.send(to, CHANNELS.store, 'default')
    expect([a.isBusy(to, CHANNELS.store, 1), a.isBusy(to, CHANNELS.store, 2)]).toEqual([true, false])
    // Whatever comes later overtakes what is left of it, too.
    let turns = 0
    while (a.isBusy(to, CHANNELS.store, 1)) {
      a.send(to, CHANNELS.store, turns++, 3)
      await nextTurn()
    }
    await until(() => arrived.includes('behind') && arrived.includes(turns - 1))
    const place = (message: unknown): number => arrived.indexOf(message)
    expect(turns).toBeGreaterThan(20)
    expect(place('other')).toBeLessThan(place(LONG))
    expect(place('default')).toBeLessThan(place(LONG))
    expect(place(LONG)).toBeLessThan(place('behind'))
    // But for those that were sent while the last of it was on its way.
    expect(Array.from({ length: turns / 2 }, (_, turn) => place(turn)).every(index => index < place(LONG))).toBe(true)
  })

  test('a turn of the event loop sends a part of it only', async () => {
    const { a, to } = await pair()
    const before = a.traffic.sent.bytes
    a.send(to, CHANNELS.store, new Uint8Array(LONG), 1)
    let most = 0
    for (let last = before; a.isBusy(to, CHANNELS.store, 1);) {
      await nextTurn()
      const { bytes } = a.traffic.sent
      most = Math.max(most, bytes - last)
      last = bytes
    }
    expect(most).toBeLessThan(LONG / 8)
    expect(a.traffic.sent.bytes - before).toBeGreaterThan(LONG)
    expect(a.traffic.sent.messages).toBe(2)
  })

  test('of a long message whose connection breaks nothing arrives, and what follows does not wait for it', async () => {
    const { a, b, to, arrived } = await pair()
    a.send(to, CHANNELS.store, new Uint8Array(LONG), 1)
    a.send(to, CHANNELS.store, 'behind', 1)
    const before = b.traffic.received.bytes
    while (b.traffic.received.bytes < before + LONG / 8) await nextTurn()
    expect(a.isBusy(to, CHANNELS.store, 1)).toBe(true)
    const closed = new Promise(resolve => { a.onLink(event => { if (event.kind === 'closed') resolve(undefined) }) })
    b.kill()
    await closed
    expect([a.isBusy(to, CHANNELS.store, 1), a.queuedBytes(to)]).toEqual([false, 0])
    const successor = createWebSocketTransport({ listen: { host: '127.0.0.1', port: Number(to.split(':')[1]) } })
    open.push(successor)
    successor.receive(CHANNELS.store, message => { arrived.push(message instanceof Uint8Array ? message.length : message) })
    await successor.start()
    a.send(to, CHANNELS.store, 'after', 1)
    a.send(to, CHANNELS.store, new Uint8Array(LONG), 1)
    await until(() => arrived.length === 2)
    expect(arrived).toEqual(['after', LONG])
  })

  test('a short answer overtakes a long one', async () => {
    const { a, b, to } = await pair()
    b.receive(CHANNELS.client, (message, from) => {
      from.reply(message === 'long' ? new Uint8Array(LONG) : message, message === 'long' ? 1 : 2)
    })
    const answers: unknown[] = []
    a.receive(CHANNELS.client, message => { answers.push(message instanceof Uint8Array ? message.length : message) })
    a.send(to, CHANNELS.client, 'long')
    a.send(to, CHANNELS.client, 'short')
    await until(() => answers.length === 2)
    expect(answers).toEqual(['short', LONG])
  })

  test('what does not fit into a frame is refused at the sender, and at the one who answers', async () => {
    const { a, b, to } = await pair()
    let refused: unknown
    b.receive(CHANNELS.client, (_message, from) => {
      try {
        from.reply(new Uint8Array(33 * 1024 * 1024))
      } catch (error) {
        refused = error
        from.reply('too long')
      }
    })
    const answers: unknown[] = []
    a.receive(CHANNELS.client, message => { answers.push(message) })
    a.send(to, CHANNELS.client, 'question')
    await until(() => answers.length === 1)
    expect(refused).toBeInstanceOf(RangeError)
    expect(() => a.send(to, CHANNELS.client, new Uint8Array(33 * 1024 * 1024))).toThrow(RangeError)
  })
})

describe('WebSocket transport, strangers and limits', () => {
  const open: { close (): unknown }[] = []
  afterEach(async () => { await Promise.all(open.splice(0).map(resource => resource.close())) })

  /** A started transport with what it heard and logged. */
  async function node (options: WebSocketTransportOptions = {}) {
    const warnings: string[] = []
    const note = (fields: Readonly<Record<string, unknown>>, message: string): void => { warnings.push(`${message} ${String(fields.reason ?? '')}`) }
    const log: Log = { debug () {}, info () {}, warn: note, error: note }
    const transport = createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 }, log, ...options })
    open.push(transport)
    const links: LinkEvent[] = []
    const received: unknown[] = []
    transport.onLink(event => { links.push(event) })
    transport.receive(CHANNELS.store, message => { received.push(message) })
    await transport.start()
    return { transport, address: transport.address!, links, received, warnings }
  }

  /** A WebSocket that is no transport; resolves with the code it was closed with. */
  function stranger (address: Address, act: (socket: WebSocket) => void): Promise<number> {
    const socket = new WebSocket(`ws://${address}/transport`)
    socket.on('error', () => {})
    socket.on('open', () => act(socket))
    return new Promise(resolve => { socket.on('close', resolve) })
  }

  const helloOf = (fields: object): Uint8Array => encodeMessage({ coterie: 2, address: null, run: 'r', ...fields })
  const deep = Buffer.concat([Buffer.alloc(1000, 0x91), Buffer.from([0xc0])])

  test.each([
    ['random bytes', (socket: WebSocket) => socket.send(Buffer.from('c1c1c1', 'hex'))],
    ['text', (socket: WebSocket) => socket.send('hello')],
    ['another protocol version', (socket: WebSocket) => socket.send(helloOf({ coterie: 3 }))],
    ['no address', (socket: WebSocket) => socket.send(helloOf({ address: 'no port' }))],
    ['a frame larger than allowed', (socket: WebSocket) => socket.send(Buffer.alloc(2000))],
    ['a message before the hello was answered', (socket: WebSocket) => { socket.send(helloOf({})); socket.send(Buffer.from([9, 1])) }],
    ['an unknown channel', (socket: WebSocket) => { socket.send(helloOf({})); socket.send(Buffer.from([4, 1])) }],
    ['a generated record', (socket: WebSocket) => { socket.send(helloOf({})); socket.send(Buffer.from([2, 0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 1])) }],
    ['a regular expression', (socket: WebSocket) => { socket.send(helloOf({})); socket.send(Buffer.from('02c70078' + '92a178a0', 'hex')) }],
    ['an array longer than its frame', (socket: WebSocket) => { socket.send(helloOf({})); socket.send(Buffer.from([2, 0xdd, 0x01, 0xff, 0xff, 0xff])) }],
    ['a text cut off', (socket: WebSocket) => { socket.send(helloOf({})); socket.send(Buffer.from([2, 0xa5, 0x61])) }],
    ['nesting without end', (socket: WebSocket) => { socket.send(helloOf({})); socket.send(Buffer.concat([Buffer.from([2]), deep])) }],
    ['nothing at all', () => {}]
  ])('%s: the connection is closed, logged once, and nobody else notices', async (_name, act) => {
    const server = await node({ frameBytesMax: 1500, helloTimeoutMs: 100 })
    const friend = await node()
    friend.transport.send(server.address, CHANNELS.store, 'before')
    await until(() => server.received.length === 1)
    // 1009 is WebSocket's own word for a frame that is too large.
    expect([1006, 1009]).toContain(await stranger(server.address, act))
    await until(() => server.warnings.length > 0)
    friend.transport.send(server.address, CHANNELS.store, 'after')
    await until(() => server.received.length === 2)
    expect(server.received).toEqual(['before', 'after'])
    expect(server.warnings).toHaveLength(1)
    expect(friend.links).toHaveLength(1)
  })

  test('bytes that are not HTTP close the connection', async () => {
    const server = await node()
    const socket = connect(Number(server.address.split(':')[1]), '127.0.0.1')
    socket.on('error', () => {})
    socket.write(Buffer.from('16030100ff', 'hex'))
    await new Promise(resolve => { socket.on('close', resolve) })
    expect(server.links).toEqual([])
  })

  test('HTTP is answered on the same port', async () => {
    const server = await node({ onHttpRequest: (request, response) => { response.end(`you asked for ${request.url}`) } })
    const body = await new Promise<string>(resolve => {
      get(`http://${server.address}/status`, response => { response.setEncoding('utf8').on('data', resolve) })
    })
    expect(body).toBe('you asked for /status')
  })

  test('something else that listens, and something that never answers, are unreachable', async () => {
    const other = createHttpServer((_request, response) => { response.writeHead(500).end() })
    const silent: Server = createServer(() => {})
    const addresses: Address[] = []
    for (const server of [other, silent]) {
      await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
      addresses.push(`127.0.0.1:${(server.address() as AddressInfo).port}`)
    }
    const { transport, links } = await node({ connectTimeoutMs: 100 })
    for (const address of addresses) transport.connect(address)
    await until(() => links.length === 2)
    expect(links.map(event => event.kind)).toEqual(['unreachable', 'unreachable'])
    other.closeAllConnections()
    other.close()
    silent.close()
  })

  test('both sides count what passed, and repeated messages of membership take a few bytes', async () => {
    const [a, b] = [await node(), await node()]
    const heard: unknown[] = []
    b.transport.receive(CHANNELS.membership, message => { heard.push(message) })
    const message = (sequence: number): unknown => ({ kind: 'probe', sender: { id: 'a'.repeat(32), address: a.address }, sequence })
    for (let sequence = 0; sequence < 100; sequence++) a.transport.send(b.address, CHANNELS.membership, message(sequence))
    await until(() => heard.length === 100)
    expect(heard).toEqual(Array.from({ length: 100 }, (_, sequence) => message(sequence)))
    expect(a.transport.traffic.sent.messages).toBe(100)
    expect(b.transport.traffic.received).toEqual(a.transport.traffic.sent)
    expect(a.transport.traffic.sent.bytes).toBeLessThan(100 * 12 + 300)
  })

  test('a process known under two names keeps one connection', async () => {
    const [a, b] = [await node(), await node()]
    const alias = b.address.replace('127.0.0.1', 'localhost')
    for (let index = 0; index < 10; index++) {
      a.transport.send(b.address, CHANNELS.store, index)
      a.transport.send(alias, CHANNELS.store, index)
    }
    await until(() => b.received.length === 20 && a.links.length === 2)
    expect(b.links).toEqual([{ kind: 'opened', address: a.address }])
    b.transport.kill()
    await until(() => a.links.length === 4)
    expect(a.links.slice(2).map(event => `${event.kind} ${event.address}`).sort()).toEqual([`closed ${b.address}`, `closed ${alias}`].sort())
  })

  test('membership overtakes bulk data, and what is queued is counted', async () => {
    const [a, b] = [await node(), await node()]
    a.transport.connect(b.address)
    await until(() => a.links.length === 1)
    const order: string[] = []
    b.transport.receive(CHANNELS.bulk, () => {
      order.push('bulk')
      // By now the socket has taken its share of the bulk data, and the rest still waits where it can be overtaken.
      if (order.length === 2) a.transport.send(b.address, CHANNELS.membership, 'of a later turn')
    })
    b.transport.receive(CHANNELS.membership, () => { order.push('membership') })
    const block = new Uint8Array(100_000)
    for (let index = 0; index < 300; index++) a.transport.send(b.address, CHANNELS.bulk, block)
    expect(a.transport.queuedBytes(b.address)).toBeGreaterThan(300 * 100_000)
    a.transport.send(b.address, CHANNELS.membership, 'of the same turn')
    await until(() => order.length === 302)
    expect(order.indexOf('membership')).toBe(0)
    expect(order.lastIndexOf('membership')).toBeLessThan(250)
    expect(a.transport.queuedBytes(b.address)).toBe(0)
  })

  test('beyond the limit of the queue messages are lost, and what fits arrives', async () => {
    const [a, b] = [await node({ queueBytesMax: 10_000 }), await node()]
    for (let index = 0; index < 100; index++) a.transport.send(b.address, CHANNELS.store, new Uint8Array(1000))
    await until(() => b.received.length === 9)
    expect(a.warnings.length).toBeGreaterThan(0)
    expect(() => a.transport.send(b.address, CHANNELS.store, new Uint8Array(40 * 2 ** 20))).toThrow(RangeError)
  })

  test('a receiver that throws is logged and hurts nobody', async () => {
    const [a, b] = [await node(), await node()]
    b.transport.receive(CHANNELS.client, () => { throw new Error('bad receiver') })
    a.transport.send(b.address, CHANNELS.client, 1)
    a.transport.send(b.address, CHANNELS.store, 2)
    await until(() => b.received.length === 1)
    expect(b.warnings).toEqual(['a receiver threw '])
  })

  test('a connection that went silent is closed, one that only answers pings is not', async () => {
    const server = await node({ silenceTimeoutMs: 150 })
    const [silent, alive] = [false, true].map(autoPong => {
      const socket = new WebSocket(`ws://${server.address}/transport`, { autoPong })
      socket.on('open', () => socket.send(helloOf({})))
      return socket
    })
    await new Promise(resolve => { silent!.on('close', resolve) })
    await new Promise(resolve => setTimeout(resolve, 200))
    expect(server.links.map(event => event.kind)).toEqual(['opened', 'opened', 'closed'])
    expect(alive!.readyState).toBe(WebSocket.OPEN)
  })

  test('messages on a connection whose hello is not answered yet are against the rules', async () => {
    // It says it is the very address that the server dials in vain, so that its answer is deferred.
    const mute = createServer(() => {})
    await new Promise<void>(resolve => { mute.listen(0, '127.0.0.1', resolve) })
    const dialled = `localhost:${(mute.address() as AddressInfo).port}`
    const server = await node()
    server.transport.connect(dialled)
    await stranger(server.address, socket => {
      socket.send(helloOf({ address: dialled }))
      socket.send(Buffer.from([CHANNELS.store, 1]))
    })
    expect(server.warnings).toEqual(['closed a connection a message before the hello was answered'])
    expect(server.received).toEqual([])
    server.transport.kill()
    mute.close()
  })

  test('two live transports keep a silent connection', async () => {
    const [a, b] = [await node({ silenceTimeoutMs: 60 }), await node({ silenceTimeoutMs: 60 })]
    a.transport.connect(b.address)
    await new Promise(resolve => setTimeout(resolve, 300))
    expect(a.links.map(event => event.kind)).toEqual(['opened'])
    expect(b.links.map(event => event.kind)).toEqual(['opened'])
  })

  test('more connections than allowed are refused', async () => {
    const server = await node({ connectionsMax: 1 })
    const [first, second] = [await node(), await node()]
    first.transport.connect(server.address)
    await until(() => first.links.length === 1)
    second.transport.connect(server.address)
    await until(() => second.links.length === 1)
    expect(second.links[0]!.kind).toBe('unreachable')
  })

  test('an address that is none, or not of this machine, is an error at the start', async () => {
    expect(() => createWebSocketTransport({ advertise: 'nonsense' })).toThrow(expect.objectContaining({ code: 'TRANSPORT_ADDRESS_INVALID' }))
    expect(() => createWebSocketTransport({ listen: { host: '0.0.0.0', port: 0 } })).toThrow(/advertise/)
    await expect(createWebSocketTransport({ listen: { host: '192.0.2.1', port: 0 } }).start()).rejects.toMatchObject({ code: 'TRANSPORT_ADDRESS_INVALID' })
    const { transport, links } = await node()
    transport.send('nonsense', CHANNELS.store, 1)
    await until(() => links.length === 1)
    expect(links).toEqual([{ kind: 'unreachable', address: 'nonsense' }])
  })
})

test('hosts that do not answer keep nobody from reaching the others', async () => {
  const sockets = new Set<Socket>()
  const silent = await Promise.all(Array.from({ length: 12 }, async () => {
    const server = createServer(socket => { sockets.add(socket) })
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    return server
  }))
  const heard: unknown[] = []
  const there = createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 } })
  there.receive(CHANNELS.store, message => { heard.push(message) })
  await there.start()
  const here = createWebSocketTransport({ connectTimeoutMs: 60_000 })
  const failed: LinkEvent[] = []
  here.onLink(event => { if (event.kind !== 'opened') failed.push(event) })
  await here.start()
  try {
    for (const server of silent) here.send(`127.0.0.1:${(server.address() as AddressInfo).port}`, CHANNELS.store, 'hello')
    here.send(there.address!, CHANNELS.store, 'hello')
    await until(() => heard.length > 0)
    expect(heard).toEqual(['hello'])
    expect(failed, 'all attempts still go on').toEqual([])
  } finally {
    await here.close()
    await there.close()
    for (const socket of sockets) socket.destroy()
    for (const server of silent) server.close()
  }
})
