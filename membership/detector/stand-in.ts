/**
 * A stand-in for the main thread of this process, so that others tell a busy process from a dead one.
 *
 * Rule M10; the idea is that of Dadgar et al., "Lifeguard" (DSN 2018): slow processing must not look like a failure. JavaScript runs on one
 * thread: a long computation, a synchronous call or a slow collection of garbage keeps probes from being answered although the
 * process is well. A second thread with a UDP port of its own answers for the main thread while that is blocked, and says for how
 * long it has been. Beyond 15 s it counts as failed, as it would without a stand-in.
 *
 * The other direction needs no second thread: a main thread that was blocked itself leaves that time out (local-clock.ts), and nobody
 * could act on what a second thread learned in the meantime.
 *
 * Owns: the worker thread with its socket, and the timer of the beat.
 */
import { Worker } from 'node:worker_threads'
import type { CancelTimer, Clock, Log, Random } from '../environment/environment.ts'
import { MembershipError } from '../errors.ts'
import { listenError } from '../transport/listen-error.ts'
import type { DetectorFactory } from './detector.ts'
import { StandInDetector, type StandInChannel, type StandInInquiry } from './stand-in-detector.ts'
import {
  formatStandIn, parseStandIn, STAND_IN_TAG, type StandInAddress, type StandInQuestion, type StandInReport, type StandInWorkerData
} from './stand-in-messages.ts'
import { windowedPing } from './windowed-ping.ts'

export interface StandInComponents {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface StandInOptions {
  /** The address of this machine to listen on, by UDP. */
  readonly host: string
  /** @default 0, any free port */
  readonly port?: number
  /** The host under which others reach it. @default host */
  readonly advertise?: string
  /** The main thread shows that it runs once in so many milliseconds. 1 to 10000, well below `probeTimeoutMs`. @default 50 */
  readonly beatMs?: number
  /** A main thread that has been blocked for longer is not excused any more. 1 to 3600000. @default 15000 */
  readonly blockedMaxMs?: number
}

/** Questions that are not answered are forgotten, oldest first, beyond so many. */
const INQUIRIES_MAX = 1024
const TICKETS = 2 ** 32
/** Hosts that stand for every address of a machine: nobody else can be told to send there. */
const ANY_HOST: readonly string[] = ['0.0.0.0', '::']

interface PendingInquiry {
  readonly token: string
  blockedMs: number | undefined
}

export class StandIn implements StandInChannel {
  readonly #components: StandInComponents
  readonly #options: Required<StandInOptions>
  readonly #beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  readonly #token: string
  /** By ticket, oldest first. Invariant: size <= INQUIRIES_MAX. */
  readonly #inquiries = new Map<number, PendingInquiry>()
  #worker: Worker | undefined
  #address: StandInAddress | undefined
  #lastTicket: number
  #cancelBeat: CancelTimer = () => {}
  #closed = false

  /** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS */
  constructor (components: StandInComponents, options: StandInOptions) {
    this.#components = components
    this.#options = resolve(options)
    this.#token = components.random.id()
    this.#lastTicket = Math.floor(components.random.next() * TICKETS)
  }

