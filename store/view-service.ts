/**
 * Tells clients what the cluster is, at once or, to those who ask for it, when it changes: a client that waits for a new leader hears of the
 * configuration that has one as soon as this node does.
 *
 * Owns: the questions that wait, one for each connection.
 */
import type { Configuration } from '../membership/configuration.ts'
import type { Remote } from '../membership/environment/environment.ts'
import { type AgreedState, encodeAgreedState } from './agreed-state.ts'
import type { ClientRequest, ClusterView, NodeResponse } from './client-protocol.ts'
import type { Answer } from './group/effects.ts'

/**
 * Questions that wait at a node. One more, and the oldest is answered with the view that there is. All are answered at once when that
 * changes, so this bounds what is sent then.
 */
const WAITING_MAX = 1000

interface Waiting { readonly request: number, readonly remote: Remote }

export class ViewService {
  #view: ClusterView | undefined
  #configuration: Configuration | undefined
  #state: AgreedState | undefined
  /** By connection, oldest first. Whoever asks again on one waits for the last answer alone. */
  readonly #waiting = new Map<number, Waiting>()

  changeView (configuration: Configuration, state: AgreedState): void {
    this.#configuration = configuration
    this.#state = state
    this.#view = undefined
    this.#answerAll(() => ({ kind: 'view', view: this.#current() }))
  }

  /** Ends all waiting. */
  refuse (answer: Answer): void {
    this.#answerAll(() => answer)
  }

  /** Expects a view. */
  ask ({ request, after }: ClientRequest & { kind: 'view' }, remote: Remote): void {
    if (after === undefined || this.#configuration!.epoch > after) {
      reply({ request, remote }, { kind: 'view', view: this.#current() })
      return
    }
    this.#waiting.delete(remote.connectionId)
    this.#waiting.set(remote.connectionId, { request, remote })
    if (this.#waiting.size <= WAITING_MAX) return
    const [connection, oldest] = this.#waiting.entries().next().value!
    this.#waiting.delete(connection)
    reply(oldest, { kind: 'view', view: this.#current() })
  }

  #answerAll (answer: () => Answer): void {
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const one of waiting) reply(one, answer())
  }

  #current (): ClusterView {
    const [configuration, state] = [this.#configuration!, this.#state!]
    return this.#view ??= {
      clusterId: configuration.clusterId,
      clusterName: configuration.clusterName,
      epoch: configuration.epoch,
      configurationId: configuration.id,
      addresses: Object.fromEntries(configuration.members.map(member => [member.storeId, member.address])),
      state: encodeAgreedState(state)
    }
  }
}

function reply ({ request, remote }: Waiting, answer: Answer): void {
  remote.reply({ ...answer, request } satisfies NodeResponse, request)
}
