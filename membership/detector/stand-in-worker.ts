/**
 * The thread that stands in for a blocked main thread: one UDP socket, which answers questions and asks them for the main thread.
 *
 * Run by stand-in.ts as a worker; nothing imports it. Owns the socket and one timer.
 */
import { createSocket, type RemoteInfo } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import type { CancelTimer } from '../environment/environment.ts'
import { createSystemClock } from '../environment/system.ts'
import {
  decodeStandInMessage, encodeStandInMessage, type StandInQuestion, type StandInReport, type StandInWorkerData
} from './stand-in-messages.ts'
import { StandInResponder } from './stand-in-responder.ts'

function run (port: NonNullable<typeof parentPort>, { host, port: listenPort, token, beats }: StandInWorkerData): void {
  const clock = createSystemClock()
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  const responder = new StandInResponder<RemoteInfo>()
  const report = (message: StandInReport): void => { port.postMessage(message) }
  let cancel: CancelTimer = () => {}

  function send (datagram: Buffer, { port: to, address }: { port: number, address: string }): void {
    // A datagram that cannot be sent is a lost one: whoever waits for it has a detector for that.
    socket.send(datagram, to, address, () => {})
  }

  function answer (): void {
    for (const { asker, ticket, blockedMs } of responder.due(clock.now(), Atomics.load(beats, 0))) {
      send(encodeStandInMessage({ kind: 'answer', token, ticket, blockedMs }), asker)
    }
    cancel()
    const { nextAtMs } = responder
    if (nextAtMs !== Infinity) cancel = clock.setTimer(Math.max(0, nextAtMs - clock.now()), answer)
  }

  socket.on('message', (datagram, asker) => {
    const message = decodeStandInMessage(datagram)
    if (message === undefined) return
    if (message.kind === 'answer') {
      report({ kind: 'answer', token: message.token, ticket: message.ticket, blockedMs: message.blockedMs })
    } else if (message.token === token) {
      responder.ask(clock.now(), Atomics.load(beats, 0), asker, message.ticket, message.blockedMs)
      answer()
    }
  })
  // An error of the socket ends this thread, and the main thread hears of that.
  socket.on('error', error => { throw error })
  port.on('message', ({ target, ticket, patienceMs }: StandInQuestion) => {
    const question = encodeStandInMessage({ kind: 'question', token: target.token, ticket, blockedMs: patienceMs })
    send(question, { port: target.port, address: target.host })
  })
  socket.bind(listenPort, host, () => { report({ kind: 'listening', port: socket.address().port }) })
}

if (parentPort !== null) run(parentPort, workerData as StandInWorkerData)
