/**
 * Options of a membership: defaults, presets, and what is refused.
 *
 * Mutations that were tried and are caught here: ignoring unknown options; applying the preset over what the user gave.
 */
import { describe, expect, test } from 'vitest'
import { resolveOptions, type MembershipOptions } from '../../../membership/options.ts'
import { LAN, TEST, WAN } from '../../../membership/tuning.ts'

const minimal: MembershipOptions = { clusterName: 'test', seeds: ['10.0.0.1:7000'] }

describe('options', () => {
  test('defaults are those of the lan preset, and the presets are frozen', () => {
    expect(resolveOptions(minimal)).toMatchObject(LAN)
    expect(resolveOptions({ ...minimal, preset: 'wan' })).toMatchObject(WAN)
    for (const preset of [LAN, WAN, TEST]) expect(Object.isFrozen(preset)).toBe(true)
  })

  test('what the user gives wins over the preset', () => {
    expect(resolveOptions({ ...minimal, preset: 'test', probeIntervalMs: 77 }).probeIntervalMs).toBe(77)
  })

  const refused: [string, Record<string, unknown>][] = [
    ['an unknown option', { probeInterval: 5 }],
    ['an empty name', { clusterName: '' }],
    ['no seeds without founding', { seeds: [] }],
    ['a seed without a port', { seeds: ['localhost'] }],
    ['an unknown preset', { preset: 'moon' }],
    ['H above K', { highWatermark: 11 }],
    ['L above H', { lowWatermark: 10 }],
    ['a negative time', { batchWindowMs: -1 }],
    ['a fraction of a ring', { ringCount: 4.5 }],
    ['expect at a joiner', { expect: 3 }],
    ['a setting that is no scalar', { settings: { a: {} } }],
    ['a weight beyond its range', { metadata: { weight: 1001 } }],
    ['unknown metadata', { metadata: { rack: 'a' } }],
    ['a fractional incarnation', { incarnation: 1.5 }]
  ]
  for (const [what, options] of refused) {
    test(`${what} is refused`, () => {
      expect(() => resolveOptions({ ...minimal, ...options } as MembershipOptions)).toThrow(expect.objectContaining({ code: 'MEMBERSHIP_INVALID_OPTIONS' }))
    })
  }
})
