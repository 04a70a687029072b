/** The rows that the membership benchmark prints, and how several runs become one number. Pure. */
import { median, rounded } from '../samples.ts'

export interface Row {
  readonly scenario:
    'formation' | 'joins' | 'crash' | 'flipFlop' | 'packetLoss' | 'bandwidth' | 'conflict' | 'broadcast' | 'centralized' | 'small'
  readonly variant: string
  readonly nodes: number
  readonly measure: string
  /** The median of the runs. */
  readonly ours: number
  /** The largest of the runs. */
  readonly worst: number
  readonly unit: string
  readonly paper: string
  readonly runs: number
  readonly distinctSizes?: number
  readonly ms?: number
  readonly falseRemovals?: number
  /** Real time of one run. */
  readonly wallMs: number
}

/** A row with its fields in one order, so that a table of them reads from left to right. */
export function orderedRow (row: Row): Row {
  const { scenario, variant, nodes, measure, ours, worst, unit, paper, runs, wallMs, ...outcome } = row
  return { scenario, variant, nodes, measure, ours, worst, unit, paper, runs, wallMs, ...outcome }
}

/** The numbers that sum up the runs of one measure. */
export function summary (values: readonly number[]): Pick<Row, 'ours' | 'worst' | 'runs'> {
  return { ours: rounded(median(values)), worst: rounded(Math.max(...values)), runs: values.length }
}
