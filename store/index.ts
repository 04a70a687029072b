/** The public face of the store: nodes that hold data, and the client that reads and writes it. See README.md. */
export { createNode, type KillableNode, levelStorage, type NodeParts, startNode } from './start-node.ts'
export { type NodeComponents, type NodeEvents, type Rebalance, StoreNode } from './node.ts'
export { type NodeOptions, REPLICATION_DEFAULTS } from './options.ts'
export { type DrainOptions, type DrainStatus } from './drain.ts'
export { type NodeStatus, type RebalanceStatus } from './node-status.ts'
export { type AgreedState, createAgreedStateFold, decodeAgreedState, type StoreSettings } from './agreed-state.ts'
export { Client, type ClientBatchOperation, type ClientComponents, type ClientOptions, connect, type ConnectOptions, type VersionedEntry,
  type WatchOptions } from './client/client.ts'
export { type CallOptions, type Consistency, type DelConditions, type PutConditions, type ReadOptions } from './client/options.ts'
export { type WatchEvent, type Watcher } from './client/watcher.ts'
export { type ClusterView, type Operation, type OperationId, WIRE_LIMITS } from './client-protocol.ts'
export { STORE_ERROR_CODES, StoreError, type StoreErrorCode } from './errors.ts'
