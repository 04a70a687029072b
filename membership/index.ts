/** The public face of membership: who is in the cluster. See README.md. */
export { Membership } from './membership.ts'
export { type LeaveOptions, type MembershipComponents } from './membership-components.ts'
export { type MembershipEvents } from './membership-events.ts'
export { type MembershipOptions } from './options.ts'
export { LAN, PRESETS, TEST, WAN, type MembershipTuning } from './tuning.ts'
export { type MembershipStatus } from './effects.ts'
export { formatMetrics, type FormatMetricsOptions, type MembershipCounters, type MembershipGauges, type MembershipMetrics } from './metrics.ts'
export { formatExplanation, type Explanation, type ViewChange } from './view-change.ts'
export {
  cutDigest, foundingConfiguration, isVoter, memberIndex, nextConfiguration, normalizeCut, roleOf,
  type ClusterId, type Configuration, type ConfigurationId, type Cut, type CutDigest, type Member, type MemberId, type Metadata, type Role,
  type Settings, type StoreId, type Update
} from './configuration.ts'
export { type Fold } from './fold.ts'
export { MembershipError, TransportError, type MembershipErrorCode, type TransportErrorCode } from './errors.ts'
export {
  CHANNELS, type Address, type CancelTimer, type Channel, type Clock, type Database, type Environment, type LinkEvent, type Log, type Random,
  type Remote, type StorageFactory, type Transport
} from './environment/environment.ts'
export { createJsonLog, createSystemClock, createSystemRandom, silentLog } from './environment/system.ts'
export { createWebSocketTransport, type WebSocketTransport } from './transport/websocket.ts'
export { type WebSocketTransportOptions } from './transport/websocket-options.ts'
export { type TransportTraffic } from './transport/connection.ts'
export { type TransportTls } from './transport/tls.ts'
export { createMemoryHub, type MemoryHub, type MemoryTransport } from './transport/memory.ts'
export { type Detector, type DetectorFactory, type LinkEvidence } from './detector/detector.ts'
export { HardEvidence } from './detector/hard-evidence.ts'
export { LocalClock } from './local-clock.ts'
export { WindowedPing, windowedPing } from './detector/windowed-ping.ts'
export { PhiAccrual, phiAccrual } from './detector/phi-accrual.ts'
export { type PhiAccrualOptions } from './detector/phi-accrual-options.ts'
export { StandIn, type StandInComponents, type StandInOptions } from './detector/stand-in.ts'
export { UnicastBroadcaster, unicastToAll, type Broadcaster, type BroadcasterFactory, type BroadcastMessage } from './broadcaster.ts'
export { gossip, GossipBroadcaster } from './gossip-broadcaster.ts'
export { View } from './view.ts'
export { Overlay } from './overlay.ts'
export { CutDetector, type CutDetectorOptions, type TallyExplanation } from './cut-detector.ts'
export { Consensus, type ConsensusOptions, type Decision } from './consensus.ts'
export { classicQuorum, fastQuorum } from './quorum.ts'
