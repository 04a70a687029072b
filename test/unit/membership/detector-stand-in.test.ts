/**
 * Stand-ins for a blocked main thread (rule M10): what they say on the wire, when they answer, and what a detector makes of it. The
 * threads themselves are in test/process/worker.test.ts.
 *
 * Mutations that were tried and are caught here: an answer although the main thread beats; a question dropped at the first beat, or kept
 * for ever; a beat not seen when answers are due; no bound on the questions kept; an excuse without
 * an end; answers from before a close, or after the subject's own, handed on; answers not heard; a successor not
 * handed on; a token or a version that is not checked.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Detector } from '../../../membership/detector/detector.ts'
import { phiAccrual } from '../../../membership/detector/phi-accrual.ts'
import { StandInDetector, type StandInChannel } from '../../../membership/detector/stand-in-detector.ts'
import {
  decodeStandInMessage, encodeStandInMessage, formatStandIn, parseStandIn, STAND_IN_TAG, type StandInAddress, type StandInMessage
} from '../../../membership/detector/stand-in-messages.ts'
import { StandInResponder } from '../../../membership/detector/stand-in-responder.ts'
import { StandIn } from '../../../membership/detector/stand-in.ts'
import { windowedPing } from '../../../membership/detector/windowed-ping.ts'
import { createSystemClock, createSystemRandom, silentLog } from '../../../membership/environment/system.ts'
import { LAN } from '../../../membership/tuning.ts'
import { detectorConformance } from '../../conformance/detector.ts'
import { Drive, silent, SUBJECT, type Answering } from '../../conformance/detector-drive.ts'

const TOKEN = '00112233445566778899aabbccddeeff'
const TARGET: StandInAddress = { host: '10.0.0.1', port: 7001, token: TOKEN }

describe('on the wire', () => {
  const message = fc.record<StandInMessage>({
    kind: fc.constantFrom('question', 'answer'),
    token: fc.stringMatching(/^[0-9a-f]{32}$/),
    ticket: fc.nat(2 ** 32 - 1),
    blockedMs: fc.nat(2 ** 32 - 1)
  })

  test('a message comes out as it went in, and all are of one length', () => {
    fc.assert(fc.property(message, sent => {
      const datagram = encodeStandInMessage(sent)
      expect(datagram).toHaveLength(26)
      expect(decodeStandInMessage(datagram)).toEqual(sent)
    }))
  })

  test('anything else is no message', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
      fc.pre(!(bytes.length === 26 && bytes[0] === 1 && (bytes[1] === 1 || bytes[1] === 2)))
      expect(decodeStandInMessage(Buffer.from(bytes))).toBeUndefined()
    }))
    const known = encodeStandInMessage({ kind: 'answer', token: TOKEN, ticket: 1, blockedMs: 1 })
    for (const [offset, value] of [[0, 2], [1, 0], [1, 3]] as const) {
      const other = Buffer.from(known)
      other[offset] = value
      expect(decodeStandInMessage(other)).toBeUndefined()
    }
  })

  test('the tag of a member names host, port and token; a text that does not is ignored', () => {
    for (const address of [TARGET, { ...TARGET, host: '::1' }]) expect(parseStandIn(formatStandIn(address))).toEqual(address)
    for (const text of [undefined, '', '10.0.0.1:7001', `10.0.0.1/${TOKEN}`, `10.0.0.1:0/${TOKEN}`, `10.0.0.1:7001/${TOKEN}/x`, '10.0.0.1:7001/zz']) {
      expect(parseStandIn(text)).toBeUndefined()
    }
  })
})

describe('when a stand-in answers', () => {
  test('not while the main thread runs', () => {
    const responder = new StandInResponder<string>()
    responder.ask(0, 7, 'observer', 1, 200)
    expect(responder.due(0, 7)).toEqual([])
    expect(responder.nextAtMs).toBe(200)
    expect(responder.due(200, 8)).toEqual([])
    expect(responder.nextAtMs).toBe(400)
    expect(responder.due(400, 9)).toEqual([])
    expect(responder.nextAtMs).toBe(Infinity)
  })

  test('also when a last beat came between the question and the block', () => {
    const responder = new StandInResponder<string>()
    responder.ask(0, 7, 'observer', 1, 200)
    responder.due(0, 7)
    expect(responder.due(200, 8)).toEqual([])
    expect(responder.due(400, 8)).toEqual([{ asker: 'observer', ticket: 1, blockedMs: 200 }])
  })

  test('once the main thread has been blocked for as long as the asker said, with how long', () => {
    const responder = new StandInResponder<string>()
    responder.ask(0, 7, 'first', 1, 250)
    expect(responder.due(0, 7)).toEqual([])
    responder.ask(100, 7, 'second', 2, 400)
    expect(responder.due(250, 7)).toEqual([{ asker: 'first', ticket: 1, blockedMs: 250 }])
    expect(responder.due(400, 7)).toEqual([{ asker: 'second', ticket: 2, blockedMs: 400 }])
    responder.ask(20_000, 7, 'third', 3, 250)
    expect(responder.due(20_000, 7)).toEqual([{ asker: 'third', ticket: 3, blockedMs: 20_000 }])
  })

  test('a question that comes in the first moments of a block waits for the rest of the patience, no longer', () => {
    const responder = new StandInResponder<string>()
    responder.ask(0, 7, 'early', 1, 250)
    responder.due(0, 7)
    responder.ask(200, 7, 'later', 2, 250)
    expect(responder.due(250, 7).map(({ asker }) => asker)).toEqual(['early', 'later'])
  })

  test('a block counts from the last beat that it saw, by whatever call', () => {
    const responder = new StandInResponder<string>()
    responder.ask(0, 7, 'early', 1, 250)
    expect(responder.due(100, 8)).toEqual([])
    responder.ask(500, 8, 'later', 2, 250)
    expect(responder.due(500, 8)).toContainEqual({ asker: 'later', ticket: 2, blockedMs: 400 })
  })

  test('never says that the main thread was blocked for longer than it was', () => {
    const step = fc.record({ afterMs: fc.nat(400), beats: fc.nat(1) })
    fc.assert(fc.property(fc.array(step), steps => {
      const responder = new StandInResponder<number>()
      let [now, beats, beatMs] = [0, 0, 0]
      for (const [index, { afterMs, beats: more }] of steps.entries()) {
        now += afterMs
        if (more > 0) beatMs = now
        beats += more
        responder.ask(now, beats, index, index, 250)
        for (const { blockedMs } of responder.due(now, beats)) {
          expect(blockedMs).toBeLessThanOrEqual(now - beatMs)
          expect(blockedMs).toBeGreaterThanOrEqual(250)
        }
      }
    }))
  })

  test('keeps only so many questions', () => {
    const responder = new StandInResponder<number>()
    for (let index = 0; index < 5000; index++) responder.ask(0, 7, index, index, 250)
    expect(responder.due(250, 7)).toHaveLength(1024)
  })
})

/** A channel whose stand-in says what the test says, at once. */
class FakeChannel implements StandInChannel {
  readonly patiencesMs: number[] = []
  readonly #blockedMs: () => number | undefined

