/**
 * What a node takes of its clients at once: beyond the limit of bytes a write is refused, certainly without effect, until others are answered;
 * and what it has queued for them: beyond that an answer to a read becomes a refusal, which says how long it is.
 *
 * Mutations that these tests caught: no limit; bytes that are not given back with the answer; a large write that is never taken; an answer that
 * is too long thrown at whoever brought it; answers for which there is no room sent all the same; a refusal that does not say how long the answer
 * is; one that says so read all the same; the keys of reads not counted, or counted with the writes; a disk that is behind not looked at.
 */
import { expect, test } from 'vitest'
import type { Configuration } from '../../../membership/configuration.ts'
import { encodeMessage } from '../../../membership/transport/message-codec.ts'
import { silentLog } from '../../../membership/environment/system.ts'
import type { Environment, Remote } from '../../../membership/environment/environment.ts'
import type { AgreedState } from '../../../store/agreed-state.ts'
import { ClientService } from '../../../store/client-service.ts'
import type { Answer } from '../../../store/group/effects.ts'
import type { PartitionHost } from '../../../store/partition-host.ts'

interface Answered {
  readonly request: number
  readonly kind: string
  readonly code?: string
  readonly definite?: boolean
  readonly bytes?: number
}

interface Service {
  readonly put: (request: number, valueBytes: number) => void
  readonly get: (request: number, expects?: number, keyBytes?: number) => void
  /** What waits for the disk of the node, from now on. */
  readonly unwritten: (bytes: number) => void
  /** What the connection has queued, from now on. */
  readonly queue: (bytes: number) => void
  readonly answer: (index: number, answer?: Answer) => void
  /** The tickets of what the partition was given, in order. */
  readonly taken: readonly number[]
  readonly answers: readonly Answered[]
}

/** What the transport of the tests carries. */
const ANSWER_BYTES_MAX = 100_000

/** A service that hands writes to a partition, which answers when the test says so. */
function service (bytesInFlightMax: number, answerBytesMax = 1000): Service {
  let [queued, unwrittenBytes] = [0, 0]
  let receive: (message: unknown, remote: Remote) => void = () => {}
  const [taken, answers]: [number[], Answered[]] = [[], []]
  const reply = (message: unknown, stream?: number): void => {
    if (encodeMessage(message).length > ANSWER_BYTES_MAX) throw new RangeError('too long')
    expect(stream, 'each answer has a stream of its own').toBe((message as Answered).request)
    answers.push(message as Answered)
  }
  const remote: Remote = { address: undefined, connectionId: 1, reply, queuedBytes: () => queued }
  const transport = { receive: (_channel: unknown, receiver: typeof receive) => { receive = receiver } } as unknown as Environment['transport']
  const environment = { transport, log: silentLog, clock: { now: () => 0 } as Environment['clock'] }
  const components = { environment } as unknown as ConstructorParameters<typeof ClientService>[0]
  const made = new ClientService(components, { operationsInFlightMax: 100, bytesInFlightMax, answerBytesMax })
  const replica = (): object => ({})
  const apply = (_partition: number, { ticket }: { ticket: number }): void => { taken.push(ticket) }
  const host = { replica, apply, schedule: { answered: () => {} }, get unwrittenBytes () { return unwrittenBytes } }
  made.start(host as unknown as PartitionHost)
  made.changeView({ epoch: 3 } as Configuration, { placement: {}, partitions: 1 } as unknown as AgreedState)
  return {
    put: (request, valueBytes) => {
      const operations = [{ kind: 'put', key: Buffer.from('k'), value: Buffer.alloc(valueBytes) }]
      receive({ kind: 'write', request, partition: 0, id: { client: 'c', number: request, base: 0 }, operations }, remote)
    },
    get: (request, expects, keyBytes = 1) => {
      receive({ kind: 'read', request, partition: 0, keys: [Buffer.alloc(keyBytes, 'k')], ...expects === undefined ? {} : { expects } }, remote)
    },
    queue: bytes => { queued = bytes },
    unwritten: bytes => { unwrittenBytes = bytes },
    answer: (index, answer = { kind: 'written', seq: 1 }) => { made.answer(taken[index]!, answer) },
    taken,
    answers
  }
}

