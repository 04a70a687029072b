/**
 * A node on this machine: the system's clock, WebSockets, LevelDB.
 *
 * Owns what it makes: the transport and the database end with the node.
 */
import { createJsonLog, createSystemClock, createSystemRandom } from '../membership/environment/system.ts'
import type { Database, Log, StorageFactory } from '../membership/environment/environment.ts'
import { StandIn } from '../membership/detector/stand-in.ts'
import { parseAddress } from '../membership/transport/address.ts'
import type { TransportTls } from '../membership/transport/tls.ts'
import { createWebSocketTransport } from '../membership/transport/websocket.ts'
import { Level } from 'level'
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { StoreError } from './errors.ts'
import { StoreNode } from './node.ts'
import type { NodeComponents } from './node-contract.ts'
import { type NodeOptions, resolveNodeOptions } from './options.ts'
import { readBootId } from './storage/boot-id.ts'
import { syncLevelLogs } from './storage/level-logs.ts'

/** LevelDB, in the directory. @throws {StoreError} STORE_DIRECTORY_INVALID when there can be no such directory */
export const levelStorage: StorageFactory = directory => {
  try {
    mkdirSync(dirname(directory), { recursive: true })
  } catch (cause) {
    throw new StoreError('STORE_DIRECTORY_INVALID', `cannot make the directory of ${directory}: ${(cause as Error).message}`, { cause })
  }
  return new Level<Uint8Array, Uint8Array>(directory, { keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database
}

export interface NodeParts extends Pick<NodeComponents, 'fold'> {
  /** Any abstract-level database over bytes. @default LevelDB */
  readonly storage?: StorageFactory
  /** @default JSON lines, warnings and errors only, to standard error */
  readonly log?: Log
  /** Speaks TLS with the other nodes and with clients, all of which need it too. @default plain TCP */
  readonly tls?: TransportTls
}

export interface KillableNode extends StoreNode {
  /** For tests of crashes within one process: every socket is destroyed and nothing more is said or written. */
  kill (): Promise<void>
}

/**
 * Makes a node; nothing happens before its `start()`.
 * @throws {StoreError} STORE_INVALID_OPTIONS
 */
export function createNode (options: NodeOptions, parts: NodeParts = {}): KillableNode {
  const { listen, advertise, standIn } = resolveNodeOptions(options)
  const port = listen.lastIndexOf(':')
  const host = listen.slice(0, port).replace(/^\[|\]$/g, '')
  const clock = createSystemClock()
  const random = createSystemRandom()
  const log = parts.log ?? createJsonLog({ level: 'warn' })
  const transport = createWebSocketTransport({
    listen: { host, port: Number(listen.slice(port + 1)) },
    ...(advertise === undefined ? {} : { advertise }),
    ...(parts.tls === undefined ? {} : { tls: parts.tls }),
    clock,
    random,
    log
  })
  const environment = { clock, random, log, transport, storage: parts.storage ?? levelStorage }
  const components: NodeComponents = {
    environment,
    bootId: readBootId(),
    ...parts.storage === undefined ? { syncEarlier: syncLevelLogs } : {},
    ...parts.fold === undefined ? {} : { fold: parts.fold },
    ...standIn === false ? {} : {
      standIn: new StandIn({ clock, random, log }, {
        host, ...standIn === true ? {} : { port: standIn.port }, ...advertise === undefined ? {} : { advertise: parseAddress(advertise).host }
      })
    }
  }
  const node = new StoreNode(components, options)
  return Object.assign(node, {
    kill: async (): Promise<void> => {
      transport.kill()
      await node.close()
    }
  })
}

/**
 * Moves a damaged data directory out of the way, to a name beside it, for a start as a new store.
 *
 * A store that lost what it promised or acknowledged must not come back as the same one: others count on it. As a new store it
 * takes new seats and is taught from the replicas that are left, and its former seats count as gone.
 * @returns where it is now
 * @throws {StoreError} STORE_DIRECTORY_INVALID when it cannot be moved
 */
export function setAside (directory: string): string {
  let number = 1
  while (existsSync(`${directory}.damaged-${number}`)) number++
  const aside = `${directory}.damaged-${number}`
  try {
    renameSync(directory, aside)
  } catch (cause) {
    throw new StoreError('STORE_DIRECTORY_INVALID', `cannot move the damaged ${directory} to ${aside}: ${(cause as Error).message}`, { cause })
  }
  return aside
}

/** Makes a node and starts it. @throws what `StoreNode.start` throws */
export async function startNode (options: NodeOptions, parts?: NodeParts): Promise<KillableNode> {
  const node = createNode(options, parts)
  await node.start()
  return node
}
