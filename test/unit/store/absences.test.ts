/** Since when stores are gone, as each process counts it by itself. */
import { describe, expect, test } from 'vitest'
import type { StoreId } from '../../../membership/configuration.ts'
import { Absences } from '../../../store/absences.ts'

const GRACE_MS = 1000
const departures = (stores: Record<string, number>): ReadonlyMap<StoreId, number> => new Map(Object.entries(stores) as [StoreId, number][])
const since = (absences: ReadonlyMap<StoreId, { since: number }>): Record<string, number> =>
  Object.fromEntries([...absences].map(([store, absence]) => [store, absence.since]))

describe('the absence of a store', () => {
  test('counts from the configuration without it, and is not begun anew by later ones', () => {
    const absences = new Absences(GRACE_MS)
    absences.changeView(0, 1, departures({}))
    expect(since(absences.changeView(500, 2, departures({ A: 2 })))).toEqual({ A: 500 })
    expect(since(absences.changeView(900, 3, departures({ A: 2, B: 3 })))).toEqual({ A: 500, B: 900 })
    expect(since(absences.changeView(1400, 4, departures({ A: 2, B: 3 })))).toEqual({ A: 500, B: 900 })
  })

  test('is forgotten after the grace, and stays forgotten', () => {
    const absences = new Absences(GRACE_MS)
    absences.changeView(0, 1, departures({ A: 1 }))
    for (let epoch = 2; epoch < 50; epoch++) {
      const known = since(absences.changeView(300 * (epoch - 1), epoch, departures({ A: 1 })))
      expect(known, `epoch ${epoch}`).toEqual(300 * (epoch - 1) <= GRACE_MS ? { A: 0 } : {})
    }
  })

  test('counts anew when the store came back and went again', () => {
    const absences = new Absences(GRACE_MS)
    absences.changeView(0, 1, departures({}))
    absences.changeView(100, 2, departures({ A: 2 }))
    absences.changeView(200, 3, departures({}))
    expect(since(absences.changeView(300, 4, departures({ A: 4 })))).toEqual({ A: 300 })
  })

  test('counts from the start of this process, or from the first configuration after a gap', () => {
    const absences = new Absences(GRACE_MS)
    expect(since(absences.changeView(100, 9, departures({ A: 5 })))).toEqual({ A: 100 })
    expect(since(absences.changeView(200, 14, departures({ A: 5, B: 12 })))).toEqual({ A: 100, B: 200 })
  })

  test('of more configurations than are remembered within a grace, the oldest count as long ago', () => {
    const absences = new Absences(GRACE_MS)
    absences.changeView(0, 1, departures({ A: 1 }))
    for (let epoch = 2; epoch <= 1024; epoch++) absences.changeView(1, epoch, departures({ A: 1 }))
    expect(since(absences.changeView(2, 1025, departures({ A: 1, B: 2 })))).toEqual({ B: 1 })
  })
})
