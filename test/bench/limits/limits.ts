/**
 * Benchmark: what this machine can do at most with the packages that this one is built on, for comparison with what it does.
 * Every value is the median of some runs. Takes less than a minute.
 */
import { measureCpu } from './cpu.ts'
import { measureLevel } from './level.ts'
import { measureRawWebSocket } from './raw-ws.ts'
import type { LimitRow } from './rows.ts'
import { measureTransport } from './transport.ts'

const RUN_MS = 400
const RUNS = 3

export async function limitsBench (): Promise<LimitRow[]> {
  return [
    ...await measureRawWebSocket(RUN_MS, RUNS),
    ...await measureLevel(RUN_MS, RUNS),
    ...await measureCpu(RUN_MS, RUNS),
    ...await measureTransport()
  ]
}
