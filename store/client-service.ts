/**
 * Serves clients: checks what they ask, hands it to the replica that holds the partition, and sends the answer back.
 *
 * Owns the receiver of the transport's client channel and the table of requests in progress.
 */
import { type Address, CHANNELS, type Environment, type Remote } from '../membership/environment/environment.ts'
import type { Configuration, StoreId } from '../membership/configuration.ts'
import { partitionOf, type PartitionIndex } from '../ring/index.ts'
import type { AgreedState } from './agreed-state.ts'
import { answerBytes, AnswerRoom } from './answer-room.ts'
import { CLIENT_PROTOCOL_VERSION, type ClientRequest, type NodeChange, type NodeResponse, operationBytes, WIRE_LIMITS } from './client-protocol.ts'
import { validateClientRequest } from './client-protocol-checks.ts'
import { StoreError } from './errors.ts'
import type { Answer, Ticket } from './group/effects.ts'
import type { NodeExplanation } from './node-explanation.ts'
import type { PartitionHost } from './partition-host.ts'
import { ViewService } from './view-service.ts'

export interface ClientServiceComponents {
  readonly environment: Pick<Environment, 'transport' | 'log' | 'clock'>
  readonly status: () => unknown
  /** Why the configuration of an epoch came about; null where this node does not know. */
  readonly explain: (epoch: number) => NodeExplanation | null
  /** What this store knows of each partition; asked only of a member. */
  readonly survey: () => unknown
  /** Changes what a request of status asks for; resolves when it is agreed on. */
  readonly change: (change: NodeChange) => Promise<void>
}

/** `bytes` of keys and values that it holds until it is answered. */
interface Pending { readonly remote: Remote, readonly request: number, readonly since: number, readonly kind: Serving['kind'], readonly bytes: number }

type Serving = ClientRequest & { readonly kind: 'read' | 'write' | 'scan' | 'watch' }

/** Polls of watches that wait at a node. They wait for something to happen, and do not count as operations in progress. */
const POLLS_MAX = 100_000

/** The two that there are most of without a copy by names, which costs as much as their encoding. */
function responseTo (request: number, answer: Answer): NodeResponse {
  switch (answer.kind) {
    case 'values': return { kind: 'values', values: answer.values, versions: answer.versions, seq: answer.seq, request }
    case 'written': return { kind: 'written', seq: answer.seq, request }
    default: return { ...answer, request }
  }
}

/** Bytes of the keys and values in a request. */
function bytesOf (request: Serving): number {
  switch (request.kind) {
    case 'write': return request.operations.reduce((sum, operation) => sum + operationBytes(operation), 0)
    case 'read': return request.keys.reduce((sum, key) => sum + key.length, 0)
    default: return 0
  }
}

export interface ClientServiceOptions {
  readonly operationsInFlightMax: number
  readonly bytesInFlightMax: number
  readonly answerBytesMax: number
}

export class ClientService {
  readonly #components: ClientServiceComponents
  readonly #options: ClientServiceOptions
  readonly #pending = new Map<Ticket, Pending>()
  /** Polls among those. */
  #polls = 0
  /** Invariant: the bytes of all pending requests of a kind. Reads need not wait for writes to end, nor writes for reads. */
  readonly #bytes = { read: 0, write: 0, scan: 0, watch: 0 }
  #nextTicket = 1
  #host: PartitionHost | undefined
  #configuration: Configuration | undefined
  #state: AgreedState | undefined
  readonly #views = new ViewService()
  readonly #room: AnswerRoom
  #failure: Error | undefined

  constructor (components: ClientServiceComponents, options: ClientServiceOptions) {
    this.#components = components
    this.#options = options
    this.#room = new AnswerRoom(options.answerBytesMax)
  }

  start (host: PartitionHost): void {
    this.#host = host
    this.#components.environment.transport.receive(CHANNELS.client, (message, remote) => { this.#receive(message, remote) })
  }

