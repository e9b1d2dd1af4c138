/** The guards of a write (`If-Match`, `If-None-Match`, `x-amz-if-match-*`), decided against what stands there. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { S3Error } from '../errors.js';
import type { MetaChange, WriteCondition } from './types.js';

export interface Current {
  /** Without quotes. */
  etag: string;
  size: number;
  /** Milliseconds since the epoch. */
  lastModified: number;
}

/**
 * Throws unless the write may happen. `current` is what stands under the key, undefined when nothing does. Call it under
 * the lock that the write itself holds.
 *
 * PutObject, CopyObject, CompleteMultipartUpload: "If-Match … if the object doesn't exist, 404 NoSuchKey". DeleteObject:
 * "If the ETag matches or if the object doesn't exist, the operation will return 204": a delete that finds nothing ends
 * before it comes here.
 */
export function checkWrite(condition: WriteCondition | undefined, current: Current | undefined): void {
  if (!condition) return;
  const { ifMatch, ifNoneMatch, ifMatchLastModified, ifMatchSize } = condition;
  if (ifMatch !== undefined) {
    if (!current) throw new S3Error('NoSuchKey');
    if (!matches(ifMatch, current.etag)) throw failed('If-Match');
  }
  if (ifNoneMatch !== undefined && current && matches(ifNoneMatch, current.etag)) throw failed('If-None-Match');
  if (ifMatchLastModified !== undefined) {
    if (!current) throw new S3Error('NoSuchKey');
    // The header has no more than seconds, as Last-Modified has.
    if (Math.floor(current.lastModified / 1000) !== Math.floor(ifMatchLastModified)) {
      throw failed('x-amz-if-match-last-modified-time');
    }
  }
  if (ifMatchSize !== undefined) {
    if (!current) throw new S3Error('NoSuchKey');
    if (current.size !== ifMatchSize) throw failed('x-amz-if-match-size');
  }
}

/** Under the lock, like `checkWrite`: what was permitted for one object must not happen to another. @throws S3Error OperationAborted */
export function requireSame(meant: MetaChange['of'], current: NonNullable<MetaChange['of']>): void {
  if (!meant) return;
  const sameTags = meant.tags === undefined || isDeepStrictEqual({ ...meant.tags }, { ...current.tags });
  if (meant.owner !== current.owner || meant.acl !== current.acl || !sameTags) throw new S3Error('OperationAborted');
}

const matches = (wanted: string, etag: string) => wanted === '*' || wanted === etag;

const failed = (name: string) => new S3Error('PreconditionFailed', { fields: { Condition: name } });
