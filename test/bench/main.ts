/**
 * Benchmarks: `npm run bench -- NAME [--json]`. Each prints one flat object per row, units in the names of the fields.
 */
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { measureTransport } from './limits-transport.ts'
import { placementBench } from './placement.ts'

const BENCHMARKS: Readonly<Record<string, () => Promise<readonly object[]>>> = {
  placement: placementBench,
  limits: measureTransport
}

async function main (): Promise<number> {
  const { values, positionals } = parseArgs({ options: { json: { type: 'boolean', default: false } }, allowPositionals: true })
  const [name] = positionals
  const benchmark = name === undefined ? undefined : BENCHMARKS[name]
  if (name === undefined || benchmark === undefined || positionals.length > 1) {
    process.stderr.write(`usage: npm run bench -- NAME [--json], where NAME is one of ${Object.keys(BENCHMARKS).join(', ')}\n`)
    return 2
  }
  const rows = await benchmark()
  const machine = { cpus: cpus().length, memoryBytes: totalmem(), node: process.version }
  if (values.json) process.stdout.write(`${JSON.stringify({ name, machine, rows })}\n`)
  else console.table(rows)
  return 0
}

process.exitCode = await main()
