/**
 * The main job: a cluster of a hundred nodes on this machine, formed, loaded, grown and broken, with every claim checked on the way.
 *
 * Exit codes: 0 when everything held, 1 when something did not, 2 for a wrong command line, 128 + n when ended by signal n.
 * Whatever it started is gone when it ends, however it ends.
 */
import type { Log } from 'coterie/membership'
import { setMaxListeners } from 'node:events'
import { constants } from 'node:os'
import { inspect } from 'node:util'
import { Cluster } from './cluster.ts'
import { Journal } from './journal.ts'
import { localNodes } from './local-node.ts'
import { HELP, type Options, parseOptions, UsageError } from './options.ts'
import { change, form, type JobContext, load, openClient } from './phases.ts'
import { processNodes } from './process-node.ts'
import { Progress } from './progress.ts'
import { formatSummary, sameConfigurations, type Summary, summarize, WHERE_NEXT } from './summary.ts'

/** A signal ended the job. */
class Interrupted extends Error {
  readonly exitCode: number

  constructor (signal: 'SIGINT' | 'SIGTERM') {
    super(`ended by ${signal}`)
    this.exitCode = 128 + constants.signals[signal]
  }
}

function readOptions (): Options | undefined {
  try {
    const options = parseOptions(process.argv.slice(2))
    if (options === undefined) process.stdout.write(HELP)
    return options
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n\n${HELP}`)
    process.exitCode = 2
    return undefined
  }
}

async function run (context: JobContext): Promise<Summary> {
  const { options, cluster } = context
  const startMs = performance.now()
  const formation = await form(context)
  const client = await openClient(context)
  const closeClient = (): void => { void client.close() }
  context.signal.addEventListener('abort', closeClient, { once: true })
  try {
    const loaded = await load(context, client)
    const join = await change(context, client, 'join', options.join)
    const crash = await change(context, client, 'crash', options.crash)
    return summarize({
      nodes: options.nodes, formation, load: loaded, join, crash,
      sameConfigurationsEverywhere: sameConfigurations(cluster), totalMs: Math.round(performance.now() - startMs)
    })
  } finally {
    await client.close()
  }
}

/** Warnings are a matter of course where nodes crash; what a node reports as an error is shown in any case. */
function nodeLog ({ verbose }: Options, progress: Progress): Log | undefined {
  if (verbose) return undefined
  return { debug () {}, info () {}, warn () {}, error: (fields, message) => { progress.say(`${message}: ${inspect(fields)}`) } }
}

async function main (options: Options): Promise<void> {
  const progress = new Progress(options.json ? process.stderr : process.stdout)
  const abort = new AbortController()
  // Every node that starts listens to it.
  setMaxListeners(0, abort.signal)
  const interrupt = (signal: 'SIGINT' | 'SIGTERM'): void => {
    const interrupted = new Interrupted(signal)
    // Asked twice, it waits for nothing any more; the last resort below still runs.
    if (abort.signal.aborted) process.exit(interrupted.exitCode)
    abort.abort(interrupted)
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)

  const create = options.processes ? processNodes(options.verbose) : localNodes(nodeLog(options, progress))
  const cluster = await Cluster.prepare({ create, signal: abort.signal }, options)
  const lastResort = (): void => { cluster.abandon() }
  process.on('exit', lastResort)
  let result: Summary | { readonly ok: false, readonly problems: readonly string[] }
  try {
    const interrupted = new Promise<never>((_resolve, reject) => {
      abort.signal.addEventListener('abort', () => { reject(abort.signal.reason as Error) }, { once: true })
    })
    const context = { options, cluster, journal: new Journal(), progress, signal: abort.signal }
    const summary = await Promise.race([run(context), interrupted])
    progress.print(formatSummary(summary, cluster.live.length))
    progress.print(WHERE_NEXT)
    process.exitCode = summary.ok ? 0 : 1
    result = summary
  } catch (error) {
    const problem = abort.signal.aborted ? abort.signal.reason as unknown : error
    const text = problem instanceof Interrupted ? problem.message : inspect(problem)
    progress.say(text)
    process.exitCode = problem instanceof Interrupted ? problem.exitCode : 1
    result = { ok: false, problems: [text] }
    // Whatever is still under way, the client included, ends now.
    abort.abort(problem)
  }
  await cluster.close()
  process.off('exit', lastResort)
  progress.close()
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`)
}

const options = readOptions()
if (options !== undefined) await main(options)
