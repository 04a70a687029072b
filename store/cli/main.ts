#!/usr/bin/env node
/**
 * The executable `coterie`: connects one command line to this process.
 *
 * Owns: the process's streams, its signals and its exit code.
 */
import { StoreError } from '../errors.ts'
import { EXIT, type Terminal } from './command.ts'
import { run } from './run.ts'

let interruption: AbortController | undefined

function catchSignals (): AbortSignal {
  if (interruption !== undefined) return interruption.signal
  const { signal } = interruption = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      // Who asks twice does not want to wait for a clean end.
      if (signal.aborted) process.exit(EXIT.failed)
      interruption!.abort(new StoreError('STORE_ABORTED', `interrupted by ${name}`))
    })
  }
  return signal
}

async function readInput (bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new StoreError('STORE_INVALID_VALUE', `standard input has more than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const terminal: Terminal = {
  out: line => { process.stdout.write(`${line}\n`) },
  write: bytes => { process.stdout.write(bytes) },
  error: line => { process.stderr.write(`${line}\n`) },
  input: readInput,
  interruption: catchSignals
}

// A reader that has seen enough, as in `coterie status | head`, closes the pipe: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => { process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed) })

process.exitCode = await run(process.argv.slice(2), terminal)
