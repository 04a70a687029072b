/**
 * What scans and leaving listen to, counted: the signals of a client and of its callers live longer, and must not keep anything of them.
 *
 * Mutations caught: AbortSignal.any in its place; sources that are listened to from the beginning, or on after the end, of what is
 * under way; a second page that ends the listening of the first; a source that was aborted before it was listened to;
 * a limit on how many may listen at once.
 */
import { getEventListeners } from 'node:events'
import { describe, expect, test, vi } from 'vitest'
import { type ScanComponents, scanRange } from '../../store/client/range-scan.ts'
import { JointSignal } from '../../store/joint-signal.ts'

const listeners = (...signals: AbortSignal[]): number[] => signals.map(signal => getEventListeners(signal, 'abort').length)

describe('a joint signal', () => {
  test('listens to its sources exactly while something is under way', async () => {
    const sources = [new AbortController().signal, new AbortController().signal]
    const joint = new JointSignal(sources)
    expect(listeners(...sources)).toEqual([0, 0])
    const ends: (() => void)[] = []
    const under = [0, 1].map(() => joint.during(() => new Promise<void>(resolve => { ends.push(resolve) })))
    expect(listeners(...sources)).toEqual([1, 1])
    ends[1]!()
    await under[1]
    expect(listeners(...sources)).toEqual([1, 1])
    ends[0]!()
    await under[0]
    expect(listeners(...sources)).toEqual([0, 0])
    await expect(joint.during(() => Promise.reject(new Error('a page that failed')))).rejects.toThrow('a page that failed')
    expect(listeners(...sources)).toEqual([0, 0])
  })

  test.each(['first', 'second'] as const)('is aborted with the %s of its sources, for its reason, also where that was before', async which => {
    const controllers = [new AbortController(), new AbortController()]
    const sources = controllers.map(({ signal }) => signal)
    const { abort, reason } = { abort: controllers[which === 'first' ? 0 : 1]!, reason: new Error('enough') }
    const early = new JointSignal(sources)
    const late = new JointSignal(sources)
    const told = early.during(signal => new Promise(resolve => { signal.addEventListener('abort', () => { resolve(signal.reason) }) }))
    abort.abort(reason)
    expect(early.signal.reason).toBe(reason)
    expect(await told).toBe(reason)
    expect(await late.during(signal => Promise.resolve(signal.reason as unknown))).toBe(reason)
    expect(listeners(...sources)).toEqual([0, 0])
  })
})

test('many that listen at once are no leak that Node.js warns of', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  try {
    const { signal } = new AbortController()
    await Promise.all(Array.from({ length: 50 }, () => new JointSignal([signal]).during(() => Promise.resolve())))
    expect(warned).not.toHaveBeenCalled()
  } finally {
    warned.mockRestore()
  }
})

describe('a scan', () => {
  test('leaves nothing in the signals of its client and its caller: not at its end, and not between its pages', async () => {
    const [closing, signal] = [new AbortController().signal, new AbortController().signal]
    /** Listeners at each question for a page. */
    const meanwhile: number[][] = []
    const runner = {
      router: { partitionsOf: () => [0, 1] },
      perform: async () => {
        meanwhile.push(listeners(closing, signal))
        await Promise.resolve()
        return { kind: 'page', page: { keys: [Buffer.from('k')], values: [], next: null } }
      }
    } as unknown as ScanComponents['runner']
    const scan = scanRange({ runner, closing, deadlineMs: 1000 }, { reverse: false, limit: -1, values: false, signal })
    expect(listeners(closing, signal)).toEqual([0, 0])
    expect(await scan.take(1)).toHaveLength(1)
    expect(meanwhile).toEqual([[1, 1], [1, 1]])
    expect(listeners(closing, signal)).toEqual([0, 0])
  })
})
