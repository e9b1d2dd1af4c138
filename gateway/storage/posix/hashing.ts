/** The digests of a file that a job wrote: MD5, a checksum beside it, or the MD5s of the parts that an upload had. No I/O. */
import { createHash, type Hash } from 'node:crypto';
import type { Checksum, ChecksumAlgorithm, ObjectMeta } from '../../../acl/metadata/types.js';
import { createDigests, type Digests } from '../digest.js';

export type HashedChecksum = Extract<ChecksumAlgorithm, 'CRC64NVME' | 'SHA256'>;

export interface Hashing {
  /** Nothing is to be read (any more). */
  readonly done: boolean;
  update(chunk: Uint8Array): void;
  /** After the last byte. False: the whole file is to be read once more, because it is not what its record tells. */
  finish(): boolean;
  /** Of the content, once done. */
  etag(): string;
  checksum(): Checksum | undefined;
}

export interface HashingOptions {
  /** Bytes. */
  size: number;
  /** The record that may turn out to speak of this content. */
  known: ObjectMeta | undefined;
  /** The ETag, where it is known. */
  trusted: string | undefined;
  checksum: HashedChecksum | undefined;
}

/** The sizes of the parts of a multipart upload that its ETag can be computed from again. */
const partSizes = (meta: ObjectMeta | undefined, size: number): number[] | undefined => {
  const count = /^[0-9a-f]{32}-(\d+)$/.exec(meta?.etag ?? '')?.[1];
  const sizes = meta?.parts?.map((part) => part.size);
  if (!sizes || Number(count) !== sizes.length) return undefined;
  return sizes.reduce((sum, each) => sum + each, 0) === size ? sizes : undefined;
};

export const createHashing = ({ size, known, trusted, checksum }: HashingOptions): Hashing => {
  let parts = trusted === undefined ? partSizes(known, size) : undefined;
  let etag = trusted;
  let found: Checksum | undefined;
  // A checksum that the client has chosen stays, if the content is the same; otherwise the file is of no upload any more.
  const wanted = checksum === undefined ? [] : [checksum === 'SHA256' ? ('sha256' as const) : ('crc64nvme' as const)];
  let whole: Digests;
  const begin = () => {
    whole = createDigests(parts ? wanted : ['md5', ...wanted]);
  };
  begin();

  const joined = createHash('md5');
  let part: Hash = createHash('md5');
  let index = 0;
  let left = parts?.[0] ?? 0;
  /** Ends the parts that are complete, also those of no bytes. */
  const turn = (sizes: number[]) => {
    while (left === 0 && index < sizes.length) {
      joined.update(part.digest());
      part = createHash('md5');
      left = sizes[++index] ?? 0;
    }
  };
  const updateParts = (sizes: number[], chunk: Uint8Array) => {
    for (let at = 0; at < chunk.length; ) {
      turn(sizes);
      const piece = chunk.subarray(at, at + left);
      part.update(piece);
      left -= piece.length;
      at += piece.length;
    }
  };

  return {
    get done() {
      return etag !== undefined;
    },
    update(chunk) {
      whole.update(chunk);
      if (parts) updateParts(parts, chunk);
    },
    finish() {
      const digests = whole.finish();
      if (parts) {
        turn(parts);
        etag = `${joined.digest('hex')}-${parts.length}`;
        if (etag !== known?.etag) {
          [etag, parts] = [undefined, undefined];
          begin();
          return false;
        }
      } else etag = Buffer.from(digests.md5!).toString('hex');
      const value = digests.crc64nvme ?? digests.sha256;
      if (value && checksum) {
        found = { algorithm: checksum, type: 'FULL_OBJECT', value: Buffer.from(value).toString('base64') };
      }
      return true;
    },
    etag: () => etag ?? '',
    checksum: () => found,
  };
};
