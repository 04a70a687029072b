/**
 * What stand-ins say to each other: one question and one answer, of the same length, each in one datagram. And what a stand-in and the
 * main thread of its process say to each other.
 *
 * An answer is as long as its question, so that nobody can use a stand-in to multiply traffic against somebody else. The token
 * is a random name of the process that is asked: the next process at the same port does not answer for it, and who is
 * not told the token by the configuration gets no answer.
 *
 * Pure.
 */
import { formatAddress, isAddress, parseAddress } from '../transport/address.ts'

/** The tag of a member's metadata that says where its stand-in is. */
export const STAND_IN_TAG = 'coterie.stand-in'

const VERSION = 1
const KINDS = Object.freeze({ question: 1, answer: 2 } as const)
const TOKEN_BYTES = 16
const TOKEN = /^[0-9a-f]{32}$/
const DATAGRAM_BYTES = 2 + TOKEN_BYTES + 4 + 4
const UINT32_MAX = 2 ** 32 - 1

/** Where a stand-in listens, and the name of the process it stands in for. */
export interface StandInAddress {
  readonly host: string
  readonly port: number
  /** 32 lower-case hexadecimal digits. */
  readonly token: string
}

export interface StandInMessage {
  readonly kind: keyof typeof KINDS
  /** Of the process that is asked; in an answer, of the one that answers. */
  readonly token: string
  /** Chosen by the one that asks, repeated in the answer. 32 bits. */
  readonly ticket: number
  /** In a question, how long the main thread must have been blocked to be excused; in an answer, how long it has been. Milliseconds. */
  readonly blockedMs: number
}

/** What the thread is started with. */
export interface StandInWorkerData {
  readonly host: string
  readonly port: number
  readonly token: string
  /** One counter, in shared memory, which the main thread advances as long as it runs. */
  readonly beats: Int32Array
}

/** From the main thread: ask that process. */
export interface StandInQuestion {
  readonly target: StandInAddress
  readonly ticket: number
  readonly patienceMs: number
}

/** To the main thread. */
export type StandInReport =
  | { readonly kind: 'listening', readonly port: number }
  | { readonly kind: 'answer', readonly token: string, readonly ticket: number, readonly blockedMs: number }

export function formatStandIn ({ host, port, token }: StandInAddress): string {
  return `${formatAddress({ host, port })}/${token}`
}

/** The address in a member's tag; undefined for a text that is none: whatever members say of themselves is validated. */
export function parseStandIn (text: string | undefined): StandInAddress | undefined {
  const [address, token, ...rest] = text?.split('/') ?? []
  if (!isAddress(address) || token === undefined || !TOKEN.test(token) || rest.length > 0) return undefined
  return { ...parseAddress(address), token }
}

export function encodeStandInMessage ({ kind, token, ticket, blockedMs }: StandInMessage): Buffer {
  const datagram = Buffer.alloc(DATAGRAM_BYTES)
  datagram.writeUInt8(VERSION, 0)
  datagram.writeUInt8(KINDS[kind], 1)
  datagram.write(token, 2, 'hex')
  datagram.writeUInt32BE(ticket, 2 + TOKEN_BYTES)
  datagram.writeUInt32BE(Math.min(UINT32_MAX, Math.max(0, Math.round(blockedMs))), 2 + TOKEN_BYTES + 4)
  return datagram
}

/** Undefined for anything that is not exactly a message of this version. */
export function decodeStandInMessage (datagram: Buffer): StandInMessage | undefined {
  if (datagram.length !== DATAGRAM_BYTES || datagram.readUInt8(0) !== VERSION) return undefined
  const code = datagram.readUInt8(1)
  if (code !== KINDS.question && code !== KINDS.answer) return undefined
  return {
    kind: code === KINDS.question ? 'question' : 'answer',
    token: datagram.toString('hex', 2, 2 + TOKEN_BYTES),
    ticket: datagram.readUInt32BE(2 + TOKEN_BYTES),
    blockedMs: datagram.readUInt32BE(2 + TOKEN_BYTES + 4)
  }
}
