/**
 * Who asks a node for the cluster hears of it at once, or when it changes; those who wait are bounded.
 *
 * Mutations caught: all answered at once; no bound; a question answered twice; the view of the last configuration told.
 */
import { expect, test } from 'vitest'
import type { Remote } from '../../../membership/environment/environment.ts'
import type { ClusterView } from '../../../store/client-protocol.ts'
import { ViewService } from '../../../store/view-service.ts'
import { FakeCluster } from '../client-fixture.ts'

const WAITING_MAX = 1000

interface Told { readonly connection: number, readonly request: number, readonly epoch: number | undefined, readonly code?: string }

interface Asked {
  readonly service: ViewService
  readonly cluster: FakeCluster
  readonly told: Told[]
  readonly ask: (connection: number, request: number, after?: number) => void
}

function service (): Asked {
  const cluster = new FakeCluster(['a', 'b', 'c'])
  const made = new ViewService()
  const told: Told[] = []
  made.changeView(cluster.configuration, cluster.state)
  const ask = (connection: number, request: number, after?: number): void => {
    const reply = (message: unknown): void => {
      const { request, view, code } = message as { request: number, view?: ClusterView, code?: string }
      told.push({ connection, request, epoch: view?.epoch, ...code === undefined ? {} : { code } })
    }
    const remote: Remote = { address: undefined, connectionId: connection, reply, queuedBytes: () => 0 }
    made.ask({ kind: 'view', request, protocol: 1, ...after === undefined ? {} : { after } }, remote)
  }
  return { service: made, cluster, told, ask }
}

test('without an epoch, or with one that is over, the answer comes at once; else when the configuration changes, and once', () => {
  const { service: made, cluster, told, ask } = service()
  const { epoch } = cluster
  ask(1, 10)
  ask(2, 20, epoch - 1)
  expect(told).toEqual([{ connection: 1, request: 10, epoch }, { connection: 2, request: 20, epoch }])
  told.length = 0
  ask(1, 11, epoch)
  ask(2, 21, epoch)
  expect(told).toEqual([])
  cluster.change(['d'], [])
  made.changeView(cluster.configuration, cluster.state)
  expect(told).toEqual([{ connection: 1, request: 11, epoch: epoch + 1 }, { connection: 2, request: 21, epoch: epoch + 1 }])
  cluster.change(['e'], [])
  made.changeView(cluster.configuration, cluster.state)
  expect(told).toHaveLength(2)
})

test('one question waits for each connection, and no more than so many at all: the oldest is answered with what there is', () => {
  const { service: made, cluster, told, ask } = service()
  const { epoch } = cluster
  ask(0, 1, epoch)
  ask(0, 2, epoch)
  for (let connection = 1; connection < WAITING_MAX; connection++) ask(connection, 1, epoch)
  expect(told).toEqual([])
  ask(WAITING_MAX, 1, epoch)
  expect(told).toEqual([{ connection: 0, request: 2, epoch }])
  cluster.change(['d'], [])
  made.changeView(cluster.configuration, cluster.state)
  expect(told).toHaveLength(1 + WAITING_MAX)
})

test('a node that stops tells those who wait', () => {
  const { service: made, cluster, told, ask } = service()
  ask(1, 10, cluster.epoch)
  made.refuse({ kind: 'error', code: 'STORE_FAILED', message: '', definite: true, epoch: 0 })
  expect(told).toEqual([{ connection: 1, request: 10, epoch: undefined, code: 'STORE_FAILED' }])
})
