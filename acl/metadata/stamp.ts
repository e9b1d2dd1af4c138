/**
 * When stored metadata may be believed. Pure.
 *
 * A record carries the fingerprint of the content that it describes. Anybody may write the file in place, copy it with
 * its attributes, restore it or put its times back: then the record speaks of something else, and what spoke of the
 * content must not be served any more.
 */
import { hash, randomBytes } from 'node:crypto';
import type { ObjectMeta } from './types.js';

/** What a stat tells that identifies a content. */
export interface Fingerprint {
  /** Bytes. */
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  ino: bigint;
}

/** What is stored of it, beside the metadata. */
export interface Stamp {
  size: number;
  mtimeNs: bigint;
  ino: bigint;
  /**
   * An upper limit of the ctime that our own last change may have left. Storing an attribute changes ctime itself, so
   * the ctime cannot be kept in the attribute; a ctime behind this limit means that somebody else did something.
   */
  bound: bigint;
}

/**
 * - `whole`: nothing has happened since the stamp.
 * - `suspect`: only the ctime moved on: a chmod, a rename, a link; or a write whose mtime was put back.
 * - `changed`: the same file, with other content.
 * - `foreign`: another file, that the attribute was copied to.
 */
export type Belief = 'whole' | 'suspect' | 'changed' | 'foreign';

export const judge = (stamp: Stamp | undefined, stat: Fingerprint): Belief => {
  if (!stamp || stamp.ino !== stat.ino) return 'foreign';
  if (stamp.size !== stat.size || stamp.mtimeNs !== stat.mtimeNs) return 'changed';
  return stat.ctimeNs <= stamp.bound ? 'whole' : 'suspect';
};

/** What a stat tells that identifies a directory: its size and times change with every entry. */
export interface DirectoryPrint {
  ino: bigint;
  /** When it was made; 0 where the filesystem does not tell. */
  birthNs: bigint;
}

export const directoryStamp = ({ ino, birthNs }: DirectoryPrint): Stamp => ({
  size: 0,
  mtimeNs: birthNs,
  ino,
  bound: 0n,
});

/** Whether the stamp was made for this directory, and not for one that had its inode number before, or for an original. */
export const isOfDirectory = (stamp: Stamp | undefined, { ino, birthNs }: DirectoryPrint): boolean =>
  stamp?.ino === ino && (stamp.mtimeNs === 0n || birthNs === 0n || stamp.mtimeNs === birthNs);

/**
 * The metadata that holds for what the stat saw. An `etag` of `''` in the record stands for "not known" and is
 * replaced, as is one that is not believed, by a synthetic one.
 * @param hot see `syntheticEtag`
 */
export const believe = (
  meta: ObjectMeta | undefined,
  stamp: Stamp | undefined,
  stat: Fingerprint,
  hot = false,
): ObjectMeta => {
  const belief = meta ? judge(stamp, stat) : 'foreign';
  if (meta && belief === 'whole' && meta.etag !== '') return meta;
  const etag = syntheticEtag(stat, hot);
  // Identity is not cloned to a copy: who owns, tagged or locked the original has said nothing about the copy.
  if (!meta || belief === 'foreign') return { etag, headers: {}, user: {} };
  const kept: ObjectMeta = { etag, headers: {}, user: {} };
  if (meta.tags) kept.tags = meta.tags;
  if (meta.owner !== undefined) kept.owner = meta.owner;
  if (meta.acl !== undefined) kept.acl = meta.acl;
  if (belief === 'changed') return kept;
  return { ...kept, headers: meta.headers, user: meta.user };
};

/**
 * A validator for content whose digest is not known: 32 hex digits and `-0`. Clients take 32 hex digits alone for an
 * MD5 and compare it with the bytes; a multipart ETag counts its parts from 1, so this is neither.
 * @param hot true while a further write could leave the same times behind (a clock that ticks slowly): the value is
 *   then never the same twice, because two contents could otherwise share it ("racily clean")
 */
export const syntheticEtag = (stat: Fingerprint, hot = false): string => {
  const once = hot ? randomBytes(16).toString('hex') : '';
  return syntheticEtagOf(`${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}${once}`);
};

/** The same, of the numbers of a stat that are put together already (ASCII). */
export const syntheticEtagOf = (print: string | Uint8Array): string => `${hash('sha256', print).slice(0, 32)}-0`;
