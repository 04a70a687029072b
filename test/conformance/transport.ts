/**
 * What every `Transport` has to do, as one suite: run it on an implementation to find out whether it is good enough.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { CHANNELS, type Address, type LinkEvent, type Transport } from '../../membership/environment/environment.ts'

/** How the suite gets transports that can reach each other. */
export interface TransportKit {
  /** A transport that listens once started, on an address nobody uses; on `address`, if given. */
  create (address?: Address): Transport | Promise<Transport>
  /** A transport that does not listen. */
  createClient (): Transport | Promise<Transport>
  /** An address of this kind on which nobody listens. */
  freeAddress (): Address | Promise<Address>
  /** Ends a transport as the death of its process would. */
  kill (transport: Transport): void
  /** Two transports on one address are impossible here to begin with. */
  readonly addressesAreUnique?: boolean
  /** Lets time pass until the condition holds; fails after a few seconds. */
  until (condition: () => boolean): Promise<void>
}

const { membership, client, store, bulk } = CHANNELS

interface Peer { readonly transport: Transport, readonly address: Address, readonly links: LinkEvent[] }

export function transportConformance (name: string, kit: TransportKit): void {
  describe(name, () => {
    const transports: Transport[] = []

    async function started (transport: Transport): Promise<Peer> {
      const links: LinkEvent[] = []
      transport.onLink(event => { links.push(event) })
      transports.push(transport)
      await transport.start()
      return { transport, address: transport.address ?? '', links }
    }
    const peer = async (address?: Address): Promise<Peer> => started(await kit.create(address))
    const clientPeer = async (): Promise<Peer> => started(await kit.createClient())

    function inbox (transport: Transport, channel: 0 | 1 | 2 | 3 = store): unknown[] {
      const messages: unknown[] = []
      transport.receive(channel, message => { messages.push(message) })
      return messages
    }

    afterEach(async () => {
      await Promise.all(transports.splice(0).map(transport => transport.close()))
    })

    test('carries every kind of value', async () => {
      const [a, b] = [await peer(), await peer()]
      const received = inbox(b.transport)
      const messages = [
        null, true, false, 0, -1, 127, 128, 255, 65_536, -32_769, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 53 - 1), 0.1, -1e300, '', 'text', 'ünïcödé 🌳',
        'x'.repeat(100_000), [], {}, [[[1, [2]]], { a: [{ b: null }] }], { '': 1, __proto: 2, 'with space': [] }, Array.from({ length: 20_000 }, (_, i) => i)
      ]
      for (const message of messages) a.transport.send(b.address, store, message)
      await kit.until(() => received.length === messages.length)
      expect(received).toEqual(messages)
    })

    test('carries bytes, as bytes that nobody else holds', async () => {
      const [a, b] = [await peer(), await peer()]
      const received = inbox(b.transport) as Uint8Array[][]
      const pattern = (size: number, step: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * step) & 255)
      const message = [pattern(0, 1), pattern(1, 7), pattern(300, 3), pattern(70_000, 5)]
      a.transport.send(b.address, store, message)
      a.transport.send(b.address, store, message)
      message[1]!.fill(99)
      await kit.until(() => received.length === 2)
      const [first, second] = received as [Uint8Array[], Uint8Array[]]
      for (const bytes of first) expect(bytes).toBeInstanceOf(Uint8Array)
      expect(first.map(bytes => [...bytes])).toEqual([[], [0], [...pattern(300, 3)], [...pattern(70_000, 5)]])
      first[2]!.fill(0)
      expect([...second[2]!]).toEqual([...pattern(300, 3)])
    })

    test('delivers in a later turn, never inside send', async () => {
      const [a, b] = [await peer(), await peer()]
      const received = inbox(b.transport)
      a.transport.send(b.address, store, 1)
      await kit.until(() => received.length === 1)
      a.transport.send(b.address, store, 2)
      expect(received).toEqual([1])
      await kit.until(() => received.length === 2)
    })

    test('keeps the order per pair and channel', async () => {
      const [a, b] = [await peer(), await peer()]
      const inboxes = [membership, client, store, bulk].map(channel => ({ channel, received: inbox(b.transport, channel) }))
      for (let index = 0; index < 2000; index++) for (const { channel } of inboxes) a.transport.send(b.address, channel, index)
      await kit.until(() => inboxes.every(({ received }) => received.length === 2000))
      for (const { received } of inboxes) expect(received).toEqual(Array.from({ length: 2000 }, (_, index) => index))
    })

    test('loses nothing, keeps the order and opens one link when both sides connect at once', async () => {
      for (let round = 0; round < 10; round++) {
        const [a, b] = [await peer(), await peer()]
        const [atA, atB] = [inbox(a.transport), inbox(b.transport)]
        for (let index = 0; index < 100; index++) {
          a.transport.send(b.address, store, index)
          b.transport.send(a.address, store, index)
        }
        await kit.until(() => atA.length === 100 && atB.length === 100)
        const expected = Array.from({ length: 100 }, (_, index) => index)
        expect(atA).toEqual(expected)
        expect(atB).toEqual(expected)
        expect(a.links).toEqual([{ kind: 'opened', address: b.address }])
        expect(b.links).toEqual([{ kind: 'opened', address: a.address }])
      }
    })

    test('keeps the order of each stream, whatever the lengths, until nothing is busy', async () => {
      const [a, b] = [await peer(), await peer()]
      const received = inbox(b.transport) as { readonly stream: number, readonly number: number, readonly bytes: Uint8Array }[]
      const lengths = [10, 300_000, 10, 10, 140_000, 1_000_000, 10]
      const streams = [0, 1, 70_000]
      lengths.forEach((length, number) => {
        for (const stream of streams) a.transport.send(b.address, store, { stream, number, bytes: new Uint8Array(length).fill(number) }, stream)
      })
      await kit.until(() => received.length === lengths.length * streams.length)
      for (const stream of streams) {
        expect(received.filter(message => message.stream === stream).map(({ number }) => number)).toEqual([...lengths.keys()])
        expect(a.transport.isBusy(b.address, store, stream)).toBe(false)
      }
      for (const { number, bytes } of received) expect(bytes.length === lengths[number] && bytes.every(byte => byte === number)).toBe(true)
    })

    test('what is sent after a stream is no longer busy stays behind it', async () => {
      const [a, b] = [await peer(), await peer()]
      const received = inbox(b.transport)
      a.transport.send(b.address, store, new Uint8Array(1_000_000), 1)
      await kit.until(() => !a.transport.isBusy(b.address, store, 1))
      a.transport.send(b.address, store, 'behind', 0)
      await kit.until(() => received.length === 2)
      expect(received[1]).toBe('behind')
    })

    test('uses one connection in both directions', async () => {
      const [a, b] = [await peer(), await peer()]
      const ids = new Set<number>()
      a.transport.receive(store, (_message, from) => { ids.add(from.connectionId) })
      b.transport.receive(store, (message, from) => {
        expect(from.address).toBe(a.address)
        from.reply(message)
        b.transport.send(a.address, store, message)
      })
      let answers = 0
      a.transport.receive(store, (_message, from) => { ids.add(from.connectionId); answers++ })
      a.transport.send(b.address, store, 'question')
      await kit.until(() => answers === 2)
      expect(ids.size).toBe(1)
    })

    test('answers a client on the connection it came by, on the channel it used', async () => {
      const [server, user, other] = [await peer(), await clientPeer(), await clientPeer()]
      expect(user.transport.address).toBeUndefined()
      const connections = new Set<number>()
      server.transport.receive(client, (message, from) => {
        expect(from.address).toBeUndefined()
        connections.add(from.connectionId)
        from.reply({ answer: message })
      })
      const [answers, others] = [inbox(user.transport, client), inbox(other.transport, client)]
      user.transport.send(server.address, client, 1)
      other.transport.send(server.address, client, 2)
      await kit.until(() => answers.length === 1 && others.length === 1)
      expect(answers).toEqual([{ answer: 1 }])
      expect(others).toEqual([{ answer: 2 }])
      expect(connections.size).toBe(2)
      const opened = server.links.filter(event => event.kind === 'opened').map(event => event.connectionId)
      expect(new Set(opened)).toEqual(connections)
      kit.kill(user.transport)
      await kit.until(() => server.links.some(event => event.kind === 'closed'))
      expect(opened).toContain(server.links.find(event => event.kind === 'closed')!.connectionId)
    })

    test('delivers to itself, in a later turn', async () => {
      const a = await peer()
      const received: unknown[] = []
      a.transport.receive(store, (message, from) => {
        expect(from.address).toBe(a.address)
        received.push(message)
        if (received.length === 1) from.reply('answer')
      })
      a.transport.send(a.address, store, 'question')
      expect(received).toEqual([])
      await kit.until(() => received.length === 2)
      expect(received).toEqual(['question', 'answer'])
    })

    test('connect opens a link without a message, once', async () => {
      const [a, b] = [await peer(), await peer()]
      a.transport.connect(b.address)
      a.transport.connect(b.address)
      await kit.until(() => a.links.length > 0 && b.links.length > 0)
      a.transport.connect(b.address)
      const received = inbox(b.transport)
      a.transport.send(b.address, store, 1)
      await kit.until(() => received.length === 1)
      expect(a.links).toEqual([{ kind: 'opened', address: b.address }])
      expect(b.links).toEqual([{ kind: 'opened', address: a.address }])
    })

    test('what a listener sends when it hears of a link comes after what waited for it', async () => {
      const [a, b] = [await peer(), await peer()]
      const received = inbox(b.transport)
      a.transport.onLink(event => { if (event.kind === 'opened') a.transport.send(b.address, store, 'last') })
      for (let index = 0; index < 3; index++) a.transport.send(b.address, store, index)
      await kit.until(() => received.length === 4)
      expect(received).toEqual([0, 1, 2, 'last'])
    })

    test('says refused where nobody listens, and does not throw', async () => {
      const a = await peer()
      const nobody = await kit.freeAddress()
      a.transport.connect(nobody)
      await kit.until(() => a.links.length === 1)
      a.transport.send(nobody, store, 'lost')
      expect(a.links[0]).toEqual({ kind: 'refused', address: nobody })
    })

    test('says closed when the peer dies, refused after that, opened when it is back', async () => {
      const [a, b] = [await peer(), await peer()]
      const received = inbox(b.transport)
      a.transport.send(b.address, store, 1)
      await kit.until(() => received.length === 1)
      kit.kill(b.transport)
      await kit.until(() => a.links.length === 2)
      a.transport.connect(b.address)
      await kit.until(() => a.links.length === 3)
      const successor = await peer(b.address)
      const again = inbox(successor.transport)
      a.transport.connect(b.address)
      await kit.until(() => a.links.length === 4)
      a.transport.send(b.address, store, 2)
      await kit.until(() => again.length === 1)
      expect(a.links.map(event => event.kind)).toEqual(['opened', 'closed', 'refused', 'opened'])
      expect(again).toEqual([2])
      expect(received).toEqual([1])
    })

    test('an answer on a connection that is gone is lost, silently', async () => {
      const [server, user] = [await peer(), await clientPeer()]
      let answer = (): void => {}
      server.transport.receive(client, (_message, from) => { answer = () => from.reply('late') })
      user.transport.send(server.address, client, 'question')
      await kit.until(() => server.links.length === 1)
      await user.transport.close()
      await kit.until(() => server.links.length === 2)
      expect(answer).not.toThrow()
    })

    test('a listener that was removed hears nothing more', async () => {
      const [a, b] = [await peer(), await peer()]
      const heard: LinkEvent[] = []
      const remove = a.transport.onLink(event => { heard.push(event) })
      remove()
      a.transport.connect(b.address)
      await kit.until(() => a.links.length === 1)
      expect(heard).toEqual([])
    })

    test('after close nothing is sent or received, and closing twice is fine', async () => {
      const [a, b] = [await peer(), await peer()]
      const received = inbox(b.transport)
      a.transport.send(b.address, store, 1)
      await kit.until(() => received.length === 1)
      await b.transport.close()
      await b.transport.close()
      b.transport.send(a.address, store, 1)
      await kit.until(() => a.links.length === 2)
      expect(a.links[1]).toEqual({ kind: 'closed', address: b.address })
      await expect(b.transport.start()).rejects.toMatchObject({ code: 'TRANSPORT_CLOSED' })
    })

    test.skipIf(kit.addressesAreUnique)('two cannot listen on one address', async () => {
      const a = await peer()
      const second = await kit.create(a.address)
      transports.push(second)
      await expect(second.start()).rejects.toMatchObject({ code: 'TRANSPORT_ADDRESS_IN_USE' })
    })

    test('refuses what is no message, at the sender', async () => {
      // How much else is refused differs: the simulator looks at every value, production leaves that to the types.
      const [a, b] = [await peer(), await peer()]
      expect(() => a.transport.send(b.address, store, { deep: [new Date(0)] })).toThrow(TypeError)
    })
  })
}
