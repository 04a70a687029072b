/**
 * Text in columns.
 *
 * Pure.
 */

/** The lines of a table, as wide as its widest cells; missing cells are empty. */
export function table (head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map(row => row[column]?.length ?? 0)))
  return all.map(row => widths.map((width, column) => (row[column] ?? '').padEnd(width)).join('  ').trimEnd())
}
