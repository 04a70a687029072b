/**
 * Long messages in pieces: what was sent comes out, in order per stream, whatever goes between; who may overtake whom; that the two ends agree on
 * how much is under way; and that forged pieces are an error that costs nothing.
 *
 * Mutations that these tests caught: what is short does not stay behind a long message of its stream; a stream is busy only once its long message
 * has left the queue; no share for long messages; one of them goes to its end before the next, or keeps its place for the next of its stream; a
 * sender without a limit of places, or of bytes; a receiver without either, or that gives no bytes back; a message in a place that is taken;
 * the offset or the length of a piece not looked at; what has left the queue moved to another connection behind the rest; short byte
 * arrays that keep a long message alive; two long messages that end in one frame, at the sender or at the receiver; the values of a long
 * message counted with the others of its frame; memory for the whole message taken with its first piece.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Channel, CHANNELS } from '../../membership/environment/environment.ts'
import { FrameDecoder, FrameEncoder } from '../../membership/transport/frame-codec.ts'
import { encodeMessage } from '../../membership/transport/message-codec.ts'
import { FRAME_BYTES_TARGET, Outbox } from '../../membership/transport/outbox.ts'
import { Assembly, PIECE_BYTES, PIECE_HEAD_BYTES, PLACES, WHOLE_BYTES_MAX } from '../../membership/transport/pieces.ts'

const MIB = 1024 * 1024
const { membership, client, store, bulk } = CHANNELS
const channels = [membership, client, store, bulk]

/** Two ends of a connection; `step` carries one frame, and gives what came out of it: channels and values. */
class Ends {
  readonly outbox: Outbox
  readonly #encoder = new FrameEncoder()
  readonly #decoder: FrameDecoder
  /** By channel and stream, what is to come. */
  readonly #expected = new Map<string, string[]>()
  #sent = 0

  constructor (messageBytesMax = 32 * MIB) {
    this.outbox = new Outbox(64 * MIB, messageBytesMax)
    this.#decoder = new FrameDecoder(messageBytesMax)
  }