test('writes are taken until they hold as many bytes as may be, and again when some were answered', () => {
  const { put, answer, taken, answers } = service(1000)
  put(1, 600)
  put(2, 300)
  put(3, 200)
  expect(taken).toHaveLength(2)
  expect(answers).toMatchObject([{ request: 3, kind: 'error', code: 'STORE_OVERLOADED', definite: true }])
  put(4, 50)
  expect(taken, 'one that fits is taken').toHaveLength(3)
  answer(0)
  put(5, 600)
  expect(taken).toHaveLength(4)
  expect(answers.map(({ request }) => request)).toEqual([3, 1])
})

test('a write that is larger than all that may be is taken alone', () => {
  const { put, answer, taken, answers } = service(1000)
  put(1, 5000)
  put(2, 1)
  expect(taken).toHaveLength(1)
  answer(0)
  put(3, 1)
  put(4, 5000)
  expect(taken).toHaveLength(2)
  expect(answers.map(({ request, kind }) => [request, kind])).toEqual([[2, 'error'], [1, 'written'], [4, 'error']])
})

test('reads are taken until their keys hold as many bytes, beside the writes', () => {
  const { put, get, answer, taken, answers } = service(1000)
  put(1, 900)
  get(2, undefined, 600)
  get(3, undefined, 600)
  expect(taken).toHaveLength(2)
  expect(answers).toMatchObject([{ request: 3, kind: 'error', code: 'STORE_OVERLOADED', definite: true }])
  get(4)
  expect(taken).toHaveLength(3)
  answer(1, values(1))
  get(5, undefined, 600)
  expect(taken).toHaveLength(4)
})

test('while too much waits for the disk writes are refused, and reads are not', () => {
  const { put, get, unwritten, taken, answers } = service(1000)
  unwritten(1001)
  put(1, 1)
  get(2)
  expect(taken).toHaveLength(1)
  expect(answers).toMatchObject([{ request: 1, kind: 'error', code: 'STORE_OVERLOADED', definite: true }])
  unwritten(1000)
  put(3, 1)
  expect(taken).toHaveLength(2)
})

test('an answer that no message holds is refused, and nothing breaks', () => {
  const { put, answer, answers } = service(1000)
  put(1, 10)
  put(2, 10)
  answer(0, { kind: 'values', values: [new Uint8Array(2 * ANSWER_BYTES_MAX)], versions: [1], seq: 1 })
  answer(1, { kind: 'values', values: [new Uint8Array(10)], versions: [1], seq: 1 })
  expect(answers).toMatchObject([{ request: 1, kind: 'error', code: 'STORE_INVALID_VALUE', definite: true }, { request: 2, kind: 'values' }])
})

const values = (bytes: number): Answer => ({ kind: 'values', values: [new Uint8Array(bytes)], versions: [1], seq: 1 })

test('an answer for which there is no room becomes a refusal that says how long it is, and is sent when there is room', () => {
  const { get, answer, queue, taken, answers } = service(1000)
  get(1)
  get(2)
  answer(0, values(800))
  queue(800)
  answer(1, values(300))
  const [first, second] = answers
  expect(first).toMatchObject({ request: 1, kind: 'values' })
  expect(second).toMatchObject({ request: 2, kind: 'error', code: 'STORE_OVERLOADED', definite: true })
  const { bytes } = second!
  expect(bytes).toBeGreaterThanOrEqual(300)
  // Whoever says how long the answer will be is refused before anything is read for it.
  get(3, bytes!)
  expect(taken).toHaveLength(2)
  expect(answers.at(-1)).toMatchObject({ request: 3, code: 'STORE_OVERLOADED', definite: true, bytes })
  queue(0)
  get(4, bytes!)
  expect(taken).toHaveLength(3)
  answer(2, values(300))
  expect(answers.at(-1)).toMatchObject({ request: 4, kind: 'values' })
})

test('that a write happened, and that something failed, is always told', () => {
  const { put, get, answer, queue, answers } = service(1000, 1)
  put(1, 10)
  get(2)
  queue(10 ** 9)
  answer(0)
  answer(1, { kind: 'error', code: 'NOT_LEADER', message: '', definite: true, epoch: 3 })
  expect(answers).toMatchObject([{ request: 1, kind: 'written' }, { request: 2, code: 'NOT_LEADER' }])
})
