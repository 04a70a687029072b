/**
 * Another storage: three nodes that keep their data in memory instead of LevelDB.
 *
 * Any abstract-level database will do; a node gets it from one function, `storage(directory)`. The same directory must give
 * the same data, which is why the databases below are remembered: that makes a node that stops and starts again find
 * what it had, as it would on a disk.
 *
 * Run it: npm run example -- alternate-storage
 */
import { connect, type KillableNode, type NodeOptions, startNode } from 'coterie'
import type { Database, StorageFactory } from 'coterie/membership'
import { MemoryLevel } from 'memory-level'

function memoryStorage (): StorageFactory {
  const databases = new Map<string, Database>()
  return directory => {
    let database = databases.get(directory)
    if (database === undefined) {
      // A node's keys and values are bytes. The cast says what the options say: MemoryLevel's type knows only its defaults.
      database = new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
      databases.set(directory, database)
    }
    return database
  }
}

const storage = memoryStorage()
const options = (name: string): NodeOptions => ({ directory: name, clusterName: 'alternate-storage', partitions: 16, membership: { preset: 'test' } })
const nodes: KillableNode[] = []

async function main (): Promise<void> {
  const first = await startNode({ ...options('a'), found: true }, { storage })
  nodes.push(first)
  const seeds = [first.address]
  nodes.push(await startNode({ ...options('b'), seeds }, { storage }), await startNode({ ...options('c'), seeds }, { storage }))
  console.log(`three nodes keep their data in memory: ${nodes.map(node => node.address).join(', ')}`)

  const db = await connect(seeds)
  try {
    await db.batch(Array.from({ length: 100 }, (_, index) => ({ type: 'put', key: `key ${index}`, value: `value ${index}` })))
    console.log('wrote 100 keys')

    const last = nodes.pop()!
    await last.close()
    await db.put('key 7', 'written while c was away')
    console.log('stopped c, and wrote one of the keys again')

    const again = await startNode({ ...options('c'), seeds }, { storage })
    nodes.push(again)
    console.log(`started c again: ${again.storeId === last.storeId ? 'its directory still gives the same store' : 'IT LOST ITS STORE'}`)

    const values = await db.getMany(Array.from({ length: 100 }, (_, index) => `key ${index}`))
    const right = values.filter((value, index) => value === (index === 7 ? 'written while c was away' : `value ${index}`)).length
    console.log(`read ${right} of 100 keys as they should be`)
    if (right !== 100 || again.storeId !== last.storeId) process.exitCode = 1
  } finally {
    await db.close()
  }
}

try {
  await main()
} finally {
  await Promise.all(nodes.map(node => node.close()))
}
