/**
 * The broadcasters that ship, through the conformance kit; and the kit itself, through broadcasters that are broken on purpose.
 *
 * What it found in gossip: more than 64 proposals in one window went out in one message, which receivers refuse.
 */
import { describe, expect, test } from 'vitest'
import {
  UnicastBroadcaster, unicastToAll, type Broadcaster, type BroadcasterFactory, type BroadcastMessage, type SendToMembers
} from '../../../membership/broadcaster.ts'
import type { MemberId } from '../../../membership/configuration.ts'
import { gossip, GossipBroadcaster } from '../../../membership/gossip-broadcaster.ts'
import { LAN } from '../../../membership/tuning.ts'
import type { View } from '../../../membership/view.ts'
import { BROADCASTER_CHECKS, broadcasterConformance, failedChecks, type BroadcasterExpectations } from '../../conformance/broadcaster.ts'

const framesOfUnicast = (members: number, origins: number): number => origins * (members - 1)
/** Who learns something tells its K neighbours, four times on average at most, however many origins there are. */
const framesOfGossip = (members: number, _origins: number, ringCount: number): number => 4 * members * Math.min(ringCount, members - 1)

const gossipAtAnySize: BroadcasterFactory = (view, tuning, send) => new GossipBroadcaster(view, tuning.gossipWindowMs, send)

broadcasterConformance('unicastToAll', unicastToAll, { framesMax: framesOfUnicast })
broadcasterConformance('gossip, which is unicast in small clusters', gossip, {
  framesMax: (members, ...rest) => (members <= LAN.unicastMembersMax ? framesOfUnicast : framesOfGossip)(members, ...rest)
})
broadcasterConformance('gossip at any size', gossipAtAnySize, { framesMax: framesOfGossip })

/** A gossip broadcaster of which a subclass breaks something. */
class Flawed implements Broadcaster {
  protected readonly inner: Broadcaster
  protected readonly view: View
  protected readonly send: SendToMembers

  constructor (...[view, tuning, send]: Parameters<BroadcasterFactory>) {
    this.view = view
    this.send = (to, message) => { this.sends(to, message, send) }
    this.inner = gossipAtAnySize(view, tuning, this.send)
  }

  protected sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void { send(to, message) }
  originate (now: number, message: BroadcastMessage): void { this.inner.originate(now, message) }
  relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void { this.inner.relay(now, via, message) }
  advance (now: number): void { this.inner.advance(now) }
  get nextAtMs (): number { return this.inner.nextAtMs }
  flush (): void { this.inner.flush() }
}

const votesIn = (message: BroadcastMessage): Uint8Array[] => {
  return message.kind === 'consensus' && message.message.kind === 'votes' ? message.message.proposals.map(({ bitmap }) => bitmap) : []
}

const others = (view: View): MemberId[] => view.configuration.members.map(({ id }) => id).filter(id => id !== view.self.id)

type Flaw = readonly [what: string, rejectedBy: RegExp, make: BroadcasterFactory]
const flawed = (flaw: new (...parameters: Parameters<BroadcasterFactory>) => Flawed): BroadcasterFactory => (...parameters) => new flaw(...parameters)

