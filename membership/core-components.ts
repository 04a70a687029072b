/** What one run of a process as a member is made of: who it is, how it is tuned, and the parts that a user may replace. */
import type { BroadcasterFactory } from './broadcaster.ts'
import type { Member } from './configuration.ts'
import type { DetectorFactory } from './detector/detector.ts'
import type { Fold } from './fold.ts'
import type { ResolvedOptions } from './options.ts'

export interface CoreComponents<State> {
  readonly self: Member
  readonly options: ResolvedOptions
  readonly fold: Fold<State> | undefined
  readonly detector: DetectorFactory
  readonly broadcaster: BroadcasterFactory
}
