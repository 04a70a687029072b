/**
 * Leaving: in which order, once, what can be asked for meanwhile, and what is left when it fails.
 *
 * Mutations caught: leaving although the drain failed; closing a node that stays; a second call that closes the node under the first; asking to
 * hurry without any effect; a failure that nobody is told of; listeners, or what AbortSignal.any leaves, on a caller's signal.
 */
import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { silentLog } from '../../../membership/environment/system.ts'
import { Departure, type DepartureComponents } from '../../../store/departure.ts'
import { StoreError } from '../../../store/errors.ts'

interface Bench {
  readonly departure: Departure
  /** What happened, in order. */
  readonly calls: string[]
  /** Ends the drain that is waited for, and the leaving. */
  drained: (error?: Error) => void
  gone: (error?: Error) => void
}

function bench (): Bench {
  const calls: string[] = []
  const ending = (resolve: () => void, reject: (error: Error) => void) => (error?: Error): void => {
    if (error === undefined) resolve()
    else reject(error)
  }
  const made: Bench = {
    calls,
    drained: () => {},
    gone: () => {},
    departure: new Departure({
      log: silentLog,
      drain: {
        beforeLeaving: ({ signal }) => new Promise((resolve, reject) => {
          calls.push('drain')
          made.drained = ending(resolve, reject)
          signal!.addEventListener('abort', () => { reject(new StoreError('STORE_ABORTED', 'aborted', { cause: signal!.reason })) })
        })
      },
      membership: {
        leave: () => new Promise<void>((resolve, reject) => { calls.push('leave'); made.gone = ending(resolve, reject) })
      } as DepartureComponents['membership'],
      left: () => { calls.push('left') },
      close: () => { calls.push('close'); return Promise.resolve() },
      failed: ({ message }) => { calls.push(`failed: ${message}`) }
    })
  }
  return made
}

/** Lets everything happen that waits for nothing outside. */
const settled = async (): Promise<void> => { for (let turn = 0; turn < 10; turn++) await Promise.resolve() }

test('it drains, leaves, says so, and closes; again, it has left', async () => {
  const made = bench()
  expect(made.departure.status).toBeUndefined()
  const done = made.departure.leave('drained')
  expect([made.departure.status, made.calls]).toEqual([{ state: 'draining' }, ['drain']])
  made.drained()
  await settled()
  expect([made.departure.status, made.calls]).toEqual([{ state: 'leaving' }, ['drain', 'leave']])
  made.gone()
  await done
  expect(made.calls).toEqual(['drain', 'leave', 'left', 'close'])
  await made.departure.leave('now')
  expect(made.calls).toHaveLength(4)
})

test('a drain that fails leaves the node running, and it may be asked again', async () => {
  const made = bench()
  const failed = expect(made.departure.leave('drained')).rejects.toMatchObject({ code: 'STORE_TOO_FEW_STORES' })
  made.drained(new StoreError('STORE_TOO_FEW_STORES', 'too few'))
  await failed
  expect([made.departure.status, made.calls]).toEqual([{ state: 'failed', code: 'STORE_TOO_FEW_STORES', message: 'too few' }, ['drain']])
  made.departure.request('drained')
  expect(made.departure.status).toEqual({ state: 'draining' })
  made.drained(new StoreError('STORE_ABORTED', 'taken back'))
  await settled()
  // Over the wire nobody waits: the status tells.
  expect([made.departure.status, made.calls]).toEqual([{ state: 'failed', code: 'STORE_ABORTED', message: 'taken back' }, ['drain', 'drain']])
})

test('while it drains it can be hastened; another call is refused and closes nothing', async () => {
  const made = bench()
  const done = made.departure.leave('drained')
  made.departure.request('drained')
  await expect(made.departure.leave('drained')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  await settled()
  expect(made.calls).toEqual(['drain'])
  made.departure.request('now')
  await settled()
  expect([made.departure.status, made.calls]).toEqual([{ state: 'leaving' }, ['drain', 'leave']])
  made.departure.request('now')
  made.gone()
  await done
  expect(made.calls).toEqual(['drain', 'leave', 'left', 'close'])
})

test('a caller that gives up ends the drain, not the node', async () => {
  const made = bench()
  const caller = new AbortController()
  const failed = expect(made.departure.leave('drained', { signal: caller.signal })).rejects.toMatchObject({ code: 'STORE_ABORTED' })
  expect(getEventListeners(caller.signal, 'abort')).toHaveLength(1)
  caller.abort()
  await failed
  expect(getEventListeners(caller.signal, 'abort')).toEqual([])
  expect([made.departure.status?.state, made.calls]).toEqual(['failed', ['drain']])
})

test('one that the others do not confirm is closed all the same, and somebody hears of it', async () => {
  for (const asked of ['call', 'wire']) {
    const made = bench()
    const error = new Error('timeout')
    const outcome = asked === 'call' ? expect(made.departure.leave('now')).rejects.toBe(error) : made.departure.request('now')
    made.gone(error)
    await outcome
    await settled()
    expect(made.calls).toEqual(['leave', 'close', ...asked === 'call' ? [] : ['failed: timeout']])
  }
})
