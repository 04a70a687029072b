/**
 * The formation gate (rules M8 and M6).
 *
 * Mutations caught: a gate that opens for the first, or that admits too few; one that does not replace an older process at the same
 * address, or of the same store; one that takes an answer of an earlier round, takes one twice, judges who came during a round,
 * keeps who did not answer or somebody else's address, votes twice, has no bound, or probes once per round; one that lets go after a
 * single probe timeout, asks those again that have answered, waits to the end though enough have, votes before all had the time to
 * answer, or miscounts where one that answered is replaced.
 */
import { describe, expect, test } from 'vitest'
import type { Member } from '../../../membership/configuration.ts'
import { FormationGate, HELD_MAX } from '../../../membership/formation-gate.ts'
import { NOWHERE, type ProbeReply } from '../../../membership/messages.ts'
import { LAN } from '../../../membership/tuning.ts'
import { makeMember } from './fixtures.ts'

const { probeTimeoutMs, batchWindowMs } = LAN
const DEADLINE_MS = 30_000
/** The longest that the gate asks before it votes, or lets go of those that are silent. */
const ROUND_MS = 4 * probeTimeoutMs
const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(name => makeMember(name)) as [Member, Member, Member, Member]

function replyOf (joiner: Member, sequence: number, by = joiner): ProbeReply {
  return {
    kind: 'probe-reply', sender: { id: by.id, address: by.address }, position: NOWHERE, member: by, clusterName: 'test', to: joiner.id, sequence
  }
}

/** A gate that is run as a member runs it: `until` advances it whenever it asks for that. */
class Bench {
  readonly gate: FormationGate
  readonly admitted: string[][] = []
  probes: { readonly joiner: Member, readonly sequence: number }[] = []
  now = 0
  /** Whether anybody can enter. */
  open = true

  constructor (expected: number | undefined) {
    this.gate = new FormationGate(expected, DEADLINE_MS, LAN, {
      probe: (joiner, sequence) => { this.probes.push({ joiner, sequence }) },
      admit: joiners => {
        this.admitted.push(joiners.map(({ address }) => address))
        return this.open
      }
    })
  }

  hold (...joiners: Member[]): void {
    for (const joiner of joiners) expect(this.gate.hold(this.now, joiner)).toBe(true)
  }

  until (ms: number): void {
    while (this.gate.nextAtMs <= ms) {
      this.now = Math.max(this.now, this.gate.nextAtMs)
      this.gate.advance(this.now)
    }
    this.now = ms
  }

  /** Answers the probes sent since the last call, of these joiners alone. */
  answer (...joiners: Member[]): void {
    for (const { joiner, sequence } of this.probes.splice(0)) if (joiners.includes(joiner)) this.gate.replied(this.now, replyOf(joiner, sequence))
  }

  get probed (): string[] {
    return this.probes.map(({ joiner }) => joiner.address)
  }
}

describe('M8: joiners are held until those expected are there', () => {
  test('one too few: nobody is probed, and nothing is due before the deadline', () => {
    const bench = new Bench(3)
    bench.hold(a, b)
    expect(bench.gate.size).toBe(2)
    expect(bench.gate.expected).toBe(3)
    expect(bench.gate.nextAtMs).toBe(DEADLINE_MS)
    bench.until(DEADLINE_MS - 1)
    expect(bench.probes).toEqual([])
  })

  test('all are there: each is probed, and all are admitted in one go once all have answered', () => {
    const bench = new Bench(3)
    bench.hold(a, b, c)
    expect(bench.probed).toEqual([a, b, c].map(({ address }) => address))
    const probes = [...bench.probes]
    bench.answer(a, c)
    expect(bench.admitted).toEqual([])
    bench.gate.replied(bench.now, replyOf(b, probes[1]!.sequence))
    expect(bench.admitted).toEqual([[a, b, c].map(({ address }) => address)])
    expect(bench.gate.nextAtMs).toBe(Infinity)
  })

  test('the deadline opens the gate to those who are there', () => {
    const bench = new Bench(3)
    bench.hold(a, b)
    bench.until(DEADLINE_MS)
    bench.answer(a, b)
    expect(bench.admitted).toEqual([[a.address, b.address]])
  })

  test('who comes after the deadline to an empty gate does not wait', () => {
    const bench = new Bench(3)
    bench.until(DEADLINE_MS + 1000)
    expect(bench.gate.nextAtMs).toBe(Infinity)
    bench.hold(a)
    bench.answer(a)
    expect(bench.admitted).toEqual([[a.address]])
  })

  test('nobody is expected: the gate opens one batch window after the first', () => {
    const bench = new Bench(undefined)
    bench.hold(a)
    bench.until(batchWindowMs - 1)
    bench.hold(b)
    expect(bench.probes).toEqual([])
    bench.until(batchWindowMs)
    bench.answer(a, b)
    expect(bench.admitted).toEqual([[a.address, b.address]])
    expect(bench.gate.expected).toBe(0)
  })

  test('one that comes while the others are probed is left to the next view change', () => {
    const bench = new Bench(2)
    bench.hold(a, b)
    bench.hold(c)
    expect(bench.probed).not.toContain(c.address)
    bench.answer(a, b)
    expect(bench.admitted).toEqual([[a.address, b.address]])
  })

  test('it takes the place of one that does not answer, in another round', () => {
    const bench = new Bench(2)
    bench.hold(a, b)
    bench.hold(c)
    bench.answer(a)
    bench.until(ROUND_MS)
    bench.answer(a, c)
    expect(bench.admitted).toEqual([[a.address, c.address]])
  })

  test('where enough have answered, others that were there too are waited for no longer than a probe may take', () => {
    const bench = new Bench(2)
    bench.hold(a, b)
    bench.hold(c, d)
    bench.answer(a)
    bench.until(ROUND_MS)
    bench.answer(a, c)
    bench.until(ROUND_MS + probeTimeoutMs - 1)
    expect(bench.admitted).toEqual([])
    bench.until(ROUND_MS + probeTimeoutMs)
    expect(bench.admitted).toEqual([[a.address, c.address]])
  })

  test('after the vote nothing more happens here', () => {
    const bench = new Bench(1)
    bench.hold(a)
    bench.answer(a)
    bench.hold(b)
    bench.until(2 * DEADLINE_MS)
    expect(bench.admitted).toHaveLength(1)
    expect(bench.probes).toEqual([])
  })

  test('where none of them could enter, the gate goes on', () => {
    const bench = new Bench(1)
    bench.open = false
    bench.hold(a)
    bench.answer(a)
    expect(bench.gate.nextAtMs).toBeLessThan(Infinity)
    bench.open = true
    bench.until(bench.now + 1)
    bench.answer(a)
    expect(bench.admitted).toHaveLength(2)
  })
})

