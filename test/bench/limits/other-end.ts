/** The process at the other end of a measurement: one of the built programs of this folder. */
import { type ChildProcess, fork } from 'node:child_process'

export interface OtherEnd<Where> {
  /** What it said when it was ready: where it listens. */
  readonly where: Where
  stop (): void
}

/** @throws {Error} when it ends before it is ready. Tests run the sources, and Node.js 20 cannot, so that it takes what was built. */
export async function startOtherEnd<Where> (program: 'echo-process' | 'ws-echo-process'): Promise<OtherEnd<Where>> {
  const folder = import.meta.url.endsWith('.ts') ? '../../../dist/test/bench/limits' : '.'
  const child: ChildProcess = fork(new URL(`${folder}/${program}.js`, import.meta.url))
  const where = await new Promise<Where>((resolve, reject) => {
    child.once('message', message => { resolve(message as Where) })
    child.once('error', reject)
    child.once('exit', code => { reject(new Error(`${program} ended with ${code} before it was ready`)) })
  })
  return { where, stop: () => { child.kill() } }
}