  constructor (blockedMs: () => number | undefined) {
    this.#blockedMs = blockedMs
  }

  ask (_target: StandInAddress, patienceMs: number): { blockedMs: number | undefined } {
    this.patiencesMs.push(patienceMs)
    return { blockedMs: this.#blockedMs() }
  }
}

const BLOCKED_MAX_MS = 15_000

function drive (channel: StandInChannel, inner = windowedPing): Drive {
  const made = new Drive((...parameters) => new StandInDetector(inner(...parameters), channel, TARGET, LAN, BLOCKED_MAX_MS), LAN)
  made.link('opened')
  return made
}

describe.each([['windowedPing', windowedPing], ['phiAccrual', phiAccrual()]] as const)('a detector that asks stand-ins, around %s', (_name, inner) => {
  const busy: Answering = ({ atMs }) => {
    const inCycleMs = atMs % 5000
    return [inCycleMs < 3000 ? 3001 - inCycleMs : 1]
  }

  test('a main thread that is blocked for 3 s in every 5 s is not at fault', () => {
    const channel = new FakeChannel(() => made.now % 5000 < 2750 ? 250 : undefined)
    const made: Drive = drive(channel, inner)
    expect(made.run(600_000, busy, () => made.detector.faulty)).toBe(false)
    expect(channel.patiencesMs.every(patienceMs => 2 * patienceMs < LAN.probeTimeoutMs)).toBe(true)
  })

  test('one that is blocked for ever is, from 15 s on', () => {
    const made: Drive = drive(new FakeChannel(() => made.now - 10_000), inner)
    made.run(10_000, () => [1])
    expect(made.run(60_000, silent, () => made.detector.faulty)).toBe(true)
    expect(made.now).toBeGreaterThan(10_000 + BLOCKED_MAX_MS)
    expect(made.now).toBeLessThan(10_000 + BLOCKED_MAX_MS + 6000)
  })

  test('what the stand-in said before the connection closed is no news: hard evidence counts', () => {
    const inquiries: { blockedMs: number | undefined }[] = []
    const made = drive({
      ask: () => {
        const inquiry = { blockedMs: undefined }
        inquiries.push(inquiry)
        return inquiry
      }
    }, inner)
    made.run(10_000, () => [1])
    made.run(11_000, silent)
    made.link('closed')
    made.onProbe = () => { made.link('refused') }
    const late = inquiries.length
    made.run(11_300, silent)
    for (const inquiry of inquiries.slice(0, late)) inquiry.blockedMs = 300
    expect(made.run(11_000 + LAN.refusalSpanMs + 3 * LAN.refusalProbeMs, silent, () => made.detector.faulty)).toBe(true)
  })
})

test('what a stand-in said before a connection closed, or before the subject answered itself, reaches no detector', () => {
  const inquiries: { blockedMs: number | undefined }[] = []
  const replies: number[] = []
  let sequence = 0
  const inner: Detector = {
    nextAtMs: 0,
    failing: false,
    faulty: false,
    poll: () => ++sequence,
    replied: (_now, answered) => { replies.push(answered) },
    link: () => {},
    succeeded: () => {}
  }
  const channel: StandInChannel = {
    ask: () => {
      const inquiry = { blockedMs: undefined }
      inquiries.push(inquiry)
      return inquiry
    }
  }
  const detector = new StandInDetector(inner, channel, TARGET, LAN, BLOCKED_MAX_MS)
  const [closed, self, excused] = [detector.poll(0)!, 2, 3]
  detector.link(1, 'closed')
  detector.poll(2)
  detector.replied(3, self)
  detector.poll(4)
  for (const inquiry of inquiries) inquiry.blockedMs = 300
  detector.poll(5)
  detector.poll(6)
  expect(closed).toBe(1)
  expect(replies).toEqual([self, excused])
})

// A stand-in that never answers, as that of a main thread that runs, changes nothing.
detectorConformance('windowedPing with stand-ins', (...parameters) =>
  new StandInDetector(windowedPing(...parameters), new FakeChannel(() => undefined), TARGET, LAN, BLOCKED_MAX_MS), {
  silenceVerdictMs: 4500, firstContactVerdictMs: 8500
})

describe('StandIn', () => {
  const components = { clock: createSystemClock(), random: createSystemRandom(), log: silentLog }

  test('refuses what it cannot work with', () => {
    const refused = expect.objectContaining({ code: 'MEMBERSHIP_INVALID_OPTIONS' })
    for (const options of [{ host: '' }, { host: '0.0.0.0' }, { host: 'a', port: 70_000 }, { host: 'a', beatMs: 0 }, { host: 'a', blockedMaxMs: Number.NaN }]) {
      expect(() => new StandIn(components, options)).toThrow(refused)
    }
  })

  test('before its start it has no tags, and asks nobody', () => {
    const standIn = new StandIn(components, { host: '127.0.0.1' })
    expect(() => standIn.tags).toThrow(expect.objectContaining({ code: 'MEMBERSHIP_NOT_STARTED' }))
    expect(standIn.ask(TARGET, 250).blockedMs).toBeUndefined()
  })

  test('a subject without a stand-in, or with a tag that is none, gets the plain detector', () => {
    const factory = new StandIn(components, { host: '127.0.0.1' }).detector()
    const tagged = (tag: string): typeof SUBJECT => ({ ...SUBJECT, metadata: { ...SUBJECT.metadata, tags: { [STAND_IN_TAG]: tag } } })
    expect(factory(SUBJECT, 0, LAN)).not.toBeInstanceOf(StandInDetector)
    expect(factory(tagged('nonsense'), 0, LAN)).not.toBeInstanceOf(StandInDetector)
    expect(factory(tagged(formatStandIn(TARGET)), 0, LAN)).toBeInstanceOf(StandInDetector)
  })
})
