/**
 * Whether a read is worth a thread: what the database has in memory is read at once, on the event loop; what may wait for a device is not.
 *
 * LevelDB answers from its caches, or from those of the operating system, within some microseconds. Handing a question to a thread
 * and taking the answer back costs ten times as much (`npm run bench -- limits` has both), most of it on the event loop and in
 * switching between threads. A read that waits for a device, though, would hold everything else up. So reads are made at
 * once for as long as they are quick on the average; where they are not, threads make them, and every now and then a few are tried again.
 *
 * Pure: no clock, no I/O.
 */

/** Above this mean, in milliseconds, threads read: about what a thread's help costs. */
export const QUICK_MS = 0.05
/** What one read adds to the mean is that of one that took so long, at most: now and then the process itself is made to wait. */
const SAMPLE_MS_MAX = 0.5
/** How much of the latest read goes into the mean. */
const WEIGHT = 1 / 32
/** For so many milliseconds threads read, before the event loop tries it again. */
export const THREADS_MS = 100
/** A read of so many milliseconds says by itself that the device may have stopped answering for a while: threads read for longer. */
export const STALL_MS = 20
export const STALLED_MS = 1000

export class ReadCost {
  #meanMs = 0
  #threadsUntil = -Infinity

  /** Whether the next read is likely to be quick. */
  quick (now: number): boolean {
    if (now < this.#threadsUntil) return false
    if (this.#meanMs <= QUICK_MS) return true
    // Some more slow ones, and it is as before.
    this.#meanMs = QUICK_MS / 2
    return true
  }

  /** A key was read at once, and that took so long, on the average of its list. */
  took (now: number, ms: number): void {
    this.#meanMs += WEIGHT * (Math.min(ms, SAMPLE_MS_MAX) - this.#meanMs)
    if (ms >= STALL_MS) this.#threadsUntil = now + STALLED_MS
    else if (this.#meanMs > QUICK_MS) this.#threadsUntil = now + THREADS_MS
  }
}
