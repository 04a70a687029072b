/**
 * Waiting for what another process does, at the pace of the real world.
 *
 * Owns nothing.
 */

/** Time between two looks. */
const POLL_MS = 100

export const pause = (milliseconds: number): Promise<void> => new Promise(resolve => { setTimeout(resolve, milliseconds) })

/** Waits until `check` returns undefined. @throws with what it last returned */
export async function eventually (timeoutMs: number, check: () => Promise<string | undefined>): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const missing = await check()
    if (missing === undefined) return
    if (performance.now() > deadline) throw new Error(`after ${timeoutMs} ms: ${missing}`)
    await pause(POLL_MS)
  }
}
