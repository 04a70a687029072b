/**
 * Metrics: what a process knows about its own part in the cluster, in numbers, for those who operate it.
 *
 * `Membership.metrics()` gives them as plain data; `formatMetrics` writes that in the text format of Prometheus.
 *
 * Pure.
 */
import type { Counters } from './counters.ts'
import { MembershipError } from './errors.ts'
import type { TransportTraffic } from './transport/connection.ts'

/** Numbers that only rise, until the process ends. */
export type MembershipCounters = { readonly [Name in keyof Counters]: Counters[Name] extends number ? number : Readonly<Counters[Name]> }

/** Numbers as they are now. 0 while there is nothing to count. */
export interface MembershipGauges {
  /** Of the last configuration that took effect here. */
  readonly epoch: number
  /** Members of that configuration. */
  readonly members: number
  /** Those of them that vote. */
  readonly voters: number
  /** 1 while this process is a member, isolated or not. */
  readonly isMember: number
  /** 1 while a majority is out of reach. */
  readonly isIsolated: number
  /** Members that this process observes. */
  readonly edges: number
  /** Of these, those that the latest evidence speaks against. */
  readonly edgesFailing: number
  /** Of these, those with a verdict against them. */
  readonly edgesFaulty: number
  /** Connections that are open, those of clients included. */
  readonly linksOpen: number
}

export interface MembershipMetrics {
  readonly counters: MembershipCounters
  readonly gauges: MembershipGauges
}

export interface FormatMetricsOptions {
  /** Added to each sample, such as the name of the process. @default {} */
  readonly labels?: Readonly<Record<string, string>>
  /** The traffic of the process's transport, of all channels, to be written as well. @default none */
  readonly traffic?: TransportTraffic
}

/** A copy that nobody can change. */
export function frozenMetrics (counters: Counters, gauges: MembershipGauges): MembershipMetrics {
  const copies = Object.entries({ ...counters }).map(([name, value]) => [name, typeof value === 'number' ? value : Object.freeze({ ...value })])
  return Object.freeze({ counters: Object.freeze(Object.fromEntries(copies) as MembershipCounters), gauges: Object.freeze({ ...gauges }) })
}

/** What the parts of a counter stand for. */
const LABELS: Readonly<Record<keyof { [Name in keyof Counters as Counters[Name] extends number ? never : Name]: Name }, string>> = {
  viewChanges: 'way', alertsMade: 'status', alertsHeard: 'status', joinsRefused: 'reason', messagesSent: 'kind', messagesReceived: 'kind', links: 'event'
}

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
const quoted = (text: string): string => text.replace(/[\\"\n]/g, character => character === '\n' ? '\\n' : `\\${character}`)

/**
 * Metrics in the text format of Prometheus, version 0.0.4: `coterie_membership_view_changes_total{way="fast"} 3`, with times in
 * seconds. Serve it as `text/plain; version=0.0.4`.
 * @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS for a label whose name is none
 */
export function formatMetrics ({ counters, gauges }: MembershipMetrics, { labels = {}, traffic }: FormatMetricsOptions = {}): string {
  const wrong = Object.keys(labels).find(name => !/^[a-zA-Z_]\w*$/.test(name))
  if (wrong !== undefined) {
    throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', `The name of a label is letters, digits and underscores, not ${JSON.stringify(wrong)}.`)
  }
  const lines: string[] = []
  const write = (name: string, type: 'counter' | 'gauge', samples: readonly Sample[]): void => {
    lines.push(`# TYPE ${name} ${type}`)
    for (const [own, value] of samples) {
      const all = Object.entries({ ...labels, ...own }).map(([label, text]) => `${label}="${quoted(text)}"`)
      lines.push(`${name}${all.length === 0 ? '' : `{${all.join()}}`} ${value}`)
    }
  }
  const split = (values: Readonly<Record<string, number>>, label: string): Sample[] => {
    return Object.entries(values).map(([key, value]) => [{ [label]: key }, value])
  }
  for (const [name, value] of Object.entries(counters)) {
    if (typeof value !== 'number') write(`coterie_membership_${snakeCase(name)}_total`, 'counter', split(value, LABELS[name as keyof typeof LABELS]))
    else if (name.endsWith('Ms')) write(`coterie_membership_${snakeCase(name.slice(0, -2))}_seconds_total`, 'counter', [[{}, value / 1000]])
    else write(`coterie_membership_${snakeCase(name)}_total`, 'counter', [[{}, value]])
  }
  for (const [name, value] of Object.entries(gauges)) write(`coterie_membership_${snakeCase(name)}`, 'gauge', [[{}, value as number]])
  for (const unit of traffic === undefined ? [] : ['messages', 'frames', 'bytes'] as const) {
    write(`coterie_transport_${unit}_total`, 'counter', split({ sent: traffic!.sent[unit], received: traffic!.received[unit] }, 'direction'))
  }
  return `${lines.join('\n')}\n`
}
