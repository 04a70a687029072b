/**
 * The envelope of what stores say to each other: only what another store of this cluster says to this very store, about partitions that
 * there are, is passed on.
 *
 * Mutations caught: an error of sending that ends the turn, or any error swallowed; a message for another store passed on; one of another
 * cluster; one about a partition beyond the last; one that comes before there is a placement.
 */
import { expect, test } from 'vitest'
import type { StoreId } from '../../../membership/configuration.ts'
import type { Address, Channel, Environment, Remote } from '../../../membership/environment/environment.ts'
import { BodyBytes } from '../../../store/body-bytes.ts'
import type { GroupMessage } from '../../../store/group/messages.ts'
import { PeerChannel } from '../../../store/peer-channel.ts'

const PARTITIONS = 8
const SEAL: GroupMessage = { kind: 'seal', generation: 0, ballot: { epoch: 1, attempt: 1, store: 'A' as StoreId } }
const at = (port: number): Address => `127.0.0.1:${port}`

/** Stores by address, whatever they are called; what is sent arrives at once. */
class Stores {
  readonly #receivers = new Map<Address, Map<Channel, (message: unknown) => void>>()
  /** What each store heard. */
  readonly heard: string[] = []
  readonly dropped: string[] = []
  /** Thrown at whoever sends to a port. */
  readonly refusals = new Map<number, Error>()
  readonly faults: unknown[] = []

  add (name: string, port: number): PeerChannel {
    const receivers = new Map<Channel, (message: unknown) => void>()
    this.#receivers.set(at(port), receivers)
    const transport = {
      receive: (channel: Channel, receiver: (message: unknown, remote: Remote) => void) => {
        receivers.set(channel, message => { receiver(message, {} as Remote) })
      },
      isBusy: () => false,
      send: (to: Address, channel: Channel, message: unknown) => {
        const refusal = this.refusals.get(Number(to.split(':')[1]))
        if (refusal !== undefined) throw refusal
        this.#receivers.get(to)?.get(channel)?.(structuredClone(message))
      }
    }
    const log = {
      warn: ({ reason }: { reason: string }) => { this.dropped.push(`${name}: ${reason}`) },
      error: ({ to, error }: { to: Address, error: unknown }) => { this.faults.push([to, error]) }
    }
    const channel = new PeerChannel({
      environment: { transport, log } as unknown as Environment,
      self: name as StoreId,
      bodies: new BodyBytes(),
      heard: (partition, from, message) => { this.heard.push(`${name} < ${from} ${message.kind} ${partition}`) },
      heardOfLease: (from, message) => { this.heard.push(`${name} < ${from} ${message.kind}`) }
    })
    channel.start()
    return channel
  }
}

const view = (channel: PeerChannel, stores: Record<string, number>, cluster = 'cluster'): void => {
  channel.changeView(cluster, new Map(Object.entries(stores).map(([name, port]) => [name as StoreId, at(port)])), PARTITIONS)
}

function say (channel: PeerChannel, to: string, partition = 3): void {
  channel.send(to as StoreId, partition, SEAL)
  channel.flush()
  channel.sendLease(to as StoreId, { kind: 'ask', request: 1 })
}

test('what a store says arrives at the one that it is for', () => {
  const stores = new Stores()
  const [a, b] = [stores.add('A', 1), stores.add('B', 2)]
  for (const channel of [a, b]) view(channel, { A: 1, B: 2 })
  say(a, 'B', PARTITIONS - 1)
  say(a, 'C')
  expect(stores.heard).toEqual(['B < A seal 7', 'B < A ask'])
  expect(stores.dropped).toEqual([])
})

test('what cannot be sent is as if it were lost, and said; nothing else of its turn is', () => {
  for (const refusal of [new TypeError('too many values'), new RangeError('too long')]) {
    const stores = new Stores()
    const [a, , c] = [stores.add('A', 1), stores.add('B', 2), stores.add('C', 3)]
    for (const channel of [a, c]) view(channel, { A: 1, B: 2, C: 3 })
    stores.refusals.set(2, refusal)
    for (const to of ['B', 'C']) a.send(to as StoreId, 1, SEAL)
    a.flush()
    expect(stores.heard).toEqual(['C < A seal 1'])
    expect(stores.faults).toEqual([[at(2), refusal]])
  }
})

test('any other error is the sender\'s to hear', () => {
  const stores = new Stores()
  const a = stores.add('A', 1)
  view(a, { A: 1, B: 2 })
  stores.refusals.set(2, new Error('a fault'))
  a.send('B' as StoreId, 1, SEAL)
  expect(() => { a.flush() }).toThrow('a fault')
})

test('a store that has got the address of another one hears nothing that is for that one', () => {
  const stores = new Stores()
  const a = stores.add('A', 1)
  view(a, { A: 1, B: 2, C: 3 })
  // B and C were started again, each at the address of the other; A has not heard of it.
  const b = stores.add('B', 3)
  view(b, { A: 1, B: 3, C: 2 })
  say(a, 'C')
  expect(stores.heard).toEqual([])
  expect(stores.dropped).toEqual(['B: TypeError: for another store', 'B: TypeError: for another store'])
  view(a, { A: 1, B: 3, C: 2 })
  say(a, 'B')
  expect(stores.heard).toEqual(['B < A seal 3', 'B < A ask'])
})

test('nothing of another cluster is heard, nor about a partition that there is not, nor before there are any', () => {
  const stores = new Stores()
  const [a, b] = [stores.add('A', 1), stores.add('B', 2)]
  view(a, { B: 2 })
  say(a, 'B')
  expect(stores.dropped).toEqual([])
  view(b, { A: 1 }, 'another')
  say(a, 'B')
  expect(stores.dropped.splice(0)).toEqual(['B: TypeError: of another cluster', 'B: TypeError: of another cluster'])
  view(b, { A: 1 })
  a.send('B' as StoreId, PARTITIONS, SEAL)
  a.flush()
  expect(stores.dropped).toEqual([expect.stringContaining('not a valid packet: a partition')])
  expect(stores.heard).toEqual([])
})
