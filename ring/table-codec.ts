/**
 * A placement's state as bytes: what joiners are handed and what the digest is taken over (rule R1).
 *
 * The encoding is canonical: decoding accepts only what encoding would produce, so equal bytes and equal states are the same
 * thing. Whatever is read has been checked; the bytes may come from anywhere. Pure.
 */
import type { StoreId } from '../membership/configuration.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { RingError } from './errors.ts'
import { seedOf } from './hash.ts'
import { isPartitionCount, PARTITIONS_MAX } from './partition.ts'
import { REPLICAS_MAX } from './placement.ts'
import { type StoreRecord, WEIGHT_MAX } from './stores.ts'
import { EMPTY, FORMER_EPOCHS_MAX, FORMER_HOLDERS_MAX, type TableData } from './table-data.ts'

/** Opens every encoded placement; the last digit is the version of this encoding. */
const MAGIC = 'coterie-placement-1'
const NAME_BYTES_MAX = 64
const TEXT_BYTES_MAX = 1024
const STORES_MAX = 1 << 20
const EPOCH_MAX = 0xffff_ffff

export function encodeTable (data: TableData): Uint8Array {
  const { epoch, partitions, replicas, records, seats, seatEpochs, former } = data
  const writer = new ByteWriter()
  writer.text(MAGIC)
  writer.text(data.strategy)
  for (const value of [data.version, epoch, partitions, replicas, records.length]) writer.integer(value)
  for (const record of records) {
    writer.text(record.store)
    writer.text(record.zone)
    writer.integer(record.weight)
    writer.integer(record.incarnation)
    writer.integer(record.departedEpoch)
  }
  for (let partition = 0; partition < partitions; partition++) {
    const start = partition * replicas
    let end = start
    while (end < start + replicas && seats[end] !== EMPTY) end++
    writer.integer(end - start)
    for (let index = start; index < end; index++) {
      writer.integer(seats[index]!)
      writer.integer(epoch - seatEpochs[index]!)
    }
    const [first, last] = [former.offsets[partition]!, former.offsets[partition + 1]!]
    writer.integer(last - first)
    for (let index = first; index < last; index++) {
      writer.integer(former.slots[index]!)
      writer.integer(epoch - former.lostEpochs[index]!)
    }
  }
  return writer.finish()
}

const invalid = (message: string): RingError => new RingError('RING_INVALID_STATE', `the encoded placement ${message}`)

/**
 * Reads the state of one strategy in one version.
 * @throws {RingError} RING_INVALID_STATE
 */
export function decodeTable (bytes: Uint8Array, strategy: string, version: number): TableData {
  const reader = new ByteReader(bytes)
  if (reader.text(NAME_BYTES_MAX) !== MAGIC) throw invalid('is none, or has another format')
  const name = reader.text(NAME_BYTES_MAX)
  const itsVersion = reader.integer(EPOCH_MAX)
  if (name !== strategy || itsVersion !== version) throw invalid(`is of ${name} version ${itsVersion}, not of ${strategy} version ${version}`)
  const epoch = reader.integer(EPOCH_MAX)
  const partitions = reader.integer(PARTITIONS_MAX)
  const replicas = reader.integer(REPLICAS_MAX)
  if (epoch < 1 || replicas < 1 || !isPartitionCount(partitions)) throw invalid(`has ${partitions} partitions of ${replicas} replicas in epoch ${epoch}`)
  const records = decodeRecords(reader, epoch)

  const seats = new Int32Array(partitions * replicas).fill(EMPTY)
  const seatEpochs = new Uint32Array(partitions * replicas)
  const offsets = new Uint32Array(partitions + 1)
  const slots: number[] = []
  const lostEpochs: number[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const seen = new Set<number>()
    const readSlot = (): number => {
      const slot = reader.integer(records.length - 1)
      if (seen.has(slot)) throw invalid(`names a store twice in partition ${partition}`)
      seen.add(slot)
      return slot
    }
    const seated = records.length === 0 ? reader.integer(0) : reader.integer(replicas)
    for (let index = partition * replicas; index < partition * replicas + seated; index++) {
      seats[index] = readSlot()
      seatEpochs[index] = epoch - reader.integer(epoch - 1)
    }
    const formers = records.length === 0 ? reader.integer(0) : reader.integer(FORMER_HOLDERS_MAX)
    for (let count = 0; count < formers; count++) {
      slots.push(readSlot())
      const lostEpoch = epoch - reader.integer(Math.min(epoch - 1, FORMER_EPOCHS_MAX - 1))
      if (count > 0 && lostEpoch > lostEpochs.at(-1)!) throw invalid(`has the former holders of partition ${partition} out of order`)
      lostEpochs.push(lostEpoch)
    }
    offsets[partition + 1] = slots.length
  }
  if (reader.left > 0) throw invalid(`is followed by ${reader.left} bytes`)
  const former = { offsets, slots: Int32Array.from(slots), lostEpochs: Uint32Array.from(lostEpochs) }
  const data = { strategy, version, epoch, partitions, replicas, records, seats, seatEpochs, former }
  const again = encodeTable(data)
  if (again.length !== bytes.length || again.some((byte, index) => byte !== bytes[index])) throw invalid('is not in canonical form')
  return data
}

function decodeRecords (reader: ByteReader, epoch: number): StoreRecord[] {
  const count = reader.integer(STORES_MAX)
  const records: StoreRecord[] = []
  for (let slot = 0; slot < count; slot++) {
    const store = reader.text(TEXT_BYTES_MAX) as StoreId
    if (slot > 0 && records[slot - 1]!.store >= store) throw invalid('has its stores out of order')
    const zone = reader.text(TEXT_BYTES_MAX)
    const weight = reader.integer(WEIGHT_MAX)
    const incarnation = reader.integer(Number.MAX_SAFE_INTEGER)
    const departedEpoch = reader.integer(epoch)
    records.push({ store, zone, weight, incarnation, departedEpoch, seed: seedOf(store) })
  }
  return records
}
