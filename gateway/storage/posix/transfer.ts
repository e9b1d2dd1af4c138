/**
 * Large payloads: a lane (one worker) keeps the staged file and the state of the digests while the chunks come. A transfer
 * ends with `transferPublish`, `transferAbort`, or whatever else takes its file (`takeTransfer`).
 */
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import { S3Error } from '../../errors.js';
import { createDigests, type Digests } from '../digest.js';
import type { Digest, Received, WriteCondition } from '../types.js';
import { newLaneId } from './lane-ids.js';
import { PATIENCE_MS, type Turn } from './objects.js';
import { type BucketDir, type Ground, withBucket } from './paths.js';
import { publishStaged } from './publish.js';
import { copyBytes } from './restage.js';
import { claimSlot, giveBackSlot, type PartPlace, type Slot } from './slots.js';
import { awaitBytes, receiveNow } from './sockets.js';
import { discard, type Published, type Staged, stage } from './staged.js';
import { beginWriting, close, E, errnoError, fdatasync, fstatfs, pread, pwrite } from './syscalls.js';
import { cellOf, inTurn } from './write-turns.js';

export interface Transfer {
  ground: Ground;
  staged: Staged;
  /** Of a part that is written to its place in the whole, which then is what is staged. */
  slot: Slot | undefined;
  /** Of the file's turns, where others write to it as well: `inTurn`. */
  cell: number | undefined;
  digests: Digests | undefined;
  size: number;
  /** Up to here the disk has begun with it. */
  begun: number;
  /** All of it is there already, where that is asked for. */
  synced: boolean;
  /** Why bytes that came could not be written. */
  failed?: unknown;
}

const transfers = new Map<number, Transfer>();

export const transferOf = (id: number): Transfer => {
  const transfer = transfers.get(id);
  if (!transfer) throw new Error(`no transfer ${id} in this lane`);
  return transfer;
};

type Files = Pick<Transfer, 'staged' | 'slot'>;

/** Closes what a transfer has open. */
export const closeFiles = ({ staged, slot }: Files): void => {
  if (staged.fd >= 0) close(staged.fd);
  if (slot && slot.fd >= 0) close(slot.fd);
  staged.fd = -1;
  if (slot) slot.fd = -1;
};

const throwAway = (bucket: BucketDir, files: Files): void => {
  const { staged, slot } = files;
  try {
    if (!slot) discard(bucket, staged);
    else if (slot.fd >= 0) giveBackSlot(bucket, staged, slot);
  } finally {
    closeFiles(files);
  }
};

/** Ends a transfer without touching its staged file, which is then the caller's. */
export const takeTransfer = (id: number): Transfer => {
  const transfer = transferOf(id);
  transfers.delete(id);
  return transfer;
};

/** Copied in one call of an op: other calls of the worker wait for no longer than that. */
const SLICE = 64 << 20;
const HASHED_SLICE = 4 << 20;
/** Written to the disk at a time while more comes. */
const AHEAD = 4 << 20;
let copyBuffer: Buffer | undefined;

/** Once: a file that others write to as well is never clean. */
export const syncTransfer = (transfer: Transfer): void => {
  if (!transfer.synced) fdatasync(transfer.staged.fd);
  transfer.synced = true;
};

/** Digests whose bytes another lane writes. */
const hashings = new Map<number, Digests>();

/** Where in its file the next of so many bytes go to. */
const nextPlace = ({ slot, size }: Transfer, count: number): number => {
  // Behind it lies another part.
  if (slot && size + count > slot.size)
    throw new S3Error('InternalError', { cause: new Error('the part is too long') });
  return (slot?.start ?? 0) + size;
};

const append = (transfer: Transfer, bytes: Uint8Array): void => {
  if (transfer.failed !== undefined) throw transfer.failed;
  if (bytes.length === 0) return;
  const place = nextPlace(transfer, bytes.length);
  inTurn(transfer.cell, () => pwrite(transfer.staged.fd, bytes, place));
  transfer.digests?.update(bytes);
  transfer.size += bytes.length;
  // What must be on the disk in the end: only what came last is waited for then.
  const ready = transfer.size - (transfer.size % AHEAD);
  if (transfer.ground.durability === 'none' || ready === transfer.begun) return;
  beginWriting(transfer.staged.fd, (transfer.slot?.start ?? 0) + transfer.begun, ready - transfer.begun);
  transfer.begun = ready;
};

/**
 * Takes from a connection what it has, up to as much as fits; returns how many bytes.
 * @param took is given each piece, and says whether more is wanted
 */
const receive = (
  socket: number,
  into: Uint8Array,
  { ms, patient }: Turn,
  took: (piece: Uint8Array) => boolean,
): number => {
  const end = performance.now() + ms;
  for (let got = 0, waited = false; ; ) {
    const some = receiveNow(socket, into.subarray(got));
    got += some;
    if (some > 0 && !took(into.subarray(got - some, got))) return got;
    // What has bytes and gives none has ended, or is broken.
    if (got === into.length || (some === 0 && waited)) return got;
    waited = some === 0;
    if (waited && !(patient && performance.now() < end && awaitBytes(socket, PATIENCE_MS))) return got;
  }
};

