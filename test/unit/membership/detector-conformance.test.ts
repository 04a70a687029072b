/**
 * The detectors that ship, and the one that the example of a detector shows, through the conformance kit; and the kit itself, through
 * detectors that are broken on purpose.
 */
import { readFileSync } from 'node:fs'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import type { Detector, DetectorFactory, LinkEvidence } from '../../../membership/detector/detector.ts'
import { phiAccrual } from '../../../membership/detector/phi-accrual.ts'
import { windowedPing } from '../../../membership/detector/windowed-ping.ts'
import { PRESETS } from '../../../membership/tuning.ts'
import { DETECTOR_CHECKS, detectorConformance, failedChecks, type DetectorExpectations } from '../../conformance/detector.ts'

for (const [preset, tuning] of Object.entries(PRESETS)) {
  const { probeIntervalMs, probeTimeoutMs, probeFailures } = tuning
  const ordinaryMs = probeFailures * probeIntervalMs + probeTimeoutMs
  detectorConformance(`windowedPing, ${preset}`, windowedPing, {
    tuning, silenceVerdictMs: ordinaryMs, firstContactVerdictMs: ordinaryMs + 8 * probeTimeoutMs
  })
  // The deviation of the first estimate, a quarter of an interval, is the greatest that prompt answers leave.
  const patienceMs = probeTimeoutMs + (1 + 2.5 + 5.62 / 4) * probeIntervalMs
  detectorConformance(`phiAccrual, ${preset}`, phiAccrual(), {
    tuning, silenceVerdictMs: patienceMs, firstContactVerdictMs: patienceMs + 8 * probeTimeoutMs
  })
}