const FLAWS: readonly Flaw[] = [
  ['passes nothing on', /what any member says/, flawed(class extends Flawed {
    override relay (): void {}
  })],
  ['leaves out the bytes of cuts', /what any member says/, flawed(class extends Flawed {
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void {
      const inner = message.kind === 'consensus' ? message.message : undefined
      if (message.kind !== 'consensus' || inner?.kind !== 'votes') return send(to, message)
      const proposals = inner.proposals.map(({ digest, bitmap }) => ({ digest, bitmap }))
      send(to, { ...message, message: { ...inner, proposals } })
    }
  })],
  ['says each thing to its first neighbour alone', /what all members say at once/, flawed(class extends Flawed {
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void { send(to.slice(0, 1), message) }
  })],
  ['puts all votes into one message', /different proposal/, flawed(class extends Flawed {
    #held: Extract<BroadcastMessage, { kind: 'consensus' }>[] = []
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void {
      if (message.kind !== 'consensus' || message.message.kind !== 'votes') return send(to, message)
      this.#held.push(message)
      const proposals = this.#held.flatMap(({ message: held }) => held.kind === 'votes' ? held.proposals : [])
      send(to, { ...message, message: { ...message.message, proposals } })
    }
  })],
  ['says everything once, whoever repeats it', /all that it sent first was lost/, flawed(class extends Flawed {
    readonly #said = new Set<string>()
    override originate (now: number, message: BroadcastMessage): void {
      const text = JSON.stringify(message)
      if (!this.#said.has(text)) super.originate(now, message)
      this.#said.add(text)
    }
  })],
  ['repeats only what its own member said', /heard nothing at first/, flawed(class extends Flawed {
    #repeats = false
    readonly #own = new Set<string>()
    override originate (now: number, message: BroadcastMessage): void {
      const text = JSON.stringify(message)
      this.#repeats = this.#own.has(text)
      this.#own.add(text)
      if (this.#repeats) this.send(this.view.subjects, message)
      else super.originate(now, message)
    }
  })],
  ['loses sight of what it dropped', /three messages in ten/, flawed(class extends Flawed {
    readonly #said = new Set<string>()
    override originate (...[, message]: Parameters<Broadcaster['originate']>): void {
      const text = JSON.stringify(message)
      if (!this.#said.has(text)) this.send(others(this.view), message)
      this.#said.add(text)
    }

    override relay (): void {}
  })],
  ['throws at a message that it knows', /arrive twice/, flawed(class extends Flawed {
    readonly #seen = new Set<string>()
    override relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void {
      const text = `${via} ${JSON.stringify(message)}`
      if (this.#seen.has(text)) throw new Error('again')
      this.#seen.add(text)
      super.relay(now, via, message)
    }
  })],
  ['passes on whatever arrives', /heard before/, flawed(class extends Flawed {
    readonly #times = new Map<string, number>()
    override relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void {
      super.relay(now, via, message)
      const text = `${via} ${JSON.stringify(message)}`
      const times = (this.#times.get(text) ?? 0) + 1
      this.#times.set(text, times)
      if (times === 2) this.send(this.view.subjects, message)
    }
  })],
  ['does not flush', /flush sends at once/, flawed(class extends Flawed {
    override flush (): void {}
  })],
  ['flushes again what it flushed', /flush sends at once/, flawed(class extends Flawed {
    #last: BroadcastMessage | undefined
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void {
      this.#last = message
      send(to, message)
    }

    override flush (): void {
      super.flush()
      if (this.#last !== undefined) this.send(this.view.subjects, this.#last)
    }
  })],
  ['wants to be called at no time', /nextAtMs is the time/, flawed(class extends Flawed {
    override get nextAtMs (): number { return Number.NaN }
  })],
  ['wants to be called at once, again and again', /nextAtMs is the time/, flawed(class extends Flawed {
    override get nextAtMs (): number { return 0 }
  })],
  ['wants to be called too early', /nextAtMs is the time/, flawed(class extends Flawed {
    override get nextAtMs (): number { return super.nextAtMs - 10 }
  })],
  ['sends before its time', /nextAtMs is the time/, flawed(class extends Flawed {
    override advance (): void { this.inner.flush() }
  })],
  ['sends to itself', /to oneself/, flawed(class extends Flawed {
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void {
      send([...to, this.view.self.id], message)
    }
  })],
  ['sends to strangers', /to oneself/, flawed(class extends Flawed {
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void {
      send([...to, 'nobody' as MemberId], message)
    }
  })],
  ['sends twice', /to oneself/, flawed(class extends Flawed {
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void { send([...to, ...to], message) }
  })],
  ['speaks of another configuration', /to oneself/, flawed(class extends Flawed {
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void {
      send(to, { ...message, position: { ...message.position, epoch: 99 } })
    }
  })],
  ['passes on bitmaps of any size', /bitmaps of a wrong size/, flawed(class extends Flawed {
    override relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void {
      super.relay(now, via, message)
      if (votesIn(message).some(({ length }) => length !== Math.ceil(this.view.size / 8))) this.send(this.view.subjects, message)
    }
  })],
  ['changes what it has sent', /not changed/, flawed(class extends Flawed {
    readonly #sent: BroadcastMessage[] = []
    protected override sends (to: readonly MemberId[], message: BroadcastMessage, send: SendToMembers): void {
      for (const bitmap of this.#sent.flatMap(votesIn)) bitmap[0]! |= 1
      this.#sent.push(message)
      send(to, message)
    }
  })],
  ['changes what it is handed', /not changed/, flawed(class extends Flawed {
    override relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void {
      super.relay(now, via, message)
      for (const bitmap of votesIn(message)) bitmap[0]! |= 3
    }
  })],
  ['tells everybody whatever it learns', /costs no more frames/, (view, tuning, send) => {
    return gossipAtAnySize(view, tuning, (_to, message) => { send(others(view), message) })
  }],
  ['passes each vote on by itself', /costs no more frames/, flawed(class extends Flawed {
    readonly #seen = new Set<string>()
    override originate (now: number, message: BroadcastMessage): void { this.relay(now, undefined, message) }
    override relay (...[, , message]: Parameters<Broadcaster['relay']>): void {
      const text = JSON.stringify(message)
      if (!this.#seen.has(text)) this.send(this.view.subjects, message)
      this.#seen.add(text)
    }
  })],
  ['remembers everything', /have a bound/, flawed(class extends Flawed {
    readonly #seen: string[] = []
    override relay (now: number, via: MemberId | undefined, message: BroadcastMessage): void {
      this.#seen.push(JSON.stringify(message).slice(0, 200))
      super.relay(now, via, message)
    }
  })]
]

describe('the kit rejects what is broken', () => {
  const expectations: BroadcasterExpectations = { framesMax: framesOfGossip }

  test.each(FLAWS)('a broadcaster that %s', (_what, rejectedBy, make) => {
    const checks = BROADCASTER_CHECKS.filter(({ name }) => rejectedBy.test(name))
    expect(checks).toHaveLength(1)
    expect(failedChecks(make, expectations, checks)).toHaveLength(1)
  })

  test('unicast where gossip was promised', () => {
    const checks = BROADCASTER_CHECKS.filter(({ name }) => name.includes('costs no more frames'))
    expect(failedChecks((view, _tuning, send) => new UnicastBroadcaster(view, send), expectations, checks)).toHaveLength(1)
  })

  test('each check rejects at least one', () => {
    const idle = BROADCASTER_CHECKS.filter(({ name }) => !FLAWS.some(([, rejectedBy]) => rejectedBy.test(name))).map(({ name }) => name)
    expect(idle).toEqual([])
  })
})
