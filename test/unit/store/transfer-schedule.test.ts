/**
 * Which transfers go first, and how fast: places by urgency, a bucket of bytes, and less where clients feel it.
 *
 * Mutations that these tests caught: the least urgent first; a place for whoever asks; a rate that never falls; a disturbed second
 * that is taken for an undisturbed one; pieces that cost half of their bytes.
 */
import { describe, expect, test } from 'vitest'
import { TransferSchedule } from '../../../store/transfer-schedule.ts'

const MAX = 1_000_000
const schedule = (transfersMax = 2): TransferSchedule => new TransferSchedule({ transfersMax, transferBytesPerSecondMax: MAX })

describe('places', () => {
  test('are few; one that is given back goes to the partition with the fewest live replicas, then to who came first', () => {
    const places = schedule()
    const holders = [3, 3, 3, 2, 1, 2].map((liveReplicas, partition) => ({ partition, liveReplicas }))
    const ask = ({ partition }: { partition: number }): boolean => places.acquire(holders[partition]!, partition, holders[partition]!.liveReplicas)
    expect(holders.map(ask)).toEqual([true, true, false, false, false, false])
    const order: number[] = []
    for (const held of [0, 1]) {
      places.release(holders[held]!)
      const next = places.next()!
      // Whoever asks out of turn does not get the place.
      expect(ask(holders[2]!)).toBe(false)
      expect(ask(holders[next]!)).toBe(true)
      order.push(next)
    }
    for (const held of [4, 3]) { places.release(holders[held]!); order.push(places.next()!); ask(holders[order.at(-1)!]!) }
    expect(order).toEqual([4, 3, 5, 2])
    expect(places.next()).toBeUndefined()
  })

  test('a wish that is withdrawn holds nobody up', () => {
    const places = schedule(1)
    const [running, urgent, other] = [{}, {}, {}]
    places.acquire(running, 0, 3)
    places.acquire(urgent, 1, 1)
    places.acquire(other, 2, 3)
    places.release(running)
    places.release(urgent)
    expect(places.next()).toBe(2)
    expect(places.acquire(other, 2, 3)).toBe(true)
    expect(places.status(0)).toMatchObject({ running: 1, waiting: 0 })
  })
})

/** Sends pieces as fast as it may for so long, while clients write. Returns the bytes. */
function send (rate: TransferSchedule, from: number, ms: number, latencyMs?: number, copying = true): number {
  let sent = 0
  for (let now = from; now < from + ms; now += 10) {
    if (copying) while (rate.ready(now)) { rate.spend(now, 10_000); sent += 10_000 }
    if (latencyMs !== undefined) rate.answered(now, latencyMs)
  }
  return sent
}

describe('the rate', () => {
  test('is at most the limit, whatever the size of the pieces', () => {
    const rate = schedule()
    send(rate, 0, 1000)
    expect(send(rate, 1000, 10_000) / 10).toBeGreaterThan(0.95 * MAX)
    expect(send(rate, 11_000, 10_000) / 10).toBeLessThanOrEqual(1.02 * MAX)
    rate.spend(21_000, 5 * MAX)
    expect(rate.ready(25_000)).toBe(false)
  })

  test('falls while clients wait twice as long as undisturbed, and rises again when they do not', () => {
    const rate = schedule()
    send(rate, 0, 5000, 20, false)
    send(rate, 5000, 8000, 60)
    expect(rate.status(13_000).bytesPerSecondMax).toBe(Math.round(MAX / 64))
    // It never stops.
    expect(send(rate, 13_000, 5000, 60)).toBeGreaterThan(5 * MAX / 64 * 0.8)
    send(rate, 18_000, 20_000, 30)
    expect(rate.status(38_000).bytesPerSecondMax).toBe(MAX)
  })

  test('does not fall for what is slow without it, or is fast all the same', () => {
    const slow = schedule()
    send(slow, 0, 5000, 300, false)
    send(slow, 5000, 5000, 400)
    expect(slow.status(10_000).bytesPerSecondMax).toBe(MAX)
    const fast = schedule()
    send(fast, 0, 5000, 1, false)
    send(fast, 5000, 5000, 15)
    expect(fast.status(10_000).bytesPerSecondMax).toBe(MAX)
    const unknown = schedule()
    send(unknown, 0, 5000, 300)
    expect(unknown.status(5000).bytesPerSecondMax).toBe(MAX)
  })

  test('does not learn from a disturbed time what undisturbed is', () => {
    const rate = schedule()
    send(rate, 0, 5000, 20, false)
    for (let start = 5000; start < 60_000; start += 2000) {
      // A piece now and then: half of the windows have none, and the clients still feel the ones before.
      send(rate, start, 1000, 100)
      send(rate, start + 1000, 1000, 100, false)
    }
    expect(rate.status(60_000).bytesPerSecondMax).toBe(Math.round(MAX / 64))
  })
})