/** The detector of the example, compiled out of its file: importing that would run it. */
async function exampleDetector (): Promise<DetectorFactory> {
  const source = readFileSync(new URL('../../../examples/membership-only.ts', import.meta.url), 'utf8')
  const file = ts.createSourceFile('membership-only.ts', source, ts.ScriptTarget.ES2023)
  const names = ['FAILURES_MAX', 'Impatient', 'impatient']
  const parts = file.statements.filter(statement => {
    if (ts.isClassDeclaration(statement)) return names.includes(statement.name!.text)
    return ts.isVariableStatement(statement) && names.includes((statement.declarationList.declarations[0]!.name as ts.Identifier).text)
  })
  expect(parts).toHaveLength(names.length)
  const code = parts.map(part => source.slice(part.getStart(file), part.end)).join('\n') + '\nexport { impatient }'
  const { outputText } = ts.transpileModule(code, { compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext } })
  const module = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(outputText)}`) as { impatient: DetectorFactory }
  return module.impatient
}

// Three unanswered probes, each of which is judged at the next one; it ignores connections.
detectorConformance('the detector of examples/membership-only.ts', await exampleDetector(), {
  silenceVerdictMs: 4000, firstContactVerdictMs: 4000, hardEvidence: false
})

/** A windowed ping of which a subclass breaks something. */
class Flawed implements Detector {
  protected readonly inner: Detector

  constructor (...parameters: Parameters<DetectorFactory>) {
    this.inner = windowedPing(...parameters)
  }

  get nextAtMs (): number { return this.inner.nextAtMs }
  poll (now: number): number | undefined { return this.inner.poll(now) }
  replied (now: number, sequence: number): void { this.inner.replied(now, sequence) }
  link (now: number, evidence: LinkEvidence): void { this.inner.link(now, evidence) }
  succeeded (now: number): void { this.inner.succeeded(now) }
  get failing (): boolean { return this.inner.failing }
  get faulty (): boolean { return this.inner.faulty }
}

type Flaw = readonly [what: string, rejectedBy: RegExp, make: DetectorFactory]
const flawed = (flaw: new (...parameters: Parameters<DetectorFactory>) => Flawed): DetectorFactory => (...parameters) => new flaw(...parameters)

const everSent: number[] = []
let instances = 0

const FLAWS: readonly Flaw[] = [
  ['always calls the subject faulty', /answers every probe in time/, flawed(class extends Flawed {
    override get failing (): boolean { return true }
    override get faulty (): boolean { return true }
  })],
  ['never calls anybody faulty', /silence is a verdict/, flawed(class extends Flawed {
    override get faulty (): boolean { return false }
  })],
  ['is never failing before its verdict', /silence is a verdict/, flawed(class extends Flawed {
    override get failing (): boolean { return this.faulty }
  })],
  ['forgets a verdict in time', /silence is a verdict/, flawed(class extends Flawed {
    #polls = 0
    override poll (now: number): number | undefined {
      if (this.inner.faulty) this.#polls++
      return super.poll(now)
    }

    override get faulty (): boolean { return this.#polls < 200 && this.inner.faulty }
    override get failing (): boolean { return this.faulty || (this.#polls < 200 && this.inner.failing) }
  })],
  ['is satisfied with a connection', /never answers is faulty/, flawed(class extends Flawed {
    #answered = false
    override replied (now: number, sequence: number): void {
      this.#answered = true
      super.replied(now, sequence)
    }

    override get faulty (): boolean { return this.#answered && this.inner.faulty }
  })],
  ['judges by a single lost answer', /single lost answer/, (subject, first, tuning) => windowedPing(subject, first, { ...tuning, probeFailures: 1 })],
  ['probes four times as often', /once per interval/, (subject, first, tuning) =>
    windowedPing(subject, first, { ...tuning, probeIntervalMs: tuning.probeIntervalMs / 4 })],
  ['probes at once', /first probe comes when/, (subject, first, tuning) => windowedPing(subject, first - 500, tuning)],
  ['stops probing the silent', /also while the subject is silent/, flawed(class extends Flawed {
    override poll (now: number): number | undefined {
      const sequence = super.poll(now)
      return this.inner.faulty ? undefined : sequence
    }
  })],
  ['numbers all probes alike', /never used twice/, flawed(class extends Flawed {
    #last = 0
    override poll (now: number): number | undefined {
      const sequence = super.poll(now)
      this.#last = sequence ?? this.#last
      return sequence === undefined ? undefined : 7
    }

    override replied (now: number): void { super.replied(now, this.#last) }
  })],
  ['ignores connections, and does not say so', /over refusalSpanMs/, flawed(class extends Flawed {
    override link (): void {}
  })],
  ['has its verdict at the first refusal', /over refusalSpanMs/, (subject, first, tuning) => windowedPing(subject, first, { ...tuning, refusalSpanMs: 0 })],
  ['has its verdict at a close', /reset alone/, flawed(class extends Flawed {
    #closed = false
    override link (now: number, evidence: LinkEvidence): void {
      super.link(now, evidence)
      this.#closed = evidence === 'closed'
    }

    override get failing (): boolean { return this.faulty || super.failing }
    override get faulty (): boolean { return this.#closed || this.inner.faulty }
  })],
  ['does not forget a refusal when the connection is back', /forgotten when the connection opens/, flawed(class extends Flawed {
    #refusedMs: number | undefined
    #span = 0
    override link (now: number, evidence: LinkEvidence): void {
      super.link(now, evidence)
      if (evidence !== 'refused') return
      this.#refusedMs ??= now
      this.#span = now - this.#refusedMs
    }

    override get failing (): boolean { return this.faulty || super.failing }
    override get faulty (): boolean { return this.#span >= 500 || this.inner.faulty }
  })],
  ['counts refusals without a close', /refusals of further connections/, flawed(class extends Flawed {
    #refusals = 0
    override link (now: number, evidence: LinkEvidence): void {
      super.link(now, evidence)
      if (evidence === 'refused') this.#refusals++
    }

    override get failing (): boolean { return this.faulty || super.failing }
    override get faulty (): boolean { return this.#refusals >= 10 || this.inner.faulty }
  })],
  ['does not care about a successor', /later process of the same store/, flawed(class extends Flawed {
    override succeeded (): void {}
  })],
  ['throws at a late answer', /comes late now and then/, flawed(class extends Flawed {
    #sentAtMs = 0
    override poll (now: number): number | undefined {
      const sequence = super.poll(now)
      if (sequence !== undefined) this.#sentAtMs = now
      return sequence
    }

    override replied (now: number, sequence: number): void {
      if (now - this.#sentAtMs > 50 && now - this.#sentAtMs < 450) throw new Error('too late')
      super.replied(now, sequence)
    }
  })],
  ['takes an answer that was overtaken for a failure', /out of order/, flawed(class extends Flawed {
    #last = 0
    #overtaken = false
    override replied (now: number, sequence: number): void {
      super.replied(now, sequence)
      this.#overtaken = sequence < this.#last
      this.#last = sequence
    }

    override get failing (): boolean { return this.faulty || super.failing }
    override get faulty (): boolean { return this.#overtaken || this.inner.faulty }
  })],
  ['takes any answer for a sign of life', /answers to probes that were never sent/, flawed(class extends Flawed {
    #last = 0
    override poll (now: number): number | undefined { return this.#last = super.poll(now) ?? this.#last }
    override replied (now: number): void { super.replied(now, this.#last) }
  })],
  ['wants to be polled at no time', /nextAtMs is a time to come/, flawed(class extends Flawed {
    override get nextAtMs (): number { return this.inner.failing ? Number.NaN : super.nextAtMs }
  })],
  ['wants to be polled at once, again and again', /nextAtMs is a time to come/, flawed(class extends Flawed {
    #polledMs = 0
    override poll (now: number): number | undefined {
      this.#polledMs = now
      return super.poll(now)
    }

    override get nextAtMs (): number { return this.inner.failing ? this.#polledMs : super.nextAtMs }
  })],
  ['shares state with its like', /the same calls give the same results/, flawed(class extends Flawed {
    readonly #odd = ++instances % 2 === 1
    override get faulty (): boolean { return this.inner.faulty && (this.#odd || this.inner.nextAtMs % 2 === 0) }
  })],
  ['depends on the origin of time', /whatever the origin of time/, flawed(class extends Flawed {
    override poll (now: number): number | undefined { return super.poll(Math.ceil(now / 64) * 64) }
  })],
  ['remembers every probe', /no more memory/, flawed(class extends Flawed {
    override poll (now: number): number | undefined {
      const sequence = super.poll(now)
      for (let copy = 0; copy < 4; copy++) everSent.push(now + copy / 8)
      return sequence
    }
  })]
]

describe('the kit rejects what is broken', () => {
  const { probeIntervalMs, probeTimeoutMs, probeFailures } = PRESETS.lan
  const silenceVerdictMs = probeFailures * probeIntervalMs + probeTimeoutMs
  const expectations: DetectorExpectations = { silenceVerdictMs, firstContactVerdictMs: silenceVerdictMs + 8 * probeTimeoutMs }

  test.each(FLAWS)('a detector that %s', (_what, rejectedBy, make) => {
    const checks = DETECTOR_CHECKS.filter(({ name }) => rejectedBy.test(name))
    expect(checks).toHaveLength(1)
    expect(failedChecks(make, expectations, checks)).toHaveLength(1)
  })

  test('and nothing of the detector from which they are made', () => {
    expect(failedChecks(flawed(Flawed), expectations)).toEqual([])
  })

  test('each check rejects at least one', () => {
    const idle = DETECTOR_CHECKS.filter(({ name }) => !FLAWS.some(([, rejectedBy]) => rejectedBy.test(name))).map(({ name }) => name)
    expect(idle).toEqual([])
  })
})
