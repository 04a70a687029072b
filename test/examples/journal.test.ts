/**
 * The judge of the main job: what it calls right, lost and wrong. If it were lenient, nothing that the job reports would mean anything.
 */
import { describe, expect, test } from 'vitest'
import { Journal } from '../../examples/hundred-nodes/journal.ts'

function written (journal: Journal, key = 'k'): string {
  const write = journal.write(key)
  write.acknowledged()
  return write.value
}

describe('Journal', () => {
  test('an acknowledged write must be read, and nothing older', () => {
    const journal = new Journal()
    const first = written(journal)
    expect(journal.read('k')(first)).toBe('right')
    const second = written(journal)
    expect(journal.read('k')(second)).toBe('right')
    expect(journal.read('k')(first)).toBe('lost')
    expect(journal.read('k')(undefined)).toBe('lost')
  })

  test('a read that overlaps a write may return either value', () => {
    const journal = new Journal()
    const first = written(journal)
    const judges = [journal.read('k'), journal.read('k')]
    const second = written(journal)
    expect(judges[0]!(first)).toBe('right')
    expect(judges[1]!(second)).toBe('right')
  })

  test('reads do not go back: what one has returned, the next must not miss', () => {
    const journal = new Journal()
    const first = written(journal)
    const second = journal.write('k')
    expect(journal.read('k')(second.value)).toBe('right')
    expect(journal.read('k')(first)).toBe('lost')
  })

  test('a write that failed for certain is never seen; one of which nobody knows may be, at any time', () => {
    const journal = new Journal()
    const refused = journal.write('k')
    refused.failed(true)
    expect(journal.read('k')(refused.value)).toBe('wrong')
    const unknown = journal.write('k')
    unknown.failed(false)
    const last = written(journal)
    expect(journal.read('k')(last)).toBe('right')
    expect(journal.read('k')(unknown.value)).toBe('right')
  })

  test('a value that nobody wrote to this key is wrong', () => {
    const journal = new Journal()
    const other = written(journal, 'other')
    const value = written(journal)
    expect(journal.read('k')(other)).toBe('wrong')
    expect(journal.read('k')(value.replace('#1#', '#2#'))).toBe('wrong')
    expect(journal.read('k')('anything')).toBe('wrong')
    expect(journal.read('never written')(undefined)).toBe('right')
  })

  test('refuses two writes of one key at once', () => {
    const journal = new Journal()
    journal.write('k')
    expect(() => journal.write('k')).toThrow('two writers')
  })
})
