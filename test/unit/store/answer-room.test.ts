/**
 * Room for answers: of one connection, of all together, and what is left for short ones.
 *
 * Mutations that these tests caught: no limit of a connection; no common one; nothing left for short answers; a large one that is never taken
 * alone; what has gone counts on; connections that have nothing queued are not forgotten.
 */
import { describe, expect, test } from 'vitest'
import { answerBytes, AnswerRoom, type Asker } from '../../../store/answer-room.ts'

const LONG = 100_000
const SHORT = 1000

/** A client that takes what is queued for it when the test says so. */
class Client implements Asker {
  readonly connectionId: number
  #queued = 0
  measured = 0

  constructor (connectionId: number) {
    this.connectionId = connectionId
  }

  queuedBytes (): number {
    this.measured++
    return this.#queued
  }

  /** Asks for an answer of so many bytes. */
  ask (room: AnswerRoom, bytes: number): boolean {
    if (!room.fits(this, bytes)) return false
    room.took(this, bytes)
    this.#queued += bytes
    return true
  }

  takes (bytes: number): void {
    this.#queued -= bytes
  }
}

describe('room for answers', () => {
  test('of one connection long answers take seven eighths, and short ones the rest', () => {
    const room = new AnswerRoom(100 * LONG, 8 * LONG)
    const client = new Client(1)
    for (let answer = 1; answer <= 7; answer++) expect(client.ask(room, LONG)).toBe(true)
    expect(client.ask(room, LONG)).toBe(false)
    for (let answer = 1; answer <= 100; answer++) expect(client.ask(room, SHORT)).toBe(true)
    expect(client.ask(room, SHORT)).toBe(false)
    expect(new Client(2).ask(room, LONG), 'of another connection').toBe(true)
    client.takes(101 * SHORT + LONG)
    expect(client.ask(room, LONG)).toBe(true)
  })

  test('of all connections together, too, what was taken counts until it has gone', () => {
    const room = new AnswerRoom(8 * LONG, 5 * LONG)
    const [a, b, c] = [new Client(1), new Client(2), new Client(3)]
    for (let answer = 1; answer <= 4; answer++) expect(a.ask(room, LONG)).toBe(true)
    for (let answer = 1; answer <= 3; answer++) expect(b.ask(room, LONG)).toBe(true)
    expect(c.ask(room, LONG)).toBe(false)
    expect(c.ask(room, SHORT)).toBe(true)
    b.takes(LONG)
    expect(c.ask(room, LONG - SHORT)).toBe(true)
    expect(c.ask(room, LONG)).toBe(false)
  })

  test('an answer that is larger than all the room is taken when nothing is queued', () => {
    const room = new AnswerRoom(SHORT, SHORT)
    const [a, b] = [new Client(1), new Client(2)]
    expect(a.ask(room, LONG)).toBe(true)
    expect(a.ask(room, 1)).toBe(false)
    expect(b.ask(room, 1)).toBe(false)
    a.takes(LONG)
    expect(b.ask(room, LONG)).toBe(true)
  })

  test('while there is plenty connections are not asked one by one, and those that have gone are forgotten', () => {
    const room = new AnswerRoom(10 ** 9)
    const clients = Array.from({ length: 3000 }, (_, id) => new Client(id))
    for (const client of clients) {
      expect(client.ask(room, SHORT)).toBe(true)
      client.takes(SHORT)
    }
    // Once for itself, and once when a thousand others came.
    expect(Math.max(...clients.map(({ measured }) => measured))).toBeLessThanOrEqual(2)
  })
})

test('answers have the bytes of their keys and values; what tells of a write, or of an error, has none', () => {
  const [key, value] = [new Uint8Array(10), new Uint8Array(1000)]
  expect(answerBytes({ kind: 'values', values: [value, null], versions: [1, 0], seq: 1 })).toBeGreaterThanOrEqual(1000)
  expect(answerBytes({ kind: 'page', page: { keys: [key], values: [value], next: null }, seq: 1 })).toBeGreaterThanOrEqual(1010)
  expect(answerBytes({ kind: 'changes', entries: [{ seq: 1, changes: [{ key, value }, { key, value: null }] }], upTo: 1, seq: 1 })).toBeGreaterThanOrEqual(1020)
  expect(answerBytes({ kind: 'written', seq: 1 })).toBe(0)
  expect(answerBytes({ kind: 'error', code: 'NOT_READY', message: 'x'.repeat(1000), definite: true, epoch: 1 })).toBe(0)
})
