/**
 * Real sockets: a value of 8 MiB that is written or read does not hold up small operations on other partitions of the same leader. What counts
 * is the order in which messages arrive, not time: whatever is small is there before the last piece of what is large, on every hop of its way.
 *
 * Mutations caught here: a client that sends in one stream; a node that answers in one; stores that send all in one; answers without a limit.
 */
import { MemoryLevel } from 'memory-level'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Channel, CHANNELS, type Database, type Transport } from '../../../membership/environment/environment.ts'
import { createSystemClock, createSystemRandom, silentLog } from '../../../membership/environment/system.ts'
import { createWebSocketTransport, type WebSocketTransport } from '../../../membership/transport/websocket.ts'
import { partitionOf } from '../../../ring/index.ts'
import { BodyBytes } from '../../../store/body-bytes.ts'
import type { ClientRequest, Operation } from '../../../store/client-protocol.ts'
import { Client } from '../../../store/client/client.ts'
import { StoreNode } from '../../../store/node.ts'
import { type Packet, unpack } from '../../../store/peer-messages.ts'
import { eventually, PATIENCE_MS } from '../../../store/verify/eventually.ts'

const PARTITIONS = 16
const LONG = 8 * 1024 * 1024
const parts = { clock: createSystemClock(), random: createSystemRandom(), log: silentLog }

/** What arrived where, in its order: `leader: write small`, `leader: read 3` keys, `follower 1: append large`. */
let story: string[] = []
let onStory: (line: string) => void = () => {}
function tell (line: string): void {
  story.push(line)
  onStory(line)
}

/** What the value of a put is called: its text, or that it is large. */
const nameOf = (operations: readonly Pick<Operation, 'kind'>[]): string => {
  const { value } = operations[0] as { value?: Uint8Array }
  return value === undefined ? 'nothing' : value.length === LONG ? 'large' : Buffer.from(value).toString()
}

function listen (transport: Transport, who: () => string): Transport {
  const heard = (channel: Channel, message: unknown): void => {
    if (channel === CHANNELS.client) {
      const request = message as ClientRequest
      if (request.kind === 'read') tell(`${who()}: read ${request.keys.length}`)
      else if (request.kind === 'write') tell(`${who()}: write ${nameOf(request.operations)}`)
    } else if (channel === CHANNELS.store && (message as { m?: Packet }).m !== undefined) {
      for (const { message: said } of unpack((message as { m: Packet }).m, new BodyBytes())) {
        if (said.kind !== 'append') continue
        for (const { body } of said.entries) if (body.kind === 'write' && body.operations !== null) tell(`${who()}: append ${nameOf(body.operations)}`)
      }
    }
  }
  return new Proxy(transport, {
    get (target, name) {
      if (name === 'receive') {
        const receive: Transport['receive'] = (channel, receiver) => {
          target.receive(channel, (message, from) => { heard(channel, message); receiver(message, from) })
        }
        return receive
      }
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
}

describe('a value of 8 MiB', () => {
  const nodes: StoreNode[] = []
  const sockets: WebSocketTransport[] = []
  let client: Client<string, Uint8Array>
  let leader: number
  /** The large key is in one partition, the small one in another; both have the same leader. */
  let keys: { large: string, small: string }

  beforeAll(async () => {
    for (let index = 0; index < 3; index++) {
      const socket = createWebSocketTransport({ listen: { host: '127.0.0.1', port: 0 }, ...parts })
      const transport = listen(socket, () => index === leader ? 'leader' : `follower ${index}`)
      const storage = (): Database => new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
      const node = new StoreNode({ environment: { ...parts, transport, storage } }, {
        directory: String(index), ...index === 0 ? { found: true, expect: 3, partitions: PARTITIONS } : { seeds: [nodes[0]!.address] }
      })
      nodes.push(node)
      sockets.push(socket)
      // The others are admitted together.
      if (index === 0) await node.start()
    }
    await Promise.all(nodes.slice(1).map(node => node.start()))
    const seeds = nodes.map(({ address }) => address)
    client = new Client({ ...parts, transport: createWebSocketTransport(parts) }, { seeds, valueEncoding: 'view', deadlineMs: 60_000 })
    const names = Array.from({ length: 200 }, (_, index) => `key ${index}`)
    await Promise.all(names.map(name => client.put(name, Buffer.from('before'))))
    const leads = (index: number): number[] => [...nodes[index]!.replicas]
      .flatMap(([partition, { leader }]) => leader?.serving === true ? [partition] : [])
    await eventually(PATIENCE_MS, async () => [0, 1, 2].some(index => leads(index).length > 1) ? undefined : 'no node leads two partitions')
    leader = [0, 1, 2].find(index => leads(index).length > 1)!
    const [large, small] = leads(leader).map(partition => names.find(name => partitionOf(Buffer.from(name), PARTITIONS) === partition)!)
    keys = { large: large!, small: small! }
  }, 60_000)

  afterAll(async () => {
    await client.close()
    await Promise.all(nodes.map(node => node.close()))
  })

  test('that is written is overtaken by small writes on each hop, and these are acknowledged before it', async () => {
    story = []
    let later: Promise<void> | undefined
    // As soon as the leader has the large one, and is about to send it on.
    onStory = line => {
      if (line === 'leader: write large') later = client.put(keys.small, Buffer.from('later')).then(() => { tell('later is acknowledged') })
    }
    const large = client.put(keys.large, new Uint8Array(LONG)).then(() => { tell('large is acknowledged') })
    await client.put(keys.small, Buffer.from('small'))
    await large
    await later
    const followers = [0, 1, 2].filter(index => index !== leader)
    const waiting = (): number[] => followers.filter(index => !story.includes(`follower ${index}: append large`))
    await eventually(PATIENCE_MS, async () => waiting().length === 0 ? undefined : `the followers ${String(waiting())} have not got it`)
    const place = (line: string): number => {
      expect(story).toContain(line)
      return story.indexOf(line)
    }
    expect(place('leader: write small')).toBeLessThan(place('leader: write large'))
    for (const index of followers) expect(place(`follower ${index}: append later`)).toBeLessThan(place(`follower ${index}: append large`))
    expect(place('later is acknowledged')).toBeLessThan(place('large is acknowledged'))
  })

  test('that is read is overtaken by small answers, which are there before all of it has left', async () => {
    const node = sockets[leader]!
    const before = node.traffic.sent.bytes
    let large: Uint8Array | undefined
    const reading = client.get(keys.large).then(value => { large = value })
    expect(Buffer.from((await client.get(keys.small))!).toString()).toBe('later')
    expect(large).toBeUndefined()
    expect(node.traffic.sent.bytes - before).toBeLessThan(LONG)
    await reading
    expect(large).toHaveLength(LONG)
  })

  test('comes in an answer of its own where many are read, and no answer has more than two', async () => {
    const names = Array.from({ length: 6 }, (_, index) => `{${keys.large}}${index}`)
    for (const [index, name] of names.entries()) await client.put(name, new Uint8Array(index % 2 === 0 ? LONG : 10).fill(index))
    story = []
    const found = await client.getMany([...names, `{${keys.large}}absent`])
    expect(found.map(value => value === undefined ? 'absent' : `${value[0]}: ${value.length}`))
      .toEqual([...names.map((_, index) => `${index}: ${index % 2 === 0 ? LONG : 10}`), 'absent'])
    // Eight MiB fill an answer; ten bytes more leave room for what comes next, whatever it is.
    expect(story.filter(line => line.startsWith('leader: read'))).toEqual(['leader: read 7', 'leader: read 6', 'leader: read 4', 'leader: read 2'])
  })
})