  get unfinishedBytes (): number { return this.#decoder.unfinishedBytes }

  send (channel: Channel, value: unknown, stream = 0): void {
    expect(this.outbox.push(channel, encodeMessage(value), stream)).toBe(true)
  }

  step (socketBytes = 0, pieceBytesMax = Infinity): [Channel, unknown][] | undefined {
    const batch = this.outbox.take(socketBytes, pieceBytesMax)
    if (batch === undefined) return undefined
    const frame = this.#encoder.encode(batch.parts, batch.bytes)
    expect(frame.length).toBeLessThan(FRAME_BYTES_TARGET + WHOLE_BYTES_MAX + 2 * PIECE_BYTES)
    const values = this.#decoder.decode(frame)
    expect(values.length / 2).toBe(batch.completed)
    return values.flatMap((value, index) => index % 2 === 0 ? [[value as Channel, values[index + 1]] as [Channel, unknown]] : [])
  }

  /** Sends bytes that say which they are. */
  sendNumbered (channel: Channel, bytes: number, stream: number): void {
    const number = this.#sent++
    this.send(channel, { number, stream, bytes: new Uint8Array(bytes).fill(number) }, stream)
    const key = `${channel} ${stream}`
    this.#expected.set(key, [...this.#expected.get(key) ?? [], `${number} ${bytes}`])
  }

  /** Carries a frame; what comes out has to be the next of its stream, and whole. @returns false when there was none */
  checkedStep (socketBytes = 0, pieceBytesMax = Infinity): boolean {
    const values = this.step(socketBytes, pieceBytesMax)
    for (const [channel, value] of values ?? []) {
      const { number, stream, bytes } = value as { number: number, stream: number, bytes: Uint8Array }
      expect(`${number} ${bytes.length}`).toBe(this.#expected.get(`${channel} ${stream}`)?.shift())
      expect(Buffer.compare(bytes, Buffer.alloc(bytes.length, number)), 'the bytes that were sent').toBe(0)
    }
    return values !== undefined
  }

  expectEmpty (): void {
    expect([...this.#expected.values()].flat()).toEqual([])
    expect(this.outbox.bytes).toBe(0)
    expect(this.unfinishedBytes).toBe(0)
    for (const channel of channels) for (let stream = 0; stream < 10; stream++) expect(this.outbox.isBusy(channel, stream)).toBe(false)
  }
}

const about = { min: WHOLE_BYTES_MAX - 100, max: WHOLE_BYTES_MAX + 100 }
const sizes = fc.oneof(fc.nat(2000), fc.integer(about), fc.integer({ min: 130_000, max: 500_000 }))
const step = fc.record({ socketBytes: fc.constantFrom(0, 0, 0, 200_000, 300_000, 2 * MIB), pieceBytesMax: fc.constantFrom(Infinity, 0, 1, 100_000) })
const act = fc.record({ channel: fc.constantFrom(...channels), bytes: sizes, stream: fc.nat(5), steps: fc.array(step, { maxLength: 3 }) })

describe('long messages in pieces', () => {
  test('each stream comes out as it went in, whatever else is sent, however slow the socket', () => {
    fc.assert(fc.property(fc.array(act, { maxLength: 16 }), fc.integer({ min: 520_000, max: 3 * MIB }), (acts, messageBytesMax) => {
      const ends = new Ends(messageBytesMax)
      for (const { channel, bytes, stream, steps } of acts) {
        ends.sendNumbered(channel, bytes, stream)
        for (const { socketBytes, pieceBytesMax } of steps) {
          ends.checkedStep(socketBytes, pieceBytesMax)
          expect(ends.unfinishedBytes).toBeLessThanOrEqual(channels.length * messageBytesMax)
        }
      }
      while (ends.checkedStep());
      ends.expectEmpty()
    }), { numRuns: 60 })
  })

  test('whatever waits for a connection goes over another one, in order, and what went in part as a whole', () => {
    fc.assert(fc.property(fc.array(act, { maxLength: 15 }), acts => {
      const [first, second] = [new Ends(), new Ends()]
      const gone = new Set<number>()
      acts.forEach(({ channel, bytes, stream, steps }, index) => {
        first.send(channel, { index, stream, channel, bytes: new Uint8Array(bytes) }, stream)
        for (const { socketBytes, pieceBytesMax } of steps) {
          for (const [, value] of first.step(socketBytes, pieceBytesMax) ?? []) gone.add((value as { index: number }).index)
        }
      })
      first.outbox.drainInto(second.outbox)
      expect(first.outbox.bytes).toBe(0)
      expect(first.outbox.take(0)).toBeUndefined()
      const arrived = new Map<string, number[]>()
      for (let values = second.step(); values !== undefined; values = second.step()) {
        for (const [channel, value] of values) {
          const { index, stream } = value as { index: number, stream: number }
          arrived.set(`${channel} ${stream}`, [...arrived.get(`${channel} ${stream}`) ?? [], index])
        }
      }
      const expected = new Map<string, number[]>()
      acts.forEach(({ channel, stream }, index) => {
        if (!gone.has(index)) expected.set(`${channel} ${stream}`, [...expected.get(`${channel} ${stream}`) ?? [], index])
      })
      expect(arrived).toEqual(expected)
    }), { numRuns: 30 })
  })

  test.each([['a channel before it', client, 0], ['a channel behind it', bulk, 0], ['its own channel, in another stream', store, 7]] as const)('what is short on %s overtakes the rest of 8 MiB', (_name, channel, stream) => {
    const ends = new Ends()
    ends.send(store, new Uint8Array(8 * MIB))
    expect(ends.step()).toEqual([])
    ends.send(channel, 'short', stream)
    expect(ends.step()).toEqual([[channel, 'short']])
    let frames = 0
    for (let values = ends.step(); values !== undefined; values = ends.step()) frames++
    expect(frames).toBeGreaterThan(20)
  })

  test('what is in the stream of a long message stays behind it, also before it has begun', () => {
    const ends = new Ends()
    const long = new Uint8Array(MIB)
    ends.send(store, 'before', 3)
    ends.send(store, long, 3)
    expect(ends.outbox.isBusy(store, 3)).toBe(true)
    expect([ends.outbox.isBusy(store, 4), ends.outbox.isBusy(client, 3)]).toEqual([false, false])
    ends.send(store, 'behind', 3)
    ends.send(store, 'other', 4)
    const arrived: unknown[] = []
    for (let values = ends.step(); values !== undefined; values = ends.step()) {
      for (const [, value] of values) arrived.push(value instanceof Uint8Array ? value.length : value)
      expect(ends.outbox.isBusy(store, 3)).toBe(!arrived.includes('behind'))
    }
    expect(arrived).toEqual(['before', 'other', MIB, 'behind'])
  })

  test('long messages take turns, as many as the other side has places for; the others follow in their order', () => {
    const ends = new Ends()
    const streams = Array.from({ length: PLACES + 2 }, (_, index) => index)
    for (const stream of streams) ends.send(store, [stream, new Uint8Array(MIB)], stream)
    ends.send(store, [0, new Uint8Array(MIB)], 0)
    const arrived: number[] = []
    const frames: number[] = []
    for (let frame = 0, values = ends.step(); values !== undefined; values = ends.step(), frame++) {
      for (const [, value] of values) {
        arrived.push((value as [number])[0])
        frames.push(frame)
      }
    }
    // The second one of stream 0 waits until the others have had a place.
    expect(arrived).toEqual([...streams, 0])
    expect(frames[PLACES - 1]! - frames[0]!, 'those that began together end together').toBeLessThanOrEqual(PLACES)
    expect(new Set(frames).size, 'each in a frame of its own').toBe(frames.length)
    expect(frames[0]!).toBeGreaterThan(PLACES * MIB / FRAME_BYTES_TARGET - 3)
  })

  test('two messages of the most values there may be go together, whatever is short beside them', () => {
    const ends = new Ends()
    const most = new Array(999_999).fill(1) as number[]
    const arrived: number[] = []
    for (const stream of [1, 2]) ends.send(client, most, stream)
    for (let values = ends.step(); values !== undefined; values = ends.step()) {
      for (const [, value] of values) if (value !== 'short') arrived.push((value as number[]).length)
      if (arrived.length < 2) ends.send(client, 'short')
    }
    expect(arrived).toEqual([most.length, most.length])
  })

  test('long messages wait until they fit beside those under way', () => {
    const ends = new Ends(3 * MIB)
    for (const stream of [1, 2, 3]) ends.send(store, new Uint8Array(2 * MIB), stream)
    while (ends.step() !== undefined) expect(ends.unfinishedBytes).toBeLessThanOrEqual(3 * MIB)
    expect(ends.outbox.bytes).toBe(0)
    expect(ends.outbox.push(store, encodeMessage(new Uint8Array(3 * MIB)), 0), 'longer than any may be').toBe(false)
  })

  test('where short messages never end, a long one gets its share', () => {
    const ends = new Ends()
    ends.send(store, new Uint8Array(MIB), 1)
    let frames = 0
    for (let done = false; !done; frames++) {
      for (let index = 0; index < 10; index++) ends.send(store, new Uint8Array(FRAME_BYTES_TARGET / 8))
      done = ends.step(100_000)!.some(([, value]) => (value as Uint8Array).length === MIB)
      expect(frames).toBeLessThan(100)
    }
    expect(frames).toBe(Math.ceil((MIB + 1) / PIECE_BYTES))
  })

  test('pieces wait while the socket has much to write, or the turn has had its part; bulk data leaves the shares to others', () => {
    const ends = new Ends()
    ends.send(client, new Uint8Array(MIB))
    expect(ends.outbox.take(300_000)).toBeUndefined()
    expect(ends.outbox.take(0, 0)).toBeUndefined()
    expect(ends.outbox.take(0, 1)!.pieceBytes).toBe(PIECE_BYTES + PIECE_HEAD_BYTES)
    const shared = new Ends()
    shared.send(bulk, new Uint8Array(MIB))
    for (let index = 0; index < 10; index++) shared.send(client, new Uint8Array(FRAME_BYTES_TARGET / 8))
    expect(shared.outbox.take(100_000)!.pieceBytes).toBe(0)
  })
})

const head = (channel: number, place: number, total: number, offset: number): Buffer => {
  const bytes = Buffer.alloc(PIECE_HEAD_BYTES)
  bytes[0] = channel | 0x40
  bytes[1] = place
  bytes.writeUInt32BE(total, 2)
  bytes.writeUInt32BE(offset, 6)
  return bytes
}
const piece = (channel: number, place: number, total: number, offset = 0, bytes = Math.min(PIECE_BYTES, total - offset)): Buffer =>
  Buffer.concat([head(channel, place, total, offset), Buffer.alloc(bytes)])

describe('forged pieces are an error', () => {
  const total = 200_000
  const decoder = (...begun: readonly Buffer[]): FrameDecoder => {
    const fresh = new FrameDecoder(MIB)
    for (const bytes of begun) expect(fresh.decode(bytes)).toEqual([])
    return fresh
  }

  test.each([
    ['without its head', head(2, 0, total, 0).subarray(0, 5)],
    ['cut off', piece(2, 0, total, 0, 10)],
    ['of a message that is too short for pieces', piece(2, 0, WHOLE_BYTES_MAX)],
    ['of an empty message', piece(2, 0, 0)],
    ['of a message longer than any', piece(2, 0, MIB + 1)],
    ['of 2^32-1 bytes', piece(2, 0, 2 ** 32 - 1)],
    ['of a message that never began', piece(2, 0, total, PIECE_BYTES)],
    ['in a place that there is not', piece(2, PLACES, total)],
    ['on a channel that there is not', piece(9, 0, total)],
    ['of a difference', piece(0x80, 0, total)]
  ])('%s', (_name, bytes) => {
    const forged = decoder()
    expect(() => forged.decode(bytes)).toThrow(TypeError)
    expect(forged.unfinishedBytes).toBe(0)
  })

  test.each([
    ['with another length', piece(2, 0, total + 1, PIECE_BYTES)],
    ['that was there already', piece(2, 0, total, 0)],
    ['after one that is missing', piece(2, 0, total, 2 * PIECE_BYTES)],
    ['beyond the end', piece(2, 0, total, total, 0)],
    ['of a message on another channel', piece(1, 0, total, PIECE_BYTES)],
    ['in another place', piece(2, 1, total, PIECE_BYTES)]
  ])('the next one %s', (_name, bytes) => {
    const forged = decoder(piece(2, 0, total))
    expect(() => forged.decode(bytes)).toThrow(TypeError)
  })

  test('messages that begin and do not end, in number and in bytes', () => {
    const many = decoder(...Array.from({ length: PLACES }, (_, place) => piece(2, place, total)))
    expect(() => many.decode(piece(2, PLACES, total))).toThrow(TypeError)
    const long = decoder(piece(2, 0, 600_000))
    expect(() => long.decode(piece(2, 1, 600_000))).toThrow(TypeError)
    expect(long.unfinishedBytes).toBe(600_000)
  })

  test('anything behind the last piece of a message, be it the last one of another', () => {
    const valid = encodeMessage(new Uint8Array(total))
    const parts = (place: number): Buffer[] => [0, 1, 2, 3].map(index => Buffer.concat([
      head(2, place, valid.length, index * PIECE_BYTES), valid.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES)
    ]))
    const begun = [0, 1].flatMap(place => parts(place).slice(0, -1))
    expect(decoder(...begun).decode(parts(0).at(-1)!)).toHaveLength(2)
    expect(() => decoder(...begun).decode(Buffer.concat([0, 1].map(place => parts(place).at(-1)!)))).toThrow('something behind')
    expect(() => decoder(...begun).decode(Buffer.concat([parts(0).at(-1)!, Buffer.of(2, 1)]))).toThrow('something behind')
  })

  test('a message that has begun takes no more memory than came of it, twice over', () => {
    const assembly = new Assembly(32 * MIB)
    const length = 31 * MIB
    for (let offset = 0; offset + PIECE_BYTES < length; offset += PIECE_BYTES) {
      expect(assembly.read(piece(2, 0, length, offset), 0).message).toBeUndefined()
      expect(assembly.allocatedBytes).toBeLessThanOrEqual(2 * (offset + PIECE_BYTES))
      expect(assembly.bytes).toBe(length)
    }
    const { message } = assembly.read(piece(2, 0, length, length - PIECE_BYTES), 0)
    expect([message!.length, message!.buffer.byteLength, assembly.allocatedBytes]).toEqual([length, length, 0])
  })

  test('what is put together and is no message', () => {
    const forged = decoder(piece(2, 0, total), piece(2, 0, total, PIECE_BYTES), piece(2, 0, total, 2 * PIECE_BYTES))
    expect(() => forged.decode(piece(2, 0, total, 3 * PIECE_BYTES))).toThrow('not a message')
  })
})

test('a long byte array is not copied once more, and a short one beside it does not keep it alive', () => {
  const ends = new Ends()
  ends.send(store, { long: new Uint8Array(MIB).fill(1), list: [new Uint8Array(10).fill(2), 'text', { deep: new Uint8Array(20).fill(3) }] })
  let message: { long: Uint8Array, list: [Uint8Array, string, { deep: Uint8Array }] } | undefined
  for (let values = ends.step(); values !== undefined; values = ends.step()) message = values[0]?.[1] as typeof message
  const { long, list: [short, text, { deep }] } = message!
  expect([[...short], text, [...deep], long.length, long.every(byte => byte === 1)]).toEqual([new Array(10).fill(2), 'text', new Array(20).fill(3), MIB, true])
  expect(long.buffer.byteLength).toBeLessThan(MIB + 100)
  for (const bytes of [short, deep]) expect(bytes.buffer.byteLength).toBeLessThan(WHOLE_BYTES_MAX)
})
