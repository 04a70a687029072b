/** Which partition a key belongs to: DESIGN of the ring, "Partitions" in ring/README.md. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { partitionOf, type RingError, routingKey } from '../../../ring/index.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('partitionOf', () => {
  // xxh64 of these texts, as published for seed 0; the partition is its top bits.
  test.each([
    ['', 0xef46db3751d8e999n],
    ['a', 0xd24ec4f1a98c6e5bn],
    ['abc', 0x44bc2cf5ad770999n]
  ])('takes the top log2(Q) bits of xxh64 of %j', (key, hash) => {
    for (let bits = 0; bits <= 16; bits++) expect(partitionOf(key, 2 ** bits)).toBe(Number(hash >> BigInt(64 - bits)))
  })

  test('halving Q merges neighbours, so arcs nest', () => {
    fc.assert(fc.property(fc.string(), fc.integer({ min: 1, max: 16 }), (key, bits) => {
      expect(partitionOf(key, 2 ** (bits - 1))).toBe(partitionOf(key, 2 ** bits) >>> 1)
    }))
  })

  test('a string and its UTF-8 bytes agree', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), key => {
      expect(partitionOf(bytes(key), 1024)).toBe(partitionOf(key, 1024))
    }))
  })

  test('spreads keys evenly', () => {
    const hits = new Array<number>(64).fill(0)
    for (let key = 0; key < 64_000; key++) hits[partitionOf(`user:${key}`, 64)]!++
    // 1000 expected, standard deviation 31: six of them.
    expect(Math.min(...hits)).toBeGreaterThan(810)
    expect(Math.max(...hits)).toBeLessThan(1190)
  })

  test.each([0, 3, -4, 1.5, 131_072, Number.NaN])('refuses Q = %s', partitions => {
    expect(() => partitionOf('a', partitions)).toThrow(expect.objectContaining({ code: 'RING_INVALID_OPTIONS' }) as RingError)
  })
})

// Mutations caught: an empty tag that counts, the first `}` of the whole key taken in place of the first after the `{`.
describe('routingKey', () => {
  test.each([
    ['plain', 'plain'],
    ['{user1}.cart', 'user1'],
    ['cart.{user1}', 'user1'],
    ['a{}b', 'a{}b'],
    ['a{}{b}', 'a{}{b}'],
    ['a{b', 'a{b'],
    ['a}b{c}', 'c'],
    ['{{a}}', '{a'],
    ['{a}{b}', 'a'],
    ['{ü}x', 'ü'],
    ['{', '{'],
    ['', '']
  ])('%j routes by %j', (key, part) => {
    expect(routingKey(key)).toBe(part)
    expect(routingKey(bytes(key))).toEqual(bytes(part))
    expect(partitionOf(key, 65_536)).toBe(partitionOf(`{${part}}`.startsWith('{}') ? key : part.includes('{') ? key : part, 65_536))
  })
})