  /**
   * Starts the thread; resolves once it listens.
   * @throws {MembershipError} MEMBERSHIP_CLOSED after close(), or a second time
   * @throws {TransportError} TRANSPORT_ADDRESS_IN_USE, TRANSPORT_ADDRESS_INVALID
   */
  async start (): Promise<void> {
    if (this.#worker !== undefined || this.#closed) throw new MembershipError('MEMBERSHIP_CLOSED', 'A stand-in is started once.')
    const { host, port, advertise } = this.#options
    const workerData: StandInWorkerData = { host, port, token: this.#token, beats: this.#beats }
    // What the process preloads is for its main thread; it may not even be possible in another.
    const worker = this.#worker = new Worker(new URL('./stand-in-worker.js', import.meta.url), { workerData, execArgv: [] })
    await new Promise<void>((resolve, reject) => {
      worker.once('error', (error: NodeJS.ErrnoException) => { reject(listenError(error, { host, port })) })
      worker.once('exit', () => { reject(new MembershipError('MEMBERSHIP_CLOSED', 'The stand-in was closed.')) })
      worker.on('message', (report: StandInReport) => {
        if (report.kind === 'answer') {
          this.#answered(report)
        } else {
          this.#address = { host: advertise, port: report.port, token: this.#token }
          resolve()
        }
      })
    })
    worker.on('error', error => {
      this.#components.log.error({ error }, 'the stand-in failed: from now on a busy main thread looks like a dead process')
    })
    this.#beat()
  }

  /**
   * The tags that tell other members where to ask; they belong into `MembershipOptions.metadata.tags`.
   * @throws {MembershipError} MEMBERSHIP_NOT_STARTED
   */
  get tags (): Readonly<Record<string, string>> {
    if (this.#address === undefined) throw new MembershipError('MEMBERSHIP_NOT_STARTED', 'Await start() of the stand-in first.')
    return { [STAND_IN_TAG]: formatStandIn(this.#address) }
  }

  /** Detectors that ask the stand-ins of their subjects too; a subject without one gets the plain detector. */
  detector (inner: DetectorFactory = windowedPing): DetectorFactory {
    return (subject, firstProbeAtMs, tuning) => {
      const detector = inner(subject, firstProbeAtMs, tuning)
      const target = parseStandIn(subject.metadata.tags[STAND_IN_TAG])
      return target === undefined ? detector : new StandInDetector(detector, this, target, tuning, this.#options.blockedMaxMs)
    }
  }

  ask (target: StandInAddress, patienceMs: number): StandInInquiry {
    const inquiry: PendingInquiry = { token: target.token, blockedMs: undefined }
    if (this.#address === undefined || this.#closed) return inquiry
    const ticket = this.#lastTicket = (this.#lastTicket + 1) % TICKETS
    this.#inquiries.set(ticket, inquiry)
    if (this.#inquiries.size > INQUIRIES_MAX) this.#inquiries.delete(this.#inquiries.keys().next().value!)
    this.#worker!.postMessage({ target, ticket, patienceMs } satisfies StandInQuestion)
    return inquiry
  }

  /** Ends the thread. Detectors go on without it. */
  async close (): Promise<void> {
    this.#closed = true
    this.#cancelBeat()
    this.#inquiries.clear()
    await this.#worker?.terminate()
  }

  #answered ({ token, ticket, blockedMs }: StandInReport & { kind: 'answer' }): void {
    const inquiry = this.#inquiries.get(ticket)
    if (inquiry === undefined || inquiry.token !== token) return
    this.#inquiries.delete(ticket)
    inquiry.blockedMs = blockedMs
  }

  #beat (): void {
    if (this.#closed) return
    Atomics.add(this.#beats, 0, 1)
    this.#cancelBeat = this.#components.clock.setTimer(this.#options.beatMs, () => { this.#beat() })
  }
}

function resolve (options: StandInOptions): Required<StandInOptions> {
  const { host, port = 0, advertise = host, beatMs = 50, blockedMaxMs = 15_000 } = options
  const check = (condition: boolean, message: string): void => {
    if (!condition) throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', `stand-in: ${message}`)
  }
  const hosts = [host, advertise] as readonly unknown[]
  check(hosts.every(value => typeof value === 'string' && value.length > 0 && value.length <= 255), 'host and advertise must be names or addresses of hosts')
  check(!ANY_HOST.includes(advertise), `advertise must name a host that others reach, not ${advertise}`)
  check(Number.isInteger(port) && port >= 0 && port <= 65_535, 'port must be an integer from 0 to 65535')
  check(typeof beatMs === 'number' && beatMs >= 1 && beatMs <= 10_000, 'beatMs must be a number from 1 to 10000')
  check(typeof blockedMaxMs === 'number' && blockedMaxMs >= 1 && blockedMaxMs <= 3_600_000, 'blockedMaxMs must be a number from 1 to 3600000')
  return { host, port, advertise, beatMs, blockedMaxMs }
}
