/**
 * Reports: alerts about one subject as they travel, with the subject's record once, beside all who reported it (rule M11).
 *
 * Twenty processes that join a hundred members cause two hundred alerts, each of which every member hears from several neighbours.
 * By themselves they would carry each joiner's record ten times.
 *
 * Pure.
 */
import { type Member, type MemberId } from './configuration.ts'
import { type Alert, type Report } from './messages.ts'

/** Alerts share a report when they name the same record: the same object. The order of the first alert of each is kept. */
export function reportsOf (alerts: readonly Alert[]): Report[] {
  type Growing = Omit<Report, 'observers'> & { readonly observers: MemberId[] }
  const reports: Growing[] = []
  const known = new Map<Member | MemberId, Growing[]>()
  for (const { observer, ...rest } of alerts) {
    const subject = rest.joiner ?? rest.subject!
    let same = known.get(subject)
    if (same === undefined) known.set(subject, same = [])
    const report = same.find(({ attempt }) => attempt === rest.attempt)
    if (report !== undefined) {
      report.observers.push(observer)
      continue
    }
    const fresh = { ...rest, observers: [observer] }
    same.push(fresh)
    reports.push(fresh)
  }
  return reports
}

/** The alerts of some reports; those of one report share its record. */
export function alertsOf (reports: readonly Report[]): Alert[] {
  return reports.flatMap(({ observers, ...rest }) => observers.map(observer => ({ ...rest, observer })))
}
