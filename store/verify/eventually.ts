/**
 * Waiting for what another process does, at the pace of the real world.
 *
 * Owns nothing.
 */
import { createSystemClock } from '../../membership/environment/system.ts'

/** Time between two looks. */
const POLL_MS = 100

/**
 * How long anything may take that proves nothing by its pace, in milliseconds. It bounds a hang: what takes a few seconds on an idle machine
 * takes several times that on a slow or busy one.
 */
export const PATIENCE_MS = 120_000

const clock = createSystemClock()

export const pause = (milliseconds: number): Promise<void> => new Promise(resolve => { clock.setTimer(milliseconds, resolve) })

/** Waits until `check` returns undefined. @throws with what it last returned */
export async function eventually (timeoutMs: number, check: () => Promise<string | undefined>): Promise<void> {
  const deadline = clock.now() + timeoutMs
  for (;;) {
    const missing = await check()
    if (missing === undefined) return
    if (clock.now() > deadline) throw new Error(`after ${timeoutMs} ms: ${missing}`)
    await pause(POLL_MS)
  }
}
