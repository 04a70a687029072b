/**
 * What a node takes of its clients at once: beyond the limit of bytes a write is refused, certainly without effect, until others are answered.
 *
 * Mutations that these tests caught: no limit; bytes that are not given back with the answer; a large write that is never taken; an answer that
 * is too long thrown at whoever brought it.
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

interface Answered { readonly request: number, readonly kind: string, readonly code?: string, readonly definite?: boolean }

interface Service {
  readonly put: (request: number, valueBytes: number) => void
  readonly answer: (index: number, answer?: Answer) => void
  /** The tickets of what the partition was given, in order. */
  readonly taken: readonly number[]
  readonly answers: readonly Answered[]
}

/** What the transport of the tests carries. */
const ANSWER_BYTES_MAX = 100_000

/** A service that hands writes to a partition, which answers when the test says so. */
function service (bytesInFlightMax: number): Service {
  let receive: (message: unknown, remote: Remote) => void = () => {}
  const [taken, answers]: [number[], Answered[]] = [[], []]
  const reply = (message: unknown, stream?: number): void => {
    if (encodeMessage(message).length > ANSWER_BYTES_MAX) throw new RangeError('too long')
    expect(stream, 'each answer has a stream of its own').toBe((message as Answered).request)
    answers.push(message as Answered)
  }
  const remote: Remote = { address: undefined, connectionId: 1, reply }
  const transport = { receive: (_channel: unknown, receiver: typeof receive) => { receive = receiver } } as unknown as Environment['transport']
  const environment = { transport, log: silentLog, clock: { now: () => 0 } as Environment['clock'] }
  const components = { environment } as unknown as ConstructorParameters<typeof ClientService>[0]
  const made = new ClientService(components, { operationsInFlightMax: 100, bytesInFlightMax })
  const replica = (): object => ({})
  const apply = (_partition: number, { ticket }: { ticket: number }): void => { taken.push(ticket) }
  made.start({ replica, apply, schedule: { answered: () => {} } } as unknown as PartitionHost)
  made.changeView({ epoch: 3 } as Configuration, { placement: {}, partitions: 1 } as unknown as AgreedState)
  return {
    put: (request, valueBytes) => {
      const operations = [{ kind: 'put', key: Buffer.from('k'), value: Buffer.alloc(valueBytes) }]
      receive({ kind: 'write', request, partition: 0, id: { client: 'c', number: request, base: 0 }, operations }, remote)
    },
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

test('an answer that no message holds is refused, and nothing breaks', () => {
  const { put, answer, answers } = service(1000)
  put(1, 10)
  put(2, 10)
  answer(0, { kind: 'values', values: [new Uint8Array(2 * ANSWER_BYTES_MAX)], versions: [1], seq: 1 })
  answer(1, { kind: 'values', values: [new Uint8Array(10)], versions: [1], seq: 1 })
  expect(answers).toMatchObject([{ request: 1, kind: 'error', code: 'STORE_INVALID_VALUE', definite: true }, { request: 2, kind: 'values' }])
})
