/**
 * How a membership is tuned: what each value means, its unit, its default, and three presets.
 *
 * Values named by Suresh et al. (USENIX ATC '18) are kept: K = 10, H = 9, L = 3, and probes judged over a window of ten with
 * four failures, and one probe per second (sections 4 and 6).
 *
 * Pure.
 */

/** Every field has a default; times are in milliseconds. */
export interface MembershipTuning {
  /** K: monitoring rings, hence at most so many observers per member. 3 to 32. @default 10 */
  readonly ringCount: number
  /** H: distinct observers of ten that make a subject stable. Scaled down where there are fewer. @default 9 */
  readonly highWatermark: number
  /** L: distinct observers of ten below which reports are noise. @default 3 */
  readonly lowWatermark: number
  /** Time between two probes of one subject. Raising it saves traffic and slows the detection of silent failures. @default 1000 */
  readonly probeIntervalMs: number
  /** Time after which an unanswered probe counts as failed, before stretching for a slow local process. @default 500 */
  readonly probeTimeoutMs: number
  /** Probes that are judged together. @default 10 */
  readonly probeWindow: number
  /** Failures within the window that make an edge faulty: 40 % of it in the paper. @default 4 */
  readonly probeFailures: number
  /** How long refusals must repeat after a connection closed before they count as a crash (rule M10). @default 500 */
  readonly refusalSpanMs: number
  /** Time between two connection attempts while refusals are being confirmed; the last one comes when the span is over. @default 250 */
  readonly refusalProbeMs: number
  /** Alerts within one window travel together; a proposal waits for one quiet window. Raising it merges more. @default 100 */
  readonly batchWindowMs: number
  /** What a member learns within one window it passes on in one frame per neighbour; windows grow to four times this. @default 50 */
  readonly gossipWindowMs: number
  /**
   * Up to so many members alerts and votes go straight to everybody, which costs a connection per pair and the fewest messages;
   * beyond, they are gossiped along the overlay. The same at every member. @default 11
   */
  readonly unicastMembersMax: number
  /** How long a tally may stay between L and H before its observers are asked to echo (rule M7). @default 2000 */
  readonly unstableTimeoutMs: number
  /** First repetition of an undecided alert; doubles up to eight times this. @default 1000 */
  readonly alertRepeatMs: number
  /** T of rule M2: after the first vote seen, a decision that does not come is recovered after this long. @default 1000 */
  readonly recoveryTimeoutMs: number
  /** d of rule M2: each next coordinator starts this much later than the one before it. @default 100 */
  readonly recoveryRankDelayMs: number
  /** First repetition of an unanswered request to join; doubles up to `joinRetryMaxMs`, with jitter. @default 50 */
  readonly joinRetryMs: number
  /** @default 1000 */
  readonly joinRetryMaxMs: number
  /** After this long without becoming a member `start()` rejects. @default 60000 */
  readonly joinTimeoutMs: number
  /** How long a founder listens for another cluster of its name among its seeds before it founds one. @default 1000 */
  readonly foundingCheckMs: number
  /** After this long the formation gate opens with those who are present. @default 30000 */
  readonly expectDeadlineMs: number
  /**
   * Once enough processes of a cluster that lost its majority are there again, this long is waited for the others, so that all
   * return in one view change (rule M4). Those that come later are members that do not answer. @default 10000
   */
  readonly restartDeadlineMs: number
  /** How long an answer to a fetch of decisions may take before another peer is asked. @default 300 */
  readonly fetchTimeoutMs: number
  /** A member that no observer probed for this long asks around whether it was removed (rule M12). @default 5000 */
  readonly quietTimeoutMs: number
  /** How long a majority must be out of reach before this process says that it is isolated. @default 1000 */
  readonly isolationTimeoutMs: number
  /**
   * The pause before a removed process joins again; doubles with each removal of the last `rejoinForgetMs`, up to
   * `rejoinDelayMaxMs`, with jitter. @default 500
   */
  readonly rejoinDelayMs: number
  /** @default 30000 */
  readonly rejoinDelayMaxMs: number
  /** How long a removal makes later pauses longer. Raising it keeps a process that flaps slowly away for longer. @default 600000 */
  readonly rejoinForgetMs: number
}

/** The defaults: hosts of one network, round trips of a few milliseconds. */
export const LAN: Readonly<MembershipTuning> = Object.freeze({
  ringCount: 10,
  highWatermark: 9,
  lowWatermark: 3,
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  probeWindow: 10,
  probeFailures: 4,
  refusalSpanMs: 500,
  refusalProbeMs: 250,
  batchWindowMs: 100,
  gossipWindowMs: 50,
  unicastMembersMax: 11,
  unstableTimeoutMs: 2000,
  alertRepeatMs: 1000,
  recoveryTimeoutMs: 1000,
  recoveryRankDelayMs: 100,
  joinRetryMs: 50,
  joinRetryMaxMs: 1000,
  joinTimeoutMs: 60_000,
  foundingCheckMs: 1000,
  expectDeadlineMs: 30_000,
  restartDeadlineMs: 10_000,
  fetchTimeoutMs: 300,
  quietTimeoutMs: 5000,
  isolationTimeoutMs: 1000,
  rejoinDelayMs: 500,
  rejoinDelayMaxMs: 30_000,
  rejoinForgetMs: 600_000
})

/** Hosts far apart: round trips of up to some hundred milliseconds, loss in bursts. */
export const WAN: Readonly<MembershipTuning> = Object.freeze({
  ...LAN,
  probeIntervalMs: 1000,
  probeTimeoutMs: 2000,
  refusalSpanMs: 2000,
  refusalProbeMs: 800,
  batchWindowMs: 400,
  gossipWindowMs: 100,
  unstableTimeoutMs: 6000,
  alertRepeatMs: 3000,
  recoveryTimeoutMs: 4000,
  recoveryRankDelayMs: 500,
  fetchTimeoutMs: 1500,
  foundingCheckMs: 3000,
  quietTimeoutMs: 15_000,
  isolationTimeoutMs: 4000
})

/** For tests on one machine, where a second is long. Too nervous for anything else. */
export const TEST: Readonly<MembershipTuning> = Object.freeze({
  ...LAN,
  probeIntervalMs: 100,
  probeTimeoutMs: 200,
  refusalSpanMs: 100,
  refusalProbeMs: 50,
  batchWindowMs: 20,
  gossipWindowMs: 10,
  unstableTimeoutMs: 500,
  alertRepeatMs: 250,
  recoveryTimeoutMs: 300,
  recoveryRankDelayMs: 30,
  joinRetryMs: 20,
  joinRetryMaxMs: 250,
  joinTimeoutMs: 20_000,
  foundingCheckMs: 200,
  restartDeadlineMs: 2000,
  fetchTimeoutMs: 100,
  quietTimeoutMs: 1500,
  isolationTimeoutMs: 400,
  rejoinDelayMs: 100,
  rejoinDelayMaxMs: 2000,
  rejoinForgetMs: 60_000
})

export const PRESETS = Object.freeze({ lan: LAN, wan: WAN, test: TEST })
