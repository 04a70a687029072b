/**
 * Frames: what went in comes out, whatever resembles what, and bytes that are no frame are refused without harm.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Channel, CHANNELS } from '../../membership/environment/environment.ts'
import { FrameDecoder, FrameEncoder, type FramePart } from '../../membership/transport/frame-codec.ts'
import { encodeMessage } from '../../membership/transport/message-codec.ts'

const MIB = 1024 * 1024

interface Sent { readonly channel: Channel, readonly message: unknown }

function frameOf (encoder: FrameEncoder, sent: readonly Sent[]): Uint8Array {
  const messages: FramePart[] = sent.map(({ channel, message }) => ({ channel, bytes: encodeMessage(message) }))
  return encoder.encode(messages, messages.reduce((sum, { bytes }) => sum + bytes.length + 1, 0))
}

const flat = (sent: readonly Sent[]): unknown[] => sent.flatMap(({ channel, message }) => [channel, message])

const probe = (sequence: number): Sent => ({
  channel: CHANNELS.membership,
  message: { kind: 'probe', sender: { id: 'a'.repeat(32), address: '127.0.0.1:7000' }, to: 'b'.repeat(32), sequence }
})
const reply = (sequence: number): Sent => ({
  channel: CHANNELS.membership,
  message: { kind: 'probe-reply', member: { id: 'a'.repeat(32), zone: 'rack 7' }, to: 'a'.repeat(32), sequence }
})

describe('frames', () => {
  test('probes and their answers take a dozen bytes each, once the first ones are known', () => {
    const [encoder, decoder] = [new FrameEncoder(), new FrameDecoder(MIB)]
    const sizes: number[] = []
    for (let round = 0; round < 400; round++) {
      for (const sent of [[probe(round)], [reply(round * 3)]]) {
        const frame = frameOf(encoder, sent)
        sizes.push(frame.length)
        expect(decoder.decode(frame)).toEqual(flat(sent))
      }
    }
    expect(sizes[0]).toBeGreaterThan(100)
    expect(Math.max(...sizes.slice(2))).toBeLessThanOrEqual(12)
  })

  test('any messages on any channels come out as they went in, in order', () => {
    const part = fc.oneof(
      fc.nat(300).map(probe),
      fc.nat(70_000).map(reply),
      fc.record({ channel: fc.constantFrom(...Object.values(CHANNELS)), message: fc.jsonValue({ maxDepth: 3 }) }),
      fc.record({ channel: fc.constant(CHANNELS.membership), message: fc.record({ text: fc.string({ maxLength: 2000 }), tail: fc.constant('same') }) }),
      fc.record({ channel: fc.constant(CHANNELS.membership), message: fc.uint8Array({ maxLength: 600, max: 2 }) })
    ).map(({ channel, message }) => ({ channel, message: normal(message) }))
    fc.assert(fc.property(fc.array(fc.array(part, { maxLength: 12 }), { maxLength: 12 }), frames => {
      const [encoder, decoder] = [new FrameEncoder(), new FrameDecoder(MIB)]
      for (const sent of frames) expect(decoder.decode(frameOf(encoder, sent)).map(plain)).toEqual(flat(sent).map(plain))
    }), { numRuns: 300 })
  })

  test('what was decoded does not change with later frames', () => {
    const [encoder, decoder] = [new FrameEncoder(), new FrameDecoder(MIB)]
    const bytes = (last: number): Sent => ({ channel: CHANNELS.membership, message: Uint8Array.from([...new Array<number>(100).fill(7), last]) })
    const [, first] = decoder.decode(frameOf(encoder, [bytes(1)])) as [number, Uint8Array]
    const [, second] = decoder.decode(frameOf(encoder, [bytes(2)])) as [number, Uint8Array]
    decoder.decode(frameOf(encoder, [bytes(3)]))
    expect([first.at(-1), second.at(-1)]).toEqual([1, 2])
  })

  test('a difference from nothing, beyond its base, too long or cut off is refused', () => {
    const known = encodeMessage('x'.repeat(40))
    const bad = [
      [0x80], [0x80, 0], [0x80, 0, 1, 1], [0x80, 1, 10, 10, 0], [0x80, 0, 30, 30, 0], [0x80, 0, 0x80], [0x80, 0, 0xff, 0xff, 0, 0],
      [0x80, 0, 10, 10, 5, 1], [0x82, 0, 20, 20, 0], [0x81, 0, 0, 0, 0], [0xff, 0, 0, 0, 0], [0x80, 0, 1, 0, 0], [4, 1]
    ]
    for (const bytes of bad) {
      const decoder = new FrameDecoder(MIB)
      decoder.decode(Uint8Array.from([CHANNELS.membership, ...known]))
      expect(() => decoder.decode(Uint8Array.from(bytes)), bytes.join()).toThrow(TypeError)
      expect(() => new FrameDecoder(MIB).decode(Uint8Array.from(bytes)), bytes.join()).toThrow(TypeError)
    }
  })

  test('many small differences cannot make more values than one frame may hold', () => {
    const decoder = new FrameDecoder(MIB)
    const known = encodeMessage(new Array<number>(1000).fill(0))
    decoder.decode(Uint8Array.from([CHANNELS.membership, ...known]))
    const again = Uint8Array.from([0x80, 0, ...length(known.length), 0, 0])
    const frame = Buffer.concat(new Array<Uint8Array>(1100).fill(again))
    expect(() => decoder.decode(frame)).toThrow(TypeError)
  })

  test('arbitrary bytes never fail in another way', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 }), frames => {
      const decoder = new FrameDecoder(MIB)
      decoder.decode(Uint8Array.from([CHANNELS.membership, ...encodeMessage('x'.repeat(40))]))
      for (const frame of frames) {
        try {
          decoder.decode(frame)
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError)
          return
        }
      }
    }), { numRuns: 2000 })
  })
})

const length = (value: number): number[] => value < 0x80 ? [value] : [0x80 | (value & 0x7f), value >>> 7]

/** JSON knows a negative zero; a message does not. */
function normal (value: unknown): unknown {
  if (Object.is(value, -0)) return 0
  if (Array.isArray(value)) return value.map(normal)
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== '__proto__').map(([name, field]) => [name, normal(field)]))
}

/** Byte arrays as lists: a buffer and an array of equal bytes are equal. */
const plain = (value: unknown): unknown => value instanceof Uint8Array ? [...value] : value
