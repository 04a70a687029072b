/**
 * Whose fault it is when most of what a member observes fails (rules M10 and M13): its own, unless a majority of the voters answers meanwhile.
 *
 * Mutations caught: voters vouch with their first answer; they vouch on after they fell silent; their answers of before count.
 */
import { expect, test } from 'vitest'
import type { Member } from '../../../membership/configuration.ts'
import { EnsembleWatch } from '../../../membership/ensemble-watch.ts'
import { LAN } from '../../../membership/tuning.ts'
import { View } from '../../../membership/view.ts'
import { makeConfiguration } from './fixtures.ts'

/** For so long voters must have answered while subjects did not: these have had a probe by then, and the time to answer it. */
const PATIENCE_MS = LAN.probeIntervalMs + LAN.probeTimeoutMs
const STEP_MS = 50

/** The watch of the first of three voters among eleven members, whose subjects fail from the beginning. */
class Watched {
  readonly watch: EnsembleWatch
  /** Whether the other voters answer, and whether subjects fail. */
  connected = true
  doubtful = true
  now = 0
  readonly #asked: Member[] = []

  constructor () {
    const configuration = makeConfiguration(11)
    const members = configuration.members.map((member, index) => index < 3 ? member : { ...member, role: 'agent' as const })
    this.watch = new EnsembleWatch(LAN, voter => { this.#asked.push(voter) })
    this.watch.enter(0, new View({ ...configuration, members }, members[0]!, LAN.ringCount))
  }

  /** Questions are answered at the next step. @returns since when the voters vouch, of this time */
  run (durationMs: number): number | undefined {
    let sinceMs: number | undefined
    for (const untilMs = this.now + durationMs; this.now < untilMs; this.now += STEP_MS) {
      for (const { id } of this.#asked.splice(0)) if (this.connected) this.watch.heard(this.now, id)
      this.watch.advance(this.now, this.doubtful)
      sinceMs = this.watch.vouches ? sinceMs ?? this.now : undefined
    }
    return sinceMs
  }
}

test('voters that answer vouch when the subjects have had the time to answer, too, and no longer than these fail', () => {
  const watched = new Watched()
  const sinceMs = watched.run(5000)!
  expect(sinceMs).toBeGreaterThanOrEqual(PATIENCE_MS)
  expect(sinceMs).toBeLessThanOrEqual(PATIENCE_MS + 4 * STEP_MS)
  watched.doubtful = false
  expect(watched.run(STEP_MS)).toBeUndefined()
  watched.doubtful = true
  expect(watched.run(PATIENCE_MS)).toBeUndefined()
})

test('one that was cut off hears the voters first when that is over: they do not vouch yet', () => {
  const watched = new Watched()
  watched.connected = false
  expect(watched.run(6000)).toBeUndefined()
  watched.connected = true
  expect(watched.run(PATIENCE_MS)).toBeUndefined()
  expect(watched.run(LAN.probeIntervalMs)).toBeDefined()
})

test('voters that fall silent do not vouch any more, and begin anew', () => {
  const watched = new Watched()
  expect(watched.run(5000)).toBeDefined()
  watched.connected = false
  expect(watched.run(3000)).toBeUndefined()
  watched.connected = true
  expect(watched.run(PATIENCE_MS)).toBeUndefined()
})