export const transferOps = {
  /** How many there are in this lane, with digests. */
  transfersOpen: (): number => transfers.size + hashings.size,

  /** The id is of this lane. */
  hashOpen(digests: readonly Digest[]): number {
    const id = newLaneId();
    hashings.set(id, createDigests(digests));
    return id;
  },

  hashUpdate(id: number, chunk: Uint8Array): void {
    hashings.get(id)!.update(chunk);
  },

  /** Ends it, whether or not anybody wants the result. */
  hashFinish(id: number): Received['digests'] {
    const digests = hashings.get(id);
    hashings.delete(id);
    return digests?.finish() ?? {};
  },

  /**
   * Opens a staged file; the id is of this lane.
   * @param length bytes that will come, where known: a disk without room for them says so before they are sent
   * @param place of a part, which may be written where it belongs; NoSuchUpload when the upload has ended
   */
  transferOpen(ground: Ground, digests: readonly Digest[], length: number | undefined, place?: PartPlace): number {
    return withBucket(ground, 'write', (bucket) => {
      const claimed = place && claimSlot(bucket, place, length);
      const { staged, slot } = claimed ?? { staged: stage(bucket), slot: undefined };
      try {
        // Looked at, not reserved: who declares much and sends nothing must not take the room of others.
        if (length !== undefined && length > 0) {
          const { blocks, blocksAvailable, blockSize } = fstatfs(staged.fd);
          // Filesystems without a size of their own say 0.
          if (blocks > 0 && length > blocksAvailable * blockSize) throw errnoError(E.ENOSPC, 'write');
        }
        const id = newLaneId();
        transfers.set(id, {
          ground,
          staged,
          slot,
          cell: slot && cellOf(staged.fd),
          digests: digests.length > 0 ? createDigests(digests) : undefined,
          size: 0,
          begun: 0,
          synced: ground.durability === 'none',
        });
        return id;
      } catch (error) {
        throwAway(bucket, { staged, slot });
        throw error;
      }
    });
  },

  /**
   * Takes from a connection what it has, up to as much as fits; returns how many bytes. For any worker.
   * @param socket a descriptor of it that nobody else closes or reads from in the meantime
   */
  receive(socket: number, into: Uint8Array, turn: Turn): number {
    return receive(socket, into, turn, () => true);
  },

  /** Appends. The chunk is the caller's again when this returns. */
  transferWrite(id: number, chunk: Uint8Array): void {
    append(transferOf(id), chunk);
  },

  /**
   * Appends `before`, and then what a connection has, as `receive` takes it. What cannot be written of that is counted too, as it
   * is taken: the next call throws why.
   */
  transferReceive(id: number, before: Uint8Array, socket: number, into: Uint8Array, turn: Turn): number {
    const transfer = transferOf(id);
    append(transfer, before);
    return receive(socket, into, turn, (piece) => {
      try {
        append(transfer, piece);
      } catch (error) {
        transfer.failed = error;
      }
      return transfer.failed === undefined;
    });
  },

  /** Appends bytes of an open file; at most a slice of them: returns how many. */
  transferCopy(id: number, from: number, offset: number, length: number): number {
    const transfer = transferOf(id);
    const { staged, digests } = transfer;
    const count = Math.min(length, digests ? HASHED_SLICE : SLICE);
    const at = nextPlace(transfer, count);
    if (!digests) copyBytes(from, offset, staged.fd, at, count);
    else {
      copyBuffer ??= Buffer.allocUnsafe(1 << 20);
      for (let done = 0; done < count; ) {
        const got = pread(from, copyBuffer.subarray(0, Math.min(copyBuffer.length, count - done)), offset + done);
        if (got === 0) throw errnoError(E.EIO, 'read');
        const chunk = copyBuffer.subarray(0, got);
        pwrite(staged.fd, chunk, at + done);
        digests.update(chunk);
        done += got;
      }
    }
    transfer.size += count;
    return count;
  },

  /** Nothing more comes. Once. @param sync whether what must be on the disk in the end is to be there now */
  transferFinish(id: number, sync: boolean): Received {
    const transfer = transferOf(id);
    const { size, digests, failed } = transfer;
    if (failed !== undefined) throw failed;
    if (sync) syncTransfer(transfer);
    return { size, digests: digests?.finish() ?? {} };
  },

  transferPublish(id: number, key: string, meta: ObjectMeta, condition: WriteCondition | undefined): Published {
    const { ground, staged } = transferOf(id);
    const published = withBucket(ground, 'write', (bucket) => publishStaged(bucket, staged, key, meta, condition));
    transfers.delete(id);
    return published;
  },

  /** Throws away what came. No error when it has ended already. */
  transferAbort(id: number): void {
    const transfer = transfers.get(id);
    transfers.delete(id);
    if (!transfer) return;
    try {
      withBucket(transfer.ground, 'write', (bucket) => throwAway(bucket, transfer));
    } finally {
      // The bucket is gone, and the file with it, but for our descriptors.
      closeFiles(transfer);
    }
  },
};
