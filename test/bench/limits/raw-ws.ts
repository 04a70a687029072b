/**
 * What `ws` does at most between two processes: a closed loop of requests of 100 bytes, answered with 100 bytes, without any
 * encoding. `one per frame` sends each request by itself; `all in one frame` sends as one frame whatever may be sent in a turn.
 */
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { median, quantile, rounded } from '../samples.ts'
import { startOtherEnd } from './other-end.ts'
import type { LimitRow } from './rows.ts'

const REQUEST_BYTES = 100
const WARM_UP_MS = 200
const OUTSTANDING = [1, 16, 64, 256]

interface Loop { readonly perSecond: number, readonly tookMs: number[] }

/** Requests per second and their times while so many are under way. */
async function loop (socket: WebSocket, outstanding: number, together: boolean, durationMs: number): Promise<Loop> {
  const startedMs: number[] = []
  let answered = 0
  let ready = outstanding
  let scheduled = false
  let since = Infinity
  const tookMs: number[] = []
  const flush = (): void => {
    scheduled = false
    const now = performance.now()
    for (let index = 0; index < ready; index++) startedMs.push(now)
    if (together) socket.send(Buffer.alloc(ready * REQUEST_BYTES), { binary: true })
    else for (let index = 0; index < ready; index++) socket.send(Buffer.alloc(REQUEST_BYTES), { binary: true })
    ready = 0
  }
  return await new Promise(resolve => {
    const began = performance.now()
    const received = (data: Buffer): void => {
      const now = performance.now()
      if (since === Infinity && now - began >= WARM_UP_MS) since = now
      const count = data.length / REQUEST_BYTES
      for (let index = 0; index < count; index++) if (now > since) tookMs.push(now - startedMs[answered + index]!)
      answered += count
      ready += count
      if (now - since >= durationMs) {
        // What is still under way is waited for, so that the next loop starts with a quiet connection.
        if (answered < startedMs.length) return
        socket.off('message', received)
        resolve({ perSecond: tookMs.length / (now - since) * 1000, tookMs: tookMs.sort((a, b) => a - b) })
        return
      }
      // Frames that came in one read are answered together: the next requests go out when all of them were seen.
      if (scheduled) return
      scheduled = true
      setImmediate(flush)
    }
    socket.on('message', received)
    flush()
  })
}

/** Rows for each number of outstanding requests and both ways to send them; the median of so many runs. */
export async function measureRawWebSocket (durationMs: number, runs: number): Promise<LimitRow[]> {
  const other = await startOtherEnd<number>('ws-echo-process')
  const socket = new WebSocket(`ws://127.0.0.1:${other.where}`, { perMessageDeflate: false })
  socket.binaryType = 'nodebuffer'
  await once(socket, 'open')
  const rows: LimitRow[] = []
  for (const together of [false, true]) {
    for (const outstanding of OUTSTANDING) {
      const results = []
      for (let run = 0; run < runs; run++) results.push(await loop(socket, outstanding, together, durationMs))
      const limit = `ws: ${outstanding} outstanding, ${together ? 'all in one frame' : 'one per frame'}`
      rows.push({ limit, unit: '1/s', value: Math.round(median(results.map(({ perSecond }) => perSecond))) })
      rows.push({ limit: `${limit}, p50`, unit: 'ms', value: rounded(median(results.map(({ tookMs }) => quantile(tookMs, 0.5)))) })
      rows.push({ limit: `${limit}, p99`, unit: 'ms', value: rounded(median(results.map(({ tookMs }) => quantile(tookMs, 0.99)))) })
    }
  }
  socket.terminate()
  other.stop()
  return rows
}
