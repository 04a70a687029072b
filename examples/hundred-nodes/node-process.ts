/**
 * The program of one node process: runs the node that its argument describes, and tells its parent what happens there.
 *
 * It ends when its parent does, or lets go of it: nothing may outlive the main job.
 */
import { createNode } from 'coterie'
import { nodeOptions, observe } from './local-node.ts'
import type { NodeSpec } from './node-handle.ts'
import type { Command, Report } from './process-node.ts'

const tell = (report: Report): void => {
  if (process.connected) process.send!(report)
}

const node = createNode(nodeOptions(JSON.parse(process.argv[2]!) as NodeSpec))
observe(node, event => { tell({ kind: 'event', event }) })

// A terminal sends Ctrl-C to every process of the job; the parent decides what becomes of this one.
process.on('SIGINT', () => {})
process.on('disconnect', () => {
  void node.close().finally(() => { process.exit() })
})
process.on('message', (command: Command) => {
  if (command.kind === 'status') {
    tell({ kind: 'status', request: command.request, status: node.status() })
    return
  }
  node.start().then(
    () => { tell({ kind: 'started' }) },
    (error: unknown) => { tell({ kind: 'refused', message: String(error) }) }
  )
})
tell({ kind: 'prepared' })
