/**
 * What a node takes of its clients at once: beyond the limit of bytes a write is refused, certainly without effect, until others are answered.
 *
 * Mutations that these tests caught: no limit; bytes that are not given back with the answer; a large write that is never taken.
 */
import { expect, test } from 'vitest'
import type { Configuration } from '../../../membership/configuration.ts'
import { silentLog } from '../../../membership/environment/system.ts'
import type { Environment, Remote } from '../../../membership/environment/environment.ts'
import type { AgreedState } from '../../../store/agreed-state.ts'
import { ClientService } from '../../../store/client-service.ts'
import type { PartitionHost } from '../../../store/partition-host.ts'

interface Answered { readonly request: number, readonly kind: string, readonly code?: string, readonly definite?: boolean }

interface Service {
  readonly put: (request: number, valueBytes: number) => void
  readonly answer: (index: number) => void
  /** The tickets of what the partition was given, in order. */
  readonly taken: readonly number[]
  readonly answers: readonly Answered[]
}

/** A service that hands writes to a partition, which answers when the test says so. */
function service (bytesInFlightMax: number): Service {
  let receive: (message: unknown, remote: Remote) => void = () => {}
  const [taken, answers]: [number[], Answered[]] = [[], []]
  const remote: Remote = { address: undefined, connectionId: 1, reply: message => { answers.push(message as Answered) } }
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
    answer: index => { made.answer(taken[index]!, { kind: 'written', seq: 1 }) },
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
