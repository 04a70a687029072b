/** The rows that the membership benchmark prints, and how several runs become one number. Pure. */

export interface Row {
  readonly scenario: 'formation' | 'crash' | 'flipFlop' | 'packetLoss' | 'bandwidth' | 'conflict' | 'broadcast'
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

const DECIMALS = 1000

export const rounded = (value: number): number => Math.round(value * DECIMALS) / DECIMALS

export function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The value below which a share of ascending values lies. */
export function quantile (ascending: Float64Array, share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? 0
}

export function mean (values: Float64Array): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
}

/** The numbers that sum up the runs of one measure. */
export function summary (values: readonly number[]): Pick<Row, 'ours' | 'worst' | 'runs'> {
  return { ours: rounded(median(values)), worst: rounded(Math.max(...values)), runs: values.length }
}
