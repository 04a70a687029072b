/**
 * Copies a message as a network would: the receiver shares nothing with the sender, so that aliasing shows. On the way it
 * measures the message, digests its content for the trace, and refuses what the `Transport` contract does not allow.
 *
 * Pure.
 */
import { VALUES_MAX } from '../../membership/transport/message-codec.ts'

const PRIME = 0x01000193

/** A copy of a message that was copied, and so measured and checked, before: for the other receivers of the same one. */
export function copyAgain (message: unknown): unknown {
  if (typeof message !== 'object' || message === null) return message
  if (Array.isArray(message)) return message.map(copyAgain)
  if (message instanceof Uint8Array) return message.slice()
  const copied: Record<string, unknown> = { ...message }
  for (const name of Object.keys(copied)) if (typeof copied[name] === 'object') copied[name] = copyAgain(copied[name])
  return copied
}

export class MessageCopier {
  /** About what the message takes as MessagePack. */
  bytes = 0
  /** 32 bits over every value and every name in the message. */
  digest = 0
  #values = 0

  /** @throws {TypeError} for anything but plain objects, arrays, strings, finite numbers, booleans, null and Uint8Arrays, or a million of them. */
  copy (message: unknown): unknown {
    this.bytes = 0
    this.#values = 1
    this.digest = 0x811c9dc5
    return this.#copy(message, '')
  }

  #count (values: number): void {
    this.#values += values
    if (this.#values > VALUES_MAX) throw new TypeError(`A message has at most ${VALUES_MAX} values`)
  }

  #mix (word: number): void {
    this.digest = Math.imul(this.digest ^ word, PRIME) >>> 0
  }

  #mixText (text: string): void {
    let digest = this.digest
    for (let index = 0; index < text.length; index++) digest = Math.imul(digest ^ text.charCodeAt(index), PRIME)
    this.digest = digest >>> 0
    this.bytes += text.length + (text.length < 32 ? 1 : 3)
  }

  #copy (value: unknown, path: string): unknown {
    switch (typeof value) {
      case 'string':
        this.#mixText(value)
        return value
      case 'boolean':
        this.#mix(value ? 2 : 1)
        this.bytes++
        return value
      case 'number':
        if (!Number.isFinite(value)) throw new TypeError(`A message must not contain ${value} (at ${path || 'its root'})`)
        this.#mix(value)
        // Words beyond 32 bits and fractions count too.
        if (value !== (value | 0)) this.#mix(Math.trunc((value % 1) * 0x100000000) ^ Math.trunc(value / 0x100000000))
        this.bytes += value >= 0 && value < 128 && Number.isInteger(value) ? 1 : 9
        return value
      case 'object':
        return value === null ? this.#null() : this.#copyObject(value, path)
      default:
        throw new TypeError(`A message must not contain ${typeof value} (at ${path || 'its root'})`)
    }
  }

  #null (): null {
    this.#mix(3)
    this.bytes++
    return null
  }

  /** Digests four bytes at a time: values may be long. */
  #copyBytes (value: Uint8Array): Uint8Array {
    // In a buffer of its own, and so aligned.
    const copied = Uint8Array.prototype.slice.call(value)
    const words = new Int32Array(copied.buffer, 0, copied.length >> 2)
    let digest = this.digest
    for (let index = 0; index < words.length; index++) digest = Math.imul(digest ^ words[index]!, PRIME)
    for (let index = words.length << 2; index < copied.length; index++) digest = Math.imul(digest ^ copied[index]!, PRIME)
    this.digest = digest >>> 0
    this.bytes += copied.length + 3
    return copied
  }

  #copyObject (value: object, path: string): unknown {
    if (Array.isArray(value)) {
      this.#mix(value.length)
      this.#count(value.length)
      this.bytes += value.length < 16 ? 1 : 3
      const copied: unknown[] = new Array(value.length)
      for (let index = 0; index < value.length; index++) copied[index] = this.#copy(value[index], path === '' ? '[]' : path)
      return copied
    }
    if (value instanceof Uint8Array) return this.#copyBytes(value)
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) {
      throw new TypeError(`A message must not contain a ${value.constructor.name} (at ${path || 'its root'})`)
    }
    const copied: Record<string, unknown> = {}
    const fields = value as Record<string, unknown>
    this.bytes++
    const names = Object.keys(fields)
    this.#count(2 * names.length)
    for (const name of names) {
      this.#mixText(name)
      copied[name] = this.#copy(fields[name], name)
    }
    return copied
  }
}