describe('M8: the newest per address and store is held', () => {
  test('a process that was started again at its address replaces its former self', () => {
    const bench = new Bench(2)
    const again = makeMember('a again', { address: a.address })
    bench.hold(a, again)
    expect(bench.gate.size).toBe(1)
    bench.hold(b)
    bench.answer(a, again, b)
    expect(bench.admitted).toEqual([[a.address, b.address]])
  })

  test('a store that was started elsewhere as well', () => {
    const bench = new Bench(2)
    const moved = makeMember('moved', { storeId: a.storeId })
    bench.hold(a, moved)
    expect(bench.gate.size).toBe(1)
    bench.hold(b)
    expect(bench.probed.sort()).toEqual([b.address, moved.address])
  })

  test('one that replaces both the holder of its address and that of its store', () => {
    const bench = new Bench(3)
    bench.hold(a, b, makeMember('both', { address: a.address, storeId: b.storeId }))
    expect(bench.gate.size).toBe(1)
  })

  test('asking again changes nothing', () => {
    const bench = new Bench(2)
    bench.hold(a, a, a)
    expect(bench.gate.size).toBe(1)
  })

  test('there is an end to it', () => {
    const bench = new Bench(HELD_MAX + 1)
    for (let index = 0; index < HELD_MAX; index++) {
      bench.hold({ ...a, id: `id ${index}` as never, storeId: `store ${index}` as never, address: `host-${index}:1` })
    }
    expect(bench.gate.hold(0, b)).toBe(false)
    expect(bench.gate.size).toBe(HELD_MAX)
  })
})

describe('M6: only who answered just before the vote is admitted', () => {
  test('one that does not answer is probed sixteen times, let go, and waited for', () => {
    const bench = new Bench(2)
    bench.hold(a, b)
    bench.answer(a)
    bench.until(ROUND_MS - 1)
    expect(bench.probed).toEqual(Array.from({ length: 15 }, () => b.address))
    expect(bench.gate.size).toBe(2)
    bench.until(ROUND_MS)
    expect(bench.admitted).toEqual([])
    expect(bench.gate.size).toBe(1)
    bench.probes = []
    bench.hold(c)
    bench.answer(a, c)
    expect(bench.admitted).toEqual([[a.address, c.address]])
  })

  test('at the deadline the vote goes on without it', () => {
    const bench = new Bench(3)
    bench.hold(a, b)
    bench.until(DEADLINE_MS)
    bench.answer(a)
    bench.until(DEADLINE_MS + ROUND_MS - 1)
    expect(bench.admitted).toEqual([])
    bench.until(DEADLINE_MS + ROUND_MS)
    expect(bench.admitted).toEqual([[a.address]])
  })

  test('where probes get lost, only those that have not answered are asked again', () => {
    const bench = new Bench(3)
    bench.hold(a, b, c)
    bench.answer(a)
    bench.until(probeTimeoutMs)
    expect(new Set(bench.probed)).toEqual(new Set([b.address, c.address]))
    bench.answer(b)
    bench.until(3 * probeTimeoutMs)
    expect(new Set(bench.probed)).toEqual(new Set([c.address]))
    expect(bench.admitted).toEqual([])
    bench.answer(c)
    expect(bench.admitted).toEqual([[a.address, b.address, c.address]])
  })

  test('one that answered and was then replaced at its address counts no more', () => {
    const bench = new Bench(2)
    bench.hold(a, b)
    bench.answer(a)
    const again = makeMember('a again', { address: a.address })
    bench.hold(again)
    bench.until(ROUND_MS - 1)
    bench.answer(b)
    expect(bench.admitted).toEqual([])
    bench.until(bench.now)
    bench.answer(again, b)
    expect(bench.admitted).toEqual([[b.address, again.address]])
  })

  test('an answer counts for the round in which it was asked for, and once', () => {
    const bench = new Bench(2)
    bench.hold(a, b)
    const [first] = bench.probes
    bench.answer(a)
    bench.gate.replied(bench.now, replyOf(a, first!.sequence))
    expect(bench.gate.size).toBe(2)
    bench.until(ROUND_MS)
    bench.hold(b)
    bench.gate.replied(bench.now, replyOf(a, first!.sequence))
    bench.answer(b)
    expect(bench.admitted).toEqual([])
  })

  test('somebody else answers at its address: it is gone at once', () => {
    const bench = new Bench(2)
    bench.hold(a, b)
    const { sequence } = bench.probes[0]!
    bench.gate.replied(bench.now, replyOf(a, sequence, c))
    expect(bench.gate.size).toBe(1)
    bench.answer(b)
    bench.until(ROUND_MS)
    expect(bench.admitted).toEqual([])
  })
})
