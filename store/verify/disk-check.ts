/**
 * Looks at the disks of a cluster of processes whose nodes have ended: opens every directory, and compares all replicas.
 *
 * Owns the databases, which are closed when it returns.
 */
import { StoreError } from '../errors.ts'
import type { ProcessCluster } from './process-cluster.ts'
import { type ComparedNode, compareReplicas, type ReplicaComparison } from './replica-comparison.ts'
import { StoppedDirectory } from './stopped-directory.ts'

/** @param nodes by index, all of which have ended: the members, and those that have left in order */
export async function checkDisks (cluster: Pick<ProcessCluster, 'directory'>, nodes: readonly number[], partitions: number): Promise<ReplicaComparison> {
  const opened: ComparedNode[] = []
  const problems: string[] = []
  try {
    for (const index of nodes) {
      try {
        opened.push({ name: `node ${index}`, directory: await StoppedDirectory.open(cluster.directory(index)) })
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        problems.push(`node ${index}: ${error.code}: ${error.message}`)
      }
    }
    const compared = await compareReplicas(opened, partitions)
    return { ...compared, problems: [...problems, ...compared.problems] }
  } finally {
    for (const { directory } of opened) await directory.close()
  }
}
