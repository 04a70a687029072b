/**
 * A stranger at a node's port: speaks the transport's frames where it wants to, and anything else where it does not. It shares no
 * code with the client, so nothing is checked on this side.
 *
 * Owns: its socket.
 */
import { connect, type Socket } from 'node:net'
import { Packr } from 'msgpackr'
import { WebSocket } from 'ws'
import { PATIENCE_MS } from '../../store/verify/eventually.ts'

const packr = new Packr({ useRecords: false })

export const pack = (value: unknown): Buffer => packr.pack(value)

/** The channel number before the message, as frames have it. */
export const frame = (channel: number, ...messages: readonly unknown[]): Buffer =>
  Buffer.concat(messages.flatMap(message => [Buffer.from([channel]), pack(message)]))

/** A piece of a long message: its channel and a mark, its place, the length of the whole, and where in that its bytes begin. */
export function piece (channel: number, place: number, total: number, offset: number, bytes: number): Buffer {
  const made = Buffer.alloc(10 + bytes)
  made[0] = channel | 0x40
  made[1] = place
  made.writeUInt32BE(total, 2)
  made.writeUInt32BE(offset, 6)
  return made
}

export const HELLO = { coterie: 2, address: null, run: 'a stranger' }

export interface StrangerAnswer {
  readonly kind: string
  readonly request: number
  readonly code?: string
}

export class Stranger {
  readonly #socket: WebSocket
  readonly #answers: StrangerAnswer[] = []
  #notify: () => void = () => {}
  #closed = false

  private constructor (socket: WebSocket) {
    this.#socket = socket
    socket.on('error', () => { this.#end() })
    socket.on('close', () => { this.#end() })
    socket.on('message', data => { this.#take(data as Buffer) })
  }

  /** Opens a WebSocket. Says hello, or nothing when that is null. */
  static async connect (address: string, hello: unknown = HELLO): Promise<Stranger> {
    const socket = new WebSocket(`ws://${address}/transport`, { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 })
    const stranger = new Stranger(socket)
    await new Promise<void>((resolve, reject) => { socket.once('open', resolve).once('error', reject) })
    if (hello !== null) stranger.send(pack(hello))
    return stranger
  }

  get closed (): boolean { return this.#closed }

  #end (): void {
    this.#closed = true
    this.#notify()
  }

  #take (data: Buffer): void {
    packr.unpackMultiple(data).forEach((value: unknown, index: number) => {
      if (index % 2 === 1) this.#answers.push(value as StrangerAnswer)
    })
    this.#notify()
  }

  send (bytes: Uint8Array | string): void {
    if (!this.#closed) this.#socket.send(bytes)
  }

  async #until (check: () => boolean, timeoutMs: number, what: string): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!check()) {
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) throw new Error(`not within ${timeoutMs} ms: ${what}`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, leftMs)
        this.#notify = () => { clearTimeout(timer); resolve() }
      })
    }
  }

  /** The answer to one request. @throws when the connection ends before it */
  async answer (request: number, timeoutMs = PATIENCE_MS): Promise<StrangerAnswer> {
    const find = (): StrangerAnswer | undefined => this.#answers.find(answer => answer.request === request)
    await this.#until(() => find() !== undefined || this.#closed, timeoutMs, `an answer to request ${request}`)
    return find() ?? Promise.reject(new Error('the node closed the connection'))
  }

  /** Resolves once the node has closed the connection. */
  async whenClosed (timeoutMs = PATIENCE_MS): Promise<void> {
    await this.#until(() => this.#closed, timeoutMs, 'the node closed the connection')
  }

  /** Reads nothing any more. */
  pause (): void {
    this.#socket.pause()
  }

  close (): void {
    this.#socket.terminate()
  }
}

/** Bytes on a plain TCP connection. Resolves with what came back, once the node has closed it or `waitMs` have passed. */
export async function tcp (address: string, bytes: Uint8Array | string, waitMs: number): Promise<{ answer: string, closed: boolean }> {
  const colon = address.lastIndexOf(':')
  const socket: Socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) })
  let answer = ''
  let closed = false
  socket.on('data', data => { answer += data.toString('latin1') })
  socket.write(bytes)
  await new Promise<void>(resolve => {
    const timer = setTimeout(resolve, waitMs)
    // A reset is one way to be refused.
    socket.on('error', () => {})
    socket.once('close', () => { closed = true; clearTimeout(timer); resolve() })
  })
  socket.destroy()
  return { answer, closed }
}
