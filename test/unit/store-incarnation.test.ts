/**
 * Rule R3: a store whose directory is a copy of another's, or was restored from an older state, does not get in.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startNode } from '../../store/index.ts'

test('R3: a directory that was restored from an older copy is refused, with the reason', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'coterie-incarnation-'))
  const path = (name: string): string => join(directory, name)
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const nodes = [await startNode({ directory: path('0'), found: true, expect: 4, partitions: 16 }, { log })]
  const options = { seeds: [nodes[0]!.address] }
  try {
    nodes.push(...await Promise.all(['1', '2', '3'].map(name => startNode({ ...options, directory: path(name) }, { log }))))
    // The backup: the directory after the first run. The second run raises the incarnation.
    await nodes[3]!.leave()
    cpSync(path('3'), path('backup'), { recursive: true })
    nodes[3] = await startNode({ ...options, directory: path('3') }, { log })
    await nodes[3].leave()
    // However often it tries.
    for (let attempt = 0; attempt < 3; attempt++) {
      await expect(startNode({ ...options, directory: path('backup') }, { log })).rejects.toMatchObject({
        code: 'MEMBERSHIP_JOIN_REFUSED', message: expect.stringContaining('incarnation') as string
      })
    }
    // The newer directory itself still gets in.
    nodes[3] = await startNode({ ...options, directory: path('3') }, { log })
  } finally {
    await Promise.all(nodes.map(node => node.close()))
    rmSync(directory, { recursive: true })
  }
})