  get inFlight (): number { return this.#pending.size - this.#polls }

  changeView (configuration: Configuration, state: AgreedState): void {
    this.#configuration = configuration
    this.#state = state
    this.#views.changeView(configuration, state)
  }

  /** From now on every request is answered with STORE_FAILED. */
  fail (error: Error): void {
    this.#failure = error
    const tickets = [...this.#pending.keys()]
    for (const ticket of tickets) this.answer(ticket, this.#error('STORE_FAILED', `this store stopped: ${error.message}`, false))
    this.#views.refuse(this.#error('STORE_FAILED', `this store stopped: ${error.message}`))
  }

  answer (ticket: Ticket, answer: Answer): void {
    const pending = this.#pending.get(ticket)
    if (pending === undefined) return
    this.#pending.delete(ticket)
    if (pending.kind === 'watch') this.#polls--
    this.#bytes[pending.kind] -= pending.bytes
    if (answer.kind === 'written') {
      const now = this.#components.environment.clock.now()
      this.#host?.schedule.answered(now, now - pending.since)
    }
    this.#reply(pending.remote, pending.request, answer)
  }

  #error (code: StoreError['code'], message: string, definite = true): Answer {
    return { kind: 'error', code, message, definite, epoch: this.#configuration?.epoch ?? 0 }
  }

  #receive (raw: unknown, remote: Remote): void {
    let request: ClientRequest
    try {
      request = validateClientRequest(raw)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      const number = (raw as { request?: unknown } | null)?.request
      this.#components.environment.log.warn({ from: remote.connectionId, reason: error.message }, 'refused a request')
      if (Number.isSafeInteger(number) && (number as number) >= 0) this.#reply(remote, number as number, this.#error(error.code, error.message))
      return
    }
    this.#handle(request, remote)
  }

  /**
   * In a stream of its own: a short answer need not wait for a long one. What has no room is refused: only reads have so much to say,
   * so whoever asked may ask again.
   */
  #reply (remote: Remote, request: number, answer: Answer): void {
    const bytes = answerBytes(answer)
    if (bytes > 0) {
      if (!this.#room.fits(remote, bytes)) {
        remote.reply({ ...this.#noRoom(remote, bytes), request } satisfies NodeResponse, request)
        return
      }
      this.#room.took(remote, bytes)
    }
    try {
      remote.reply(responseTo(request, answer), request)
    } catch (error) {
      // Too long, or more values than a message has. No other node could answer it either.
      if (!(error instanceof RangeError || error instanceof TypeError)) throw error
      this.#components.environment.log.error({ error }, 'an answer cannot be sent')
      const refusal = this.#error('STORE_INVALID_VALUE', `the answer is too long: ${error.message}`)
      remote.reply({ ...refusal, request } satisfies NodeResponse, request)
    }
  }

  #noRoom (remote: Remote, bytes: number): Answer {
    const message = `an answer of ${bytes} bytes has no room: ${remote.queuedBytes()} bytes wait for this client, and others may have more`
    return { ...this.#error('STORE_OVERLOADED', message) as Answer & { kind: 'error' }, bytes: Math.min(bytes, WIRE_LIMITS.answerBytesMax) }
  }

  #handle (request: ClientRequest, remote: Remote): void {
    if (request.kind === 'status' && request.survey !== true && [request.drain, request.update, request.force, request.leave].every(change => change === undefined)) {
      const { status, explain } = this.#components
      this.#reply(remote, request.request, { kind: 'status', status: request.explain === undefined ? status() : explain(request.explain) })
      return
    }
    if (this.#failure !== undefined) {
      this.#reply(remote, request.request, this.#error('STORE_FAILED', `this store stopped: ${this.#failure.message}`))
      return
    }
    if (this.#configuration === undefined || this.#state === undefined) {
      this.#reply(remote, request.request, this.#error('NOT_READY', 'this node is not a member of a cluster yet'))
      return
    }
    if (request.kind === 'status') void this.#change(request, remote)
    else if (request.kind === 'view') this.#sendView(request, remote)
    else this.#serve(request, remote, this.#state)
  }

  /** Answers what needs a member: a change of it, or what its store knows. */
  async #change ({ request, survey, ...change }: ClientRequest & { kind: 'status' }, remote: Remote): Promise<void> {
    let answer: Answer
    try {
      if (survey !== true) await this.#components.change(change)
      answer = { kind: 'status', status: survey === true ? this.#components.survey() : this.#components.status() }
    } catch (cause) {
      const { message } = cause as Error
      // What membership says of an update is for whoever runs the node; the caller may simply ask again.
      answer = cause instanceof StoreError ? this.#error(cause.code, message, cause.definite) : this.#error('NOT_READY', message, false)
    }
    this.#reply(remote, request, answer)
  }

  #sendView (asked: ClientRequest & { kind: 'view' }, remote: Remote): void {
    const { request, protocol } = asked
    if (protocol !== CLIENT_PROTOCOL_VERSION) {
      const message = `this node speaks version ${CLIENT_PROTOCOL_VERSION} of the client protocol, the client version ${protocol}`
      this.#reply(remote, request, this.#error('STORE_NOT_SUPPORTED', message))
      return
    }
    this.#views.ask(asked, remote)
  }

  #serve (request: Serving, remote: Remote, { placement, partitions }: AgreedState): void {
    const { partition } = request
    const refuse = (answer: Answer): void => { this.#reply(remote, request.request, answer) }
    if (placement === undefined) { refuse(this.#error('NOT_READY', 'the cluster has not reached its expected size yet')); return }
    const keys = request.kind === 'read' ? request.keys : request.kind === 'write' ? request.operations.map(operation => operation.key) : []
    if (partition >= partitions || keys.some(key => partitionOf(key, partitions) !== partition)) {
      refuse(this.#error('STORE_INVALID_MESSAGE', `a key of this request is not in partition ${partition}`))
      return
    }
    if (request.kind === 'watch' && this.#polls >= POLLS_MAX) {
      refuse(this.#error('STORE_OVERLOADED', `${POLLS_MAX} polls of watches wait at this node`))
      return
    }
    if (request.kind !== 'write' && request.expects !== undefined && !this.#room.fits(remote, request.expects)) {
      refuse(this.#noRoom(remote, request.expects))
      return
    }
    const { operationsInFlightMax, bytesInFlightMax } = this.#options
    if (request.kind !== 'watch' && this.inFlight >= operationsInFlightMax) {
      refuse(this.#error('STORE_OVERLOADED', `${operationsInFlightMax} operations are in progress at this node`))
      return
    }
    // What is larger than all that may be is taken alone.
    const bytes = bytesOf(request)
    const held = this.#bytes[request.kind]
    if (bytes > 0 && held > 0 && held + bytes > bytesInFlightMax) {
      refuse(this.#error('STORE_OVERLOADED', `${request.kind}s of ${held} bytes are in progress at this node`))
      return
    }
    // The others of a group may be quicker than this store: what they committed is answered, and waits here for the disk.
    if (request.kind === 'write' && this.#host!.unwrittenBytes > bytesInFlightMax) {
      refuse(this.#error('STORE_OVERLOADED', `${this.#host!.unwrittenBytes} bytes wait for the disk of this node`))
      return
    }
    if (this.#host!.replica(partition) === undefined) {
      refuse({ ...this.#error('NOT_OWNER', 'this store does not hold the partition') as Answer & { kind: 'error' }, hints: this.#seats(partition) })
      return
    }
    const ticket = this.#nextTicket++
    this.#pending.set(ticket, { remote, request: request.request, since: this.#components.environment.clock.now(), kind: request.kind, bytes })
    this.#bytes[request.kind] += bytes
    if (request.kind === 'watch') this.#polls++
    switch (request.kind) {
      case 'read': this.#host!.apply(partition, { kind: 'read', ticket, keys: request.keys, ...request.after === undefined ? {} : { after: request.after } }); return
      case 'scan': this.#host!.apply(partition, { kind: 'scan', ticket, scan: request.scan }); return
      case 'watch': this.#host!.apply(partition, { kind: 'watch', ticket, watch: request.watch }); return
      case 'write': this.#host!.apply(partition, { kind: 'write', ticket, id: request.id, operations: request.operations })
    }
  }

  /** Where the placement has a partition, for a client that asked the wrong node. */
  #seats (partition: number): { storeId: StoreId, address: Address }[] {
    const addresses = new Map(this.#configuration!.members.map(member => [member.storeId, member.address]))
    return this.#state!.placement!.seats(partition as PartitionIndex).flatMap(storeId => {
      const address = addresses.get(storeId)
      return address === undefined ? [] : [{ storeId, address }]
    })
  }
}
