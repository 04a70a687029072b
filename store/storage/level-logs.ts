/**
 * Syncs the logs of a LevelDB directory, beside LevelDB.
 *
 * Its own sync covers the log that it is writing. When that is full it begins another, and does not sync the old one, whose content is durable
 * only once it has become a table. So after batches without sync, a synced one can survive a loss of power that some before it do not. fsync
 * works on a file, whoever has it open, so that syncing all logs first closes the gap.
 *
 * Owns nothing.
 */
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Resolves when everything that was written to the logs before the call is durable. */
export async function syncLevelLogs (directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.log')) continue
    let file
    try {
      file = await open(join(directory, name), 'r')
    } catch (error) {
      // It has become a table, which is synced before its log goes.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
      throw error
    }
    try {
      await file.datasync()
    } finally {
      await file.close()
    }
  }
}
