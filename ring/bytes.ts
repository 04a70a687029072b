/** Writing and reading of unsigned integers (LEB128) and texts (length and UTF-8) as bytes. Pure. */
import { RingError } from './errors.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export class ByteWriter {
  #bytes = new Uint8Array(4096)
  #length = 0

  /** Writes an integer from 0 to 2^53 - 1. */
  integer (value: number): void {
    this.#reserve(8)
    while (value >= 0x80) {
      this.#bytes[this.#length++] = value % 0x80 + 0x80
      value = value > 0x7fff_ffff ? Math.floor(value / 0x80) : value >>> 7
    }
    this.#bytes[this.#length++] = value
  }

  text (value: string): void {
    const bytes = encoder.encode(value)
    this.integer(bytes.length)
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  finish (): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #reserve (more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array
  #offset = 0

  constructor (bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Bytes not yet read. */
  get left (): number { return this.#bytes.length - this.#offset }

  /** @throws {RingError} RING_INVALID_STATE when the bytes end, or the value is above `max`. */
  integer (max: number): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.#bytes[this.#offset++]
      if (byte === undefined) throw new RingError('RING_INVALID_STATE', 'the encoded placement is cut off')
      value += (byte & 0x7f) * scale
      if (value > max) throw new RingError('RING_INVALID_STATE', `the encoded placement has a number above its limit of ${max}`)
      if (byte < 0x80) return value
      scale *= 0x80
      if (scale > 2 ** 49) throw new RingError('RING_INVALID_STATE', 'the encoded placement has a number of more than 8 bytes')
    }
  }

  /** @throws {RingError} RING_INVALID_STATE when the bytes end, are more than `bytesMax`, or are not UTF-8. */
  text (bytesMax: number): string {
    const length = this.integer(bytesMax)
    if (length > this.left) throw new RingError('RING_INVALID_STATE', 'the encoded placement is cut off')
    const bytes = this.#bytes.subarray(this.#offset, this.#offset + length)
    this.#offset += length
    try {
      return decoder.decode(bytes)
    } catch (cause) {
      throw new RingError('RING_INVALID_STATE', 'the encoded placement has a text that is not UTF-8', { cause })
    }
  }
}
